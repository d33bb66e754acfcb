"""Ranges of the feed, against sets of numbers."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from soc.detect.ranges import Span, grown, missing, union

SPANS = st.lists(st.builds(lambda a, n: Span("h", a, a + n), st.integers(-1, 40), st.integers(0, 12)))


def numbers(spans: list[Span]) -> set[int]:
    """The numbers that spans hold."""
    return {n for span in spans for n in range(span.after + 1, span.upto + 1)}


@given(SPANS)
def test_union_holds_the_same(spans: list[Span]) -> None:
    """In as few spans as can be, in order, none touching another."""
    found = union(spans)
    assert numbers(found) == numbers(spans)
    assert all(a.upto < b.after for a, b in itertools.pairwise(found))


@given(SPANS, st.integers(-1, 30), st.integers(0, 30))
def test_missing_is_the_difference(spans: list[Span], after: int, size: int) -> None:
    """Each number once."""
    wanted = Span("h", after, after + size)
    found = missing(wanted, spans)
    assert numbers(found) == numbers([wanted]) - numbers(spans)
    assert sum(span.size for span in found) == len(numbers(found))


@given(SPANS)
def test_grown_loses_nothing(spans: list[Span]) -> None:
    """One after the other; what follows on another lengthens it."""
    kept: list[list[str | int]] = []
    for span in spans:
        kept = grown(kept, span)
    assert numbers([Span(*one) for one in kept]) == numbers(spans)  # type: ignore[arg-type]  # plain data


def test_following_batches_are_one_range() -> None:
    """A day of sweeping is not thousands of ranges."""
    kept: list[list[str | int]] = []
    for start in range(0, 1000, 10):
        kept = grown(kept, Span("h", start, start + 10))
    assert kept == [["h", 0, 1000, "", ""]]


def test_other_histories_and_times_do_not_count() -> None:
    """What was seen before a restore, or of another time of event, is not what is wanted."""
    wanted = Span("h", 0, 10, "2026-03-02", "2026-03-09")
    assert missing(wanted, [Span("older", 0, 10)]) == [wanted]
    assert missing(wanted, [Span("h", 0, 10, "2026-03-03", "2026-03-09")]) == [wanted]
    assert missing(wanted, [Span("h", 0, 10, "2026-03-02", "2026-03-08")]) == [wanted]
    assert missing(wanted, [Span("h", 0, 4, "2026-03-01", ""), Span("h", 6, 10)]) == [
        wanted._replace(after=4, upto=6)
    ]
    assert missing(Span("h", 0, 10), [Span("h", 0, 10, "", "2026-03-09")]) == [Span("h", 0, 10)]
