"""Silence of a source: one alert for each, from when it began, whatever the order in which events came."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.config import StoreSettings
from soc.detect.beyond.extensions import DAY, HOUR, MINUTE, Silence
from soc.detect.beyond.silence import SETTLED, Silences
from soc.detect.correlate.alerts import Raised
from soc.detect.grouping import Hit, time_text
from soc.detect.sweep import Start, Sweeper
from soc.respond import alerts
from soc.store import open_store
from soc.store.contract import Store
from tests.detect import world
from tests.detect.beyond.test_new_term import MemoryStore

MONDAY = 1_772_409_600_000_000
"""2026-03-02T00:00:00Z in microseconds."""


class Told:
    """What an evaluator told, as alerts would have it: the latest by when a silence began."""

    def __init__(self) -> None:
        self.alerts: dict[tuple[str, int], Raised] = {}
        self.withdrawn: list[str] = []

    def raised(self, found: Sequence[Raised]) -> None:
        """Take in what is raised; a later revision replaces an earlier one."""
        for one in found:
            key = (",".join(one.group.values()), one.first)
            if key not in self.alerts or self.alerts[key].revision <= one.revision:
                self.alerts[key] = one

    def withdraw(self, full: str, why: str) -> None:
        """Forget what does not hold."""
        assert why
        for key in [k for k, one in self.alerts.items() if one.full == full]:
            del self.alerts[key]
            self.withdrawn.append(full)

    def silences(self) -> set[tuple[str, int, int | None]]:
        """Who was silent from when until when (None: still)."""
        return {
            (who, since, one.last if one.revision == 2 else None) for (who, since), one in self.alerts.items()
        }


def rule(**setting: Any) -> Any:
    """A rule with the extension."""
    return world.rule("quiet", attributes={"soc.silence": setting})


def hit(minute: float, source: str = "a", of: Any = None) -> Hit:
    """Something came so many minutes after Monday."""
    time = MONDAY + round(minute * MINUTE)
    event = {"soc.source": source, "@timestamp": time_text(time), "event.ingested": time_text(time)}
    return Hit(of or rule(), f"{source}-{minute}", event, time)


def evaluator(store: Any, wanted: Silence) -> Silences:
    """A fresh evaluator over what the store remembers."""
    made = Silences(store, rule(), wanted)
    made.begin()
    return made


def model(minutes: Sequence[int], limit: int, until: int) -> set[tuple[int, int | None]]:
    """The plain way: each gap longer than the limit."""
    ordered = sorted(set(minutes))
    out: set[tuple[int, int | None]] = {(a, b) for a, b in pairwise(ordered) if b - a > limit}
    return out | ({(ordered[-1], None)} if until - ordered[-1] > limit else set())


def at(minute: int) -> int:
    """Microseconds of a minute after Monday."""
    return MONDAY + minute * MINUTE


arrivals = st.lists(st.integers(0, 300), min_size=1, max_size=30)


@given(arrivals, st.integers(1, 60), st.lists(st.integers(0, 8), max_size=6), st.randoms())
def test_any_order_any_batches_twice(
    minutes: list[int], limit: int, batches: list[int], draw: random.Random
) -> None:
    """Shuffled, in any batches, each of them twice: the silences of the plain model, one alert each."""
    wanted = Silence(limit=limit * MINUTE, per=("soc.source",))
    store, told = MemoryStore(), Told()
    shuffled = draw.sample(minutes, len(minutes))
    begin = 0
    for size in [*batches, len(minutes)]:
        for _ in range(2):
            evaluator(store, wanted).take([hit(m) for m in shuffled[begin : begin + size]], replay=False)
        begin += size
    for _ in range(2):
        evaluator(store, wanted).finish(at(320), told)  # type: ignore[arg-type] # it has what is called
    expected = {("a", at(a), None if b is None else at(b)) for a, b in model(minutes, limit, 320)}
    assert told.silences() == expected
    assert not told.withdrawn


@given(arrivals, st.integers(2, 60))
def test_told_while_it_happens(minutes: list[int], limit: int) -> None:
    """Looked at every few minutes while events come: the same silences in the end, told in time, counted
    once.
    """
    wanted = Silence(limit=limit * MINUTE, per=("soc.source",))
    store, told = MemoryStore(), Told()
    counted = 0
    ordered = sorted(minutes)
    for now in range(0, 500, 7):
        found = evaluator(store, wanted)
        found.take([hit(m) for m in ordered if now - 7 < m <= now], replay=False)
        counted += found.finish(at(now), told)  # type: ignore[arg-type] # it has what is called
        known = [m for m in ordered if m <= now]
        if known and now - known[-1] > limit:
            assert ("a", at(known[-1]), None) in told.silences(), "not told in time"
    expected = {("a", at(a), None if b is None else at(b)) for a, b in model(minutes, limit, 497)}
    assert told.silences() == expected
    assert counted == len(expected)


def test_a_gap_that_is_filled_late_is_withdrawn() -> None:
    """Events of the time of a silence that came late, through another sweep: there was none."""
    wanted = Silence(limit=10 * MINUTE, per=("soc.source",))
    store, told = MemoryStore(), Told()
    found = evaluator(store, wanted)
    found.take([hit(0), hit(5), hit(40)], replay=False)
    found.finish(at(41), told)  # type: ignore[arg-type] # it has what is called
    assert told.silences() == {("a", at(5), at(40))}
    found = evaluator(store, wanted)
    found.take([hit(m) for m in (14, 23, 32)], replay=False)
    found.finish(at(41), told)  # type: ignore[arg-type] # it has what is called
    assert told.silences() == set()
    assert len(told.withdrawn) == 1


def week(source: str, weeks: int, gap: int, hours: range, days: range) -> list[Hit]:
    """Something every `gap` minutes in the hours of some days of weeks."""
    return [
        hit(((n * 7 + d) * 24 + h) * 60 + m, source)
        for n in range(weeks)
        for d in days
        for h in hours
        for m in range(0, 60, gap)
    ]


def learned(hits: list[Hit], watermark: int) -> Silences:
    """An evaluator that has seen so much, in daily sweeps."""
    found = Silences(MemoryStore(), rule(), Silence(learned=True, per=("soc.source",)))  # type: ignore[arg-type] # as much of a store as it needs
    found.begin()
    end = MONDAY
    while end < watermark:
        start, end = end, end + DAY
        found.take([h for h in hits if start <= h.time < end], replay=False)
        found.finish(min(end, watermark), Told())  # type: ignore[arg-type] # it has what is called
    return found


def asked(found: Silences, watermark: int) -> set[tuple[str, int, int | None]]:
    """The silences at a moment."""
    told = Told()
    found.finish(watermark, told)  # type: ignore[arg-type] # it has what is called
    return told.silences()


def test_the_usual_cadence_is_learned() -> None:
    """Every ten minutes for a week: twenty minutes are no silence, half an hour is one, and it says what is
    usual.
    """
    end = at(7 * 24 * 60 + 60)
    hits = [hit(m) for m in range(0, 7 * 24 * 60 + 61, 10)]
    found = learned(hits, end)
    assert asked(found, end + 15 * MINUTE) == set()
    told = Told()
    found.finish(end + 40 * MINUTE, told)  # type: ignore[arg-type] # it has what is called
    ((who, since),) = told.alerts
    assert (who, since) == ("a", end)
    assert "usually no gap is longer than" in told.alerts[who, since].text


def test_nothing_is_said_before_it_is_learned() -> None:
    """A source that is new, or of which little is known, has no usual cadence yet."""
    found = learned([hit(m) for m in range(0, 3 * 24 * 60, 10)], at(3 * 24 * 60))
    assert asked(found, at(5 * 24 * 60)) == set()
    found = learned([hit(d * 24 * 60) for d in range(10)], at(10 * 24 * 60))
    assert asked(found, at(12 * 24 * 60)) == set()


def test_nights_and_weekends_are_no_silence() -> None:
    """Office hours for three weeks: the weekend is quiet, a quiet Monday morning is not."""
    hits = week("a", 3, 5, range(8, 18), range(5))
    found = learned(hits, at(3 * 7 * 24 * 60 - 60))
    sunday, monday = 3 * 7 * 24 * 60 - 60, 3 * 7 * 24 * 60
    assert asked(found, at(sunday)) == set()
    assert asked(found, at(monday + 8 * 60 + 3)) == set()
    assert [s[1] for s in asked(found, at(monday + 10 * 60))] == [hits[-1].time]


def test_sources_apart(store: Store) -> None:
    """Each source has its own; beyond the bound new ones are not watched, which is said."""
    found = evaluator(store, Silence(limit=HOUR, per=("soc.source",), most=16))
    found.take([hit(0, f"s{n}") for n in range(100)], replay=False)
    (note,) = found.notes()
    assert "sources are not watched: more than 16" in note
    assert 8 <= len(asked(found, at(120))) <= 16


def test_a_source_that_is_gone_for_good(store: Store) -> None:
    """Silent for a month: no longer watched, and that is said once."""
    found = evaluator(store, Silence(limit=HOUR, per=("soc.source",), forget=30 * DAY))
    found.take([hit(0)], replay=False)
    assert asked(found, at(31 * 24 * 60)) == set()
    assert found.notes() == ["a: silent for 30d, no longer watched"]
    assert asked(found, at(32 * 24 * 60)) == set()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with open_store(StoreSettings(str(tmp_path / "store"))) as opened:
        yield opened


def test_through_sweeps(store: Store) -> None:
    """One alert for a silence: it says since when, then that it ended; it stays open, and a repeat adds
    nothing.
    """
    quiet = rule(**{"for": "15m", "per": ["soc.source"]})
    clock = [world.START]

    def sweep(minute: int, *events: int) -> Any:
        clock[0] = world.START + timedelta(minutes=minute)
        for m in events:
            when = time_text(round(world.START.timestamp() * 1e6) + m * MINUTE)
            more: dict[str, Any] = {"soc__source": "portal", "event__ingested": when}
            world.append(store, {f"e{m}": world.event(m * 60, **more)})
        return Sweeper(store, [quiet], clock=lambda: clock[0], keep=False).run(
            Start() if not minute else None
        )

    sweep(0)
    assert sweep(10, 1, 5, 9).hits == 0
    assert sweep(25).hits == 1
    (alert,) = store.find("alert")
    assert alert.body["entity"] == "portal"
    assert alert.body["text"].startswith(
        "nothing has come since 2026-03-02T07:09:00.000000Z; longer than the 15m"
    )
    (carried,) = store.find("alert_events")
    assert [s["id"] for s in carried.body["samples"]] == ["e9"], "the last event before it"
    assert sweep(40).hits == 0
    assert sweep(50, 45).hits == 0
    (alert,) = store.find("alert")
    assert "to 2026-03-02T07:45:00.000000Z (36 min), then the source spoke again" in alert.body["text"]
    (shown,) = alerts.list_alerts(store)
    assert shown.status == "open"
    (carried,) = store.find("alert_events")
    assert [s["id"] for s in carried.body["samples"]] == ["e9"]
    sweep(200, 100)
    assert len(list(store.find("alert"))) == 3
    assert SETTLED == HOUR


def test_a_rule_in_shadow_writes_no_alert(store: Store) -> None:
    """Its silences are counted and nothing else."""
    from dataclasses import replace

    quiet = replace(rule(**{"for": "15m"}), mode="shadow")
    world.append(store, {"e": world.event(0, event__ingested="2026-03-02T07:00:00.000000Z")})
    late = datetime(2026, 3, 2, 9, tzinfo=UTC)
    found = Sweeper(store, [quiet], clock=lambda: late, keep=False).run(Start())
    assert found.hits == 1
    assert list(store.find("alert")) == []


def test_a_source_of_another_year_is_watched_all_the_same() -> None:
    """Events that say that they came in the next century do not put the alarm off until then."""
    store, wanted = MemoryStore(), Silence(limit=HOUR, per=("soc.source",))
    later = time_text(MONDAY + 100 * 365 * DAY)
    strange = hit(0)._replace(event={"soc.source": "a", "event.ingested": later})
    evaluator(store, wanted).take([strange], replay=False)
    now = round(datetime.now(UTC).timestamp() * 1e6)
    assert len(asked(evaluator(store, wanted), now + 3 * HOUR)) == 1
