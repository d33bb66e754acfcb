"""A copy that a rotation makes is told from a file of its own, at whatever moment it is seen first."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from soc.collect.checkpoint import Checkpoint, Life
from soc.collect.inputs import files
from soc.collect.inputs.files import FileInput
from soc.collect.inputs.lines import Chunk
from soc.collect.inputs.tail import QUIET_SECONDS, Tail
from tests.collect.inputs.test_files import compress
from tests.collect.world import World, age, append, line, lines


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world whose source reads app.log and everything it is rotated to."""
    return World(tmp_path)


class Killed(BaseException):
    """Stands for SIGKILL at a chosen place: nothing after it happens."""


def killed_after_sending(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that dies when the store has the events and the checkpoint does not know."""
    save = Checkpoint.save

    def die(self: Checkpoint, lives: Sequence[Life]) -> None:
        if any(life.offset for life in lives):
            raise Killed
        save(self, lives)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", die)
        with pytest.raises(Killed):
            world.once()


def before_reading(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen once, between the look at the files and their reading."""
    read, done = FileInput.read, list[object]()

    def late(self: FileInput) -> Iterator[tuple[Tail, Chunk]]:
        if not done:
            done.append(happens())
        return read(self)

    monkeypatch.setattr(FileInput, "read", late)


class TestFirstSeen:
    def test_between_copy_and_truncation(self, world: World) -> None:
        """Copy and original, both new, are one life: it goes on in the copy when the original is cut."""
        append(world.log, lines(0, 50))
        shutil.copy2(world.log, world.logs / "app.log.1")
        world.once()
        assert world.numbers() == list(range(50))
        os.truncate(world.log, 0)
        append(world.log, lines(50, 60))
        world.once()
        assert world.numbers() == list(range(60))

    def test_while_the_copy_is_made(self, world: World) -> None:
        """The first half of a copy is not a file of its own either."""
        append(world.log, lines(0, 500))
        copy = world.logs / "app.log.1"
        copy.write_bytes(world.log.read_bytes()[:7000])
        world.once()
        shutil.copy2(world.log, copy)
        os.truncate(world.log, 0)
        append(world.log, lines(500, 510))
        world.once()
        assert world.numbers() == list(range(510))

    def test_between_compression_and_removal(self, world: World) -> None:
        """A file and its compressed form, both new, are one life."""
        first = world.logs / "app.log.1"
        append(first, lines(0, 5000))
        append(world.log, lines(5000, 5010))
        data = first.read_bytes()
        compress(first)
        first.write_bytes(data)
        world.once()
        assert world.numbers() == list(range(5010))
        first.unlink()
        world.once()
        assert world.numbers() == list(range(5010))

    def test_compression_that_takes_long(self, world: World) -> None:
        """Half of a compressed file beside its original waits, however long nothing is added to it."""
        first = world.logs / "app.log.1"
        append(first, lines(0, 5000))
        packed = first.with_name("app.log.1.gz")
        whole = gzip.compress(first.read_bytes())
        packed.write_bytes(whole[: len(whole) // 2])
        age(packed, QUIET_SECONDS * 2)
        world.once()
        packed.write_bytes(whole)
        first.unlink()
        world.once()
        assert world.numbers() == list(range(5000))

    def test_a_common_header_makes_no_copy(self, world: World) -> None:
        """Logs that begin alike, as those with a header do, are each read whole."""
        header = "\n" * 40
        append(world.log, header)
        append(world.logs / "app.log.1", header + lines(0, 10))
        append(world.logs / "app.log.2", header + lines(10, 30))
        compress(world.logs / "app.log.2")
        world.once()
        append(world.logs / "app.log.3", header + lines(30, 50))
        world.once()
        append(world.log, lines(50, 60))
        world.once()
        assert world.numbers() == list(range(60))


class TestBetweenLookAndReading:
    """What happens to a file after it was recognised, and before its first byte is read."""

    def test_truncated(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is read under a generation is what the checkpoint knows it by, also after a crash."""
        append(world.log, lines(0, 50))

        def rotate() -> None:
            shutil.copy2(world.log, world.logs / "app.log.1")
            os.truncate(world.log, 0)
            append(world.log, lines(50, 90))

        before_reading(monkeypatch, rotate)
        killed_after_sending(world, monkeypatch)
        world.once()
        world.once()
        assert world.numbers() == list(range(90))

    def test_truncated_after_a_crash(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same with a life that was begun by the process before."""
        append(world.log, lines(0, 50))
        killed_after_sending(world, monkeypatch)

        def rotate() -> None:
            shutil.copy2(world.log, world.logs / "app.log.1")
            os.truncate(world.log, 0)
            append(world.log, lines(50, 110))

        before_reading(monkeypatch, rotate)
        world.once()
        world.once()
        assert world.numbers() == list(range(110))

    def test_a_life_that_never_began_is_forgotten(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was seen and truncated before it was read claims no copy later."""
        append(world.log, lines(0, 50))

        def rotate() -> None:
            shutil.copy2(world.log, world.logs / "app.log.1")
            os.truncate(world.log, 0)

        before_reading(monkeypatch, rotate)
        world.once()
        append(world.log, lines(50, 60))
        world.once()
        compress(world.logs / "app.log.1")
        world.once()
        assert world.numbers() == list(range(60))


def test_truncated_in_the_first_half_line(world: World) -> None:
    """Half a line of a file that was truncated is not put together with another's rest."""
    append(world.log, line(1).rstrip())
    with world.following() as follower:
        time.sleep(0.5)
        os.truncate(world.log, 0)
        append(world.log, line(2222) + line(2223))
        follower.until(2)
    assert world.numbers() == [2222, 2223]


def test_truncated_in_a_later_half_line(world: World) -> None:
    """The same where lines were read before, in both of which the same stands."""
    append(world.log, lines(0, 3) + line(1).rstrip())
    with world.following() as follower:
        follower.until(3)
        os.truncate(world.log, 0)
        append(world.log, lines(0, 3) + line(2222) + line(2223))
        follower.until(5)
    assert 1222 not in world.numbers()
    assert {2222, 2223} <= set(world.numbers())


def test_truncated_and_the_same_length_and_end_again(world: World) -> None:
    """The beginning tells what a padded end does not."""
    padding = " " + "x" * 5000
    append(world.log, line(1, padding))
    with world.following() as follower:
        follower.until(1)
        shutil.copy2(world.log, world.logs / "app.log.1")
        os.truncate(world.log, 0)
        append(world.log, line(2, padding) + line(3))
        follower.until(3)
    assert world.numbers() == [1, 2, 3]


def test_a_short_head_is_made_longer_before_it_is_relied_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file first seen with a few bytes is known by its whole first lines when these are sent."""
    append(world.log, "2026-03-02T07:")
    before_reading(monkeypatch, lambda: append(world.log, lines(0, 50).removeprefix("2026-03-02T07:")))
    killed_after_sending(world, monkeypatch)
    shutil.copy2(world.log, world.logs / "app.log.1")
    os.truncate(world.log, 0)
    append(world.log, lines(50, 90))
    world.once()
    world.once()
    assert world.numbers() == list(range(90))


@pytest.mark.parametrize("known", [False, True])
def test_rotated_while_the_folder_is_listed(
    world: World, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """A file that is renamed past the listing is not taken up in its compressed form, and then again."""
    append(world.logs / "app.log.1", lines(0, 20))
    compress(world.logs / "app.log.1")
    world.once()
    append(world.log, lines(20, 50))
    if known:
        world.once()
        append(world.log, lines(50, 60))
    listed, done = files.expand, list[bool]()

    def rotate(pattern: str) -> list[Path]:
        names = listed(pattern)
        if not done:
            done.append(True)
            first, packed = world.logs / "app.log.1", world.logs / "app.log.1.gz"
            packed.rename(world.logs / "app.log.2.gz")
            # another file than the one that was read, as after a restored backup or a copy
            first.write_bytes(world.log.read_bytes())
            world.log.unlink()
            packed.write_bytes(gzip.compress(first.read_bytes()))
            append(world.log, lines(60, 70))
        return names

    monkeypatch.setattr(files, "expand", rotate)
    world.once()
    (world.logs / "app.log.1").unlink()
    world.once()
    assert world.numbers() == [*range(60 if known else 50), *range(60, 70)]
