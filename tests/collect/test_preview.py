"""What a run would read, said without reading it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from soc.collect.checkpoint import Checkpoint
from soc.collect.preview import preview
from tests.collect.world import World, age, append, lines


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def due(world: World) -> dict[str, tuple[str, int]]:
    """State and bytes to read of each file."""
    found = preview([world.source], Checkpoint.look(world.state))
    return {Path(one.path).name: (one.state, one.row["bytes"]) for one in found}


def test_new_and_going_on(world: World) -> None:
    """Nothing read yet, read to the end, and written to again."""
    append(world.log, lines(0, 5))
    assert due(world) == {"app.log": ("new", world.log.stat().st_size)}
    world.once()
    assert due(world) == {"app.log": ("done", 0)}
    append(world.log, "more\n")
    assert due(world) == {"app.log": ("goes on", 5)}


def test_after_a_compressed_rotation_nothing_waits(world: World) -> None:
    """What was read before it was compressed or copied is known, before and after the next run."""
    append(world.log, lines(0, 50))
    world.once()
    old = world.log.rename(world.logs / "app.log.1")
    append(world.log, lines(50, 51))
    world.once()
    copy = world.logs / "app.log.9"
    copy.write_bytes(old.read_bytes())
    age(copy)
    for _ in range(2):
        assert {bytes_ for _, bytes_ in due(world).values()} == {0}
        world.once()
    copy.unlink()
    packed = world.logs / "app.log.1.gz"
    packed.write_bytes(gzip.compress(old.read_bytes()))
    old.unlink()
    age(packed)
    for _ in range(2):
        assert {bytes_ for _, bytes_ in due(world).values()} == {0}
        world.once()
    assert world.numbers() == list(range(51))


def test_what_was_added_before_compression_waits(world: World) -> None:
    """A compressed file that holds more than was read is not done."""
    append(world.log, lines(0, 50))
    world.once()
    packed = world.logs / "app.log.1.gz"
    packed.write_bytes(gzip.compress(world.log.read_bytes() + lines(50, 55).encode()))
    world.log.unlink()
    age(packed)
    assert due(world)["app.log.1.gz"] == ("goes on", packed.stat().st_size)
    world.once()
    assert due(world)["app.log.1.gz"] == ("done", 0)


def test_looking_changes_nothing(world: World) -> None:
    """The state on disk is the same after it."""
    append(world.log, lines(0, 5))
    world.once()
    before = {path.name: path.read_bytes() for path in world.state.iterdir() if path.is_file()}
    append(world.logs / "app.log.2", lines(5, 10))
    due(world)
    assert {path.name: path.read_bytes() for path in world.state.iterdir() if path.is_file()} == before
