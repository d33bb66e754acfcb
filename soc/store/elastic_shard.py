"""Reading one shard of the feed: all its events, or those that a predicate may be true of.

Reading everything, the next page is on its way while the last one is worked on. Reading candidates, a search
that finds no more than a page is asked for its events at once; of several searches, first the numbers of what
they find are put together, then those events are read. Where that is most of them, all are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from soc.store.contract import StoredEvent
from soc.store.elastic_connection import Connection, RefusedError
from soc.store.elastic_events import stored
from soc.store.elastic_indexed import Layout, Query, own_layout
from soc.store.elastic_narrow import Narrow, searches
from soc.store.elastic_schema import Names

T = TypeVar("T")
FIRST_PAGE = 2_000
MOST_PAGE = 10_000
PAGE_BYTES = 16_000_000
"""What a page of the feed should hold; pages shrink where events are large."""

WINDOW = 1_000_000
"""Operations of a shard that a narrowed reading looks at together: their numbers are kept."""

MOST = 0.5
"""Share of the events from which on all are read instead of the candidates among them."""


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


class Reading:
    """How the events of some indices are read. This one: those of a space of our own."""

    pattern: str

    def __init__(self, names: Names) -> None:
        self.pattern = names.events

    def layout(self, index: str) -> Layout | None:
        """Where an index holds which field; None when it cannot be narrowed."""
        del index
        return own_layout

    def dated(self, index: str) -> bool:
        """Whether the index can tell what lies between two moments of `@timestamp`."""
        del index
        return True

    def event(self, hit: dict[str, Any]) -> StoredEvent | None:
        """The event of a search hit; None for a document that is none."""
        return stored(hit)

    def asked(self, index: str) -> dict[str, Any]:
        """What is to be asked of an index besides its documents."""
        del index
        return {}

    def remarks(self, index: str) -> tuple[str, ...]:
        """What the ledger should hold about reading an index."""
        del index
        return ()

    def only_events(self) -> list[Query]:
        """Filters that leave out documents which are no events."""
        return []


class ShardFailedError(Exception):
    """One shard cannot be read now."""


class Page(NamedTuple):
    """Some events of a shard, the number up to which it was read, and how many events were passed over."""

    events: list[StoredEvent]
    last: int
    passed: int = 0
    remarks: tuple[str, ...] = ()


class ShardReader:
    """Reads one shard; what there is to know of its index is asked once."""

    def __init__(self, connection: Connection, reading: Reading, shard: Shard, narrow: Narrow) -> None:
        self._connection = connection
        self._reading = reading
        self._shard = shard
        self._narrow = narrow
        self._asked = reading.asked(shard.index)
        self._dated = reading.dated(shard.index)
        self._times = narrow.times if self._dated else []

    def pages(self, start: int, limit: int) -> Iterator[Page]:
        """Pages from an operation on. Raises `ShardFailedError`."""
        remarks = self._reading.remarks(self._shard.index)
        for page in self._pages(start, limit):
            yield page._replace(remarks=(*remarks, *page.remarks))
            remarks = ()

    def _pages(self, start: int, limit: int) -> Iterator[Page]:
        layout = self._reading.layout(self._shard.index)
        groups = None if layout is None else self._narrow.groups(layout)
        checkpoint = self._shard.checkpoint
        while groups is not None and start < checkpoint:
            end = min(checkpoint, start + WINDOW)
            try:
                remarks = self._left_out(self._no_events(start, end))
                for page in self._candidates(start, end, limit, groups):
                    yield page._replace(remarks=(*remarks, *page.remarks))
                    start, remarks = page.last, ()
            except RefusedError as error:
                if error.status != 400:
                    raise ShardFailedError(error.reason) from None
                # a query that this cluster does not take (expensive queries switched off): read everything
                groups = None
        try:
            yield from self._everything(start, checkpoint, limit)
        except RefusedError as error:
            raise ShardFailedError(error.reason) from None

    def _everything(self, start: int, end: int, limit: int) -> Iterator[Page]:
        """All events between two operations; the next page is asked for before this one is given."""
        size = min(limit, FIRST_PAGE)
        waiting: Future[list[dict[str, Any]]] | None = None
        while start < end:
            waiting = waiting or self._ahead(start, end, size)
            hits, asked = waiting.result(), size
            start = hits[-1]["sort"][0] if len(hits) == asked else end
            page = self._page(hits, start)
            if page.events:
                size = max(1, min(limit, MOST_PAGE, PAGE_BYTES // _average_size(page.events)))
            waiting = self._ahead(start, end, size) if start < end else None
            yield page

    def _ahead(self, start: int, end: int, size: int) -> Future[list[dict[str, Any]]]:
        filters = [_numbers(start, end), *self._times]
        return in_background(lambda: self._hits(size, filters))

    def _page(self, hits: Sequence[dict[str, Any]], last: int, count: int | None = None) -> Page:
        """The events of hits. `count`: how many events there are, found or not."""
        events = [event for hit in hits if (event := self._reading.event(hit)) is not None]
        none = len(hits) - len(events)
        if not self._dated:
            events = [event for event in events if self._narrow.holds(event.event)]
        passed = 0 if count is None else max(0, count - len(events))
        return Page(events, last, passed, self._left_out(none))

    def _left_out(self, count: int) -> tuple[str, ...]:
        if not count:
            return ()
        return (
            f"{count} documents of {self._shard.index} have no @timestamp that is a time, and were left out",
        )

    def _no_events(self, start: int, end: int) -> int:
        """How many documents between two operations are no events, and so not found by any search here."""
        only = self._reading.only_events()
        if not only:
            return 0
        query = {"bool": {"filter": [_numbers(start, end)], "must_not": only}}
        body = {"size": 0, "query": query, "track_total_hits": True}
        return int(self._ask(body)["hits"]["total"]["value"])

    def _candidates(self, start: int, end: int, limit: int, groups: Sequence[Query]) -> Iterator[Page]:
        """The events between two operations that a search of `groups` finds."""
        if len(groups) > 1:
            yield from self._of_several(start, end, limit, groups)
            return
        size = min(limit, MOST_PAGE)
        while start < end:
            hits = self._hits(
                size, [_numbers(start, end), *self._times, *self._reading.only_events(), *groups]
            )
            last = hits[-1]["sort"][0] if len(hits) == size else end
            page = self._page(hits, last, self._count(start, last))
            yield page
            start = last
            if page.events:
                size = max(1, min(limit, MOST_PAGE, PAGE_BYTES // _average_size(page.events)))

    def _of_several(self, start: int, end: int, limit: int, groups: Sequence[Query]) -> Iterator[Page]:
        wanted = self._union(start, end, groups)
        if len(wanted) > MOST * self._count(start, end):
            yield from self._everything(start, end, limit)
            return
        size = min(limit, MOST_PAGE)
        at = 0
        while start < end:
            some = wanted[at : at + size]
            at += len(some)
            hits = self._hits(len(some), [{"terms": {"_seq_no": some}}]) if some else []
            last = some[-1] if at < len(wanted) else end
            page = self._page(hits, last, self._count(start, last))
            yield page
            start = last
            if page.events:
                size = max(1, min(limit, MOST_PAGE, PAGE_BYTES // _average_size(page.events)))

    def _union(self, start: int, end: int, groups: Sequence[Query]) -> list[int]:
        """The numbers of the operations that any of the searches finds, in order."""
        found: set[int] = set()
        waiting = [(group, start) for group in groups]
        filters = [*self._times, *self._reading.only_events()]
        while waiting:
            bodies = [
                {
                    "size": MOST_PAGE,
                    "query": {"bool": {"filter": [_numbers(after, end), *filters, group]}},
                    "sort": [{"_seq_no": "asc"}],
                    "track_total_hits": False,
                    "_source": False,
                    "stored_fields": "_none_",
                }
                for group, after in waiting
            ]
            more = []
            answers = searches(self._connection, self._shard.index, bodies, f"_shards:{self._shard.number}")
            for (group, _), answer in zip(waiting, answers, strict=True):
                numbers = [hit["sort"][0] for hit in answer["hits"]["hits"]]
                found.update(numbers)
                if len(numbers) == MOST_PAGE:
                    more.append((group, numbers[-1]))
            waiting = more
        return sorted(found)

    def _count(self, start: int, last: int) -> int:
        """How many events there are after one operation and up to another, within the times."""
        body = {
            "size": 0,
            "query": {
                "bool": {"filter": [_numbers(start, last), *self._times, *self._reading.only_events()]}
            },
            "track_total_hits": True,
        }
        return int(self._ask(body)["hits"]["total"]["value"])

    def _hits(self, size: int, filters: Sequence[Query]) -> list[dict[str, Any]]:
        body = {
            "size": size,
            "query": {"bool": {"filter": list(filters)}} if len(filters) > 1 else filters[0],
            "sort": [{"_seq_no": "asc"}],
            "track_total_hits": False,
            **self._asked,
        }
        hits: list[dict[str, Any]] = self._ask(body).get("hits", {}).get("hits", [])
        return hits

    def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer of the shard. Raises `ShardFailedError`, or `RefusedError` for a refused query."""
        params = {"preference": f"_shards:{self._shard.number}", "allow_partial_search_results": "false"}
        try:
            answer: dict[str, Any] = self._connection.call(
                "POST", f"/{quote(self._shard.index)}/_search", params=params, body=body
            )
        except RefusedError as error:
            if error.status == 400:
                raise
            raise ShardFailedError(error.reason) from None
        if answer["_shards"]["failed"] or answer["timed_out"] or answer["_shards"]["successful"] < 1:
            raise ShardFailedError("the search failed")
        return answer


def in_background(work: Callable[[], T]) -> Future[T]:
    """Start work in a thread of its own, which is not waited for at the end of the process."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed to whoever asks for the result
            future.set_exception(error)

    Thread(target=run, name="soc-feed", daemon=True).start()
    return future


def _numbers(after: int, upto: int) -> Query:
    return {"range": {"_seq_no": {"gt": after, "lte": upto}}}


def _average_size(events: list[Any]) -> int:
    """A rough size in bytes of an event of a page, from its longest field and its number of fields."""
    sample = events[:: max(1, len(events) // 100)]
    total = sum(len(str(e.event.get("event.original", ""))) * 2 + 60 * len(e.event) for e in sample)
    return max(200, total // len(sample))
