"""Filling in the past of rules: real alerts, once, beside a sweep that goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from soc.config import StoreSettings
from soc.detect import ledger
from soc.detect.backfill import Backfill, Window
from soc.detect.gaps import Gaps
from soc.detect.rule import Rule
from soc.detect.sweep import Start, Sweeper, SweepResult, status, sweep
from soc.errors import ConflictError, UsageError
from soc.respond import alerts
from soc.store import open_store
from soc.store.contract import Store
from tests.detect.rules import load, text
from tests.detect.world import BY_ADDRESS, START, append, check_whole, counts, event, open_at, rule

NEW = rule("wide", attributes=BY_ADDRESS)
ALL = Window()


@pytest.fixture(params=["embedded", pytest.param("elastic", marks=pytest.mark.elastic)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store with forty events that were swept with one rule, and ten that wait."""
    settings = StoreSettings(str(tmp_path / "store"))
    if request.param == "elastic":
        settings = request.getfixturevalue("elastic_settings")
    with open_store(settings) as opened:
        opened.init()
        append(opened, {f"old{i}": event(i, host=f"h{i % 2}") for i in range(20)})
        sweep(opened, [rule()])  # the first sweep begins from now
        append(opened, {f"e{i}": event(100 + i, host=f"h{i % 2}", fires=i % 2 == 0) for i in range(20)})
        sweep(opened, [rule()])
        append(opened, {f"new{i}": event(200 + i) for i in range(10)})
        yield opened


def fill(
    store: Store, *rules: Rule, window: Window = ALL, dry_run: bool = False, notify: bool = False
) -> SweepResult:
    """Fill in."""
    return Backfill(store, rules, window, dry_run=dry_run, notify=notify).run()


def of_rule(store: Store, id_: str) -> Counter[str]:
    """Hits counted on the alerts of a rule, by entity."""
    found: Counter[str] = Counter()
    for document in store.find("alert"):
        if document.body["rule"]["id"] == id_:
            found[document.body["entity"]] += document.body["count"]
    return found


def test_real_alerts_for_the_past(store: Store) -> None:
    """A new rule over what was swept without it: marked, counted in the ledger, and not what still waits."""
    before = [(d.body["feed"], d.version) for d in store.find(ledger.POSITION_PART)]
    result = fill(store, NEW)
    assert (result.events, result.hits, len(result.alerts.opened)) == (40, 30, 1)
    assert of_rule(store, "wide") == {"192.0.2.7": 30}
    (view,) = alerts.list_alerts(store, alerts.wanted("backfill:true"))
    assert (view.rule["id"], view.body["notify"]) == ("wide", False)
    assert [(d.body["feed"], d.version) for d in store.find(ledger.POSITION_PART)] == before
    found = {r.rule: (r.seen, r.matched) for r in ledger.by_rule(store)}
    assert found == {"shell": (20, 10), "wide": (40, 30)}
    check_whole(store)
    # the sweep takes up the new rule where it stands: nothing twice, nothing missed, one alert
    swept = sweep(store, [rule(), NEW])
    assert (swept.hits, len(swept.alerts.opened)) == (20, 1)
    assert of_rule(store, "wide") == {"192.0.2.7": 40}
    assert Gaps(store).size("wide", "v1") == 0


def test_twice_adds_nothing(store: Store) -> None:
    """What was filled in is not even read again."""
    fill(store, NEW)
    documents = [(d.id, d.version) for d in store.find("alert")]
    again = Backfill(store, [NEW], ALL)
    assert (again.numbers, again.run().events) == (0, 0)
    assert [(d.id, d.version) for d in store.find("alert")] == documents


def test_only_what_the_rule_has_not_seen(store: Store) -> None:
    """A rule that has run sees what was there before it; what it has counted is not counted again."""
    work = Backfill(store, [rule()], ALL)
    assert work.numbers in (20, 21)
    result = work.run()
    assert (result.events, result.alerts.counted) == (20, 20)
    assert counts(store) == {"h0": 20, "h1": 10}
    assert {r.rule: (r.seen, r.matched) for r in ledger.by_rule(store)} == {"shell": (40, 30)}
    assert sweep(store, [rule()], start=Start()).alerts.counted == 10
    assert counts(store) == {"h0": 20, "h1": 10, "web01": 10}


def test_a_new_version_counts_only_what_the_old_one_has_not(store: Store) -> None:
    """It looks at all that it has not seen itself; hits are known by their events."""
    result = fill(store, rule(version="v2"))
    assert (result.events, result.hits, result.alerts.counted) == (40, 30, 20)
    assert counts(store) == {"h0": 20, "h1": 10}


def test_window_of_time(store: Store) -> None:
    """Only events of these times; the same again reads nothing, a wider one only counts the rest."""
    window = Window(START + timedelta(seconds=10), START + timedelta(seconds=110))
    result = fill(store, NEW, window=window)
    assert (result.events, result.hits) == (20, 15)
    assert Backfill(store, [NEW], window).numbers == 0
    assert Backfill(store, [NEW], Window(window.since, START + timedelta(seconds=50))).numbers == 0
    assert fill(store, NEW).alerts.counted == 15
    assert of_rule(store, "wide") == {"192.0.2.7": 30}


def test_dry_run_writes_nothing(store: Store) -> None:
    """The same figures, and no document more."""
    before = store.status().documents
    result = fill(store, NEW, dry_run=True)
    assert (result.events, result.hits, len(result.alerts.opened)) == (40, 30, 1)
    assert store.status().documents == before
    expected = Backfill(store, [NEW], ALL, dry_run=True).estimate()
    assert (expected.hits, expected.expected_alerts) == (40, 1)


def test_hits_join_an_alert_that_is_there(store: Store) -> None:
    """An alert of the sweep is extended and not marked; the wish to be notified stands on new ones."""
    fill(store, rule())
    assert {d.body["entity"]: d.body["backfill"] for d in store.find("alert")} == {"h0": False, "h1": True}
    fill(store, NEW, notify=True)
    (new,) = [d.body for d in store.find("alert") if d.body["rule"]["id"] == "wide"]
    assert (new["backfill"], new["notify"]) == (True, True)


def test_stopped_goes_on(store: Store) -> None:
    """The same once more does what is left."""
    work = Backfill(store, [NEW], ALL)
    for group in work._groups:
        group.sweeper.batch = 7
    first = work.run(stop=lambda: True)
    assert first.stopped
    assert 0 < first.events < 40
    second = fill(store, NEW)
    assert first.events + second.events == 40
    assert of_rule(store, "wide") == {"192.0.2.7": 30}
    assert {r.rule: (r.seen, r.matched) for r in ledger.by_rule(store)}["wide"] == (40, 30)


def test_two_at_once(store: Store) -> None:
    """One of them goes on, the other is told, and nothing is counted twice."""
    slow = Backfill(store, [NEW], ALL)
    for group in slow._groups:
        group.sweeper.batch = 7

    def other(_: int) -> None:
        fill(store, NEW)

    with pytest.raises(ConflictError, match="another backfill"):
        slow.run(progress=other)
    assert of_rule(store, "wide") == {"192.0.2.7": 30}
    assert {r.rule: (r.seen, r.matched) for r in ledger.by_rule(store)}["wide"] == (40, 30)


def test_beside_a_running_sweep(store: Store) -> None:
    """A sweep of the same rule that moves on meanwhile: each event is counted once."""
    work = Backfill(store, [NEW], ALL)
    for group in work._groups:
        group.sweeper.batch = 7
    sweeper = Sweeper(store, [rule(), NEW], batch=3)

    def also(_: int) -> None:
        sweeper.run()

    work.run(progress=also)
    sweeper.run()
    assert of_rule(store, "wide") == {"192.0.2.7": 40}
    assert Gaps(store).size("wide", "v1") == 0
    assert status(store)[0].waiting == 0


def test_a_rule_that_was_away_has_a_gap(store: Store) -> None:
    """What was swept while it was not among the rules is shown as unseen, and can be filled in."""
    sweep(store, [NEW])
    append(store, {f"away{i}": event(300 + i, host="h7") for i in range(5)})
    sweep(store, [NEW])
    sweep(store, [rule(), NEW])
    assert Gaps(store).size("shell", "v1") in (35, 36)
    assert fill(store, rule()).events == 35
    assert counts(store)["h7"] == 5
    assert Gaps(store).size("shell", "v1") == 0


def test_many_alerts_are_not_hidden(tmp_path: Path) -> None:
    """What was agreed to is opened; the bound of the running sweep is not the one of a backfill."""
    with open_at(tmp_path / "store") as store:
        append(store, {f"e{i}": event(i, host=f"h{i}") for i in range(300)})
        sweep(store, [NEW])
        result = fill(store, rule())
        assert (len(result.alerts.opened), result.alerts.overflowed) == (300, 0)


def test_correlations(tmp_path: Path) -> None:
    """A correlation brings the rules that it refers to, which raise nothing of their own."""
    base = text("s: {url.query: x}\ncondition: s", title="Base", id="5f0c7b0e-0000-4000-8000-000000000001")
    burst = """
title: Burst
id: 5f0c7b0e-0000-4000-8000-000000000002
level: high
correlation:
  type: event_count
  rules: [5f0c7b0e-0000-4000-8000-000000000001]
  group-by: [host.name]
  timespan: 10m
  condition: {gte: 5}
"""
    rules = load(tmp_path / "rules", base, burst)
    assert not rules.errors, [str(p) for p in rules.errors]
    wanted = next(r for r in rules.rules if r.title == "Burst")
    with open_at(tmp_path / "store") as store:
        sweep(store, [NEW])
        made = {
            f"e{i}": event(i * 10, host=f"h{i % 2}", url__query="x", event__dataset="test.event")
            for i in range(14)
        }
        append(store, made)
        sweep(store, [NEW])
        result = fill(store, wanted)
        assert len(result.alerts.opened) == 2
        found = {d.body["title"]: d.body for d in store.find("alert")}
        assert list(found) == ["Burst"]
        assert (found["Burst"]["count"], found["Burst"]["backfill"]) == (7, True)
        assert fill(store, wanted).events == 0


def test_rules_that_live_in_the_order_of_arrival_are_refused(store: Store, tmp_path: Path) -> None:
    """With the way to do it nevertheless."""
    more = "custom_attributes:\n  soc.new_term: {fields: [host.name], days: 30}\n"
    rules = load(tmp_path / "rules", text("s: {url.query: x}\ncondition: s", more=more))
    (found,) = rules.rules
    if not found.beyond:
        pytest.skip("the extension is written in another way")
    with pytest.raises(UsageError, match="order of arrival"):
        Backfill(store, [found], ALL)
