"""The ledger's arithmetic and its documents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from soc.detect import ledger
from soc.detect.ledger import Tally
from soc.store.contract import Store
from tests.detect.world import open_at, rule

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with open_at(tmp_path / "store") as opened:
        yield opened


def tally(events: int = 0, *, day: str = "2026-03-02", ruleset: str = "r") -> Tally:
    """A tally of so many events."""
    return Tally(day, ruleset, "sweep", events=events)


def test_document_and_back() -> None:
    """A tally survives the store; fields that a later release adds are left alone."""
    one = tally(5)
    one.count("a", matched=2)
    one.count("a", undecided=1)
    one.note("odd", NOW)
    again = Tally.load({**one.body(), "of a later release": 1})
    assert again == one
    assert (again.hits, again.undecided, again.rules) == (2, 1, {"a": [2, 1]})


def test_copy_is_independent() -> None:
    """A batch that fails leaves the tally before it as it was."""
    one = tally()
    other = one.copy()
    other.count("a", matched=1)
    other.note("x", NOW)
    assert (one.rules, one.hits, one.notes) == ({}, 0, [])


def test_notes_are_bounded() -> None:
    """The last hundred."""
    one = tally()
    for i in range(500):
        one.note(f"n{i}", NOW)
    assert len(one.notes) == ledger.MAX_NOTES
    assert one.notes[-1].endswith("n499")


def test_copy_for_readers_never_goes_back(store: Store) -> None:
    """A slow sweeper does not overwrite what a faster one has written."""
    ledger.flush(store, tally(10))
    ledger.flush(store, tally(7))
    ledger.flush(store, tally(12))
    (found,) = ledger.entries(store)
    assert found.events == 12


def test_rule_set_is_named_by_its_versions() -> None:
    """Order does not matter, versions do."""
    one, two = rule("a"), rule("b")
    assert ledger.ruleset_id([one, two]) == ledger.ruleset_id([two, one])
    assert ledger.ruleset_id([one, two]) != ledger.ruleset_id([one, rule("b", version="v2")])


def test_versions_are_published_once(store: Store) -> None:
    """Only what is new is written."""
    rules = [rule(f"r{i}") for i in range(450)]
    assert ledger.publish(store, rules, ledger.ruleset_id(rules), NOW) == 450
    assert ledger.publish(store, rules, ledger.ruleset_id(rules), NOW) == 0
    more = [*rules, rule("new"), rule("gone", path="/nonexistent/rule.yml")]
    assert ledger.publish(store, more, ledger.ruleset_id(more), NOW) == 2
    kept = store.read(ledger.RULE_VERSION, ledger.version_id("gone", "v1"))
    assert kept is not None
    assert kept.body["text"] == ""


def test_by_rule_adds_days_and_marks_the_current_version(store: Store) -> None:
    """Versions apart, days together, the latest version current."""
    old, new = [rule("a")], [rule("a", version="v2")]
    for rules, days in ((old, ("2026-03-01", "2026-03-02")), (new, ("2026-03-03",))):
        name = ledger.ruleset_id(rules)
        ledger.publish(store, rules, name, NOW)
        for day in days:
            one = tally(10, day=day, ruleset=name)
            one.count("a", matched=1)
            ledger.flush(store, one)
    found = [
        (r.version, r.seen, r.matched, r.first_day, r.last_day, r.current) for r in ledger.by_rule(store)
    ]
    assert found == [
        ("v1", 20, 2, "2026-03-01", "2026-03-02", False),
        ("v2", 10, 1, "2026-03-03", "2026-03-03", True),
    ]
