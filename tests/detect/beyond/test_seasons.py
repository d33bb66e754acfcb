"""Spikes and flat lines: what stands out beside the same hour of earlier weeks, in whatever order events
come.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.detect.beyond.extensions import HOUR, Flat, Spike
from soc.detect.beyond.seasons import LOOK_BACK, WEEK, Seasons, _runs
from soc.detect.grouping import Hit, time_text
from soc.detect.sweep import Start, Sweeper
from tests.detect import world
from tests.detect.beyond.test_new_term import MemoryStore
from tests.detect.beyond.test_silence import MONDAY, Told

FIRST = MONDAY // HOUR
Happening = tuple[int, int]
"""Hour after Monday, and a number that tells events of one hour apart."""


def hit(hour: int, number: int, source: str = "a") -> Hit:
    """An event in an hour."""
    time = MONDAY + hour * HOUR + number * 1_000_000
    return Hit(world.rule("odd"), f"{source}-{hour}-{number}", {"source.ip": source, "n": number}, time)


def evaluator(store: Any, wanted: Spike | Flat) -> Seasons:
    """A fresh evaluator over what the store remembers."""
    made = Seasons(store, world.rule("odd"), wanted)
    made.begin()
    return made


def model(events: Sequence[Happening], wanted: Spike | Flat, now: int) -> set[tuple[int, int, int]]:
    """The plain way: runs of hours that stand out (first, last, count), among those still looked at.

    `now`: the hour of the watermark.
    """
    counts = Counter(hour for hour, _ in set(events))
    since = min(counts) + 1
    odd = []
    for hour in range(now - LOOK_BACK, now if isinstance(wanted, Flat) else now + 1):
        earlier = [hour - n * WEEK for n in range(1, wanted.weeks + 1) if hour - n * WEEK >= since]
        if len(earlier) < min(2, wanted.weeks):
            continue
        if wanted.odd(counts[hour], median(counts[h] for h in earlier)):
            odd.append(hour)
    return {(a, b, sum(counts[h] for h in range(a, b + 1))) for a, b in _runs(odd)}


def told(store: Any, wanted: Spike | Flat, now: int, before: Told | None = None) -> Told:
    """What is told when the watermark is half past an hour."""
    out = before or Told()
    evaluator(store, wanted).finish(MONDAY + now * HOUR + HOUR // 2, out)  # type: ignore[arg-type] # it has what is called
    return out


def runs(found: Told) -> set[tuple[int, int, int]]:
    """First and last hour and count of each alert."""
    return {
        (one.first // HOUR - FIRST, one.last // HOUR - FIRST, one.facts["count"])
        for one in found.alerts.values()
    }


events = st.lists(
    st.tuples(st.tuples(st.integers(0, 4), st.integers(0, 4)), st.integers(0, 7)), min_size=1, max_size=60
).map(lambda rows: [(week * WEEK + hour, number) for (week, hour), number in rows])
kinds = st.one_of(
    st.builds(Spike, weeks=st.integers(1, 4), factor=st.sampled_from([1.5, 3.0]), at_least=st.integers(1, 4)),
    st.builds(Flat, weeks=st.integers(1, 4), share=st.sampled_from([0.3, 0.9]), at_least=st.integers(1, 4)),
)


@given(events, kinds, st.lists(st.integers(0, 12), max_size=6), st.randoms())
def test_any_order_any_batches_twice(
    rows: list[Happening], wanted: Spike | Flat, batches: list[int], draw: random.Random
) -> None:
    """Shuffled, duplicated, in any batches, each of them twice: what the plain model says."""
    store = MemoryStore()
    shuffled = draw.sample(rows, len(rows))
    begin = 0
    for size in [*batches, len(rows)]:
        for _ in range(2):
            evaluator(store, wanted).take([hit(*row) for row in shuffled[begin : begin + size]], replay=False)
        begin += size
    found = told(store, wanted, 4 * WEEK + 6)
    found = told(store, wanted, 4 * WEEK + 6, found)
    assert runs(found) == model(rows, wanted, 4 * WEEK + 6)


@given(events, kinds, st.randoms())
def test_looked_at_all_the_time(rows: list[Happening], wanted: Spike | Flat, draw: random.Random) -> None:
    """Looked at after each batch of a shuffled stream: alerts that late events make untrue are withdrawn."""
    store, found = MemoryStore(), Told()
    shuffled = draw.sample(rows, len(rows))
    for begin in range(0, len(rows), 10):
        evaluator(store, wanted).take([hit(*row) for row in shuffled[begin : begin + 10]], replay=False)
        told(store, wanted, 4 * WEEK + 6, found)
    assert runs(found) == model(rows, wanted, 4 * WEEK + 6)


def usual(weeks: int, count: int) -> list[Hit]:
    """So many events in each hour of weeks, and in the hour before."""
    return [hit(hour, n) for hour in range(-1, weeks * WEEK) for n in range(count)]


def test_a_spike_is_told_within_its_hour() -> None:
    """Ten times as many as in earlier weeks: told at once, with what was usual; one alert while it goes
    on.
    """
    store, wanted = MemoryStore(), Spike(weeks=2, factor=3, at_least=20)
    now = 2 * WEEK + 10
    evaluator(store, wanted).take(usual(2, 3), replay=False)
    evaluator(store, wanted).take([hit(now, n) for n in range(30)], replay=False)
    found = told(store, wanted, now)
    assert runs(found) == {(now, now, 30)}
    (one,) = found.alerts.values()
    assert "30 events from 2026-03-16T10:00 to 2026-03-16T11:00; in the same hours of the 2 weeks" in one.text
    assert one.text.endswith(": 3 (median)")
    assert len(one.events) == 5
    evaluator(store, wanted).take([hit(now + 1, n) for n in range(40)], replay=False)
    found = told(store, wanted, now + 1, found)
    assert runs(found) == {(now, now + 1, 70)}


def test_a_flat_line_is_told_when_the_hour_is_over() -> None:
    """Nothing where there always was something: not within the hour, then once, for as long as it goes on."""
    store, wanted = MemoryStore(), Flat(weeks=2, share=0.1, at_least=3)
    evaluator(store, wanted).take(usual(2, 5), replay=False)
    end = 2 * WEEK
    assert runs(told(store, wanted, end)) == set()
    found = told(store, wanted, end + 1)
    assert runs(found) == {(end, end, 0)}
    for hour in range(2, 12):
        found = told(store, wanted, end + hour, found)
    assert runs(found) == {(end, end + 10, 0)}
    assert len(found.alerts) == 1


def test_nothing_is_said_before_two_weeks_are_known() -> None:
    """A rule that is new, and a group that is new, have nothing to be compared with."""
    store, wanted = MemoryStore(), Spike(weeks=4, factor=3, at_least=5, per=("source.ip",))
    evaluator(store, wanted).take(usual(1, 1), replay=False)
    evaluator(store, wanted).take([hit(WEEK + 10, n) for n in range(30)], replay=False)
    assert runs(told(store, wanted, WEEK + 10)) == set()


def test_a_field_can_be_added_up() -> None:
    """Its numbers, in whatever form; what is no number adds nothing."""
    store, wanted = MemoryStore(), Spike(weeks=1, factor=2, at_least=100, sum="bytes")
    rows = [hit(hour, 0)._replace(event={"bytes": "10"}) for hour in range(WEEK)]
    odd = [hit(WEEK + 5, n)._replace(event={"bytes": [60, "x", "nan", 1.5]}) for n in range(2)]
    evaluator(store, wanted).take([*rows, *odd], replay=False)
    assert runs(told(store, wanted, WEEK + 5)) == {(WEEK + 5, WEEK + 5, 123)}


def test_groups_are_bounded() -> None:
    """Beyond the bound further groups are not counted, and that is said."""
    store, wanted = MemoryStore(), Spike(per=("source.ip",), most=8)
    found = evaluator(store, wanted)
    found.take([hit(0, n, f"s{n}") for n in range(100)], replay=False)
    (note,) = found.notes()
    assert "hits of further groups were not counted: 8 are" in note


def test_read_again_on_purpose() -> None:
    """Events that are read again long after, when they are no longer remembered one by one, are not counted
    twice.
    """
    from soc.detect.beyond import memory

    store, wanted = MemoryStore(), Spike(weeks=1, factor=2, at_least=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory.Marks.__init__, "__defaults__", ("", 10))
        first = evaluator(store, wanted)
        first.take(usual(1, 3), replay=False)
        again = evaluator(store, wanted)
        again.take(usual(1, 3), replay=True)
        assert "taken as counted before" in again.notes()[0]
    counts = [g["counts"] for d in store.documents.values() for g in d.body["groups"].values()]
    assert set(counts[0].values()) == {3}


def test_through_a_sweep(tmp_path: Path) -> None:
    """Failed sign-ins three weeks long, then many: one alert; the ledger counts it as one."""
    odd = world.rule(
        "odd", attributes={"soc.spike": {"weeks": 2, "factor": 3, "at_least": 5, "per": ["host.name"]}}
    )
    with world.open_at(tmp_path / "store") as store:
        world.append(store, {f"u{n}": world.event(n * 3600) for n in range(-1, 2 * WEEK)})
        world.append(store, {f"s{n}": world.event(2 * WEEK * 3600 + n) for n in range(20)})
        clock = world.START + timedelta(weeks=2, minutes=5)
        found = Sweeper(store, [odd], clock=lambda: clock, keep=False).run(Start())
        assert (found.hits, found.by_rule["odd"]) == (1, [1, 0])
        (alert,) = store.find("alert")
        assert alert.body["entity"] == "web01"
        assert alert.body["count"] == 20
        assert alert.body["text"].startswith("20 events from 2026-03-16T07:00")
        assert time_text(0).startswith("1970")
        again = Sweeper(store, [odd], clock=lambda: clock, keep=False).run(Start())
        assert again.hits == 0
        assert len(list(store.find("alert"))) == 1


def test_two_sweeps_with_positions_of_their_own(tmp_path: Path) -> None:
    """Each of them sees every event: both count it once, and what they tell of is one alert."""
    setting = {"weeks": 1, "factor": 2, "at_least": 5}
    odd = world.rule("odd", attributes={"soc.spike": setting})
    with world.open_at(tmp_path / "store") as store:
        world.append(store, {f"u{n}": world.event(n * 3600) for n in range(-1, WEEK)})
        world.append(store, {f"s{n}": world.event(WEEK * 3600 + n) for n in range(20)})
        clock = world.START + timedelta(weeks=1, minutes=5)
        for name in ("sweep", "sweep-other"):
            found = Sweeper(store, [odd], name=name, clock=lambda: clock, keep=False).run(Start())
            assert found.hits == 1
        assert [alert.body["count"] for alert in store.find("alert")] == [20]
        counts = [g["counts"] for d in store.find("beyond") for g in d.body["groups"].values()]
        assert len(counts) == 2
        assert counts[0] == counts[1]
