"""How an index of Elasticsearch holds the values of a field, as far as something about it is certain."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from soc.store.elastic_schema import LOWER, OTHER, OVERLONG, UNINDEXED, event_fields

Query = dict[str, Any]

MATCH_ALL: Query = {"match_all": {}}
MATCH_NONE: Query = {"match_none": {}}

_PLAIN_NAME = re.compile(r"[\w@.\-]+", re.ASCII)


class Family(StrEnum):
    """The kinds of index of which something is certain."""

    KEYWORD = "keyword"
    """Whole values as terms, as they were written or with each code point lowered."""
    FLATTENED = "flattened"
    """Our own `OTHER`: terms by name for whole values, terms of all names together for patterns."""
    LONG = "long"
    DOUBLE = "double"
    IP = "ip"
    BOOLEAN = "boolean"
    ABSENT = "absent"
    """No value in any event, but where the index had no room for another field."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """How an index holds the values of a field.

    `path`: the field to ask. `ignored`: names one of which `_ignored` holds when a value was left out.
    `whole`: a field that holds values as they were written, for what must be exact ("" for none).
    `present`: the field to ask whether there is a value ("" for none). `root`: the flattened field itself.
    `numbers`: whether JSON numbers may stand in it in a writing of their own.
    """

    family: Family
    path: str
    ignored: tuple[str, ...] = ()
    whole: str = ""
    present: str = ""
    root: str = ""
    lowered: bool = False
    numbers: bool = True

    @property
    def left_out(self) -> list[Query]:
        """Clauses that find the events of which a value was left out of this index."""
        if self.family is Family.FLATTENED:
            return [{"term": {OVERLONG: True}}]
        return [{"terms": {"_ignored": sorted(self.ignored)}}] if self.ignored else []


Layout = Callable[[str], tuple[Indexed, ...]]
"""Where an index holds a field: all places of which any may hold the value; none when nothing is certain."""


def own_layout(field: str) -> tuple[Indexed, ...]:
    """Our own indices (`soc.store.elastic_schema`). Fractions in keyword fields are marked with `WIDEN`."""
    kind = event_fields().get(field)
    if kind == "lowered":
        lower = f"{field}.{LOWER}"
        found = Indexed(Family.KEYWORD, lower, (field, lower), field, field, lowered=True, numbers=False)
    elif kind == "keyword":
        found = Indexed(Family.KEYWORD, field, (field,), field, field, numbers=False)
    elif kind in {"long", "double", "ip", "boolean"}:
        found = Indexed(Family(kind), field, present=field)
    elif kind is None and field not in UNINDEXED and _PLAIN_NAME.fullmatch(field):
        path = f"{OTHER}.{field}"
        found = Indexed(Family.FLATTENED, path, (), path, path, OTHER)
    else:
        return ()
    return (found,)


def any_of(clauses: Sequence[Query]) -> Query:
    """A query that one of the clauses satisfies."""
    if len(clauses) == 1:
        return clauses[0]
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}} if clauses else MATCH_NONE


def leaves(query: Query) -> int:
    """How many clauses a query has, itself counted when it has none."""
    inner = query.get("bool")
    if inner is None:
        return 1
    return sum(leaves(q) for name in ("filter", "should", "must_not") for q in inner.get(name, ()))


def size(query: Query) -> int:
    """Bytes of a query as JSON."""
    import orjson

    return len(orjson.dumps(query))
