"""Backtests: the same figures as a sweep gives, on every store and plan, and nothing written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.config import StoreSettings
from soc.detect.backtest import ASSUMED, MINUTES, Effort, _bursts, backtest, backtest_files, effort_of
from soc.detect.grouping import GroupState, Hit
from soc.detect.plan import Plan
from soc.detect.predicate import And, Op, Test
from soc.detect.sweep import Start, sweep
from soc.store import open_store
from soc.store.contract import Store, Write
from soc.store.embedded import EmbeddedStore
from tests.detect.world import BY_ADDRESS, SOURCE, START, append, event, open_at, rule

HOUR = 3_600_000_000


@pytest.fixture(params=["embedded", pytest.param("elastic", marks=pytest.mark.elastic)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    settings = StoreSettings(str(tmp_path / "store"))
    if request.param == "elastic":
        settings = request.getfixturevalue("elastic_settings")
    with open_store(settings) as opened:
        opened.init()
        yield opened


def filled(store: Store) -> None:
    """Three days: every tenth event fires, on two hosts, in the hours of office."""
    append(
        store,
        {
            f"e{n}": event(
                n * 900.0, fires=n % 10 == 0, host=f"web0{n % 4 // 2}", source__ip=f"192.0.2.{n % 3}"
            )
            for n in range(288)
        },
    )


RULES = [
    rule("shell"),
    rule("wide", attributes=BY_ADDRESS),
    rule("never", predicate=And((SOURCE, Test("url.query", Op.CONTAINS, "nothing has this")))),
    rule("regex", predicate=And((SOURCE, Test("url.query", Op.REGEX, "cmd=(id|whoami)$")))),
    rule("path", predicate=And((SOURCE, Test("my.path", Op.EXISTS))), fields=("my.path",)),
    rule(
        "elsewhere",
        predicate=And((Test("event.dataset", Op.EQUALS, "sshd"),)),
        source=Test("event.dataset", Op.EQUALS, "sshd"),
    ),
]


@pytest.mark.parametrize("plan", list(Plan))
def test_a_backtest_counts_what_a_sweep_counts(store: Store, plan: Plan) -> None:
    """Hits, alerts, events: each plan on each store gives what the real sweep then raises."""
    filled(store)
    result = backtest(store, RULES, plan=plan)
    swept = sweep(store, RULES, start=Start())
    rows = {row["rule"]["id"]: row for row in result.rows()}
    assert result.events == swept.events == 288
    assert {id_: row["hits"] for id_, row in rows.items() if row["hits"]} == {
        id_: counts[0] for id_, counts in swept.by_rule.items()
    }
    assert sum(row["alerts"] for row in rows.values()) == len(swept.alerts.opened)
    assert rows["shell"]["hits"] == 29
    assert sum(rows["shell"]["hits_by_day"].values()) == 29
    assert list(rows["shell"]["hits_by_day"]) == ["2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05"]
    assert {entity["entity"] for entity in rows["shell"]["entities"]} == {"web00", "web01"}
    assert rows["path"]["blind"].startswith("my.path never filled")
    assert rows["elsewhere"]["blind"] == "no event of its log source"
    assert not rows["never"]["blind"]
    if plan is Plan.CANDIDATES:
        assert result.choice is not None
        assert result.choice.plan is Plan.CANDIDATES
        # the embedded store looks for one word of each rule, here that of the log source
        assert result.read < result.events or isinstance(store, EmbeddedStore)


def test_bounds_of_time_hold_on_each_plan(store: Store) -> None:
    """Only events from `since` on and before `until` are looked at and counted."""
    filled(store)
    since, until = START + timedelta(hours=10), START + timedelta(hours=20)
    for plan in Plan:
        result = backtest(store, RULES[:2], since=since, until=until, plan=plan)
        assert result.events == 40
        assert [row["hits"] for row in result.rows()] == [4, 4]
        assert result.days == 1.0


def test_nothing_is_written(tmp_path: Path) -> None:
    """A backtest leaves no trace in the store: no alert, no position, no ledger, no field that was seen."""
    with open_at(tmp_path) as store:
        filled(store)
        before = store.status().documents
        backtest(store, RULES)
        assert store.status().documents == before
        assert not list(store.find("alert"))


def test_files_are_tried_without_a_store(tmp_path: Path) -> None:
    """The same figures from a file of events; what cannot be read is said."""
    from soc import content
    from soc.collect.collector import load_collectors
    from soc.collect.parsing import context_of

    lines = [
        {
            "@timestamp": event(n)["@timestamp"],
            "event": {"dataset": "nginx.access"},
            "url": {"query": "cmd=id"},
            "host": {"name": "a"},
        }
        for n in range(5)
    ]
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    collectors = load_collectors([content.shipped("collectors")])
    result = backtest_files([str(path), str(tmp_path / "none")], RULES[:3], collectors, context_of("UTC", ""))
    rows = {row["rule"]["id"]: row for row in result.rows()}
    assert result.events == 5
    assert (rows["shell"]["hits"], rows["shell"]["alerts"]) == (5, 1)
    assert [problem.kind for problem in result.problems] == ["missing"]
    none = backtest_files(
        [str(path)], RULES[:1], collectors, context_of("UTC", ""), since=START + timedelta(days=9)
    )
    assert none.events == 0


@given(st.lists(st.integers(0, 20 * HOUR), max_size=40))
def test_hits_are_grouped_as_a_sweep_groups_them(times: list[int]) -> None:
    """The number of alerts is that of the bursts that a sweep opens when it meets the hits in their order."""
    state = GroupState("r", {}, HOUR)
    made = rule()
    hits = [Hit(made, f"e{n}", {}, at) for n, at in enumerate(sorted(times))]
    opened = [burst for hit in hits for burst in state.take([hit], lambda full: full).opened]
    assert _bursts(times, HOUR) == len(opened)


def test_the_cost_of_an_alert_is_measured_where_it_can_be(tmp_path: Path) -> None:
    """Configured minutes come first, then what closed alerts took, then an assumption that says so."""
    with open_at(tmp_path) as store:
        assert effort_of(store) == Effort(MINUTES, ASSUMED)
        assert effort_of(store, 25).minutes == 25
        for n in range(6):
            at = [f"2026-03-02T10:{m:02d}:00.000000Z" for m in (0, 4 + n)]
            history = [{"at": at[0], "action": "ack"}, {"at": at[1], "action": "close"}]
            store.write(
                [Write("triage", f"A-{n}", {"id": f"A-{n}", "status": "closed", "history": history}, 0)]
            )
        store.write(
            [Write("triage", "A-9", {"status": "closed", "history": [{"at": at[0], "action": "close"}]}, 0)]
        )
        found = effort_of(store)
        assert found.minutes == 6.5
        assert "6 alerts" in found.source
