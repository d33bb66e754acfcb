"""Writes alerts: counts hits in their group's document, then draws the alerts from it.

For each group that a batch of hits touches: read its state, count what was not counted yet, write the state
by compare-and-set, then write the events an alert carries (`alert_events`) and the alert itself. A crash
anywhere in between is made good by the same batch coming again, since the position of the feed is saved
only afterwards. A conflict means that another sweeper was there: read again, and count what is left.

**Why a stale sweeper does no harm.** Before a group is written, and after its state was read, `fence` asks
whether the position is still where this batch began. If it is, whatever others have counted of this group
since is of this one batch, and is remembered. If the state was changed between reading and writing, the
write is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from soc.detect.grouping import Burst, GroupState, Hit, group_key, group_of, time_text, window_of
from soc.errors import ConflictError, SocError
from soc.event import timestamp
from soc.respond import ids
from soc.store.contract import Document, Store, StoredEvent, VersionConflictError, Write

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.event import Event
    from soc.respond.register import Register

GROUP, ALERT, EVENTS, TRIAGE = "alert_group", "alert", "alert_events", "triage"
"""Kinds of documents: what a group knows, the alert, the events it carries, and the analysts' part."""

LETTER = "A"
ATTEMPTS = 30
CACHED = 4_000
PREVIOUS = 3
"""How many earlier alerts of the group a new one tells of."""
MAX_OPENED = 200
"""New alerts of one rule in one run of the sweep; further hits on new entities are counted on one overflow
alert of the rule."""
OVERFLOW_WINDOW = 30 * 86_400_000_000
"""Longest span of an overflow alert, in microseconds."""


@dataclass(slots=True)
class Written:
    """What a batch did: ids of alerts opened and extended, and how many hits were counted on them."""

    opened: list[str] = field(default_factory=list)
    extended: list[str] = field(default_factory=list)
    counted: int = 0
    overflowed: int = 0

    def add(self, other: Written) -> None:
        """Take in what another batch did."""
        self.opened += other.opened
        known = {*self.extended, *self.opened}
        self.extended += [i for i in other.extended if i not in known]
        self.counted += other.counted
        self.overflowed += other.overflowed


class _Documents:
    """Documents read and written by this process, remembered within a bound; stale ones show by conflict.

    With `dry_run` writes go no further than this memory.
    """

    def __init__(self, store: Store, *, dry_run: bool) -> None:
        self.store = store
        self.dry_run = dry_run
        self._known: OrderedDict[tuple[str, str], Document | None] = OrderedDict()

    def read(self, kind: str, id_: str) -> Document | None:
        key = (kind, id_)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        found = self.store.read(kind, id_)
        self._keep(key, found)
        return found

    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        results: list[Document | VersionConflictError] = []
        if self.dry_run:
            results += [Document(w.kind, w.id, w.expect + 1, dict(w.body or {}), "", "") for w in writes]
        elif writes:
            results += self.store.write(writes)
        for write, result in zip(writes, results, strict=True):
            current = result.current if isinstance(result, VersionConflictError) else result
            self._keep((write.kind, write.id), current)
        return results

    def _keep(self, key: tuple[str, str], document: Document | None) -> None:
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


class AlertWriter:
    """Turns hits into alerts in a store. One for each process that sweeps."""

    def __init__(
        self,
        store: Store,
        *,
        register: Register | None = None,
        dry_run: bool = False,
        fence: Callable[[], None] = lambda: None,
        max_opened: int = MAX_OPENED,
    ) -> None:
        self.store = store
        self.register = register
        self.fence = fence
        self.max_opened = max_opened
        self._documents = _Documents(store, dry_run=dry_run)
        self._states: OrderedDict[str, tuple[int, GroupState]] = OrderedDict()
        self._names: dict[str, str] = {}
        self._opened: dict[str, int] = {}

    def write(self, hits: Iterable[Hit], *, replay: bool = False) -> Written:
        """Count hits and write their alerts. Raises `ConflictError` when others are always faster, and what
        `fence` raises when this batch is no longer ours."""
        pending, overflowed = self._by_group(hits)
        if not pending:
            return Written()
        self._names.clear()
        events = {hit.id: hit.event for waiting in pending.values() for hit in waiting.hits}
        done = Written(overflowed=overflowed)
        try:
            for _ in range(ATTEMPTS):
                pending = self._settle(pending, events, done, replay)
                if not pending:
                    return done
        except SocError:
            self._states.clear()  # they may hold what was never written
            raise
        raise ConflictError(
            f"{len(pending)} alerts are being written by another sweep all the time",
            hint="soc sweep status shows who; stop one of them",
        )

    def begin(self) -> None:
        """A new run of the sweep: the count of alerts that a rule has opened starts again."""
        self._opened.clear()

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
        out: dict[str, _Pending] = {}
        overflowed = 0
        for key, waiting in groups.items():
            overflowed += self._place(key, waiting, out)
        return out, overflowed

    def _place(self, key: str, waiting: _Pending, out: dict[str, _Pending]) -> int:
        """Put a group's hits where they are counted: in the group, or with the rule's overflow."""
        rule = waiting.rule
        if self._documents.read(GROUP, key) is not None:
            out[key] = waiting
            return 0
        over_key = ids.digest(rule.id, "overflow")
        over = out.get(over_key) or _Pending(rule, {}, overflow=True)
        known = self._state(over_key, over)
        # a hit that an interrupted run has put there stays there
        there = [hit for hit in waiting.hits if known.knows(hit.id)]
        rest = [hit for hit in waiting.hits if not known.knows(hit.id)]
        if rest and self._opened.get(rule.id, 0) >= self.max_opened:
            there, rest = waiting.hits, []
        if there:
            over.hits += there
            out[over_key] = over
        if rest:
            self._opened[rule.id] = self._opened.get(rule.id, 0) + 1
            waiting.hits = rest
            out[key] = waiting
        return len(there)

    # counting

    def _state(self, key: str, waiting: _Pending) -> GroupState:
        document = self._documents.read(GROUP, key)
        version = document.version if document else 0
        known = self._states.get(key)
        if known and known[0] == version:
            return known[1]
        if document:
            state = GroupState.load(document.body)
        else:
            window = OVERFLOW_WINDOW if waiting.overflow else window_of(waiting.rule)
            state = GroupState(waiting.rule.id, waiting.group, window, overflow=waiting.overflow)
        self._states[key] = (version, state)
        if len(self._states) > CACHED:
            self._states.popitem(last=False)
        return state

    def _settle(
        self, pending: Mapping[str, _Pending], events: Mapping[str, Event], done: Written, replay: bool
    ) -> dict[str, _Pending]:
        """One try for all groups; those that met another writer come back."""
        planned = []
        for key, waiting in pending.items():
            state = self._state(key, waiting)
            version = self._states[key][0]
            planned.append((key, version, state, state.take(waiting.hits, self._open_alert, replay=replay)))
        self.fence()
        changed = [(key, version, state) for key, version, state, _ in planned if state.dirty]
        results = self._documents.write([Write(GROUP, k, s.body(), v) for k, v, s in changed])
        refused = set()
        for (key, _, state), result in zip(changed, results, strict=True):
            if isinstance(result, VersionConflictError):
                refused.add(key)
                self._states.pop(key, None)
            else:
                state.dirty = False
                self._states[key] = (result.version, state)
        for key, _, state, taken in planned:
            if key in refused:
                continue
            done.counted += taken.counted
            new = {burst.full for burst in taken.opened}
            done.opened += [b.id for b in taken.opened]
            if taken.counted:
                known = {*done.opened, *done.extended}
                done.extended += [b.id for b in taken.touched if b.full not in new and b.id not in known]
            if not self._draw(state, self._states[key][0], taken.touched, pending[key].rule, events):
                refused.add(key)
        return {key: pending[key] for key in refused}

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

    def _draw(
        self, state: GroupState, revision: int, bursts: list[Burst], rule: Rule, events: Mapping[str, Event]
    ) -> bool:
        """Write the alerts of a group as its state has them; False when that has to be tried again."""
        for burst in bursts:
            existing = self._documents.read(ALERT, burst.id)
            if existing and existing.body.get("full") != burst.full:
                burst.id = self._open_alert(burst.full)  # another sweeper took the short id first
                state.dirty = True
                return False
            if existing and _is_drawn(existing.body, burst, revision):
                continue
            if not self._draw_events(burst, revision, events):
                return False
            body = self._alert(state, burst, rule, revision, existing)
            (result,) = self._documents.write(
                [Write(ALERT, burst.id, body, existing.version if existing else 0)]
            )
            if isinstance(result, VersionConflictError):
                return False
        return True

    def _draw_events(self, burst: Burst, revision: int, events: Mapping[str, Event]) -> bool:
        existing = self._documents.read(EVENTS, burst.id)
        if existing and existing.body["revision"] > revision:
            return True
        known: dict[str, Event] = {s["id"]: s["event"] for s in existing.body["samples"]} if existing else {}
        if list(known) == burst.samples:
            return True
        missing = [i for i in burst.samples if i not in known and i not in events]
        fetched: list[StoredEvent] = self.store.events(missing) if missing else []
        found = {**known, **events, **{stored.id: stored.event for stored in fetched}}
        samples = [{"id": i, "event": found[i]} for i in burst.samples if i in found]
        body = {"id": burst.id, "revision": revision, "samples": samples}
        (result,) = self._documents.write(
            [Write(EVENTS, burst.id, body, existing.version if existing else 0)]
        )
        return not isinstance(result, VersionConflictError)

    def _alert(
        self, state: GroupState, burst: Burst, rule: Rule, revision: int, existing: Document | None
    ) -> dict[str, Any]:
        now = timestamp(datetime.now(UTC))
        if existing:
            body = dict(existing.body)
        else:
            body = {
                "id": burst.id,
                "full": burst.full,
                "rule": _rule_body(rule),
                "level": rule.level,
                "title": f"{rule.title} (many more)" if state.overflow else rule.title,
                "group": state.group,
                "entity": ", ".join(v for v in state.group.values() if v),
                "overflow": state.overflow,
                "created": now,
                "previous": self._previous(state, burst),
            }
        body |= {
            "count": burst.count,
            "first": time_text(burst.first),
            "last": time_text(burst.last),
            "about": burst.about,
            "versions": burst.versions,
            "inexact": burst.inexact,
            "revision": revision,
            "updated": now,
            "system": self._system(burst.about),
        }
        return body

    def _previous(self, state: GroupState, burst: Burst) -> list[dict[str, Any]]:
        """How the last alerts of the group were closed."""
        out = []
        for earlier in state.before(burst, PREVIOUS):
            triage = self.store.read(TRIAGE, earlier.id)
            facts = triage.body if triage else {}
            out.append(
                {
                    "id": earlier.id,
                    "count": earlier.count,
                    "last": time_text(earlier.last),
                    "status": facts.get("status", "open"),
                    "reason": facts.get("reason", ""),
                    "by": triage.changed_by if triage else "",
                    "at": triage.changed_at if triage else "",
                }
            )
        return out

    def _system(self, about: Mapping[str, list[Any]]) -> dict[str, Any] | None:
        """The system that the alert's machines belong to, by the register; None where it is not listed."""
        if self.register is None:
            return None
        found = [self.register.asset_for(host=str(host)) for host in about.get("host.name", ())]
        for name in ("destination.ip", "source.ip"):
            found += [self.register.asset_for(ip=str(ip)) for ip in about.get(name, ())]
        asset = next((a for a in found if a), None)
        if asset is None:
            return None
        return {
            "name": asset.system.name,
            "level": asset.system.level,
            "owner": asset.system.owner,
            "asset": asset.name,
            "criticality": str(asset.criticality) if asset.criticality else None,
        }


def _is_drawn(body: Mapping[str, Any], burst: Burst, revision: int) -> bool:
    """Whether an alert already says what its group knows, or what the group came to know later."""
    if body["revision"] > revision:
        return True
    said = (body["count"], body["first"], body["last"], body["inexact"])
    return said == (burst.count, time_text(burst.first), time_text(burst.last), burst.inexact)


def _rule_body(rule: Rule) -> dict[str, Any]:
    """What an alert keeps of its rule, so that it can be read after the rule changed."""
    return {
        "id": rule.id,
        "title": rule.title,
        "level": rule.level,
        "status": rule.status,
        "version": rule.version,
        "path": rule.path,
        "line": rule.line,
        "description": rule.description,
        "tags": list(rule.tags),
        "references": list(rule.references),
        "falsepositives": list(rule.falsepositives),
        "playbooks": list(rule.playbooks),
        "fields": list(rule.fields),
    }
