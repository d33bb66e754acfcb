"""Queries and conditions: a value is compared, never read as part of the query."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.detect.predicate import NOTHING, Op, Or, Test, Verdict, matches
from soc.playbook.conditions import bind, decide, parse, shown_query, variables_in
from soc.playbook.template import UnsetVariableError
from soc.query import QueryError
from tests.playbook.conftest import PATIENT


@PATIENT
@given(st.text(min_size=1))
def test_hostile_values_are_only_compared(value: str) -> None:
    """Whatever a value holds (quotes, `or *`, wildcards), it matches itself and nothing else."""
    where = bind('user.name:"{{ user }}" and event.outcome:failure', {"user": value})
    assert matches(where, {"user.name": value, "event.outcome": "failure"})
    assert not matches(where, {"user.name": value + "x", "event.outcome": "failure"})
    assert not matches(where, {"user.name": value, "event.outcome": "success"})


@pytest.mark.parametrize(
    ("query", "values", "event", "expected"),
    [
        ("source.ip:{{ a }}", {"a": "192.0.2.7"}, {"source.ip": "192.0.2.7"}, True),
        ('source.ip:"{{ a }}"', {"a": "2001:db8::1"}, {"source.ip": "2001:db8::1"}, True),
        ("source.ip:{{ a }}", {"a": "not an address"}, {"source.ip": "192.0.2.7"}, False),
        ("source.ip:{{ a }}", {"a": ["192.0.2.1", "192.0.2.7"]}, {"source.ip": "192.0.2.7"}, True),
        ("source.ip:{{ a }}", {"a": []}, {"source.ip": "192.0.2.7"}, False),
        ("destination.port:{{ a }}", {"a": 443}, {"destination.port": 443}, True),
        ("destination.port:>{{ a }}", {"a": 443}, {"destination.port": 8443}, True),
        ("destination.port:>{{ a }}", {"a": 443}, {"destination.port": 80}, False),
        ("event.code:(4624 or {{ a }})", {"a": 4625}, {"event.code": "4625"}, True),
        ("url.path:*/{{ a }}*", {"a": "a*b"}, {"url.path": "/x/a*b.php"}, True),
        ("url.path:*/{{ a }}*", {"a": "a*b"}, {"url.path": "/x/aXb.php"}, False),
        (
            "@timestamp:>{{ a }}",
            {"a": "2026-03-02T07:00:00.000000Z"},
            {"@timestamp": "2026-03-02T07:00:00.000001Z"},
            True,
        ),
        ("{{ a }}", {"a": "needle"}, {"message": "a needle in hay"}, True),
        ("not source.ip:{{ a }}", {"a": "192.0.2.7"}, {"source.ip": "192.0.2.7"}, False),
    ],
)
def test_kinds_of_fields(query: str, values: dict[str, Any], event: dict[str, Any], expected: bool) -> None:
    """A variable may stand for an address, a number, a time or text, alone, in a list or within a pattern."""
    assert matches(bind(query, values), event) is expected


def test_values_of_one_variable_in_several_places() -> None:
    """The same variable may stand in fields of different types."""
    where = bind('source.ip:"{{ a }}" or host.name:"{{ a }}"', {"a": "192.0.2.7"})
    assert where == Or((Test("source.ip", Op.EQUALS, "192.0.2.7"), Test("host.name", Op.EQUALS, "192.0.2.7")))


def test_an_empty_list_finds_nothing() -> None:
    """A variable that holds no item is nothing, not everything."""
    assert bind("source.ip:{{ a }}", {"a": []}) == NOTHING


def test_unset() -> None:
    """A query with a variable without a value is not made."""
    with pytest.raises(UnsetVariableError):
        bind("source.ip:{{ a }}", {})


@pytest.mark.parametrize(
    "query", ["source.ip:{{ a }} and (", "source.ip:>", '"{{ a }}', "source.ip:banana and {{ a }}"]
)
def test_errors_speak_of_the_query_as_written(query: str) -> None:
    """An error shows the text with its variables, and points into it."""
    with pytest.raises(QueryError) as caught:
        parse(query)
    assert query in str(caught.value)
    assert 1 <= caught.value.column <= len(query) + 1


def test_a_variable_is_no_field() -> None:
    """A value cannot choose the field that is compared."""
    with pytest.raises(QueryError, match="field"):
        parse("{{ a }}:x")


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        ("hits:>3", {"hits": 4}, Verdict.TRUE),
        ("hits:>3", {"hits": 3}, Verdict.FALSE),
        ("hits:>3", {}, Verdict.FALSE),
        ("user:*", {"user": "root"}, Verdict.TRUE),
        ("user:*", {}, Verdict.FALSE),
        ("users:*", {"users": []}, Verdict.FALSE),
        ("users:(root or admin)", {"users": ["an", "admin"]}, Verdict.TRUE),
        ("address:192.0.2.0/24", {"address": "192.0.2.9"}, Verdict.TRUE),
        ("clicked:yes", {"clicked": True}, Verdict.TRUE),
        ("clicked:false", {"clicked": False}, Verdict.TRUE),
        ("a:{{ b }}", {"a": "x", "b": "X"}, Verdict.TRUE),
    ],
)
def test_decide(condition: str, values: dict[str, Any], expected: Verdict) -> None:
    """A condition is the query language over variables; one without a value fits nothing."""
    assert decide(condition, values) is expected


def test_variables_in() -> None:
    """The variables of a condition are its fields and those in braces; a bare word is the empty name."""
    assert variables_in("hits:>3 and (user:{{ who }} or x)") == {"hits", "user", "who", ""}


def test_shown() -> None:
    """For people values stand in the query, quoted once; what is not known stays a variable."""
    text = 'a:"{{ x }}" b:{{ y }} c:{{ z }}'
    assert shown_query(text, {"x": 'p "q"', "y": [1, 2]}) == r'a:"p \"q\"" b:(1 or 2) c:{{ z }}'
