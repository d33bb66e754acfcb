"""All that is known of one group of a correlation: its hits, and the bursts in them.

A burst is the union of windows in which the condition holds and that share a hit. `GroupState` keeps what is
needed to tell the same bursts whatever the order in which hits come: when some come, only the windows that
they can have changed are looked at again.

Each burst has a *seed* that its alert's id is drawn from: its first event when it was first seen. When bursts
join, the seed of the earlier one stays and the other is noted as merged; when a burst no longer holds, its
seed is noted as withdrawn. Both notes stay as long as a late event could matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from soc.detect.correlate.definition import MAX_KEPT, Definition, Item, Watch
from soc.detect.correlate.hits import Kept, Loader, no_pages
from soc.detect.correlate.windows import Stretch, Window, bits, ending, free, joined
from soc.detect.grouping import FIRST_SAMPLES, LAST_SAMPLES

MAX_BURSTS = 200
"""Bursts of a group that can still change; the oldest beyond that are final."""
EARLIER = 3
"""Seeds of final bursts that are remembered, to tell how they ended."""
FOREVER = 1 << 62
"""A time after all others."""


@dataclass(slots=True)
class Burst:
    """One burst: its span, its greatest value (least, of a condition without a lower bound).

    `open`: silence that still lasts. `settled`: how many of its hits are no longer kept, in all and by
    reference; `head`: ids of the first of them.
    """

    seed: str
    first: int
    last: int
    value: Fraction | int | None = None
    open: bool = False
    settled: list[int] = field(default_factory=list)
    head: list[str] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Its last moment, where silence lasts: none."""
        return FOREVER if self.open else self.last

    def body(self) -> list[Any]:
        """As plain data."""
        value = None if self.value is None else str(self.value)
        return [self.seed, self.first, self.last, value, self.open, self.settled, self.head]

    @classmethod
    def load(cls, body: Sequence[Any]) -> Burst:
        """Out of plain data."""
        seed, first, last, value, still, settled, head = body
        return cls(seed, first, last, None if value is None else Fraction(value), still, settled, head)


@dataclass(frozen=True, slots=True)
class Facts:
    """What an alert says of a burst: hits in all and by reference, ids of the first and the last events."""

    count: int
    parts: list[int]
    first: list[str]
    last: list[str]


@dataclass(slots=True)
class Taken:
    """What became of hits: how many were new, how many came too late, how many bursts that made, and
    which bursts they may concern.

    `verdicts`: of a correlation that others refer to: the events that windows end with, and whether the
    condition holds there.
    """

    new: int = 0
    late: int = 0
    opened: int = 0
    bursts: list[Burst] = field(default_factory=list)
    verdicts: list[tuple[Item, bool]] = field(default_factory=list)


class GroupState:
    """The state of one group."""

    def __init__(
        self, key: str, definition: Definition, group: Mapping[str, str], loader: Loader = no_pages
    ) -> None:
        self.definition = definition
        self.group = dict(group)
        self.kept = Kept(key, loader)
        self.seen = 0
        """The time of the first hit ever."""
        self.newest = -1
        """The time of the latest hit; one that lies in the future counts as now."""
        self.floor = -1
        """Windows that end up to here are final, hits up to here come too late."""
        self.watermark = 0
        """The time before which no event is expected any more."""
        self.decided = 0
        """Up to which time it was decided what did not happen."""
        self.due = 0
        """When to look again although no event came; 0: never."""
        self.bursts: list[Burst] = []
        self.merged: list[tuple[str, str, int]] = []
        """Seed of a burst, seed of the one that it is part of now, time."""
        self.withdrawn: list[tuple[str, int]] = []
        self.earlier: list[str] = []
        self.inexact = False
        """Whether the group had more hits within one timespan than are kept."""
        self.dirty = False

    # hits come

    def take(
        self, items: Iterable[tuple[Item, bool]], now: int, *, replay: bool = False, verdicts: bool = False
    ) -> Taken:
        """Take in hits (with False: that an event is no hit any longer), and look again at their windows.

        `now`: the clock, in microseconds; `replay`: hits may have been taken before, also such as are no
        longer kept; `verdicts`: tell at which events the condition holds.
        """
        taken = Taken()
        touched: list[int] = []
        changed: list[int] = []
        for item, there in items:
            if item.time <= self.floor:
                taken.late += not replay and self.kept.find(item.id, item.time) is None
                continue
            touched.append(item.time)
            if self._put(item) if there else self._take_away(item):
                changed.append(item.time)
                taken.new += there
                self.newest = max(self.newest, min(item.time, now))
                self.seen = min(self.seen or item.time, item.time)
        known = {burst.seed for burst in self.bursts}
        if changed:
            self.dirty = True
            self._review(changed)
            taken.opened = sum(burst.seed not in known for burst in self.bursts)
        if touched:
            taken.bursts = self._near(min(touched), max(touched))
            if verdicts:
                taken.verdicts = self._verdicts(touched)
        if changed:
            self._age()
        return taken

    def look_back(self, watermark: int) -> list[Burst]:
        """Decide what needed time to pass; the bursts that came or changed by that."""
        if not self.due or watermark < self.due:
            return []
        before = {burst.seed: (burst.first, burst.last, burst.open) for burst in self.bursts}
        self.watermark = watermark
        latest = self.kept.last_before(FOREVER)
        self._review([self.newest if latest is None else latest])
        self.dirty = True
        return [b for b in self.bursts if before.get(b.seed) != (b.first, b.last, b.open)]

    @property
    def until(self) -> int:
        """From when on no event within the allowed lateness can change anything."""
        definition = self.definition
        wait = definition.lookback if definition.watch is Watch.ABSENT else 0
        return self.newest + definition.timespan + definition.lateness + wait

    def _put(self, item: Item) -> bool:
        known = self.kept.find(item.id, item.time)
        whole = known.joined(item) if known else item
        if whole == known:
            return False
        self.kept.put(whole)
        return True

    def _take_away(self, item: Item) -> bool:
        known = self.kept.find(item.id, item.time)
        if known is None or not known.refs & item.refs:
            return False
        if rest := known.refs & ~item.refs:
            self.kept.put(known._replace(refs=rest))
        else:
            self.kept.remove(known)
        return True

    # windows are looked at again

    def _review(self, changed: Sequence[int]) -> None:
        span = self.definition.timespan
        for first, last in joined((time, time + span - 1) for time in changed):
            match self.definition.watch:
                case Watch.RISING:
                    self._rise(first, last)
                case Watch.ABSENT:
                    self._wait(first)
                case _:
                    self._again(first, last)
        self.bursts.sort(key=lambda burst: (burst.first, burst.seed))

    def _rise(self, first: int, last: int) -> None:
        """Conditions that stay true: what holds now joins what held before."""
        found = [w for w in ending(self.definition, self.kept, first - 1, last) if w.holds]
        spans = joined((window.first, window.last) for window in found)
        old = [b for b in self.bursts if any(b.first <= end and begin <= b.last for begin, end in spans)]
        self._replace(old, [*spans, *((b.first, b.last) for b in old)], found)

    def _again(self, first: int, last: int) -> None:
        """Conditions that may be undone: the windows of all bursts near by are looked at again."""
        if self.definition.watch is Watch.SETTLED:
            before = self.kept.last_before(first)  # whether its window is a greatest one may have changed
            first = first if before is None else before
        old, first, last = self._hull(first, last)
        first = max(first, self.floor + 1)
        windows = list(ending(self.definition, self.kept, first - 1, last, watermark=self.watermark))
        found = [window for window in windows if window.holds]
        # what is final stays
        spans = [(b.first, min(b.last, self.floor)) for b in old if b.first <= self.floor]
        self._replace(old, [*spans, *((window.first, window.last) for window in found)], found)
        if windows and self.kept.next_after(windows[-1].last) is None:
            self.due = windows[-1].decided

    def _hull(self, first: int, last: int) -> tuple[list[Burst], int, int]:
        """The bursts that windows ending within a span may belong to, and the span with all of theirs."""
        while True:
            reach = first - self.definition.timespan
            old = [b for b in self.bursts if b.first <= last and b.last > reach]
            wider = (min([first, *(b.first for b in old)]), max([last, *(b.last for b in old)]))
            if wider == (first, last):
                return old, first, last
            first, last = wider

    def _wait(self, first: int) -> None:
        """Conditions that hold for few events or none: everything from a time on is looked at again."""
        definition = self.definition
        start = min(first, self.decided) - definition.timespan + 1
        old = [b for b in self.bursts if b.end >= start]
        start = max(min([start, *(b.first for b in old)]), self.seen, self.floor + 1)
        gone = self.newest + definition.lookback
        self.decided = until = min(self.watermark, gone)
        stretches, due = free(definition, self.kept, start, until)
        if until == gone:
            stretches, due = [s._replace(open=False) for s in stretches], 0
        elif self.kept.next_after(until - 1) is not None or until < self.seen + definition.timespan:
            due = until + 1
        elif any(s.open for s in stretches):
            due = min(due or gone, gone)
        self.due = due
        spans = [(b.first, min(b.last, self.floor)) for b in old if b.first <= self.floor]
        self._replace(old, [*spans, *((s.first, s.last) for s in stretches)], stretches)
        self._mark_open(stretches)

    def _mark_open(self, stretches: Sequence[Stretch]) -> None:
        """Silence that lasts has no end yet: what is shown is its first window, which does not change."""
        last = stretches[-1] if stretches else None
        for burst in self.bursts:
            burst.open = last is not None and last.open and burst.first <= last.last <= burst.last
            if burst.open:
                burst.last = burst.first + self.definition.timespan

    def _replace(
        self,
        old: Sequence[Burst],
        spans: Iterable[tuple[int, int]],
        found: Sequence[Window] | Sequence[Stretch],
    ) -> None:
        """Put bursts in the place of others: who overlaps is who, the earliest of several stays."""
        left = sorted(old, key=lambda burst: (burst.first, burst.seed))
        kept = [burst for burst in self.bursts if burst not in left]
        for first, last in joined(spans):
            values = [w.value for w in found if first <= w.first and w.last <= last]
            same = [burst for burst in left if burst.first <= last and first <= burst.end]
            left = [burst for burst in left if burst not in same]
            if same:
                burst = self._join(same, values)
            else:
                burst = Burst(self._seed(first), first, last, self._extreme(values))
            burst.first, burst.last, burst.open = first, last, False
            kept.append(burst)
        for burst in left:
            self.withdrawn.append((burst.seed, burst.last))
        self.bursts = kept

    def _join(self, same: Sequence[Burst], values: list[Fraction | int | None]) -> Burst:
        first, *others = same
        for other in others:
            self.merged.append((other.seed, first.seed, other.last))
            first.settled = [a + b for a, b in zip(first.settled, other.settled, strict=False)] or list(
                first.settled or other.settled
            )
            first.head = [*first.head, *other.head][:FIRST_SAMPLES]
        if self.definition.watch is Watch.RISING:
            values = [*values, *(burst.value for burst in same)]
        first.value = self._extreme(values) if values else first.value
        return first

    def _extreme(self, values: Iterable[Fraction | int | None]) -> Fraction | int | None:
        """The value that goes furthest beyond the condition."""
        known = [value for value in values if value is not None]
        lower = any(limit.op in ("gt", "gte") for limit in self.definition.limits)
        if not known:
            return None
        return max(known) if lower or self.definition.watch is not Watch.ABSENT else min(known)

    def _seed(self, first: int) -> str:
        if self.definition.watch is Watch.ABSENT:
            seed = f"silence {first}"
        else:
            seed = next((item.id for item in self.kept.between(first - 1, first)), str(first))
        used = {b.seed for b in self.bursts} | {m[0] for m in self.merged} | {w[0] for w in self.withdrawn}
        number = 2
        whole = seed
        while whole in used:
            whole, number = f"{seed}~{number}", number + 1
        return whole

    # telling

    def _near(self, first: int, last: int) -> list[Burst]:
        """The bursts that hits between two times may belong to."""
        span = self.definition.timespan
        return [b for b in self.bursts if b.first <= last + span and b.end >= first - span]

    def _verdicts(self, times: Sequence[int]) -> list[tuple[Item, bool]]:
        """At which events the condition holds, for all windows that hits at these times are in."""
        out: list[tuple[Item, bool]] = []
        span = self.definition.timespan
        for first, last in joined((time, time + span - 1) for time in times):
            for window in ending(self.definition, self.kept, first - 1, last):
                here = self.kept.between(window.last - 1, window.last)
                out += [(item, window.holds) for item in here]
        return out

    def facts(self, burst: Burst) -> Facts:
        """What an alert says of a burst."""
        settled = burst.settled or [0] * (1 + len(self.definition.references))
        parts = list(settled[1:])
        first = list(burst.head)
        if len(parts) == 1:
            parts[0] += self.kept.count(burst.first - 1, burst.last)
            for item in self.kept.between(burst.first - 1, burst.last):
                if len(first) >= FIRST_SAMPLES:
                    break
                first.append(item.id)
            count = parts[0]
        else:
            count = settled[0] + self._count_each(burst, parts, first)
        last = [
            i.id for i in self.kept.newest(burst.last, LAST_SAMPLES) if i.time >= burst.first or not count
        ]
        return Facts(count, parts, first, last)

    def _count_each(self, burst: Burst, parts: list[int], first: list[str]) -> int:
        """Count the hits of a burst, in all and by reference (`parts`), and take some of each reference for
        the alert to carry (`first`), the first of each before the others."""
        count, share = 0, max(FIRST_SAMPLES // len(parts), 1)
        leading: list[str] = []
        others: list[str] = []
        for item in self.kept.between(burst.first - 1, burst.last):
            count += 1
            numbers = list(bits(item.refs))
            if any(not parts[number] for number in numbers):
                leading.append(item.id)
            elif any(parts[number] < share for number in numbers):
                others.append(item.id)
            for number in numbers:
                parts[number] += 1
        first[:] = [*first, *leading, *others][:FIRST_SAMPLES]
        return count

    # growing old

    def _age(self) -> None:
        """Let go of what no event within the allowed lateness can change, and keep within the bounds."""
        floor = self.newest - self.definition.lateness
        if len(self.bursts) > MAX_BURSTS:
            floor = max(floor, self.bursts[-MAX_BURSTS - 1].last)
        self.kept.spill()
        if floor > self.floor:
            self.floor = floor
            self._settle(floor - self.definition.timespan)
        while len(self.kept) > MAX_KEPT and self.kept.pages:
            self._settle(min(page.last for page in self.kept.pages))
            self.inexact = self.inexact or self.kept.cut > self.newest - self.definition.timespan
        oldest = self.floor - self.definition.timespan
        for burst in [b for b in self.bursts if b.end <= oldest]:
            self.bursts.remove(burst)
            self.earlier = [burst.seed, *self.earlier][:EARLIER]
        self.merged = [m for m in self.merged if m[2] > oldest]
        self.withdrawn = [w for w in self.withdrawn if w[1] > oldest]

    def _settle(self, until: int) -> None:
        """Forget the hits up to a time; bursts keep their numbers."""
        if until <= self.kept.cut or self.kept.next_after(-1) is None:
            return
        for burst in self.bursts:
            end = min(burst.last, until)
            if burst.first > until or not self.kept.count(burst.first - 1, end):
                continue
            whole = burst.last
            burst.last = end
            facts = self.facts(burst)
            burst.last = whole
            burst.settled = [facts.count, *facts.parts]
            burst.head = facts.first
        self.kept.forget(until)

    # as plain data

    def body(self) -> dict[str, Any]:
        """The state as its document."""
        return {
            "group": self.group,
            "until": self.until,
            "seen": self.seen,
            "newest": self.newest,
            "floor": self.floor,
            "watermark": self.watermark,
            "decided": self.decided,
            "due": self.due,
            "inexact": self.inexact,
            "bursts": [burst.body() for burst in self.bursts],
            "merged": self.merged,
            "withdrawn": self.withdrawn,
            "earlier": self.earlier,
            **self.kept.body(),
        }

    @classmethod
    def load(
        cls, key: str, definition: Definition, body: dict[str, Any], loader: Callable[[str], list[Item]]
    ) -> GroupState:
        """The state out of its document."""
        state = cls(key, definition, body["group"], loader)
        for name in ("seen", "newest", "floor", "watermark", "decided", "due", "inexact"):
            setattr(state, name, body[name])
        state.bursts = [Burst.load(burst) for burst in body["bursts"]]
        state.merged = [(seed, into, time) for seed, into, time in body["merged"]]
        state.withdrawn = [(seed, time) for seed, time in body["withdrawn"]]
        state.earlier = list(body["earlier"])
        state.kept.restore(body)
        return state
