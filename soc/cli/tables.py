"""Tables for people: columns that fit the terminal, drawn a block of rows at a time.

The first block decides the widths; later rows keep to them, so that a table of any length needs the memory
of one block.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

GAP = 2
"""Columns of space between two columns."""

BLOCK = 500
"""Rows that are measured, and drawn, at once."""

LEAST = 6
"""Narrowest column, in cells, that is still tried."""

READABLE, NARROW = 22, 12
"""Cells that a column which wraps should have, and below which others give way instead."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the field it shows, its heading, and how it may shrink.

    `style` is a rich style, `styles` one for each value. `wide` columns take the space that is left and wrap;
    others are cut with an ellipsis where even that is too much.
    """

    field: str
    title: str = ""
    style: str = ""
    right: bool = False
    wide: bool = False
    styles: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def heading(self) -> str:
        """What stands above it."""
        return self.title or self.field.upper()

    def style_of(self, text: str) -> str:
        """The style of one of its cells."""
        return self.styles.get(text, self.style)


def widths(natural: Sequence[int], wide: Sequence[bool], total: int) -> list[int]:
    """Widths of columns that together, with gaps, fit `total` cells where that is possible at all.

    `natural`: what each needs to show everything on one line. All get it if there is room; else columns
    that do not wrap get theirs first, and those that do share the rest by what they lack.
    """
    room = max(total - GAP * (len(natural) - 1), LEAST * len(natural))
    if sum(natural) <= room:
        return list(natural)
    out = [min(need, READABLE) if flexible else need for need, flexible in zip(natural, wide, strict=True)]
    while sum(out) > room:
        able = [i for i, got in enumerate(out) if wide[i] and got > NARROW] or range(len(out))
        largest = max(able, key=lambda i: out[i])
        if out[largest] <= LEAST:
            break
        out[largest] -= 1
    lacking = [need - got if flexible else 0 for need, got, flexible in zip(natural, out, wide, strict=True)]
    spare, lack = room - sum(out), sum(lacking)
    if spare > 0 and lack:
        out = [got + min(need, spare * need // lack) for got, need in zip(out, lacking, strict=True)]
    return out


def draw(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> int:
    """Draw rows of cells under their headings; how many there were. Without rows nothing is drawn."""
    from rich.cells import cell_len

    iterator = iter(rows)
    block = list(islice(iterator, BLOCK))
    if not block:
        return 0
    natural = [
        max(cell_len(column.heading), *(cell_len(row[i]) for row in block))
        for i, column in enumerate(columns)
    ]
    chosen = widths(natural, [column.wide for column in columns], console.width)
    count = 0
    for part in _blocks(block, iterator):
        table = _table(columns, chosen, header=not count)
        for row in part:
            table.add_row(*_cells(columns, row))
        console.print(table)
        count += len(part)
    return count


def _blocks(first: list[Sequence[str]], rest: Iterator[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    block = first
    while block:
        yield block
        block = list(islice(rest, BLOCK))


def _table(columns: Sequence[Column], chosen: Sequence[int], *, header: bool) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_header=header)
    for column, width in zip(columns, chosen, strict=True):
        table.add_column(
            column.heading,
            width=width,
            justify="right" if column.right else "left",
            no_wrap=not column.wide,
            overflow="fold" if column.wide else "ellipsis",
        )
    return table


def _cells(columns: Sequence[Column], row: Sequence[str]) -> Iterator[Text]:
    from rich.text import Text

    for column, text in zip(columns, row, strict=True):
        yield Text(text, style=column.style_of(text))
