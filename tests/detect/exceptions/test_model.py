"""Exceptions as files: attributes, expiry, what is wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from soc.detect.catalogue import details
from soc.detect.exceptions.model import bare, moment_of
from soc.detect.predicate import Verdict, evaluate
from tests.detect.exceptions.world import BACKUP, RULE, exception, load
from tests.detect.world import event


def test_an_exception_is_read_with_all_it_says(tmp_path: Path) -> None:
    """Owner, expiry, reason, ticket, target and the rules that it was added to."""
    found = load(tmp_path, exception())
    assert not found.problems
    (one,) = found.exemptions
    assert (one.id, one.name, one.rules, one.applies) == (BACKUP, "e0", (RULE,), (RULE,))
    assert (one.owner, one.reason, one.ticket) == ("huong", "the backup job", "T-1")
    assert one.expires == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert one.selections == {"selection": {"host.name": "web01"}}
    states = {d: one.state(datetime(2026, *d, tzinfo=UTC)) for d in ((2, 1), (2, 20), (3, 3))}
    assert states == {(2, 1): "active", (2, 20): "expiring", (3, 3): "expired"}
    assert load(tmp_path, exception(expires="")).exemptions[0].state(datetime.now(UTC)) == "endless"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-12-31", datetime(2026, 12, 31, tzinfo=UTC)),
        ("2026-12-31T17:00:00Z", datetime(2026, 12, 31, 17, tzinfo=UTC)),
        ("2027-01-01T00:00:00+07:00", datetime(2026, 12, 31, 17, tzinfo=UTC)),
    ],
)
def test_expiries(text: str, at: datetime) -> None:
    """A date is its first moment in UTC; a time has its zone."""
    assert moment_of(text) == at


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("soc.expires: '2026-12-31T17:00:00'", "with its zone"),
        ("soc.expires: soon", "with its zone"),
        ("soc.expires: 30", "with its zone"),
        ("soc.owner: [a]", "must be text"),
        ("soc.history: yesterday", "a list of mappings"),
        ("soc.until: '2026-12-31'", "unknown setting 'soc.until' of a filter"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(line: str, message: str, tmp_path: Path) -> None:
    """Nothing is taken for another thing silently."""
    key = line.partition(":")[0]
    lines = [*(x for x in exception().splitlines() if not x.strip().startswith(key)), f"  {line}"]
    (problem,) = load(tmp_path, "\n".join(lines) + "\n").errors
    assert message in problem.message
    assert problem.place.line == len(lines)


def test_a_rule_without_its_exceptions(tmp_path: Path) -> None:
    """`bare` is the rule as it would be, with its plain filters."""
    alone = load(tmp_path / "a").rules[0]
    (rule,) = load(tmp_path / "b", exception()).rules
    assert bare(rule) == alone.predicate
    assert bare(alone) == alone.predicate
    assert evaluate(rule.predicate, event()) is Verdict.FALSE
    assert evaluate(rule.exceptions[0].hides, event()) is Verdict.TRUE
    assert evaluate(rule.exceptions[0].hides, event(3600)) is Verdict.FALSE


def test_a_rule_names_its_exceptions(tmp_path: Path) -> None:
    """`soc rule show` says what narrows it, and until when."""
    (rule,) = load(tmp_path, exception()).rules
    assert details(rule)["exceptions"] == [f"{BACKUP}, until 2026-03-02T08:00:00.000000Z"]
