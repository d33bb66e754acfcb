"""Tables fit the terminal, and a long one needs no more memory than a short one."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from soc.cli.tables import BLOCK, GAP, LEAST, Column, draw, widths


def drawn(columns: list[Column], rows: Iterator[list[str]] | list[list[str]], width: int) -> list[str]:
    """The lines of a table on a terminal of this width."""
    out = io.StringIO()
    draw(Console(file=out, width=width), columns, rows)
    return out.getvalue().splitlines()


def test_everything_is_shown_where_there_is_room() -> None:
    """No column is wider than what stands in it."""
    lines = drawn([Column("id"), Column("title", wide=True)], [["A-1", "Web shell"], ["A-22", "x"]], 80)
    assert [line.rstrip() for line in lines] == ["ID    TITLE", "A-1   Web shell", "A-22  x"]


def test_text_wraps_between_words_and_ids_stay_whole() -> None:
    """On a narrow terminal the wide column wraps; the others keep what they need."""
    columns = [Column("id"), Column("title", wide=True), Column("n", right=True)]
    lines = drawn(columns, [["A-7F3K", "Script called in an upload folder", "5"]], 34)
    assert [line.rstrip() for line in lines] == [
        "ID      TITLE                    N",
        "A-7F3K  Script called in an      5",
        "        upload folder",
    ]


def test_later_blocks_keep_the_widths_of_the_first() -> None:
    """A table of several blocks has one heading, and its columns stand below each other."""
    rows = [[f"A-{i:04}", "x" * (i % 7)] for i in range(2 * BLOCK + 10)]
    lines = drawn([Column("id"), Column("text", wide=True)], iter(rows), 40)
    assert len(lines) == len(rows) + 1
    assert lines[0].startswith("ID      TEXT")
    assert {line[:6] for line in lines[1:]} == {row[0] for row in rows}


@pytest.mark.parametrize("width", [1, 10, 79])
def test_a_terminal_of_any_width_gets_all_rows(width: int) -> None:
    """Nothing fails on a window that is too small to read."""
    columns = [Column(name, wide=name == "b") for name in "abc"]
    assert len(drawn(columns, [["one", "two three four", "five"]] * 3, width)) >= 4


@given(st.lists(st.tuples(st.integers(1, 200), st.booleans()), min_size=1, max_size=8), st.integers(1, 200))
def test_widths_fit_and_are_never_more_than_needed(columns: list[tuple[int, bool]], total: int) -> None:
    """The sum fits a terminal that has room for the least that is tried."""
    natural, wide = [need for need, _ in columns], [flexible for _, flexible in columns]
    chosen = widths(natural, wide, total)
    assert all(0 < got <= need for got, need in zip(chosen, natural, strict=True))
    gaps = GAP * (len(chosen) - 1)
    assert sum(chosen) + gaps <= max(total, LEAST * len(chosen) + gaps)
