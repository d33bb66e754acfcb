"""Every numbered line is stored exactly once, whatever happens to the files, the process, the disk."""

from __future__ import annotations

import gzip
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from soc import content
from soc.collect.checkpoint import JOURNAL, Checkpoint, describe
from soc.collect.collector import load_collectors
from soc.config import Source
from tests.collect.world import World, append, line, lines

SIZE = int(os.environ.get("SOC_TEST_SIZE", "1"))
"""How much chaos: that many times the seeds."""

ROUNDS = 10
"""How many times the collector is killed in each seeded run."""


class Generator:
    """Writes numbered lines and rotates, all by one seed; pauses for copytruncate, as a writer must.

    `dwell`: the longest time, in seconds, between a copy and the truncation, and between compression and
    removal, as on a busy machine.
    """

    def __init__(self, world: World, seed: int, *, dwell: float = 0.25) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.dwell = dwell
        self.count = 0
        self.rotations = 0
        self.failure: BaseException | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Generator:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(30)
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._done.is_set():
                self._write()
                if self.random.random() < 0.06:
                    self._rotate()
                time.sleep(self.random.random() * 0.01)
        except BaseException as error:  # noqa: BLE001 - handed to the test, which raises it
            self.failure = error

    def _write(self) -> None:
        rest = " " + "x" * self.random.choice([0, 0, 20, 300, 5000])
        text = line(self.count, rest)
        cut = self.random.randrange(len(text)) if self.random.random() < 0.2 else len(text)
        append(self.world.log, text[:cut])
        if cut < len(text):
            time.sleep(0.005)
            append(self.world.log, text[cut:])
        self.count += 1

    def _rotate(self) -> None:
        """Rename, copytruncate, or rename and compress; older generations move up."""
        log = self.world.log
        for number in range(self.rotations, 0, -1):
            for ending in ("", ".gz"):
                old = log.with_name(f"app.log.{number}{ending}")
                if old.exists():
                    old.rename(log.with_name(f"app.log.{number + 1}{ending}"))
        self.rotations += 1
        first = log.with_name("app.log.1")
        how = self.random.choice(["rename", "copy", "compress"])
        if how == "copy":
            shutil.copy2(log, first)
            self._dwell()
            os.truncate(log, 0)
            return
        log.rename(first)
        if how == "compress":
            times = first.stat().st_mtime_ns
            packed = log.with_name("app.log.1.gz")
            with first.open("rb") as source, gzip.open(packed, "wb") as target:
                shutil.copyfileobj(source, target)
            os.utime(packed, ns=(times, times))
            self._dwell()
            first.unlink()

    def _dwell(self) -> None:
        if self.random.random() < 0.5:
            time.sleep(self.random.random() * self.dwell)


def started(world: World, pid: int) -> None:
    """Wait until a collector has taken the lock, and with it begun to work."""
    lock = world.state / "lock"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (lock.exists() and lock.read_text() == str(pid)):
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 2 * SIZE + 1))
def test_killed_at_random_while_files_rotate(tmp_path: Path, seed: int) -> None:
    """SIGKILL at random moments, rotation of every kind meanwhile: every number once, the ledger balances."""
    world = World(tmp_path)
    chance = random.Random(seed)
    with Generator(world, seed) as generator:
        for _ in range(ROUNDS):
            process = world.start("--every", "50ms", "-q")
            started(world, process.pid)
            time.sleep(chance.random() * 0.8)
            process.kill()
            process.communicate(timeout=10)
    time.sleep(0.1)
    world.once()
    world.once()
    assert world.numbers() == list(range(generator.count))
    assert generator.count > 50
    assert all(row["balanced"] for row in describe(Checkpoint.look(world.state)))


@pytest.mark.slow
def test_stops_cleanly_on_sigterm(tmp_path: Path) -> None:
    """SIGTERM ends a following run within five seconds, with its table and exit code 0."""
    world = World(tmp_path)
    append(world.log, lines(0, 500))
    process = world.start("--output", "json")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not (world.root / "store").exists():
        time.sleep(0.05)
    time.sleep(1)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - begun < 5
    assert process.returncode == 0, err
    assert b'"stored":500' in out
    assert world.numbers() == list(range(500))


@pytest.mark.slow
def test_stops_while_the_store_is_held_by_another(tmp_path: Path) -> None:
    """SIGTERM ends a run within five seconds also while it waits for the store; nothing is lost."""
    import sqlite3

    world = World(tmp_path)
    append(world.log, lines(0, 10))
    world.once()
    append(world.log, lines(10, 20))
    holder = sqlite3.connect(world.root / "store" / "soc.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    process = world.start("--every", "50ms")
    started(world, process.pid)
    time.sleep(3)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - begun < 5
    assert b"nothing is lost" in err
    holder.execute("ROLLBACK")
    holder.close()
    world.once()
    assert world.numbers() == list(range(20))


def test_a_second_run_on_the_same_state_is_refused(tmp_path: Path) -> None:
    """Two collectors on one state would read each other's files: the second one says so, with exit code 3."""
    world = World(tmp_path)
    append(world.log, line(0))
    with Checkpoint.open(world.state):
        process = world.start("--once")
        _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert str(os.getpid()) in err.decode()


SYSLOG = "Mar  2 07:14:{:02d} web01 sshd[{}]: Failed password for root from 192.0.2.7 port 4711 ssh2\n"


def test_replay_after_a_change_of_zone_and_clock(tmp_path: Path) -> None:
    """After a crash, with another zone configured and the clock two days on, nothing is stored twice."""
    world = World(tmp_path)
    collectors = load_collectors([content.shipped("collectors")])
    source = Source("app", "sshd", world.source.paths, timezone="UTC")
    append(world.log, "".join(SYSLOG.format(n % 60, n) for n in range(300)))
    world.once(source, collectors=collectors)
    before = {e["event.original"]: e["@timestamp"] for e in world.events()}
    journal = world.state / JOURNAL
    first = journal.read_bytes().split(b"\n")[0]
    journal.write_bytes(first + b"\n")  # as it was before the store had acknowledged
    world.clock = lambda: datetime.now(UTC) + timedelta(days=2)
    elsewhere = replace(source, timezone="Asia/Ho_Chi_Minh", retention="long", host="other")
    report = world.once(elsewhere, collectors=collectors)
    assert (report.counts.stored, report.counts.duplicate) == (0, 300)
    assert {e["event.original"]: e["@timestamp"] for e in world.events()} == before


def test_a_new_zone_counts_for_what_comes_later(tmp_path: Path) -> None:
    """Where everything before was acknowledged, new settings hold from there on."""
    world = World(tmp_path, patterns=("app.log",))
    append(world.log, lines(0, 3))
    with world.following() as follower:
        follower.until(3)
        world.clock = lambda: datetime.now(UTC)
    world.source = replace(world.source, retention="long")
    with world.following() as follower:
        time.sleep(0.4)
        append(world.log, lines(3, 5))
        follower.until(5)
    assert [e["soc.retention"] for e in world.events()] == ["standard"] * 3 + ["long"] * 2


class TestCheckpoint:
    def test_torn_record(self, tmp_path: Path) -> None:
        """Half a record at the end is noticed and left out; nothing is lost or stored twice."""
        world = World(tmp_path)
        append(world.log, lines(0, 50))
        world.once()
        append(world.log, lines(50, 60))
        world.once()
        journal = world.state / JOURNAL
        journal.write_bytes(journal.read_bytes()[:-25])
        world.once()
        assert any("torn" in note for note in world.notes)
        append(world.log, lines(60, 70))
        world.once()
        assert world.numbers() == list(range(70))

    def test_damaged_record(self, tmp_path: Path) -> None:
        """A flipped byte in a record is noticed; the other records hold."""
        world = World(tmp_path)
        append(world.log, lines(0, 50))
        world.once()
        append(world.log, lines(50, 60))
        world.once()
        journal = world.state / JOURNAL
        data = bytearray(journal.read_bytes())
        data[-40] ^= 1
        journal.write_bytes(data)
        world.once()
        assert any("damaged" in note for note in world.notes)
        assert world.numbers() == list(range(60))

    @pytest.mark.parametrize("rubbish", [b"\0" * 4096, b"not json\n", os.urandom(500) + b"\n"])
    def test_wholly_damaged(self, tmp_path: Path, rubbish: bytes) -> None:
        """When nothing of it can be read, the run says so and how to go on."""
        from soc.errors import SocError

        world = World(tmp_path)
        append(world.log, lines(0, 5))
        world.once()
        (world.state / JOURNAL).write_bytes(rubbish)
        with pytest.raises(SocError, match="damaged"):
            world.once()

    def test_the_store_was_lost(self, tmp_path: Path) -> None:
        """A store that does not know the state gets everything again, under the same ids."""
        world = World(tmp_path)
        append(world.log, lines(0, 20))
        world.once()
        with world.open() as store:
            before = {stored.id for stored in store.search()}
        shutil.rmtree(world.root / "store")
        world.once()
        with world.open() as store:
            assert {stored.id for stored in store.search()} == before
        assert any("anew" in note for note in world.notes)

    def test_two_machines_from_one_image(self, tmp_path: Path) -> None:
        """Generations are drawn at random: the same file on two machines is two lives in one store."""
        worlds = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            world = World(tmp_path / name)
            append(world.log, lines(0, 5))
            worlds.append(world)
        first, second = worlds
        first.once()
        shutil.rmtree(second.root / "store", ignore_errors=True)
        (second.root / "store").symlink_to(first.root / "store")
        second.once()
        assert first.numbers() == sorted([*range(5), *range(5)])


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own; skips where this user may not mount one."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
def test_the_disk_of_the_store_is_full(tmp_path: Path) -> None:
    """A full disk is said, nothing is lost, and it goes on when there is room again."""
    world = World(tmp_path)
    append(world.log, "".join(line(n, " " + "x" * 2000) for n in range(4000)))
    with small_disk(tmp_path / "store", "6m") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 3_000_000)
        process = world.start("--every", "50ms")
        time.sleep(4)
        assert process.poll() is None
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and len(world.numbers()) < 4000:
            time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
        assert world.numbers() == list(range(4000))
        assert b"full" in err
        assert b"Traceback" not in err
        assert b"going on" in err


@pytest.mark.slow
def test_the_disk_of_the_state_is_full(tmp_path: Path) -> None:
    """Without room for the checkpoint it waits and says so; with room again everything is there once."""
    world = World(tmp_path)
    append(world.log, lines(0, 3000))
    with small_disk(tmp_path / "state", "64k") as disk:
        with Checkpoint.open(world.state):
            pass
        ballast = disk / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 1024)
        process = world.start("--every", "50ms")
        time.sleep(3)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
        assert b"space" in err
        assert b"Traceback" not in err
        ballast.unlink()
        world.once()
        assert world.numbers() == list(range(3000))


def test_the_store_cannot_be_made(tmp_path: Path) -> None:
    """A store that is not there is an error with its place, no traceback, and no position moves."""
    world = World(tmp_path)
    append(world.log, lines(0, 5))
    (world.root / "store").write_text("a file in its place")
    process = world.start("--once")
    _, err = process.communicate(timeout=60)
    assert process.returncode in {1, 2}
    assert b"error:" in err
    assert b"Traceback" not in err
    (world.root / "store").unlink()
    world.once()
    assert world.numbers() == list(range(5))


@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path) -> None:
    """A file of 60 MB with two lines of 20 MB is read in less than 300 MB."""
    world = World(tmp_path)
    with world.log.open("w") as file:
        for n in range(60_000):
            file.write(line(n, " " + "y" * 250))
            if n in {100, 50_000}:
                file.write(line(1_000_000 + n, " " + "z" * 20_000_000))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run(
        [sys.executable, "-m", "soc", "collect", "run", "--once", "-q", "--config", world.write_config()],
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak < max(300_000, before + 1)
    assert len(world.numbers()) >= 60_000
