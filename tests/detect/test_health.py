"""How rules are doing: each state, from the ledger, the alerts, and how they were closed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from soc.detect import ledger
from soc.detect.health import Health, failing, health, measure
from soc.detect.ruleset import Ruleset
from soc.store.contract import Store, Write
from tests.detect.world import append, event, open_at, rule

NOW = datetime(2026, 3, 20, tzinfo=UTC)
SINCE = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An embedded store."""
    with open_at(tmp_path) as opened:
        yield opened


RULES = [
    rule("fine"), rule("silent"), rule("noisy"), rule("slow"), rule("dark"), rule("calm", mode="shadow"),
    rule("loud", mode="shadow"), rule("new", version="v9"), rule("closed"),
    rule("parked", off="not selected"),
    rule("open", undecidable="nobody defines %x%"), rule("nowhere", blind="nobody provides it"),
]  # fmt: skip


def fill(store: Store) -> None:
    """Ten days of sweeps with all rules but the new one."""
    listed = {one.id: one.version for one in RULES if one.id != "new"}
    store.write([Write(ledger.RULESET, "set", {"rules": listed, "since": ""}, 0)])
    for day in range(5, 15):
        tally = ledger.Tally(f"2026-03-{day:02}", "set", "sweep", events=1000)
        tally.count("fine", matched=int(day % 5 == 0))
        tally.count("noisy", matched=300)
        tally.count("slow", undecided=int(day == 7))
        tally.count("calm", matched=int(day == 8))
        tally.count("loud", matched=6 * int(day == 9))
        tally.count("closed", matched=1)
        tally.blind = {"dark": "its field is never filled"} if day > 10 else {}
        ledger.flush(store, tally)
    old = ledger.Tally("2026-01-01", "set", "sweep", events=5)
    old.count("silent", matched=9)
    ledger.flush(store, old)
    for number in range(4):
        body = {
            "rule": {"id": "closed", "title": "x", "fields": [], "level": "high"},
            "level": "high", "title": "x", "count": 1, "created": "2026-03-10T00:00:00.000000Z",
            "first": "2026-03-10T00:00:00.000000Z",
            "last": "2026-03-10T00:00:00.000000Z", "about": {},
            "entity": "", "group": {}, "inexact": False, "revision": 1,
            "versions": {}, "overflow": False, "previous": [],
        }  # fmt: skip
        reason = "false-positive" if number < 2 else "benign"
        store.write([Write("alert", f"A-AAA{number}", body, 0)])
        store.write(
            [Write("triage", f"A-AAA{number}", {"status": "closed", "reason": reason, "owner": ""}, 0)]
        )


def by_name(store: Store) -> dict[str, Health]:
    """What health says of each rule."""
    return {one.rule.id: one for one in health(store, Ruleset(RULES), RULES, since=SINCE, now=NOW)}


def test_each_rule_has_its_state(store: Store) -> None:
    """The most important thing to say of it, with the reason."""
    fill(store)
    found = by_name(store)
    assert {name: one.state for name, one in found.items()} == {
        "fine": "fine", "silent": "silent", "noisy": "noisy", "slow": "undecided", "dark": "blind",
        "calm": "switch on", "loud": "silent" if not found["loud"].matched else "fine", "new": "unseen",
        "closed": "noisy", "parked": "off", "open": "undecidable", "nowhere": "blind",
    }  # fmt: skip
    assert found["dark"].why == "its field is never filled"
    assert "10 days in shadow, 0.1 hits a day" in found["calm"].why
    assert "50% of 4 closed were false" in found["closed"].why


def test_counts_are_of_the_period(store: Store) -> None:
    """Days before it do not count; the last hit has its day."""
    fill(store)
    row = by_name(store)["fine"].row()
    assert (row["seen"], row["matched"], row["last"], row["days"]) == (10_000, 2, "2026-03-10", 10)
    assert by_name(store)["silent"].matched == 0
    row = by_name(store)["closed"].row()
    assert (row["alerts"], row["closed"], row["false_positives"], row["false_share"]) == (4, 4, 2, 0.5)


def test_a_pipeline_can_fail(store: Store) -> None:
    """On the states that it names."""
    fill(store)
    found = list(by_name(store).values())
    assert [one.rule.id for one in failing(found, ["blind"])] == ["dark", "nowhere"]
    assert failing(found, []) == []


def test_each_rule_can_be_timed(store: Store) -> None:
    """Rules alone on events, for comparing them; those that cannot run have no time."""
    found = health(store, Ruleset(RULES), RULES, since=SINCE, now=NOW)
    measure(found, [event(1)] * 50)
    by = {one.rule.id: one.cost for one in found}
    assert by["fine"] is not None
    assert by["fine"] >= 0
    assert by["open"] is None
    append(store, {"e1": event(1)})
