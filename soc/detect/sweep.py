"""The sweep: match all rules against the events that are new in a store, and raise alerts.

It reads the store's feed from a saved position (documents of kind `position`), a batch at a time: match in
one pass, write the alerts, then move the position by compare-and-set together with the tally of the ledger.
What a crash interrupts is done again, and changes nothing that was done (`soc.detect.grouping`). Of two
sweeps on one position, one moves it; the other stops with a conflict, and whatever it had counted is counted
once.

A rule that is new or was changed begins with the first event that was not swept yet, so between two versions
of a rule nothing falls through. The first sweep of a store starts from now. `Start` reads earlier events too.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from soc.detect import ledger
from soc.detect.alert_writer import AlertWriter, Written
from soc.detect.grouping import Hit, group_key, group_of, micros, window_of
from soc.detect.ledger import Tally
from soc.detect.predicate import EVERYTHING, Verdict
from soc.detect.sight import Sight
from soc.errors import ConflictError, StoreUnavailableError
from soc.event import timestamp
from soc.store.contract import Document, FeedBatch, Position, Store, StoredEvent, VersionConflictError, Write

if TYPE_CHECKING:
    from soc.detect.matcher import Matcher
    from soc.detect.rule import Rule
    from soc.detect.stage import Stage, Staged
    from soc.respond.register import Register

POSITION = "position"
NAME = "sweep"
"""The position of the configured rules. Another set of rules keeps a position of its own."""
BATCH = 5_000
"""Events in a batch; must stay below `soc.detect.grouping.REMEMBERED`."""
SAMPLE = 5_000
"""Events that an estimate looks at."""

Progress = Callable[[int], None]
"""Called with the number of events swept since the last call."""


@dataclass(frozen=True, slots=True)
class Start:
    """Read events again that are in the store already: all of them, or those since a moment of event time."""

    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a sweep from an earlier start would meet: events, and by a sample of the newest, alerts."""

    events: int
    sampled: int
    hits: int
    alerts: int

    @property
    def whole(self) -> bool:
        """Whether the sample was all there is."""
        return self.sampled >= self.events

    @property
    def expected_alerts(self) -> int:
        """Alerts to expect, if the rest is like the sample; groups repeat, so it is rather too high."""
        return self.alerts if self.whole else round(self.alerts * self.events / max(self.sampled, 1))


@dataclass(slots=True)
class SweepResult:
    """What one sweep did.

    `skipped`: events that were there before the first sweep of this store and were not looked at (None: it
    was not the first). `blind`: rule id to why nothing here could fire it. `correlations`: rules of that
    kind, which are not swept. `hidden`: hits that exceptions hid. `shadow`: hits of rules in that mode,
    which raise no alerts.
    """

    events: int = 0
    hits: int = 0
    undecided: int = 0
    hidden: int = 0
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


class SweepConflictError(ConflictError):
    """Another sweep moved the position of the feed first."""

    def __init__(self, current: Document | None) -> None:
        who = current.body.get("by", "?") if current else "?"
        when = current.changed_at if current else "?"
        super().__init__(
            "another sweep is at work on this store and was faster; nothing is lost or counted twice",
            theirs=f"{who} moved the position at {when}",
            hint="soc sweep status",
        )


class Sweeper:
    """Sweeps a store with a set of rules, once or again and again."""

    def __init__(
        self,
        store: Store,
        rules: Sequence[Rule],
        *,
        name: str = NAME,
        register: Register | None = None,
        dry_run: bool = False,
        batch: int = BATCH,
        stages: Sequence[Stage] = (),
        clock: Callable[[], datetime] | None = None,
        keep: bool = True,
        commit: str = "",
    ) -> None:
        """`rules`: all of them; those that cannot be evaluated on single events are left out and counted.

        `name`: whose position; `batch`: events at a time, at most `BATCH`; `stages`: see `soc.detect.stage`.
        The extensions of the rules come before them, always: without them their rules would fire on
        everything. `commit`: of the published set that the rules are. `clock`: what time it is when the feed
        is caught up (default: the system's). `keep`: whether what can be made again is kept on disk for the
        next process.
        """
        from soc.detect.beyond.stage import stages_for
        from soc.detect.exceptions.companions import Hidden, companions
        from soc.detect.matcher import Matcher

        self.store = store
        self.rules = [rule for rule in rules if rule.runnable]
        self.correlations = sum(rule.correlation is not None for rule in rules)
        self.name = name
        self.dry_run = dry_run
        self.batch = min(batch, BATCH)
        self.commit = commit
        self.ruleset = ledger.ruleset_id(self.rules)
        self._matcher: Matcher = Matcher([*self.rules, *companions(self.rules)])
        self._hidden = Hidden(self.rules)
        self.stages: list[Stage] = [*stages_for(store, self.rules, dry_run=dry_run, keep=keep), *stages]
        self._clock = clock or _now
        self._writer = AlertWriter(store, register=register, dry_run=dry_run, fence=self._fence)
        self._sight = Sight(store)
        self._position: Document | None = None
        self._published = False

    def run(
        self,
        start: Start | None = None,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress = lambda _: None,
    ) -> SweepResult:
        """Sweep what is new, until the feed is caught up or `stop` says so (asked between batches).

        Raises `SweepConflictError` when another sweep is faster.
        """
        began = time.monotonic()
        result = SweepResult(correlations=self.correlations)
        self._position = self.store.read(POSITION, self.name)
        self._writer.begin(self._opened())
        self._sight.load()
        for stage in self.stages:
            stage.begin()
        if not self.dry_run and not self._published:
            ledger.publish(self.store, self.rules, self.ruleset, _now())
            self._published = True
        run = _Run(self._begin(start, result), self._tally())
        run.tally.sweeps += 1
        try:
            for batch in self.store.feed(run.feed, limit=self.batch):
                self._one_batch(batch, run, result)
                progress(len(batch.events))
                if stop():
                    result.stopped = True
                    break
        finally:
            self._keep_sight()
        result.seconds = time.monotonic() - began
        self._finish(run, result)
        return result

    # the position

    def _begin(self, start: Start | None, result: SweepResult) -> dict[str, Any]:
        """Where to read from: the body of the position, new where there was none or a start is wanted."""
        known = self._position.body if self._position else None
        if start is not None:
            since = timestamp(start.since) if start.since else ""
            replay = {"since": since, "again": known is not None}
            return {"feed": self.store.beginning(), "replay": replay}
        if known is not None:
            return {"feed": known["feed"], "replay": known.get("replay")}
        feed = self.store.head()
        result.skipped = self.store.status().events
        return {"feed": feed, "replay": None}

    def _tally(self) -> Tally:
        """The tally to go on with; one of another day or rule set is put away first."""
        day = _now().strftime("%Y-%m-%d")
        known = self._position.body.get("ledger") if self._position else None
        if known:
            tally = Tally.load(known)
            if (tally.day, tally.ruleset) == (day, self.ruleset):
                return tally
            if not self.dry_run:
                ledger.flush(self.store, tally)
            there = self.store.read(ledger.LEDGER, f"{day}-{self.ruleset}-{self.name}")
            if there:
                return Tally.load(there.body)  # back to a rule set that ran earlier today
        return Tally(day, self.ruleset, self.name)

    def _opened(self) -> dict[str, int]:
        """How many alerts each rule has opened in this hour, which bounds them (see `MAX_OPENED`)."""
        known = self._position.body.get("opened") if self._position else None
        return known["rules"] if known and known["hour"] == _hour() else {}

    def _fence(self) -> None:
        """Refuse to go on when the position is no longer where this batch began."""
        if self.dry_run:
            return
        current = self.store.read(POSITION, self.name)
        if (current.version if current else 0) != (self._position.version if self._position else 0):
            raise SweepConflictError(current)

    def _commit(self, run: _Run, feed: Position, replay: dict[str, Any] | None, tally: Tally) -> None:
        run.feed, run.replay, run.tally = feed, replay, tally
        if self.dry_run:
            return
        body = {
            "feed": dict(feed),
            "replay": replay,
            "ledger": tally.body(),
            "ruleset": self.ruleset,
            "commit": self.commit,
            "rules": len(self.rules),
            "opened": {"hour": _hour(), "rules": self._writer.opened},
            "swept_at": timestamp(_now()),
            "by": f"{socket.gethostname()} process {os.getpid()}",
        }
        expect = self._position.version if self._position else 0
        (written,) = self.store.write([Write(POSITION, self.name, body, expect)])
        if isinstance(written, VersionConflictError):
            raise SweepConflictError(written.current)
        self._position = written

    # batches

    def _one_batch(self, batch: FeedBatch, run: _Run, result: SweepResult) -> None:
        events = run.wanted(batch.events)
        tally = run.tally.copy()
        hits = self._match(events, tally, result)
        # notes come when the store was set back: events come again that were swept before
        run.again = run.again or bool(batch.notes) or bool(run.replay and run.replay["again"])
        for note in batch.notes:
            tally.note(note, _now())
            result.notes.append(note)
        left = hits
        for stage in self.stages:
            left = self._staged(stage.take(left, replay=run.again), tally, result)
        written = self._writer.write(self._loud(left, result), replay=run.again)
        tally.events += len(events)
        self._commit(run, batch.position, run.replay, tally)
        result.alerts.add(written)
        result.events += len(events)
        result.hits += len(hits)
        result.batches += 1

    def _match(self, events: Iterable[StoredEvent], tally: Tally, result: SweepResult) -> list[Hit]:
        hits = []
        note, match = self._sight.note, self._matcher.match
        for id_, event in events:
            note(event)
            hidden: set[str] = set()
            for found in match(event):
                if found.rule.hides:
                    if self._hidden.count(found, event, tally):
                        hidden.add(found.rule.id)
                    continue
                counts = result.by_rule.setdefault(found.rule.id, [0, 0])
                if found.verdict is Verdict.TRUE:
                    hits.append(Hit(found.rule, id_, event, micros(event.get("@timestamp"))))
                    tally.count(found.rule.id, matched=1)
                    counts[0] += 1
                else:
                    tally.count(found.rule.id, undecided=1)
                    counts[1] += 1
                    result.undecided += 1
            result.hidden += len(hidden)
        return hits

    def _look_back(self, tally: Tally, result: SweepResult) -> None:
        """Let the stages decide what needs a feed that is caught up: that something did not happen."""
        left: list[Hit] = []
        for stage in self.stages:
            left += self._staged(stage.finish(micros(timestamp(self._clock()))), tally, result)
        if left:
            result.alerts.add(self._writer.write(self._loud(left, result), replay=False))

    @staticmethod
    def _loud(hits: Iterable[Hit], result: SweepResult) -> list[Hit]:
        """The hits that make alerts; those of rules in shadow were counted, and that is all."""
        hits = list(hits)
        loud = [hit for hit in hits if hit.rule.mode != "shadow"]
        result.shadow += len(hits) - len(loud)
        return loud

    def _staged(self, staged: Staged, tally: Tally, result: SweepResult) -> list[Hit]:
        """Note what a stage did; the hits that it leaves."""
        result.alerts.add(staged.written)
        for rule, undecided in staged.undecided.items():
            tally.count(rule, undecided=undecided)
            result.undecided += undecided
        for rule, held in staged.held.items():
            tally.count(rule, matched=-held)
            result.by_rule.setdefault(rule, [0, 0])[0] -= held
            result.hits -= held
        for note in staged.notes:
            tally.note(note, _now())
            result.notes.append(note)
        return staged.hits

    def _keep_sight(self) -> None:
        if not self.dry_run:
            self._sight.save()

    def _finish(self, run: _Run, result: SweepResult) -> None:
        """Note that the feed was caught up, what was blind, and how long it took."""
        result.blind = self._sight.blind(self.rules)
        tally = run.tally.copy()
        tally.seconds = round(tally.seconds + result.seconds, 3)
        tally.blind = result.blind
        if not result.stopped:
            self._look_back(tally, result)
        self._commit(run, run.feed, run.replay if result.stopped else None, tally)
        if not self.dry_run:
            ledger.flush(self.store, tally)


@dataclass(slots=True)
class _Run:
    """Where a run stands. `again`: events may come that were swept before."""

    feed: Position
    replay: dict[str, Any] | None
    tally: Tally
    again: bool

    def __init__(self, begin: dict[str, Any], tally: Tally) -> None:
        self.feed, self.replay, self.tally = begin["feed"], begin["replay"], tally
        self.again = False

    def wanted(self, events: list[StoredEvent]) -> list[StoredEvent]:
        """The events that this run is about."""
        since = self.replay["since"] if self.replay else ""
        return [e for e in events if str(e.event.get("@timestamp", "")) >= since] if since else events


def sweep(
    store: Store,
    rules: Sequence[Rule],
    *,
    start: Start | None = None,
    name: str = NAME,
    register: Register | None = None,
    dry_run: bool = False,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _: None,
) -> SweepResult:
    """Sweep once (see `Sweeper.run`). `start=Start()` reads the store from its beginning."""
    return Sweeper(store, rules, name=name, register=register, dry_run=dry_run).run(
        start, stop=stop, progress=progress
    )


def estimate(store: Store, rules: Sequence[Rule], start: Start) -> Estimate:
    """What a sweep from `start` would meet. Looks at no more than the newest `SAMPLE` events."""
    from soc.detect.matcher import Matcher

    if start.since is None:
        events = store.status().events
    else:
        events = sum(1 for _ in store.search(EVERYTHING, since=start.since))
    matcher = Matcher([rule for rule in rules if rule.runnable and not rule.beyond])
    sampled = hits = 0
    spans: set[tuple[str, int]] = set()
    for stored in store.search(EVERYTHING, since=start.since, limit=SAMPLE, newest_first=True):
        sampled += 1
        for found in matcher.match(stored.event):
            if found.verdict is Verdict.TRUE:
                hits += 1
                key = group_key(found.rule.id, group_of(found.rule, stored.event))
                spans.add((key, micros(stored.event.get("@timestamp")) // window_of(found.rule)))
    return Estimate(max(events, sampled), sampled, hits, len(spans))


# again and again


def keep_sweeping(
    turn: Callable[[], None],
    *,
    every: float,
    stop: Callable[[float], bool],
    trouble: Callable[[Exception], None],
) -> None:
    """Call `turn` every `every` seconds until `stop(seconds)`, which waits that long, says so.

    A store that is away and a faster sweep elsewhere are `trouble`, told and tried again at the next turn.
    """
    while True:
        began = time.monotonic()
        try:
            turn()
        except (StoreUnavailableError, ConflictError) as error:
            trouble(error)
        if stop(max(0.0, every - (time.monotonic() - began))):
            return


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """Where a position stands. `waiting`: events not swept yet, counted up to `BATCH` (then it is more)."""

    name: str
    swept_at: str
    by: str
    rules: int
    ruleset: str
    waiting: int
    replaying: bool
    events_today: int
    hits_today: int
    blind: dict[str, str]
    notes: list[str]


def status(store: Store) -> list[SweepStatus]:
    """Every position of a sweep in the store; none when nothing was swept yet."""
    out = []
    for document in store.find(POSITION):
        body = document.body
        if "ledger" not in body:
            continue  # a position of something else
        tally = Tally.load(body["ledger"])
        waiting = next((len(b.events) for b in store.feed(body["feed"], limit=BATCH)), 0)
        out.append(
            SweepStatus(
                name=document.id,
                swept_at=body["swept_at"],
                by=body["by"],
                rules=body["rules"],
                ruleset=body["ruleset"],
                waiting=waiting,
                replaying=body.get("replay") is not None,
                events_today=tally.events,
                hits_today=tally.hits,
                blind=tally.blind,
                notes=tally.notes,
            )
        )
    return out


def _hour() -> str:
    return _now().strftime("%Y-%m-%dT%H")


def _now() -> datetime:
    return datetime.now(UTC)
