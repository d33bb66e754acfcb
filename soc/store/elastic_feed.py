"""The feed: events in commit order, each exactly once, from a saved position.

A shard numbers its operations (`_seq_no`). Everything up to the primary's global checkpoint is committed on
every copy and can have no gaps, so after a refresh the range (position, checkpoint] is complete. The
position holds, for each shard of each index (by uuid), the history it belongs to and the highest number done:

    {"store": "elasticsearch", "shards": {"<index uuid>/<shard>": ["<history uuid>", 4711, "<index name>"]}}

An index restored from a snapshot keeps its uuid, but begins a new history or falls below the position; its
shard is then read again from the start, with a note. A closed index keeps its position, one that was
deleted loses it. A shard that cannot be read now keeps its position too, with a note.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from soc.errors import SocError, StoreUnavailableError
from soc.store.contract import FeedBatch, Part, Position, Reached, StoredEvent
from soc.store.elastic_connection import Connection, RefusedError
from soc.store.elastic_events import stored
from soc.store.elastic_narrow import Narrow, searches
from soc.store.elastic_query import Query, own_layout
from soc.store.elastic_schema import Names

KIND = "elasticsearch"
FIRST_PAGE = 2_000
MOST_PAGE = 10_000
PAGE_BYTES = 16_000_000
"""What a page of the feed should hold; pages shrink where events are large."""

WINDOW = 1_000_000
"""Operations of a shard that a narrowed reading looks at together: their numbers are kept."""

SETTLE_SECONDS = 20.0
"""How long to wait for operations in flight when the head is asked for."""

_STATS = ",".join(
    f"indices.*.{part}"
    for part in (
        "uuid",
        "status",
        "shards.*.routing.primary",
        "shards.*.routing.state",
        "shards.*.commit.user_data.history_uuid",
        "shards.*.seq_no",
    )
)


@dataclass(frozen=True, slots=True)
class Shard:
    """The primary of one shard, as it was when it was asked."""

    index: str
    uuid: str
    number: str
    history: str
    checkpoint: int
    newest: int
    closed: bool

    @property
    def key(self) -> str:
        """Its name in a position."""
        return f"{self.uuid}/{self.number}"


class Feed:
    """Reads the events of one space in commit order."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._connection = connection
        self._names = names

    def shards(self) -> list[Shard]:
        """Every shard with a started primary, closed indices included, in the order of their names."""
        params = {
            "level": "shards",
            "expand_wildcards": "all",
            "forbid_closed_indices": "false",
            "filter_path": _STATS,
        }
        answer = self._connection.call("GET", f"/{self._names.events}/_stats/docs", params=params)
        found = []
        for index, stats in sorted(answer.get("indices", {}).items()):
            for number, copies in stats.get("shards", {}).items():
                for copy in copies:
                    if (
                        copy["routing"]["primary"]
                        and copy["routing"]["state"] == "STARTED"
                        and "seq_no" in copy
                    ):
                        numbers = copy["seq_no"]
                        found.append(
                            Shard(
                                index=index,
                                uuid=stats["uuid"],
                                number=number,
                                history=copy["commit"]["user_data"]["history_uuid"],
                                checkpoint=numbers["global_checkpoint"],
                                newest=numbers["max_seq_no"],
                                closed=stats.get("status") == "close",
                            )
                        )
        return found

    def settled(self) -> list[Shard]:
        """The shards, once each checkpoint has passed every operation that was there when this was called.

        An acknowledged operation may stand above the checkpoint while an earlier one is still in flight.
        """
        now = self.shards()
        wanted = {(s.key, s.history): s.newest for s in now}
        until = time.monotonic() + SETTLE_SECONDS
        while True:
            behind = [s for s in now if s.checkpoint < wanted.get((s.key, s.history), -1)]
            if not behind:
                return now
            if time.monotonic() > until:
                raise StoreUnavailableError(
                    f"{self._connection.name}: operations on {behind[0].index} do not complete",
                    hint="a copy of the shard may hang: soc store status",
                )
            time.sleep(0.02)
            now = self.shards()

    def beginning(self) -> Position:
        """The position before everything."""
        return {"store": KIND, "shards": {}}

    def head(self) -> Position:
        """The position after all that was acknowledged before this call."""
        return {"store": KIND, "shards": {s.key: [s.history, s.checkpoint, s.index] for s in self.settled()}}

    def parts(self, position: Position) -> list[Part]:
        """The shards, and how many operations each has after `position`.

        What was acknowledged counts at once, also above a checkpoint that is about to pass it.
        """
        done = _shards_of(position)
        found = []
        for shard in self.shards():
            start, note = _start(done.pop(shard.key, None), shard)
            name = f"{shard.index} shard {shard.number}"
            waiting = max(0, shard.newest - start) or int(bool(note))
            found.append(Part(shard.key, name, shard.newest, waiting))
        gone = [
            Part(key, f"{value[2]} shard {key.rpartition('/')[2]}", value[1], 0, gone=True)
            for key, value in done.items()
        ]
        return found + gone

    def split(self, position: Position) -> dict[str, Position]:
        """A position for each shard."""
        return {key: _position({key: value}) for key, value in _shards_of(position).items()}

    def join(self, positions: Iterable[Position]) -> Position:
        """One position of all shards."""
        return _position({key: value for one in positions for key, value in _shards_of(one).items()})

    def position_at(self, part: str, reached: Reached) -> Position:
        """The position of a shard that has reached a number."""
        return _position({part: [reached.history, reached.number, part]})

    def reached(self, position: Position) -> Reached:
        """The history and the number of the one shard of a position; before everything for none."""
        history, number, _ = next(iter(_shards_of(position).values()), ("", -1, ""))
        return Reached(history, number)

    def read(
        self,
        position: Position,
        limit: int,
        narrow: Narrow | None = None,
        parts: Collection[str] | None = None,
        end: Position | None = None,
    ) -> Iterator[FeedBatch]:
        """Batches from `position` up to what was acknowledged when this was called."""
        done = _shards_of(position)
        shards = self.settled()
        if parts is not None:
            shards = [shard for shard in shards if shard.key in parts]
            done = {key: value for key, value in done.items() if key in parts}
        if end is not None:
            shards = [_cut(shard, _shards_of(end).get(shard.key)) for shard in shards]
        notes = self._forget(done, {s.key for s in shards})
        work = []
        for shard in shards:
            start, note = _start(done.get(shard.key), shard)
            if note:
                notes.append(note)
            if start >= shard.checkpoint:
                done[shard.key] = [shard.history, shard.checkpoint, shard.index]
            elif shard.closed:
                notes.append(f"{shard.index} is closed; what is in it is read when it is opened")
            else:
                work.append((shard, start))
        failed = self._refresh(sorted({shard.index for shard, _ in work}))
        notes += [f"{index} could not be refreshed; its position was not moved" for index in sorted(failed)]
        moved = False
        for shard, start in work:
            if shard.index in failed:
                continue
            try:
                for events, seq_no, passed in self._some(shard, start, limit, narrow):
                    done[shard.key] = [shard.history, seq_no, shard.index]
                    moved = True
                    yield FeedBatch(events, _position(done), tuple(notes), passed, shard.key)
                    notes = []
            except _ShardFailedError as error:
                notes.append(
                    f"{shard.index} shard {shard.number} cannot be read now; not moved further: {error}"
                )
        if notes or (not moved and _position(done)["shards"] != position["shards"]):
            yield FeedBatch([], _position(done), tuple(notes))

    def _forget(self, done: dict[str, list[Any]], present: set[str]) -> list[str]:
        """Drop the positions of indices that were deleted; the others that are not there now are kept."""
        missing = [key for key in done if key not in present]
        if not missing:
            return []
        try:
            params = {"expand_wildcards": "all", "filter_path": "*.settings.index.uuid"}
            answer = self._connection.call("GET", f"/{self._names.events}/_settings", params=params)
        except (RefusedError, SocError):
            return [f"{done[key][2]} cannot be looked at now; its position is kept" for key in missing]
        known = {index["settings"]["index"]["uuid"] for index in answer.values()}
        notes = []
        for key in missing:
            if key.partition("/")[0] in known:
                notes.append(f"{done[key][2]} cannot be read now; its position is kept")
            else:
                notes.append(f"{done[key][2]} is gone")
                del done[key]
        return notes

    def _refresh(self, indices: list[str]) -> set[str]:
        """Make what is committed searchable; the indices for which that failed on some copy."""
        failed: set[str] = set()
        for i in range(0, len(indices), 50):
            names = ",".join(quote(name) for name in indices[i : i + 50])
            answer = self._connection.call(
                "POST", f"/{names}/_refresh", params={"ignore_unavailable": "true"}
            )
            failed.update(failure.get("index", "") for failure in answer["_shards"].get("failures", ()))
            if answer["_shards"]["failed"] and not failed:
                failed.update(indices)
        return failed

    def _some(
        self, shard: Shard, start: int, limit: int, narrow: Narrow | None
    ) -> Iterator[tuple[list[StoredEvent], int, int]]:
        """Pages of one shard, the number up to which each is complete, and how many events it passed over."""
        narrow = narrow or Narrow()
        groups = narrow.groups(own_layout)
        if groups is None:
            for events, last in self._pages(shard, start, limit, narrow.times):
                yield events, last, 0
                start = last
            return
        while start < shard.checkpoint:
            end = min(shard.checkpoint, start + WINDOW)
            try:
                pages = self._narrowed(shard, start, end, limit, groups, narrow.times)
                for events, last, passed in pages:
                    yield events, last, passed
                    start = last
            except RefusedError as error:
                if error.status != 400:
                    raise _ShardFailedError(error.reason) from None
                # a query that this cluster does not take (expensive queries switched off): read everything
                yield from self._some(shard, start, limit, Narrow(None, narrow.since, narrow.until))
                return

    def _pages(
        self, shard: Shard, start: int, limit: int, filters: Sequence[Query]
    ) -> Iterator[tuple[list[StoredEvent], int]]:
        """Pages of all events of one shard with the number up to which each is complete."""
        size = min(limit, FIRST_PAGE)
        while start < shard.checkpoint:
            hits = self._page(shard, size, [_numbers(start, shard.checkpoint), *filters])
            last = hits[-1]["sort"][0] if hits else shard.checkpoint
            if len(hits) < size:
                last = shard.checkpoint
            events = [stored(hit) for hit in hits]
            yield events, last
            start = last
            if events:
                size = max(1, min(limit, MOST_PAGE, PAGE_BYTES // _average_size(events)))

    def _narrowed(
        self, shard: Shard, start: int, end: int, limit: int, groups: Sequence[Query], times: Sequence[Query]
    ) -> Iterator[tuple[list[StoredEvent], int, int]]:
        """Pages of the events of one shard that a search of `groups` finds."""
        many = len(groups) > 1
        wanted = self._union(shard, start, end, groups, times) if many else []
        size = min(limit, MOST_PAGE)
        at = 0
        while start < end:
            if many:
                some = wanted[at : at + size]
                at += len(some)
                hits = self._page(shard, len(some), [{"terms": {"_seq_no": some}}]) if some else []
                last = some[-1] if at < len(wanted) else end
            else:
                hits = self._page(shard, size, [_numbers(start, end), *times, *groups])
                last = hits[-1]["sort"][0] if len(hits) == size else end
            events = [stored(hit) for hit in hits]
            yield events, last, self._count(shard, start, last, times) - len(events)
            start = last
            if events:
                size = max(1, min(limit, MOST_PAGE, PAGE_BYTES // _average_size(events)))

    def _union(
        self, shard: Shard, start: int, end: int, groups: Sequence[Query], times: Sequence[Query]
    ) -> list[int]:
        """The numbers of the operations that any of the searches finds, in order."""
        found: set[int] = set()
        waiting = [(group, start) for group in groups]
        while waiting:
            bodies = [
                {
                    "size": MOST_PAGE,
                    "query": {"bool": {"filter": [_numbers(after, end), *times, group]}},
                    "sort": [{"_seq_no": "asc"}],
                    "track_total_hits": False,
                    "_source": False,
                    "stored_fields": "_none_",
                }
                for group, after in waiting
            ]
            more = []
            answers = searches(self._connection, shard.index, bodies, f"_shards:{shard.number}")
            for (group, _), answer in zip(waiting, answers, strict=True):
                numbers = [hit["sort"][0] for hit in answer["hits"]["hits"]]
                found.update(numbers)
                if len(numbers) == MOST_PAGE:
                    more.append((group, numbers[-1]))
            waiting = more
        return sorted(found)

    def _count(self, shard: Shard, start: int, last: int, times: Sequence[Query]) -> int:
        """How many events there are after one operation and up to another, within the times."""
        body = {
            "size": 0,
            "query": {"bool": {"filter": [_numbers(start, last), *times]}},
            "track_total_hits": True,
        }
        return int(self._ask(shard, body)["hits"]["total"]["value"])

    def _page(self, shard: Shard, size: int, filters: Sequence[Query]) -> list[dict[str, Any]]:
        body = {
            "size": size,
            "query": {"bool": {"filter": list(filters)}} if len(filters) > 1 else filters[0],
            "sort": [{"_seq_no": "asc"}],
            "track_total_hits": False,
        }
        hits: list[dict[str, Any]] = self._ask(shard, body).get("hits", {}).get("hits", [])
        return hits

    def _ask(self, shard: Shard, body: dict[str, Any]) -> dict[str, Any]:
        """The answer of one shard. Raises `_ShardFailedError`, or `RefusedError` for a refused query."""
        params = {
            "preference": f"_shards:{shard.number}",
            "allow_partial_search_results": "false",
            "filter_path": "timed_out,_shards,hits.total,hits.hits._id,hits.hits._source,hits.hits.sort",
        }
        try:
            answer: dict[str, Any] = self._connection.call(
                "POST", f"/{quote(shard.index)}/_search", params=params, body=body
            )
        except RefusedError as error:
            if error.status == 400:
                raise
            raise _ShardFailedError(error.reason) from None
        if answer["_shards"]["failed"] or answer["timed_out"] or answer["_shards"]["successful"] < 1:
            raise _ShardFailedError("the search failed")
        return answer


def _numbers(after: int, upto: int) -> Query:
    return {"range": {"_seq_no": {"gt": after, "lte": upto}}}


class _ShardFailedError(Exception):
    """One shard cannot be read now."""


def _cut(shard: Shard, end: list[Any] | None) -> Shard:
    """A shard as if nothing came after a position; with none, as if there was nothing."""
    last = end[1] if end and end[0] == shard.history else -1
    return replace(shard, checkpoint=min(shard.checkpoint, last), newest=min(shard.newest, last))


def _shards_of(position: Position) -> dict[str, list[Any]]:
    if position.get("store") != KIND:
        raise SocError(
            "this position belongs to another kind of store", hint="soc sweep --once --from beginning"
        )
    return {key: list(value) for key, value in position["shards"].items()}


def _position(done: dict[str, list[Any]]) -> dict[str, Any]:
    return {"store": KIND, "shards": {key: list(value) for key, value in done.items()}}


def _start(known: list[Any] | None, shard: Shard) -> tuple[int, str]:
    """Where to go on in a shard, and a note when that is from the start again."""
    if known is None:
        return -1, ""
    history, seq_no = known[0], known[1]
    if history != shard.history:
        return -1, f"{shard.index} shard {shard.number} was restored (new history); read again from its start"
    if seq_no > shard.checkpoint:
        return (
            -1,
            f"{shard.index} shard {shard.number} is below the position; read again from its start",
        )
    return seq_no, ""


def _average_size(events: list[Any]) -> int:
    """A rough size in bytes of an event of a page, from its longest field and its number of fields."""
    sample = events[:: max(1, len(events) // 100)]
    total = sum(len(str(e.event.get("event.original", ""))) * 2 + 60 * len(e.event) for e in sample)
    return max(200, total // len(sample))
