"""Real alerts for the past: rules that are new or were changed, over events that were swept without them.

Only what a version of a rule has not seen is read (`soc.detect.gaps`), so that filling in twice does nothing,
and the running sweep is neither disturbed nor repeated: what lies after its position is its own. What was
filled in is written down in the ledger with each batch, and an interrupted backfill goes on where it was.
Hits that an earlier version has counted are known by their events and not counted again.

New alerts carry `backfill`, and `notify` with what was wished: nobody is notified of the past unless asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from soc.detect import ledger
from soc.detect.exceptions.companions import companions
from soc.detect.gaps import BACKFILL, Gap, Gaps
from soc.detect.grouping import group_key, group_of, micros, window_of
from soc.detect.ledger import Tally
from soc.detect.predicate import Or, Predicate, Verdict
from soc.detect.ranges import Span
from soc.detect.sweep import NAME, SAMPLE, Estimate, Sweeper
from soc.detect.sweep_parts import Left, Progress, SweepResult
from soc.errors import ConflictError, SocError, UsageError
from soc.event import timestamp
from soc.store.contract import WHOLE, Document, FeedBatch, Reached, Store, VersionConflictError, Write

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.event import Event
    from soc.respond.register import Register

MAX_OPENED = 5_000
"""New alerts of one rule in one backfill, which was agreed to; more are counted on an overflow alert."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time of event that is filled in; None: no bound."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def texts(self) -> tuple[str, str]:
        """The bounds as they stand in the ledger: to the millisecond, which is what stores keep."""
        since, until = (_millisecond(t) if t else "" for t in (self.since, self.until))
        return since, until


class Backfill:
    """Fills in what some rules have not seen."""

    def __init__(
        self,
        store: Store,
        rules: Sequence[Rule],
        window: Window,
        *,
        name: str = NAME,
        register: Register | None = None,
        dry_run: bool = False,
        notify: bool = False,
        commit: str = "",
    ) -> None:
        """`rules`: those to fill in. `name`: of the sweep whose past it is. `notify`: the wish to be notified
        of the new alerts.

        Raises `UsageError` for a rule that cannot look into the past.
        """
        for rule in rules:
            if rule.beyond:
                raise UsageError(
                    f"{rule.title} decides by what came before in the order of arrival; its past cannot be "
                    "filled in",
                    hint="soc sweep --once --from 7d reads old events again with all rules",
                )
        self.store = store
        self.window = window
        gaps = Gaps(store, name)
        # rules that miss the same events are read for together; nobody reads for a rule what it has seen
        alike: dict[tuple[Gap, ...], list[Rule]] = {}
        for rule in rules:
            missing = tuple(gaps.of((rule.id, rule.version), *window.texts))
            alike.setdefault(missing, []).append(rule)
        self._groups = [
            _Group(store, found, missing, window, register, dry_run, notify, commit)
            for missing, found in alike.items()
            if missing
        ]

    @property
    def numbers(self) -> int:
        """How many events there are to look at, at most."""
        return sum(gap.span.size for group in self._groups for gap in group.gaps)

    def estimate(self) -> Estimate:
        """What is to be expected, by the newest events of the window, seen before or not."""
        sampled = hits = 0
        spans: set[tuple[str, int]] = set()
        if self._groups:
            newest = self.store.search(
                since=self.window.since, until=self.window.until, limit=SAMPLE, newest_first=True
            )
            for stored in newest:
                sampled += 1
                time = micros(stored.event.get("@timestamp"))
                for rule in (rule for group in self._groups for rule in group.hit(stored.event)):
                    hits += 1
                    spans.add((group_key(rule.id, group_of(rule, stored.event)), time // window_of(rule)))
        events = self.numbers if sampled == SAMPLE else sampled
        return Estimate(max(events, sampled), sampled, hits, len(spans))

    def run(
        self, *, stop: Callable[[], bool] = lambda: False, progress: Progress = lambda _: None
    ) -> SweepResult:
        """Fill in. `progress` is called with how many of `numbers` were done since the last call.

        Raises `ConflictError` when another backfill of the same rules is at work.
        """
        began = datetime.now(UTC)
        result = SweepResult()
        for group in self._groups:
            if not result.stopped:
                group.run(result, stop, progress)
        result.seconds = (datetime.now(UTC) - began).total_seconds()
        return result


class _Group:
    """Rules that miss the same events."""

    def __init__(
        self,
        store: Store,
        rules: Sequence[Rule],
        gaps: Sequence[Gap],
        window: Window,
        register: Register | None,
        dry_run: bool,
        notify: bool,
        commit: str,
    ) -> None:
        self.store = store
        self.rules = rules
        self.gaps = gaps
        self.window = window
        self.dry_run = dry_run
        self.ruleset = ledger.ruleset_id(rules)
        self.sweeper = Sweeper(
            store,
            rules,
            name=BACKFILL,
            register=register,
            dry_run=dry_run,
            keep=False,
            commit=commit,
        )
        self.sweeper.open_alerts_of_the_past({rule.id for rule in rules}, notify, MAX_OPENED)
        # with what exceptions hide, which is counted too
        self._narrow = _narrow([*self.sweeper.rules, *companions(self.sweeper.rules)])
        self._there: dict[str, Document | None] = {}

    def hit(self, event: Event) -> list[Rule]:
        """The rules that hit an event."""
        return [found.rule for found in self.sweeper.matches(event) if found.verdict is Verdict.TRUE]

    def run(self, result: SweepResult, stop: Callable[[], bool], progress: Progress) -> None:
        """See `Backfill.run`."""
        for stage in self.sweeper.stages:
            stage.begin()
        if not self.dry_run:
            ledger.publish(self.store, self.rules, self.ruleset, datetime.now(UTC))
        for gap in self.gaps:
            if not result.stopped:
                self._fill(gap, result, stop, progress)

    def _fill(self, gap: Gap, result: SweepResult, stop: Callable[[], bool], progress: Progress) -> None:
        history, after, upto = gap.span[:3]
        store = self.store
        batches = store.feed(
            store.position_at(gap.part, Reached(history, after)),
            limit=self.sweeper.batch,
            narrow=self._narrow,
            since=self.window.since,
            until=self.window.until,
            parts=[gap.part],
            end=store.position_at(gap.part, Reached(history, upto)),
        )
        for batch in batches:
            after = self._one_batch(gap, after, batch, result, progress)
            if stop():
                result.stopped = True
                return
        if after < upto:  # a shard that is closed or fails
            result.left.append(Left(gap.name, upto - after, "", "cannot be read now"))
            progress(upto - after)

    def _one_batch(
        self, gap: Gap, after: int, batch: FeedBatch, result: SweepResult, progress: Progress
    ) -> int:
        """Returns how far the part was read."""
        result.notes += batch.notes
        position = self.store.split(batch.position).get(gap.part)
        reached = self.store.reached(position) if position else Reached("", after)
        if reached.history != gap.span.history:
            raise SocError(
                f"{gap.name} was restored while it was being read", hint="the same command once more"
            )
        tally = self._tally(gap)
        reading = Reading(gap.part, lambda: self._fence(gap))
        hits = self.sweeper.match(batch.events, tally, result)
        written = self.sweeper.write(hits, reading, tally, result)
        mine = {rule.id for rule in self.rules}
        for other in [rule for rule in tally.rules if rule not in mine]:
            matched, undecided = tally.rules[other]
            tally.count(other, matched=-matched, undecided=-undecided)
            del tally.rules[other]
        tally.events += len(batch.events) + batch.passed
        self._note(gap, after, reached.number, tally)
        result.alerts.add(written)
        result.events += len(batch.events) + batch.passed
        result.hits += len(hits)
        result.batches += 1
        progress(reached.number - after)
        return reached.number

    # the ledger

    def _tally(self, gap: Gap) -> Tally:
        part = "" if gap.part == WHOLE else gap.part
        tally = Tally(ledger.today(), self.ruleset, BACKFILL, part=part)
        if tally.id not in self._there:
            self._there[tally.id] = self.store.read(ledger.LEDGER, tally.id)
        there = self._there[tally.id]
        return Tally.load(there.body).copy() if there else tally

    def _note(self, gap: Gap, after: int, upto: int, tally: Tally) -> None:
        tally.saw(Span(gap.span.history, after, upto, gap.span.since, gap.span.until))
        if self.dry_run:
            return
        there = self._there[tally.id]
        write = Write(ledger.LEDGER, tally.id, tally.body(), there.version if there else 0)
        (written,) = self.store.write([write])
        if isinstance(written, VersionConflictError):
            raise _AtWorkError
        self._there[tally.id] = written

    def _fence(self, gap: Gap) -> None:
        if self.dry_run:
            return
        id_ = self._tally(gap).id
        there, known = self.store.read(ledger.LEDGER, id_), self._there[id_]
        if (there.version if there else 0) != (known.version if known else 0):
            raise _AtWorkError


class _AtWorkError(ConflictError):
    def __init__(self) -> None:
        super().__init__(
            "another backfill of the same rules is at work; nothing is lost or counted twice",
            hint="let it end, then run this again: what it filled in is left out",
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """A part that is being read again; stands where a sweep has the part that it holds."""

    key: str
    fence: Callable[[], None]
    again: bool = True


def _narrow(rules: Sequence[Rule]) -> Predicate | None:
    """What an event must fulfil to be of any interest; None: everything is."""
    predicates = [rule.predicate for rule in rules]
    return predicates[0] if len(predicates) == 1 else Or(tuple(predicates))


def _millisecond(moment: datetime) -> str:
    return timestamp(moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000))
