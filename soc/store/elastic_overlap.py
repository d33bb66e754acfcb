"""The feed of indices that cannot be asked for the numbers of their operations: by time, with an overlap.

Reading exactly needs the privilege `monitor` there. Without it, documents are read by `event.ingested` (where
one lacks it, by `@timestamp`) from `OVERLAP` before where the last reading ended, and those that came before
are known by their ids. So an event that becomes visible later than that is missed, which the ledger says.

    {"store": "overlap", "at": "<time>", "from": "<time>", "seen": "<hashes of ids, base64>"}

`at` is the latest time that was read, `from` the time before which nothing is wanted. The position moves when
all that there was is read; a reading that is interrupted is done again, and its hits are known by their ids.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from soc.event import moment, timestamp
from soc.store.contract import FeedBatch, Part, Position, Reached, StoredEvent
from soc.store.elastic_connection import Connection
from soc.store.elastic_feed import Feed
from soc.store.elastic_indexed import Query
from soc.store.elastic_narrow import Narrow
from soc.store.elastic_search import Search
from soc.store.elastic_shard import Reading, Shard

KIND = "overlap"
INGESTED = "event.ingested"
OVERLAP = timedelta(minutes=15)
"""How far back is read again. Shippers and ingest pipelines deliver within minutes."""

MOST_SEEN = 50_000
"""Ids that are known again; where more events came in `OVERLAP`, some may be counted twice."""

_HASH = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OverlapFeed(Feed):
    """See the module. There is one part, and nothing is narrowed down."""

    def __init__(self, connection: Connection, reading: Reading, search: Search) -> None:
        super().__init__(connection, reading)
        self._search = search

    def shards(self) -> list[Shard]:
        """None that can be told apart."""
        return []

    def beginning(self) -> Position:
        """See `Feed.beginning`."""
        return {"store": KIND, "at": "", "from": "", "seen": ""}

    def head(self) -> Position:
        """See `Feed.head`: now, as this machine's clock has it."""
        now = timestamp(datetime.now(UTC))
        return {"store": KIND, "at": now, "from": now, "seen": ""}

    def parts(self, position: Position) -> list[Part]:
        """The whole; what waits is counted by time."""
        at = str(position.get("at", ""))
        newest, waiting = "", 0
        for event in self._search.newest(_after(at, inclusive=False)):
            newest = newest or _time_of(event)
            waiting += 1
        end = _number(newest or at)
        return [Part(KIND, self._reading.pattern, end, waiting)] if end or waiting else []

    def split(self, position: Position) -> dict[str, Position]:
        """See `Feed.split`."""
        return {KIND: position}

    def join(self, positions: Iterable[Position]) -> Position:
        """See `Feed.join`."""
        return next(iter(positions), None) or self.beginning()

    def reached(self, position: Position) -> Reached:
        """Microseconds since 1970."""
        return Reached(f"{KIND} {self._reading.pattern}", _number(str(position.get("at", ""))))

    def position_at(self, part: str, reached: Reached) -> Position:
        """See `Feed.position_at`."""
        del part
        at = timestamp(_EPOCH + timedelta(microseconds=max(0, reached.number)))
        return {"store": KIND, "at": at, "from": "", "seen": ""}

    def read(
        self,
        position: Position,
        limit: int,
        narrow: Narrow | None = None,
        parts: Collection[str] | None = None,
        end: Position | None = None,
    ) -> Iterator[FeedBatch]:
        """See `Feed.read`."""
        if parts is not None and KIND not in parts:
            return
        if position.get("store") != KIND:
            position = self.beginning()
        at, begin = str(position["at"]), str(position["from"])
        packed = base64.b64decode(str(position["seen"]))
        known = {packed[i : i + _HASH] for i in range(0, len(packed), _HASH)}
        lower = max(begin, _back(at)) if at else begin
        upper = str(end["at"]) if end else ""
        wanted = narrow or Narrow()
        remarks: tuple[str, ...] = (_remark(self._reading.pattern),)
        last, seen, batch = at, [], list[StoredEvent]()
        for event in self._search.by_time(_after(lower, inclusive=True)):
            time = _time_of(event)
            mark = hashlib.blake2b(event.id.encode(), digest_size=_HASH).digest()
            seen.append((time, mark))
            last = max(last, time)
            if mark in known or (upper and time > upper) or not wanted.holds(event.event):
                continue
            batch.append(event)
            if len(batch) >= limit:
                yield FeedBatch(batch, position, (), 0, KIND, remarks)
                batch, remarks = [], ()
        # a clock that is ahead must not hide what comes until then
        last = min(last, max(at, timestamp(datetime.now(UTC))))
        if batch or last != at:
            kept = sorted(pair for pair in seen if pair[0] >= _back(last))[-MOST_SEEN:]
            marks = base64.b64encode(b"".join(mark for _, mark in kept)).decode()
            yield FeedBatch(
                batch, {"store": KIND, "at": last, "from": begin, "seen": marks}, (), 0, KIND, remarks
            )


def _remark(pattern: str) -> str:
    minutes = OVERLAP // timedelta(minutes=1)
    return (
        f"{pattern} is read by time, for want of the privilege monitor there: what becomes visible more than "
        f"{minutes} minutes late is missed"
    )


def _time_of(event: StoredEvent) -> str:
    """When an event came in, else when it was."""
    found = event.event.get(INGESTED)
    try:
        return timestamp(moment(str(found))) if found else str(event.event["@timestamp"])
    except ValueError:
        return str(event.event["@timestamp"])


def _back(at: str) -> str:
    return timestamp(moment(at) - OVERLAP)


def _number(at: str) -> int:
    return (moment(at) - _EPOCH) // timedelta(microseconds=1) if at else 0


def _after(at: str, *, inclusive: bool) -> list[Query]:
    """Filters for documents that came in from a time on."""
    if not at:
        return []
    bound: dict[str, Any] = {"gte" if inclusive else "gt": at[:23] + "Z"}
    older: Query = {
        "bool": {
            "filter": [{"range": {"@timestamp": bound}}],
            "must_not": [{"exists": {"field": INGESTED}}],
        }
    }
    return [{"bool": {"should": [{"range": {INGESTED: bound}}, older], "minimum_should_match": 1}}]
