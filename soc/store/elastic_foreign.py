"""Events in the indices of others, in the same cluster: Winlogbeat, Filebeat, Elastic Agent, ECS in general.

They are read as they are. Positions, alerts and everything else that is ours stay in our own indices. A
document becomes an event once, on reading: flattened, its time in our form. What the document does not hold
itself (aliases, runtime fields, fields with one value for the whole index) is asked of the index beside it.

A document without a usable `@timestamp` is no event: it is left out, counted and noted. So is what an index
keeps out of its documents, since no rule can see it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from soc.detect.predicate import Predicate
from soc.errors import NotAuthorisedError, UsageError
from soc.event import flatten, moment, timestamp
from soc.store.contract import Incoming, Outcome, Pruned, Store, StoredEvent, StoreStatus, Weight
from soc.store.elastic import ElasticStore
from soc.store.elastic_connection import Connection, RefusedError
from soc.store.elastic_documents import refresh
from soc.store.elastic_feed import Feed
from soc.store.elastic_indexed import Layout, Query
from soc.store.elastic_layout import DERIVED, ForeignLayout, layout_of
from soc.store.elastic_narrow import Narrow, counts, weight
from soc.store.elastic_overlap import OverlapFeed
from soc.store.elastic_schema import Names
from soc.store.elastic_search import Search
from soc.store.elastic_shard import Reading

_PATTERN = re.compile(r"[^\s\"\\/|<>?#A-Z]+")
_NOTHING = ForeignLayout()


def event_of(hit: dict[str, Any]) -> StoredEvent | None:
    """The event in a document of somebody else; None when it has no usable time."""
    event = flatten(hit.get("_source") or {})
    for name, values in hit.get("fields", {}).items():
        if name not in event and values:
            event[name] = values if len(values) > 1 else values[0]
    at = _time_of(event.get("@timestamp"))
    if at is None:
        return None
    event["@timestamp"] = at
    for name, others in DERIVED.items():
        if event.get(name) is None:
            found = next((event[other] for other in others if event.get(other) is not None), None)
            if found is not None:
                event[name] = found
    return StoredEvent(hit["_id"], event)


def _time_of(value: Any) -> str | None:
    """A time as event text: of ISO 8601, or milliseconds since 1970, which are the forms of the type date."""
    if isinstance(value, list):
        value = value[0] if value else None
    try:
        if isinstance(value, str) and not value.isdecimal():
            return value if len(value) == 27 and value[10] == "T" and value[-1] == "Z" else _utc(value)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return timestamp(datetime.fromtimestamp(float(value) / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _utc(text: str) -> str:
    parsed = datetime.fromisoformat(text)
    return timestamp(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))


def check_pattern(pattern: str, names: Names) -> None:
    """Raise `UsageError` for a pattern that names no indices, or our own."""
    for part in pattern.split(","):
        if not part or not _PATTERN.fullmatch(part) or part[0] in "-_+":
            raise UsageError(
                f"{pattern!r} is no pattern of indices", hint="such as 'winlogbeat-*' or 'logs-*'"
            )
        own = (names.event_index("2026-03", 1, "standard"), names.documents, names.audit)
        if part.startswith("soc-") or any(fnmatch.fnmatchcase(name, part) for name in own):
            raise UsageError(
                f"{part!r} takes in our own indices, which a sweep reads anyway", hint="soc sweep --once"
            )


class ForeignReading(Reading):
    """How the indices of others are read. Layouts are asked for anew each time: mappings grow."""

    def __init__(self, connection: Connection, pattern: str) -> None:
        self.pattern = pattern
        self._connection = connection
        self._known: dict[bytes, ForeignLayout] = {}

    def layout(self, index: str) -> Layout | None:
        """See `Reading.layout`: nothing is narrowed in an index whose times are not times."""
        found = self._layout(index)
        return found if found.dated else None

    def dated(self, index: str) -> bool:
        """See `Reading.dated`."""
        return self._layout(index).dated

    def layouts(self) -> list[ForeignLayout]:
        """Those of all indices, each once."""
        return list({id(found): found for found in self._mappings(self.pattern).values()}.values())

    def _layout(self, index: str) -> ForeignLayout:
        return self._mappings(index).get(index, _NOTHING)

    def _mappings(self, indices: str) -> dict[str, ForeignLayout]:
        try:
            answer = self._connection.call(
                "GET", f"/{quote(indices, safe='*,-_.')}/_mapping", params={"ignore_unavailable": "true"}
            )
        except (RefusedError, NotAuthorisedError):
            return {}
        return {name: self._parsed(body.get("mappings", {})) for name, body in answer.items()}

    def _parsed(self, mapping: dict[str, Any]) -> ForeignLayout:
        key = orjson.dumps(mapping, option=orjson.OPT_SORT_KEYS)
        if key not in self._known:
            self._known[key] = layout_of(mapping)
        return self._known[key]

    def event(self, hit: dict[str, Any]) -> StoredEvent | None:
        """See `Reading.event`."""
        return event_of(hit)

    def asked(self, index: str) -> dict[str, Any]:
        """See `Reading.asked`: fields that a document does not hold itself."""
        computed = self._layout(index).computed
        return {"fields": list(computed)} if computed else {}

    def only_events(self) -> list[Query]:
        """See `Reading.only_events`."""
        return [{"exists": {"field": "@timestamp"}}]

    def remarks(self, index: str) -> tuple[str, ...]:
        """See `Reading.remarks`."""
        hidden = self._layout(index).hidden
        if not hidden:
            return ()
        what = "all or most fields" if "*" in hidden else ", ".join(hidden)
        return (f"{index} keeps {what} out of its documents: rules that read them see nothing there",)


class ForeignStore(ElasticStore):
    """A store whose events are those of somebody else's indices; documents and audit log are our own."""

    def __init__(self, connection: Connection, names: Names, pattern: str) -> None:
        check_pattern(pattern, names)
        super().__init__(connection, names)
        self.name = f"{connection.name} {pattern}"
        self.pattern = pattern
        self._reading = ForeignReading(connection, pattern)
        self._feed = Feed(connection, self._reading)
        self._search = Search(connection, self._reading)

    @classmethod
    def beside(cls, store: Store, pattern: str) -> ForeignStore:
        """The indices of others in the cluster of a store. Raises `UsageError` when there are none."""
        if not isinstance(store, ElasticStore):
            raise UsageError(
                "only in Elasticsearch there are indices of others",
                hint="--store https://HOST:9200, or SOC_STORE",
            )
        foreign = cls(store._connection, store._names, pattern)
        try:
            there = foreign.parts(foreign.beginning())
        except NotAuthorisedError:
            foreign._feed = OverlapFeed(store._connection, foreign._reading, foreign._search)
            there = foreign.parts(foreign.beginning())
        if not there:
            raise UsageError(f"no index is called {pattern}", hint="soc doctor lists what is in the cluster")
        return foreign

    def append(self, _: Sequence[Incoming]) -> list[Outcome]:
        """Never: these indices belong to others."""
        raise UsageError(f"{self.pattern}: nothing is written into the indices of others")

    def prune(self, *_: Any, **__: Any) -> list[Pruned]:
        """Never: as `append`."""
        raise UsageError(f"{self.pattern}: nothing is removed from the indices of others")

    def weight(self, narrow: Predicate) -> Weight | None:
        """See `Store.weight`: None when one of the indices cannot be narrowed, or is read by time."""
        if isinstance(self._feed, OverlapFeed):
            return None
        shards = len(self._feed.shards())
        weights = [
            weight(narrow, shards, found) if found.dated else None for found in self._reading.layouts()
        ]
        known = [found for found in weights if found is not None]
        return max(known) if known and len(known) == len(weights) else None

    def candidates(
        self, narrows: Sequence[Predicate], *, since: datetime | None = None, until: datetime | None = None
    ) -> list[int | None]:
        """See `Store.candidates`; known where all indices have one layout."""
        layouts = self._reading.layouts()
        if len(layouts) != 1 or not layouts[0].dated:
            return [None] * len(narrows)
        times = Narrow(None, since, until).times
        return counts(self._connection, self.pattern, narrows, times, layouts[0])

    def status(self) -> StoreStatus:
        """See `Store.status`; events are those of the pattern."""
        refresh(self._connection, quote(self.pattern, safe="*,-_."))
        own = super().status()
        body = {
            "size": 0,
            "track_total_hits": True,
            "aggs": {"oldest": {"min": {"field": "@timestamp"}}, "newest": {"max": {"field": "@timestamp"}}},
        }
        answer = self._connection.call(
            "POST",
            f"/{quote(self.pattern, safe='*,-_.')}/_search",
            params={"ignore_unavailable": "true"},
            body=body,
        )
        found = answer.get("aggregations", {})
        return StoreStatus(
            name=self.name,
            kind=own.kind,
            events=int(answer["hits"]["total"]["value"]),
            bytes=own.bytes,
            oldest=_bound(found.get("oldest")),
            newest=_bound(found.get("newest")),
            documents=own.documents,
            warnings=own.warnings,
            detail=own.detail,
        )

    def close(self) -> None:
        """Nothing: the connection is that of the store beside which these indices are."""


def _bound(found: Any) -> str | None:
    text = found.get("value_as_string") if isinstance(found, dict) else None
    return None if text is None else timestamp(moment(text))
