"""Key-value text."""

from __future__ import annotations

import time

import pytest

from soc.collect.formats import keyvalue


def test_pairs_are_read_with_their_quotes() -> None:
    """Bare and quoted values; of a key given twice the first counts."""
    text = """a=1 b="two words" c='x y' d.e-f=z,a=2"""
    assert keyvalue.parse(text) == {"a": "1", "b": "two words", "c": "x y", "d.e-f": "z"}


@pytest.mark.parametrize("text", ["a" * 1_000_000, "a=" * 300_000, 'a="' * 200_000, 'a="\\' * 200_000])
def test_hostile_text_takes_no_more_than_its_length(text: str) -> None:
    """A long run of letters or of open quotes is read in a moment."""
    start = time.process_time()
    keyvalue.parse(text)
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('1,a,"b,c","d ""e""",', ["1", "a", "b,c", 'd "e"', ""]),
        ("", []),
        ('a,"open', ["a", "open"]),
        ("\0a,b", ["a", "b"]),
        ("a," + "b" * 200_000, ["a", "b" * 200_000]),
    ],
)
def test_columns_are_numbered(text: str, values: list[str]) -> None:
    """Quotes keep commas; an open quote and a null byte do no harm."""
    assert keyvalue.csv(text) == {str(n): value for n, value in enumerate(values)}
