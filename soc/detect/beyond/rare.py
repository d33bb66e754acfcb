"""Rare values: hits whose value of a field is in few of the hits that there were.

Counted by day (UTC) and value, each event once: its id is remembered, and so is that of a hit that was
reported, so a batch that comes again after a crash gives the same. A hit is judged when it is swept, by what
was swept until then: its own value counts. So in another order other hits of a rare value may be the reported
ones, and a value that many hits show in the end is reported only as long as it is rare. Within a batch the
order is that of event time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from soc.detect.beyond.extensions import DAY, Rare
from soc.detect.beyond.memory import Marks, Memory, digest
from soc.detect.beyond.stage import Tell, by_time, span_text, told
from soc.detect.grouping import Hit
from soc.detect.rule import Rule
from soc.detect.text import canonical, fold
from soc.event import values_of
from soc.store.contract import Store

SHARDS = 8
MOST_GROUPS = 400
"""Groups (`per`) that are counted; hits of further ones are not looked at, which is said."""

World = dict[str, Any]
"""What is known of a group: `days` how many hits by day, `values` the same by value (a hash)."""


class RareValues:
    """The evaluator of `soc.rare` for one rule."""

    def __init__(
        self, store: Store, rule: Rule, wanted: Rare, *, dry_run: bool = False, scope: str = ""
    ) -> None:
        """`scope`: tells the memory of one sweep from that of another over the same events."""
        self.wanted = wanted
        self._days = wanted.over // DAY
        asked = digest(scope, rule.id, wanted.field, *wanted.per).hex()
        self._memory = Memory(store, f"rare:{asked}", dry_run=dry_run)
        self._dropped = self._forgotten = 0

    def begin(self) -> None:
        """See `Evaluator`."""
        self._memory.forget()
        self._dropped = self._forgotten = 0

    def take(self, hits: Sequence[Hit], *, replay: bool) -> list[Hit]:
        """See `Evaluator`."""
        ahead = time.time_ns() // 1000 + DAY  # a clock that is set to another year counts for nothing
        shards: dict[str, list[tuple[int, str]]] = {}
        hits = by_time(hits)
        for number, hit in enumerate(hits):
            of = [next((canonical(v) for v in values_of(hit.event, name)), "") for name in self.wanted.per]
            key = digest(*map(fold, of)).hex()
            if hit.time < ahead:
                shards.setdefault(str(int(key, 16) % SHARDS), []).append((number, key))
        changes = {
            part: partial(self._judged, hits=hits, seen=seen, replay=replay) for part, seen in shards.items()
        }
        found = self._memory.change(changes)
        rare = {number: why for result, _, _ in found.values() for number, why in result.items()}
        self._dropped += sum(dropped for _, dropped, _ in found.values())
        self._forgotten += sum(forgotten for _, _, forgotten in found.values())
        return [told(hits[number], rare[number]) for number in sorted(rare)]

    def finish(self, watermark: int, tell: Tell) -> int:  # noqa: ARG002 - the contract; nothing is decided by silence
        """See `Evaluator`."""
        return 0

    def notes(self) -> list[str]:
        """See `Evaluator`."""
        out = []
        if self._dropped:
            out.append(f"{self._dropped} hits of further groups were not looked at: {MOST_GROUPS} are")
        if self._forgotten:
            most = self.wanted.most
            out.append(
                f"the {self._forgotten} values seen longest ago were forgotten: {most:,} are remembered"
            )
        self._dropped = self._forgotten = 0
        return out

    def _judged(
        self,
        body: dict[str, Any] | None,
        *,
        hits: Sequence[Hit],
        seen: Iterable[tuple[int, str]],
        replay: bool,
    ) -> tuple[dict[str, Any], tuple[dict[int, str], int, int]]:
        """What a shard becomes by some hits; which of them are rare and why; how many were not looked at, and
        how many values were forgotten."""
        worlds: dict[str, World] = dict(body["worlds"]) if body else {}
        marks = Marks(body["marks"]) if body else Marks()
        reported: dict[str, str] = dict(body["told"]) if body else {}
        total = body["total"] if body else 0
        again = replay and total > len(marks)
        mine: set[str] = set()
        rare: dict[int, str] = {}
        dropped = 0
        for number, key in seen:
            hit = hits[number]
            if hit.id in reported:
                rare[number] = reported[hit.id]
                continue
            if hit.id in marks or (again and str(hit.time // DAY) in worlds.get(key, {}).get("days", {})):
                continue
            if key not in worlds and len(worlds) >= MOST_GROUPS // SHARDS:
                dropped += 1
                continue
            marks.add(hit.id)
            total += 1
            if key not in mine:
                mine.add(key)
                worlds[key] = _copy(worlds.get(key))
            if why := self._count(worlds[key], hit):
                rare[number] = reported[hit.id] = why
        forgotten = sum(self._prune(worlds[key]) for key in mine)
        kept = dict(list(reported.items())[-MOST_REPORTED:])
        return {"worlds": worlds, "marks": marks.packed(), "told": kept, "total": total}, (
            rare,
            dropped,
            forgotten,
        )

    def _count(self, world: World, hit: Hit) -> str:
        """Count a hit; why it is rare, "" when it is not."""
        day = hit.time // DAY
        world["days"][str(day)] = world["days"].get(str(day), 0) + 1
        there = dict.fromkeys(canonical(v) for v in values_of(hit.event, self.wanted.field))
        total = self._within(world["days"], day)
        out = []
        for value in there:
            counts = world["values"].setdefault(digest(fold(value)).hex(), {})
            counts[str(day)] = counts.get(str(day), 0) + 1
            count = self._within(counts, day)
            few = count <= self.wanted.count if self.wanted.count else count < self.wanted.share * total
            if few and total >= self.wanted.at_least:
                out.append(f"{self.wanted.field} {value[:200]}: {count} of {total:,} in {self._span}")
        return "; ".join(out)

    @property
    def _span(self) -> str:
        return span_text(self.wanted.over)

    def _within(self, days: Mapping[str, int], day: int) -> int:
        """How many there were in the days up to one, as many as the rule looks at."""
        return sum(number for at, number in days.items() if day - self._days < int(at) <= day)

    def _prune(self, world: World) -> int:
        """Forget days that are over, and beyond a bound the values seen longest ago; how many those were."""
        newest = max(map(int, world["days"]), default=0)
        oldest = newest - self._days - LATE
        world["days"] = {d: n for d, n in world["days"].items() if int(d) > oldest}
        values = {}
        for value, counts in world["values"].items():
            if left := {d: n for d, n in counts.items() if int(d) > oldest}:
                values[value] = left
        over = len(values) - self.wanted.most
        if over > 0:
            by_age = sorted(values, key=lambda v: max(map(int, values[v])))
            for value in by_age[:over]:
                del values[value]
        world["values"] = values
        return max(0, over)


LATE = 7
"""Days that late events are still counted in."""
MOST_REPORTED = 5_000
"""Reported hits that a shard remembers: a batch of the feed."""


def _copy(world: World | None) -> World:
    """A world that can be changed without changing what was read."""
    if world is None:
        return {"days": {}, "values": {}}
    return {"days": dict(world["days"]), "values": {v: dict(c) for v, c in world["values"].items()}}
