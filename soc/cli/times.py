"""Times in tables: short, in the viewer's zone, which is said once below instead of in every row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from soc.event import moment

if TYPE_CHECKING:
    from soc.cli.session import Session

NARROW = 100
"""Columns of a terminal below which a table shortens its times."""


def brief(text: str, *, narrow: bool = False, seconds: bool = False) -> str:
    """A stored time in a column: `2026-11-23 14:14`, `narrow` `23 Nov 14:14` (of other years `23 Nov 2025`).

    Text that is not a time comes back as it is.
    """
    from datetime import UTC, datetime

    try:
        shown = moment(text).astimezone()
    except (ValueError, OverflowError):
        return text
    if not narrow:
        return shown.isoformat(sep=" ", timespec="seconds" if seconds else "minutes")[: 19 if seconds else 16]
    now = datetime.now(UTC).astimezone()
    return f"{shown:%d %b %H:%M}" if shown.year == now.year else f"{shown:%d %b %Y}"


def narrow() -> bool:
    """Whether results are drawn in few columns."""
    from soc.cli.output import width

    return width() < NARROW


def zone_note(texts: Iterable[Any]) -> str:
    """The remark below a table: `times in your zone (+07:00)`, with each offset where summer time changed
    between them; empty when there is no time among `texts`."""
    offsets = set()
    for text in texts:
        try:
            offsets.add(moment(str(text)).astimezone().isoformat()[-6:])
        except (ValueError, OverflowError):
            continue
    return f"times in your zone ({', '.join(sorted(offsets))})" if offsets else ""


def say_zone(s: Session, texts: Iterable[Any]) -> None:
    """The remark on standard error, below a table that a person reads."""
    note = zone_note(texts) if s.out.is_table else ""
    if note:
        s.say(note)
