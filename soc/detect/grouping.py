"""From hits to alerts: which hits of a rule belong together, and what is known of each such group.

A *hit* is a rule on an event. Hits of one rule on one *entity* (host, else user, else source address; a rule
may name other fields in `soc.group_by`) form a group. Within a group, an *alert* holds hits that lie within
one window of event time (one hour, or the rule's `soc.window`): a hit belongs to an alert when the alert,
with it, still spans less than the window. So late events extend an alert at its front, and the first hit
after the window opens the next one.

`GroupState` is the truth about a group, kept in one document: its alerts with their counts, and the hashes
of the last hits that were counted. Counting a hit and remembering that it was counted is therefore one
write, and a hit that comes a second time (after a crash, from a second sweeper, out of a restored index)
changes nothing. Alerts as people see them are drawn from it (`soc.detect.sweep`).

Only the last `REMEMBERED` hits of a group are remembered, and of each part of the feed the last quarter of
that number whatever the other parts bring. That is at least one batch of the part, which is all that a crash
or a worker that was taken for dead can repeat. When old events are read again on purpose (`--from`) and the
group had more hits than that, those inside of a known alert are taken as counted already, and the alert says
that its count is inexact.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from soc.detect.text import canonical, fold
from soc.event import moment, timestamp, values_of
from soc.respond import ids

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.event import Event

ENTITY_FIELDS = ("host.name", "user.name", "source.ip")
"""What a group is of, unless the rule says otherwise: the first of these that the event has."""
REMEMBERED = 20_000
"""Hits of a group that are remembered by their hash: three quarters of that number for all parts of the feed
together, and the last quarter, a batch of the feed, for each part."""
MAX_LANES = 50
"""Parts of the feed whose last hits a group remembers apart from the others: those that brought hits last."""
FIRST_SAMPLES = 20
LAST_SAMPLES = 5
"""Events copied into an alert: the first and the last that were counted."""
MAX_ALERTS = 50
"""Alerts of one group that its state lists: the latest by event time. A hit that comes later than that opens
an alert of its own, unless it is the first event of one of those, whose id it then finds again."""
MAX_ENTITIES = 10_000
"""Entities that an overflow alert tells apart; with more it says "at least"."""
MAX_VALUE = 1_000
"""Characters of one value in what an alert says; a longer one is cut."""
ABOUT_VALUES = 5
ABOUT_FIELDS = (
    "soc.why",
    "threat.enrichments.indicator.name",
    "threat.enrichments.indicator.provider",
    "threat.enrichments.indicator.marking.tlp",
    "host.name",
    "user.name",
    "source.ip",
    "destination.ip",
    "destination.port",
    "url.domain",
    "url.path",
    "dns.question.name",
    "process.name",
    "process.executable",
    "file.path",
    "file.hash.sha256",
    "vulnerability.id",
    "event.dataset",
    "soc.layer",
)
"""Fields whose values an alert collects from its hits, at most `ABOUT_VALUES` of each."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HASH = 8


class Hit(NamedTuple):
    """A rule that is true on an event; `time` is the event's, in microseconds since 1970."""

    rule: Rule
    id: str
    event: Event
    time: int


def micros(text: object) -> int:
    """Event time as microseconds since 1970; 0 for what is not a time (a store's events all have one)."""
    try:
        return (moment(str(text)) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return 0


def time_text(time: int) -> str:
    """The opposite of `micros`."""
    return timestamp(_EPOCH + time * _MICROSECOND)


def group_of(rule: Rule, event: Mapping[str, Any]) -> dict[str, str]:
    """The fields and values that the group of a hit has in common; empty: all hits of the rule are one group.

    A field with several values counts with its first.
    """
    if rule.group_by:
        return {name: _first(event, name) for name in rule.group_by}
    for name in ENTITY_FIELDS:
        if value := _first(event, name):
            return {name: value}
    return {}


def _first(event: Mapping[str, Any], name: str) -> str:
    return str(bounded(next((canonical(v) for v in values_of(event, name)), "")))


def bounded(value: Any) -> Any:
    """A value short enough for an alert; a cut text ends in a hash of the whole, so that two stay two."""
    if not isinstance(value, str) or len(value) <= MAX_VALUE:
        return value
    whole = hashlib.blake2b(value.encode("utf-8", "replace"), digest_size=6).hexdigest()
    return f"{value[:MAX_VALUE]}… ({len(value)} characters, {whole})"


def window_of(rule: Rule) -> int:
    """The longest that an alert of a rule may span, in microseconds."""
    return rule.window // _MICROSECOND


def group_key(rule_id: str, group: Mapping[str, str]) -> str:
    """The id of a group's document; values compare as rules do, without regard to case."""
    return ids.digest(rule_id, *(f"{name}={fold(value)}" for name, value in sorted(group.items())))


@dataclass(slots=True)
class Burst:
    """One alert as its group knows it.

    Times in microseconds since 1970; `full` is the whole hash that `id` is the beginning of. `backfill`: it
    was opened for the past (`soc.detect.backfill`), and whether to notify. `entities`: of an overflow alert,
    which groups its hits are of (beginnings of `group_key`), at most `MAX_ENTITIES`.
    """

    id: str
    full: str
    count: int
    first: int
    last: int
    head: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)
    about: dict[str, list[Any]] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)
    inexact: bool = False
    backfill: dict[str, bool] | None = None
    entities: list[str] = field(default_factory=list)

    def holds(self, time: int, window: int) -> bool:
        """Whether a hit at `time` belongs here: the alert still spans less than the window with it."""
        return max(self.last, time) - min(self.first, time) < window

    def add(self, hit: Hit) -> None:
        """Count a hit."""
        self.count += 1
        self.first, self.last = min(self.first, hit.time), max(self.last, hit.time)
        if len(self.head) < FIRST_SAMPLES:
            self.head.append(hit.id)
        else:
            self.tail = [*self.tail[1 - LAST_SAMPLES :], hit.id]
        if hit.rule.version not in self.versions:
            self.versions.append(hit.rule.version)
        add_about(self.about, hit.event)

    @property
    def samples(self) -> list[str]:
        """Ids of the events that the alert carries with it."""
        return [*self.head, *self.tail]

    def body(self) -> dict[str, Any]:
        """As plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


def add_about(about: dict[str, list[Any]], event: Mapping[str, Any]) -> None:
    """Take what an alert says of its events out of one more of them, within the bounds."""
    for name in ABOUT_FIELDS:
        for value in map(bounded, values_of(event, name)):
            known = about.setdefault(name, [])
            if len(known) >= ABOUT_VALUES:
                break
            if value not in known:
                known.append(value)


class Taken(NamedTuple):
    """What became of hits: the alerts that they belong to, which of these are new, and how many counted."""

    touched: list[Burst]
    opened: list[Burst]
    counted: int


class GroupState:
    """All that is known of one group (see the module)."""

    def __init__(self, rule: str, group: Mapping[str, str], window: int, *, overflow: bool = False) -> None:
        self.rule = rule
        self.group = dict(group)
        self.window = window
        self.overflow = overflow
        self.total = 0
        self.bursts: list[Burst] = []
        self.dirty = False
        self._seen: dict[bytes, None] = {}
        self._lanes: dict[str, dict[bytes, None]] = {}
        self._entities: dict[str, set[str]] = {}

    @classmethod
    def load(cls, body: Mapping[str, Any]) -> GroupState:
        """The state out of its document."""
        state = cls(body["rule"], body["group"], body["window"], overflow=body["overflow"])
        state.total = body["total"]
        state.bursts = [Burst(**burst) for burst in body["bursts"]]
        state._seen = _unpacked(body["seen"])
        state._lanes = {lane: _unpacked(packed) for lane, packed in body.get("lanes", ())}
        return state

    def body(self) -> dict[str, Any]:
        """The state as its document."""
        return {
            "rule": self.rule,
            "group": self.group,
            "window": self.window,
            "overflow": self.overflow,
            "total": self.total,
            "bursts": [burst.body() for burst in self.bursts],
            "seen": _packed(self._seen),
            "lanes": [[lane, _packed(marks)] for lane, marks in self._lanes.items()],
        }

    @property
    def remembered(self) -> int:
        """How many hits are remembered as counted."""
        return len(self._seen) + sum(map(len, self._lanes.values()))

    def knows(self, event_id: str) -> bool:
        """Whether this event is among the hits that are remembered as counted."""
        return self._knows(_hash(event_id))

    def _knows(self, mark: bytes) -> bool:
        return mark in self._seen or any(mark in marks for marks in self._lanes.values())

    def take(
        self, hits: Iterable[Hit], open_alert: Callable[[str], str], *, replay: bool = False, lane: str = ""
    ) -> Taken:
        """Count the hits that were not counted yet, by time; `open_alert` gives an id to a new alert's hash.

        `replay`: the feed is being read again from an earlier position. `lane`: the part of the feed.
        """
        touched: dict[str, Burst] = {}
        opened: list[Burst] = []
        counted = 0
        forgotten = replay and self.total > self.remembered
        for hit in sorted(hits, key=lambda h: (h.time, h.id)):
            burst = self._burst_at(hit.time)
            mark = _hash(hit.id)
            if not self._knows(mark):
                if burst and forgotten and burst.first <= hit.time <= burst.last:
                    burst.inexact = self.dirty = True
                else:
                    if burst is None:
                        burst = self._open(hit, open_alert)
                        opened.append(burst)
                    burst.add(hit)
                    if self.overflow:
                        self._note_entity(burst, hit)
                    self.bursts.sort(key=lambda b: b.first)
                    counted += 1
                    self._remember(mark, lane)
            if burst:
                touched[burst.full] = burst
        return Taken(list(touched.values()), opened, counted)

    def _note_entity(self, burst: Burst, hit: Hit) -> None:
        known = self._entities.get(burst.full)
        if known is None:
            known = self._entities[burst.full] = set(burst.entities)
        key = group_key(hit.rule.id, group_of(hit.rule, hit.event))[:12]
        if key not in known and len(known) < MAX_ENTITIES:
            known.add(key)
            burst.entities.append(key)

    def before(self, burst: Burst, limit: int) -> list[Burst]:
        """The last alerts of the group before one, newest first."""
        earlier = [b for b in self.bursts if b.first < burst.first and b is not burst]
        return earlier[::-1][:limit]

    def _burst_at(self, time: int) -> Burst | None:
        best: Burst | None = None
        for burst in reversed(self.bursts):
            if burst.first <= time <= burst.last:
                return burst
            if burst.holds(time, self.window):
                best = burst  # the earliest that can take it
            elif burst.first + self.window <= time:
                break  # sorted by their beginning, and none is longer than the window
        return best

    def _open(self, hit: Hit, open_alert: Callable[[str], str]) -> Burst:
        full = ids.digest(self.rule, group_key(self.rule, self.group), str(self.overflow), hit.id)
        burst = Burst(open_alert(full), full, 0, hit.time, hit.time)
        self.bursts = [*self.bursts[1 - MAX_ALERTS :], burst]
        return burst

    def _remember(self, mark: bytes, lane: str) -> None:
        self.total += 1
        self.dirty = True
        marks = self._lanes.pop(lane, {})  # and to the end: the lane that was used last
        self._lanes[lane] = marks
        marks[mark] = None
        if len(marks) > REMEMBERED // 4:
            oldest = next(iter(marks))
            del marks[oldest]
            self._seen[oldest] = None
        if len(self._lanes) > MAX_LANES:
            self._seen.update(self._lanes.pop(next(iter(self._lanes))))
        while len(self._seen) > REMEMBERED - REMEMBERED // 4:
            del self._seen[next(iter(self._seen))]


def _packed(marks: Iterable[bytes]) -> str:
    return base64.b64encode(b"".join(marks)).decode()


def _unpacked(text: str) -> dict[bytes, None]:
    packed = base64.b64decode(text)
    return dict.fromkeys(packed[i : i + _HASH] for i in range(0, len(packed), _HASH))


def _hash(event_id: str) -> bytes:
    return hashlib.blake2b(event_id.encode(), digest_size=_HASH).digest()
