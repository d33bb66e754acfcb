"""Gates are learnt from the stream: what holds often is not waited for, and nothing is missed for it."""

from __future__ import annotations

from soc.detect.gates import FIRST_LESSON, Gates
from soc.detect.predicate import And, Not, Or
from soc.detect.seen import Sight

COMMON, RARE, OTHER = 0, 1, 2


def sight(*atoms: int) -> Sight:
    """A value that makes these atoms true."""
    return Sight(frozenset(atoms))


def test_a_rule_opens_by_its_gate_alone() -> None:
    """Of two tests that must both hold, the one that is rarer in general is waited for."""
    gates = Gates([(And, (COMMON, RARE))], [100.0, 1.0, 1.0])
    assert gates.opened([sight(COMMON)]) == set()
    assert gates.opened([sight(COMMON), sight(RARE)]) == {0}


def test_a_gate_that_opens_in_vain_is_changed() -> None:
    """A test that was thought rare and holds all the time makes way for one that never did."""
    gates = Gates([(And, (COMMON, RARE))], [1.0, 100.0, 1.0])
    seen = sight(COMMON)
    for _ in range(FIRST_LESSON):
        assert gates.opened([seen]) == {0}
        gates.in_vain(0)
        gates.note([seen])
    assert gates.opened([seen]) == set()
    assert gates.opened([seen, sight(RARE)]) == {0}


def test_any_branch_opens_an_alternative() -> None:
    """A rule that holds when one of several tests does opens by each of them."""
    gates = Gates([(Or, (COMMON, RARE))], [1.0, 1.0, 1.0])
    assert gates.opened([sight(COMMON)]) == gates.opened([sight(RARE)]) == {0}
    assert gates.opened([sight(OTHER)]) == set()


def test_a_rule_that_needs_nothing_has_no_gate() -> None:
    """A negation can hold when nothing does, so it is always looked at."""
    assert Gates([(Not, (COMMON,)), COMMON], [1.0]).ungated == {0}
