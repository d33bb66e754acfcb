"""What is in a cluster besides this toolkit's own indices: a look before settings are written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from soc.store.contract import ForeignIndices

if TYPE_CHECKING:
    from soc.store.elastic_connection import Connection

_DATED = re.compile(r"[-_.]?\d{4}[-_.]\d\d(?:[-_.]\d\d)?(?:-\d{6})?$|-\d{6}$")
"""The end of an index name that changes with time: a date, a rollover number, or both."""


def survey(connection: Connection) -> list[ForeignIndices]:
    """The data streams and open indices of others, those that differ only in a date under one pattern.

    Needs the privilege `view_index_metadata`, and `read` for times and numbers; hidden indices are left out.
    """
    patterns: dict[str, int] = {}
    for name in _names(connection):
        if not name.startswith("soc-"):
            pattern = _DATED.sub("-*", name)
            patterns[pattern] = patterns.get(pattern, 0) + 1
    return [_look(connection, pattern, count) for pattern, count in sorted(patterns.items())]


def _names(connection: Connection) -> Iterable[str]:
    answer = connection.call("GET", "/_resolve/index/*", params={"expand_wildcards": "open"})
    yield from (stream["name"] for stream in answer["data_streams"])
    yield from (index["name"] for index in answer["indices"] if "data_stream" not in index)


def _look(connection: Connection, pattern: str, count: int) -> ForeignIndices:
    body: dict[str, Any] = {
        "size": 0,
        "track_total_hits": True,
        "aggs": {"newest": {"max": {"field": "@timestamp"}}},
    }
    answer = connection.call("POST", f"/{pattern}/_search", params={"ignore_unavailable": "true"}, body=body)
    newest = answer.get("aggregations", {}).get("newest", {}).get("value_as_string")
    return ForeignIndices(pattern, count, answer["hits"]["total"]["value"], newest)
