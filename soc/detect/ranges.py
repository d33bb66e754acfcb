"""Ranges of the feed: which events a version of a rule has seen.

A `Span` is (history, after, upto): the events of a part of the feed whose numbers lie above `after`, up to
and with `upto` (`soc.store.contract.Reached`). A span with times holds only those of a time of event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """Events of one part of the feed. `since`, `until`: only those of these times, "" for no bound."""

    history: str
    after: int
    upto: int
    since: str = ""
    until: str = ""

    @property
    def size(self) -> int:
        """How many numbers it has; there are at most as many events."""
        return self.upto - self.after

    def covers(self, since: str, until: str) -> bool:
        """Whether it holds all events of these times."""
        return (not self.since or (bool(since) and self.since <= since)) and (
            not self.until or (bool(until) and until <= self.until)
        )


def grown(spans: Sequence[Sequence[str | int]], span: Span) -> list[list[str | int]]:
    """Spans as plain data, and one more; it lengthens the last one that it follows."""
    out = [list(one) for one in spans]
    if span.size <= 0:
        return out
    for one in reversed(out):
        known = Span(*one)  # type: ignore[arg-type]  # plain data of a document
        if known._replace(after=0, upto=0) == span._replace(after=0, upto=0) and known.upto == span.after:
            one[2] = span.upto
            return out
    return [*out, list(span)]


def union(spans: Iterable[Span]) -> list[Span]:
    """The same events in as few spans as can be, in order."""
    out: list[Span] = []
    for span in sorted(spans):
        last = out[-1] if out else None
        same = last and (last.history, last.since, last.until) == (span.history, span.since, span.until)
        if last and same and span.after <= last.upto:
            out[-1] = last._replace(upto=max(last.upto, span.upto))
        elif span.size > 0:
            out.append(span)
    return out


def missing(wanted: Span, seen: Iterable[Span]) -> list[Span]:
    """What of a span is in none of the others, which must hold all events of its times."""
    known = [
        one._replace(since="", until="")
        for one in seen
        if one.history == wanted.history and one.covers(wanted.since, wanted.until)
    ]
    out, at = [], wanted.after
    for one in union(known):
        if one.after >= wanted.upto:
            break
        if one.after > at:
            out.append(wanted._replace(after=at, upto=one.after))
        at = max(at, one.upto)
    if at < wanted.upto:
        out.append(wanted._replace(after=at))
    return out
