"""What a correlation means, as plainly as it can be said: all windows are looked at, one after the other.

Written to be read, not to be fast. The engine must tell the same bursts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from soc.detect.correlate.definition import SCALE, Definition, Expression, Item, Kind, Watch


@dataclass(frozen=True, slots=True)
class Told:
    """A burst: its span, how many hits it holds, and of which references."""

    first: int
    last: int
    count: int
    parts: tuple[int, ...]


def bursts(definition: Definition, hits: Iterable[Item], watermark: int) -> list[Told]:
    """The bursts in these hits, when no event before `watermark` is still to come."""
    items = distinct(hits)
    if definition.watch is Watch.ABSENT:
        spans = quiet_spans(definition, items, watermark)
    else:
        windows = [window_at(definition, items, end) for end in sorted({item.time for item in items})]
        if definition.watch is Watch.SETTLED:
            windows = [w for w in windows if is_greatest(w, windows, definition.timespan, watermark)]
        spans = [(w[0].time, w[-1].time) for w in windows if holds(definition, w)]
    return [told(definition, items, first, last) for first, last in united(spans)]


def distinct(hits: Iterable[Item]) -> list[Item]:
    """Each event once, by time; it is a hit of all the rules that ever were true of it."""
    known: dict[str, Item] = {}
    for hit in hits:
        known[hit.id] = known[hit.id].joined(hit) if hit.id in known else hit
    return sorted(known.values())


def window_at(definition: Definition, items: Sequence[Item], end: int) -> list[Item]:
    """The window that ends at a time: half open, as long as the timespan."""
    return [item for item in items if end - definition.timespan < item.time <= end]


def is_greatest(
    window: Sequence[Item], windows: Sequence[Sequence[Item]], timespan: int, watermark: int
) -> bool:
    """Whether no other window holds all of its hits and more, now and later."""
    if any(set(window) < set(other) for other in windows):
        return False
    is_last = window[-1].time == max(w[-1].time for w in windows)
    return not is_last or watermark >= window[0].time + timespan


def quiet_spans(definition: Definition, items: Sequence[Item], watermark: int) -> list[tuple[int, int]]:
    """Windows between the first hit and the watermark that fulfil the condition, each a span of time."""
    if not items:
        return []
    until = min(watermark, items[-1].time + definition.lookback)
    return [
        (start, start + definition.timespan)
        for start in range(items[0].time, until - definition.timespan + 1)
        if holds(definition, [i for i in items if start <= i.time < start + definition.timespan])
    ]


def united(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that share a moment, as one."""
    out: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if out and first <= out[-1][1]:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return out


def told(definition: Definition, items: Sequence[Item], first: int, last: int) -> Told:
    """What is said of a burst."""
    inside = [item for item in items if first <= item.time <= last]
    parts = [sum(item.refs >> n & 1 for item in inside) for n in range(len(definition.references))]
    return Told(first, last, len(inside), tuple(parts))


def holds(definition: Definition, window: Sequence[Item]) -> bool:
    """Whether the condition holds in a window."""
    numbers = sorted(number for item in window for number in item.values)
    rules = [n for n in range(len(definition.references)) if any(item.refs >> n & 1 for item in window)]
    match definition.kind:
        case Kind.EVENT_COUNT:
            return definition.holds(len(window))
        case Kind.VALUE_COUNT:
            return definition.holds(len({value for item in window for value in item.values}))
        case Kind.TEMPORAL:
            if definition.expression:
                return true_of(definition.expression, rules)
            return definition.holds(len(rules))
        case Kind.TEMPORAL_ORDERED:
            if definition.expression:
                return any(longest(window, order) == len(order) for order in definition.orders)
            return definition.holds(longest(window, range(len(definition.references))))
        case Kind.VALUE_SUM:
            return definition.holds(Fraction(sum(numbers), SCALE))
        case Kind.VALUE_AVG:
            return definition.holds(Fraction(sum(numbers), SCALE * len(numbers)) if numbers else None)
        case _:
            return definition.holds(percentile(numbers, definition.percentile) if numbers else None)


def true_of(expression: Expression, rules: Sequence[int]) -> bool:
    """Whether an extended condition is true where these rules have hits."""
    match expression.op:
        case "rule":
            return expression.rule in rules
        case "not":
            return not true_of(expression.parts[0], rules)
        case "and":
            return all(true_of(part, rules) for part in expression.parts)
        case _:
            return any(true_of(part, rules) for part in expression.parts)


def longest(window: Sequence[Item], order: Sequence[int]) -> int:
    """How many of the steps can be found one after the other: at the same moment or later, another event."""
    best = 0

    def walk(step: int, length: int, last: Item | None) -> None:
        nonlocal best
        best = max(best, length)
        for later in range(step, len(order)):
            for item in window:
                follows = last is None or (item.time >= last.time and item.id != last.id)
                if item.refs >> order[later] & 1 and follows:
                    walk(later + 1, length + 1, item)

    walk(0, 0, None)
    return best


def percentile(numbers: Sequence[int], percent: Fraction) -> Fraction:
    """Interpolated between the two nearest ranks."""
    rank = percent / 100 * (len(numbers) - 1)
    low = numbers[int(rank)]
    high = numbers[min(int(rank) + 1, len(numbers) - 1)]
    return (low + (rank - int(rank)) * (high - low)) / SCALE
