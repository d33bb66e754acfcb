"""A group tells the same bursts as the plain model, whatever the order in which hits come."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.detect.correlate import hits as pages
from soc.detect.correlate import state as states
from soc.detect.correlate.definition import (
    NUMERIC,
    SCALE,
    Definition,
    Expression,
    Item,
    Kind,
    Limit,
    Reference,
    Watch,
)
from soc.detect.correlate.state import FOREVER, GroupState
from tests.detect.correlate import model
from tests.detect.world import rule

NEVER_LATE = 1 << 50


def definition(kind: Kind, *limits: tuple[str, float], rules: int = 1, **more: Any) -> Definition:
    """A correlation of `rules` rules with a timespan of 10."""
    made = Definition(
        kind=kind,
        references=tuple(Reference(rule(f"r{n}")) for n in range(rules)),
        timespan=10,
        limits=tuple(Limit(op, Fraction(number)) for op, number in limits),
        lateness=NEVER_LATE,
        lookback=60,
    )
    return replace(made, **more)


def refers(number: int) -> Expression:
    """A rule in an extended condition."""
    return Expression("rule", rule=number)


def both(*parts: Expression) -> Expression:
    """All of them."""
    return Expression("and", parts)


def absent(part: Expression) -> Expression:
    """Not."""
    return Expression("not", (part,))


DEFINITIONS: dict[str, Definition] = {
    "event_count gte": definition(Kind.EVENT_COUNT, ("gte", 3), rules=2),
    "event_count gt": definition(Kind.EVENT_COUNT, ("gt", 1)),
    "event_count range": definition(Kind.EVENT_COUNT, ("gte", 2), ("lte", 3)),
    "event_count eq": definition(Kind.EVENT_COUNT, ("eq", 2)),
    "event_count neq": definition(Kind.EVENT_COUNT, ("gte", 1), ("neq", 3)),
    "event_count eq 0": definition(Kind.EVENT_COUNT, ("eq", 0)),
    "event_count lt": definition(Kind.EVENT_COUNT, ("lt", 2)),
    "event_count lte and neq": definition(Kind.EVENT_COUNT, ("lte", 2), ("neq", 1)),
    "value_count gte": definition(Kind.VALUE_COUNT, ("gte", 3)),
    "value_count eq": definition(Kind.VALUE_COUNT, ("eq", 2)),
    "value_count lt": definition(Kind.VALUE_COUNT, ("lt", 2)),
    "temporal": definition(Kind.TEMPORAL, ("gte", 3), rules=3),
    "temporal two of three": definition(Kind.TEMPORAL, ("gte", 2), rules=3),
    "temporal and not": definition(Kind.TEMPORAL, rules=2, expression=both(refers(0), absent(refers(1)))),
    "temporal not": definition(Kind.TEMPORAL, rules=2, expression=absent(both(refers(0), refers(1)))),
    "ordered": definition(Kind.TEMPORAL_ORDERED, ("gte", 3), rules=3),
    "ordered two of three": definition(Kind.TEMPORAL_ORDERED, ("gte", 2), rules=3),
    "ordered exactly": definition(Kind.TEMPORAL_ORDERED, ("eq", 2), rules=3),
    "ordered expression": definition(
        Kind.TEMPORAL_ORDERED,
        rules=3,
        expression=both(refers(1), Expression("or", (refers(2), refers(0)))),
    ),
    "value_sum": definition(Kind.VALUE_SUM, ("gte", 4)),
    "value_sum range": definition(Kind.VALUE_SUM, ("gt", 1), ("lt", 4)),
    "value_sum lt": definition(Kind.VALUE_SUM, ("lt", 1)),
    "value_avg": definition(Kind.VALUE_AVG, ("gt", 1.5)),
    "value_avg lt": definition(Kind.VALUE_AVG, ("lt", 1.5)),
    "value_median": definition(Kind.VALUE_MEDIAN, ("gte", 1.5)),
    "value_percentile": definition(Kind.VALUE_PERCENTILE, ("gte", 2.5), percentile=Fraction(90)),
    "value_avg range": definition(Kind.VALUE_AVG, ("gt", 1), ("lt", 2)),
}


def items(chosen: Definition) -> st.SearchStrategy[list[Item]]:
    """Hits of a group: some at the same moment, some of several rules, some without a value."""
    numeric = chosen.kind in NUMERIC
    value: st.SearchStrategy[Any]
    value = st.integers(-1, 4).map(lambda n: n * SCALE) if numeric else st.sampled_from("abcd")
    values = st.lists(value, max_size=2, unique=True).map(sorted).map(tuple)
    one = st.tuples(st.integers(100, 160), st.integers(1, 2 ** len(chosen.references) - 1), values)
    return st.lists(one, max_size=14).map(named)


def named(rows: list[tuple[int, int, tuple[Any, ...]]]) -> list[Item]:
    """Each row as an event of its own."""
    return [Item(time, f"e{number}", refs, values) for number, (time, refs, values) in enumerate(rows)]


def bursts_of(state: GroupState) -> list[model.Told]:
    """What a group tells, as the model tells it."""
    out = []
    for burst in state.bursts:
        facts = state.facts(burst)
        out.append(model.Told(burst.first, burst.last, facts.count, tuple(facts.parts)))
    return out


def expected(chosen: Definition, found: list[Item], watermark: int) -> list[model.Told]:
    """What the model tells; silence that still lasts is shown as its first window."""
    told = model.bursts(chosen, found, watermark)
    if chosen.watch is Watch.ABSENT and told:
        latest = max(item.time for item in found)
        last = told[-1]
        if last.last == watermark and watermark < latest + chosen.lookback:
            until = last.first + chosen.timespan
            told[-1] = model.told(chosen, model.distinct(found), last.first, until)
    return told


@pytest.mark.parametrize("name", DEFINITIONS)
@settings(max_examples=60)
@given(data=st.data())
def test_the_order_of_hits_does_not_matter(name: str, data: st.DataObject) -> None:
    """Late, shuffled and repeated hits, in batches, with the state written and read in between."""
    chosen = DEFINITIONS[name]
    found = data.draw(items(chosen))
    repeated = data.draw(st.lists(st.sampled_from(found), max_size=5)) if found else []
    arrived = data.draw(st.permutations([*found, *repeated]))
    # some rules are found true of an event later than others
    arrived = [part for item in arrived for part in data.draw(st.sampled_from(split(item)))]
    state = GroupState("k", chosen, {})
    while arrived:
        size = data.draw(st.integers(1, 6))
        batch, arrived = arrived[:size], arrived[size:]
        state.take([(item, True) for item in batch], FOREVER)
        if data.draw(st.booleans()):
            state.look_back(data.draw(st.integers(90, 250)))
        if data.draw(st.booleans()):
            state = again(state)
    watermark = max(state.watermark, data.draw(st.integers(150, 300)))
    state.look_back(watermark)
    assert bursts_of(state) == expected(chosen, found, max(watermark, state.watermark))
    seeds = [burst.seed for burst in state.bursts]
    assert len(set(seeds)) == len(seeds)
    gone = {seed for seed, *_ in [*state.merged, *state.withdrawn]}
    assert not gone & set(seeds), "an alert is closed although its burst holds"


def split(item: Item) -> list[list[Item]]:
    """Ways in which the hits of one event may come: together, or rule by rule."""
    single = [item._replace(refs=1 << n) for n in range(3) if item.refs >> n & 1]
    return [[item], single]


def again(state: GroupState) -> GroupState:
    """The state as another process reads it."""
    body = json.loads(json.dumps(state.body()))
    written = state.kept.written
    return GroupState.load("k", state.definition, body, lambda page: written[page])


@settings(max_examples=60)
@given(data=st.data())
def test_pages_change_nothing(data: st.DataObject, monkeypatch_page: None) -> None:
    """A group with more hits than fit into its document tells the same."""
    del monkeypatch_page
    chosen = DEFINITIONS[data.draw(st.sampled_from(sorted(DEFINITIONS)))]
    found = data.draw(items(chosen))
    store: dict[str, list[Item]] = {}
    state = GroupState("k", chosen, {}, store.__getitem__)
    for item in data.draw(st.permutations(found)):
        state.take([(item, True)], FOREVER)
        store.update(state.kept.written)
        body = json.loads(json.dumps(state.body()))
        state = GroupState.load("k", chosen, body, store.__getitem__)
    state.look_back(300)
    assert bursts_of(state) == expected(chosen, found, state.watermark)
    assert len(state.kept) == len({item.id for item in found})


@pytest.fixture(scope="module")
def monkeypatch_page() -> Any:
    """Pages of two hits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PAGE", 2)
        yield


def test_a_hit_can_be_taken_away() -> None:
    """A correlation below may find that it does not hold at an event after all."""
    chosen = definition(Kind.VALUE_SUM, ("gte", 2))
    state = GroupState("k", chosen, {})
    state.take([(Item(100 + n, f"e{n}", 1, (SCALE,)), True) for n in range(2)], FOREVER)
    assert len(state.bursts) == 1
    state.take([(Item(101, "e1", 1), False)], FOREVER)
    assert not state.bursts
    assert [seed for seed, _ in state.withdrawn] == ["e0"]


def test_bursts_that_join_keep_the_earlier_one() -> None:
    """The alert of the later burst is told to be part of the earlier."""
    chosen = definition(Kind.EVENT_COUNT, ("gte", 2))
    state = GroupState("k", chosen, {})
    for time in (100, 101, 119, 120):
        state.take([(Item(time, f"e{time}", 1), True)], FOREVER)
    assert [burst.seed for burst in state.bursts] == ["e100", "e119"]
    state.take([(Item(110, "e110", 1), True)], FOREVER)
    assert [(burst.seed, burst.first, burst.last) for burst in state.bursts] == [("e100", 100, 120)]
    assert [(seed, into) for seed, into, _ in state.merged] == [("e119", "e100")]


def test_hits_beyond_the_allowed_lateness_are_counted_as_too_late() -> None:
    """They change nothing, and hits that nobody needs are let go; a burst keeps its numbers."""
    chosen = definition(Kind.EVENT_COUNT, ("gte", 2), lateness=20)
    state = GroupState("k", chosen, {})
    for n in range(100):
        state.take([(Item(100 + n, f"e{n}", 1), True)], FOREVER)
    assert len(state.kept) <= 31
    (burst,) = state.bursts
    facts = state.facts(burst)
    assert (burst.first, facts.count, facts.parts) == (100, 100, [100])
    assert facts.first == [f"e{n}" for n in range(20)]
    assert facts.last == [f"e{n}" for n in range(95, 100)]
    assert state.take([(Item(150, "late", 1), True)], FOREVER).late == 1
    assert state.take([(Item(150, "late", 1), True)], FOREVER, replay=True).late == 0
    assert state.take([(Item(185, "in time", 1), True)], FOREVER).new == 1
    assert state.facts(burst).count == 101


def test_a_clock_in_the_future_makes_nothing_late() -> None:
    """One forged time must not blind a group."""
    chosen = definition(Kind.EVENT_COUNT, ("gte", 2), lateness=20)
    state = GroupState("k", chosen, {})
    state.take([(Item(10**9, "forged", 1), True)], 200)
    taken = state.take([(Item(199, "a", 1), True), (Item(200, "b", 1), True)], 200)
    assert (taken.new, taken.late) == (2, 0)
    assert len(state.bursts) == 1


def test_the_bursts_of_a_group_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are final then, and their seeds are remembered."""
    monkeypatch.setattr(states, "MAX_BURSTS", 5)
    chosen = definition(Kind.EVENT_COUNT, ("gte", 1))
    state = GroupState("k", chosen, {})
    for n in range(50):
        state.take([(Item(100 + 20 * n, f"e{n}", 1), True)], FOREVER)
    assert len(state.bursts) <= 7
    assert len(state.earlier) == 3
