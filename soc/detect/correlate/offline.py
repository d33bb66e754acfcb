"""Correlations over files, without a store: the hits of a scan pass through, bursts come at its end.

Everything is decided by event time: nothing is too late, and the present is the time of the last event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from soc.detect.correlate.definition import Watch
from soc.detect.correlate.engine import Found, Pending, Router, raised_of, verdict_found
from soc.detect.correlate.reading import bases_of, with_bases
from soc.detect.correlate.state import FOREVER, GroupState
from soc.detect.grouping import micros, time_text

if TYPE_CHECKING:
    from soc.detect.correlate.alerts import Raised
    from soc.detect.rule import Rule
    from soc.detect.scan import Hit
    from soc.event import Event

_NEVER_LATE = 1 << 60


class _Place(NamedTuple):
    """Where an event stands."""

    path: str
    record: int


@dataclass(frozen=True, slots=True)
class Correlated:
    """A burst, as `soc scan` prints it beside its hits."""

    raised: Raised
    places: Sequence[_Place]

    @property
    def rule(self) -> Rule:
        """The correlation."""
        return self.raised.rule

    @property
    def path(self) -> str:
        """The file of the first of its events."""
        return self.places[0].path if self.places else ""

    @property
    def event(self) -> Event:
        """What a table counts by."""
        return {"@timestamp": time_text(self.raised.first)}

    def told(self) -> dict[str, Any]:
        """What it says, as plain data; `events`: those of the beginning and the end."""
        one = self.raised
        return {
            "type": one.facts["correlation"],
            "group": dict(one.group),
            "first": time_text(one.first),
            "last": time_text(one.last),
            "count": one.count,
            "value": one.facts["value"],
            "text": one.text,
            "parts": [{"rule": p.rule, "title": p.title, "count": p.count} for p in one.parts],
            "events": [place._asdict() for place in self.places],
        }

    def row(self) -> dict[str, Any]:
        """The burst as one object, told from a hit by `correlation`; `source` is its first event's."""
        record = self.places[0].record if self.places else 0
        return {
            "rule": {"id": self.rule.id, "title": self.rule.title, "level": self.rule.level},
            "source": {"path": self.path, "record": record},
            "@timestamp": time_text(self.raised.first),
            "correlation": self.told(),
        }

    def flat(self) -> dict[str, Any]:
        """The burst as one row of plain values."""
        return {
            "level": self.rule.level,
            "rule": self.rule.title,
            "path": self.path,
            "record": self.places[0].record if self.places else 0,
            "@timestamp": time_text(self.raised.first),
            "rule.id": self.rule.id,
            "event": {"correlation": self.told()},
        }


class Offline:
    """The correlations of a scan. `rules`: all that are needed, those included that correlations refer to."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = with_bases(rules)
        self.homeless: Counter[str] = Counter()
        self._router = Router(self.rules, [rule.id for rule in rules])
        self._pending: dict[str, Pending] = {}
        self._places: dict[str, _Place] = {}
        self._newest = self._count = 0
        self._last: tuple[_Place, Event] | None = None
        # the events of rules at the bottom of correlations of correlations
        nested = [rule for rule in self._router.correlations.values() if rule.id in self._router.referenced]
        self._wanted = {base.id for rule in nested for base in bases_of(rule)}
        self._events: dict[str, Event] = {}

    def through(self, hits: Iterable[Hit]) -> Iterator[Hit]:
        """Take down the hits that correlations ask for; what comes back are those that stand for
        themselves."""
        for hit in hits:
            place = _Place(hit.path, hit.record)
            # the hits of one event follow each other; records of several events are told apart
            again = self._last is not None and self._last[0] == place and self._last[1] == hit.event
            self._last = (place, hit.event)
            self.take(hit.rule.id, hit.event, again=again, place=place)
            if not self.is_quiet(hit.rule.id):
                yield hit

    def is_quiet(self, rule_id: str) -> bool:
        """Whether hits of a rule are there for correlations alone."""
        return rule_id in self._router.quiet

    def take(self, rule_id: str, event: Event, *, again: bool, place: _Place | None = None) -> None:
        """Take down a hit; `again`: it is of the same event as the one before."""
        self._count += not again
        if rule_id not in self._router.referenced:
            return
        id_ = f"{self._count:012}"
        if place is not None:
            self._places[id_] = place
        time = micros(event.get("@timestamp"))
        self._newest = max(self._newest, time)
        if rule_id in self._wanted:
            self._events[id_] = event
        found = Found(rule_id, rule_id, id_, event, time)
        self._router.route([found], self._pending, self.homeless)

    def bursts(self, newest: str | None) -> Iterator[Correlated]:
        """The bursts, correlation by correlation. `newest`: time of the last event of all, hit or not."""
        watermark = max(self._newest, micros(newest))
        for level in self._router.levels:
            wanted = {rule.id for rule in level}
            mine = {key: one for key, one in self._pending.items() if one.rule.id in wanted}
            for key, one in mine.items():
                yield from self._decide(key, one, watermark)

    def _decide(self, key: str, one: Pending, watermark: int) -> Iterator[Correlated]:
        nested = one.rule.id in self._router.referenced
        definition = replace(one.definition, lateness=_NEVER_LATE)
        state = GroupState(key, definition, one.group)
        taken = state.take(sorted(one.items), FOREVER, verdicts=nested)
        if definition.watch in (Watch.ABSENT, Watch.SETTLED):
            state.look_back(watermark)
        if nested:
            found = verdict_found(one.rule, taken.verdicts, self._events)
            self._router.route(found, self._pending, self.homeless)
        if one.rule.id not in self._router.quiet:
            for burst in state.bursts:
                raised = raised_of(one.rule, state, burst, 0)
                places = [self._places[id_] for id_ in raised.events if id_ in self._places]
                yield Correlated(raised, places)
