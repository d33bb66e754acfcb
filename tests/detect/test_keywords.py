"""All texts of an event searched at once: the gate of keywords never stays shut wrongly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.detect.keywords import Gate, texts_of, whole
from soc.detect.text import fold

LITERALS = ("abc", "k", "sekurlsa::", "4624", "true", "σ", "ß")
VALUES = st.one_of(
    st.sampled_from(["ABC", "\u212a", "ſekurlsa::", "SEKURLSA::", "ς", "\ud800abc", "x"]),
    st.text(max_size=6),
    st.integers(0, 5000),
    st.booleans(),
    st.none(),
    st.lists(st.one_of(st.text(max_size=4), st.integers(), st.none()), max_size=3),
)


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), VALUES, max_size=4),
    st.lists(st.sampled_from(LITERALS), min_size=1, unique=True),
)
def test_a_literal_in_any_value_opens(event: dict[str, Any], literals: list[str]) -> None:
    """Where a folded value holds a folded literal, the gate opens."""
    folded = [fold(literal) for literal in literals]
    if any(literal in fold(text) for text in texts_of(event) for literal in folded):
        assert Gate(folded).opens(whole(event))


@pytest.mark.parametrize("text", ["", "nothing of it", "é " * 50])
def test_it_stays_shut_where_nothing_is_found(text: str) -> None:
    """Text without a literal is passed over, also beyond ASCII."""
    assert not Gate(["sekurlsa::", "mimikatz"]).opens(text)
