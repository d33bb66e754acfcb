"""What exceptions hide stays hidden, is counted, and only new events alert after the expiry: real sweeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.detect import ledger
from soc.detect.backfill import Backfill, Window
from soc.detect.plan import Plan
from soc.detect.sweep import Start, Sweeper, sweep
from soc.respond import alerts
from soc.store.contract import Store
from tests.detect.exceptions.world import BACKUP, RULE, SHELL, exception, load
from tests.detect.world import append, counts, event, rule

HOUR = 3600
"""Seconds from the start of the events to the expiry of the exceptions in `world`."""


def hidden(store: Store) -> dict[str, dict[str, list[object]]]:
    """What the ledger says was hidden: exception to rule to [hits, late ones, time of the last]."""
    out: dict[str, dict[str, list[object]]] = {}
    for tally in ledger.entries(store):
        for id_, by_rule in tally.hidden.items():
            out[id_] = {**out.get(id_, {}), **by_rule}
    return out


def test_only_new_events_alert_after_the_expiry(store: Store, tmp_path: Path) -> None:
    """The bounds to the microsecond: just before the expiry is hidden, the expiry itself alerts."""
    rules = load(tmp_path / "rules", exception()).rules
    before = {"a": event(0), "b": event(HOUR - 0.000001), "other": event(5, host="web02")}
    append(store, before)
    result = sweep(store, rules, start=Start())
    assert (result.hits, result.hidden) == (1, 2)
    assert counts(store) == {"web02": 1}
    append(store, {"c": event(HOUR), "d": event(HOUR + 5)})
    result = sweep(store, rules)
    assert (result.hits, result.hidden) == (2, 0)
    assert counts(store) == {"web01": 2, "web02": 1}
    assert hidden(store) == {BACKUP: {RULE: [2, 0, "2026-03-02T07:59:59.999999Z"]}}


def test_suppressed_hits_do_not_come_back_at_expiry(store: Store, tmp_path: Path) -> None:
    """In kibana, suppressed alerts reappeared when the exception expired; here no replay brings them back.

    Everything is read again from the beginning, after the expiry, also with the exception extended and
    ended: what it hid in its time stays hidden.
    """
    rules = load(tmp_path / "rules", exception()).rules
    append(store, {f"e{i:02}": event(i * 600) for i in range(12)})
    sweep(store, rules, start=Start())
    assert counts(store) == {"web01": 6}
    again = sweep(store, rules, start=Start())
    assert (again.alerts.opened, counts(store)) == ([], {"web01": 6})
    ended = load(tmp_path / "rules", exception(expires="2026-03-02T08:10:00+00:00")).rules
    assert ended[0].version != rules[0].version
    again = sweep(store, ended, start=Start())
    assert (again.alerts.opened, counts(store)) == ([], {"web01": 6})


def test_a_late_event_of_before_the_expiry_stays_hidden_and_is_told_apart(
    store: Store, tmp_path: Path
) -> None:
    """A machine that was offline sends its log after the expiry: hidden as it would have been, and counted as
    late, which also shows a clock that was set back."""
    rules = load(tmp_path / "rules", exception()).rules
    append(store, {"a": event(0, event__ingested="2026-03-02T07:00:01.000000Z")})
    append(store, {"b": event(10, event__ingested="2026-03-09T07:00:01.000000Z")})
    sweep(store, rules, start=Start())
    assert counts(store) == {}
    assert hidden(store)[BACKUP][RULE] == [2, 1, "2026-03-02T07:00:10.000000Z"]


def test_closing_an_alert_does_not_break_an_exception(store: Store, tmp_path: Path) -> None:
    """An alert of before the exception is closed; the next hits are hidden all the same, also within its
    window, and neither reopen it nor open another."""
    append(store, {"a": event(0)})
    (id_,) = sweep(store, load(tmp_path / "rules").rules, start=Start()).alerts.opened
    rules = load(tmp_path / "rules", exception()).rules
    alerts.apply(store, [id_], alerts.close("benign"))
    append(store, {f"b{i}": event(i) for i in range(1, 20)})
    result = sweep(store, rules)
    assert (result.hits, result.hidden) == (0, 19)
    view = alerts.get(store, id_)
    assert (view.status, view.count, view.since_closed) == ("closed", 1, 0)
    append(store, {"c": event(HOUR)})
    (new,) = sweep(store, rules).alerts.opened
    assert alerts.get(store, new).body["previous"][0]["reason"] == "benign"


def test_the_version_changes_with_the_exception_and_not_with_time(tmp_path: Path) -> None:
    """A new owner or reason is no new version of the rule; another expiry or selection is."""
    one = load(tmp_path / "a").rules[0].version
    two = load(tmp_path / "b", exception()).rules[0].version
    same = exception(more="soc.history: [{at: '2026-03-01T00:00:00Z', by: lan, action: add}]\n")
    assert load(tmp_path / "c", same.replace("huong", "lan")).rules[0].version == two
    later = load(tmp_path / "d", exception(expires="2027-01-01")).rules[0].version
    other = load(tmp_path / "e", exception("host.name: web02")).rules[0].version
    assert len({one, two, later, other}) == 4


def test_each_exception_is_counted_by_itself(store: Store, tmp_path: Path) -> None:
    """Two that overlap both count; a hit is one hidden hit; a filter without owner or expiry is no exception
    and goes before them."""
    second = "aaaaaaaa-0000-4000-8000-000000000002"
    plain = exception("source.ip: 198.51.100.9", id="00000000-0000-4000-8000-000000000003").split("custom_a")[
        0
    ]
    rules = load(
        tmp_path / "rules", exception(), exception("url.query|endswith: id", id=second), plain, rule=SHELL
    ).rules
    events = {
        "both": event(0),
        "first": event(1, url__query="cmd=ls"),
        "second": event(2, host="web02"),
        "plain": event(3, source__ip="198.51.100.9"),
        "fires": event(4, host="web02", url__query="cmd=ls"),
        "silent": event(5, fires=False),
    }
    append(store, events)
    result = sweep(store, rules, start=Start())
    assert (result.hits, result.hidden) == (1, 3)
    found = hidden(store)
    assert (found[BACKUP][RULE][0], found[second][RULE][0]) == (2, 2)


def test_hidden_hits_move_with_the_position(store: Store, tmp_path: Path) -> None:
    """They are counted in the tally of the position, batch by batch, and a dry run counts nothing."""
    rules = load(tmp_path / "rules", exception()).rules
    append(store, {f"e{i:02}": event(i) for i in range(25)})
    assert Sweeper(store, rules, dry_run=True).run(Start()).hidden == 25
    assert hidden(store) == {}
    sweeper = Sweeper(store, rules, batch=10)
    assert sweeper.run(Start(), stop=lambda: True).stopped
    assert sweeper.run().events == 15
    assert hidden(store)[BACKUP][RULE][0] == 25


@pytest.mark.parametrize("plan", [Plan.STREAM, Plan.CANDIDATES])
def test_hidden_hits_are_counted_by_every_plan(plan: Plan, store: Store, tmp_path: Path) -> None:
    """Also where the store passes over events on which no rule can be true."""
    append(store, {f"e{i:02}": event(i, fires=i % 2 == 0, host=f"web0{i % 4}") for i in range(40)})
    rules = load(tmp_path / "rules", exception("host.name: web00")).rules
    result = Sweeper(store, rules, plan=plan).run(Start())
    assert (result.hits, result.hidden) == (10, 10)
    assert hidden(store)[BACKUP][RULE][0] == 10


def test_a_backfill_hides_and_counts_the_same(store: Store, tmp_path: Path) -> None:
    """What an exception hid is hidden when the past is filled in after its end, and counted."""
    sweep(store, [rule("other")])
    append(store, {"a": event(0), "b": event(HOUR), "c": event(1, fires=False)})
    sweep(store, [rule("other")])
    rules = load(tmp_path / "rules", exception()).rules
    result = Backfill(store, rules, Window()).run()
    assert (result.hits, result.hidden, len(result.alerts.opened)) == (1, 1, 1)
    assert hidden(store)[BACKUP][RULE][0] == 1


def test_what_is_hidden_is_no_hit_of_a_correlation(store: Store, tmp_path: Path) -> None:
    """A burst counts the hits that are left: hidden ones do not make it up, new ones after the expiry do."""
    burst = (
        "title: Many\nid: 22222222-2222-4333-8444-555555555555\ncorrelation:\n  type: event_count\n"
        "  rules: [web_shell]\n  group-by: [host.name]\n  timespan: 10m\n  condition: {gte: 3}\n"
    )
    loaded = load(tmp_path / "rules", exception(), rule=f"{SHELL}---\n{burst}")
    assert not loaded.errors
    append(store, {f"a{i}": event(HOUR - 10 + i) for i in range(10)})
    append(store, {f"b{i}": event(HOUR + i) for i in range(2)})
    result = sweep(store, loaded.rules, start=Start())
    assert (result.hits, result.hidden, result.alerts.opened) == (2, 10, [])
    append(store, {"c": event(HOUR + 5)})
    assert len(sweep(store, loaded.rules).alerts.opened) == 1


def test_an_exception_for_every_rule_of_a_log_source(store: Store, tmp_path: Path) -> None:
    """`rules: any`, and a filter without an expiry, which never ends."""
    rules = load(tmp_path / "rules", exception(target="any", expires="")).rules
    append(store, {"a": event(0), "b": event(400 * 86400)})
    assert sweep(store, rules, start=Start()).hidden == 2
    assert counts(store) == {}
