"""Backtest: what rules would have found in what is there already, and what that would have cost an analyst.

Nothing is written. Hits are grouped as a sweep groups them into alerts (`soc.detect.grouping`), by event
time, so the order in which events are read does not matter. Bounds on the number of alerts that one sweep
opens are not applied: what they would hold back has to be looked at too.
"""

from __future__ import annotations

import statistics
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from soc.detect.correlate.offline import Offline
from soc.detect.grouping import group_key, group_of, micros, time_text, window_of
from soc.detect.matcher import Match, Matcher
from soc.detect.plan import Choice, Plan, choose
from soc.detect.predicate import Predicate, Verdict
from soc.detect.scan import counted
from soc.detect.sight import Sight, could
from soc.event import moment, timestamp

if TYPE_CHECKING:
    from soc.collect.collector import Collectors, Context
    from soc.detect.correlate.alerts import Raised
    from soc.detect.rule import Rule
    from soc.errors import Problem
    from soc.event import Event
    from soc.store.contract import Store

BATCH = 4_000
"""Events that are read at a time; while some are matched, the next are on their way."""

SAMPLE = 1_000
"""Events of a rule's log source that are looked at to tell whether its fields are filled, where most events
are passed over."""

SAMPLED_RULES = 50
"""Up to so many rules are sampled; for more, that would take longer than reading everything."""

TOP = 5
"""Entities that are named."""

MINUTES = 10.0
ASSUMED = "an assumption; set minutes_per_alert in soc.yml"
"""What an alert costs an analyst where nothing else is known, said with the result."""

ENOUGH_CLOSED = 5
"""Closed alerts from which on the time that they took says something."""

LONGEST = 8 * 60.0
"""Minutes between taking an alert up and closing it beyond which nobody was at work on it all the time."""

Progress = Callable[[int, int], None]
"""Called with the number of events done and of all."""


@dataclass(frozen=True, slots=True)
class Effort:
    """Minutes of an analyst for one alert, and how that is known."""

    minutes: float
    source: str


@dataclass(slots=True)
class Outcome:
    """What one rule would have done. `days`: hits by day (UTC); `spans`: times of hits by group; `bursts`: of
    a correlation, each with its first and last time; `quiet`: it is there for a correlation, without alerts.
    """

    rule: Rule
    hits: int = 0
    undecided: int = 0
    blind: str = ""
    days: Counter[str] = field(default_factory=Counter)
    entities: Counter[str] = field(default_factory=Counter)
    spans: dict[str, array[int]] = field(default_factory=dict)
    bursts: list[tuple[int, int]] = field(default_factory=list)
    quiet: bool = False

    def take(self, event: Event) -> None:
        """Count a hit."""
        at = micros(event.get("@timestamp"))
        group = group_of(self.rule, event)
        self.hits += 1
        self.days[time_text(at)[:10]] += 1
        self.entities[", ".join(value for value in group.values() if value)] += 1
        self.spans.setdefault(group_key(self.rule.id, group), array("q")).append(at)

    def take_burst(self, burst: Raised) -> None:
        """Count a burst of a correlation; all of its events on the day on which it began."""
        self.hits += burst.count
        self.days[time_text(burst.first)[:10]] += burst.count
        self.entities[", ".join(value for value in burst.group.values() if value)] += burst.count
        self.bursts.append((burst.first, burst.last))

    @property
    def alerts(self) -> int:
        """How many alerts a sweep makes of the hits."""
        if self.rule.definition or self.quiet:
            return len(self.bursts)
        window = window_of(self.rule)
        return sum(_bursts(times, window) for times in self.spans.values())

    @property
    def bounds(self) -> tuple[str, str]:
        """Times of the first and the last hit; empty without one."""
        if self.bursts:
            return time_text(min(self.bursts)[0]), time_text(max(last for _, last in self.bursts))
        if not self.spans:
            return "", ""
        return (
            time_text(min(map(min, self.spans.values()))),
            time_text(max(map(max, self.spans.values()))),
        )

    def row(self, effort: Effort, days: float) -> dict[str, Any]:
        """For people and machines."""
        alerts = self.alerts
        first, last = self.bounds
        return {
            "rule": {"id": self.rule.id, "title": self.rule.title, "level": self.rule.level},
            "title": self.rule.title,
            "level": self.rule.level,
            "hits": self.hits,
            "alerts": alerts,
            "alerts_per_day": round(alerts / days, 2) if days else alerts,
            "minutes": round(alerts * effort.minutes, 1),
            "minutes_per_day": round(alerts * effort.minutes / days, 1) if days else None,
            "undecided": self.undecided,
            "blind": self.blind,
            "first": first,
            "last": last,
            "hits_by_day": dict(sorted(self.days.items())),
            "entities": [{"entity": name, "hits": hits} for name, hits in self.entities.most_common(TOP)],
        }


def _bursts(times: Iterable[int], window: int) -> int:
    """How many alerts the hits of one group are: each spans less than the window, from its first hit on."""
    count, first = 0, None
    for at in sorted(times):
        if first is None or at - first >= window:
            count, first = count + 1, at
    return count


@dataclass(slots=True)
class Backtest:
    """What a backtest has shown. `events`: those that were decided on, `read` of them one by one."""

    outcomes: list[Outcome]
    effort: Effort
    since: datetime | None
    until: datetime | None
    events: int = 0
    read: int = 0
    choice: Choice | None = None
    seconds: float = 0.0
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def days(self) -> float:
        """Days that the backtest is about; of hits alone where no bounds were given."""
        since, until = self.since, self.until or datetime.now(UTC)
        if since is None:
            bounds = [text for outcome in self.outcomes for text in outcome.bounds if text]
            if not bounds:
                return 0.0
            since, until = moment(min(bounds)), moment(max(bounds))
        return max(1.0, (until - since).total_seconds() / 86_400)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each rule, the costliest first; rules that found nothing come last."""
        rows = [outcome.row(self.effort, self.days) for outcome in self.outcomes]
        return sorted(rows, key=lambda row: (-row["alerts"], -row["hits"], row["title"]))

    def body(self) -> dict[str, Any]:
        """All of it, for machines."""
        rows = self.rows()
        return {
            "since": self.since,
            "until": self.until,
            "days": round(self.days, 2),
            "events": self.events,
            "read": self.read,
            "plan": self.choice.plan.value if self.choice else "",
            "reason": self.choice.reason if self.choice else "",
            "seconds": round(self.seconds, 3),
            "minutes_per_alert": self.effort.minutes,
            "minutes_from": self.effort.source,
            "hits": sum(row["hits"] for row in rows),
            "alerts": sum(row["alerts"] for row in rows),
            "minutes": round(sum(row["minutes"] for row in rows), 1),
            "undecided": sum(row["undecided"] for row in rows),
            "rules": rows,
            "left_out": self.left_out,
            "notes": self.notes,
        }

    def remarks(self) -> list[str]:
        """What a person must know about it, beside the rows."""
        out = [*self.left_out, *self.notes]
        blind = sum(bool(outcome.blind) for outcome in self.outcomes)
        if blind:
            out.append(f"{counted(blind, 'rule')} could not see anything; --all says why")
        alerts = sum(outcome.alerts for outcome in self.outcomes)
        minutes = alerts * self.effort.minutes
        out.append(
            f"{counted(alerts, 'alert')} would take an analyst {_hours(minutes)}: "
            f"{self.effort.minutes:g} minutes each, {self.effort.source}"
        )
        if not self.events:
            return [*out, "no event was there to look at; nothing was tried"]
        plan = f", plan {self.choice.plan}: {self.choice.reason}" if self.choice else ""
        read = "" if self.read == self.events else f" ({self.read:,} read)"
        out.append(
            f"{counted(self.events, 'event')}{read} against {counted(len(self.outcomes), 'rule')} "
            f"in {self.seconds:.1f} s{plan}"
        )
        return out


def page(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a rule as a page for people: what is a list there is lines here."""
    lines = {
        "hits_by_day": [f"{day}  {hits}" for day, hits in row["hits_by_day"].items()],
        "entities": [
            f"{entity['hits']}  {entity['entity'] or '(no host, user or address)'}"
            for entity in row["entities"]
        ],
    }
    named = {name: value for name, value in row.items() if name not in {"rule", *lines}}
    return named | {name: "\n".join(some) for name, some in lines.items()}


def _hours(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"


def decidable(rules: Iterable[Rule]) -> tuple[list[Rule], list[str]]:
    """The rules that can be decided on events alone, and what is left out, in words."""
    found = list(rules)
    kept = [rule for rule in found if (rule.runnable and not rule.beyond) or _correlates(rule)]
    left = []
    for what, some in (
        ("rules that ask what the store remembers", [r for r in found if r.runnable and r.beyond]),
        ("rules that cannot be decided", [r for r in found if r.undecidable]),
        ("rules that are switched off", [r for r in found if r.off and not r.undecidable]),
    ):
        if some:
            left.append(f"{len(some)} {what}, left out")
    return kept, left


def _correlates(rule: Rule) -> bool:
    return rule.definition is not None and not rule.off


def _prepared(kept: Sequence[Rule]) -> tuple[dict[str, Outcome], Offline]:
    """Outcomes of rules by id, also of those that only correlations among them refer to; and those."""
    offline = Offline(kept)
    outcomes = {
        rule.id: Outcome(rule, blind=rule.blind, quiet=offline.is_quiet(rule.id)) for rule in offline.rules
    }
    return outcomes, offline


def backtest(
    store: Store,
    rules: Sequence[Rule],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    plan: Plan = Plan.AUTO,
    effort: Effort | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Backtest:
    """What the rules would have found in a store between two moments of event time."""
    begun = time.monotonic()
    kept, left = decidable(rules)
    outcomes, offline = _prepared(kept)
    listed = [outcomes[rule.id] for rule in kept]
    result = Backtest(listed, effort or effort_of(store), since, until, left_out=left)
    matcher = Matcher([rule for rule in offline.rules if rule.runnable and not rule.beyond])
    total = sum(part.waiting for part in store.parts(store.beginning()))
    choice = choose(store, matcher.rules, total, wanted=plan, since=since, until=until)
    result.choice = choice
    sight = Sight(store)
    streaming = choice.plan is Plan.STREAM
    for batch in store.feed(store.beginning(), limit=BATCH, narrow=choice.narrow, since=since, until=until):
        events = (e.event for e in batch.events)
        _match(matcher.match, events, outcomes, sight if streaming else None, offline)
        result.read += len(batch.events)
        result.events += len(batch.events) + batch.passed
        result.notes += batch.notes
        progress(result.events, total)
    _correlate(offline, outcomes, until)
    # a rule that found something is not blind
    silent = [rule for rule in matcher.rules if not outcomes[rule.id].hits]
    if not streaming:
        _sample(store, silent, sight, since, until, result)
    if streaming or len(silent) <= SAMPLED_RULES:
        _mark_blind(outcomes, silent, sight)
    result.seconds = time.monotonic() - begun
    return result


def _match(
    match: Callable[[Mapping[str, Any]], Iterable[Any]],
    events: Iterable[Event],
    outcomes: Mapping[str, Outcome],
    sight: Sight | None,
    offline: Offline,
) -> None:
    for event in events:
        if sight is not None:
            sight.note(event)
        again = False
        for found in match(event):
            outcome = outcomes[found.rule.id]
            if found.verdict is Verdict.TRUE:
                outcome.take(event)
                offline.take(found.rule.id, event, again=again)
                again = True
            else:
                outcome.undecided += 1


def _correlate(offline: Offline, outcomes: Mapping[str, Outcome], until: datetime | None) -> None:
    """What the correlations make of the hits; what did not happen is decided at the end of the span."""
    for found in offline.bursts(timestamp(until or datetime.now(UTC))):
        outcomes[found.rule.id].take_burst(found.raised)


def _sample(
    store: Store,
    rules: Sequence[Rule],
    sight: Sight,
    since: datetime | None,
    until: datetime | None,
    result: Backtest,
) -> None:
    """Look at some events of each log source: what was passed over may have the fields that a rule reads."""
    if len(rules) > SAMPLED_RULES:
        result.notes.append("which rules lack a field was not looked at; --plan stream does")
        return
    for source in dict.fromkeys(rule.source for rule in rules):
        for found in store.search(source, since=since, until=until, limit=SAMPLE, newest_first=True):
            sight.note(found.event)


def _mark_blind(outcomes: Mapping[str, Outcome], rules: Sequence[Rule], sight: Sight) -> None:
    """Say of each rule why it could not have found anything."""
    unfilled = sight.blind(rules)
    there: dict[Predicate, bool] = {}
    for rule in rules:
        if rule.source not in there:
            there[rule.source] = any(could(rule.source, *stream) for stream in sight.streams())
        if not there[rule.source]:
            outcomes[rule.id].blind = "no event of its log source"
        elif rule.id in unfilled:
            outcomes[rule.id].blind = unfilled[rule.id]


def backtest_files(
    files: Sequence[str],
    rules: Sequence[Rule],
    collectors: Collectors,
    context: Context,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    effort: Effort | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Backtest:
    """What the rules would have found in files, without a store. Counts of `progress` are of files."""
    from soc.detect.scan import Scanner, inputs

    begun = time.monotonic()
    kept, left = decidable(rules)
    outcomes, offline = _prepared(kept)
    result = Backtest(
        [outcomes[rule.id] for rule in kept],
        effort or Effort(MINUTES, ASSUMED),
        since,
        until,
        choice=Choice(Plan.STREAM, "files are read once", 0.0, None),
        left_out=left,
    )
    decided = [rule for rule in offline.rules if rule.runnable and not rule.beyond]
    matcher = _Counting(decided, outcomes, since, until, offline)
    scanner = Scanner(matcher, collectors, context)
    sources, result.problems = inputs(files)
    for number, source in enumerate(sources, 1):
        for _ in scanner.scan(source):
            pass  # the matcher counts, and gives nothing on
        progress(number, len(sources))
    for found in offline.bursts(scanner.tally.newest):
        outcomes[found.rule.id].take_burst(found.raised)
    result.events = result.read = matcher.events
    result.problems += scanner.tally.problems
    result.notes += scanner.tally.remarks
    _mark_blind(outcomes, matcher.rules, matcher.sight)
    result.seconds = time.monotonic() - begun
    return result


class _Counting(Matcher):
    """Counts what it finds between two moments instead of giving it on."""

    def __init__(
        self,
        rules: Sequence[Rule],
        outcomes: Mapping[str, Outcome],
        since: datetime | None,
        until: datetime | None,
        offline: Offline,
    ) -> None:
        super().__init__(rules)
        self._offline = offline
        self.sight = Sight(None)
        self.events = 0
        self._outcomes = outcomes
        self._since = timestamp(since) if since else ""
        self._until = timestamp(until) if until else ""

    def match(self, event: Mapping[str, Any]) -> tuple[Match, ...]:
        """Nothing: the outcomes have it."""
        at = str(event.get("@timestamp", ""))
        if at >= self._since and (not self._until or at < self._until):
            self.events += 1
            _match(super().match, (dict(event),), self._outcomes, self.sight, self._offline)
        return ()


def effort_of(store: Store | None, minutes: float = 0.0) -> Effort:
    """What an alert costs an analyst: as configured, else the median of what alerts took in this store from
    the first thing that somebody did about each to its closing, else an assumption."""
    if minutes:
        return Effort(minutes, "minutes_per_alert in soc.yml")
    took = sorted(_closing_times(store)) if store else []
    if len(took) >= ENOUGH_CLOSED:
        return Effort(
            round(statistics.median(took), 1), f"the median of {len(took)} alerts that were closed here"
        )
    return Effort(MINUTES, ASSUMED)


def _closing_times(store: Store) -> Iterator[float]:
    from soc.respond.alerts import TRIAGE, Status

    for document in store.find(TRIAGE):
        history = document.body.get("history", [])
        if document.body.get("status") != Status.CLOSED.value or len(history) < 2:
            continue  # closed with nothing before it: how long somebody looked is not known
        closed = [entry["at"] for entry in history if entry.get("action") == "close"]
        if closed:
            took = (moment(closed[-1]) - moment(history[0]["at"])).total_seconds() / 60
            if 0 < took <= LONGEST:
                yield took
