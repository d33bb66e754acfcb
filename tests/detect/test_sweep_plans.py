"""A sweep gives the same on both plans: alerts, counts, ledger, position."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from soc.config import StoreSettings
from soc.detect import ledger, regex
from soc.detect.plan import Plan
from soc.detect.predicate import And, Op, Test
from soc.detect.sweep import Start, Sweeper, SweepResult
from soc.store import open_store
from soc.store.contract import Store
from tests.detect.world import BY_ADDRESS, SOURCE, START, append, event, rule

RULES = [
    rule("shell"),
    rule("wide", attributes=BY_ADDRESS),
    rule("never", predicate=And((SOURCE, Test("url.query", Op.CONTAINS, "nothing has this")))),
    rule(
        "slow",
        predicate=And(
            (SOURCE, Test("url.query", Op.CONTAINS, "aaaa"), Test("url.query", Op.REGEX, "(?=x)(a+)+$"))
        ),
    ),
]


@pytest.fixture(params=["embedded", pytest.param("elastic", marks=pytest.mark.elastic)])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    """Makes stores of one kind with the same events."""
    opened: list[Store] = []

    def make(name: str) -> Store:
        settings = StoreSettings(str(tmp_path / name))
        if request.param == "elastic":
            given: StoreSettings = request.getfixturevalue("elastic_settings")
            settings = StoreSettings(given.target, space=f"{given.space}-{name}")
        store = open_store(settings)
        opened.append(store)
        store.init()
        odd: dict[int, dict[str, Any]] = {50: {"url__query": "aaaa!"}}
        append(store, {f"e{n}": event(n * 60.0, fires=n % 7 == 0, **odd.get(n, {})) for n in range(200)})
        return store

    yield make
    for store in opened:
        store.close()


def facts(store: Store, result: SweepResult) -> dict[str, Any]:
    """All that must be the same."""
    tallies = list(ledger.entries(store))
    return {
        "result": (result.events, result.hits, result.undecided, result.by_rule),
        "tally": sorted(
            (t.events, t.hits, t.undecided, str(sorted(t.rules.items()))) for t in tallies if t.events
        ),
        "alerts": sorted(
            (d.body["rule"]["id"], d.body["first"], d.body["count"], d.body["entity"])
            for d in store.find("alert")
        ),
    }


def test_both_plans_give_the_same(stores: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch) -> None:
    """Events seen, hits, undecided, alerts, ledger; the summary and the ledger say which plan it was."""
    monkeypatch.setattr(regex.Compiled, "search", _times_out(regex.Compiled.search))
    found = {}
    for plan in (Plan.STREAM, Plan.CANDIDATES):
        store = stores(plan.value)
        result = Sweeper(store, RULES, plan=plan, batch=30).run(Start())
        assert result.plans == {plan.value: 200}
        assert {p: n for t in ledger.entries(store) for p, n in t.plans.items()}[plan.value] > 0
        found[plan] = facts(store, result)
        again = Sweeper(store, RULES, plan=plan).run()
        assert (again.events, again.hits) == (0, 0)
        append(store, {"late": event(99.0)})
        assert Sweeper(store, RULES, plan=plan).run().hits == 2
    assert found[Plan.STREAM] == found[Plan.CANDIDATES]
    assert found[Plan.STREAM]["result"][2] == 1


def _times_out(
    real: Callable[[regex.Compiled, str], bool | None],
) -> Callable[[regex.Compiled, str], bool | None]:
    def search(self: regex.Compiled, text: str) -> bool | None:
        return None if text == "aaaa!" else real(self, text)

    return search


def test_both_plans_count_from_the_same_time(stores: Callable[[str], Store]) -> None:
    """With a start in event time, what lies before it is neither swept nor counted, passed over or not."""
    from datetime import timedelta

    results = []
    for plan in (Plan.STREAM, Plan.CANDIDATES):
        sweeper = Sweeper(stores(plan.value), RULES[:2], plan=plan)
        result = sweeper.run(Start(START + timedelta(minutes=100, microseconds=250)))
        results.append((result.events, result.hits, result.by_rule))
    assert results[0] == results[1]
    assert results[0][0] == 100
