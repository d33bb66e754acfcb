"""The embedded store: its file, its limits and what happens when something is wrong."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from soc.config import StoreSettings
from soc.errors import NotAuthorisedError, SocError, StoreUnavailableError, UsageError
from soc.event import event_id
from soc.store.contract import Fate, Incoming
from soc.store.embedded import EmbeddedStore
from soc.store.embedded_file import NETWORK_FILE_SYSTEMS, PAGE_BYTES, file_system_of, refuse_network
from tests.store.worker import made

ROOT = Path(__file__).parents[2]
Opener = Callable[..., EmbeddedStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens stores below the test's folder and closes them at the end."""
    stores: list[EmbeddedStore] = []

    def opener(name: str = "store", *, space: str = "", **options: Any) -> EmbeddedStore:
        stores.append(EmbeddedStore.open(StoreSettings(str(tmp_path / name), space=space), **options))
        return stores[-1]

    yield opener
    for store in stores:
        store.close()


def events(count: int, *, start: int = 0, generation: str = "g") -> list[Incoming]:
    """Some events."""
    return [made(generation, n) for n in range(start, start + count)]


def stored_ids(store: EmbeddedStore) -> list[str]:
    """The ids in the feed, from its beginning."""
    return [e.id for batch in store.feed(store.beginning()) for e in batch.events]


# the file


def test_folder_and_file_are_for_the_owner_alone(opened: Opener, tmp_path: Path) -> None:
    """0700 and 0600, also of what SQLite puts beside, whatever the umask; nothing is made before its use."""
    before = os.umask(0)
    try:
        store = opened("deep/er")
        assert not (tmp_path / "deep").exists()
        store.append(events(1))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "deep" / "er").stat().st_mode) == 0o700
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "deep" / "er").iterdir()}
    assert set(modes) == {"soc.db", "soc.db-wal", "soc.db-shm"}
    assert set(modes.values()) == {0o600}
    assert store.status().warnings == ()


def test_a_store_that_others_can_read_is_warned_about(opened: Opener, tmp_path: Path) -> None:
    """With the command that changes it."""
    store = opened()
    store.append(events(1))
    (tmp_path / "store" / "soc.db").chmod(0o644)
    (warning,) = store.status().warnings
    assert "chmod 600" in warning


def test_a_missing_store_is_not_made_when_only_read(opened: Opener, tmp_path: Path) -> None:
    """The error names the folder and the next command."""
    with pytest.raises(StoreUnavailableError) as caught:
        opened(create=False)
    assert str(tmp_path / "store") in str(caught.value)
    assert "soc store init" in caught.value.hint
    assert not (tmp_path / "store").exists()


def test_planning_makes_nothing(opened: Opener, tmp_path: Path) -> None:
    """A dry run of init leaves the disk as it was and shows every statement."""
    folder, database = opened().init(dry_run=True)
    assert not folder.exists
    assert not database.exists
    assert "CREATE TABLE events" in str(database.content["statements"])
    assert not (tmp_path / "store").exists()


def test_spaces_are_apart(opened: Opener, tmp_path: Path) -> None:
    """Each is a file of its own in the same folder."""
    duty, drill = opened(), opened(space="drill-1")
    duty.append(events(2))
    drill.append(events(1))
    assert (len(stored_ids(duty)), len(stored_ids(drill))) == (2, 1)
    assert (tmp_path / "store" / "soc-drill-1.db").is_file()


@pytest.mark.parametrize("space", ["../x", "a/b", "A", "-x", ".", "a b", "x" * 64, "ü", "a\n"])
def test_a_bad_name_of_a_space_is_refused(opened: Opener, space: str) -> None:
    """It becomes part of a file name."""
    with pytest.raises(UsageError, match="no name of a space"):
        opened(space=space)


def test_a_file_where_the_folder_should_be(opened: Opener, tmp_path: Path) -> None:
    """Said as it is, for the target and for a folder above it."""
    (tmp_path / "store").write_text("x")
    for name in ("store", "store/below"):
        with pytest.raises(UsageError) as caught:
            opened(name).append(events(1))
        assert "file" in caught.value.message
        assert "--store" in caught.value.hint
    with pytest.raises(UsageError, match="this is a file"):
        opened(create=False)


@pytest.mark.parametrize(
    "content",
    [b"hello", b"\x00" * 100_000, os.urandom(50_000), b"SQLite format 3\x00" + b"\xff" * 5_000],
    ids=["text", "zeros", "random", "header only"],
)
def test_a_file_that_is_no_store_is_refused_and_kept(opened: Opener, tmp_path: Path, content: bytes) -> None:
    """Neither read nor overwritten."""
    path = tmp_path / "store" / "soc.db"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(SocError, match=r"not a soc store|damaged"):
        opened()
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_refused_and_kept(opened: Opener, tmp_path: Path) -> None:
    """A SQLite file without our mark gets no tables of ours."""
    path = tmp_path / "store" / "soc.db"
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE bookmarks (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(SocError, match="not a soc store"):
        opened()
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_store(opened: Opener, tmp_path: Path) -> None:
    """What is left when a first start was killed."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "soc.db").touch()
    store = opened()
    assert store.append(events(1))[0].fate is Fate.STORED


def test_a_store_of_a_newer_program_is_refused_and_kept(opened: Opener, tmp_path: Path) -> None:
    """The message names both layouts."""
    opened().append(events(1))
    path = tmp_path / "store" / "soc.db"
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 2")
    raw.close()
    with pytest.raises(SocError, match="newer soc wrote this store") as caught:
        opened()
    assert "layout 2" in caught.value.message


def test_a_damaged_file_is_named(opened: Opener, tmp_path: Path) -> None:
    """Pages overwritten in the middle: reading says so, with what to do, instead of giving wrong events."""
    store = opened()
    store.append(events(3_000))
    store.close()
    path = tmp_path / "store" / "soc.db"
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in range(3, size // PAGE_BYTES):
            file.seek(page * PAGE_BYTES)
            file.write(b"\xde\xad" * 2_000)
    with pytest.raises(SocError, match="damaged") as caught:
        stored_ids(opened())
    assert "backup" in caught.value.hint


def test_a_cut_file_is_named(opened: Opener, tmp_path: Path) -> None:
    """Half of a store is not a smaller store."""
    store = opened()
    store.append(events(3_000))
    store.close()
    path = tmp_path / "store" / "soc.db"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(SocError, match="damaged"):
        stored_ids(opened())


# other processes


def test_a_lock_that_lasts_is_an_error_that_loses_nothing(opened: Opener, tmp_path: Path) -> None:
    """Writers wait, then say who to look for; the same call works once the lock is gone."""
    store = opened(busy_seconds=0.2)
    store.append(events(1))
    other = sqlite3.connect(tmp_path / "store" / "soc.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match=r"more than 0\.2 s") as caught:
        store.append(events(5))
    assert "fuser" in caught.value.hint
    assert len(stored_ids(store)) == 1
    other.execute("ROLLBACK")
    other.close()
    assert [o.fate for o in store.append(events(5))] == [Fate.DUPLICATE, *[Fate.STORED] * 4]


def run_worker(settings: StoreSettings, code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python code in another process; `store` there is the store, opened."""
    from dataclasses import asdict

    program = (
        "import json, sys, resource, signal\n"
        "from soc.config import StoreSettings\n"
        "from soc.errors import SocError\n"
        "from soc.store.embedded import EmbeddedStore\n"
        "from tests.store.worker import made\n"
        "settings = StoreSettings(**json.loads(sys.argv[1]))\n"
        f"{code}\n"
    )
    command = [*options.pop("before", []), sys.executable, "-c", program, json.dumps(asdict(settings))]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60, **options
    )


FILL = """
done = 0
try:
    with EmbeddedStore.open(settings) as store:
        while done < 100_000:
            store.append([made("g", n) for n in range(done, done + 500)])
            done += 500
            print(done, flush=True)
except SocError as error:
    print(type(error).__name__, error.exit_code, error.message, error.hint, file=sys.stderr)
"""


def test_a_file_that_may_not_grow_keeps_what_was_acknowledged(opened: Opener, tmp_path: Path) -> None:
    """A quota stops one write as a whole; what came before is whole, and later the rest goes in."""
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))\n"
    limit += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    ran = run_worker(StoreSettings(str(tmp_path / "store")), limit + FILL)
    acknowledged = int(ran.stdout.split()[-1])
    assert 500 <= acknowledged < 100_000
    assert "StoreUnavailableError" in ran.stderr
    assert "Traceback" not in ran.stderr
    store = opened()
    assert stored_ids(store)[:acknowledged] == [made("g", n).id for n in range(acknowledged)]
    assert len(stored_ids(store)) == acknowledged
    assert {o.fate for o in store.append(events(500, start=acknowledged))} == {Fate.STORED}


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare to mount a small disk")
def test_a_full_disk_is_named_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """On a disk of three megabytes, with the command that helps."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs -o size=3m none {disk} && exec "$@"',
        "sh",
    ]
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    check = """
with EmbeddedStore.open(settings) as store:
    got = [e.id for batch in store.feed(store.beginning()) for e in batch.events]
    print(got == [made("g", n).id for n in range(done)], store.status().events == done)
"""
    ran = run_worker(StoreSettings(str(disk / "store")), FILL + check, before=mount)
    assert "StoreUnavailableError 1 the disk is full; nothing of this write was stored" in ran.stderr
    assert "df -h" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout.endswith("True True\n")


def as_a_user(tmp_path: Path) -> str:
    """Code that makes file permissions hold for the process that runs it; the tests may run as root."""
    if os.geteuid():
        return ""
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o711)
    return "import os\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "part"),
    [
        (0o555, 0o666, "the store's folder cannot be written"),
        (0o777, 0o444, "may not read and write the store"),
    ],
)
def test_a_store_that_may_not_be_written(
    opened: Opener, tmp_path: Path, folder_mode: int, file_mode: int, part: str
) -> None:
    """Not authorised (exit 4), with where to look."""
    store = opened()
    store.append(events(1))
    store.close()
    folder, path = tmp_path / "store", tmp_path / "store" / "soc.db"
    path.chmod(file_mode)
    folder.chmod(folder_mode)
    ran = run_worker(StoreSettings(str(folder)), as_a_user(tmp_path) + FILL)
    assert ran.stderr.startswith("NotAuthorisedError 4"), ran.stderr
    assert part in ran.stderr
    folder.chmod(0o700)


def test_a_store_that_may_not_be_made(tmp_path: Path) -> None:
    """Not authorised, before anything is written."""
    (tmp_path / "closed").mkdir(mode=0o555)
    ran = run_worker(StoreSettings(str(tmp_path / "closed" / "store")), as_a_user(tmp_path) + FILL)
    assert ran.stderr.startswith("NotAuthorisedError 4"), ran.stderr


def test_processes_may_create_a_store_at_once(tmp_path: Path) -> None:
    """They meet in one store with everything in it."""
    code = "import time, os\ntime.sleep(max(0, float(sys.argv[1] and os.environ['AT']) - time.time()))\n"
    code += "with EmbeddedStore.open(settings) as store:\n"
    code += "    store.append([made(os.environ['WHO'], n) for n in range(10)])\n"
    settings = StoreSettings(str(tmp_path / "store"))
    at = str(datetime.now(UTC).timestamp() + 1.5)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(6) as pool:
        runs = list(
            pool.map(
                lambda i: run_worker(settings, code, env={**os.environ, "WHO": f"w{i}", "AT": at}), range(6)
            )
        )
    assert [r.stderr for r in runs] == [""] * 6
    with EmbeddedStore.open(settings) as store:
        assert len(stored_ids(store)) == 60


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_writing_into_a_file_that_is_gone_is_refused(opened: Opener, tmp_path: Path, how: str) -> None:
    """Nothing is acknowledged that nobody would find again."""
    store = opened()
    store.append(events(1))
    path = tmp_path / "store" / "soc.db"
    copy = path.read_bytes()
    path.unlink()
    if how == "replaced":
        path.write_bytes(copy)
    with pytest.raises(StoreUnavailableError, match="moved, deleted or replaced"):
        store.append(events(2))


# restored files and foreign positions


def copy_of(path: Path, to: Path) -> None:
    """A consistent copy, as a backup makes it."""
    source, target = sqlite3.connect(path), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()


def test_a_restored_store_is_read_again_from_where_it_was_set_back(opened: Opener, tmp_path: Path) -> None:
    """A position from after the backup goes on where both histories part, and says so."""
    path, backup = tmp_path / "store" / "soc.db", tmp_path / "backup.db"
    first = opened()
    first.append(events(10))
    early = first.head()
    copy_of(path, backup)
    first.append(events(10, start=10))
    late = first.head()
    first.close()
    for beside in ("soc.db-wal", "soc.db-shm"):
        (path.parent / beside).unlink(missing_ok=True)
    shutil.copy(backup, path)

    restored = opened()
    (batch,) = restored.feed(late)
    assert batch.events == []
    assert "set back" in batch.notes[0]
    assert list(restored.feed(batch.position)) == []

    restored.append(events(15, start=20))
    batches = list(restored.feed(late))
    assert [e.id for b in batches for e in b.events] == [e.id for e in events(15, start=20)]
    assert "set back" in batches[0].notes[0]
    again = list(restored.feed(early))
    assert [e.id for b in again for e in b.events] == [e.id for e in events(15, start=20)]
    assert not any(b.notes for b in again)


@pytest.mark.parametrize(
    "position",
    [{}, {"store": "x", "seq": 3}, {"seq": 3}, {"store": None, "seq": "3"}, {"shards": [{"seq": 1}]}],
    ids=str,
)
def test_a_position_of_another_store_starts_from_the_beginning(
    opened: Opener, position: dict[str, Any]
) -> None:
    """With a note for the ledger."""
    store = opened()
    store.append(events(3))
    batches = list(store.feed(position))
    assert [len(b.events) for b in batches] == [3]
    assert "another store" in batches[0].notes[0]


def test_a_position_with_an_unknown_mark_starts_from_the_beginning(opened: Opener) -> None:
    """The store was set back to before this history began."""
    store = opened()
    store.append(events(3))
    batches = list(store.feed({**store.head(), "mark": "unknown"}))
    assert sum(len(b.events) for b in batches) == 3
    assert "set back" in batches[0].notes[0]


def test_numbers_are_not_used_again_after_pruning(opened: Opener) -> None:
    """Also over closing and opening."""
    store = opened()
    store.append(events(5))
    position = store.head()
    store.prune(datetime(2030, 1, 1, tzinfo=UTC))
    store.close()
    store = opened()
    store.append(events(1, generation="new"))
    ((batch),) = store.feed(position)
    assert batch.notes == ()
    assert [e.id for e in batch.events] == [made("new", 0).id]


# limits


def test_a_batch_of_the_feed_is_bounded_in_bytes(opened: Opener) -> None:
    """Large events do not fill the memory: forty megabytes come in several batches."""
    store = opened()
    for n in range(8):
        large = {**made("g", n).event, "event.original": str(n) * 5_000_000}
        store.append([Incoming(event_id("s", "g", n), large)])
    batches = [len(b.events) for b in store.feed(store.beginning())]
    assert sum(batches) == 8
    assert max(batches) <= 4
    assert len(list(store.search())) == 8


def test_pruning_gives_space_back(opened: Opener) -> None:
    """The file is smaller afterwards."""
    store = opened()
    store.append([Incoming(e.id, {**e.event, "event.original": "x" * 1_000}) for e in events(12_000)])
    before = store.status().bytes
    (pruned,) = store.prune(datetime(2026, 3, 2, 0, 0, 11, tzinfo=UTC))
    assert pruned.events == 11_000
    assert pruned.bytes > 11_000_000
    status = store.status()
    assert status.events == 1_000
    assert status.bytes < before / 4


def test_an_event_too_large_is_rejected(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limit in the reason."""
    monkeypatch.setattr("soc.store.embedded_codec.MAX_BYTES", 10_000)
    store = opened()
    large = Incoming("large", {**made("g", 0).event, "event.original": "x" * 10_000})
    odd = Incoming("odd", {**made("g", 0).event, "x": 2**70, "event.original": "x" * 10_000})
    outcomes = store.append([large, odd, made("g", 1)])
    assert [o.fate for o in outcomes] == [Fate.REJECTED, Fate.REJECTED, Fate.STORED]
    assert "larger than 10000 bytes" in outcomes[0].reason


@pytest.mark.parametrize("id_", ["", "x" * 513, "a\nb", "ü", "\0", "\ud800"])
def test_an_id_of_odd_characters_is_rejected(opened: Opener, id_: str) -> None:
    """Ids are short ASCII, as both stores can hold them."""
    store = opened()
    (outcome,) = store.append([Incoming(id_, made("g", 0).event)])
    assert outcome.fate is Fate.REJECTED


def test_values_that_json_cannot_say_are_kept(opened: Opener) -> None:
    """Lone surrogates from broken file names, integers of any size, numbers that are not finite."""
    odd = {
        "name": "a\ud800b",
        "large": [2**64, -(10**40)],
        "inf": [float("inf"), -float("inf")],
        "null": "null",
    }
    store = opened()
    event = Incoming("odd", {**made("g", 0).event, **odd})
    assert store.append([event])[0].fate is Fate.STORED
    assert store.events(["odd"]) == [("odd", event.event)]


@pytest.mark.parametrize(
    "odd",
    [object(), datetime.now(UTC), b"bytes", {1, 2}, [[object()]], Path("x")],
    ids=lambda value: type(value).__name__,
)
def test_values_that_are_not_json_are_rejected_by_name(opened: Opener, odd: Any) -> None:
    """Nothing is turned into text unseen."""
    store = opened()
    (outcome,) = store.append([Incoming("odd", {**made("g", 0).event, "the.field": odd})])
    assert outcome.fate is Fate.REJECTED
    assert "the.field" in outcome.reason


def test_an_integer_of_thousands_of_digits_is_rejected(opened: Opener) -> None:
    """Python itself would not read it back; its neighbours are stored."""
    store = opened()
    outcomes = store.append([Incoming("odd", {**made("g", 0).event, "x": 10**5_000}), made("g", 1)])
    assert [o.fate for o in outcomes] == [Fate.REJECTED, Fate.STORED]
    assert "digits" in outcomes[0].reason


def test_a_name_that_is_no_text_is_rejected(opened: Opener) -> None:
    """JSON would turn 1 into "1"."""
    bad: Any = {**made("g", 0).event, 1: "x"}
    (outcome,) = opened().append([Incoming("odd", bad)])
    assert "name 1 is not text" in outcome.reason


def test_names_that_are_no_unicode_text_are_nowhere(opened: Opener) -> None:
    """Broken bytes on a command line reach the store as lone surrogates."""
    from soc.store.contract import Write

    store = opened()
    store.append(events(1))
    assert store.read("alert", "A-\udcff") is None
    assert [e.id for e in store.events(["\udcff", made("g", 0).id])] == [made("g", 0).id]
    with pytest.raises(SocError, match="no name for a document"):
        store.write([Write("alert", "A-\udcff", {}, 0)])


@pytest.mark.parametrize(
    "position", [{"mark": ["x"]}, {"mark": None}, {"seq": 2**80}, {"seq": -1}, {"seq": 1.5}], ids=str
)
def test_a_spoilt_position_is_read_from_the_beginning(opened: Opener, position: dict[str, Any]) -> None:
    """Whatever stands in a position document, nothing is missed."""
    store = opened()
    store.append(events(3))
    batches = list(store.feed({**store.head(), **position}, limit=2**80))
    seen = [e.id for b in batches for e in b.events]
    assert seen in ([], [e.id for e in events(3)])
    assert batches[0].notes


def test_a_document_that_is_not_json_is_an_error_and_nothing_is_written(opened: Opener) -> None:
    """The whole call is refused before it begins."""
    from soc.store.contract import Write

    store = opened()
    with pytest.raises(SocError, match="alert B cannot be stored"):
        store.write([Write("alert", "A", {"x": 1}, 0), Write("alert", "B", {"x": object()}, 0)])
    assert store.read("alert", "A") is None


def test_audit_records_cannot_be_changed_through_the_file_by_accident(opened: Opener, tmp_path: Path) -> None:
    """The tables themselves refuse; numbers below 1 are a mistake of the program."""
    store = opened()
    store.audit_create(1, {"x": 1})
    with pytest.raises(ValueError, match="from 1"):
        store.audit_create(0, {})
    raw = sqlite3.connect(tmp_path / "store" / "soc.db")
    for statement in ("UPDATE audit SET user = 'x'", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="append only"):
            raw.execute(statement)
    raw.close()


def test_the_user_is_the_effective_one_of_the_system(opened: Opener) -> None:
    """From the system's list of users."""
    assert opened().whoami() == pwd.getpwuid(os.geteuid()).pw_name


def test_a_closed_store_is_not_used(opened: Opener) -> None:
    """A mistake of the program is said at once; closing twice is fine."""
    store = opened()
    store.append(events(1))
    store.close()
    store.close()
    with pytest.raises(RuntimeError, match="closed"):
        store.append(events(1))


# network file systems

MOUNTS = r"""
sysfs /sys sysfs rw 0 0
/dev/vda1 / ext4 rw 0 0
server:/export /srv/with\040space nfs4 rw 0 0
//server/share /mnt/share cifs rw 0 0
tmpfs /mnt/share/local tmpfs rw 0 0
host:/home /home/lan/remote fuse.sshfs rw 0 0
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/soc", "ext4"),
        ("/srv/with space/soc", "nfs4"),
        ("/srv/with", "ext4"),
        ("/mnt/share", "cifs"),
        ("/mnt/shared", "ext4"),
        ("/mnt/share/local/soc", "tmpfs"),
        ("/home/lan/remote/a/b", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_path_is_the_nearest_mount(path: str, kind: str) -> None:
    """Escapes in mount points, mounts below mounts, folders that are not there yet."""
    assert file_system_of(Path(path), MOUNTS) == kind


def test_a_network_file_system_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With what to do instead; this machine's own disk is fine."""
    refuse_network(tmp_path)
    assert "nfs4" in NETWORK_FILE_SYSTEMS
    monkeypatch.setattr("soc.store.embedded_file.file_system_of", lambda _: "nfs4")
    with pytest.raises(UsageError, match="network file system") as caught:
        EmbeddedStore.open(StoreSettings(str(tmp_path / "store")))
    assert "--store" in caught.value.hint


def test_an_unwritable_error_is_not_authorised() -> None:
    """Exit code 4 is kept for rights."""
    assert NotAuthorisedError("x").exit_code == 4
