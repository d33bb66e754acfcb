"""The audit log shows every way in which it can be tampered with, and no honest use of it as tampering."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from soc.config import StoreSettings
from soc.respond import anchors, audit
from soc.store import open_store
from soc.store.contract import Store, VersionConflictError, Write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with open_store(StoreSettings(str(folder))) as opened:
        yield opened


def close(store: Store, name: str, expect: int = 0, **body: Any) -> None:
    """One honest change."""
    result = audit.change(
        store,
        [Write("triage", name, {"status": "closed", **body}, expect)],
        action="alert.close",
        subject=name,
    )
    assert not isinstance(result[0], VersionConflictError)


def kinds(store: Store, anchor: audit.Anchor | None = None) -> list[str]:
    return [found.kind for found in audit.verify(store, anchor).breaks]


def tamper(folder: Path, sql: str, *values: object) -> None:
    """What somebody who can write the file does."""
    (path,) = folder.glob("*.db")
    with sqlite3.connect(path) as connection:
        for (trigger,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f'DROP TRIGGER "{trigger}"')
        assert connection.execute(sql, values).rowcount > 0
    connection.close()


def rewrite(folder: Path, number: int, **changes: Any) -> None:
    """Edit an entry in place."""
    (path,) = folder.glob("*.db")
    connection = sqlite3.connect(path)
    (text,) = connection.execute("SELECT body FROM audit WHERE number = ?", (number,)).fetchone()
    connection.close()
    tamper(
        folder,
        "UPDATE audit SET body = ? WHERE number = ?",
        orjson.dumps({**orjson.loads(text), **changes}).decode(),
        number,
    )


def test_an_empty_log_is_intact(store: Store) -> None:
    """Nothing was done, and nothing is wrong."""
    report = audit.verify(store)
    assert (report.ok, report.entries, report.last) == (True, 0, audit.Anchor(0, audit.START))


def test_an_honest_log_is_intact(store: Store) -> None:
    """Creating, changing and deleting documents leaves a chain that holds."""
    close(store, "A-1")
    close(store, "A-1", expect=1, note="Đã xử lý")
    close(store, "A-2")
    audit.change(store, [Write("triage", "A-2", None, 1)], action="alert.drop", subject="A-2")
    audit.record(store, action="store.prune", subject="events", detail={"events": 7})
    report = audit.verify(store, audit.anchor(store))
    assert report.ok, report.breaks
    assert (report.entries, report.intended) == (5, ())


def test_an_entry_says_who_did_what(store: Store) -> None:
    """User, action, subject, the other person, and the hash of the new version are there."""
    body = {"status": "closed"}
    audit.change(
        store,
        [Write("triage", "A-1", body, 0)],
        action="alert.close",
        subject="A-1",
        detail={"reason": "benign"},
        on_behalf_of="Lan, by phone",
    )
    (entry,) = audit.entries(store)
    assert entry.user == entry.claimed == store.whoami()
    assert (entry.action, entry.subject, entry.on_behalf_of) == ("alert.close", "A-1", "Lan, by phone")
    assert entry.detail == {"reason": "benign"}
    assert entry.documents[0].hash == audit.document_hash("triage", "A-1", body)


def test_the_entry_comes_before_the_change(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the change fails, the log says that it was intended, and is not broken."""

    def fail(_writes: object) -> None:
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", fail)
        with pytest.raises(OSError, match="gone"):
            close(store, "A-1")
    report = audit.verify(store)
    assert report.ok
    assert "intended, not done" in report.intended[0]


def test_a_refused_change_is_noted(store: Store) -> None:
    """A conflict is returned, noted in a second entry, and no fault of the log."""
    close(store, "A-1")
    (result,) = audit.change(
        store, [Write("triage", "A-1", {"status": "open"}, 0)], action="x", subject="A-1"
    )
    assert isinstance(result, VersionConflictError)
    assert [e.action for e in audit.entries(store)] == ["alert.close", "x", "refused"]
    report = audit.verify(store)
    assert (report.ok, report.intended) == (True, ())


def test_without_writes_nothing_is_logged(store: Store) -> None:
    """Changing nothing is not an act."""
    assert audit.change(store, [], action="x", subject="y") == []
    assert audit.anchor(store).number == 0


@pytest.mark.parametrize("field", ["action", "user", "time", "detail", "documents", "on_behalf_of", "prev"])
def test_an_edited_entry_is_found(store: Store, folder: Path, field: str) -> None:
    """Whatever field of an entry is changed, its hash does not fit any more."""
    for n in range(4):
        close(store, f"A-{n}")
    rewrite(folder, 2, **{field: [] if field == "documents" else {"x": 1} if field == "detail" else "other"})
    found = audit.verify(store).breaks
    assert "edited" in [b.kind for b in found]
    assert any(b.number == 2 for b in found)


def test_an_edited_entry_with_a_new_hash_is_found(store: Store, folder: Path) -> None:
    """Whoever recomputes the hash of an entry breaks the link of the next one."""
    for n in range(4):
        close(store, f"A-{n}")
    (second,) = [r.body for r in store.audit_read() if r.number == 2]
    changed = {**second, "action": "nothing"}
    rewrite(folder, 2, action="nothing", hash=audit.entry_hash(changed))
    assert [(b.kind, b.number) for b in audit.verify(store).breaks] == [("relinked", 3)]


def test_a_removed_entry_is_found(store: Store, folder: Path) -> None:
    """A gap in the numbers is a missing entry."""
    for n in range(5):
        close(store, f"A-{n}")
    tamper(folder, "DELETE FROM audit WHERE number = 3")
    found = audit.verify(store).breaks
    assert found[0].kind == "removed"
    assert "entry 3 is missing" in found[0].message


def test_a_cut_tail_needs_an_anchor(store: Store, folder: Path) -> None:
    """Entries cut off at the end show only with an anchor kept outside."""
    for n in range(5):
        audit.record(store, action="x", subject=str(n))
    anchor = audit.anchor(store)
    tamper(folder, "DELETE FROM audit WHERE number > 3")
    assert audit.verify(store).ok
    assert kinds(store, anchor) == ["cut"]


def test_a_log_made_anew_does_not_fit_the_anchor(store: Store, folder: Path) -> None:
    """Another chain of the same length is not the one that was anchored."""
    for n in range(3):
        audit.record(store, action="x", subject=str(n))
    anchor = audit.anchor(store)
    tamper(folder, "DELETE FROM audit")
    for n in range(4):
        audit.record(store, action="y", subject=str(n))
    assert kinds(store, anchor) == ["anchor"]


def test_a_forged_user_is_found(store: Store) -> None:
    """An entry that claims another user than the store stamped is named."""
    body: dict[str, Any] = {"number": 1, "user": "director", "action": "x", "prev": audit.START}
    body["hash"] = audit.entry_hash(body)
    assert store.audit_create(1, body)
    found = audit.verify(store).breaks
    assert [b.kind for b in found] == ["forged_user"]
    assert "director" in found[0].message


def test_a_document_changed_behind_the_log_is_found(store: Store) -> None:
    """A version that no entry announced is a fault, as is a document that nobody announced at all."""
    close(store, "A-1")
    store.put("triage", "A-1", {"status": "open"}, expect=1)
    store.put("triage", "A-9", {"status": "open"}, expect=0)
    assert sorted(kinds(store)) == ["document_changed", "document_unknown"]


def test_a_document_removed_behind_the_log_is_found(store: Store) -> None:
    """A document that existed and is gone without an entry is a fault."""
    close(store, "A-1")
    close(store, "A-1", expect=1, more=1)
    store.write([Write("triage", "A-1", None, 2)])
    assert kinds(store) == ["document_gone"]


@pytest.mark.parametrize(
    "body", [{}, {"hash": 5, "documents": 7, "detail": []}, {"documents": [1, {"seen": "x"}]}]
)
def test_rubbish_in_the_log_is_reported_not_raised(store: Store, body: dict[str, Any]) -> None:
    """Whatever somebody writes into the log, verifying ends with a report."""
    assert store.audit_create(1, body)
    assert "edited" in kinds(store)
    assert len(list(audit.entries(store))) == 1


WRITER = """
import sys
from soc.config import StoreSettings
from soc.respond import audit
from soc.store import open_store
from soc.store.contract import Write
with open_store(StoreSettings(sys.argv[1])) as store:
    print("ready", flush=True)
    n = 0
    while n < int(sys.argv[3]):
        name = f"{sys.argv[2]}-{n}"
        audit.change(store, [Write("triage", name, {"n": n}, 0)], action="alert.note", subject=name)
        n += 1
"""


def writer(folder: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), name, str(count)], stdout=subprocess.PIPE, cwd=Path.cwd()
    )


def test_two_processes_append_at_once(store: Store, folder: Path) -> None:
    """Writers that race for numbers make one chain without gaps."""
    writers = [writer(folder, name, 40) for name in ("a", "b", "c")]
    for process in writers:
        assert process.wait(60) == 0
        assert process.stdout is not None
        process.stdout.close()
    report = audit.verify(store)
    assert report.ok, report.breaks
    assert (report.entries, report.documents, report.intended) == (120, 120, ())


@pytest.mark.slow
def test_a_killed_writer_leaves_an_intact_log(store: Store, folder: Path) -> None:
    """SIGKILL at any moment leaves at most one change that was intended and not done."""
    for turn in range(6):
        process = writer(folder, f"t{turn}", 100_000)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 + 0.03 * turn)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
    report = audit.verify(store)
    assert report.ok, report.breaks
    assert report.entries > 6
    assert len(report.intended) <= 6


def test_entries_can_be_narrowed(store: Store) -> None:
    """By subject, by what they changed, and by time."""
    close(store, "A-1")
    close(store, "B-1")
    assert [e.subject for e in audit.entries(store, subject="B")] == ["B-1"]
    from datetime import UTC, datetime, timedelta

    assert list(audit.entries(store, since=datetime.now(UTC) + timedelta(minutes=1))) == []


class TestAnchors:
    def test_the_highest_of_several(self, tmp_path: Path) -> None:
        """Anchors can be appended to one file, as text or as JSON."""
        path = tmp_path / "anchors"
        path.write_text(f'3 {"a" * 64}\n{{"number": 12, "hash": "{"b" * 64}"}}\n7 {"c" * 64}\n')
        assert anchors.read(path) == audit.Anchor(12, "b" * 64)

    @pytest.mark.parametrize("text", ["", "nothing", "5 abc"])
    def test_no_anchor(self, tmp_path: Path, text: str) -> None:
        """A file without an anchor is refused."""
        from soc.errors import UsageError

        path = tmp_path / "anchors"
        path.write_text(text)
        with pytest.raises(UsageError, match="no anchor"):
            anchors.read(path)
