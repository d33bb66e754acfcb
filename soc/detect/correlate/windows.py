"""Sliding windows in event time, as pure functions of the hits of one group.

A window of a correlation is a stretch of event time as long as its timespan, half open: two hits that lie a
whole timespan apart are never in one window. Two families of windows matter:

- *ending* windows: for each hit at time t all hits in (t - timespan, t]. Whatever has to happen together
  happens in one of these, since moving any other window back to its last hit loses none of its hits;
- *free* windows [s, s + timespan) for every s, where the condition holds for few or no hits: there the
  windows between hits matter.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, Protocol

from soc.detect.correlate.definition import SCALE, Definition, Item, Kind, Watch


class Hits(Protocol):
    """The hits of a group, by time. Bounds: `after` is outside, `until` inside."""

    def between(self, after: int, until: int) -> Iterator[Item]:
        """The hits in (after, until], by time, then id."""

    def count(self, after: int, until: int) -> int:
        """How many there are in (after, until]."""

    def next_after(self, time: int) -> int | None:
        """The time of the first hit after `time`."""


class Window(NamedTuple):
    """One window: the times of its first and its last hit, its value, and whether the condition holds.

    `decided` is the moment from which no event can change that, where it is not decided yet (0: it is).
    """

    first: int
    last: int
    value: Fraction | int | None
    holds: bool
    decided: int = 0


class Stretch(NamedTuple):
    """What free windows in which the condition holds cover together: from the beginning of the first to the
    end of the last. `open`: it may go on when more time has passed."""

    first: int
    last: int
    value: Fraction | int | None
    open: bool


# ------------------------------------------------------------------ what is in a window


class _Tally:
    """What is counted in a window while it slides."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.size = 0

    def enter(self, tie: list[Item]) -> None:
        """Hits of one moment come in."""
        self.size += len(tie)

    def leave(self, item: Item) -> None:  # noqa: ARG002 - other tallies look at it
        """A hit goes out."""
        self.size -= 1

    def value(self, _cut: int) -> Fraction | int | None:
        """What the condition is about; `_cut`: hits up to this time are no longer in the window."""
        return self.size

    def holds(self, cut: int) -> bool:
        """Whether the condition holds now."""
        return self.definition.holds(self.value(cut))


class _Distinct(_Tally):
    """Counts distinct values."""

    def __init__(self, definition: Definition) -> None:
        super().__init__(definition)
        self.known: Counter[str] = Counter()

    def enter(self, tie: list[Item]) -> None:
        for item in tie:
            self.known.update(item.values)

    def leave(self, item: Item) -> None:
        for value in item.values:
            self.known[value] -= 1
            if not self.known[value]:
                del self.known[value]

    def value(self, _cut: int) -> int:
        return len(self.known)


class _Sum(_Tally):
    """Adds numbers, or takes their average."""

    total = 0

    def enter(self, tie: list[Item]) -> None:
        for item in tie:
            self.size += len(item.values)
            self.total += sum(item.values)

    def leave(self, item: Item) -> None:
        self.size -= len(item.values)
        self.total -= sum(item.values)

    def value(self, _cut: int) -> Fraction | None:
        if self.definition.kind is Kind.VALUE_SUM:
            return Fraction(self.total, SCALE)
        return Fraction(self.total, SCALE * self.size) if self.size else None


class _Rank(_Tally):
    """Finds the percentile of numbers: between two of them it is interpolated, as the median of two is
    their mean."""

    def __init__(self, definition: Definition) -> None:
        super().__init__(definition)
        self.numbers: list[int] = []

    def enter(self, tie: list[Item]) -> None:
        for item in tie:
            for number in item.values:
                insort(self.numbers, number)

    def leave(self, item: Item) -> None:
        for number in item.values:
            del self.numbers[bisect_left(self.numbers, number)]

    def value(self, _cut: int) -> Fraction | None:
        if not self.numbers:
            return None
        rank = self.definition.percentile / 100 * (len(self.numbers) - 1)
        below = int(rank)
        low = self.numbers[below]
        high = self.numbers[min(below + 1, len(self.numbers) - 1)]
        return (low + (rank - below) * (high - low)) / SCALE


class _Rules(_Tally):
    """Counts which of the rules have a hit."""

    def __init__(self, definition: Definition) -> None:
        super().__init__(definition)
        self.counts = [0] * len(definition.references)

    def enter(self, tie: list[Item]) -> None:
        for item in tie:
            for number in bits(item.refs):
                self.counts[number] += 1

    def leave(self, item: Item) -> None:
        for number in bits(item.refs):
            self.counts[number] -= 1

    def value(self, _cut: int) -> int:
        return sum(count > 0 for count in self.counts)

    def holds(self, cut: int) -> bool:
        if self.definition.expression is None:
            return self.definition.holds(self.value(cut))
        present = sum(1 << number for number, count in enumerate(self.counts) if count)
        return self.definition.expression.holds(present)


class _Ordered(_Tally):
    """Finds how many of the rules have hits in their order.

    A step follows another when it comes at the same moment or later, and is another event. For each rule
    that a chain can end with and each length, the two latest beginnings are known that end with different
    events: enough to go on from with any event, and to tell whether a chain lies within the window.
    """

    def __init__(self, definition: Definition) -> None:
        super().__init__(definition)
        self.orders = definition.orders
        self.ends: list[list[dict[int, list[tuple[int, str]]]]] = [
            [{} for _ in order] for order in self.orders
        ]

    def enter(self, tie: list[Item]) -> None:
        for order, ends in zip(self.orders, self.ends, strict=True):
            for step, number in enumerate(order):
                for item in tie:
                    if item.refs >> number & 1:
                        self._extend(ends, step, item)

    def _extend(self, ends: list[dict[int, list[tuple[int, str]]]], step: int, item: Item) -> None:
        _keep_two(ends[step].setdefault(1, []), item.time, item.id)
        for before in ends[:step]:
            for length, chains in before.items():
                start = next((start for start, event in chains if event != item.id), None)
                if start is not None:
                    _keep_two(ends[step].setdefault(length + 1, []), start, item.id)

    def leave(self, item: Item) -> None:
        """Nothing: a chain that began too early is passed over when it is asked for."""

    def _longest(self, ends: list[dict[int, list[tuple[int, str]]]], cut: int) -> int:
        found = (length for end in ends for length, chains in end.items() if chains[0][0] > cut)
        return max(found, default=0)

    def value(self, cut: int) -> int:
        return max(self._longest(ends, cut) for ends in self.ends)

    def holds(self, cut: int) -> bool:
        if self.definition.expression is None:
            return self.definition.holds(self.value(cut))
        return any(
            self._longest(ends, cut) == len(order) for order, ends in zip(self.orders, self.ends, strict=True)
        )


def _keep_two(chains: list[tuple[int, str]], start: int, event: str) -> None:
    """Keep the two latest beginnings that end with different events, the latest first."""
    for number, (known, ended) in enumerate(chains):
        if ended == event:
            if known >= start:
                return
            del chains[number]
            break
    chains.append((start, event))
    chains.sort(key=itemgetter(0), reverse=True)
    del chains[2:]


_TALLIES: dict[Kind, type[_Tally]] = {
    Kind.EVENT_COUNT: _Tally,
    Kind.VALUE_COUNT: _Distinct,
    Kind.TEMPORAL: _Rules,
    Kind.TEMPORAL_ORDERED: _Ordered,
    Kind.VALUE_SUM: _Sum,
    Kind.VALUE_AVG: _Sum,
    Kind.VALUE_PERCENTILE: _Rank,
    Kind.VALUE_MEDIAN: _Rank,
}


def bits(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set."""
    number = 0
    while mask:
        if mask & 1:
            yield number
        mask >>= 1
        number += 1


# ------------------------------------------------------------------ windows that end with a hit


def ending(
    definition: Definition, hits: Hits, after: int, until: int, *, watermark: int = 0
) -> Iterator[Window]:
    """The windows that end with a hit in (after, until], whether the condition holds in them or not.

    With an upper bound on a count only a *greatest* window counts, one whose hits are not all in a later
    window as well: else any busy hour would hold a quieter moment at its beginning. Whether a window is one
    shows with the next hit, or when the watermark says that none will come.
    """
    if definition.kind is Kind.EVENT_COUNT and definition.watch is not Watch.SETTLED:
        yield from _counted(definition, hits, after, until)
        return
    settled = definition.watch is Watch.SETTLED
    span, tally = definition.timespan, _TALLIES[definition.kind](definition)
    inside: deque[Item] = deque()
    for tie, following in _ties(hits, after - span, until):
        time = tie[0].time
        tally.enter(tie)
        inside.extend(tie)
        while inside[0].time <= time - span:
            tally.leave(inside.popleft())
        if time <= after:
            continue
        first = inside[0].time
        value, holds, decided = tally.value(time - span), tally.holds(time - span), 0
        if settled and following is not None:
            holds = holds and first <= following - span
        elif settled and watermark < first + span:
            decided = first + span if holds else 0
            holds = False
        yield Window(first, time, value, holds, decided)


def _counted(definition: Definition, hits: Hits, after: int, until: int) -> Iterator[Window]:
    """Numbers of hits, without looking at those that lie between."""
    span = definition.timespan
    for time, _ in groupby(hits.between(after, until), key=itemgetter(0)):
        value = hits.count(time - span, time)
        first = hits.next_after(time - span)
        yield Window(time if first is None else first, time, value, definition.holds(value))


def _ties(hits: Hits, after: int, until: int) -> Iterator[tuple[list[Item], int | None]]:
    """The hits of each moment together, and the time of the next one."""
    waiting: list[Item] = []
    for time, tie in groupby(hits.between(after, until), key=itemgetter(0)):
        if waiting:
            yield waiting, time
        waiting = list(tie)
    if waiting:
        yield waiting, hits.next_after(waiting[0].time)


# ------------------------------------------------------------------ windows between hits


def free(definition: Definition, hits: Hits, start: int, until: int) -> tuple[list[Stretch], int]:
    """What the windows cover that begin at `start` or later, end by `until`, and fulfil the condition.

    Returns the stretches, and when to look again although no event came (0: never).
    """
    span, tally = definition.timespan, _TALLIES[definition.kind](definition)
    items = list(hits.between(start - 1, until - 1))
    came = gone = 0
    found: list[Stretch] = []
    begin = start
    while begin + span <= until:
        came = _enter(tally, items, came, begin + span)
        while gone < came and items[gone].time < begin:
            tally.leave(items[gone])
            gone += 1
        changes = [items[came].time - span + 1] if came < len(items) else []
        changes += [items[gone].time + 1] if gone < came else []
        end = min([change - 1 for change in changes if change > begin], default=until - span)
        end = min(end, until - span)
        if tally.holds(begin - 1):
            cover = Stretch(begin, end + span, tally.value(begin - 1), open=end + span == until)
            found = _joined(found, cover)
        begin = end + 1
    return found, _again(items, gone, begin, span)


def _enter(tally: _Tally, items: list[Item], came: int, end: int) -> int:
    """Let the hits before `end` come in, those of one moment together."""
    while came < len(items) and items[came].time < end:
        tie = [items[came]]
        while came + len(tie) < len(items) and items[came + len(tie)].time == tie[0].time:
            tie.append(items[came + len(tie)])
        tally.enter(tie)
        came += len(tie)
    return came


def _joined(found: list[Stretch], cover: Stretch) -> list[Stretch]:
    if found and cover.first <= found[-1].last:
        last = found.pop()
        value = min((v for v in (last.value, cover.value) if v is not None), default=None)
        cover = Stretch(last.first, max(last.last, cover.last), value, cover.open)
    return [*found, cover]


def _again(items: list[Item], gone: int, begin: int, span: int) -> int:
    """When a window that begins after the next hit to leave is over."""
    waiting = next((item.time for item in items[gone:] if item.time >= begin - 1), None)
    return waiting + 1 + span if waiting is not None else 0


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of time, those that share a moment made one, by time."""
    out: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if out and first <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        else:
            out.append((first, last))
    return out
