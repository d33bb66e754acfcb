"""Candidates of many rules: queries in groups, and groups in requests, each bounded in clauses and bytes.

A node with little memory must survive whatever rules there are. So a search asks for no more than
`GROUP_CLAUSES` clauses, a request holds few searches, and the server runs one of them at a time. What several
searches find is put together by the numbers of the operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import orjson

from soc.detect.predicate import Or, Predicate
from soc.event import timestamp
from soc.store.contract import Weight
from soc.store.elastic_connection import BUSY, Connection, RefusedError, TransientError
from soc.store.elastic_indexed import MATCH_ALL, Layout, Query, any_of, leaves, own_layout, size
from soc.store.elastic_query import upper, widened

GROUP_CLAUSES = 300
GROUP_BYTES = 48_000
"""Bounds of one search."""

REQUEST_CLAUSES = 1_000
REQUEST_BYTES = 160_000
"""Bounds of one request of several searches."""

SECONDS_A_SHARD = 0.001
SECONDS_A_MILLION = 0.006
"""What one clause costs on each shard, however small, and on a million events; measured by
benchmarks/candidates.py (an expression that begins with any text walks all terms of its field)."""


@dataclass(frozen=True, slots=True)
class Narrow:
    """What is wanted of the feed: events that may satisfy a predicate, within times."""

    predicate: Predicate | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def times(self) -> list[Query]:
        """Filters for the times, in whole milliseconds."""
        bounds = {}
        if self.since is not None:
            bounds["gte"] = timestamp(self.since)[:23] + "Z"
        if self.until is not None:
            bounds["lt"] = timestamp(self.until)[:23] + "Z"
        return [{"range": {"@timestamp": bounds}}] if bounds else []

    def holds(self, event: Mapping[str, Any]) -> bool:
        """Whether an event lies within the times."""
        at = str(event.get("@timestamp", ""))[:23]
        return (self.since is None or at >= timestamp(self.since)[:23]) and (
            self.until is None or at < timestamp(self.until)[:23]
        )

    def groups(self, layout: Layout) -> list[Query] | None:
        """Searches that together find every event on which the predicate may be true; None: read all."""
        return None if self.predicate is None else groups(self.predicate, layout)


def groups(predicate: Predicate, layout: Layout = own_layout) -> list[Query] | None:
    """The alternatives of a predicate in few searches; None when one of them cannot be narrowed down."""
    parts = predicate.parts if isinstance(predicate, Or) else (predicate,)
    found: dict[bytes, Query] = {}
    for part in parts:
        query = upper(part, layout)
        if query is None:
            return None
        found.setdefault(orjson.dumps(query), query)
    own = layout is own_layout
    return [
        widened(some) if own else any_of(some)
        for some in packed(list(found.values()), GROUP_CLAUSES, GROUP_BYTES)
    ]


def weight(predicate: Predicate, shards: int, layout: Layout = own_layout) -> Weight | None:
    """What the searches for a predicate cost; None when it cannot be narrowed."""
    found = groups(predicate, layout)
    if found is None:
        return None
    clauses = sum(map(leaves, found))
    return Weight(SECONDS_A_SHARD * clauses * shards, SECONDS_A_MILLION * clauses)


def counts(
    connection: Connection,
    pattern: str,
    predicates: Sequence[Predicate],
    times: Sequence[Query],
    layout: Layout = own_layout,
) -> list[int | None]:
    """How many events the searches for each predicate find at most; None for one that is not narrowed."""
    found = [groups(predicate, layout) for predicate in predicates]
    bodies = [
        {
            "size": 0,
            "track_total_hits": True,
            "query": {"bool": {"filter": [*times, query]}},
        }
        for queries in found
        for query in queries or ()
    ]
    totals = (int(answer["hits"]["total"]["value"]) for answer in searches(connection, pattern, bodies))
    return [None if queries is None else sum(next(totals) for _ in queries) for queries in found]


def packed(queries: Sequence[Query], clauses: int, length: int) -> Iterator[list[Query]]:
    """Queries in lists that keep the bounds; one that breaks them alone stands alone."""
    some: list[Query] = []
    many = long = 0
    for query in queries:
        more, longer = leaves(query), size(query)
        if some and (many + more > clauses or long + longer > length):
            yield some
            some, many, long = [], 0, 0
        some.append(query)
        many, long = many + more, long + longer
    if some:
        yield some


def searches(
    connection: Connection, index: str, bodies: Sequence[dict[str, Any]], preference: str = ""
) -> Iterator[dict[str, Any]]:
    """The answers to several searches on an index or pattern, in order, sent in bounded requests.

    Raises `RefusedError` for the first search that the server refuses, or that a part of the index failed on.
    """
    header: dict[str, Any] = {"allow_partial_search_results": False, "ignore_unavailable": True}
    if preference:
        header["preference"] = preference
    for some in packed_bodies(bodies):
        lines = b"".join(orjson.dumps(header) + b"\n" + orjson.dumps(body) + b"\n" for body in some)
        yield from _request(connection, index, lines)


def _request(connection: Connection, index: str, lines: bytes) -> list[dict[str, Any]]:
    path = f"/{quote(index, safe='*,-_.')}/_msearch"
    for attempt in connection.attempts():
        with attempt:
            answer = connection.call(
                "POST", path, params={"max_concurrent_searches": "1"}, body=lines, lines=True
            )
            responses: list[dict[str, Any]] = answer["responses"]
            for response in responses:
                _check(connection.name, response)
            return responses
    raise AssertionError("the last attempt returns or raises")


def _check(name: str, response: dict[str, Any]) -> None:
    error = response.get("error")
    status = int(response.get("status", 200))
    if error or response.get("timed_out") or response["_shards"]["failed"]:
        reason = str(error.get("reason", error)) if isinstance(error, dict) else "a part of the search failed"
        if status in BUSY or not error:
            raise TransientError(f"{name} is too busy for these searches: {reason}", hint="soc store status")
        raise RefusedError(f"{name}: {reason}", status=status, kind="", reason=reason)


def packed_bodies(bodies: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Bodies of searches in lists that fit one request each."""
    queries = [body.get("query", MATCH_ALL) for body in bodies]
    at = 0
    for some in packed(queries, REQUEST_CLAUSES, REQUEST_BYTES):
        yield list(bodies[at : at + len(some)])
        at += len(some)
