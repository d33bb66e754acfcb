"""What is certain about a condition: that it never holds, always holds, or costs much."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.detect.logic import always, expensive, implies, never, several_needed, unfiltered, unfit_operands
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, matches

A, B = Test("f", Op.EQUALS, "abc"), Test("f", Op.CONTAINS, "b")
GONE, THERE = Test("f", Op.NULL), Test("f", Op.EXISTS)
G = Test("g", Op.EQUALS, "x")

NEVER: list[Predicate] = [
    And((A, Not(A))),
    And((A, Not(B))),
    And((A, Not(Or((G, B))))),
    And((GONE, A)),
    And((GONE, Test("f", Op.CIDR, "10.0.0.0/8"))),
    And((THERE, Not(THERE))),
    And((Test("f", Op.ENDSWITH, "\\a.exe"), Not(Test("f", Op.CONTAINS, "A.EXE")))),
    And((Or((A, Test("f", Op.EQUALS, "xbx"))), Not(B))),
    And((And((G, Not(A))), A)),
    Or(()),
    Not(And(())),
]
ALWAYS: list[Predicate] = [
    Or((A, Not(A))),
    Or((B, Not(A))),
    Or((GONE, THERE)),
    And(()),
    Not(Or(())),
    Test(None, Op.EXISTS),
    Or((G, Test(None, Op.EXISTS))),
    Not(And((A, Not(B)))),
]
NEITHER: list[Predicate] = [
    And((A, Test("f", Op.EQUALS, "xyz"))),  # two values of one field
    And((B, Not(A))),
    And((A, Not(Test("f", Op.CONTAINS, "B", cased=True)))),
    Or((A, Not(B))),
    And((A, Not(Test("g", Op.EQUALS, "abc")))),
    A,
]


@pytest.mark.parametrize("predicate", NEVER, ids=str)
def test_what_can_never_be(predicate: Predicate) -> None:
    """Contradictions are found, also where a filter takes away all that the selection finds."""
    assert never(predicate)
    assert not always(predicate)


@pytest.mark.parametrize("predicate", ALWAYS, ids=str)
def test_what_is_always_so(predicate: Predicate) -> None:
    """And what no event can escape."""
    assert always(predicate)
    assert not never(predicate)


@pytest.mark.parametrize("predicate", NEITHER, ids=str)
def test_what_depends_on_the_event(predicate: Predicate) -> None:
    """Nothing is said that is not certain."""
    assert not never(predicate)
    assert not always(predicate)


TESTS = st.builds(
    Test,
    st.sampled_from(["f", "g"]),
    st.sampled_from([Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH, Op.EXISTS, Op.NULL]),
    st.sampled_from(["", "a", "A", "ab", "ba", "b"]),
    st.booleans(),
)
PREDICATES = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.builds(lambda parts: And(tuple(parts)), st.lists(inner, max_size=3)),
        st.builds(lambda parts: Or(tuple(parts)), st.lists(inner, max_size=3)),
        st.builds(Not, inner),
    ),
    max_leaves=8,
)
VALUES = st.one_of(
    st.none(),
    st.sampled_from(["", "a", "A", "ab", "aB", "ba", "b", "c"]),
    st.lists(st.sampled_from(["a", "Ab", "b", ""]), max_size=3),
)


@settings(max_examples=500)
@given(PREDICATES, TESTS, VALUES, VALUES)
def test_what_is_said_holds_for_every_event(predicate: Predicate, other: Test, f: object, g: object) -> None:
    """Against the plain evaluation, with absent fields, empty texts and fields with several values."""
    event = {"f": f, "g": g}
    if never(predicate):
        assert not matches(predicate, event)
    if always(predicate):
        assert matches(predicate, event) or all(v in (None, []) for v in event.values())
    if isinstance(predicate, Test) and implies(predicate, other) and matches(predicate, event):
        assert matches(other, event)


def test_only_several_values_can_be_both() -> None:
    """Two texts that one field must equal at once are named; a part and a whole are not."""
    other = Test("f", Op.EQUALS, "xyz")
    assert list(several_needed(And((A, other)))) == [(A, other)]
    assert list(several_needed(Or((G, And((A, other)))))) == [(A, other)]
    ends = (Test("f", Op.ENDSWITH, "\\sh"), Test("f", Op.ENDSWITH, "-c"))
    assert list(several_needed(And(ends))) == [ends]
    assert not list(several_needed(And((A, B, G))))
    assert not list(several_needed(Or((A, other))))


def test_expensive_expressions() -> None:
    """Backtracking is named with its reason, and worse where repeats repeat."""
    assert [why for _, why in expensive(Test("f", Op.REGEX, "a(?=b)"))] == [
        "it needs the slower engine for look-ahead"
    ]
    assert "may run out of time" in next(why for _, why in expensive(Test("f", Op.REGEX, "(?=a)(a+)+$")))
    assert not list(expensive(Test("f", Op.REGEX, "(a+)+$")))
    assert [
        t.operand for t in unfiltered(Or((Test("f", Op.REGEX, r"\d+"), Test("f", Op.REGEX, "evil\\d"))))
    ] == [r"\d+"]


@pytest.mark.parametrize(
    ("name", "operand", "unfit"),
    [
        ("source.ip", "localhost", True), ("source.ip", "192.0.2.1", False), ("process.pid", "x", True),
        ("process.pid", "7", False), ("@timestamp", "soon", True), ("@timestamp", "2026-03-02", False),
        ("user.name", "x", False), ("source.ip", "", False),
    ],
)  # fmt: skip
def test_operands_that_a_field_never_has(name: str, operand: str, unfit: bool) -> None:
    """The type of a field of ECS makes some tests impossible."""
    assert bool(list(unfit_operands(Test(name, Op.EQUALS, operand)))) is unfit
