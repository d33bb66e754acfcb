"""A query that returns at least every event on which a predicate is true; the predicate decides on the rest.

Elasticsearch is never asked what a predicate means. Each kind of test that is used to narrow down stands in
`_TESTS` with the reason why its query is an upper bound; every other test is "all events" (None here).

Text is looked for in the lowercase sub-field, in which the server lowers each code point by itself. Our fold
differs from that for a few characters: a value holding `ſ` or the Kelvin sign folds to `s` or `k`, and
normal form C turns a few signs into `;` and backquote. So these letters of an operand become `?`, any one
character. Operands with other than ASCII characters are not used. Values longer than the index holds are
found by `_ignored`.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, network
from soc.detect.text import canonical, fold
from soc.event import timestamp
from soc.store.elastic_schema import LOWER, WIDEN, event_fields

Query = dict[str, Any]

MATCH_ALL: Query = {"match_all": {}}
MAX_OPERAND = 200
"""Longer literals are cut down to this many characters (a part of a literal is an upper bound too)."""

MAX_CLAUSES = 500
"""More alternatives than this are not worth a query."""

_DIFFERENT = frozenset("ks;`")
_SPECIAL = re.compile(r"([\\*?])")
_WHOLE = re.compile(r"-?[0-9]{1,18}")


def between(since: datetime | None, until: datetime | None) -> list[Query]:
    """Filters for `since <= @timestamp < until`, in the milliseconds that the field keeps: an upper bound."""
    bounds: dict[str, str] = {}
    if since is not None:
        bounds["gte"] = timestamp(since)[:23] + "Z"
    if until is not None:
        bounds["lte"] = timestamp(until)[:23] + "Z"
    return [{"range": {"@timestamp": bounds}}] if bounds else []


def narrowing(predicate: Predicate) -> Query | None:
    """The query for events that may satisfy the predicate; None when it cannot be narrowed down."""
    query = _query(predicate)
    if query is None:
        return None
    return {"bool": {"should": [query, {"term": {WIDEN: True}}], "minimum_should_match": 1}}


def _query(predicate: Predicate) -> Query | None:
    if isinstance(predicate, Test):
        return _test(predicate)
    if isinstance(predicate, Not):
        return None  # an upper bound, negated, is a lower bound
    if isinstance(predicate, And):
        parts = [q for q in map(_query, predicate.parts) if q is not None]
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else {"bool": {"filter": parts}}
    return _any_of(predicate)


def _any_of(predicate: Or) -> Query | None:
    if len(predicate.parts) > MAX_CLAUSES:
        return None
    alternatives: list[Query] = []
    for part in predicate.parts:
        query = _query(part)
        if query is None:
            return None
        alternatives.append(query)
    if not alternatives:
        return {"match_none": {}}
    return {"bool": {"should": alternatives, "minimum_should_match": 1}}


def _test(test: Test) -> Query | None:
    kind = event_fields().get(test.field or "")
    if kind is None or test.field is None:
        return None
    if kind == "lowered":
        return _text(test, f"{test.field}.{LOWER}")
    if kind == "keyword":
        return _exact_text(test, test.field)
    if kind == "ip":
        return _ip(test, test.field)
    if kind == "long":
        return _long(test, test.field)
    return None


def _or_ignored(query: Query, field: str) -> Query:
    """The query, or a value that was too long to be indexed; `_ignored` may name field or sub-field."""
    ignored = {"terms": {"_ignored": sorted({field, field.removesuffix(f".{LOWER}")})}}
    return {"bool": {"should": [query, ignored], "minimum_should_match": 1}}


def _pattern(literal: str) -> str | None:
    """A literal in a wildcard query on the lowercase sub-field; None when it cannot be said there."""
    text = fold(literal)
    if not text.isascii():
        return None
    return "".join("?" if c in _DIFFERENT else _SPECIAL.sub(r"\\\1", c) for c in text[:MAX_OPERAND])


def _text(test: Test, field: str) -> Query | None:
    """Text tests, cased or not: the lowercase form of a value that passes contains that of the operand."""
    if test.op is Op.WILDCARD:
        pattern = _parts(test.operand)
    elif test.op in {Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH}:
        literal = canonical(test.operand)
        middle = _pattern(literal[-MAX_OPERAND:] if test.op is Op.ENDSWITH else literal)
        cut = len(literal) > MAX_OPERAND
        before = "*" if test.op in {Op.CONTAINS, Op.ENDSWITH} else ""
        after = "*" if test.op in {Op.CONTAINS, Op.STARTSWITH} or (cut and test.op is Op.EQUALS) else ""
        pattern = None if middle is None else before + middle + after
    else:
        return None
    if pattern is None or not pattern.strip("*?"):
        return None
    return _or_ignored({"wildcard": {field: {"value": pattern}}}, field)


def _parts(parts: tuple[str | None, ...]) -> str | None:
    """A wildcard operand (see `Op.WILDCARD`) as a pattern."""
    if sum(len(p or "?") for p in parts) > MAX_OPERAND:
        return None
    out, before = "", False
    for part in parts:
        if part is None:
            out, before = out + "?", False
            continue
        middle = _pattern(part)
        if middle is None:
            return None
        out, before = out + ("*" if before else "") + middle, True
    return out


def _exact_text(test: Test, field: str) -> Query | None:
    """Equality on a keyword: server and fold agree on ASCII letters; only `_DIFFERENT` have a second form."""
    if test.op is not Op.EQUALS:
        return None
    literal = fold(canonical(test.operand))
    if not literal or not literal.isascii() or len(literal) > MAX_OPERAND:
        return None
    if not _DIFFERENT.intersection(literal):
        return _or_ignored({"term": {field: {"value": literal, "case_insensitive": True}}}, field)
    pattern = "".join("?" if c in _DIFFERENT else _SPECIAL.sub(r"\\\1", c) for c in literal)
    if not pattern.strip("?"):
        return None
    return _or_ignored({"wildcard": {field: {"value": pattern, "case_insensitive": True}}}, field)


def _ip(test: Test, field: str) -> Query | None:
    """Networks and single addresses: whatever text names the same address is the same term."""
    import ipaddress

    try:
        if test.op is Op.CIDR:
            return {"term": {field: str(network(test.operand))}}
        if test.op is Op.EQUALS:
            return {"term": {field: str(ipaddress.ip_address(canonical(test.operand)))}}
    except ValueError:
        return None
    return None


def _long(test: Test, field: str) -> Query | None:
    """Equality with a whole number: every text of that number is indexed as that number."""
    literal = canonical(test.operand) if test.op is Op.EQUALS else ""
    return {"term": {field: int(literal)}} if _WHOLE.fullmatch(literal) else None
