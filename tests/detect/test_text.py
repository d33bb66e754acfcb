"""How text compares."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.detect.matcher import Matcher
from soc.detect.predicate import EVERYTHING, Op, Test, matches
from soc.detect.rule import Rule
from soc.detect.text import canonical, fold


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ADMIN", "admin"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("paſſword", "PASSWORD"),
        ("\u212aelvin", "kelvin"),
        ("NGUYỄN VĂN ĐỨC", "nguyễn văn đức"),
        ("Nguye\u0302\u0303n", "NGUYỄN"),
        ("ÜNÏCODE", "ünïcode"),
        ("ẞ", "ß"),
        ("ǅ", "ǆ"),
        ("Ԁ", "ԁ"),
        ("\U00010400", "\U00010428"),
    ],
)
def test_these_are_equal(one: str, other: str) -> None:
    """Upper and lower case of any script, composed and decomposed."""
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("straße", "STRASSE"), ("İ", "i"), ("ı", "i"), ("ﬁ", "fi"), ("é", "e"), ("đ", "d"), ("a", "а")],
)
def test_these_are_not(one: str, other: str) -> None:
    """What would need several characters for one, marks, and look-alikes of another script."""
    assert fold(one) != fold(other)


def test_every_code_point_folds_to_one() -> None:
    """And folding again changes nothing, nor does normalising."""
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        folded = fold(character)
        assert len(folded) == len(unicodedata.normalize("NFC", character)), hex(point)
        assert fold(folded) == folded, hex(point)


@given(st.text())
def test_folding_keeps_the_length_and_is_stable(text: str) -> None:
    """So that positions in folded text are positions in the text."""
    assert len(fold(text)) == len(unicodedata.normalize("NFC", text))
    assert fold(fold(text)) == fold(text)


CHARACTERS = st.one_of(
    st.characters(),  # also halves of surrogate pairs, which JSON can bring
    st.characters(categories=["Lu", "Ll", "Lt", "Mn", "Mc"]),
    st.sampled_from("aAkKsSiI\u0130\u0131\u017f\u212a\u212bßẞςσΣ\u0345\u0301\u0323\u0302Ạậ"),
)
TEXTS = st.text(CHARACTERS, max_size=12)


@settings(max_examples=300)
@given(TEXTS)
def test_the_fold_is_of_composed_text(text: str) -> None:
    """Composed or decomposed, upper or lower case where that is one character: it folds to the same."""
    folded = fold(text)
    assert len(folded) == len(unicodedata.normalize("NFC", text))
    assert fold(folded) == folded
    assert fold(unicodedata.normalize("NFD", text)) == folded
    assert fold(unicodedata.normalize("NFC", text)) == folded
    one_to_one = [c.lower() if len(c.lower()) == 1 and len(c.casefold()) == 1 else c for c in text]
    assert fold("".join(one_to_one)) == folded


@settings(max_examples=300)
@given(TEXTS, TEXTS)
def test_values_are_equal_where_their_folds_are(one: str, other: str) -> None:
    """Evaluation and matcher agree with the fold, for each test of text, whatever the characters."""
    for literal, value in (
        (one, other),
        (one, one.upper()),
        (one, f"{other}{one}"),
        (other, f"{other}{one}"),
    ):
        left, right = fold(literal), fold(value)
        expected = {
            Op.EQUALS: right == left,
            Op.CONTAINS: left in right,
            Op.STARTSWITH: right.startswith(left),
            Op.ENDSWITH: right.endswith(left),
        }
        tests = {op: Test("f", op, literal) for op in expected}
        rules = [
            Rule(id=str(op), title=str(op), predicate=test, source=EVERYTHING) for op, test in tests.items()
        ]
        fired = {match.rule.id for match in Matcher(rules).match({"f": value})}
        for op, truth in expected.items():
            assert matches(tests[op], {"f": value}) is truth, (op, literal, value)
            assert (str(op) in fired) is truth, (op, literal, value)


@given(st.text(), st.text())
def test_what_is_contained_stays_contained(before: str, after: str) -> None:
    """A literal of ASCII is found in the folded text wherever a mark does not join its end."""
    text = f"{before} Admin {after}"
    assert " admin" in fold(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        (4624, "4624"),
        (4624.0, "4624"),
        (-0.0, "0"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        (2**70, str(2**70)),
        (1e300, "1e+300"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_a_value_has_one_text(value: object, text: str) -> None:
    """Numbers and their text are one; booleans are lower case."""
    assert canonical(value) == text
