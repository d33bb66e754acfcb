"""Shell completion with live ids: a small file of recent ids, written by listings, read by the completers.

Reading the store would be too slow for a key press and could ask for a password. So each listing of a noun
leaves its ids here (`CACHE/completion/alert`), one in a line with a few words; completers read only that.
Nothing here ever raises: a completion that fails is a completion that offers nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from soc.cli.text import one_line

KEPT = 500
"""Ids kept for each noun."""
MAX_BYTES = 200_000
MAX_WORDS = 80


def _file(noun: str) -> Path:
    from soc.config import cache_folder

    return cache_folder() / "completion" / noun


def remember(noun: str, items: Iterable[tuple[str, str]]) -> None:
    """Keep ids of a noun, the likeliest first, each with a few words on it; earlier ones go behind them."""
    with contextlib.suppress(OSError, RuntimeError):
        new = {id_: one_line(words)[:MAX_WORDS] for id_, words in items}
        merged = {**new, **{i: w for i, w in recent(noun) if i not in new}}
        lines = [f"{id_}\t{words}\n" for id_, words in list(merged.items())[:KEPT]]
        path = _file(noun)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{noun}-{os.getpid()}")
        draft.write_text("".join(lines), encoding="utf-8", errors="replace")
        draft.replace(path)  # readers see the old file or the new one


def recent(noun: str) -> list[tuple[str, str]]:
    """The ids kept for a noun, each with its words; empty where there are none or they cannot be read."""
    try:
        with _file(noun).open(encoding="utf-8", errors="replace") as lines:
            text = lines.read(MAX_BYTES)
    except (OSError, RuntimeError):
        return []
    out = []
    for line in text.splitlines():
        id_, _, words = line.partition("\t")
        if id_:
            out.append((id_, words))
    return out


def ids_of(noun: str) -> Callable[[str], list[tuple[str, str]]]:
    """A completer for an argument of Typer: `typer.Argument(autocompletion=ids_of("alert"))`.

    What is typed may leave out the letter: `7f` finds `A-7F3K`.
    """

    def complete(incomplete: str) -> list[tuple[str, str]]:
        typed = incomplete.upper()
        return [
            (id_, words) for id_, words in recent(noun) if id_.startswith(typed) or id_[2:].startswith(typed)
        ]

    return complete


def words(*values: str) -> Callable[[str], list[str]]:
    """A completer for a fixed choice."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete
