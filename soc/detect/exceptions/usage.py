"""What exceptions have hidden, by the ledger: which of them fired, when last, and which were never used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from soc.detect import ledger
from soc.event import timestamp

if TYPE_CHECKING:
    from soc.detect.exceptions.model import Exemption
    from soc.store.contract import Store


@dataclass
class Usage:
    """What one exception has hidden.

    `late`: of those, hits that came after the expiry with a time before it (a late log, or a clock that was
    set back). `last`: event time of the latest. `rules` and `days`: the same by rule and by day of sweeping
    (UTC).
    """

    hidden: int = 0
    late: int = 0
    last: str = ""
    rules: dict[str, int] = field(default_factory=dict)
    days: dict[str, int] = field(default_factory=dict)

    def add(self, day: str, rule: str, seen: Iterable[Any]) -> None:
        """Take in what a tally says of one rule."""
        count, late, last = seen
        self.hidden += count
        self.late += late
        self.last = max(self.last, last)
        self.rules[rule] = self.rules.get(rule, 0) + count
        self.days[day] = self.days.get(day, 0) + count


def usage(store: Store) -> dict[str, Usage]:
    """What each exception has hidden, by its id; those that have hidden nothing are left out."""
    out: dict[str, Usage] = {}
    for tally in ledger.entries(store):
        for id_, by_rule in tally.hidden.items():
            for rule, seen in by_rule.items():
                out.setdefault(id_, Usage()).add(tally.day, rule, seen)
    return out


@dataclass
class RuleExceptions:
    """The exceptions of one rule: how many there are, have hidden something, have expired, were never used,
    and how many hits they have hidden."""

    total: int = 0
    fired: int = 0
    expired: int = 0
    unused: int = 0
    hidden: int = 0


def by_rule(
    exemptions: Iterable[Exemption], used: Mapping[str, Usage], now: datetime
) -> dict[str, RuleExceptions]:
    """The same by rule, for `soc rule health`; rules without exceptions are left out."""
    out: dict[str, RuleExceptions] = {}
    for one in exemptions:
        seen = used.get(one.id, Usage())
        for rule in one.applies:
            counts = out.setdefault(rule, RuleExceptions())
            hidden = seen.rules.get(rule, 0)
            counts.total += 1
            counts.fired += hidden > 0
            counts.unused += hidden == 0
            counts.expired += one.state(now) == "expired"
            counts.hidden += hidden
    return out


def row(one: Exemption, used: Mapping[str, Usage], now: datetime) -> dict[str, Any]:
    """An exception as one row of a list."""
    seen = used.get(one.id, Usage())
    return {
        "id": one.id,
        "name": one.name,
        "state": one.state(now),
        "expires": timestamp(one.expires) if one.expires else None,
        "owner": one.owner,
        "rules": list(one.rules) if one.rules is not None else ["any"],
        "applies": list(one.applies),
        "hidden": seen.hidden,
        "late": seen.late,
        "last": seen.last or None,
        "unused": seen.hidden == 0,
        "reason": one.reason,
        "ticket": one.ticket,
        "title": one.title,
        "path": one.path,
        "line": one.line,
    }
