"""Alerts about bursts: written once, extended, merged, withdrawn, bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soc.detect.correlate.alerts import AlertBook, Part, Raised
from soc.detect.grouping import micros
from soc.respond import alerts
from soc.store.contract import Store
from tests.detect.world import append, event, open_at, rule


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with open_at(tmp_path / "store") as opened:
        yield opened


def book(store: Store, **more: Any) -> AlertBook:
    """A new process that writes alerts."""
    made = AlertBook(store, name="test", **more)
    made.begin()
    return made


def raised(seed: str = "e1", **more: Any) -> Raised:
    """A burst of three events on one host."""
    first = micros("2026-03-02T07:00:00Z")
    made = Raised(rule(), {"host.name": "web01"}, seed, first, first + 60_000_000, 3, 1, events=["e1", "e2"])
    return replace(made, **more)


def test_a_burst_is_one_alert_however_often_it_is_told(store: Store) -> None:
    """Writing the same burst again, also by another process, changes nothing."""
    append(store, {"e1": event(1), "e2": event(2)})
    done = book(store).write([raised(text="many", parts=[Part("r", "R", 3)])])
    assert len(done.opened) == 1
    again = book(store).write([raised(text="many", parts=[Part("r", "R", 3)])])
    assert not again.opened
    assert not again.extended
    (view,) = alerts.list_alerts(store)
    assert view.count == 3
    assert view.body["text"] == "many"
    assert view.body["parts"] == [{"rule": "r", "title": "R", "count": 3}]
    assert [stored.id for stored in alerts.events_of(store, view)] == ["e1", "e2"]
    assert view.body["about"]["host.name"] == ["web01"]


def test_a_later_revision_extends_and_an_earlier_one_is_passed_over(store: Store) -> None:
    """An alert never goes back to what was known before."""
    book(store).write([raised(revision=5, count=9)])
    done = book(store).write([raised(revision=4, count=7)])
    assert not done.extended
    done = book(store).write([raised(revision=6, count=10)])
    assert len(done.extended) == 1
    (view,) = alerts.list_alerts(store)
    assert view.count == 10


def test_a_merged_alert_is_closed_and_points_at_the_other(store: Store) -> None:
    """Analysts see why it is closed, and by that where the work goes on."""
    writer = book(store)
    writer.write([raised("e1"), raised("e9")])
    writer.merge(raised("e9").full, raised("e1").full)
    writer.merge(raised("e9").full, raised("e1").full)
    by_id = {view.id: view for view in alerts.list_alerts(store)}
    earlier, later = writer.id_of(raised("e1").full), writer.id_of(raised("e9").full)
    assert by_id[earlier].status == "open"
    assert by_id[later].status == "closed"
    assert by_id[later].work["reason"] == "duplicate"
    assert by_id[later].body["merged_into"] == earlier
    assert len(by_id[later].work["history"]) == 1


def test_an_alert_that_holds_no_longer_is_closed_unless_somebody_was_first(store: Store) -> None:
    """What an analyst decided stays."""
    writer = book(store)
    writer.write([raised("e1"), raised("e9")])
    done = writer.id_of(raised("e9").full)
    alerts.apply(store, [done], alerts.close("true-positive"))
    for seed in ("e1", "e9"):
        writer.withdraw(raised(seed).full, "an event came late")
    by_id = {view.id: view for view in alerts.list_alerts(store)}
    assert by_id[done].work["reason"] == "true-positive"
    assert by_id[writer.id_of(raised("e1").full)].work["reason"] == "duplicate"


def test_a_merge_of_what_was_never_written_does_nothing(store: Store) -> None:
    """A burst may be merged before its alert came to be."""
    book(store).merge(raised("e9").full, raised("e1").full)
    assert not alerts.list_alerts(store)


def test_too_many_alerts_of_a_rule_are_counted_on_one(store: Store) -> None:
    """The bound holds over processes, and what was counted on the overflow alert stays there."""
    first = book(store, max_opened=3).write([raised(f"e{n}") for n in range(5)])
    second = book(store, max_opened=3).write([raised(f"e{n}") for n in range(7)])
    assert len(first.opened) == 3
    assert (first.overflowed, second.overflowed) == (2, 4)
    over = [view for view in alerts.list_alerts(store) if view.body["overflow"]]
    assert [view.count for view in over] == [12]


def test_an_alert_tells_how_earlier_ones_of_the_group_ended(store: Store) -> None:
    """The analyst sees what came of the last burst."""
    writer = book(store)
    writer.write([raised("e1")])
    id_ = writer.id_of(raised("e1").full)
    alerts.apply(store, [id_], alerts.close("benign"))
    later = raised("e9", first=raised().first + 10**10, last=raised().last + 10**10, earlier=["e1"])
    book(store).write([later])
    view = alerts.get(store, writer.id_of(later.full))
    assert [(p["id"], p["reason"]) for p in view.body["previous"]] == [(id_, "benign")]


def test_a_dry_run_writes_nothing(store: Store) -> None:
    """It says what it would do."""
    done = book(store, dry_run=True).write([raised()])
    assert len(done.opened) == 1
    assert not alerts.list_alerts(store)
