"""The sweep: match all rules against the events that are new in a store, and raise alerts.

It reads the store's feed from where it stands in each part of the feed (`soc.detect.places`), a batch at a
time: match in one pass, write the alerts, then move the position by compare-and-set together with the tally
of the ledger. What a crash interrupts is done again, and changes nothing that was done
(`soc.detect.grouping`).

Any number of sweeps share the work: each takes parts that have something new and that nobody holds, reads
them to their end, lets them go, and looks for more. One alone takes all. A part whose holder is no more is
taken over when its lease has run out.

A rule that is new or was changed begins with the first event that was not swept yet, so between two versions
of a rule nothing falls through. The first sweep of a store starts from now. `Start` reads earlier events too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from soc.detect import ledger
from soc.detect.alert_writer import AlertWriter, Written
from soc.detect.grouping import Hit, group_key, group_of, micros, window_of
from soc.detect.leases import Worker
from soc.detect.ledger import Tally
from soc.detect.places import Held, Place, Places
from soc.detect.plan import Choice, Plan, choose
from soc.detect.predicate import EVERYTHING, Verdict
from soc.detect.sight import Sight
from soc.detect.sweep_parts import PartsRun, Progress
from soc.detect.sweep_parts import SweepResult as SweepResult
from soc.detect.sweep_status import SweepStatus as SweepStatus
from soc.detect.sweep_status import keep_worker
from soc.detect.sweep_status import status as status
from soc.errors import ConflictError, StoreUnavailableError
from soc.event import timestamp
from soc.store.contract import Store, StoredEvent

if TYPE_CHECKING:
    from soc.detect.backfill import Reading
    from soc.detect.matcher import Match, Matcher
    from soc.detect.rule import Rule
    from soc.detect.stage import Stage, Staged
    from soc.event import Event
    from soc.respond.register import Register

NAME = "sweep"
"""The position of the configured rules. Another set of rules keeps a position of its own."""
BATCH = 5_000
"""Events in a batch; at most a quarter of `soc.detect.grouping.REMEMBERED`."""
PATIENCE = 10.0
"""Seconds to wait for another sweep that is at work on what is left."""
BEAT_EVENTS = 250
"""After how many events of a batch a sweep looks at whether it must show that it is alive."""
SAMPLE = 5_000
"""Events that an estimate looks at."""


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
        worker: Worker | None = None,
        plan: Plan = Plan.AUTO,
    ) -> None:
        """`rules`: all of them; those that cannot be evaluated are left out, broken correlations counted.

        `name`: whose position; `batch`: events at a time, at most `BATCH`; `stages`: see `soc.detect.stage`.
        The extensions of the rules come before them, always: without them their rules would fire on
        everything; then the correlations. `commit`: of the published set that the rules are. `clock`: what
        time it is when the feed is caught up (default: the system's). `keep`: whether what can be made again
        is kept on disk for the next process. `worker`: who this is to other sweeps. `plan`: see
        `soc.detect.plan`.
        """
        from soc.detect.beyond.stage import stages_for
        from soc.detect.correlate.reading import with_bases
        from soc.detect.correlate.stage import stages_of_correlations
        from soc.detect.exceptions.companions import Hidden, companions
        from soc.detect.matcher import Matcher

        self.store = store
        self.rules = [rule for rule in with_bases(rules) if rule.runnable]
        correlations = [rule for rule in rules if rule.correlation is not None]
        self.correlations = sum(rule.definition is None for rule in correlations)
        self.versions = [*self.rules, *(rule for rule in correlations if rule.definition and not rule.off)]
        self.name = name
        self.dry_run = dry_run
        self.batch = min(batch, BATCH)
        self.commit = commit
        self.ruleset = ledger.ruleset_id(self.versions)
        self.worker = worker or Worker.here()
        self._matcher: Matcher = Matcher([*self.rules, *companions(self.rules)])
        self._hidden = Hidden(self.rules)
        self.clock = clock or _now
        scope = "" if name == NAME else name
        self.stages: list[Stage] = [
            *stages_for(store, self.rules, register=register, dry_run=dry_run, keep=keep, scope=scope),
            *stages_of_correlations(store, rules, register=register, dry_run=dry_run, clock=self.clock),
            *stages,
        ]
        self.plan = plan
        self._writer = AlertWriter(store, register=register, dry_run=dry_run)
        self._sight = Sight(store)
        self._places = Places(store, name, self.worker, dry_run=dry_run)
        self._published = False
        self._watermark = ""
        self._only: set[str] | None = None

    def run(
        self,
        start: Start | None = None,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress = lambda _: None,
        patience: float = PATIENCE,
        waiting: Callable[[Sequence[Place]], None] = lambda _: None,
    ) -> SweepResult:
        """Sweep what is new, until every part of the feed is caught up or `stop` says so (asked between
        batches). `patience`: seconds to wait for another sweep that is at work on what is left, 0 not to
        wait; one that is silent is waited for until its lease has run out. `waiting` is called before, with
        what is left.
        """
        began = time.monotonic()
        result = SweepResult(correlations=self.correlations)
        # in whole milliseconds, as stores keep them: what is passed over before it can then be left uncounted
        replay = {"since": timestamp(start.since)[:23] + "000Z" if start.since else ""} if start else None
        result.skipped = self._places.open(replay, self.ruleset)
        self._sight.load()
        for stage in self.stages:
            stage.begin()
        self._publish()
        run = PartsRun(self, self._places, self._writer, result, stop, progress, patience, waiting)
        try:
            run.all_parts()
        finally:
            if not self.dry_run:
                self._sight.save()
        result.seconds = time.monotonic() - began
        self._finish(run, result)
        return result

    def _publish(self) -> None:
        if not self.dry_run and not self._published:
            ledger.publish(self.store, self.versions, self.ruleset, _now())
            self._published = True

    def _finish(self, run: PartsRun, result: SweepResult) -> None:
        """Let the stages look back, and note what is not of a part: what was blind, how long it took."""
        result.blind = self._sight.blind(self.rules)
        places = self._places.survey()
        self._places.end_replay(places)
        tally = Tally("", "", "", seconds=result.seconds, blind=result.blind)
        watermark = "" if result.stopped else run.watermark(places, self._watermark)
        if watermark:
            self._watermark = watermark
            self._look_back(watermark, tally, result)
        if self.dry_run:
            return
        if result.batches or tally.notes or tally.rules:
            ledger.note_run(self.store, tally, day=ledger.today(), ruleset=self.ruleset, position=self.name)
        keep_worker(
            self.store,
            self.worker,
            {
                "name": self.name,
                "ruleset": self.ruleset,
                "commit": self.commit,
                "rules": len(self.rules),
                "swept_at": timestamp(_now()),
                "watermark": watermark,
                "events": result.events,
                "seconds": round(result.seconds, 3),
                "plan": " and ".join(sorted(result.plans)),
            },
        )

    def _look_back(self, watermark: str, tally: Tally, result: SweepResult) -> None:
        """Let the stages decide what needs a feed that is caught up: that something did not happen."""
        left: list[Hit] = []
        for stage in self.stages:
            left += _staged(stage.finish(micros(watermark)), tally, result)
        if left:
            result.alerts.add(self._writer.write(_loud(left, result), replay=False))

    # what a run uses

    def choose(self, waiting: int) -> Choice:
        """The plan for so many events that wait."""
        return choose(self.store, self._matcher.rules, waiting, wanted=self.plan)

    def match(
        self,
        events: Iterable[StoredEvent],
        tally: Tally,
        result: SweepResult,
        alive: Callable[[], object] = lambda: None,
        *,
        whole: bool = True,
    ) -> list[Hit]:
        """The hits among events, counted. `alive` is called now and then. `whole`: none was passed over, so
        which fields they have is noted."""
        hits = []
        note, match = self._sight.note, self._matcher.match
        for number, (id_, event) in enumerate(events):
            if not number % BEAT_EVENTS:
                alive()
            if whole:
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

    def matches(self, event: Event) -> list[Match]:
        """What the rules say of one event."""
        return [found for found in self._matcher.match(event) if not found.rule.hides]

    def open_alerts_of_the_past(self, rules: set[str], notify: bool, max_opened: int) -> None:
        """Only alerts of these rules, marked, and at most so many of each (see `soc.detect.backfill`)."""
        from soc.detect.correlate.stage import CorrelationStage

        self._only = rules
        self._writer.backfilled = {"notify": notify}
        self._writer.max_opened = max_opened
        for stage in self.stages:
            if isinstance(stage, CorrelationStage):
                stage.book.backfilled = {"notify": notify}

    def write(self, hits: list[Hit], held: Held | Reading, tally: Tally, result: SweepResult) -> Written:
        """Pass hits through the stages and write the alerts of what they leave."""
        for stage in self.stages:
            hits = _staged(stage.take(hits, replay=held.again), tally, result)
        if self._only is not None:
            hits = [hit for hit in hits if hit.rule.id in self._only]
        lane = held.key if self.name == NAME else f"{self.name}|{held.key}"
        return self._writer.write(_loud(hits, result), replay=held.again, lane=lane, fence=held.fence)


def _staged(staged: Staged, tally: Tally, result: SweepResult) -> list[Hit]:
    """Note what a stage did; the hits that it leaves."""
    result.alerts.add(staged.written)
    result.late += staged.late
    tally.late += staged.late
    for rule, late in staged.late_by.items():
        tally.late_by[rule] = tally.late_by.get(rule, 0) + late
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


def _loud(hits: Sequence[Hit], result: SweepResult) -> list[Hit]:
    """The hits that make alerts; those of rules in shadow were counted, and that is all."""
    loud = [hit for hit in hits if hit.rule.mode != "shadow"]
    result.shadow += len(hits) - len(loud)
    return loud


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
    patience: float = PATIENCE,
) -> SweepResult:
    """Sweep once (see `Sweeper.run`). `start=Start()` reads the store from its beginning."""
    return Sweeper(store, rules, name=name, register=register, dry_run=dry_run).run(
        start, stop=stop, progress=progress, patience=patience
    )


def estimate(store: Store, rules: Sequence[Rule], start: Start) -> Estimate:
    """What a sweep from `start` would meet, but for correlations and extensions. Looks at no more than the
    newest `SAMPLE` events."""
    from soc.detect.catalogue import quiet
    from soc.detect.matcher import Matcher

    if start.since is None:
        events = store.status().events
    else:
        events = sum(1 for _ in store.search(EVERYTHING, since=start.since))
    silent = quiet(rules)
    wanted = [rule for rule in rules if rule.runnable and not rule.beyond and rule.id not in silent]
    matcher = Matcher(wanted)
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


def _now() -> datetime:
    return datetime.now(UTC)
