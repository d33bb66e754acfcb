"""One run of a sweep over the parts of the feed: which to take, reading them, letting them go.

Parts that have something new and that nobody holds are taken a few at a time (`soc.detect.places`), read to
their ends, and let go; then it looks again. What others hold is waited for or left to them.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from soc.detect import ledger
from soc.detect.alert_writer import AlertWriter, Written
from soc.detect.ledger import Tally
from soc.detect.places import Held, LostError, Place, Places, fresh
from soc.detect.plan import Choice, Plan
from soc.detect.ranges import Span
from soc.errors import SocError
from soc.event import moment, timestamp
from soc.store.contract import WHOLE, FeedBatch, Position, Store, StoredEvent

if TYPE_CHECKING:
    from soc.detect.sweep import Sweeper

LOOK_AGAIN = 0.25
"""Seconds between two looks at what another sweep is doing."""
FIRST = -1
"""Before every number of a new history of a part."""

Progress = Callable[[int], None]
"""Called with the number of events swept since the last call."""


@dataclass(frozen=True, slots=True)
class Left:
    """A part of the feed that this sweep did not bring to its end, and why.

    `waiting`: events that wait there; `by`: who reads it now, "" when nobody does.
    """

    part: str
    waiting: int
    by: str
    why: str


@dataclass(slots=True)
class SweepResult:
    """What one sweep did.

    `skipped`: events that were there before the first sweep of this store and were not looked at (None: it
    was not the first). `blind`: rule id to why nothing here could fire it. `correlations`: rules of that
    kind that cannot be evaluated. `late`: hits that came too late for one. `hidden`: hits that exceptions
    hid. `shadow`: hits of rules in that mode, which raise no alerts. `left`: what others are at work on, or
    took over. `plans`: events by the plan that was used for them.
    """

    events: int = 0
    hits: int = 0
    undecided: int = 0
    hidden: int = 0
    late: int = 0
    seconds: float = 0.0
    batches: int = 0
    alerts: Written = field(default_factory=Written)
    by_rule: dict[str, list[int]] = field(default_factory=dict)
    blind: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: int | None = None
    correlations: int = 0
    shadow: int = 0
    stopped: bool = False
    left: list[Left] = field(default_factory=list)
    plans: dict[str, int] = field(default_factory=dict)


class PartsRun:
    """One run over all parts of the feed."""

    def __init__(
        self,
        sweeper: Sweeper,
        places: Places,
        writer: AlertWriter,
        result: SweepResult,
        stop: Callable[[], bool],
        progress: Progress,
        patience: float,
        waiting: Callable[[Sequence[Place]], None],
    ) -> None:
        self.sweeper = sweeper
        self.store = sweeper.store
        self.places = places
        self.writer = writer
        self.result = result
        self.stop = stop
        self.progress = progress
        self.patience = patience
        self.waiting = waiting
        self._done: set[str] = set()
        self._unreadable: set[str] = set()
        self._ends: dict[str, int] = {}

    def all_parts(self) -> None:
        """Read every part that has something new to where it ended when this began."""
        places = self.places.survey()
        self._ends = {place.part.key: place.part.end for place in places}
        self.writer.begin(_opened(places))
        waited = 0.0
        seen: dict[str, int] = {}
        while not self.result.stopped:
            due = list(fresh(places, self._done))
            free = [place for place in due if self.places.free(place)]
            held = [place for place in due if place not in free and not self._passed(place)]
            if free:
                self._some_parts(self._chosen(free, places))
                waited, seen = 0.0, {}
            elif held:
                # who is silent may be no more: that is waited for, unless there is no patience at all
                if waited >= self.patience and (
                    not self.patience or all(_moves(place, seen) for place in held)
                ):
                    self.result.left += [_left(place) for place in held]
                    return
                if not waited:
                    self.waiting(held)
                for place in held:
                    seen.setdefault(place.part.key, _version(place))
                time.sleep(LOOK_AGAIN)
                waited += LOOK_AGAIN
                self.result.stopped = self.stop()
            else:
                return
            places = self.places.survey()

    def _passed(self, place: Place) -> bool:
        """Whether another sweep has swept what was there when this one began."""
        return place.number >= self._ends.get(place.part.key, place.part.end)

    def _chosen(self, free: list[Place], places: Sequence[Place]) -> list[Place]:
        """How many parts to take at once: few enough that others, who may come, find some too."""
        others = {place.holder.id for place in places if place.holder} - {self.sweeper.worker.id}
        random.shuffle(free)  # so that two sweeps do not reach for the same parts
        return free[: max(1, len(free) // (2 * (len(others) + 1)))]

    # some parts

    def _some_parts(self, places: Sequence[Place]) -> None:
        """Take parts, read them to their ends, let them go."""
        if any(place.holder for place in places):
            self.writer.forget()  # what another had begun may be counted already
        held = {one.key: one for one in self.places.take(places)}
        if not held:
            return
        try:
            self._read(held)
        except BaseException:
            self._let_go(held)
            raise

    def _read(self, held: dict[str, Held]) -> None:
        began = timestamp(self.sweeper.clock())
        start = self.store.join(one.position for one in held.values() if one.position)
        position = start
        choice, since = self._choice(held)
        for batch in self.store.feed(
            start, limit=self.sweeper.batch, parts=list(held), narrow=choice.narrow, since=since
        ):
            position = batch.position
            if batch.notes:  # the store was set back: events come again that were swept before
                for one in held.values():
                    one.again = one.back = True
            mine = held.get(batch.part) or (next(iter(held.values()), None) if not batch.events else None)
            if mine is not None:
                try:
                    self._one_batch(batch, mine, choice)
                except LostError as error:
                    self._lost(held, mine, error)
            self.progress(len(batch.events) + batch.passed)
            if self.stop():
                self.result.stopped = True
            if self.result.stopped or not held:
                break
        if not self.result.stopped:
            self._done.update(held)
        self._close(held, self.store.split(position), began)

    def _choice(self, held: Mapping[str, Held]) -> tuple[Choice, datetime | None]:
        """The plan for these parts, and from when on events are wanted in all of them."""
        begins = {str(one.replay["since"]) if one.replay else "" for one in held.values()}
        if len(begins) > 1:  # what is passed over could not be counted for each part
            return Choice(Plan.STREAM, "parts are read from different times", 0.0, None), None
        since = moment(text) if (text := begins.pop()) else None
        choice = self.sweeper.choose(sum(one.place.part.waiting for one in held.values()))
        return choice, since

    def _close(self, held: dict[str, Held], reached: Mapping[str, Position], began: str) -> None:
        """Let go of parts, with how far they were read."""
        for one in list(held.values()):
            try:
                if one.key not in reached:
                    if one.position is not None or one.place.part.gone:
                        one.drop()
                    else:
                        one.release()
                    continue
                one.move(reached[one.key])
                whole = self.store.reached(reached[one.key]).number >= one.place.part.end
                if whole and not self.result.stopped:
                    one.release(replay=None, caught_up=began)
                else:
                    one.release()
                    if not self.result.stopped:
                        self._unreadable.add(one.key)
                        self.result.left.append(_left(one.place, "cannot be read now"))
            except LostError as error:
                self._lost(held, one, error)
        held.clear()

    def _let_go(self, held: Mapping[str, Held]) -> None:
        """After a failure: others need not wait for the lease, if the store can still be told."""
        for one in held.values():
            try:
                one.let_go()
            except SocError:
                return

    def _lost(self, held: dict[str, Held], one: Held, error: LostError) -> None:
        del held[one.key]
        self._done.add(one.key)
        self.result.left.append(Left(one.place.part.name, 0, error.theirs, "taken over"))

    # a batch

    def _one_batch(self, batch: FeedBatch, held: Held, choice: Choice) -> None:
        sweeper, result = self.sweeper, self.result
        events = _wanted(held.replay, batch.events)
        tally = self._tally(held)
        for note in (*batch.notes, *batch.remarks):
            tally.note(note, _now())
            result.notes.append(note)
        opened = Counter(self.writer.opened)
        hits = sweeper.match(events, tally, result, held.beat, whole=choice.plan is Plan.STREAM)
        written = sweeper.write(hits, held, tally, result)
        seen = len(events) + batch.passed
        tally.events += seen
        for plans in (tally.plans, result.plans):
            plans[choice.plan.value] = plans.get(choice.plan.value, 0) + seen
        moved = self.store.split(batch.position).get(held.key)
        if moved is not None:
            if not (held.replay and held.replay["since"]):
                tally.saw(_span(self.store, held.position, moved))
            held.move(moved)
        held.commit(
            ledger=tally.body(),
            opened=self._opened(held, Counter(self.writer.opened) - opened),
            ruleset=sweeper.ruleset,
            commit=sweeper.commit,
            rules=len(sweeper.rules),
            swept_at=timestamp(_now()),
        )
        result.alerts.add(written)
        result.events += seen
        result.hits += len(hits)
        result.batches += 1

    def _tally(self, held: Held) -> Tally:
        """The tally to go on with; one of another day or rule set is put away first."""
        sweeper, day = self.sweeper, ledger.today()
        part = "" if held.key == WHOLE else held.key
        known = held.body["ledger"]
        if known:
            tally = Tally.load(known)
            if (tally.day, tally.ruleset) == (day, sweeper.ruleset):
                return tally.copy()
            if not sweeper.dry_run:
                ledger.flush(self.store, tally)
        id_ = ledger.tally_id(day, sweeper.ruleset, sweeper.name, part)
        there = self.store.read(ledger.LEDGER, id_)
        if there:
            return Tally.load(there.body)  # back to a rule set that ran earlier today
        return Tally(day, sweeper.ruleset, sweeper.name, part=part)

    def _opened(self, held: Held, new: Mapping[str, int]) -> dict[str, Any]:
        """How many alerts each rule has opened in this hour, of events of this part."""
        known = held.body["opened"]
        before = known["rules"] if known and known["hour"] == _hour() else {}
        return {"hour": _hour(), "rules": {r: before.get(r, 0) + new.get(r, 0) for r in {*before, *new}}}

    def watermark(self, places: Sequence[Place], before: str) -> str:
        """Up to which time everything that had come was swept, by whomever; "" when that is not known.

        A part that another sweep has not caught up with holds it back; one that cannot be read does not.
        `before`: what was known last; it stays true when more has come since, but for a clock set back.
        """
        now = timestamp(self.sweeper.clock())
        times = [now]
        for place in places:
            read = not place.due or (self.sweeper.dry_run and place.part.key in self._done)
            if not read and place.part.key not in self._unreadable:
                times.append(place.caught_up)
        return min(now, max(before, min(times)))


def _wanted(replay: Mapping[str, Any] | None, events: list[StoredEvent]) -> list[StoredEvent]:
    """The events that a reading is about."""
    since = replay["since"] if replay else ""
    return [e for e in events if str(e.event.get("@timestamp", "")) >= since] if since else events


def _span(store: Store, before: Position | None, after: Position) -> Span:
    """The events between two positions of a part."""
    start = store.reached(before or store.beginning())
    history, end = store.reached(after)
    return Span(history, start.number if start.history in ("", history) else FIRST, end)


def _opened(places: Iterable[Place]) -> dict[str, int]:
    """How many alerts each rule has opened in this hour, which bounds them (see `MAX_OPENED`)."""
    total: Counter[str] = Counter()
    for place in places:
        known = place.document.body.get("opened") if place.document else None
        if known and known["hour"] == _hour():
            total.update(known["rules"])
    return dict(total)


def _version(place: Place) -> int:
    return place.document.version if place.document else 0


def _moves(place: Place, seen: Mapping[str, int]) -> bool:
    """Whether whoever holds a part has shown itself since it was first waited for."""
    return seen.get(place.part.key, _version(place)) != _version(place)


def _left(place: Place, why: str = "another sweep is at work on it") -> Left:
    return Left(place.part.name, place.part.waiting, str(place.holder or ""), why)


def _hour() -> str:
    return _now().strftime("%Y-%m-%dT%H")


def _now() -> datetime:
    return datetime.now(UTC)
