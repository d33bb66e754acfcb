"""Writes alerts about bursts: what several events say together, or the lack of them.

A stage that finds a burst describes it as `Raised` and gives it to an `AlertBook`, as often as it likes: the
same burst gives the same alert, under the same id, in any process. Detection owns what an alert says; status,
owner and notes are the analysts' own and are left alone, but for an alert that is *merged* into an earlier
one (both turned out to be one burst) or *withdrawn* (an event that came late made it untrue): it is closed
as a duplicate, with a note that says why, unless somebody closed it before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from soc.detect.alert_body import PREVIOUS, TRIAGE, alert_body, extended, sample_of
from soc.detect.alert_writer import ALERT, ATTEMPTS, EVENTS, LETTER, MAX_OPENED, Written
from soc.detect.grouping import (
    FIRST_SAMPLES,
    LAST_SAMPLES,
    Burst,
    GroupState,
    Taken,
    add_about,
    group_key,
    micros,
    time_text,
    window_of,
)
from soc.errors import ConflictError
from soc.event import timestamp
from soc.respond import ids
from soc.store.contract import Document, Store, VersionConflictError, Write

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.event import Event
    from soc.respond.register import Register

BUDGET, OVERFLOW = "alert_budget", "alert_overflow"
"""Kinds of documents: how many alerts each rule has opened in this hour; what an overflow alert counts."""

MAX_OVERFLOWED = 10_000
"""Bursts that one overflow alert knows apart; further ones are not counted on it, and it says so."""

CACHED = 4_000
"""Alerts remembered between calls."""


@dataclass(frozen=True, slots=True)
class Part:
    """How much one rule contributed to a burst."""

    rule: str
    title: str
    count: int


@dataclass(frozen=True, slots=True)
class Raised:
    """A burst to be told of.

    `seed`: what makes it another burst than others of this rule and group, and never changes: the id of its
    first event, or the moment it began. `revision`: grows with each change of what is known of the group; an
    alert never goes back to an earlier one. `first` and `last`: microseconds since 1970. `events`: ids of the
    events that the alert carries, those of the beginning first (see `FIRST_SAMPLES` and `LAST_SAMPLES`).
    `text`: a sentence for the analyst. `facts`: what `soc alert show --output json` gives beside it.
    `earlier`: seeds of earlier bursts of the group, the latest first.
    """

    rule: Rule
    group: Mapping[str, str]
    seed: str
    first: int
    last: int
    count: int
    revision: int
    events: Sequence[str] = ()
    text: str = ""
    parts: Sequence[Part] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    earlier: Sequence[str] = ()
    inexact: bool = False

    @property
    def full(self) -> str:
        """The characters that the alert's id is the beginning of."""
        return identity(self.rule.id, self.group, self.seed)


def identity(rule_id: str, group: Mapping[str, str], seed: str) -> str:
    """What an alert's id is drawn from: rule, group, and what tells this burst from others of the group."""
    return ids.digest(rule_id, group_key(rule_id, group), "burst", seed)


class AlertBook:
    """Writes alerts about bursts into a store. One for each stage of a sweep."""

    def __init__(
        self,
        store: Store,
        *,
        name: str,
        register: Register | None = None,
        dry_run: bool = False,
        max_opened: int = MAX_OPENED,
    ) -> None:
        """`name`: of the stage, whose alerts are bounded together: each rule opens `max_opened` in an hour,
        and what is more is counted on one overflow alert of the rule."""
        self.store = store
        self.name = name
        self.register = register
        self.backfilled: dict[str, bool] | None = None
        self.dry_run = dry_run
        self.max_opened = max_opened
        self._alerts: dict[str, Document | None] = {}
        self._opened: dict[str, int] = {}
        self._overflowed: dict[str, Mapping[str, Any]] = {}
        self._hour = ""

    def begin(self) -> None:
        """A new run: read again what others may have changed."""
        self._alerts.clear()
        self._overflowed.clear()
        self._hour = _hour()
        there = self.store.read(BUDGET, self.name)
        self._opened = dict(there.body["rules"]) if there and there.body["hour"] == self._hour else {}

    def write(self, raised: Iterable[Raised], events: Mapping[str, Event] | None = None) -> Written:
        """Write the alerts of bursts; `events`: those at hand, the others are read from the store.

        Raises `ConflictError` when other writers are always faster.
        """
        waiting = {one.full: one for one in raised}
        done = Written()
        before = sum(self._opened.values())
        for _ in range(ATTEMPTS):
            if not waiting:
                break
            waiting = self._write_once(waiting, events or {}, done)
        else:
            raise ConflictError(
                f"{len(waiting)} alerts are being written by another sweep all the time",
                hint="soc sweep status shows who; stop one of them",
            )
        if sum(self._opened.values()) != before:
            self._keep_budget()
        while len(self._alerts) > CACHED and not self.dry_run:
            del self._alerts[next(iter(self._alerts))]
        return done

    def id_of(self, full: str) -> str:
        """The id of the alert with this identity: the one it has, or would have."""

        def taken(candidate: str) -> bool:
            there = self._alert(candidate)
            return there is not None and there.body.get("full") != full

        return ids.shortest(LETTER, full, taken)

    def merge(self, full: str, into: str) -> None:
        """Close the alert with identity `full`, when there is one, as merged into another."""
        id_, earlier = self.id_of(full), self.id_of(into)
        there = self._alert(id_)
        if there is None or self.dry_run or there.body.get("merged_into") == earlier:
            return
        self._mark(id_, {"merged_into": earlier})
        self._close(id_, f"merged into {earlier}: with events that came late, both are one burst")

    def withdraw(self, full: str, why: str) -> None:
        """Close the alert with identity `full`, when there is one, because it holds no longer."""
        id_ = self.id_of(full)
        there = self._alert(id_)
        if there is None or self.dry_run or there.body.get("withdrawn"):
            return
        self._mark(id_, {"withdrawn": why})
        self._close(id_, f"withdrawn: {why}")

    # writing

    def _write_once(
        self, waiting: Mapping[str, Raised], events: Mapping[str, Event], done: Written
    ) -> dict[str, Raised]:
        """One try for all; those that met another writer come back."""
        self._fetch(waiting)
        over: dict[str, list[Raised]] = {}
        jobs = [job for one in waiting.values() if (job := self._job(one, over))]
        for listed in over.values():
            done.overflowed += len(listed)
            if not self.dry_run:
                self._count_overflow(listed)
        carried = self._samples(jobs, events)
        writes = [self._alert_write(job, carried[job.id]) for job in jobs]
        results = self._put(writes)
        again = {}
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, VersionConflictError):
                again[job.raised.full] = job.raised
                continue
            burst = _burst(job.raised, job.id, carried[job.id])
            added = burst.count - (job.existing.body["count"] if job.existing else 0)
            done.take(Taken([burst], [] if job.existing else [burst], max(added, 1)))
        return again

    def _job(self, one: Raised, over: dict[str, list[Raised]]) -> _Job | None:
        """What to write for a burst; None when its alert says it already, or it is counted as overflow
        (`over`, by rule)."""
        id_ = self.id_of(one.full)
        existing = self._alert(id_)
        if existing is None and self._overflows(one):
            over.setdefault(one.rule.id, []).append(one)
            return None
        if existing is not None and _says(existing.body, one):
            return None
        return _Job(one, id_, existing)

    def _samples(self, jobs: Sequence[_Job], events: Mapping[str, Event]) -> dict[str, list[dict[str, Any]]]:
        """The events that alerts carry, by alert, written where they are not there yet."""
        known = self._read_many(EVENTS, [job.id for job in jobs if job.existing])
        wanted = {id_ for job in jobs for id_ in job.raised.events}
        here: dict[str, Event] = {
            s["id"]: s["event"] for document in known.values() for s in document.body["samples"]
        }
        here.update({id_: sample_of(events[id_]) for id_ in wanted if id_ in events and id_ not in here})
        missing = sorted(wanted - here.keys())
        if missing:
            here.update({stored.id: sample_of(stored.event) for stored in self.store.events(missing)})
        out: dict[str, list[dict[str, Any]]] = {}
        writes = []
        for job in jobs:
            samples = [{"id": i, "event": here[i]} for i in job.raised.events if i in here]
            out[job.id] = samples
            there = known.get(job.id)
            if there and [s["id"] for s in there.body["samples"]] == [s["id"] for s in samples]:
                continue
            body = {"id": job.id, "revision": job.raised.revision, "samples": samples}
            writes.append(Write(EVENTS, job.id, body, there.version if there else 0))
        self._put(writes)  # a conflict: another writer of the same burst, whose alert is then newer as well
        return out

    def _alert_write(self, job: _Job, samples: Sequence[Mapping[str, Any]]) -> Write:
        one, existing = job.raised, job.existing
        burst = _burst(one, job.id, samples)
        if existing:
            burst.versions = list(dict.fromkeys([*existing.body["versions"], *burst.versions]))
            body = extended(existing.body, burst, one.revision, register=self.register)
        else:
            state = GroupState(one.rule.id, one.group, window_of(one.rule))
            state.bursts = self._earlier(one)
            burst.backfill = self.backfilled
            body = alert_body(state, burst, one.rule, one.revision, store=self.store, register=self.register)
        body |= _told(one)
        return Write(ALERT, job.id, body, existing.version if existing else 0)

    def _earlier(self, one: Raised) -> list[Burst]:
        """The alerts of earlier bursts of the group, the oldest first."""
        out = []
        for seed in one.earlier[:PREVIOUS]:
            full = identity(one.rule.id, one.group, seed)
            there = self._alert(self.id_of(full))
            if there and not there.body.get("merged_into"):
                first, last = micros(there.body["first"]), micros(there.body["last"])
                out.append(Burst(there.id, full, there.body["count"], first, last))
        return sorted(out, key=lambda burst: burst.first)

    def _mark(self, id_: str, said: Mapping[str, Any]) -> None:
        for _ in range(ATTEMPTS):
            there = self.store.read(ALERT, id_)
            if there is None or all(there.body.get(name) == value for name, value in said.items()):
                return
            (result,) = self._put([Write(ALERT, id_, {**there.body, **said}, there.version)])
            if not isinstance(result, VersionConflictError):
                return

    def _close(self, id_: str, note: str) -> None:
        """Close an alert as a duplicate; one that somebody closed before stays as they left it."""
        from soc.respond import alerts

        for _ in range(ATTEMPTS):
            triage = self.store.read(TRIAGE, id_)
            if triage and triage.body.get("status") == "closed":
                return
            (changed,) = alerts.apply(self.store, [id_], alerts.close("duplicate", note))
            if not isinstance(changed.error, ConflictError):
                return

    # what is there

    def _fetch(self, waiting: Mapping[str, Raised]) -> None:
        """Read the alerts at once that will be asked for: most have the shortest id."""
        candidates = [f"{LETTER}-{full[: ids.SHORTEST]}" for full in waiting]
        wanted = [id_ for id_ in candidates if id_ not in self._alerts]
        found = self._read_many(ALERT, wanted)
        self._alerts.update({id_: found.get(id_) for id_ in wanted})

    def _alert(self, id_: str) -> Document | None:
        if id_ not in self._alerts:
            self._alerts[id_] = self.store.read(ALERT, id_)
        return self._alerts[id_]

    def _read_many(self, kind: str, wanted: Sequence[str]) -> dict[str, Document]:
        return self.store.read_many(kind, wanted) if wanted else {}

    def _put(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        if not writes:
            return []
        results: list[Document | VersionConflictError]
        if self.dry_run:
            results = [Document(w.kind, w.id, w.expect + 1, dict(w.body or {}), "", "") for w in writes]
        else:
            results = self.store.write(writes)
        for write, result in zip(writes, results, strict=True):
            if write.kind == ALERT:
                current = result.current if isinstance(result, VersionConflictError) else result
                self._alerts.pop(write.id, None)
                self._alerts[write.id] = current
        return results

    # too many

    def _overflows(self, one: Raised) -> bool:
        """Whether a burst without an alert is to be counted on the overflow alert of its rule."""
        opened = self._opened.get(one.rule.id, 0)
        # a burst that was counted there before stays there
        if opened < self.max_opened and one.full not in self._overflow(one.rule.id):
            self._opened[one.rule.id] = opened + 1
            return False
        return True

    def _overflow_key(self, rule_id: str) -> str:
        return ids.digest(rule_id, "overflow", self.name)

    def _overflow(self, rule_id: str) -> Mapping[str, Any]:
        """The bursts that the overflow alert of a rule counts."""
        if rule_id not in self._overflowed:
            there = self.store.read(OVERFLOW, self._overflow_key(rule_id))
            self._overflowed[rule_id] = there.body["bursts"] if there else {}
        return self._overflowed[rule_id]

    def _count_overflow(self, listed: Sequence[Raised]) -> None:
        """Count bursts of one rule on its overflow alert, and draw that."""
        rule = listed[0].rule
        key = self._overflow_key(rule.id)
        for _ in range(ATTEMPTS):
            there = self.store.read(OVERFLOW, key)
            bursts: dict[str, list[int]] = dict(there.body["bursts"]) if there else {}
            first = min([one.first for one in listed] + ([there.body["first"]] if there else []))
            for one in listed:
                if one.full in bursts or len(bursts) < MAX_OVERFLOWED:
                    bursts[one.full] = [one.count, one.last]
            body = {"rule": rule.id, "bursts": bursts, "first": first}
            if there and there.body == body:
                return
            (result,) = self._put([Write(OVERFLOW, key, body, there.version if there else 0)])
            if not isinstance(result, VersionConflictError):
                self._overflowed[rule.id] = bursts
                self._draw_overflow(key, rule, result)
                return

    def _draw_overflow(self, key: str, rule: Rule, document: Document) -> None:
        """The overflow alert of a rule, as its document has it."""
        bursts: dict[str, list[int]] = document.body["bursts"]
        count = sum(found[0] for found in bursts.values())
        last = max(found[1] for found in bursts.values())
        id_ = self.id_of(key)
        burst = Burst(id_, key, count, document.body["first"], last, versions=[rule.version])
        burst.inexact = len(bursts) >= MAX_OVERFLOWED
        for _ in range(ATTEMPTS):
            there = self.store.read(ALERT, id_)
            if there and there.body["revision"] >= document.version:
                return
            if there:
                body = extended(there.body, burst, document.version, register=self.register)
            else:
                state = GroupState(rule.id, {}, window_of(rule), overflow=True)
                body = alert_body(
                    state, burst, rule, document.version, store=self.store, register=self.register
                )
            body |= {"text": f"{len(bursts)} more bursts in groups that got no alert of their own"}
            (result,) = self._put([Write(ALERT, id_, body, there.version if there else 0)])
            if not isinstance(result, VersionConflictError):
                return

    def _keep_budget(self) -> None:
        """Remember what was opened in this hour. Two writers at once may each spend it: it is a bound for
        people, not a count."""
        if self.dry_run:
            return
        there = self.store.read(BUDGET, self.name)
        body = {"hour": self._hour or _hour(), "rules": self._opened}
        self.store.write([Write(BUDGET, self.name, body, there.version if there else 0)])


@dataclass(frozen=True, slots=True)
class _Job:
    """An alert to be written, and what is there of it."""

    raised: Raised
    id: str
    existing: Document | None


def samples_of(first: Sequence[str], last: Sequence[str]) -> list[str]:
    """The ids of the events that an alert carries: those of the beginning, then those of the end."""
    head = list(first[:FIRST_SAMPLES])
    tail = [id_ for id_ in last[-LAST_SAMPLES:] if id_ not in head]
    return head + tail


def _burst(one: Raised, id_: str, samples: Sequence[Mapping[str, Any]]) -> Burst:
    about: dict[str, list[Any]] = {}
    for sample in samples:
        add_about(about, sample["event"])
    burst = Burst(id_, one.full, one.count, one.first, one.last, about=about, versions=[one.rule.version])
    burst.inexact = one.inexact
    return burst


def _told(one: Raised) -> dict[str, Any]:
    parts = [{"rule": part.rule, "title": part.title, "count": part.count} for part in one.parts]
    return {"text": one.text, "parts": parts, "facts": dict(one.facts)}


def _says(body: Mapping[str, Any], one: Raised) -> bool:
    """Whether an alert says all this, or what came later."""
    if body["revision"] > one.revision:
        return True
    said = (body["count"], body["first"], body["last"], body["inexact"])
    told = _told(one)
    return said == (one.count, time_text(one.first), time_text(one.last), one.inexact) and all(
        body.get(name) == value for name, value in told.items()
    )


def _hour() -> str:
    return timestamp(datetime.now(UTC))[:13]
