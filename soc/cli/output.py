"""Results on standard output: a table for people, JSON, JSON lines or CSV for programs.

Rows are plain mappings. With `--fields a,b` only those are shown; an unknown or empty name lists the
fields there are. Where standard output is a terminal, text from logs is neutralised in every format.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from soc.cli.tables import Column, draw
from soc.cli.text import one_line, safe
from soc.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["LEVEL_STYLES", "Column", "Output", "as_text", "width"]

Row = Mapping[str, Any]


LEVEL_STYLES = {
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "yellow",
    "low": "cyan",
    "informational": "dim",
}
"""How a severity is coloured in tables."""


def width() -> int:
    """Columns to draw a table in: the terminal's, else 120 so that a pipe or a file is not cut short."""
    import shutil

    if os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return 120


def as_text(value: Any) -> str:
    """A value in a table cell or a CSV field."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ", ".join(as_text(v) for v in value)
    if isinstance(value, Mapping):
        return _dumps(value)
    return str(value)


def _dumps(value: Any, *, indent: bool = False) -> str:
    import orjson

    option = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    try:
        return orjson.dumps(value, default=str, option=option).decode()
    except TypeError:
        # integers beyond 64 bits, which JSON allows and orjson refuses
        import json

        return json.dumps(value, default=str, ensure_ascii=False, indent=2 if indent else None)


class _Unpadded:
    """A stream that leaves out the spaces with which a table fills its lines: in a pipe they only wrap."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write("\n".join(line.rstrip(" ") for line in text.split("\n")))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Output:
    """Writes rows, or one thing, in the chosen format."""

    def __init__(self, format: str = "table", fields: str | None = None) -> None:  # noqa: A002 - the option's name
        self.format = format
        self.fields = fields

    @property
    def is_table(self) -> bool:
        """Whether a person reads this."""
        return self.format == "table"

    def console(self) -> Console:
        """A rich console on standard output that keeps to `NO_COLOR` and to the width of `width`."""
        from rich.console import Console

        file = sys.stdout if sys.stdout.isatty() else cast("IO[str]", _Unpadded(sys.stdout))
        return Console(file=file, width=width(), highlight=False, soft_wrap=False)

    def write(self, text: str) -> None:
        """Text as it is, with a line end; neutralised when it goes to a terminal."""
        sys.stdout.write((safe(text) if sys.stdout.isatty() else text) + "\n")

    def markup(self, renderable: Any) -> None:
        """A rich renderable or markup; whoever builds it has escaped text from logs."""
        self.console().print(renderable)

    def rows(
        self, rows: Iterable[Row], columns: Sequence[Column | str], *, empty: str = "nothing found"
    ) -> int:
        """Write rows; the number written. `columns` are the table's; JSON has every field of a row.

        `empty` is said on standard error when there are none and a person reads.
        """
        shown = [c if isinstance(c, Column) else Column(c) for c in columns]
        iterator = iter(rows)
        first = next(iterator, None)
        chosen = self._chosen(first, shown)
        rest: Iterator[Row] = iterator if first is None else chain([first], iterator)
        if chosen is not None:
            rest = ({name: row.get(name) for name in chosen} for row in rest)
            shown = [next((c for c in shown if c.field == name), Column(name)) for name in chosen]
        if self.format == "json":
            return self._json(rest)
        if self.format == "jsonl":
            return self._jsonl(rest)
        if self.format == "csv":
            return self._csv(rest, chosen or [c.field for c in shown])
        return self._table(rest, shown, empty)

    def one(self, thing: Row, columns: Sequence[Column | str] = ()) -> None:
        """One thing: fields below each other as a table, an object in JSON, one row in CSV."""
        chosen = self._chosen(thing, [c if isinstance(c, Column) else Column(c) for c in columns])
        if chosen is not None:
            thing = {name: thing.get(name) for name in chosen}
        if self.format == "json":
            self.write(_dumps(thing, indent=True))
        elif self.format == "jsonl":
            self.write(_dumps(thing))
        elif self.format == "csv":
            self._csv(iter([thing]), list(thing))
        else:
            from rich.table import Table
            from rich.text import Text

            table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
            table.add_column(style="bold", no_wrap=True)
            table.add_column(overflow="fold")
            for name, value in thing.items():
                table.add_row(Text(one_line(name)), Text(safe(as_text(value))))
            self.console().print(table)

    def _chosen(self, first: Row | None, columns: list[Column]) -> list[str] | None:
        if self.fields is None:
            return None
        known = list(first) if first is not None else [c.field for c in columns]
        names = [name.strip() for name in self.fields.split(",") if name.strip()]
        unknown = [name for name in names if name not in known and first is not None]
        if not names or unknown:
            what = f"unknown field {', '.join(unknown)}" if unknown else "no field was named"
            raise UsageError(f"{what}; the fields are: {', '.join(known)}")
        return names

    def _json(self, rows: Iterator[Row]) -> int:
        count = 0
        for row in rows:
            self.write(("[" if not count else ",") + _dumps(row))
            count += 1
        self.write("]" if count else "[]")
        return count

    def _jsonl(self, rows: Iterator[Row]) -> int:
        count = 0
        for row in rows:
            self.write(_dumps(row))
            count += 1
        return count

    def _csv(self, rows: Iterator[Row], names: list[str]) -> int:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        count = 0
        for row in rows:
            cells = (as_text(row.get(name)) for name in names)
            writer.writerow([_no_formula(safe(c) if sys.stdout.isatty() else c) for c in cells])
            count += 1
        return count

    def _table(self, rows: Iterator[Row], columns: list[Column], empty: str) -> int:
        columns = [_coloured(column) for column in columns]
        cells = ([one_line(as_text(row.get(column.field))) for column in columns] for row in rows)
        count = draw(self.console(), columns, cells)
        if not count and empty:
            sys.stderr.write(empty + "\n")
        return count


def _coloured(column: Column) -> Column:
    """A column of severities has their colours, unless it has its own."""
    if column.field in {"level", "severity"} and not column.styles:
        return dataclasses.replace(column, styles=LEVEL_STYLES)
    return column


def _no_formula(cell: str) -> str:
    """A CSV cell that a spreadsheet does not take for a formula (CWE-1236)."""
    return (
        "'" + cell
        if cell[:1] in {"=", "+", "@", "\t", "\r"} or (cell[:1] == "-" and not _number(cell))
        else cell
    )


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
