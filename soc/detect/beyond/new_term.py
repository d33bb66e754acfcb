"""New terms: hits whose combination of values was not seen in the last N days, for this rule.

What is remembered of a combination is *when it was seen*, as spans: sightings less than N apart are one span.
The spans that a set of sightings gives do not depend on their order, nor on how often one comes. A sighting
that falls into no span, nor within N of one, is new. Batches are taken by event time, so in one batch the
earliest sighting is the one that counts; of a combination whose earlier sighting comes in a later batch, the
one that came first has counted, and the late one joins its span. So every new combination is reported,
whatever the order, and one that a late sighting would have made old was reported already.

A hit that was reported is remembered by its event's id: when its batch comes again after a crash, it is
reported again, and the alert knows that it was counted.

Spans older than N and `LATE` are forgotten; a hit that comes later than that cannot be decided and is counted
as too late. Time is that of the events; one that lies in the future moves nothing.
"""

from __future__ import annotations

import base64
import itertools
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from soc.detect.beyond.extensions import DAY, NewTerm
from soc.detect.beyond.memory import Marks, Memory, digest
from soc.detect.beyond.stage import Tell, by_time, span_text, told
from soc.detect.grouping import Hit, time_text
from soc.detect.rule import Rule
from soc.detect.text import canonical, fold
from soc.event import values_of
from soc.store.contract import Store

SHARDS = 16
LATE = 7 * DAY
"""How much later than the newest event a hit may come and still be decided."""
MOST_COMBINATIONS = 32
"""Combinations looked at in one event whose fields have several values each."""

_ENTRY = struct.Struct("<8sqq")
_META = "meta"


class _Shard:
    """The combinations of one shard: hash to the spans in which it was seen."""

    def __init__(self, body: Mapping[str, Any] | None) -> None:
        self.spans: dict[bytes, list[list[int]]] = {}
        self.told = Marks()
        self.newest = 0
        if body:
            for term, first, last in _ENTRY.iter_unpack(base64.b64decode(body["terms"])):
                self.spans.setdefault(term, []).append([first, last])
            self.told = Marks(body["told"])
            self.newest = body["newest"]

    def body(self) -> dict[str, Any]:
        """As a document."""
        packed = b"".join([_ENTRY.pack(term, *span) for term, spans in self.spans.items() for span in spans])
        return {
            "terms": base64.b64encode(packed).decode(),
            "told": self.told.packed(),
            "newest": self.newest,
        }

    def see(self, term: bytes, at: int, within: int) -> bool:
        """Note a sighting; whether the combination was not seen within that time of it."""
        spans = self.spans.setdefault(term, [])
        near = [span for span in spans if span[0] - within < at < span[1] + within]
        if not near:
            spans.append([at, at])
            return True
        joined = near[0]
        joined[0] = min(at, *(span[0] for span in near))
        joined[1] = max(at, *(span[1] for span in near))
        for span in near[1:]:
            spans.remove(span)
        return False

    def prune(self, before: int, most: int) -> int:
        """Forget spans that ended before a time, and beyond a bound the combinations whose last ended first;
        how many those were.
        """
        for term in [t for t, spans in self.spans.items() if any(s[1] < before for s in spans)]:
            left = [span for span in self.spans[term] if span[1] >= before]
            if left:
                self.spans[term] = left
            else:
                del self.spans[term]
        if (over := len(self.spans) - most) > 0:
            by_age = sorted(self.spans, key=lambda t: (max(s[1] for s in self.spans[t]), t))
            for term in by_age[:over]:
                del self.spans[term]
        return max(0, over)


class NewTerms:
    """The evaluator of `soc.new_term` for one rule."""

    def __init__(
        self, store: Store, rule: Rule, wanted: NewTerm, *, dry_run: bool = False, scope: str = ""
    ) -> None:
        """`scope`: tells the memory of one sweep from that of another over the same events."""
        self.wanted = wanted
        # another question has another memory; another title or level goes on with the same
        asked = digest(scope, rule.id, *wanted.fields, str(wanted.within)).hex()
        self._memory = Memory(store, f"new_term:{asked}", dry_run=dry_run)
        self._late = self._forgotten = 0
        self._notes: list[str] = []

    def begin(self) -> None:
        """See `Evaluator`."""
        self._memory.forget()
        self._late = self._forgotten = 0
        self._notes = []

    def take(self, hits: Sequence[Hit], *, replay: bool) -> list[Hit]:  # noqa: ARG002 - the contract; spans know what came
        """See `Evaluator`."""
        if not hits:
            return []
        hits = by_time(hits)
        now = time.time_ns() // 1000
        learnt = self._learning(min(hits[0].time, now))
        shards: dict[str, list[tuple[int, bytes]]] = {}
        for number, hit in enumerate(hits):
            for term in self._terms(hit):
                shards.setdefault(str(term[0] % SHARDS), []).append((number, term))
        changes = {
            part: partial(self._see, hits=hits, seen=seen, learnt=learnt, now=now)
            for part, seen in shards.items()
        }
        results = self._memory.change(changes)
        new = sorted({number for counted, _, _ in results.values() for number in counted})
        self._late += len({number for _, late, _ in results.values() for number in late})
        self._forgotten += sum(forgotten for _, _, forgotten in results.values())
        return [told(hits[number], self._why(hits[number])) for number in new]

    def finish(self, watermark: int, tell: Tell) -> int:  # noqa: ARG002 - the contract; nothing is decided by silence
        """See `Evaluator`."""
        return 0

    def notes(self) -> list[str]:
        """See `Evaluator`."""
        out, self._notes = self._notes, []
        if self._late:
            out.append(
                f"{self._late} hits came too late to be decided (over {span_text(LATE)} behind the newest)"
            )
            self._late = 0
        if self._forgotten:
            bound = f"no more than {self.wanted.most:,} are remembered"
            out.append(f"the {self._forgotten:,} oldest combinations were forgotten: {bound}")
            self._forgotten = 0
        return out

    def _learning(self, first: int) -> int:
        """Until when everything is only learnt; fixed by the first hits that the rule ever had."""
        known = self._memory.read(_META)
        if known is None:
            begun = {"since": first, "until": first + self.wanted.learn, "over": False}
            self._memory.change({_META: lambda body: (None if body else begun, None)})
            known = self._memory.read(_META) or begun
            if self.wanted.learn:
                self._notes.append(
                    f"learning until {time_text(known['until'])}; nothing new is reported before"
                )
        if not known["over"] and first >= known["until"]:
            self._memory.change({_META: lambda body: ({**(body or {}), "over": True}, None)})
            if self.wanted.learn:
                self._notes.append(f"learning is over: {self._size():,} combinations are known")
        return int(known["until"])

    def _size(self) -> int:
        self._memory.fetch([str(n) for n in range(SHARDS)])
        return sum(len(_Shard(self._memory.read(str(n))).spans) for n in range(SHARDS))

    def _terms(self, hit: Hit) -> Iterator[bytes]:
        values = [[fold(canonical(v)) for v in values_of(hit.event, name)] for name in self.wanted.fields]
        for combination in itertools.islice(itertools.product(*values), MOST_COMBINATIONS):
            yield digest(*combination)

    def _see(
        self,
        body: dict[str, Any] | None,
        *,
        hits: Sequence[Hit],
        seen: Iterable[tuple[int, bytes]],
        learnt: int,
        now: int,
    ) -> tuple[dict[str, Any], tuple[list[int], list[int], int]]:
        """What a shard becomes by some sightings; which hits are new and which come too late; how many
        combinations were forgotten."""
        shard = _Shard(body)
        new, late = [], []
        before = shard.newest - LATE
        for number, term in seen:
            hit = hits[number]
            if hit.id in shard.told:
                new.append(number)
            elif hit.time < before:
                late.append(number)
            elif shard.see(term, hit.time, self.wanted.within) and hit.time >= learnt:
                new.append(number)
                shard.told.add(hit.id)
            if hit.time <= now:
                shard.newest = max(shard.newest, hit.time)
        over = shard.prune(shard.newest - LATE - self.wanted.within, -(-self.wanted.most // SHARDS))
        return shard.body(), (new, late, over)

    def _why(self, hit: Hit) -> str:
        said = ", ".join(
            f"{name} {', '.join(canonical(v) for v in values_of(hit.event, name))}"
            for name in self.wanted.fields
        )
        return f"not seen in {span_text(self.wanted.within)} before: {said}"
