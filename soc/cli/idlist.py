"""Ids on the command line, or from standard input where `-` stands, so that commands can be joined."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator

from soc.errors import UsageError

MAX_IDS = 10_000


def expand(given: Iterable[str]) -> list[str]:
    """The ids given, each once, with those from standard input in place of `-`.

    Raises `UsageError` when there is none at all, or more than `MAX_IDS`.
    """
    out: dict[str, None] = {}
    for text in given:
        for id_ in read(sys.stdin) if text == "-" else (text,):
            out[id_] = None
            if len(out) > MAX_IDS:
                raise UsageError(f"more than {MAX_IDS} ids at once", hint="narrow the listing they come from")
    if not out:
        raise UsageError("no id was given", hint="an id looks like A-7F3K; - reads ids from standard input")
    return list(out)


def read(lines: Iterable[str]) -> Iterator[str]:
    """Ids out of text: one in a line (what follows a blank is ignored), or CSV whose header names `id`."""
    rows = csv.reader(line for line in lines if line.strip())
    try:
        first = next(rows, [])
        names = [cell.strip().lower() for cell in first]
        at = names.index("id") if "id" in names else 0
        if "id" not in names:
            yield from _cell(first, at)
        for row in rows:
            yield from _cell(row, at)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(
            f"standard input is not a list of ids: {error}", hint="soc alert list --fields id --output csv"
        ) from None


def _cell(row: list[str], at: int) -> Iterator[str]:
    words = row[at].split() if at < len(row) else []
    if words:
        yield words[0]
