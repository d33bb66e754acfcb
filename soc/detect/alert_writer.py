"""Writes alerts: counts hits in their group's document, then draws the alerts from it.

For each group that a batch of hits touches: read its state, count what was not counted yet, write the state
by compare-and-set, then write the events an alert carries (`alert_events`) and the alert itself. A crash
anywhere in between is made good by the same batch coming again, since the position of the feed is saved
only afterwards. A conflict means that another sweeper was there: read again, and count what is left.

**Why a stale sweeper does no harm.** Before a group is written, and after its state was read, `fence` asks
whether this part of the feed is still ours. If it is, nobody else has counted hits of this batch since it was
taken; what was counted before is remembered, as the last hits of this part. If another takes the part over
after that and counts hits of this group, the state has changed, and the write is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from soc.detect.alert_body import alert_body, extended, is_drawn, sample_of
from soc.detect.grouping import Burst, GroupState, Hit, Taken, group_key, group_of, window_of
from soc.errors import ConflictError, SocError
from soc.respond import ids
from soc.store.contract import Document, Store, StoredEvent, VersionConflictError, Write

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.event import Event
    from soc.respond.register import Register

GROUP, ALERT, EVENTS = "alert_group", "alert", "alert_events"
"""Kinds of documents: what a group knows, the alert, and the events that it carries."""

LETTER = "A"
ATTEMPTS = 30
CACHED = 4_000
"""Alerts and groups remembered between batches."""
CACHED_HITS = 500_000
"""Counted hits remembered between batches, over all groups: about 60 MB."""
AT_ONCE = 500
"""Documents written in one call to the store."""
MAX_OPENED = 200
"""New alerts of one rule in an hour (`begin`); further hits on new entities are counted on one overflow alert
of the rule."""
OVERFLOW_WINDOW = 30 * 86_400_000_000
"""Longest span of an overflow alert, in microseconds."""


@dataclass(slots=True)
class Written:
    """What was done: alerts opened and extended, how many hits were counted on them, and how many of those
    on overflow alerts."""

    counted: int = 0
    overflowed: int = 0
    _opened: dict[str, Burst] = field(default_factory=dict)
    _touched: dict[str, Burst] = field(default_factory=dict)

    @property
    def opened(self) -> list[str]:
        """Ids of new alerts."""
        return [burst.id for burst in self._opened.values()]

    @property
    def extended(self) -> list[str]:
        """Ids of alerts that were there before and got further hits."""
        return [burst.id for full, burst in self._touched.items() if full not in self._opened]

    def take(self, taken: Taken) -> None:
        """Take in what became of the hits of a group."""
        self.counted += taken.counted
        self._opened.update({burst.full: burst for burst in taken.opened})
        if taken.counted:
            self._touched.update({burst.full: burst for burst in taken.touched})

    def add(self, other: Written) -> None:
        """Take in what another batch did."""
        self.counted += other.counted
        self.overflowed += other.overflowed
        self._opened.update(other._opened)
        self._touched.update(other._touched)


class _Documents:
    """Documents read and written by this process. Alerts are remembered within a bound: a stale one shows by
    conflict. With `dry_run` writes go no further than this memory, which then has no bound.
    """

    def __init__(self, store: Store, *, dry_run: bool) -> None:
        self.store = store
        self.dry_run = dry_run
        self._known: OrderedDict[tuple[str, str], Document | None] = OrderedDict()
        self._fetched: dict[tuple[str, str], Document | None] = {}

    def fetch(self, kind: str, ids_: Iterable[str]) -> None:
        """Read many at once, for `read` to give them out."""
        wanted = [id_ for id_ in ids_ if (kind, id_) not in self._known]
        found = self.store.read_many(kind, wanted) if wanted else {}
        self._fetched = {(kind, id_): found.get(id_) for id_ in wanted}

    def read(self, kind: str, id_: str) -> Document | None:
        key = (kind, id_)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        found = self._fetched[key] if key in self._fetched else self.store.read(kind, id_)
        self._keep(key, found)
        return found

    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        results: list[Document | VersionConflictError] = []
        if self.dry_run:
            results += [Document(w.kind, w.id, w.expect + 1, dict(w.body or {}), "", "") for w in writes]
        else:
            for start in range(0, len(writes), AT_ONCE):
                results += self.store.write(writes[start : start + AT_ONCE])
        self._fetched = {}
        for write, result in zip(writes, results, strict=True):
            current = result.current if isinstance(result, VersionConflictError) else result
            self._keep((write.kind, write.id), current)
        return results

    def _keep(self, key: tuple[str, str], document: Document | None) -> None:
        if key[0] == ALERT or self.dry_run:
            self._known[key] = document
            self._known.move_to_end(key)
        if len(self._known) > CACHED and not self.dry_run:
            self._known.popitem(last=False)


@dataclass(slots=True)
class _Pending:
    """A group with hits still to be counted in it."""

    rule: Rule
    group: dict[str, str]
    overflow: bool
    hits: list[Hit] = field(default_factory=list)


@dataclass(slots=True)
class _Plan:
    """What to write of one group: `version` is that of its document."""

    key: str
    rule: Rule
    state: GroupState
    version: int
    taken: Taken


_Of = tuple[str, str]
"""Whose event: the key of a group, and the event's id."""


class _Batch(NamedTuple):
    """What the hits of one call are (see `AlertWriter.write`)."""

    replay: bool
    lane: str
    fence: Callable[[], None]


class _Job(NamedTuple):
    """An alert to be drawn, and what is there of it."""

    plan: _Plan
    burst: Burst
    existing: Document | None


class AlertWriter:
    """Turns hits into alerts in a store. One for each process that sweeps."""

    def __init__(
        self,
        store: Store,
        *,
        register: Register | None = None,
        dry_run: bool = False,
        max_opened: int = MAX_OPENED,
    ) -> None:
        self.store = store
        self.register = register
        self.backfilled: dict[str, bool] | None = None
        self.max_opened = max_opened
        self._documents = _Documents(store, dry_run=dry_run)
        self._states: OrderedDict[str, tuple[int, GroupState]] = OrderedDict()
        self._names: dict[str, str] = {}
        self.opened: dict[str, int] = {}

    def write(
        self,
        hits: Iterable[Hit],
        *,
        replay: bool = False,
        lane: str = "",
        fence: Callable[[], None] = lambda: None,
    ) -> Written:
        """Count hits and write their alerts. Raises `ConflictError` when others are always faster, and what
        `fence` raises when this batch is no longer ours. `lane`: the part of the feed that it is of."""
        pending, overflowed = self._by_group(hits)
        if not pending:
            return Written()
        self._names.clear()
        # by group, since a stage may have added to the event of its own rule
        events = {(key, hit.id): hit.event for key, waiting in pending.items() for hit in waiting.hits}
        done = Written(overflowed=overflowed)
        try:
            for _ in range(ATTEMPTS):
                pending = self._settle(pending, events, done, _Batch(replay, lane, fence))
                if not pending:
                    self._forget()
                    return done
        except SocError:
            self._states.clear()  # they may hold what was never written
            raise
        raise ConflictError(
            f"{len(pending)} alerts are being written by another sweep all the time",
            hint="soc sweep status shows who; stop one of them",
        )

    def begin(self, opened: Mapping[str, int]) -> None:
        """A new run of the sweep: `opened` is how many alerts each rule has opened in this hour."""
        self.opened = dict(opened)

    def forget(self) -> None:
        """Forget what is known of groups: another process may have written them."""
        self._states.clear()

    # which group

    def _by_group(self, hits: Iterable[Hit]) -> tuple[dict[str, _Pending], int]:
        groups: dict[str, _Pending] = {}
        for hit in hits:
            group = group_of(hit.rule, hit.event)
            key = group_key(hit.rule.id, group)
            waiting = groups.get(key)
            if waiting is None:
                waiting = groups[key] = _Pending(hit.rule, group, overflow=False)
            waiting.hits.append(hit)
        self._documents.fetch(GROUP, [key for key in groups if key not in self._states])
        out: dict[str, _Pending] = {}
        overflowed = 0
        for key, waiting in groups.items():
            overflowed += self._place(key, waiting, out)
        return out, overflowed

    def _place(self, key: str, waiting: _Pending, out: dict[str, _Pending]) -> int:
        """Put a group's hits where they are counted: in the group, or with the rule's overflow."""
        rule = waiting.rule
        _, version = self._state(key, waiting)
        if version:
            out[key] = waiting
            return 0
        over_key = ids.digest(rule.id, "overflow")
        over = out.get(over_key) or _Pending(rule, {}, overflow=True)
        known, _ = self._state(over_key, over)
        # a hit that an interrupted run has put there stays there
        there = [hit for hit in waiting.hits if known.knows(hit.id)]
        rest = [hit for hit in waiting.hits if not known.knows(hit.id)]
        if rest and self.opened.get(rule.id, 0) >= self.max_opened:
            there, rest = waiting.hits, []
        if there:
            over.hits += there
            out[over_key] = over
        if rest:
            self.opened[rule.id] = self.opened.get(rule.id, 0) + 1
            waiting.hits = rest
            out[key] = waiting
        return len(there)

    # counting

    def _state(self, key: str, waiting: _Pending) -> tuple[GroupState, int]:
        """What a group knows, and the version of its document."""
        known = self._states.get(key)
        if known:
            self._states.move_to_end(key)
            return known[1], known[0]
        document = self._documents.read(GROUP, key)
        if document:
            state = GroupState.load(document.body)
        else:
            window = OVERFLOW_WINDOW if waiting.overflow else window_of(waiting.rule)
            state = GroupState(waiting.rule.id, waiting.group, window, overflow=waiting.overflow)
        version = document.version if document else 0
        self._states[key] = (version, state)
        return state, version

    def _forget(self) -> None:
        """Keep the memory of groups within its bounds; the longest unused go first."""
        hits = sum(state.remembered for _, state in self._states.values())
        while self._states and (len(self._states) > CACHED or hits > CACHED_HITS):
            _, (_, state) = self._states.popitem(last=False)
            hits -= state.remembered

    def _settle(
        self, pending: Mapping[str, _Pending], events: Mapping[_Of, Event], done: Written, batch: _Batch
    ) -> dict[str, _Pending]:
        """One try for all groups; those that met another writer come back."""
        plans = []
        for key, waiting in pending.items():
            state, version = self._state(key, waiting)
            taken = state.take(waiting.hits, self._open_alert, replay=batch.replay, lane=batch.lane)
            for burst in taken.opened:
                burst.backfill = self.backfilled
            plans.append(_Plan(key, waiting.rule, state, version, taken))
        batch.fence()
        again = self._count([plan for plan in plans if plan.state.dirty])
        plans = [plan for plan in plans if plan.key not in again]
        for plan in plans:
            done.take(plan.taken)
        again |= self._draw(plans, events)
        return {key: pending[key] for key in again}

    def _count(self, plans: Sequence[_Plan]) -> set[str]:
        """Write the states of groups; the keys of those that another sweeper has written meanwhile."""
        results = self._documents.write([Write(GROUP, p.key, p.state.body(), p.version) for p in plans])
        refused = set()
        for plan, result in zip(plans, results, strict=True):
            if isinstance(result, VersionConflictError):
                refused.add(plan.key)
                self._states.pop(plan.key, None)
            else:
                plan.state.dirty = False
                plan.version = result.version
                self._states[plan.key] = (result.version, plan.state)
        return refused

    def _open_alert(self, full: str) -> str:
        def taken(candidate: str) -> bool:
            if self._names.setdefault(candidate, full) != full:
                return True
            there = self._documents.read(ALERT, candidate)
            if there and there.body.get("full") != full:
                del self._names[candidate]
                return True
            return False

        return ids.shortest(LETTER, full, taken)

    # drawing alerts

    def _draw(self, plans: Sequence[_Plan], events: Mapping[_Of, Event]) -> set[str]:
        """Write the alerts of groups as their states have them; the keys of those to be tried again."""
        again: set[str] = set()
        jobs = []
        self._documents.fetch(ALERT, [burst.id for plan in plans for burst in plan.taken.touched])
        for plan in plans:
            for burst in plan.taken.touched:
                existing = self._documents.read(ALERT, burst.id)
                if existing and existing.body.get("full") != burst.full:
                    burst.id = self._open_alert(burst.full)  # another sweeper took the short id first
                    plan.state.dirty = True
                    again.add(plan.key)
                elif not (existing and is_drawn(existing.body, burst, plan.version)):
                    jobs.append(_Job(plan, burst, existing))
        self._documents.fetch(EVENTS, [job.burst.id for job in jobs])
        again |= self._write_jobs([(job, w) for job in jobs for w in self._events_write(job, events)])
        jobs = [job for job in jobs if job.plan.key not in again]
        return again | self._write_jobs([(job, self._alert_write(job)) for job in jobs])

    def _write_jobs(self, writes: Sequence[tuple[_Job, Write]]) -> set[str]:
        results = self._documents.write([write for _, write in writes])
        return {
            job.plan.key
            for (job, _), result in zip(writes, results, strict=True)
            if isinstance(result, VersionConflictError)
        }

    def _events_write(self, job: _Job, events: Mapping[_Of, Event]) -> list[Write]:
        """The events that an alert carries, where they are not there yet."""
        burst, revision = job.burst, job.plan.version
        existing = self._documents.read(EVENTS, burst.id)
        if existing and existing.body["revision"] > revision:
            return []
        known: dict[str, Event] = {s["id"]: s["event"] for s in existing.body["samples"]} if existing else {}
        if list(known) == burst.samples:
            return []
        fresh = {i: events[key] for i in burst.samples if (key := (job.plan.key, i)) in events}
        missing = [i for i in burst.samples if i not in known and i not in fresh]
        fetched: list[StoredEvent] = self.store.events(missing) if missing else []
        found = {**known, **{stored.id: sample_of(stored.event) for stored in fetched}}
        samples = [
            {"id": i, "event": found[i] if i in found else sample_of(fresh[i])}
            for i in burst.samples
            if i in found or i in fresh
        ]
        body = {"id": burst.id, "revision": revision, "samples": samples}
        return [Write(EVENTS, burst.id, body, existing.version if existing else 0)]

    def _alert_write(self, job: _Job) -> Write:
        plan, burst, existing = job.plan, job.burst, job.existing
        if existing:
            body = extended(existing.body, burst, plan.version, register=self.register)
        else:
            body = alert_body(
                plan.state, burst, plan.rule, plan.version, store=self.store, register=self.register
            )
        return Write(ALERT, burst.id, body, existing.version if existing else 0)
