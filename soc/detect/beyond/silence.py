"""Silence: nothing that a rule's detection matches has come for longer than given, or than is usual.

The time that counts is when an event *came* (`event.ingested`), so neither a source's clock nor a file that
is brought in late makes a silence. What is remembered of a source is when something came, as spans: arrivals
that are close to each other are one span. Spans do not depend on the order of events, nor on how often one
comes, so two sweeps, a crash and a shuffled feed give the same. What lies between two spans, and after the
last one until the watermark, is a gap; one that is longer than the limit is a silence and has one alert, from
when it began. When the source speaks again the alert says so and stays open; where an event that came late
fills the gap, it is withdrawn.

With `learned` the limit is twice the 99.9th percentile of the gaps there were. Gaps are measured in hours of
the week in which the source usually speaks (in half or more of up to four earlier weeks), so that nights and
weekends are no silence; before two weeks are known every hour counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from soc.detect.beyond.extensions import HOUR, MINUTE, Silence
from soc.detect.beyond.memory import Memory, digest
from soc.detect.beyond.stage import Tell, span_text
from soc.detect.correlate.alerts import Raised, identity
from soc.detect.grouping import Hit, micros, time_text
from soc.detect.rule import Rule
from soc.detect.text import canonical, fold
from soc.event import values_of
from soc.store.contract import Store

SHARDS = 8
SETTLED = HOUR
"""A gap that ended so long before the watermark is final."""
LEAST_LEARNED = 5 * MINUTE
"""The shortest limit that is learned; arrivals within a minute of each other are one span."""
LEAST_GAPS = 50
"""Gaps and minutes with events that must be known of a source before its limit is learned."""
QUANTILE = 0.999
FACTOR = 2
SHORT = "0"
"""The class of gaps of up to a minute, to which the minutes within spans are added."""
WEEK = 7 * 24
WEEKS = 4
MOST_SPANS = 500
"""Spans of a source that are kept before the oldest are taken as final."""
MOST_NOTED = 20
MOST_TEXT = 200

Group = dict[str, Any]
"""What is known of a source: `of` its fields, `spans`, `last` the newest event that came, `first`, `hours` in
which something came (a bit for each, from `base` on), `gaps` how many there were by length (with minutes in
spans), `usual` the same since it is known in which hours it usually speaks, `noted` for each silence that was
counted when it began and the last event before it."""


def _new_group(of: Mapping[str, str]) -> Group:
    return {
        "of": dict(of),
        "spans": [],
        "last": [0, ""],
        "first": 0,
        "hours": "0",
        "base": 0,
        "gaps": {},
        "usual": {},
        "noted": [],
    }


def join(spans: Sequence[Sequence[int]], apart: int) -> list[list[int]]:
    """Spans in order, those that are no more than `apart` from each other joined."""
    out: list[list[int]] = []
    for first, last in sorted(map(list, spans)):
        if out and first - out[-1][1] <= apart:
            out[-1][1] = max(out[-1][1], last)
        else:
            out.append([first, last])
    return out


class Hours:
    """In which hours something came, and in which of the week it usually does."""

    def __init__(self, group: Group) -> None:
        self.base: int = group["base"]
        self.bits = int(group["hours"], 16)
        self.first: int = group["first"] // HOUR

    def add(self, first: int, last: int) -> None:
        """Note that something came from one time to another (microseconds)."""
        begin, end = first // HOUR, last // HOUR
        if not self.base:
            self.base = begin - WEEKS * WEEK
        begin = max(begin, self.base)
        if end - self.base > 2 * WEEKS * WEEK:  # let go of what is older than is asked for
            ahead = end - self.base - WEEKS * WEEK - WEEK
            self.bits >>= ahead
            self.base += ahead
            begin = max(begin, self.base)
        if end >= begin:
            self.bits |= ((1 << (end - begin + 1)) - 1) << (begin - self.base)

    def spoke(self, hour: int) -> bool:
        """Whether something came in an hour."""
        return hour >= self.base and bool(self.bits >> (hour - self.base) & 1)

    def known(self, hour: int) -> bool:
        """Whether two earlier weeks say what is usual in this hour."""
        return hour - 2 * WEEK > self.first

    def usual(self, hour: int) -> bool:
        """Whether something usually comes in this hour of the week; in doubt it does."""
        earlier = [hour - n * WEEK for n in range(1, WEEKS + 1) if hour - n * WEEK > self.first]
        return len(earlier) < 2 or 2 * sum(map(self.spoke, earlier)) >= len(earlier)

    def measure(self, first: int, last: int) -> int:
        """How much of the time between lies in hours in which something usually comes."""
        total = 0
        at = first
        while at < last:
            end = min(last, (at // HOUR + 1) * HOUR)
            if self.usual(at // HOUR):
                total += end - at
            at = end
        return total


class Silences:
    """The evaluator of `soc.silence` for one rule."""

    def __init__(
        self, store: Store, rule: Rule, wanted: Silence, *, dry_run: bool = False, scope: str = ""
    ) -> None:
        """`scope`: tells the memory of one sweep from that of another over the same events."""
        self.rule = rule
        self.wanted = wanted
        asked = digest(scope, rule.id, str(wanted.limit), *wanted.per).hex()
        self._memory = Memory(store, f"silence:{asked}", dry_run=dry_run)
        self._apart = wanted.limit or MINUTE
        self._notes: list[str] = []

    def begin(self) -> None:
        """See `Evaluator`."""
        self._memory.forget()
        self._notes = []

    # what came

    def take(self, hits: Sequence[Hit], *, replay: bool) -> list[Hit]:  # noqa: ARG002 - the contract; spans know what came
        """See `Evaluator`."""
        came: dict[tuple[str, ...], tuple[set[str], Hit]] = {}
        for hit in hits:
            event = hit.event
            of = tuple([_value(event, name) for name in self.wanted.per])
            when = str(event.get("event.ingested") or event.get("@timestamp"))
            known = came.get(of)
            if known is None:
                came[of] = ({when}, hit)
            elif when not in known[0]:
                known[0].add(when)
                came[of] = (known[0], hit)
        ceiling = time.time_ns() // 1000 + HOUR  # who says to come from another year comes now
        shards: dict[str, list[tuple[str, tuple[str, ...], list[int], str]]] = {}
        for of, (whens, last) in came.items():
            key = digest(*map(fold, of)).hex()
            times = sorted(min(t, ceiling) for t in map(micros, whens) if t)
            if times:
                shards.setdefault(str(int(key, 16) % SHARDS), []).append((key, of, times, last.id))
        changes = {part: partial(self._arrived, seen=seen) for part, seen in shards.items()}
        dropped = sum(self._memory.change(changes).values())
        if dropped:
            self._notes.append(f"{dropped} sources are not watched: more than {self.wanted.most:,}")
        return []

    def _arrived(
        self, body: dict[str, Any] | None, *, seen: Iterable[tuple[str, tuple[str, ...], list[int], str]]
    ) -> tuple[dict[str, Any], int]:
        groups: dict[str, Group] = dict((body or {"groups": {}})["groups"])
        dropped = 0
        for key, of, times, last in seen:
            known = groups.get(key)
            if known is None and len(groups) >= max(1, self.wanted.most // SHARDS):
                dropped += 1
                continue
            group = dict(known or _new_group(dict(zip(self.wanted.per, of, strict=True))))
            group["spans"] = join([*group["spans"], *([t, t] for t in times)], self._apart)[-MOST_SPANS:]
            group["last"] = max(group["last"], [times[-1], last])
            group["first"] = min(group["first"] or times[0], times[0])
            groups[key] = group
        return {"groups": groups}, dropped

    # what did not come

    def finish(self, watermark: int, tell: Tell) -> int:
        """See `Evaluator`."""
        parts = [str(n) for n in range(SHARDS)]
        self._memory.fetch(parts)
        raised: list[Raised] = []
        for part in parts:
            body = self._memory.read(part)
            for group in body["groups"].values() if body else ():
                raised += self._silences(group, watermark)
                self._withdraw(group, tell)
        tell.raised(raised)
        there = {part for part in parts if self._memory.read(part)}
        counted = self._memory.change({part: partial(self._settle, watermark=watermark) for part in there})
        return sum(counted.values())

    def notes(self) -> list[str]:
        """See `Evaluator`."""
        out, self._notes = self._notes, []
        return out

    def limit_of(self, group: Group) -> int:
        """From how long on a gap is a silence; 0 when that is not known yet."""
        if not self.wanted.learned:
            return self.wanted.limit
        if group["last"][0] - group["first"] < self.wanted.learn:
            return 0
        for known in (group["usual"], group["gaps"]):
            gaps = {int(size): number for size, number in known.items()}
            total = sum(gaps.values())
            if total >= LEAST_GAPS:
                break
        else:
            return 0
        left = total * (1 - QUANTILE)
        for size in sorted(gaps, reverse=True):
            left -= gaps[size]
            if left < 0:
                return max(LEAST_LEARNED, FACTOR * _length(size))
        return LEAST_LEARNED

    def _measure(self, group: Group, first: int, last: int) -> int:
        return Hours(group).measure(first, last) if self.wanted.learned else last - first

    def _gaps(self, group: Group, watermark: int) -> list[tuple[int, int, bool]]:
        """Beginning and end of each gap that is a silence, and whether it has ended."""
        limit = self.limit_of(group)
        if not limit:
            return []
        spans = group["spans"]
        found = [(a[1], b[0], True) for a, b in pairwise(spans)]
        if spans and watermark - spans[-1][1] < self.wanted.forget:
            found.append((spans[-1][1], watermark, False))
        return [gap for gap in found if gap[1] - gap[0] > limit and self._measure(group, *gap[:2]) > limit]

    def _silences(self, group: Group, watermark: int) -> list[Raised]:
        limit = self.limit_of(group)
        usual = (
            f"usually no gap is longer than {_about(limit // FACTOR)}"
            if self.wanted.learned
            else f"longer than the {span_text(limit)} that are allowed"
        )
        noted = {since: (event,) for since, event in group["noted"] if event}
        out = []
        for since, until, over in self._gaps(group, watermark):
            said = f"nothing has come since {time_text(since)}; {usual}"
            if over:
                said = (
                    f"nothing came from {time_text(since)} to {time_text(until)} ({_about(until - since)}), "
                    f"then the source spoke again; {usual}"
                )
            out.append(
                Raised(
                    self.rule,
                    group["of"],
                    seed=str(since),
                    first=since,
                    last=until if over else since,
                    count=1,
                    revision=2 if over else 1,
                    events=noted.get(since, () if over else (group["last"][1],)),
                    text=said,
                    facts={"since": time_text(since), "until": time_text(until) if over else None},
                )
            )
        return out

    def _withdraw(self, group: Group, tell: Tell) -> None:
        """A gap that was told of, and that events which came late have filled since."""
        begins = {span[1] for span in group["spans"]}
        for since, _ in group["noted"]:
            if since not in begins and group["spans"] and since >= group["spans"][0][0]:
                full = identity(self.rule.id, group["of"], str(since))
                tell.withdraw(full, "events of that time came late: there was no silence")

    def _settle(self, body: dict[str, Any] | None, *, watermark: int) -> tuple[dict[str, Any] | None, int]:
        """A shard with what is final taken into what is learned, and how many silences are new in it."""
        if body is None:
            return None, 0
        counted = 0
        groups = {}
        for key, known in body["groups"].items():
            if known["spans"] and watermark - known["spans"][-1][1] > self.wanted.forget:
                of = ", ".join(known["of"].values()) or "all events"
                self._notes.append(f"{of}: silent for {span_text(self.wanted.forget)}, no longer watched")
                continue
            group = dict(known)
            noted = dict(group["noted"])
            for since, _, over in self._gaps(group, watermark):
                if since not in noted:
                    noted[since] = "" if over else group["last"][1]
                    counted += 1
            group["noted"] = sorted(map(list, noted.items()))[-MOST_NOTED:]
            self._learn(group, watermark)
            groups[key] = group
        changed = {"groups": groups}
        return (None if changed == body else changed), counted

    def _learn(self, group: Group, watermark: int) -> None:
        """Take spans that are final into what is known of the source; the last one always stays."""
        spans = group["spans"]
        final = [n for n in range(1, len(spans)) if spans[n][0] < watermark - SETTLED]
        hours = Hours(group)
        learnt = {"gaps": dict(group["gaps"]), "usual": dict(group["usual"])}
        for n in final:
            before, after = spans[n - 1], spans[n]
            hours.add(*before)
            gap = _size(hours.measure(before[1], after[0]))
            for name in ("gaps", "usual") if hours.known(before[1] // HOUR) else ("gaps",):
                counts = learnt[name]
                counts[gap] = counts.get(gap, 0) + 1
                counts[SHORT] = counts.get(SHORT, 0) + (before[1] - before[0]) // MINUTE
        if spans:
            hours.add(*spans[-1])
        group.update(learnt, hours=f"{hours.bits:x}", base=hours.base)
        group["spans"] = spans[final[-1] :] if final else spans


def _value(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if type(value) is str:
        return value[:MOST_TEXT]
    return next((canonical(v) for v in values_of(event, name)), "")[:MOST_TEXT]


def _size(gap: int) -> str:
    """The class of a gap by its length: four to each doubling, from a minute on."""
    return str(max(0, math.ceil(4 * math.log2(max(gap, MINUTE) / MINUTE))))


def _length(size: int) -> int:
    """The longest gap of a class."""
    return round(MINUTE * 2 ** (size / 4))


def _about(span: int) -> str:
    """A length of time for people: `3 min`, `2.5 h`, `4 d`."""
    for name, size in (("d", 24 * HOUR), ("h", HOUR)):
        if span >= 2 * size:
            return f"{span / size:.1f}".removesuffix(".0") + f" {name}"
    return f"{math.ceil(span / MINUTE)} min"
