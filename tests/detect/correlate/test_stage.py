"""Correlations in a sweep: over a store, with crashes, rivals and late events."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.config import StoreSettings
from soc.detect import ledger
from soc.detect.correlate import hits as pages
from soc.detect.correlate.stage import HITS, STATE, WATCH, CorrelationStage, bursts_in
from soc.detect.grouping import Hit, micros
from soc.detect.rule import Rule
from soc.detect.sweep import Start, Sweeper, sweep
from soc.respond import alerts
from soc.store import open_store
from soc.store.contract import Document, Store, VersionConflictError, Write
from soc.store.embedded import EmbeddedStore
from tests.detect import rules
from tests.detect.world import START, append, event, open_at

BASE = """
title: Sign-in failed
id: 00000000-0000-4000-8000-000000000001
name: failed
logsource: {category: test}
detection: {x: {event.outcome: failure}, condition: x}
"""
GOOD = """
title: Sign-in
id: 00000000-0000-4000-8000-000000000002
name: good
logsource: {category: test}
detection: {x: {event.outcome: success}, condition: x}
"""


def correlation(body: str, number: int = 9, **more: str) -> str:
    """The text of a correlation rule."""
    head = "".join(f"{name}: {value}\n" for name, value in more.items())
    lines = "\n".join(f"  {line}" for line in body.strip().splitlines())
    id_ = f"00000000-0000-4000-8000-00000000000{number}"
    return f"title: Many {number}\nid: {id_}\n{head}correlation:\n{lines}\n"


MANY = """
type: event_count
rules: [failed]
group-by: [source.ip]
timespan: 10m
condition: {gte: 3}
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with open_at(tmp_path / "store") as opened:
        yield opened


def loaded(folder: Path, *texts: str) -> list[Rule]:
    """Rules out of their text, which must be sound."""
    found = rules.load(folder / "rules", *texts)
    assert not found.problems, [str(p) for p in found.problems]
    return found.rules


def signed_in(seconds: float, outcome: str = "failure", **more: Any) -> dict[str, Any]:
    """A sign-in so many seconds after the beginning."""
    return event(seconds, event__dataset="test.event", event__outcome=outcome, **more)


def failures(*seconds: float, **more: Any) -> dict[str, dict[str, Any]]:
    """Failed sign-ins by id."""
    return {f"e{s:05}": signed_in(s, **more) for s in seconds}


def told(store: Store) -> list[tuple[str, int, str]]:
    """Alerts that are not closed: entity, count, text."""
    views = alerts.list_alerts(store, alerts.wanted())
    return [(v.body["entity"], v.count, v.body.get("text", "")) for v in views]


def test_a_burst_raises_one_alert_and_its_rule_none(tmp_path: Path, store: Store) -> None:
    """The alert says how many, of which rule, within which time; it carries its events."""
    found = loaded(tmp_path, BASE, correlation(MANY))
    append(store, failures(0, 60, 120, 180) | failures(5, source__ip="192.0.2.8"))
    result = sweep(store, found, start=Start())
    assert len(result.alerts.opened) == 1
    (view,) = alerts.list_alerts(store)
    assert view.body["entity"] == "192.0.2.7"
    assert view.body["text"] == "up to 4 events within 10 min (asked for: ≥ 3)"
    assert view.body["parts"] == [
        {"rule": "00000000-0000-4000-8000-000000000001", "title": "Sign-in failed", "count": 4}
    ]
    assert len(alerts.events_of(store, view)) == 4
    assert view.body["facts"]["value"] == 4
    again = sweep(store, found, start=Start())
    assert not again.alerts.opened
    assert not again.alerts.extended


def test_generate_lets_the_rule_raise_alerts_too(tmp_path: Path, store: Store) -> None:
    """As the specification says."""
    found = loaded(tmp_path, BASE, correlation(MANY + "generate: true"))
    append(store, failures(0, 60, 120))
    sweep(store, found, start=Start())
    assert {view.title for view in alerts.list_alerts(store)} == {"Sign-in failed", "Many 9"}


def test_a_burst_grows_over_sweeps_and_late_events_join_two(tmp_path: Path, store: Store) -> None:
    """Two bursts that turn out to be one: the later alert is closed and points at the earlier."""
    found = loaded(tmp_path, BASE, correlation(MANY))
    sweeper = Sweeper(store, found)
    sweeper.run()
    for times in ((0, 60, 120), (1200, 1260, 1320), (130, 140)):
        append(store, failures(*times))
        sweeper.run()
    assert [count for _, count, _ in told(store)] == [5, 3]
    append(store, failures(600, 700))
    result = sweeper.run()
    assert not result.alerts.opened
    assert [count for _, count, _ in told(store)] == [10]
    closed = [view for view in alerts.list_alerts(store) if view.status == "closed"]
    assert [view.work["reason"] for view in closed] == ["duplicate"]
    assert closed[0].body["merged_into"] == alerts.list_alerts(store, alerts.wanted())[0].id


def test_a_sequence_over_two_rules_with_aliases(tmp_path: Path, store: Store) -> None:
    """The address is the source of one and the destination of the other."""
    body = """
type: temporal_ordered
rules: [failed, good]
group-by: [peer]
timespan: 5m
aliases: {peer: {failed: source.ip, good: destination.ip}}
"""
    found = loaded(tmp_path, BASE, GOOD, correlation(body))
    append(store, failures(0))
    append(store, {"g1": signed_in(60, "success", source__ip="10.0.0.1", destination__ip="192.0.2.7")})
    append(store, {"g2": signed_in(-60, "success", source__ip="10.0.0.1", destination__ip="192.0.2.9")})
    append(store, failures(5, source__ip="192.0.2.9"))
    sweep(store, found, start=Start())
    (view,) = alerts.list_alerts(store)
    assert view.body["group"] == {"peer": "192.0.2.7"}
    assert [part["count"] for part in view.body["parts"]] == [1, 1]


def test_correlations_of_correlations(tmp_path: Path, store: Store) -> None:
    """Many failures, then a success: the outer one raises an alert, the inner one does not."""
    body = """
type: temporal_ordered
rules: [many, good]
group-by: [user.name]
timespan: 1h
"""
    found = loaded(tmp_path, correlation(body), correlation(MANY, 8, name="many"), BASE, GOOD)
    append(store, failures(0, 60, 120, user__name="an"))
    append(store, {"g1": signed_in(900, "success", user__name="An", source__ip="10.1.1.1")})
    append(store, {"g2": signed_in(10, "success", user__name="binh")})
    sweep(store, found, start=Start())
    (view,) = alerts.list_alerts(store)
    assert view.title == "Many 9"
    assert [(part["title"], part["count"]) for part in view.body["parts"]] == [("Many 8", 1), ("Sign-in", 1)]
    # a late failure makes the inner one hold earlier: its events count in the outer one as well
    append(store, failures(30, user__name="an"))
    sweep(store, found)
    (view,) = alerts.list_alerts(store)
    assert [part["count"] for part in view.body["parts"]] == [2, 1]


def test_what_holds_no_longer_is_taken_back_from_the_outer_one(tmp_path: Path, store: Store) -> None:
    """An average may fall through a late event; what followed from it falls too."""
    inner = """
type: value_avg
rules: [failed]
group-by: [source.ip]
timespan: 10m
condition: {field: source.bytes, gt: 100}
"""
    outer = """
type: temporal
rules: [high, good]
group-by: [source.ip]
timespan: 10m
"""
    found = loaded(tmp_path, BASE, GOOD, correlation(inner, 8, name="high"), correlation(outer))
    append(store, failures(60, source__bytes=150))
    append(store, {"g": signed_in(70, "success")})
    sweep(store, found, start=Start())
    assert len(told(store)) == 1
    append(store, failures(50, source__bytes=10))
    sweep(store, found)
    assert not told(store)
    (view,) = alerts.list_alerts(store)
    assert view.body["withdrawn"]


def test_silence_is_found_when_time_has_passed(tmp_path: Path, store: Store) -> None:
    """A group that was seen and falls silent raises an alert; it ends when events come again."""
    body = """
type: event_count
rules: [good]
group-by: [host.name]
timespan: 1h
condition: {eq: 0}
"""
    found = loaded(tmp_path, GOOD, correlation(body))
    append(store, {f"a{n}": signed_in(1800 * n, "success") for n in range(4)})

    def at(hours: float) -> None:
        Sweeper(store, found, clock=lambda: START + timedelta(hours=hours)).run()

    Sweeper(store, found, clock=lambda: START + timedelta(hours=2)).run(Start())
    assert not told(store)
    at(2.51)
    (one,) = told(store)
    assert one[2] == "only 0 events within 1 h (asked for: = 0), and it lasts"
    revision = alerts.list_alerts(store)[0].body["revision"]
    at(5)
    assert alerts.list_alerts(store)[0].body["revision"] == revision, "lasting silence writes nothing"
    append(store, {"b": signed_in(6 * 3600, "success")})
    at(6.1)
    (view,) = alerts.list_alerts(store)
    assert view.body["last"] == "2026-03-02T13:00:00.000000Z"
    assert not view.body["facts"]["lasting"]
    at(7.5)
    assert len(told(store)) == 2
    at(24 * 30)
    assert len(told(store)) == 2
    assert bursts_in(store, found[1].id) in (0, 2)


def test_hits_without_a_field_of_group_by_are_said(tmp_path: Path, store: Store) -> None:
    """They belong to no group, which is no verdict about them."""
    found = loaded(tmp_path, BASE, correlation(MANY))
    append(store, {"e": {k: v for k, v in signed_in(0).items() if k != "source.ip"}})
    result = sweep(store, found, start=Start())
    assert [note for note in result.notes if "1 hits lack a field of its group-by" in note]


def test_hits_that_come_too_late_are_in_the_ledger(tmp_path: Path, store: Store) -> None:
    """Beyond `soc.lateness`, 7 days unless the rule says otherwise."""
    late = correlation(MANY, custom_attributes="{soc.lateness: 1d}")
    found = loaded(tmp_path, BASE, late)
    append(store, failures(0))
    sweep(store, found, start=Start())
    append(store, {"old": signed_in(-90_000), "fine": signed_in(-80_000)})
    result = sweep(store, found)
    assert result.late == 1
    assert sum(tally.late for tally in ledger.entries(store)) == 1


def test_state_that_nothing_can_change_is_removed(tmp_path: Path, store: Store) -> None:
    """When the watermark has passed timespan and lateness, and nobody wrote it for as long."""
    found = loaded(tmp_path, BASE, correlation(MANY))
    append(store, failures(*range(5)))
    sweep(store, found, start=Start())
    assert len(list(store.find(STATE))) == 1
    clock = datetime.fromisoformat("2199-01-01T00:00:00+00:00")
    stage = CorrelationStage(store, found, clock=lambda: clock)
    stage.begin()
    stage.finish(micros("2199-01-01T00:00:00Z"))
    assert not list(store.find(STATE))


def test_a_rule_in_shadow_is_counted_and_takes_nothing_away(tmp_path: Path, store: Store) -> None:
    """Trying a correlation does not silence the rules that it refers to."""
    from dataclasses import replace

    base, many = loaded(tmp_path, BASE, correlation(MANY))
    append(store, failures(0, 60, 120))
    result = sweep(store, [base, replace(many, mode="shadow")], start=Start())
    assert [view.title for view in alerts.list_alerts(store)] == ["Sign-in failed"]
    assert result.by_rule[many.id][0] == 1


def test_a_dry_run_writes_nothing(tmp_path: Path, store: Store) -> None:
    """It says what it would do."""
    found = loaded(tmp_path, BASE, correlation(MANY))
    append(store, failures(0, 60, 120))
    result = sweep(store, found, start=Start(), dry_run=True)
    assert len(result.alerts.opened) == 1
    assert not [kind for kind in (STATE, WATCH, HITS, "alert") for _ in store.find(kind)]


# ------------------------------------------------------------------ much at once


def flood(number: int, groups: int, start: int = 0, step: float = 0.01) -> list[dict[str, Any]]:
    """Failed sign-ins, shared out over addresses."""
    return [
        signed_in((start + n) * step, source__ip=f"10.1.{n % groups // 250}.{n % groups % 250}")
        for n in range(number)
    ]


def hits_of(rule: Rule, events: list[dict[str, Any]], start: int = 0) -> list[Hit]:
    """Hits with ids as collectors make them."""
    return [
        Hit(rule, f"a3f9c24be1-{start + n:012x}", e, micros(e["@timestamp"])) for n, e in enumerate(events)
    ]


@pytest.mark.slow
def test_ten_thousand_hits_over_a_thousand_groups_take_well_under_a_second(
    tmp_path: Path, store: Store
) -> None:
    """Processor time of a batch that makes a thousand bursts, with what the embedded store needs."""
    base, many = loaded(tmp_path, BASE, correlation(MANY))
    stage = CorrelationStage(store, [base, many])
    stage.begin()
    made = hits_of(base, flood(10_000, 1_000))
    begun = time.process_time()
    staged = stage.take(made, replay=False)
    taken = time.process_time() - begun
    assert len(staged.written.opened) == 200
    assert staged.written.overflowed == 800
    assert taken < 1.5, f"{taken:.2f} s"  # 0.4 s where it was written


@pytest.mark.slow
def test_a_group_with_very_many_hits_stays_exact_and_small(tmp_path: Path, store: Store) -> None:
    """Its document stays small, a batch costs no more than at the beginning, and the count is exact."""
    base, many = loaded(tmp_path, BASE, correlation(MANY.replace("10m", "1d")))
    stage = CorrelationStage(store, [base, many])
    stage.begin()
    costs = []
    for start in range(0, 100_000, 5_000):
        made = hits_of(base, flood(5_000, 1, start), start)
        begun = time.process_time()
        stage.take(made, replay=False)
        costs.append(time.process_time() - begun)
    (view,) = alerts.list_alerts(store)
    assert view.count == 100_000
    sizes = [len(str(d.body)) for kind in (STATE, HITS) for d in store.find(kind)]
    assert max(sizes) < 200_000
    assert sum(costs[-5:]) < 4 * sum(costs[1:6])


# ------------------------------------------------------------------ crashes and rivals


class Killed(BaseException):
    """The process is no more."""


class Mortal(EmbeddedStore):
    """A store whose process dies at the nth write, before or after it reached the disk."""

    left = 1_000_000
    after = False

    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        """As usual, until it is time."""
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        results = super().write(writes)
        if self.left == 0:
            raise Killed
        return results


def state_of(store: Store) -> Any:
    """What there is at the end: alerts that are open, by what they say; and the bursts of all groups."""
    views = alerts.list_alerts(store, alerts.wanted())
    said = sorted((v.body["entity"], v.count, v.body["first"], v.body["last"], v.title) for v in views)
    samples = sorted([s.id for s in alerts.events_of(store, v)] for v in views)
    return said, samples


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_killed_anywhere_and_started_again_the_end_is_the_same(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Kills between any two writes, events in any order and batch, pages of a few hits."""
    folder = tmp_path_factory.mktemp("killed")
    outer = "type: temporal_ordered\nrules: [many, good]\ngroup-by: [source.ip]\ntimespan: 20m"
    total = "type: value_sum\nrules: [failed]\ngroup-by: [source.ip]\ntimespan: 10m\n"
    total += "condition: {field: source.bytes, gt: 5}"
    found = loaded(
        folder,
        BASE,
        GOOD,
        correlation(MANY + "generate: true", 7, name="many"),
        correlation(outer, 8),
        correlation(total, 9),
    )
    made = {
        f"e{n}": signed_in(
            data.draw(st.integers(0, 60)) * 60,
            data.draw(st.sampled_from(["failure", "failure", "success"])),
            source__ip=f"192.0.2.{data.draw(st.integers(1, 2))}",
            source__bytes=data.draw(st.integers(-2, 4)),
        )
        for n in range(data.draw(st.integers(1, 25)))
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PAGE", 3)
        ends = []
        for number in range(2):
            order = data.draw(st.permutations(sorted(made)))
            with open_at(folder / f"s{number}") as store:
                path = store.name
                append(store, {id_: made[id_] for id_ in order})
            sweep_with_kills(path, found, data if number else None)
            with open_at(path) as store:
                ends.append(state_of(store))
    assert ends[0] == ends[1]


def sweep_with_kills(path: str, found: list[Rule], data: st.DataObject | None) -> None:
    """Sweep to the end, with a new process after each kill."""
    begun = False
    for _ in range(6 if data else 0):
        assert data is not None
        mortal = Mortal.open(StoreSettings(target=path))
        assert isinstance(mortal, Mortal)
        mortal.left, mortal.after = data.draw(st.integers(1, 25)), data.draw(st.booleans())
        with mortal:
            try:
                fresh = mortal.read("position", "sweep") is None
                Sweeper(mortal, found, batch=data.draw(st.integers(1, 8))).run(Start() if fresh else None)
            except Killed:
                pass
        begun = True
    with open_at(path) as store:
        fresh = store.read("position", "sweep") is None
        Sweeper(store, found, batch=7).run(Start() if fresh or not begun else None)


class Rival(EmbeddedStore):
    """A store in which another sweeper takes the same hits just before each of the first writes of state."""

    acts = 0
    act: Any = None

    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        """As usual, after the other one."""
        if self.acts > 0 and writes and writes[0].kind == STATE:
            self.acts -= 1
            self.act()
        return super().write(writes)


def test_another_sweeper_in_between_changes_nothing(tmp_path: Path) -> None:
    """Whoever meets a newer state reads it and takes what is left."""
    found = loaded(tmp_path, BASE, correlation(MANY))
    with open_at(tmp_path / "store") as other:
        mine = Rival.open(StoreSettings(target=other.name))
        assert isinstance(mine, Rival)
        made = [Hit(found[0], id_, e, micros(e["@timestamp"])) for id_, e in failures(*range(9)).items()]
        with mine:
            append(other, {hit.id: hit.event for hit in made})
            first, second = CorrelationStage(mine, found), CorrelationStage(other, found)
            first.begin()
            second.begin()
            mine.act = lambda: second.take(made[3:], replay=False)
            mine.acts = 3
            first.take(made[:6], replay=False)
            assert [count for _, count, _ in told(other)] == [9]
            assert len(list(other.find("alert"))) == 1


class Shared(EmbeddedStore):
    """A store in which another sweeper is at work just before some of the writes."""

    turns: Any = None
    other: Any = None
    busy = False

    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        """As usual, after the other one where it is its turn."""
        if self.turns and not self.busy and writes and writes[0].kind != "position":
            self.busy = True
            if self.turns.pop():
                self.other()
            self.busy = False
        return super().write(writes)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_two_sweepers_at_once_end_as_one_alone(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each takes batches in between any two writes of the other, the same ones or others."""
    folder = tmp_path_factory.mktemp("shared")
    chain = "type: temporal_ordered\nrules: [many, good]\ngroup-by: [source.ip]\ntimespan: 20m"
    found = loaded(
        folder, BASE, GOOD, correlation(MANY + "generate: true", 7, name="many"), correlation(chain, 8)
    )
    outcomes = {"failure": found[0], "success": found[1]}
    made = []
    for n in range(data.draw(st.integers(2, 20))):
        outcome = data.draw(st.sampled_from(["failure", "failure", "failure", "success"]))
        e = signed_in(data.draw(st.integers(0, 50)) * 60, outcome)
        made.append(Hit(outcomes[outcome], f"e{n}", e, micros(e["@timestamp"])))
    size = data.draw(st.integers(1, 6))
    batches = [made[start : start + size] for start in range(0, len(made), size)]
    ends = []
    for shared in (False, True):
        store = Shared.open(StoreSettings(target=str(folder / f"s{shared}")))
        assert isinstance(store, Shared)
        with store:
            append(store, {hit.id: hit.event for hit in made})
            stage, other = CorrelationStage(store, found), CorrelationStage(store, found)
            stage.begin()
            other.begin()
            if shared:
                theirs = data.draw(st.lists(st.sampled_from(batches), max_size=8))
                store.turns = data.draw(st.lists(st.booleans(), min_size=10, max_size=40))
                store.other = lambda o=other, t=theirs: t and o.take(t.pop(), replay=False)
            for batch in batches:
                stage.take(batch, replay=False)
            ends.append(state_of(store))
    assert ends[0] == ends[1]


def test_hostile_values_do_not_stop_a_sweep(tmp_path: Path, store: Store) -> None:
    """Huge numbers, long texts, lists, text that is no number: counted within bounds, or not at all."""
    sums = MANY.replace("event_count", "value_sum").replace("gte: 3", "gte: 3, field: source.bytes")
    names = MANY.replace("event_count", "value_count").replace("gte: 3", "gte: 3, field: user.name")
    found = loaded(tmp_path, BASE, correlation(sums, 8), correlation(names, 9))
    values: list[Any] = [10**400, "1e300", "nan", "x", -1, [1, 2, "3"], 1e18, "9" * 50, True, None]
    for n, value in enumerate(values):
        many = [f"{n}-{k}" for k in range(200)] if n % 2 else "é" * 100_000
        append(store, {f"e{n}": signed_in(n, source__bytes=value, user__name=many)})
    result = sweep(store, found, start=Start())
    assert len(result.alerts.opened) == 2
    assert all(len(str(document.body)) < 200_000 for document in store.find(STATE))


@pytest.mark.elastic
def test_both_stores_tell_the_same(elastic_settings: StoreSettings, tmp_path: Path) -> None:
    """The same bursts, counts and carried events; also when the events come in two parts, late ones last."""
    silence = MANY.replace("gte: 3", "eq: 0").replace("10m", "1h").replace("source.ip", "host.name")
    chain = "type: temporal_ordered\nrules: [many, good]\ngroup-by: [source.ip]\ntimespan: 1h"
    found = loaded(
        tmp_path,
        BASE,
        GOOD,
        correlation(MANY + "generate: true", 7, name="many"),
        correlation(silence, 8),
        correlation(chain, 9),
    )
    early = failures(0, 60, 120, 1200, 1260, 1320) | {"g": signed_in(1500, "success")}
    late = failures(600, 700) | failures(30, source__ip="192.0.2.9")
    clock = START + timedelta(hours=3)
    ends = []
    for settings_ in (elastic_settings, StoreSettings(target=str(tmp_path / "s"))):
        with open_store(settings_) as store:
            store.init()
            for number, part in enumerate((early, late)):
                append(store, part)
                Sweeper(store, found, clock=lambda: clock).run(None if number else Start())
            ends.append((state_of(store), sorted(d.body["due"] for d in store.find(WATCH))))
    assert ends[0] == ends[1]
    assert [said[-1] for said in ends[0][0][0]] == ["Many 9", "Many 8"]
