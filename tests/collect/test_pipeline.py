"""What decides where an event is stored is fixed with its place in the file: a replay gives the same."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from soc.collect.checkpoint import JOURNAL
from tests.collect.world import World, append, lines

DAY = 86_400


def times(world: World) -> dict[str, tuple[str, int]]:
    """Time and shift of each event, by where it stands."""
    return {
        f"{e['soc.generation']} {e['soc.offset']}": (e["@timestamp"], e.get("soc.time_shift", 0))
        for e in world.events()
    }


def shifted(world: World, days: int) -> None:
    """Let the source's recorded times be shifted from now on."""
    world.source = replace(world.source, shift=days * DAY)


def test_every_event_of_a_recorded_log_is_shifted(tmp_path: Path) -> None:
    """From the first line on; lines without a time stay beside the one before them."""
    world = World(tmp_path)
    world.clock = lambda: datetime(2026, 3, 12, 12, tzinfo=UTC)
    shifted(world, 10)
    append(world.log, "no time at all\n" + lines(0, 2) + "nor here\n")
    world.once()
    first, *rest = sorted(times(world).values())
    assert [first, *rest] == [
        ("2026-03-12T07:00:00.000000Z", 10 * DAY),
        ("2026-03-12T07:00:01.000000Z", 10 * DAY),
        ("2026-03-12T07:00:01.000000Z", 10 * DAY),
        ("2026-03-12T12:00:00.000000Z", 10 * DAY),
    ]


def test_a_replay_keeps_the_shift_that_was(tmp_path: Path) -> None:
    """After a crash, with another shift configured, nothing is stored twice or elsewhere."""
    world = World(tmp_path)
    shifted(world, 3)
    append(world.log, lines(0, 50) + "no time\n" + lines(50, 60))
    world.once()
    before = times(world)
    journal = world.state / JOURNAL
    journal.write_bytes(journal.read_bytes().split(b"\n")[0] + b"\n")  # the store has it, this does not know
    shifted(world, 5)
    world.clock = lambda: datetime.now(UTC) + timedelta(days=2)
    counts = world.once().counts
    assert (counts.stored, counts.duplicate) == (0, 61)
    assert times(world) == before
    assert {shift for _, shift in before.values()} == {3 * DAY}


def test_reading_anew_keeps_each_epoch(tmp_path: Path) -> None:
    """A life of several settings, all of it read anew for a store that lost it, gives the same events."""
    world = World(tmp_path)
    for number, days in enumerate((0, 2, 7)):
        shifted(world, days)
        with world.following() as follower:
            time.sleep(0.4)
            append(world.log, lines(number * 5, number * 5 + 5))
            follower.until(number * 5 + 5)
    before = times(world)
    assert [shift for _, shift in before.values()].count(2 * DAY) == 5
    assert len({shift for _, shift in before.values()}) == 3
    for path in (world.root / "store").iterdir():
        path.unlink()
    world.once()
    assert times(world) == before
