"""A query that returns at least every event on which a predicate is true or undecided; the predicate decides.

Elasticsearch is never asked what a predicate means. `UPPER` lists the pairs of (test, kind of index) that may
narrow a search down, each with its test on a real server; every other test is "all events" (None here). A
`Layout` says how an index holds a field: our own, or that of others (`soc.store.elastic_layout`).

Text is looked for by regular expressions (`soc.store.elastic_text`). Values longer than the index holds are
found by `_ignored`.

A negation needs the opposite bound: what the server finds must certainly be true. `LOWER_BOUNDS` lists those
pairs; any other negation is "all events" too.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, network
from soc.detect.text import canonical, fold
from soc.event import timestamp
from soc.store.elastic_indexed import (
    MATCH_ALL,
    Family,
    Indexed,
    Layout,
    Query,
    any_of,
    leaves,
    own_layout,
    size,
)
from soc.store.elastic_schema import WIDEN
from soc.store.elastic_text import (
    MAX_OPERAND,
    ONE_WRITING,
    PART_OF_NUMBER,
    Pattern,
    literal_patterns,
    network_patterns,
    regex_patterns,
    text_query,
    wildcard_patterns,
)

MAX_CLAUSES = 400
"""Leaves of a query. A node refuses more than 1,024 or more, by its memory."""

MAX_BYTES = 48_000
"""Size of a query as JSON. Many long patterns at once once killed a node with 768 MB of heap."""

_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_OCTETS = re.compile(r"((?:[0-9]{1,3}\.){1,3})", re.ASCII)
_LONGEST = 2**63 - 1


def between(since: datetime | None, until: datetime | None) -> list[Query]:
    """Filters for `since <= @timestamp < until`, in the milliseconds that the field keeps: an upper bound."""
    bounds: dict[str, str] = {}
    if since is not None:
        bounds["gte"] = timestamp(since)[:23] + "Z"
    if until is not None:
        bounds["lte"] = timestamp(until)[:23] + "Z"
    return [{"range": {"@timestamp": bounds}}] if bounds else []


def narrowing(predicate: Predicate) -> Query | None:
    """The query on our own indices for events that may satisfy the predicate; None for all events."""
    query = upper(predicate, own_layout)
    return None if query is None else widened([query])


def upper(predicate: Predicate, layout: Layout) -> Query | None:
    """The bound of a predicate on a layout, of bearable size; on our own it must still be `widened`."""
    query = _Bounds(layout).upper(predicate)
    return query if query is not None and _bearable(query) else None


def widened(queries: Sequence[Query]) -> Query:
    """Any of the queries, or an event of ours that is not indexed as it is."""
    return any_of([*queries, {"term": {WIDEN: True}}])


def _bearable(query: Query) -> bool:
    return leaves(query) <= MAX_CLAUSES and size(query) <= MAX_BYTES


class _Bounds:
    """Bounds of predicates on one layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def upper(self, predicate: Predicate) -> Query | None:
        """Certain to find every event on which the predicate is true or undecided; None for all events."""
        if isinstance(predicate, Not):
            query = self.lower(predicate.part)
            return None if query is None else {"bool": {"must_not": [query]}}
        if isinstance(predicate, And):
            return self._all_of(predicate)
        return self._any_of(predicate.parts if isinstance(predicate, Or) else (predicate,))

    def lower(self, predicate: Predicate) -> Query | None:
        """Certain to find only events on which the predicate is true; None when none is certain."""
        if isinstance(predicate, Not):
            query = self.upper(predicate.part)
            return None if query is None else {"bool": {"must_not": [query]}}
        if isinstance(predicate, Test):
            return self._certain(predicate)
        parts = [q for q in map(self.lower, predicate.parts) if q is not None]
        if isinstance(predicate, Or):
            return any_of(parts) if parts else None
        if len(parts) < len(predicate.parts):
            return None
        return {"bool": {"filter": parts}} if parts else MATCH_ALL

    def _certain(self, test: Test) -> Query | None:
        if test.field is None:
            return None
        for indexed in self._layout(test.field):
            made = LOWER_BOUNDS.get((test.op, indexed.family))
            query = made(test, indexed) if made else None
            if query is not None:
                return query
        return None

    def _all_of(self, predicate: And) -> Query | None:
        """One useful part is enough. The costliest are left out until the whole is bearable."""
        parts = [q for q in map(self.upper, predicate.parts) if q is not None]
        parts = [q for q in parts if _bearable(q)]
        while len(parts) > 1 and not _bearable({"bool": {"filter": parts}}):
            parts.remove(max(parts, key=size))
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else {"bool": {"filter": parts}}

    def _any_of(self, parts: Sequence[Predicate]) -> Query | None:
        """Every alternative must be narrow; tests on one field become few clauses."""
        clauses: list[Query] = []
        texts: dict[Indexed, list[Pattern]] = {}
        terms: dict[str, list[Any]] = {}
        left_out: dict[str, None] = {}
        for part in _flat(parts):
            if not isinstance(part, Test):
                query = self.upper(part)
                if query is None:
                    return None
                clauses.append(query)
                continue
            places = self._layout(part.field) if part.field is not None else ()
            if not places:
                return None
            for indexed in places:
                made = UPPER.get((part.op, indexed.family))
                found = made(part, indexed) if made else None
                if found is None:
                    return None
                if isinstance(found, dict) and indexed.family in _TYPED:
                    left_out.update(dict.fromkeys(indexed.ignored))
                if isinstance(found, list):
                    texts.setdefault(indexed, []).extend(found)
                elif (
                    "term" in found
                    and len(found) == 1
                    and not isinstance(found["term"].get(indexed.path), dict)
                ):
                    terms.setdefault(indexed.path, []).append(found["term"][indexed.path])
                else:
                    clauses.append(found)
        for path, values in terms.items():
            distinct = list(dict.fromkeys(values))
            clauses.append(
                {"term": {path: distinct[0]}} if len(distinct) == 1 else {"terms": {path: distinct}}
            )
        for indexed, patterns in texts.items():
            clauses.append(text_query(indexed, patterns))
        if left_out:
            clauses.append({"terms": {"_ignored": list(left_out)}})
        return any_of(clauses)


_TYPED = frozenset({Family.LONG, Family.DOUBLE, Family.IP, Family.BOOLEAN})
"""Kinds of index that may leave out a value of another form, where the index is not ours."""


def _flat(parts: Iterable[Predicate]) -> Iterable[Predicate]:
    for part in parts:
        if isinstance(part, Or):
            yield from _flat(part.parts)
        else:
            yield part


# other kinds


def _address(test: Test, indexed: Indexed) -> Query | None:
    """Single addresses: whatever text names the same address is the same term."""
    try:
        return {"term": {indexed.path: str(ipaddress.ip_address(canonical(test.operand)))}}
    except ValueError:
        return None


def _network(test: Test, indexed: Indexed) -> Query | None:
    try:
        return {"term": {indexed.path: str(network(test.operand))}}
    except ValueError:
        return None


def _octets(test: Test, indexed: Indexed) -> Query | None:
    """The beginning of an address in whole parts, `192.168.`, is a network; so only IPv4 is written."""
    if not _OCTETS.fullmatch(canonical(test.operand)):
        return None
    parts = canonical(test.operand)[:-1].split(".")
    address = ".".join([*parts, *["0"] * (4 - len(parts))])
    try:
        return {"term": {indexed.path: str(ipaddress.ip_network(f"{address}/{8 * len(parts)}"))}}
    except ValueError:
        return None


def _number(test: Test, indexed: Indexed) -> Query | None:
    """Equality with a whole number: every text of that number is indexed as that number."""
    literal = canonical(test.operand)
    return {"term": {indexed.path: int(literal)}} if _WHOLE.fullmatch(literal) else None


_BOUND = {Op.LT: "lte", Op.LTE: "lte", Op.GT: "gte", Op.GTE: "gte"}


def _whole_range(test: Test, indexed: Indexed) -> Query | None:
    """A fraction is indexed without its fraction, so the bound loses it as well, and is included."""
    bound = test.operand
    if isinstance(bound, str) or not math.isfinite(bound) or abs(bound) >= _LONGEST:
        return None
    return {"range": {indexed.path: {_BOUND[test.op]: int(bound)}}}


def _range(test: Test, indexed: Indexed) -> Query | None:
    bound = test.operand
    if isinstance(bound, str) or not math.isfinite(bound):
        return None
    return {"range": {indexed.path: {_BOUND[test.op]: float(bound)}}}


def _boolean(test: Test, indexed: Indexed) -> Query | None:
    literal = fold(canonical(test.operand))
    return {"term": {indexed.path: literal}} if literal in {"true", "false"} else None


def _true(test: Test, indexed: Indexed) -> Query | None:
    """Not false: to the server, an empty text is false too."""
    return _boolean(test, indexed) if fold(canonical(test.operand)) == "true" else None


def _exists(_: Test, indexed: Indexed) -> Query | None:
    """A value that was left out is one too."""
    if not indexed.present:
        return None
    return any_of([{"exists": {"field": indexed.present}}, *indexed.left_out])


def _null(_: Test, indexed: Indexed) -> Query | None:
    return {"bool": {"must_not": [{"exists": {"field": indexed.present}}]}} if indexed.present else None


def _absent(_: Test, indexed: Indexed) -> Query | None:
    return any_of(indexed.left_out)


Made = Query | list[Pattern] | None
_HOLDING = [family for family in Family if family is not Family.ABSENT]
UPPER: dict[tuple[Op, Family], Callable[[Test, Indexed], Made]] = {
    **{
        (op, family): literal_patterns
        for family in (Family.KEYWORD, Family.FLATTENED)
        for op in (Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH)
    },
    **{(Op.WILDCARD, family): wildcard_patterns for family in (Family.KEYWORD, Family.FLATTENED)},
    **{(Op.REGEX, family): regex_patterns for family in (Family.KEYWORD, Family.FLATTENED)},
    **{(Op.CIDR, family): network_patterns for family in (Family.KEYWORD, Family.FLATTENED)},
    (Op.EQUALS, Family.IP): _address,
    (Op.CIDR, Family.IP): _network,
    (Op.STARTSWITH, Family.IP): _octets,
    (Op.EQUALS, Family.LONG): _number,
    (Op.EQUALS, Family.BOOLEAN): _boolean,
    **{(op, Family.LONG): _whole_range for op in _BOUND},
    **{(op, Family.DOUBLE): _range for op in _BOUND},
    **{(Op.EXISTS, family): _exists for family in _HOLDING},
    **{(Op.NULL, family): _null for family in _HOLDING},
    **{(op, Family.ABSENT): _absent for op in Op if op not in {Op.NULL, Op.FIELDREF}},
}
"""What narrows a search down: a test on a kind of index to its query, or to patterns of text."""


def _same_text(test: Test, indexed: Indexed) -> Query | None:
    """A value that is the operand but for the case of ASCII letters is equal; fractions have two writings."""
    literal = canonical(test.operand)
    doubtful = PART_OF_NUMBER.fullmatch(fold(literal)) and not ONE_WRITING.fullmatch(literal)
    if test.cased or not literal or not literal.isascii() or doubtful or not indexed.whole:
        return None
    if len(literal) > MAX_OPERAND:  # server 8 finds it too complex to look for in either case
        return None
    return {"term": {indexed.whole: {"value": literal, "case_insensitive": True}}}


def _within(test: Test, indexed: Indexed) -> Query | None:
    """IPv4 alone: to the server, IPv4 lies within some networks of IPv6."""
    query = _network(test, indexed)
    return query if query is not None and network(test.operand).version == 4 else None


def _present(_: Test, indexed: Indexed) -> Query | None:
    return {"exists": {"field": indexed.present}} if indexed.present else None


LOWER_BOUNDS: dict[tuple[Op, Family], Callable[[Test, Indexed], Query | None]] = {
    (Op.EQUALS, Family.KEYWORD): _same_text,
    (Op.EQUALS, Family.FLATTENED): _same_text,
    (Op.CIDR, Family.IP): _within,
    (Op.EQUALS, Family.BOOLEAN): _true,
    **{(Op.EXISTS, family): _present for family in _HOLDING},
}
"""What may stand under a negation: a test on a kind of index to a query that finds only what passes it."""
