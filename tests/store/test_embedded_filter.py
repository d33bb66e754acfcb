"""The quick test on encoded bodies: never does it leave out a match."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.detect.predicate import EVERYTHING, NOTHING, And, Not, Op, Or, Predicate, Test, Verdict, evaluate
from soc.detect.text import fold
from soc.store.embedded_codec import encode
from soc.store.embedded_filter import MAX_NEEDLES, Needles


def test_every_code_point_that_folds_to_another_is_allowed_for() -> None:
    """All of Unicode: a value of one character is found by what it folds to, in either case."""
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        folded = fold(character)
        if folded == character and point > 0x7F:
            continue
        body = encode({"f": f"aa{character}bb"})
        for operand in (character, folded, folded.upper(), f"a{folded}b"):
            needles = Needles.of(Test("f", Op.CONTAINS, operand))
            assert needles.may_match(body) or fold(operand) not in fold(f"aa{character}bb"), hex(point)


@pytest.mark.parametrize(
    ("predicate", "clauses"),
    [
        (EVERYTHING, 0),
        (NOTHING, 0),
        (Test("f", Op.EQUALS, "admin"), 1),
        (Test(None, Op.CONTAINS, "admin"), 1),
        (Test("f", Op.WILDCARD, ("ad", "min")), 1),
        (Test("f", Op.EQUALS, "443"), 1),
        (Test("f", Op.EQUALS, "0443"), 0),
        (Test("f", Op.EQUALS, "4.3"), 0),
        (Test("f", Op.CONTAINS, "443"), 0),
        (Test("f", Op.EQUALS, "nguyễn"), 1),
        (Test("f", Op.EQUALS, "ễ"), 1),
        (Test("f", Op.EQUALS, ""), 0),
        (Test("f", Op.REGEX, "admin"), 0),
        (Test("f", Op.EXISTS), 0),
        (Not(Test("f", Op.EQUALS, "admin")), 0),
        (And((Test("f", Op.EQUALS, "admin"), Test("g", Op.EQUALS, "x"), Test("h", Op.NULL))), 2),
        (Or((Test("f", Op.EQUALS, "admin"), Test("g", Op.EQUALS, "x"))), 1),
        (Or((Test("f", Op.EQUALS, "admin"), Test("h", Op.NULL))), 0),
        (Or(tuple(Test("f", Op.EQUALS, f"word{n}") for n in range(MAX_NEEDLES + 1))), 0),
    ],
)
def test_only_what_is_certain_gives_a_needle(predicate: Predicate, clauses: int) -> None:
    """Numbers are written otherwise in JSON, negations and patterns say nothing."""
    assert len(Needles.of(predicate).clauses) == clauses


_words = st.one_of(
    st.sampled_from(
        [
            "admin",
            "ADMIN",
            'a"b',
            "a\\b",
            "\n",
            "k",
            "K",
            "\u212a",
            "ſ",
            "s",
            "true",
            "443",
            "nguyễn",
            "NGUYỄN",
            "Nguye\u0302\u0303n",
            "1",
            "10",
            "100000",
            "1e9",
            "é",
            ";",
        ]
    ),
    st.text(max_size=4),
)
_values = st.one_of(_words, st.booleans(), st.integers(), st.floats(), st.none())
_events = st.dictionaries(
    st.sampled_from("fgh"), st.one_of(_values, st.lists(_values, max_size=3)), max_size=3
)
_operands = st.tuples(st.sampled_from([Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH]), _words)
_tests = st.one_of(
    st.builds(
        lambda f, o, cased: Test(f, o[0], o[1], cased),
        st.sampled_from(["f", "g", None]),
        _operands,
        st.booleans(),
    ),
    st.builds(
        lambda parts: Test("f", Op.WILDCARD, parts), st.tuples(_words, st.one_of(st.none(), _words), _words)
    ),
)
_predicates: st.SearchStrategy[Predicate] = st.recursive(
    _tests,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@given(_predicates, _events, st.data())
def test_a_match_is_never_left_out(predicate: Predicate, event: dict[str, Any], data: st.DataObject) -> None:
    """For any predicate and event, also where the event holds what the predicate asks for."""
    literals = [t.operand for t in _leaves(predicate) if isinstance(t.operand, str)]
    if literals:
        value = data.draw(st.sampled_from(literals))
        number = int(value) if value.isdecimal() and value.isascii() else value
        forms: list[Any] = [value, value.upper(), f"x{value}ſ", unicodedata.normalize("NFD", value), number]
        forms += [float(number)] if isinstance(number, int) else []
        event = {**event, "f": data.draw(st.sampled_from(forms))}
    if evaluate(predicate, event) is Verdict.TRUE:
        assert Needles.of(predicate).may_match(encode(event))


def _leaves(predicate: Predicate) -> list[Test]:
    from soc.detect.predicate import tests

    return list(tests(predicate))
