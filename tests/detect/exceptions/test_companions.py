"""What is hidden and what fires, against the plain reading: a rule, its exceptions, each with its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from soc.detect.exceptions.companions import companions
from soc.detect.exceptions.model import apply
from soc.detect.matcher import Matcher
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, matches
from soc.detect.rule import Rule
from soc.event import timestamp

START = datetime(2026, 3, 2, tzinfo=UTC)
SOURCE = Test("event.dataset", Op.EQUALS, "test")
TESTS = st.builds(
    Test,
    st.sampled_from(["a", "b"]),
    st.sampled_from([Op.EQUALS, Op.CONTAINS]),
    st.sampled_from(["x", "y", "xy"]),
)
CONDITIONS = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.tuples(inner, inner)),
        st.builds(Or, st.tuples(inner, inner)),
    ),
    max_leaves=4,
)
EXPIRIES = st.one_of(st.none(), st.integers(0, 4).map(lambda hours: START + timedelta(hours=hours)))
EVENTS = st.fixed_dictionaries(
    {
        "@timestamp": st.integers(0, 16).map(lambda n: timestamp(START + timedelta(minutes=15 * n))),
        "event.dataset": st.just("test"),
        "a": st.sampled_from([None, "x", "y", "xy", ["x", "y"]]),
        "b": st.sampled_from([None, "x", "xyz"]),
    }
)


@given(
    rules=st.lists(
        st.tuples(CONDITIONS, st.lists(st.tuples(CONDITIONS, EXPIRIES), max_size=3)), min_size=1, max_size=3
    ),
    events=st.lists(EVENTS, min_size=1, max_size=12),
)
def test_the_matcher_says_what_fires_and_what_is_hidden(
    rules: list[tuple[Predicate, list[tuple[Predicate, datetime | None]]]], events: list[dict[str, Any]]
) -> None:
    """All rules with all their exceptions in one pass; every event, before and after each expiry."""
    made = []
    for number, (condition, exceptions) in enumerate(rules):
        applied = tuple(
            apply(f"e{n}", Not(selected), expires) for n, (selected, expires) in enumerate(exceptions)
        )
        predicate = And((SOURCE, condition, *(one.condition for one in applied)))
        made.append(Rule(f"r{number}", "R", source=SOURCE, predicate=predicate, exceptions=applied))
    matcher = Matcher([*made, *companions(made)])
    for event in events:
        found = {(match.rule.id, match.rule.hides) for match in matcher.match(event)}
        wanted = set()
        for number, (condition, exceptions) in enumerate(rules):
            if not matches(condition, event):
                continue
            hiding = {
                f"e{n}"
                for n, (selected, expires) in enumerate(exceptions)
                if matches(selected, event) and (expires is None or event["@timestamp"] < timestamp(expires))
            }
            wanted |= {(f"r{number}", name) for name in hiding or {""}}
        assert found == wanted
