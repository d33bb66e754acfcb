"""Correlations as a stage of a sweep: the state of each group is a document, changed by compare-and-set.

For each batch: hits go to their groups, each group's state takes them in and is written, then the alerts of
the bursts that changed are drawn from it. A crash anywhere in between is made good by the same batch coming
again: what a state has taken is taken once, and drawing an alert again changes nothing. So several sweepers
may do this at once as well; who meets a newer state reads it and takes what is left.

Kinds of documents: `correlation_state` and, for conditions that time alone decides, `correlation_watch`, one
for each group; `correlation_hits`, the pages of groups with many hits; `correlation_upkeep`, when groups were
last looked through for those that nothing can change any more.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from soc.detect.alert_writer import AT_ONCE, ATTEMPTS, Written
from soc.detect.correlate.alerts import AlertBook, Raised, identity
from soc.detect.correlate.definition import Item, Watch
from soc.detect.correlate.engine import Found, Pending, Router, found_of, raised_of, verdict_found
from soc.detect.correlate.hits import pack, unpack
from soc.detect.correlate.state import Burst, GroupState, Taken
from soc.detect.grouping import Hit, micros
from soc.detect.predicate import And, Op, Test
from soc.detect.stage import Staged
from soc.errors import ConflictError, SocError
from soc.event import timestamp
from soc.store.contract import Document, Store, VersionConflictError, Write

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.event import Event
    from soc.respond.register import Register

STATE, WATCH, HITS = "correlation_state", "correlation_watch", "correlation_hits"
UPKEEP = "correlation_upkeep"
CACHED = 4_000
"""Groups remembered between batches."""
CACHED_HITS = 400_000
"""Hits of these groups that are remembered, at about 200 bytes each."""
CACHED_PAGES = 50
"""Pages of hits remembered."""
PRUNE_EVERY = 3_600_000_000
"""Microseconds between looks for groups that nothing can change any more, whoever looks."""
AT_MOST = 20_000
"""Groups that one look removes, or decides because time has passed."""


def _now() -> datetime:
    return datetime.now(UTC)


class PageGoneError(ConflictError):
    """A page of hits is no longer there: the group was changed by somebody else since it was read."""


@dataclass(slots=True)
class _Known:
    """A group as this process knows it; `version`: of its document."""

    rule: Rule
    state: GroupState
    version: int


@dataclass(slots=True)
class _Done:
    """What became of the groups of one level."""

    late: int = 0
    late_by: Counter[str] = field(default_factory=Counter)
    opened: Counter[str] = field(default_factory=Counter)
    raised: list[Raised] = field(default_factory=list)
    merged: list[tuple[str, str]] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    verdicts: dict[str, list[tuple[Item, bool]]] = field(default_factory=dict)


class CorrelationStage:
    """All correlations of a set of rules (`soc.detect.stage.Stage`)."""

    def __init__(
        self,
        store: Store,
        rules: Sequence[Rule],
        *,
        listed: Iterable[str] | None = None,
        register: Register | None = None,
        dry_run: bool = False,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        """`rules`, `listed`: see `Router`. `clock`: what time it is; no event is expected to be later."""
        self.store = store
        self.dry_run = dry_run
        self.router = Router(rules, listed)
        self.book = AlertBook(store, name="correlations", register=register, dry_run=dry_run)
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._pages: OrderedDict[str, list[Item]] = OrderedDict()
        self._homeless: Counter[str] = Counter()
        self._pruned = -PRUNE_EVERY

    def begin(self) -> None:
        """See `soc.detect.stage.Stage.begin`."""
        self._homeless.clear()
        self._known.clear()
        self.book.begin()

    def take(self, hits: Sequence[Hit], *, replay: bool) -> Staged:
        """See `soc.detect.stage.Stage.take`. Raises `ConflictError` when others are always faster."""
        staged = Staged([hit for hit in hits if hit.rule.id not in self.router.quiet])
        if not self.router.correlations:
            return staged
        pending: dict[str, Pending] = {}
        self.router.route(found_of(hits), pending, self._homeless)
        events = {hit.id: hit.event for hit in hits}
        for level in self.router.levels:
            wanted = {rule.id for rule in level}
            done = self._settle({k: one for k, one in pending.items() if one.rule.id in wanted}, replay)
            self._tell(done, events, staged)
            self.router.route(self._verdicts(level, done, events), pending, self._homeless)
        return staged

    def finish(self, watermark: int) -> Staged:
        """See `soc.detect.stage.Stage.finish`."""
        staged = Staged([])
        for rule in self.router.correlations.values():
            if rule.definition and rule.definition.watch in (Watch.SETTLED, Watch.ABSENT):
                for keys in _batches(self._due(rule, watermark)):
                    done = self._decide(keys, rule, watermark)
                    self._tell(done, {}, staged)
        for id_, count in sorted(self._homeless.items()):
            title = self.router.correlations[id_].title
            staged.notes.append(f"{title}: {count} hits lack a field of its group-by and belong to no group")
        self._homeless.clear()
        if self._may_prune():
            self._prune(watermark)
        self._forget()
        return staged

    # hits come

    def _settle(self, pending: dict[str, Pending], replay: bool) -> _Done:
        """Let every group take its hits, and write it."""
        done = _Done()
        now = micros(timestamp(self._clock()))
        for _ in range(ATTEMPTS):
            if not pending:
                self._forget()
                return done
            try:
                refused = self._settle_once(pending, now, replay, done)
            except PageGoneError:
                self._known.clear()  # taking hits again changes nothing
                continue
            pending = {key: one for key, one in pending.items() if key in refused}
        raise ConflictError(
            f"{len(pending)} groups of correlations are being written by another sweep all the time",
            hint="soc sweep status shows who; stop one of them",
        )

    def _settle_once(self, pending: Mapping[str, Pending], now: int, replay: bool, done: _Done) -> set[str]:
        """One try for all groups; those that met another writer come back."""
        self._load({key: one.rule for key, one in pending.items()}, pending)
        taken: dict[str, Taken] = {}
        for key, one in pending.items():
            wanted = one.rule.id in self.router.referenced
            taken[key] = self._known[key].state.take(one.items, now, replay=replay, verdicts=wanted)
        refused = self._write(list(pending))
        for key, result in taken.items():
            if key not in refused:
                self._note(key, result, result.bursts, done)
        return refused

    def _note(self, key: str, taken: Taken, bursts: Sequence[Burst], done: _Done) -> None:
        """Take down what became of a group that was written."""
        known = self._known[key]
        rule, state = known.rule, known.state
        done.late += taken.late
        done.late_by[rule.id] += taken.late
        done.opened[rule.id] += taken.opened
        if taken.verdicts:
            done.verdicts.setdefault(rule.id, []).extend(taken.verdicts)
        if rule.id in self.router.quiet or rule.mode == "shadow":
            return
        done.raised += [raised_of(rule, state, burst, known.version) for burst in bursts]
        names = {seed: identity(rule.id, state.group, seed) for seed in _seeds(state)}
        done.merged += [(names[seed], names[into]) for seed, into, _ in state.merged]
        done.withdrawn += [names[seed] for seed, _ in state.withdrawn]

    def _tell(self, done: _Done, events: Mapping[str, Event], staged: Staged) -> None:
        """Write the alerts of a level."""
        staged.late += done.late
        for id_, late in done.late_by.items():
            staged.late_by[id_] = staged.late_by.get(id_, 0) + late
        for id_, opened in done.opened.items():
            if opened:
                staged.held[id_] = staged.held.get(id_, 0) - opened
        try:
            staged.written.add(self.book.write(done.raised, events) if done.raised else Written())
            for full, into in done.merged:
                self.book.merge(full, into)
            for full in done.withdrawn:
                self.book.withdraw(full, "events that came late made it untrue")
        except SocError:
            self._known.clear()
            raise

    def _verdicts(self, level: Sequence[Rule], done: _Done, events: dict[str, Event]) -> list[Found]:
        """At which events the correlations of a level hold, for those that refer to them."""
        out: list[Found] = []
        for rule in level:
            verdicts = done.verdicts.get(rule.id, ())
            missing = sorted({item.id for item, _ in verdicts} - events.keys())
            if missing:
                events |= {stored.id: stored.event for stored in self.store.events(missing)}
            out += verdict_found(rule, verdicts, events)
        return out

    # time passes

    def _due(self, rule: Rule, watermark: int) -> list[str]:
        """The groups of a rule about which something is decided by now."""
        where = And(
            (
                Test("rule", Op.EQUALS, rule.id),
                Test("due", Op.GTE, 1),
                Test("due", Op.LTE, watermark),
            )
        )
        if self.dry_run:
            return [
                key
                for key, known in self._known.items()
                if known.rule.id == rule.id and 0 < known.state.due <= watermark
            ]
        keys = []
        for document in self.store.find(WATCH, where, limit=AT_MOST):
            keys.append(document.id)
            self._keep(document.id, rule, document)
        return keys

    def _decide(self, keys: Sequence[str], rule: Rule, watermark: int) -> _Done:
        done = _Done()
        left = list(keys)
        for _ in range(ATTEMPTS):
            self._load(dict.fromkeys(left, rule), {})
            left = [key for key in left if key in self._known]
            before = {key: {b.seed for b in self._known[key].state.bursts} for key in left}
            bursts = {key: self._known[key].state.look_back(watermark) for key in left}
            refused = self._write(left)
            for key in left:
                if key not in refused:
                    opened = sum(burst.seed not in before[key] for burst in bursts[key])
                    self._note(key, Taken(opened=opened), bursts[key], done)
            left = [key for key in left if key in refused]
            if not left:
                break
        return done

    # documents

    def _load(self, rules: Mapping[str, Rule], pending: Mapping[str, Pending]) -> None:
        """Have the states of groups at hand; a group that is new gets one from `pending`."""
        missing = {key: rule for key, rule in rules.items() if key not in self._known}
        by_kind: dict[str, list[str]] = {}
        for key, rule in missing.items():
            by_kind.setdefault(_kind(rule), []).append(key)
        for kind, keys in by_kind.items():
            found = self.store.read_many(kind, keys)
            for key in keys:
                if key in found:
                    self._keep(key, missing[key], found[key])
                elif key in pending:
                    one = pending[key]
                    state = GroupState(key, one.definition, one.group, self._page)
                    self._known[key] = _Known(missing[key], state, 0)
        for key in rules:
            if key in self._known:
                self._known.move_to_end(key)

    def _keep(self, key: str, rule: Rule, document: Document) -> None:
        """Take up a state as it is in the store, unless it is known already."""
        there = self._known.get(key)
        if rule.definition and (there is None or there.version != document.version):
            state = GroupState.load(key, rule.definition, document.body, self._page)
            self._known[key] = _Known(rule, state, document.version)

    def _page(self, id_: str) -> list[Item]:
        if id_ in self._pages:
            self._pages.move_to_end(id_)
            return self._pages[id_]
        document = self.store.read(HITS, id_)
        if document is None:
            raise PageGoneError(f"the page {id_} was replaced by another sweep", hint="soc sweep status")
        items = self._pages[id_] = unpack(document.body["hits"])
        if len(self._pages) > CACHED_PAGES:
            self._pages.popitem(last=False)
        return items

    def _write(self, keys: Sequence[str]) -> set[str]:
        """Write the states that changed; the keys of those that somebody else changed first, to be read
        again."""
        changed = [key for key in keys if self._known[key].state.dirty]
        if self.dry_run:
            for key in changed:
                self._known[key].state.dirty = False
                self._known[key].version += 1
            return set()
        self._write_pages(changed)
        writes = []
        for key in changed:
            known = self._known[key]
            body = {"rule": known.rule.id, **known.state.body()}
            writes.append(Write(_kind(known.rule), key, body, known.version))
        refused: set[str] = set()
        dropped: list[str] = []
        try:
            for start in range(0, len(writes), AT_ONCE):
                results = self.store.write(writes[start : start + AT_ONCE])
                for write, result in zip(writes[start : start + AT_ONCE], results, strict=True):
                    if isinstance(result, VersionConflictError):
                        refused.add(write.id)
                        del self._known[write.id]
                        continue
                    known = self._known[write.id]
                    known.version, known.state.dirty = result.version, False
                    dropped += known.state.kept.dropped
                    known.state.kept.dropped = []
        except SocError:
            self._known.clear()  # what they hold may never have been written
            raise
        self._delete(HITS, dropped)
        return refused

    def _write_pages(self, keys: Sequence[str]) -> None:
        """Write the new pages of groups; one that is there already is the same."""
        for key in keys:
            kept = self._known[key].state.kept
            for id_, items in kept.written.items():
                self.store.write([Write(HITS, id_, {"group": key, "hits": pack(items)}, 0)])
                self._pages[id_] = items
            kept.written = {}

    def _delete(self, kind: str, wanted: Sequence[str]) -> None:
        for start in range(0, len(wanted), AT_ONCE):
            found = self.store.read_many(kind, wanted[start : start + AT_ONCE])
            self.store.write([Write(kind, id_, None, document.version) for id_, document in found.items()])
            for id_ in found:
                self._pages.pop(id_, None)

    def _may_prune(self) -> bool:
        """Whether it is time to look for groups to remove; nobody else does so within the next hour."""
        now = micros(timestamp(self._clock()))
        if self.dry_run or 0 <= now - self._pruned < PRUNE_EVERY:
            return False
        there = self.store.read(UPKEEP, "prune")
        self._pruned = there.body["at"] if there else 0
        if 0 <= now - self._pruned < PRUNE_EVERY:
            return False
        self._pruned = now
        write = Write(UPKEEP, "prune", {"at": now}, there.version if there else 0)
        (result,) = self.store.write([write])
        return not isinstance(result, VersionConflictError)

    def _prune(self, watermark: int) -> None:
        """Remove groups that no event within the allowed lateness can change, and that nobody has written
        for as long."""
        where = And((Test("until", Op.GTE, 0), Test("until", Op.LT, watermark)))
        for kind in (STATE, WATCH):
            for document in self.store.find(kind, where, limit=AT_MOST):
                body = document.body
                lateness = body["until"] - body["newest"]
                if micros(document.changed_at) + lateness >= watermark:
                    continue
                (result,) = self.store.write([Write(kind, document.id, None, document.version)])
                if not isinstance(result, VersionConflictError):
                    self._known.pop(document.id, None)
                    self._delete(HITS, [page[0] for page in body["pages"]])

    def _forget(self) -> None:
        """Keep what is remembered within its bounds; the longest unused go first."""
        if self.dry_run:
            return
        hits = sum(known.state.kept.in_memory for known in self._known.values())
        while self._known and (len(self._known) > CACHED or hits > CACHED_HITS):
            _, known = self._known.popitem(last=False)
            hits -= known.state.kept.in_memory


def bursts_in(store: Store, rule_id: str) -> int:
    """How many bursts of a correlation there are that can still change."""
    where = Test("rule", Op.EQUALS, rule_id)
    return sum(len(d.body["bursts"]) for kind in (STATE, WATCH) for d in store.find(kind, where))


def _kind(rule: Rule) -> str:
    waits = rule.definition is not None and rule.definition.watch in (Watch.SETTLED, Watch.ABSENT)
    return WATCH if waits else STATE


def _seeds(state: GroupState) -> Iterator[str]:
    for seed, into, _ in state.merged:
        yield from (seed, into)
    for seed, _ in state.withdrawn:
        yield seed


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), AT_ONCE):
        yield keys[start : start + AT_ONCE]


def stages_of_correlations(
    store: Store,
    rules: Sequence[Rule],
    *,
    register: Register | None = None,
    dry_run: bool = False,
    clock: Callable[[], datetime] = _now,
) -> list[CorrelationStage]:
    """The stage for the correlations among rules; none when there is none.

    Hits of rules that are not among them, and are there for a correlation alone, make no alert. `clock`: what
    time it is.
    """
    if not any(rule.definition for rule in rules):
        return []
    from soc.detect.correlate.reading import with_bases

    listed = [rule.id for rule in rules]
    whole = with_bases(rules)
    return [CorrelationStage(store, whole, listed=listed, register=register, dry_run=dry_run, clock=clock)]
