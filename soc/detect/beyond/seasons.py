"""Spikes and flat lines: an hour beside the same hour of earlier weeks.

Hits are counted by the hour of their events, each event once: its id is remembered, so a batch that comes
again after a crash changes nothing. Counts do not depend on the order of events. What stands out follows from
the counts alone: an hour is compared with the median of the same hour of the week in earlier weeks, in which
nothing counts as zero from the first whole hour on in which the group was known. So shuffled and late events
give the same in the end; an alert that late events make untrue is withdrawn.

A spike is told of as soon as it is one, also within its hour. A flat line is told of when the watermark has
passed the hour. Hours that follow each other are one alert.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

from soc.detect.beyond.extensions import DAY, HOUR, MINUTE, Flat, Spike
from soc.detect.beyond.memory import Marks, Memory, digest
from soc.detect.beyond.stage import Tell
from soc.detect.correlate.alerts import Raised, identity
from soc.detect.grouping import Hit, time_text
from soc.detect.rule import Rule
from soc.detect.text import canonical, fold
from soc.event import Event, values_of
from soc.store.contract import Store

SHARDS = 8
WEEK = 7 * 24
GRACE = 10 * MINUTE
"""How long after its end an hour is waited for before it can be a flat line."""
LOOK_BACK = WEEK
"""Hours before the watermark in which something can still be told of, or withdrawn."""
SAMPLES = 5
"""Events of each hour that an alert of a spike may carry."""
MOST_TEXT = 200

Group = dict[str, Any]
"""What is known of a group: `of` its fields, `since` the first hour that was whole, `counts` by hour, `dirty`
hours to be looked at, `odd` hours that stand out, `told` beginnings of what was told of, `done` the hour up
to which flat lines were looked for, `samples` ids by hour, `turn` how often it was changed.
"""


class Seasons:
    """The evaluator of `soc.spike` and `soc.flat` for one rule."""

    def __init__(
        self, store: Store, rule: Rule, wanted: Spike | Flat, *, dry_run: bool = False, scope: str = ""
    ) -> None:
        """`scope`: tells the memory of one sweep from that of another over the same events."""
        self.rule = rule
        self.wanted = wanted
        self._flat = isinstance(wanted, Flat)
        asked = digest(scope, rule.id, wanted.KEY, wanted.sum, *wanted.per).hex()
        self._memory = Memory(store, f"seasons:{asked}", dry_run=dry_run)
        self._notes: list[str] = []
        self._inexact = 0

    def begin(self) -> None:
        """See `Evaluator`."""
        self._memory.forget()
        self._notes, self._inexact = [], 0

    # counting

    def take(self, hits: Sequence[Hit], *, replay: bool) -> list[Hit]:
        """See `Evaluator`."""
        ahead = time.time_ns() // 1000 + DAY  # a clock that is set to another year counts for nothing
        shards: dict[str, list[tuple[str, tuple[str, ...], Hit]]] = {}
        keys: dict[tuple[str, ...], str] = {}
        for hit in hits:
            of = tuple([_value(hit.event, name) for name in self.wanted.per])
            key = keys.get(of)
            if key is None:
                key = keys[of] = digest(*map(fold, of)).hex()
            if hit.time < ahead:
                shards.setdefault(str(int(key, 16) % SHARDS), []).append((key, of, hit))
        changes = {part: partial(self._counted, seen=seen, replay=replay) for part, seen in shards.items()}
        dropped = sum(self._memory.change(changes).values())
        if dropped:
            self._notes.append(f"{dropped} hits of further groups were not counted: {self.wanted.most:,} are")
        return []

    def _counted(
        self,
        body: dict[str, Any] | None,
        *,
        seen: Iterable[tuple[str, tuple[str, ...], Hit]],
        replay: bool,
    ) -> tuple[dict[str, Any], int]:
        groups: dict[str, Group] = dict(body["groups"]) if body else {}
        marks = Marks(body["marks"]) if body else Marks()
        total = body["total"] if body else 0
        forgotten = replay and total > len(marks)
        begun: set[str] = set()
        dropped = 0
        for key, of, hit in seen:
            hour = str(hit.time // HOUR)
            known = groups.get(key)
            if forgotten and known and hour in known["counts"]:
                if hit.id not in marks:
                    self._inexact += 1  # taken as counted: it was, unless it is new in an hour of before
                continue
            if known is None and len(groups) >= max(1, self.wanted.most // SHARDS):
                dropped += 1
                continue
            if not marks.add(hit.id):
                continue
            total += 1
            if key not in begun:
                begun.add(key)
                groups[key] = _copy(known or _new_group(dict(zip(self.wanted.per, of, strict=True))))
            _count(groups[key], hour, hit, _amount(hit.event, self.wanted.sum))
        return {"groups": groups, "marks": marks.packed(), "total": total}, dropped

    # what stands out

    def finish(self, watermark: int, tell: Tell) -> int:
        """See `Evaluator`."""
        parts = [str(n) for n in range(SHARDS)]
        self._memory.fetch(parts)
        there = [part for part in parts if self._memory.read(part)]
        raised: list[Raised] = []
        for part in there:
            for group in (self._memory.read(part) or {})["groups"].values():
                fresh = self._looked(group, watermark)
                if fresh is None:
                    continue
                raised += [self._raised(fresh, run) for run in _runs(fresh["odd"])]
                for begin in set(group["told"]) - {run[0] for run in _runs(fresh["odd"])}:
                    if begin >= watermark // HOUR - LOOK_BACK:
                        full = identity(self.rule.id, group["of"], str(begin))
                        tell.withdraw(full, "events that came late changed the counts")
        tell.raised(raised)
        settle = partial(self._settle, watermark=watermark)
        counted = self._memory.change(dict.fromkeys(there, settle))
        return sum(counted.values())

    def notes(self) -> list[str]:
        """See `Evaluator`."""
        out, self._notes = self._notes, []
        if self._inexact:
            out.append(f"{self._inexact} hits that were read again were taken as counted before")
            self._inexact = 0
        return out

    def _settle(self, body: dict[str, Any] | None, *, watermark: int) -> tuple[dict[str, Any] | None, int]:
        if body is None:
            return None, 0
        groups, new = dict(body["groups"]), 0
        for key, known in body["groups"].items():
            fresh = self._looked(known, watermark)
            if fresh is None:
                continue
            new += len({run[0] for run in _runs(fresh["odd"])} - set(known["told"]))
            fresh["told"] = [run[0] for run in _runs(fresh["odd"])]
            groups[key] = fresh
            oldest = watermark // HOUR - (self.wanted.weeks + 1) * WEEK
            fresh["counts"] = {h: n for h, n in fresh["counts"].items() if int(h) >= oldest}
            if not fresh["counts"]:
                del groups[key]
        return ({**body, "groups": groups} if groups != body["groups"] else None), new

    def _looked(self, known: Group, watermark: int) -> Group | None:
        """A group after its hours were looked at; None when nothing is to be looked at."""
        now = watermark // HOUR
        closed = (watermark - GRACE) // HOUR - 1
        oldest = now - LOOK_BACK
        hours = {int(h) for h in known["dirty"]}
        # what happened in an hour is what later weeks are compared with
        hours |= {h + n * WEEK for h in hours for n in range(1, self.wanted.weeks + 1)}
        if self._flat:
            done = known["done"] or known["since"]
            hours |= set(range(max(done, oldest) + 1, closed + 1))
        hours = {h for h in hours if oldest <= h <= (closed if self._flat else now)}
        ahead = [h for h in known["dirty"] if int(h) > (closed if self._flat else now)]
        if not hours and not (set(known["dirty"]) - set(ahead)):
            return None
        group = _copy(known)
        # hours of a run that goes on are kept, so that it stays the one it is
        odd = {h for first, last in _runs(group["odd"]) if last >= oldest - 1 for h in range(first, last + 1)}
        for hour in hours:
            usual = self._median(group, hour)
            stands = usual is not None and self.wanted.odd(group["counts"].get(str(hour), 0), usual)
            (odd.add if stands else odd.discard)(hour)
        group["odd"] = sorted(odd)
        group["dirty"] = ahead
        group["done"] = max(group["done"], closed)
        group["samples"] = {
            h: ids for h, ids in group["samples"].items() if int(h) in odd or int(h) >= now - 1
        }
        group["turn"] += 1
        return group

    def _median(self, group: Group, hour: int) -> float | None:
        """The median of the same hour of earlier weeks; None when too few are known."""
        earlier = [
            hour - n * WEEK for n in range(1, self.wanted.weeks + 1) if hour - n * WEEK >= group["since"]
        ]
        if len(earlier) < min(self.wanted.weeks, 2):
            return None
        return float(median(group["counts"].get(str(h), 0) for h in earlier))

    def _raised(self, group: Group, run: tuple[int, int]) -> Raised:
        first, last = run
        hours = range(first, last + 1)
        count = sum(group["counts"].get(str(h), 0) for h in hours)
        usual = sum(self._median(group, h) or 0 for h in hours)
        what = f"sum of {self.wanted.sum}" if self.wanted.sum else "events"
        span = f"{time_text(first * HOUR)[:16]} to {time_text((last + 1) * HOUR)[:16]}"
        before = f"the {self.wanted.weeks} weeks before" if self.wanted.weeks > 1 else "the week before"
        text = (
            f"{_number(count)} {what} from {span}; in the same hours of {before}: {_number(usual)} (median)"
        )
        samples = [id_ for h in hours for id_ in group["samples"].get(str(h), ())]
        facts = {"count": count, "usual": usual, "hours": len(hours), "weeks": self.wanted.weeks}
        return Raised(
            self.rule,
            group["of"],
            seed=str(first),
            first=first * HOUR,
            last=(last + 1) * HOUR - 1,
            count=max(1, round(count)),
            revision=group["turn"],
            events=samples[:20],
            text=text,
            facts=facts,
        )


def _new_group(of: Mapping[str, str]) -> Group:
    return {
        "of": dict(of),
        "since": 0,
        "counts": {},
        "dirty": [],
        "odd": [],
        "told": [],
        "done": 0,
        "samples": {},
        "turn": 0,
    }


def _copy(group: Group) -> Group:
    """A group that can be changed without changing what was read."""
    copied = dict(group)
    for name in ("counts", "samples"):
        copied[name] = dict(group[name])
    copied["dirty"] = list(group["dirty"])
    return copied


def _count(group: Group, hour: str, hit: Hit, amount: float) -> None:
    counts = group["counts"]
    counts[hour] = counts.get(hour, 0) + amount
    first = int(hour) + 1  # its first hour may not be whole
    group["since"] = min(group["since"] or first, first)
    if hour not in group["dirty"]:
        group["dirty"].append(hour)
    samples = group["samples"].get(hour, ())
    if len(samples) < SAMPLES:
        group["samples"][hour] = [*samples, hit.id]


def _runs(hours: Sequence[int]) -> list[tuple[int, int]]:
    """Hours that follow each other, as first and last."""
    if not hours:
        return []
    breaks = [n for n, (a, b) in enumerate(pairwise(hours), 1) if b != a + 1]
    starts = [0, *breaks]
    return [(hours[a], hours[b - 1]) for a, b in zip(starts, [*breaks, len(hours)], strict=True)]


def _value(event: Event, name: str) -> str:
    value = event.get(name)
    if type(value) is str:
        return value[:MOST_TEXT]
    return next((canonical(v) for v in values_of(event, name)), "")[:MOST_TEXT]


def _amount(event: Event, name: str) -> float:
    """What an event adds: one, or the numbers of a field; nothing for what is no number."""
    if not name:
        return 1
    total = 0.0
    for value in values_of(event, name):
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if abs(number) < 1e18:  # also no nan, no infinity
            total += number
    return round(total) if total.is_integer() else total


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
