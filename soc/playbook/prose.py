"""Text for people: what an author wrapped by hand is joined again, and wrapped to the reader's terminal."""

from __future__ import annotations

import re
import textwrap

LEAST = 40
"""Narrowest width, in cells, that text is wrapped to."""

_HAND_WRAPPED = 60
"""A line shorter than this was ended on purpose, not because the editor was full."""

_ITEM = re.compile(r"(?:\d{1,2}[.)]|[-*•])\s+")
_COMMAND = "soc "


def unwrap(text: str) -> str:
    """Text with lines that were only broken for the editor joined into one.

    A line goes on in the next where the next one's first word would have made it longer than the longest
    line there is. Items of lists, commands, and lines that are indented anew stay lines of their own.
    """
    lines = text.rstrip().splitlines()
    longest = max((len(line) for line in lines), default=0)
    out: list[str] = []
    before = ""
    for line in lines:
        if out and _goes_on(before, line, longest):
            out[-1] = f"{out[-1].rstrip()} {line.strip()}"
        else:
            out.append(line)
        before = line
    return "\n".join(out)


def _goes_on(before: str, line: str, longest: int) -> bool:
    words = line.split(maxsplit=1)
    if not words or not before.strip() or _ITEM.match(line.lstrip()) or _is_command(line):
        return False
    hanging = len(_item_of(before))
    if _indent(line) not in {_indent(before), _indent(before) + hanging} or _is_command(before):
        return False
    return len(before) >= _HAND_WRAPPED and len(before) + 1 + len(words[0]) > longest


def wrapped(text: str, width: int, indent: str = "") -> str:
    """Each line of text wrapped to a width, between words alone; a command stays one line, to be copied."""
    out: list[str] = []
    for line in text.rstrip().splitlines():
        if _is_command(line) or not line.strip():
            out.append((indent + line).rstrip())
            continue
        start = indent + " " * _indent(line)
        out += textwrap.wrap(
            line.strip(),
            max(width, LEAST),
            initial_indent=start,
            subsequent_indent=start + " " * len(_item_of(line)),
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(out)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _item_of(line: str) -> str:
    found = _ITEM.match(line.lstrip(" "))
    return found[0] if found else ""


def _is_command(line: str) -> bool:
    return line.lstrip().startswith(_COMMAND)
