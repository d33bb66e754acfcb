"""Reading events by time and id: a point in time, read page by page in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from soc.detect.predicate import Predicate
from soc.errors import SocError
from soc.store.contract import StoredEvent
from soc.store.elastic_connection import Connection, RefusedError
from soc.store.elastic_documents import refresh, search_hits
from soc.store.elastic_events import is_id
from soc.store.elastic_indexed import MATCH_ALL, Query
from soc.store.elastic_query import between, narrowing
from soc.store.elastic_shard import Reading

FIRST_PAGE = 200
"""Events in the first page: a person who looks for a few should not wait for many."""

PAGE = 2_000
KEEP_ALIVE = "5m"
"""How long a point in time waits for the next page."""

IDS = 1_000


class Search:
    """Searches over the events of some indices; only ours are narrowed down."""

    def __init__(self, connection: Connection, reading: Reading) -> None:
        self._connection = connection
        self._reading = reading
        self._own = type(reading) is Reading
        self._path = quote(reading.pattern, safe="*,-_.")

    def candidates(
        self,
        where: Predicate,
        since: datetime | None,
        until: datetime | None,
        *,
        newest_first: bool,
        first_page: int | None,
    ) -> Iterator[StoredEvent]:
        """At least the events that satisfy `where` within the times, by time, then id.

        The field `@timestamp` keeps milliseconds; events of one millisecond are put in order here.
        """
        refresh(self._connection, self._path)
        times = between(since, until)
        narrowed = narrowing(where) if self._own else None
        try:
            hits = self._hits([*times, narrowed] if narrowed else times, newest_first, first_page)
            first = next(hits, None)
        except RefusedError as error:
            # a query that this cluster does not take (too many clauses, expensive queries switched off)
            if narrowed is None or error.status != 400:
                raise
            hits = self._hits(times, newest_first, first_page)
            first = next(hits, None)
        if first is None:
            return
        same, at = list(self._events([first])), first["sort"][0]
        for hit in hits:
            if hit["sort"][0] != at:
                yield from _in_order(same, newest_first)
                same, at = [], hit["sort"][0]
            same += self._events([hit])
        yield from _in_order(same, newest_first)

    def by_time(self, filters: Sequence[Query]) -> Iterator[StoredEvent]:
        """The events that filters find, oldest first, to the millisecond."""
        refresh(self._connection, self._path)
        yield from self._events(self._hits(filters, newest_first=False, first_page=PAGE))

    def newest(self, filters: Sequence[Query]) -> Iterator[StoredEvent]:
        """The newest events that filters find, at most `PAGE` of them."""
        refresh(self._connection, self._path)
        for number, hit in enumerate(self._hits(filters, newest_first=True, first_page=PAGE)):
            if number == PAGE:
                return
            yield from self._events([hit])

    def _events(self, hits: Iterable[dict[str, Any]]) -> Iterator[StoredEvent]:
        for hit in hits:
            event = self._reading.event(hit)
            if event is not None:
                yield event

    def _hits(
        self, filters: Sequence[Query], newest_first: bool, first_page: int | None
    ) -> Iterator[dict[str, Any]]:
        pit = self._open()
        if pit is None:
            return
        body: dict[str, Any] = {
            "size": min(PAGE, max(first_page or FIRST_PAGE, 1)),
            "query": {"bool": {"filter": list(filters)}} if filters else MATCH_ALL,
            "sort": [
                {"@timestamp": {"order": "desc" if newest_first else "asc", "unmapped_type": "date"}},
                {"_shard_doc": "asc"},
            ],
            "track_total_hits": False,
        }
        try:
            while True:
                body["pit"] = {"id": pit, "keep_alive": KEEP_ALIVE}
                answer = self._connection.call("POST", "/_search", body=body)
                if answer["timed_out"] or answer["_shards"]["failed"]:
                    raise SocError(
                        f"{self._connection.name}: a part of the events cannot be read now",
                        hint="soc store status",
                    )
                hits = answer["hits"]["hits"]
                pit = answer.get("pit_id", pit)
                yield from hits
                if len(hits) < body["size"]:
                    return
                body["search_after"] = hits[-1]["sort"]
                body["size"] = PAGE
        finally:
            self._close(pit)

    def _open(self) -> str | None:
        """A point in time over all event indices; None when there are none."""
        params = {"keep_alive": KEEP_ALIVE, "ignore_unavailable": "true"}
        try:
            answer = self._connection.call("POST", f"/{self._path}/_pit", params=params)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise
        return str(answer["id"])

    def _close(self, pit: str | None) -> None:
        try:
            self._connection.call("DELETE", "/_pit", body={"id": pit})
        except SocError:
            return  # it ends by itself after its time

    def by_id(self, ids: Sequence[str]) -> list[StoredEvent]:
        """The events with these ids that are there, in the order of `ids`."""
        refresh(self._connection, self._path)
        wanted = [id_ for id_ in dict.fromkeys(ids) if is_id(id_)]
        found: dict[str, StoredEvent] = {}
        for i in range(0, len(wanted), IDS):
            part = wanted[i : i + IDS]
            body = {"size": IDS, "query": {"ids": {"values": part}}, "track_total_hits": False}
            for hit in search_hits(self._connection, self._path, body):
                for event in self._events([hit]):
                    found.setdefault(event.id, event)
        return [found[id_] for id_ in ids if id_ in found]


def _in_order(same: list[StoredEvent], newest_first: bool) -> list[StoredEvent]:
    return sorted(same, key=lambda e: (e.event["@timestamp"], e.id), reverse=newest_first)
