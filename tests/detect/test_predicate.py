"""The meaning of predicates: the plain evaluation that all else must agree with."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.detect.predicate import (
    EVERYTHING,
    NOTHING,
    And,
    Not,
    Op,
    Or,
    Predicate,
    Test,
    Verdict,
    evaluate,
    matches,
    wildcard_matches,
)
from soc.detect.predicate import tests as leaves

YES, NO, UNDECIDED = Verdict.TRUE, Verdict.FALSE, Verdict.UNDECIDED

TRUE = Test("f", Op.EXISTS)
FALSE = Test("f", Op.NULL)
HANGS = Test("f", Op.REGEX, r"(?=a)(a|aa)+$")
"""Look-ahead needs the backtracking engine, and this pattern keeps it busy for ever on many `a`."""
LONG = {"f": "a" * 5_000 + "!"}


def case(op: Op, operand: Any, value: Any, *, cased: bool = False, flags: str = "") -> bool:
    """One test on an event of one field."""
    return matches(Test("f", op, operand, cased, flags), {"f": value, "g": ["x", "Admin", 7]})


@pytest.mark.parametrize(
    ("op", "operand", "value", "expected"),
    [
        (Op.EQUALS, "admin", "ADMIN", True),
        (Op.EQUALS, "admin", "admin ", False),
        (Op.EQUALS, "4624", 4624, True),
        (Op.EQUALS, 4624, "4624", True),
        (Op.EQUALS, "4624", 4624.0, True),
        (Op.EQUALS, "true", True, True),
        (Op.EQUALS, True, "TRUE", True),
        (Op.EQUALS, "1", True, False),
        (Op.EQUALS, "", "", True),
        (Op.EQUALS, "", None, False),
        (Op.EQUALS, "", [], False),
        (Op.EQUALS, "b", ["a", "B"], True),
        (Op.EQUALS, "None", [None], False),
        (Op.EQUALS, "NGUYỄN", "nguye\u0302\u0303n", True),
        (Op.CONTAINS, "dmi", "ADMIN", True),
        (Op.CONTAINS, "", "", True),
        (Op.CONTAINS, "ab", ["a", "b"], False),
        (Op.STARTSWITH, "AD", "admin", True),
        (Op.STARTSWITH, "min", "admin", False),
        (Op.ENDSWITH, "MIN", "admin", True),
        (Op.ENDSWITH, "ad", "admin", False),
        (Op.WILDCARD, ("a", "n"), "admin", True),
        (Op.WILDCARD, ("a", None, "min"), "admin", True),
        (Op.WILDCARD, ("a", None, "in"), "admin", False),
        (Op.WILDCARD, ("a", "a"), "a", False),
        (Op.WILDCARD, ("", "\n", ""), "a\nb", True),
        (Op.WILDCARD, (None,), "\n", True),
        (Op.REGEX, "^adm", "admin", True),
        (Op.REGEX, "ADM", "admin", False),
        (Op.REGEX, r"^\d+$", 443, True),
        (Op.CIDR, "192.0.2.0/24", "192.0.2.7", True),
        (Op.CIDR, "192.0.2.9/24", "192.0.2.7", True),
        (Op.CIDR, "192.0.2.0/24", "198.51.100.1", False),
        (Op.CIDR, "192.0.2.0/24", "::ffff:192.0.2.7", True),
        (Op.CIDR, "2001:db8::/32", "2001:DB8::1", True),
        (Op.CIDR, "2001:db8::/32", "192.0.2.7", False),
        (Op.CIDR, "192.0.2.0/24", "portal", False),
        (Op.CIDR, "0.0.0.0/0", 7, False),
        (Op.CIDR, "192.0.2.0/24", ["x", "192.0.2.7"], True),
        (Op.GT, 10, 11, True),
        (Op.GT, 10, "11", True),
        (Op.GT, 10, 10, False),
        (Op.GTE, 10, 10.0, True),
        (Op.LT, 10, "9.5", True),
        (Op.LT, 10, "x", False),
        (Op.LT, 10, True, False),
        (Op.LTE, 10, [20, 10], True),
        (Op.GT, 0, float("nan"), False),
        (Op.GT, 2**70, 2**70 + 1, True),
        (Op.GT, "2026-03-01", "2026-03-02T07:00:00.000000Z", True),
        (Op.LT, "b", "A", True),
        (Op.EXISTS, None, "", True),
        (Op.EXISTS, None, 0, True),
        (Op.EXISTS, None, False, True),
        (Op.EXISTS, None, None, False),
        (Op.EXISTS, None, [None], False),
        (Op.NULL, None, [], True),
        (Op.NULL, None, [None], True),
        (Op.NULL, None, "", False),
        (Op.FIELDREF, "g", "admin", True),
        (Op.FIELDREF, "g", "7", True),
        (Op.FIELDREF, "g", "nobody", False),
        (Op.FIELDREF, "missing", "admin", False),
    ],
)
def test_a_test_means(op: Op, operand: Any, value: Any, *, expected: bool) -> None:
    """Each operator, over the kinds of values."""
    assert case(op, operand, value) is expected


@pytest.mark.parametrize(
    ("op", "operand", "value"),
    [(Op.EQUALS, "Admin", "admin"), (Op.CONTAINS, "DMI", "admin"), (Op.WILDCARD, ("A", ""), "ab")],
)
def test_a_cased_test_compares_exactly(op: Op, operand: Any, value: Any) -> None:
    """And only then."""
    assert case(op, operand, value)
    assert not case(op, operand, value, cased=True)


@pytest.mark.parametrize(
    ("flags", "value"), [("contains", "xADMINx"), ("startswith", "adminx"), ("endswith", "xadmin")]
)
def test_a_reference_may_be_a_part(flags: str, value: str) -> None:
    """The field's value holds the other's."""
    assert case(Op.FIELDREF, "g", value, flags=flags)
    assert not case(Op.FIELDREF, "g", value)


@pytest.mark.parametrize(
    ("part", "number"), [("minute", 14), ("hour", 7), ("day", 2), ("week", 10), ("month", 3), ("year", 2026)]
)
def test_a_part_of_a_time_is_in_utc(part: str, number: int) -> None:
    """Whatever the zone it is written in."""
    for text in ("2026-03-02T07:14:09.120000Z", "2026-03-02T14:14:09+07:00"):
        assert case(Op.TIMEPART, number, text, flags=part)
        assert not case(Op.TIMEPART, number + 1, text, flags=part)
    assert not case(Op.TIMEPART, number, "soon", flags=part)


def test_a_test_without_a_field_asks_all_fields() -> None:
    """Values, not names."""
    event = {"a": "x", "b": ["y", 7], "c": None}
    assert matches(Test(None, Op.EQUALS, "Y"), event)
    assert matches(Test(None, Op.EQUALS, "7"), event)
    assert not matches(Test(None, Op.CONTAINS, "b"), event)


def test_regular_expressions_take_flags() -> None:
    """i, m and s."""
    assert case(Op.REGEX, "ADM", "admin", flags="i")
    assert case(Op.REGEX, "^b", "a\nb", flags="m")
    assert case(Op.REGEX, "a.b", "a\nb", flags="s")


def test_a_hanging_expression_is_undecided_soon() -> None:
    """Never "no match", and never long."""
    started = time.perf_counter()
    assert evaluate(HANGS, LONG) is UNDECIDED
    assert evaluate(HANGS, {"f": ["b", "aa"]}) is YES
    assert evaluate(HANGS, {"f": [LONG["f"], "aa"]}) is YES
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("predicate", "verdict"),
    [
        (EVERYTHING, YES),
        (NOTHING, NO),
        (Not(TRUE), NO),
        (Not(FALSE), YES),
        (Not(HANGS), UNDECIDED),
        (And((TRUE, TRUE)), YES),
        (And((TRUE, FALSE)), NO),
        (And((TRUE, HANGS)), UNDECIDED),
        (And((HANGS, FALSE)), NO),
        (Or((FALSE, FALSE)), NO),
        (Or((FALSE, TRUE)), YES),
        (Or((FALSE, HANGS)), UNDECIDED),
        (Or((HANGS, TRUE)), YES),
        (Not(And((HANGS, FALSE))), YES),
    ],
)
def test_verdicts_join_as_in_strong_logic_of_three_values(predicate: Predicate, verdict: Verdict) -> None:
    """Kleene's tables."""
    assert evaluate(predicate, LONG) is verdict
    assert matches(predicate, LONG) is (verdict is YES)


def test_the_tests_of_a_tree_come_in_order() -> None:
    """Repeated where they stand more than once."""
    assert list(leaves(And((TRUE, Not(Or((FALSE, TRUE))))))) == [TRUE, FALSE, TRUE]


_patterns = st.text("ab*?\n", min_size=1, max_size=8)


def parts_of(pattern: str) -> tuple[str | None, ...]:
    """A pattern in the form of the operand, built in the plainest way."""
    parts: list[str | None] = [""]
    for sign in re.sub(r"\*+", "*", pattern):
        if sign == "*":
            parts += [""] if parts[-1] is not None else ["", ""]
        elif sign == "?":
            parts.append(None)
        elif parts[-1] is None:
            parts.append(sign)
        else:
            parts[-1] += sign
    return tuple(parts)


@given(_patterns, st.text("ab\n", max_size=8))
def test_wildcards_mean_what_a_regular_expression_says(pattern: str, text: str) -> None:
    """`*` is any text, `?` any one character, also a line break."""
    expression = "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern)
    assert wildcard_matches(parts_of(pattern), text) is (
        re.fullmatch(expression, text, re.DOTALL) is not None
    )


def test_many_wildcards_cost_little() -> None:
    """A pattern of stars and question marks over a megabyte: no backtracking."""
    started = time.perf_counter()
    text = "ab" * 500_000
    for pattern in ("a?*" * 30 + "c", "*a" * 100 + "c", "*a?a" * 50):
        assert not wildcard_matches(parts_of(pattern), text)
    assert time.perf_counter() - started < 3


_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.just(2**15_000),
    st.just("9" * 5_000),
)
_operands: dict[Op, st.SearchStrategy[Any]] = {
    Op.WILDCARD: st.tuples(
        st.text(max_size=2), st.one_of(st.none(), st.text(max_size=2)), st.text(max_size=2)
    ),
    Op.REGEX: st.sampled_from(["a", "^$", r"\d+", "(?=a)a"]),
    Op.CIDR: st.sampled_from(["10.0.0.0/8", "::/0"]),
    Op.FIELDREF: st.sampled_from("fg"),
    Op.TIMEPART: st.integers(0, 60),
    **dict.fromkeys(
        [Op.LT, Op.LTE, Op.GT, Op.GTE], st.one_of(st.integers(), st.floats(), st.text(max_size=4))
    ),
}


@given(
    st.data(),
    st.sampled_from(list(Op)),
    st.dictionaries(st.sampled_from("fg"), st.one_of(_values, st.lists(_values, max_size=3))),
)
def test_no_value_breaks_a_test(data: st.DataObject, op: Op, event: dict[str, Any]) -> None:
    """Whatever an event holds, there is a verdict; nothing without a value passes, except `NULL`."""
    operand = data.draw(_operands.get(op, st.text(max_size=4)))
    flags = "hour" if op is Op.TIMEPART else ""
    verdict = evaluate(Test("f", op, operand, data.draw(st.booleans()), flags), event)
    assert verdict in Verdict
    if not [
        v
        for v in (event.get("f") if isinstance(event.get("f"), list) else [event.get("f")]) or []
        if v is not None
    ]:
        assert verdict is (YES if op is Op.NULL else NO)


def test_one_and_true_are_different_operands() -> None:
    """Python takes them for equal; neither a cache nor a table of tests may."""
    number, truth, text = (Test("a", Op.EQUALS, operand) for operand in (1, True, "true"))
    assert number != truth
    assert truth == text
    assert matches(truth, {"a": True})
    assert not matches(number, {"a": True})
    assert matches(number, {"a": 1})
    assert matches(number, {"a": "1"})
    assert not matches(truth, {"a": 1})
