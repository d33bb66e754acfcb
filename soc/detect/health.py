"""How rules are doing: what each has seen, found and cost, and what to do about it.

Drawn from the ledger of sweeps, from alerts and how they were closed, and from what exceptions have hidden.
The rules of thumb are the constants below; `soc rule health --help` and docs/writing-rules.md say them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from soc.detect import ledger
from soc.detect.catalogue import short_name, state_of
from soc.detect.exceptions.usage import RuleExceptions
from soc.detect.exceptions.usage import by_rule as exceptions_by_rule
from soc.detect.exceptions.usage import usage as exceptions_used
from soc.detect.predicate import evaluate

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.detect.ruleset import Ruleset
    from soc.event import Event
    from soc.store.contract import Store

NOISY_ALERTS = 5.0
"""Alerts a day from which on a rule is noisy."""
NOISY_HITS = 200.0
"""Hits a day from which on a rule is noisy, whatever becomes of them."""
NOISY_FALSE, ENOUGH_CLOSED = 0.5, 4
"""Share of false positives that makes a rule noisy, once so many of its alerts were closed."""
SHADOW_DAYS, SHADOW_HITS, SHADOW_WORST = 7, 1.0, 5
"""A shadow rule is quiet enough to be switched on after so many days of sweeps, with at most so many hits a
day on average, and so many on its worst day."""

STATES = ("off", "undecidable", "blind", "undecided", "noisy", "switch on", "unseen", "silent", "fine")
"""What `Health.state` says, the worst first: `unseen` was in no sweep yet, `silent` found nothing yet."""

CHECKS = ("blind", "noisy", "undecided", "undecidable", "unseen")
"""States that a pipeline can be made to fail on."""


@dataclass
class Health:
    """One rule. Counts are since the beginning of the period; `days` are days with a sweep of it.

    `hits` by day (UTC); `last` is the day of the latest hit; `closed` and `false` are alerts closed, and
    closed as false positive; `cost` is the time for a thousand events in milliseconds, when it was measured.
    """

    rule: Rule
    seen: int = 0
    undecided: int = 0
    blind: str = ""
    days: set[str] = field(default_factory=set)
    hits: dict[str, int] = field(default_factory=dict)
    alerts: int = 0
    closed: int = 0
    false: int = 0
    exceptions: RuleExceptions = field(default_factory=RuleExceptions)
    cost: float | None = None

    @property
    def matched(self) -> int:
        """Hits in the period."""
        return sum(self.hits.values())

    @property
    def last(self) -> str:
        """The day of the latest hit, "" for none."""
        return max((day for day, count in self.hits.items() if count), default="")

    @property
    def hits_a_day(self) -> float:
        """Hits for each day with a sweep."""
        return self.matched / len(self.days) if self.days else 0.0

    @property
    def alerts_a_day(self) -> float:
        """Alerts for each day with a sweep."""
        return self.alerts / len(self.days) if self.days else 0.0

    @property
    def false_share(self) -> float | None:
        """Share of the closed alerts that were false positives; None while none was closed."""
        return self.false / self.closed if self.closed else None

    @property
    def quiet(self) -> bool:
        """Whether it is quiet enough to raise alerts."""
        worst = max(self.hits.values(), default=0)
        return len(self.days) >= SHADOW_DAYS and self.hits_a_day <= SHADOW_HITS and worst <= SHADOW_WORST

    @property
    def noisy(self) -> bool:
        """Whether it costs more than it tells."""
        wrong = (self.false_share or 0) >= NOISY_FALSE and self.closed >= ENOUGH_CLOSED
        return self.alerts_a_day >= NOISY_ALERTS or self.hits_a_day >= NOISY_HITS or wrong

    @property
    def state(self) -> str:
        """The most important thing to say of it, one of `STATES`."""
        if self.rule.off:
            return "off"
        if self.rule.undecidable:
            return "undecidable"
        if self.rule.blind or self.blind:
            return "blind"
        if self.undecided:
            return "undecided"
        if self.noisy:
            return "noisy"
        if not self.days:
            return "unseen"
        if self.rule.mode == "shadow" and self.quiet:
            return "switch on"
        return "fine" if self.matched else "silent"

    @property
    def why(self) -> str:
        """What stands behind the state, in words."""
        rule = self.rule
        said = {
            "off": rule.off,
            "undecidable": rule.undecidable,
            "blind": self.blind or rule.blind,
            "undecided": f"{self.undecided} events ran out of time; soc rule lint names slow expressions",
            "switch on": f"{len(self.days)} days in shadow, {self.hits_a_day:.1f} hits a day: overrides.yml",
            "unseen": "no sweep had it yet: soc sweep --once, or soc sweep backfill",
        }
        if self.state == "noisy":
            share = f", {self.false_share:.0%} of {self.closed} closed were false" if self.closed else ""
            return f"{self.alerts_a_day:.1f} alerts and {self.hits_a_day:.1f} hits a day{share}"
        return said.get(self.state, "")

    def row(self) -> dict[str, Any]:
        """As one row."""
        share = self.false_share
        return {
            "name": short_name(self.rule),
            "health": self.state,
            "mode": self.rule.mode,
            "level": self.rule.level,
            "seen": self.seen,
            "matched": self.matched,
            "hits_a_day": round(self.hits_a_day, 2),
            "last": self.last or None,
            "undecided": self.undecided,
            "alerts": self.alerts,
            "closed": self.closed,
            "false_positives": self.false,
            "false_share": None if share is None else round(share, 3),
            "exceptions": self.exceptions.total,
            "exceptions_fired": self.exceptions.fired,
            "exceptions_expired": self.exceptions.expired,
            "exceptions_unused": self.exceptions.unused,
            "hidden": self.exceptions.hidden,
            "days": len(self.days),
            "cost_ms": None if self.cost is None else round(self.cost, 2),
            "why": self.why,
            "state": state_of(self.rule),
            "title": self.rule.title,
            "id": self.rule.id,
            "path": str(self.rule.place),
        }


def health(
    store: Store, ruleset: Ruleset, rules: Sequence[Rule], *, since: datetime, now: datetime
) -> list[Health]:
    """How each of the rules has done since a moment (by days in UTC), in their order."""
    found = {rule.id: Health(rule) for rule in rules}
    _swept(store, found, since)
    _alerts(store, found, since)
    for id_, counts in exceptions_by_rule(ruleset.exemptions, exceptions_used(store), now).items():
        if id_ in found:
            found[id_].exceptions = counts
    return list(found.values())


def _swept(store: Store, found: Mapping[str, Health], since: datetime) -> None:
    """What the ledger says; of versions that a rule had before, too."""
    listed: dict[str, Mapping[str, str]] = {}
    latest: dict[str, tuple[str, str]] = {}
    first = since.date().isoformat()
    for tally in ledger.entries(store):
        if tally.day < first:
            continue
        if tally.ruleset not in listed:
            document = store.read(ledger.RULESET, tally.ruleset)
            listed[tally.ruleset] = document.body["rules"] if document else {}
        for id_ in listed[tally.ruleset]:
            one = found.get(id_)
            if one is None:
                continue
            matched, undecided = tally.rules.get(id_, (0, 0))
            if tally.events:
                one.days.add(tally.day)
            one.seen += tally.events
            one.undecided += undecided
            one.hits[tally.day] = one.hits.get(tally.day, 0) + matched
            if tally.events and (tally.day, "") >= (latest.get(id_, ("", ""))[0], ""):
                latest[id_] = (tally.day, tally.blind.get(id_, ""))
    for id_, (_, why) in latest.items():
        found[id_].blind = why


def _alerts(store: Store, found: Mapping[str, Health], since: datetime) -> None:
    from soc.respond.alerts import Status, list_alerts

    first = since.date().isoformat()
    for view in list_alerts(store):
        one = found.get(str(view.rule["id"]))
        if one is None or str(view.body["created"]) < first:
            continue
        one.alerts += 1
        if view.status is Status.CLOSED:
            one.closed += 1
            one.false += view.work.get("reason") == "false-positive"


def measure(found: Iterable[Health], events: Sequence[Event]) -> None:
    """Time each rule alone on recent events: processor time of the plain evaluation, for comparing rules.

    A sweep is much faster than the sum of these, because it looks at all rules at once.
    """
    if not events:
        return
    for one in found:
        if one.rule.runnable and not one.rule.blind:
            begun = time.process_time()
            for event in events:
                evaluate(one.rule.predicate, event)
            one.cost = (time.process_time() - begun) / len(events) * 1_000_000


def failing(found: Iterable[Health], checks: Iterable[str]) -> list[Health]:
    """The rules in one of the states that a pipeline is to fail on."""
    wanted = set(checks)
    return [one for one in found if one.state in wanted]
