"""What an exception would have hidden: the hits of the last weeks, and the alerts that hold them.

The hits are looked up in the store anew, with the rule as it is without its exceptions, so every event that
is still there is decided exactly. Which alert a hit was counted on is known from the alert's group
(`soc.detect.grouping`), which remembers the hits that it counted; so an alert of many hits is judged by all
of them, not by the few that it carries. What is no longer in the store is only known of the events that an
alert carries; the rest is *missing*, and said to be.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from soc.detect.exceptions.model import Applied, bare
from soc.detect.grouping import MAX_VALUE, GroupState, group_key, group_of, micros
from soc.detect.predicate import And, Op, Predicate, Test, Verdict, evaluate, matches
from soc.event import moment, timestamp
from soc.respond import alerts, ids

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.event import Event
    from soc.respond.alerts import AlertView
    from soc.store.contract import Store, StoredEvent

GROUP = "alert_group"
SAMPLES = 3
"""Events that are shown of what an exception hides."""
STEPS = 60
"""Parts in which a period is read, for the progress."""

Progress = Callable[[int, int], None]
"""Called with what is done and how much there is."""


def _nothing(_done: int, _all: int) -> None:
    """No progress."""


@dataclass
class Cover:
    """One alert of the rule: `seen` of its hits could be looked at, `hidden` of these would be hidden."""

    view: AlertView
    seen: int = 0
    hidden: int = 0
    _ids: set[str] = field(default_factory=set, repr=False)

    @property
    def missing(self) -> int:
        """How many of its hits are neither in the store nor carried by the alert."""
        return max(0, self.view.count - self.seen)

    @property
    def extent(self) -> str:
        """`wholly` (every hit is known, and would be hidden), `partly`, or `not` (none that is known)."""
        if not self.hidden:
            return "not"
        whole = self.hidden == self.seen and not self.missing and not self.view.body["inexact"]
        return "wholly" if whole else "partly"

    @property
    def was_true(self) -> bool:
        """Whether it was closed as a true positive, and the exception would have hidden part of it."""
        return self.hidden > 0 and self.view.work.get("reason") == "true-positive"

    def take(self, id_: str, *, hidden: bool) -> None:
        """Count one of its hits, once."""
        if id_ not in self._ids:
            self._ids.add(id_)
            self.seen += 1
            self.hidden += hidden


@dataclass
class Review:
    """What an exception does to one rule, since a moment.

    `hits`: of the rule as it is now, in the store; `hidden` of them the exception would hide, `loose` of
    those are on no alert. `covers`: the rule's alerts of that time, and all that are not closed.
    """

    rule: Rule
    since: datetime
    hits: int = 0
    hidden: int = 0
    loose: int = 0
    covers: list[Cover] = field(default_factory=list)
    samples: list[StoredEvent] = field(default_factory=list)

    @property
    def touched(self) -> list[Cover]:
        """The alerts of which it would have hidden something."""
        return [cover for cover in self.covers if cover.hidden]

    @property
    def true_positives(self) -> list[Cover]:
        """Those of them that were closed as true positive."""
        return [cover for cover in self.covers if cover.was_true]

    @property
    def open(self) -> list[Cover]:
        """The alerts that are not closed."""
        return [cover for cover in self.covers if cover.view.status is not alerts.Status.CLOSED]


def review(
    store: Store,
    rule: Rule,
    applied: Applied,
    *,
    since: datetime,
    now: datetime,
    progress: Progress = _nothing,
) -> Review:
    """What `applied` would have hidden of the rule's hits since a moment, and of its alerts.

    `rule` is as it is loaded now, without this exception.
    """
    out = Review(rule, since)
    wanted = Test("rule.id", Op.EQUALS, rule.id)
    first = timestamp(since)
    found = list(store.find(alerts.ALERT, wanted))
    triage = store.read_many(alerts.TRIAGE, [document.id for document in found])
    out.covers = [
        Cover(view)
        for view in (alerts.AlertView(document, triage.get(document.id)) for document in found)
        if view.body["last"] >= first or view.status is not alerts.Status.CLOSED
    ]
    groups = _Groups(store, rule, out.covers)
    for stored in _hits(store, rule, since, now, progress):
        _take(out, groups, applied, stored)
    for cover in out.covers:
        _carried(store, cover, applied)
        if cover.missing and (cover.was_true or cover in out.open):
            _look_again(store, groups, cover, applied)
    return out


def hides(applied: Applied, event: Event) -> bool:
    """Whether an exception certainly hides this hit of its rule."""
    return evaluate(applied.hides, event) is Verdict.TRUE


def _hits(
    store: Store, rule: Rule, since: datetime, now: datetime, progress: Progress
) -> Iterator[StoredEvent]:
    """The events since a moment on which the rule is true without its exceptions."""
    step = max((now - since) / STEPS, timedelta(seconds=1))
    where = bare(rule)
    start = since
    for number in range(1, STEPS + 1):
        end = start + step
        last = number == STEPS or end >= now
        # the last part has no end: a clock that is ahead must not lose its events
        yield from store.search(where, since=start, until=None if last else end)
        progress(number, STEPS)
        start = end
        if last:
            return


def _take(out: Review, groups: _Groups, applied: Applied, stored: StoredEvent) -> None:
    hidden = hides(applied, stored.event)
    cover = groups.holder(stored)
    if cover:
        cover.take(stored.id, hidden=hidden)
    if not matches(out.rule.predicate, stored.event):
        return  # another exception hides it already
    out.hits += 1
    if hidden:
        out.hidden += 1
        out.loose += cover is None
        if len(out.samples) < SAMPLES:
            out.samples.append(stored)


def _carried(store: Store, cover: Cover, applied: Applied) -> None:
    """The events that an alert carries with it, which are its hits also when the rule has changed since."""
    if cover.missing:
        for stored in alerts.events_of(store, cover.view):
            cover.take(stored.id, hidden=hides(applied, stored.event))


def _look_again(store: Store, groups: _Groups, cover: Cover, applied: Applied) -> None:
    """The hits of an alert that another version of its rule had: by what the group remembers."""
    state = groups.state_of(cover)
    if state is None:
        return
    body = cover.view.body
    where = And(tuple(_entity(body["group"].items())))
    since, until = moment(body["first"]), moment(body["last"]) + timedelta(microseconds=1)
    for stored in store.search(where, since=since, until=until):
        if state.knows(stored.id):
            cover.take(stored.id, hidden=hides(applied, stored.event))


def _entity(group: Iterable[tuple[str, str]]) -> Iterator[Predicate]:
    for name, value in group:
        if value and len(value) <= MAX_VALUE:  # a longer one is not what the event has
            yield Test(name, Op.EQUALS, value)


class _Groups:
    """Which alert counted a hit: the rule's groups remember the hits, the alerts when they began and ended.

    (A group lists only its latest alerts, so the times are those of the alerts.)
    """

    def __init__(self, store: Store, rule: Rule, covers: Iterable[Cover]) -> None:
        self.rule = rule
        self._overflow = ids.digest(rule.id, "overflow")
        self._spans: dict[str, list[tuple[int, int, Cover]]] = {}
        for cover in covers:
            body = cover.view.body
            span = (micros(body["first"]), micros(body["last"]), cover)
            self._spans.setdefault(self._key(cover), []).append(span)
        for spans in self._spans.values():
            spans.sort(key=lambda span: span[:2])
        found = store.read_many(GROUP, sorted(self._spans))
        self._states = {key: GroupState.load(document.body) for key, document in found.items()}

    def _key(self, cover: Cover) -> str:
        body = cover.view.body
        return self._overflow if body["overflow"] else group_key(self.rule.id, body["group"])

    def state_of(self, cover: Cover) -> GroupState | None:
        """What is known of the group of an alert; None where another stage wrote it."""
        return self._states.get(self._key(cover))

    def holder(self, stored: StoredEvent) -> Cover | None:
        """The alert that a hit was counted on; None when on none of those that are looked at."""
        time = micros(stored.event.get("@timestamp"))
        for key in (group_key(self.rule.id, group_of(self.rule, stored.event)), self._overflow):
            state = self._states.get(key)
            if state is None or not state.knows(stored.id):
                continue
            spans = self._spans[key]
            at = bisect_right(spans, time, key=lambda span: span[0]) - 1
            if at >= 0 and time <= spans[at][1]:
                return spans[at][2]
        return None
