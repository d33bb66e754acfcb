"""Which way to the same result: read every event once, or ask the store for candidates first.

*stream* reads all events and matches all rules; its cost hardly depends on the rules. *candidates* lets the
store find the events that a rule may be true of, and reads those; its cost grows with the rules and hardly
depends on how many events are found. So *stream* is for many rules on what is new, *candidates* for few rules
on long history. Where the border lies is worked out from the figures below.

Both give the same verdicts, counts included: what is passed over is counted, and was certain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from soc.detect.predicate import Or, Predicate
from soc.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from soc.detect.rule import Rule
    from soc.store.contract import Store

READ_SECONDS = 60e-6
"""Reading one event and matching it: a node delivers 27,000 to 34,000 documents a second to one connection,
while the matcher decides 16,000 and more (benchmarks/backtest.py, benchmarks/matching.py)."""

SMALL = 1.0
"""Seconds of reading that are not worth another way: reading everything also tells which fields there are."""

CHEAP = 0.03
"""A search that costs less than this share of reading everything is worth it whatever it finds."""

SHARE = 0.01
"""What is assumed that one rule's candidates are of all events (the median is below that:
benchmarks/candidates.py)."""

COUNTED = 50
"""Up to so many rules, the store is asked how many candidates there are when the estimate is in doubt."""


class Plan(StrEnum):
    """What was asked for, or was chosen (then never `AUTO`)."""

    AUTO = "auto"
    STREAM = "stream"
    CANDIDATES = "candidates"


def plan_of(text: str) -> Plan:
    """The plan that a word names. Raises `UsageError`."""
    try:
        return Plan(text)
    except ValueError:
        raise UsageError(f"there is no plan {text!r}", hint=f"one of {', '.join(Plan)}") from None


@dataclass(frozen=True, slots=True)
class Choice:
    """The plan that is used, why, and what it and the other were expected to cost, in seconds."""

    plan: Plan
    reason: str
    stream_seconds: float
    candidates_seconds: float | None
    narrow: Predicate | None = None


def narrowed_to(rules: Iterable[Rule]) -> Predicate:
    """True or undecided whenever one of the rules is."""
    return Or(tuple(dict.fromkeys(rule.predicate for rule in rules)))


def choose(
    store: Store,
    rules: Sequence[Rule],
    events: int,
    *,
    wanted: Plan = Plan.AUTO,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Choice:
    """The plan for matching rules against so many events of a store.

    A plan that is wanted is taken, except *candidates* where a rule must look at every event: then all are
    read anyway, and *stream* says so.
    """
    narrow = narrowed_to(rules)
    stream = events * READ_SECONDS
    if wanted is Plan.STREAM:
        return Choice(Plan.STREAM, "asked for", stream, None)
    if wanted is Plan.AUTO and stream < SMALL:
        return Choice(Plan.STREAM, "there is little to read", stream, None)
    weight = store.weight(narrow)
    if weight is None:
        blocking = _blocking(store, rules)
        reason = f"{blocking} of {len(rules)} rules must look at every event"
        return Choice(Plan.STREAM, reason, stream, None)
    search = weight.seconds(events)
    share = min(1.0, SHARE * len(rules))
    cost = search + share * stream
    if wanted is Plan.CANDIDATES:
        return Choice(Plan.CANDIDATES, "asked for", stream, cost, narrow)
    if search > CHEAP * stream and search < stream and len(rules) <= COUNTED:
        counted = store.candidates([rule.predicate for rule in rules], since=since, until=until)
        if None not in counted:
            share = min(1.0, sum(n or 0 for n in counted) / max(1, events))
            cost = search + share * stream
    if cost < stream:
        return Choice(Plan.CANDIDATES, _compared(cost, stream), stream, cost, narrow)
    return Choice(Plan.STREAM, _compared(stream, cost), stream, cost)


def _compared(chosen: float, other: float) -> str:
    return f"about {chosen:.1f} s, the other plan {other:.1f} s"


def _blocking(store: Store, rules: Sequence[Rule]) -> int:
    return sum(store.weight(rule.predicate) is None for rule in rules)
