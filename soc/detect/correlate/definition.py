"""What a correlation says: which hits it looks at, in which windows, and what must hold in one of them.

Times and spans are whole microseconds, values are whole millionths (`SCALE`), so that sums and comparisons
are exact and do not depend on the order of events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from soc.detect.predicate import as_number
from soc.detect.text import canonical, fold
from soc.event import values_of
from soc.respond import ids

if TYPE_CHECKING:
    from soc.detect.rule import Rule

SCALE = 1_000_000
"""Parts of one in which values are counted: what lies beyond six digits after the point is rounded."""
LARGEST = 10**18
"""The largest number that is computed with, and the smallest below zero."""
DAY = 86_400_000_000
LATENESS = 7 * DAY
"""How late a hit may come, unless the rule says otherwise (`soc.lateness`)."""
LOOKBACK = 7 * DAY
"""How long after its last hit a group is watched for silence, unless the rule says so (`soc.lookback`)."""
MAX_KEPT = 1_000_000
"""Hits that are kept of one group: up to here every condition is exact, whatever the timespan."""
MAX_GROUPS = 32
"""Groups that one event can belong to, where a field of `group-by` has several values."""
MAX_VALUE = 64
"""Characters of a counted value that are kept; a longer one is kept as a hash of the whole."""


class Kind(StrEnum):
    """The types of correlations of Sigma."""

    EVENT_COUNT = "event_count"
    VALUE_COUNT = "value_count"
    TEMPORAL = "temporal"
    TEMPORAL_ORDERED = "temporal_ordered"
    VALUE_SUM = "value_sum"
    VALUE_AVG = "value_avg"
    VALUE_PERCENTILE = "value_percentile"
    VALUE_MEDIAN = "value_median"


TEMPORAL = frozenset({Kind.TEMPORAL, Kind.TEMPORAL_ORDERED})
NUMERIC = frozenset({Kind.VALUE_SUM, Kind.VALUE_AVG, Kind.VALUE_PERCENTILE, Kind.VALUE_MEDIAN})
WITH_FIELD = NUMERIC | {Kind.VALUE_COUNT}


class Item(NamedTuple):
    """A hit as a group keeps it: one event, once.

    `refs`: which of the references it is a hit of, one bit each. `values`: what it has in the field that is
    counted (folded texts) or computed with (millionths), sorted, each once.
    """

    time: int
    id: str
    refs: int
    values: tuple[Any, ...] = ()

    def joined(self, other: Item) -> Item:
        """This event, also as hit of the other references."""
        values = self.values
        if other.values and other.values != values:
            values = tuple(sorted({*values, *other.values}))
        return Item(self.time, self.id, self.refs | other.refs, values)


class Limit(NamedTuple):
    """One comparison of a condition. `number` as the rule writes it."""

    op: str
    number: Fraction

    def holds(self, value: Fraction | int) -> bool:
        """Whether a value fulfils it."""
        match self.op:
            case "gt":
                return value > self.number
            case "gte":
                return value >= self.number
            case "lt":
                return value < self.number
            case "lte":
                return value <= self.number
            case "eq":
                return value == self.number
        return value != self.number


OPS = ("lt", "lte", "gt", "gte", "eq", "neq")


class Expression(NamedTuple):
    """An extended condition: `op` is `rule` (with its number), `and`, `or` or `not`."""

    op: str
    parts: tuple[Expression, ...] = ()
    rule: int = 0

    def holds(self, present: int) -> bool:
        """Whether it is true where exactly these references have hits (one bit each)."""
        match self.op:
            case "rule":
                return bool(present >> self.rule & 1)
            case "and":
                return all(part.holds(present) for part in self.parts)
            case "or":
                return any(part.holds(present) for part in self.parts)
        return not self.parts[0].holds(present)

    def has_not(self) -> bool:
        """Whether more hits could make it false."""
        return self.op == "not" or any(part.has_not() for part in self.parts)

    def orders(self) -> list[tuple[int, ...]]:
        """The sequences of references that fulfil it, when order counts; without `not`."""
        if self.op == "rule":
            return [(self.rule,)]
        parts = [part.orders() for part in self.parts]
        if self.op == "or":
            return [order for part in parts for order in part]
        return [tuple(step for order in chosen for step in order) for chosen in product(*parts)]


class Watch(StrEnum):
    """When a condition is decided, and whether more events can undo it."""

    RISING = "rising"
    """As soon as it is true, and it stays true: counts with lower bounds."""
    MOVING = "moving"
    """With each event, and a late one may change it: sums, averages, percentiles."""
    SETTLED = "settled"
    """When no further event can come into the window: counts with upper bounds."""
    ABSENT = "absent"
    """When time has passed: what holds in a window without events."""


Names = tuple[tuple[str, ...], ...]
"""For each name in a correlation, the fields of the store that may hold it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A rule that a correlation refers to.

    `groups` and `values`: id of the rule on single events (the reference itself, or those below a
    correlation) to the fields that hold what `group-by` and the condition's `field` name.
    """

    rule: Rule
    groups: Mapping[str, Names] = field(default_factory=dict)
    values: Mapping[str, Names] = field(default_factory=dict)

    @property
    def bases(self) -> list[str]:
        """Ids of the rules on single events that are at the bottom of it."""
        return list(self.groups)


@dataclass(frozen=True, slots=True)
class Definition:
    """A correlation, read and resolved. Spans in microseconds; `names` are those of `group-by` as shown."""

    kind: Kind
    references: tuple[Reference, ...]
    timespan: int
    names: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    expression: Expression | None = None
    percentile: Fraction = Fraction(50)
    generate: bool = False
    lateness: int = LATENESS
    lookback: int = LOOKBACK

    @property
    def watch(self) -> Watch:
        """When the condition is decided."""
        if self.holds_without_events:
            return Watch.ABSENT
        if self.kind in NUMERIC:
            return Watch.MOVING
        bounded = any(limit.op not in ("gt", "gte") for limit in self.limits)
        if bounded or (self.expression and self.expression.has_not()):
            return Watch.SETTLED
        below = [r.rule.definition for r in self.references if r.rule.definition]
        return Watch.RISING if all(d.watch is Watch.RISING for d in below) else Watch.MOVING

    @property
    def holds_without_events(self) -> bool:
        """Whether a window without events fulfils the condition."""
        if self.expression:
            return self.kind is Kind.TEMPORAL and self.expression.holds(0)
        if self.kind in NUMERIC and self.kind is not Kind.VALUE_SUM:
            return False  # nothing has no average
        return self.holds(0)

    @property
    def orders(self) -> list[tuple[int, ...]]:
        """The sequences of references that an ordered correlation looks for."""
        return self.expression.orders() if self.expression else [tuple(range(len(self.references)))]

    @property
    def shape(self) -> str:
        """What decides which hits a group holds: state of another shape is not continued."""
        parts = [self.kind, str(self.timespan), str(self.percentile), *self.names]
        for reference in self.references:
            fields = (sorted(reference.groups.items()), sorted(reference.values.items()))
            parts += [reference.rule.id, repr(fields)]
            if reference.rule.definition:
                parts.append(reference.rule.definition.shape)
        return ids.digest(*parts)[:12]

    def holds(self, value: Fraction | int | None) -> bool:
        """Whether a value of a window fulfils all limits."""
        return value is not None and all(limit.holds(value) for limit in self.limits)

    def groups_of(self, reference: int, base: str, event: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """The groups that a hit of a reference belongs to, as values in the order of `names`.

        An event without a value for one of them belongs to none; one with several values to several groups.
        """
        names = self.references[reference].groups.get(base, ())
        found = [_texts(event, fields) for fields in names]
        return list(product(*found))[:MAX_GROUPS]

    def values_of(self, reference: int, base: str, event: Mapping[str, Any]) -> tuple[Any, ...]:
        """What a hit of a reference has to be counted or computed with; empty: nothing."""
        names = self.references[reference].values.get(base, ())
        if self.kind not in NUMERIC:
            found = [[_short(fold(text)) for text in _texts(event, fields)] for fields in names]
            return tuple(sorted({"\0".join(chosen) for chosen in product(*found)})) if found else ()
        raw = (value for fields in names for name in fields for value in values_of(event, name))
        return tuple(sorted({number for value in raw if (number := millionths(value)) is not None}))


def _texts(event: Mapping[str, Any], fields: Sequence[str]) -> list[str]:
    """The values of the first of the fields that has some, each once."""
    for name in fields:
        if found := dict.fromkeys(canonical(value) for value in values_of(event, name)):
            return list(found)
    return []


def _short(text: str) -> str:
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…{ids.digest(text)}"


def millionths(value: Any) -> int | None:
    """A number, or text that is one, in millionths; None for anything else, also for infinities. What lies
    beyond `LARGEST` counts as that."""
    number = as_number(value)
    if number is None or number - number != 0:
        return None
    number = max(-LARGEST, min(LARGEST, number))
    return number * SCALE if isinstance(number, int) else round(Fraction(number) * SCALE)


def span(timespan: int) -> str:
    """A time span in words that fit a sentence: `90 s`, `10 min`, `1 h`, `7 d`."""
    seconds = timespan // 1_000_000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
