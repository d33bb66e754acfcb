"""What a value makes true, and what is tried only when somebody asks."""

from __future__ import annotations

from soc.detect.predicate import Op, Test
from soc.detect.seen import Sight

FOUND, ABSENT, SLOW = 1, 2, 3
ASKS = {
    FOUND: Test("a", Op.REGEX, "b+c"),
    ABSENT: Test("a", Op.REGEX, "x"),
    SLOW: Test("a", Op.REGEX, r"(?=a)^(a|aa)+$"),
}


def test_only_what_is_asked_is_tried() -> None:
    """The other expressions stay open, and may still hold."""
    sight = Sight(frozenset({7}), asks=ASKS, text="abbc")
    sight.answer({FOUND, 99})
    assert sight.true == {7, FOUND}
    assert sight.possible() == {7, FOUND, ABSENT, SLOW}


def test_settling_leaves_no_question_open() -> None:
    """All are tried; one that runs out of time is undecided."""
    sight = Sight(frozenset(), asks=ASKS, text="a" * 40 + "bc")
    sight.settle()
    assert sight.true == {FOUND}
    assert sight.undecided == {SLOW}
    assert sight.asks is None


def test_a_value_that_makes_nothing_true_is_blank() -> None:
    """Such sights are left out of every combination."""
    assert Sight(frozenset()).blank
    assert not Sight(frozenset(), asks=ASKS, text="x").blank
