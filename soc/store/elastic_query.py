"""A query that returns at least every event on which a predicate is true or undecided; the predicate decides.

Elasticsearch is never asked what a predicate means. `UPPER` lists the pairs of (test, kind of index) that may
narrow a search down, each with its test on a real server; every other test is "all events" (None here). A
`Layout` says how an index holds a field: our own, or that of others (`soc.store.elastic_layout`).

Text is looked for by regular expressions on the terms of a keyword field, many values of one field in one
expression. Where the server and our fold differ, the expression is wider: `s` is also `ſ`, `k` the Kelvin
sign, `;` and backquote have a second form under normal form C. A letter beyond ASCII may be composed or not,
so it is any text. Values longer than the index holds are found by `_ignored`.

A negation needs the opposite bound: what the server finds must certainly be true. `LOWER_BOUNDS` lists those
pairs; any other negation is "all events" too.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from soc.detect.literals import required
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, network
from soc.detect.regex import PatternError, compiled
from soc.detect.text import canonical, fold
from soc.event import timestamp
from soc.store.elastic_schema import LOWER, OTHER, OVERLONG, UNINDEXED, WIDEN, event_fields

Query = dict[str, Any]

MATCH_ALL: Query = {"match_all": {}}
MATCH_NONE: Query = {"match_none": {}}
MAX_OPERAND = 200
"""Longer literals are cut down to this many characters (a part of a literal is an upper bound too)."""

MAX_CLAUSES = 400
"""Leaves of a query. A node refuses more than 1,024 or more, by its memory."""

MAX_BYTES = 48_000
"""Size of a query as JSON. Many long patterns at once once killed a node with 768 MB of heap."""

MAX_EXPRESSION = 900
"""Characters of one regular expression; a server takes 1,000 unless told otherwise."""

LONG_LIST = 4_000
"""Characters of literals of one field from which on each is cut to `SHORT_LITERAL`."""

SHORT_LITERAL = 16

MAX_TERMS = 30
"""Whole values that are asked for one by one where they cannot be put together."""

_SECOND_FORMS = {"s": "ſ", "k": "\u212a", ";": "\u037e", "`": "\u1fef"}
"""ASCII characters that another code point folds to (all of them: a test goes through Unicode)."""

_LOOSE_I = "[i\u0130\u0131]"
"""Ignoring case, some engines of regular expressions take these for `i`."""

_NUMBERS = r"-?[0-9]+(\.[0-9]+([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+|[0-9]{18})|-0"
"""JSON numbers whose text in the index may differ from that which rules compare (5.0 is "5", 1e2 "100")."""

_PART_OF_NUMBER = re.compile(r"[+-]?[0-9]*\.?[0-9]*(e[+-]?[0-9]*)?|i?nf?|i|n?an?", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_ONE_WRITING = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)
_PLAIN_NAME = re.compile(r"[\w@.\-]+", re.ASCII)
_OCTETS = re.compile(r"((?:[0-9]{1,3}\.){1,3})", re.ASCII)
_LONGEST = 2**63 - 1


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


def _bearable(query: Query) -> bool:
    return leaves(query) <= MAX_CLAUSES and size(query) <= MAX_BYTES


class _Pattern(NamedTuple):
    """Text to look for: an expression that fits the whole of it, and what may stand before and after.

    `literal`: the folded text when it is nothing but that. `gap`: any text stands within.
    """

    expression: str
    before: bool
    after: bool
    literal: str | None = None
    gap: bool = False
    number: bool = False


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
        texts: dict[Indexed, list[_Pattern]] = {}
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
            clauses.append(_text_query(indexed, patterns))
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


# text


def _literal(text: str, *, loose_i: bool = False) -> tuple[str, bool]:
    """A folded literal as an expression that fits every text which folds to it; whether it has a gap."""
    out: list[str] = []
    gap = False
    for char in text:
        if not char.isascii():
            if not out or out[-1] != ".*":
                out.append(".*")
            gap = True
        elif char in _SECOND_FORMS:
            out.append(f"[{char}{_SECOND_FORMS[char]}]")
        elif loose_i and char == "i":
            out.append(_LOOSE_I)
        else:
            out.append(char if char.isalnum() else "\\" + char)
    return "".join(out), gap


def _ascii(text: str) -> int:
    return sum(char.isascii() for char in text)


def _ends_of(op: Op) -> tuple[bool, bool]:
    """Whether any text may stand before and after the operand."""
    return op in {Op.CONTAINS, Op.ENDSWITH}, op in {Op.CONTAINS, Op.STARTSWITH}


def _text(test: Test, indexed: Indexed) -> list[_Pattern] | None:
    """Tests of a literal, cased or not: what passes holds the literal under the fold."""
    literal = fold(canonical(test.operand))
    before, after = _ends_of(test.op)
    if len(literal) > MAX_OPERAND:
        literal, before, after = _shortened(literal, before, after, MAX_OPERAND)
    if _ascii(literal) < (2 if before and after else 1):
        # next to everything has one letter; an empty value can be asked for where it is a term
        empty = not literal and test.op is Op.EQUALS and indexed.family is Family.KEYWORD
        return [_Pattern("", False, False, "")] if empty else None
    return [_pattern(literal, before, after, indexed)]


def _shortened(literal: str, before: bool, after: bool, length: int) -> tuple[str, bool, bool]:
    """A part of a literal, and whether other text may then stand before and after it."""
    if before:  # the end of a path says more than its beginning
        return literal[-length:], True, after
    return literal[:length], False, True


def _pattern(literal: str, before: bool, after: bool, indexed: Indexed, *, loose_i: bool = False) -> _Pattern:
    expression, gap = _literal(literal, loose_i=loose_i)
    number = indexed.numbers and _PART_OF_NUMBER.fullmatch(literal) is not None
    return _Pattern(expression, before, after, None if gap or loose_i else literal, gap, number)


def _wildcard(test: Test, indexed: Indexed) -> list[_Pattern] | None:
    """A wildcard operand. One character under the fold may be several in the index, so `?` is any text."""
    parts: tuple[str | None, ...] = test.operand
    if sum(len(p or "?") for p in parts) > MAX_OPERAND // 2:
        longest = max((fold(p) for p in parts if p), key=_ascii, default="")[:MAX_OPERAND]
        return [_pattern(longest, True, True, indexed)] if _ascii(longest) >= 2 else None
    out, previous, count = "", None, 0  # the expression, the part before, fixed characters
    for number, part in enumerate(parts):
        if part is None:
            out += ".+"
        else:
            out += (".*" if number and previous is not None else "") + _literal(fold(part))[0]
            count += _ascii(fold(part))
        previous = part
    if count < 2:
        return None
    text = fold("".join(p or "" for p in parts))
    number = indexed.numbers and _PART_OF_NUMBER.fullmatch(text) is not None
    return [_Pattern(out, False, False, None, gap=True, number=number)]


def _regex(test: Test, indexed: Indexed) -> list[_Pattern] | None:
    """Literals of which one occurs wherever the expression is found.

    Not for the engine that can run out of time: it might do so on values without them.
    """
    try:
        if compiled(test.operand, test.flags).engine != "re2":
            return None
    except PatternError:
        return None
    found = required(test.operand)
    if not found or any(len(literal) < 2 for literal in found):
        return None
    return [_pattern(text[-MAX_OPERAND // 2 :], True, True, indexed, loose_i=True) for text in found]


def _text_query(indexed: Indexed, patterns: Sequence[_Pattern]) -> Query:
    """One of the patterns, or a value that was too long to be indexed."""
    flattened = indexed.family is Family.FLATTENED
    whole = [p for p in patterns if p.literal is not None and _one_term(p, indexed)]
    if flattened and len(whole) > MAX_TERMS:
        whole = []
    clauses = _terms(indexed, [p.literal or "" for p in whole])
    terms = set(whole)
    rest = [p for p in patterns if p not in terms]
    if sum(len(p.expression) for p in rest) > LONG_LIST:
        rest = [_cut(p) for p in rest]
    expressions = list(dict.fromkeys(_expressions(rest)))
    if any(p.number for p in rest):
        expressions.append(_NUMBERS)
    path = indexed.root if flattened else indexed.path
    folding = {} if indexed.lowered else {"case_insensitive": True}
    looked_for: list[Query] = [
        {"regexp": {path: {"value": e, "flags": "NONE", **folding}}} for e in expressions
    ]
    if flattened and looked_for:
        # the pattern is found under any name: at least there must be this name
        looked_for = [{"bool": {"filter": [any_of(looked_for), {"exists": {"field": indexed.present}}]}}]
    return any_of([*clauses, *looked_for, *indexed.left_out])


def _one_term(pattern: _Pattern, indexed: Indexed) -> bool:
    """Whether a literal is a term as it stands, but for the case of ASCII letters."""
    text = pattern.literal or ""
    if pattern.before or pattern.after or _SECOND_FORMS.keys() & set(text):
        return False
    if pattern.number:
        return indexed.family is Family.FLATTENED and _ONE_WRITING.fullmatch(text) is not None
    return True


def _cut(pattern: _Pattern) -> _Pattern:
    literal = pattern.literal
    if literal is None or len(literal) <= SHORT_LITERAL:
        return pattern
    short, before, after = _shortened(literal, pattern.before, pattern.after, SHORT_LITERAL)
    return _Pattern(_literal(short)[0], before, after, short, False, pattern.number)


def _terms(indexed: Indexed, words: Sequence[str]) -> list[Query]:
    """Clauses for whole values. Our own index holds a number as its shortest text, with `.0` or without."""
    distinct = list(dict.fromkeys(words))
    if indexed.family is Family.FLATTENED:
        numbers = [w for w in distinct if _ONE_WRITING.fullmatch(w)]
        texts = [w for w in distinct if w not in numbers]
        written = [*numbers, *(f"{w}.0" for w in numbers), *(["-0.0"] if "0" in numbers else [])]
        found: list[Query] = [{"terms": {indexed.path: written}}] if written else []
        return found + [_any_case(indexed.path, text) for text in texts]
    if indexed.lowered:
        return [{"terms": {indexed.path: distinct}}] if distinct else []
    if len(distinct) == 1:
        return [_any_case(indexed.path, distinct[0])]
    patterns = [_Pattern(_literal(w)[0], False, False, w) for w in distinct]
    return [
        {"regexp": {indexed.path: {"value": e, "flags": "NONE", "case_insensitive": True}}}
        for e in _expressions(patterns)
    ]


def _any_case(path: str, text: str) -> Query:
    return {"term": {path: {"value": text, "case_insensitive": True}}}


def _expressions(patterns: Sequence[_Pattern]) -> list[str]:
    """Few expressions for many patterns. Those with gaps stand alone: together they could explode."""
    out: list[str] = []
    groups: dict[tuple[bool, bool], list[str]] = {}
    for pattern in patterns:
        if pattern.gap:
            out.append(_framed([pattern.expression], pattern.before, pattern.after))
        else:
            groups.setdefault((pattern.before, pattern.after), []).append(pattern.expression)
    for (before, after), bodies in groups.items():
        some: list[str] = []
        length = 0
        for body in dict.fromkeys(bodies):
            if some and length + len(body) > MAX_EXPRESSION:
                out.append(_framed(some, before, after))
                some, length = [], 0
            some.append(body)
            length += len(body) + 1
        out.append(_framed(some, before, after))
    return out


def _framed(bodies: Sequence[str], before: bool, after: bool) -> str:
    body = bodies[0] if len(bodies) == 1 else f"({'|'.join(bodies)})"
    return (".*" if before else "") + body + (".*" if after else "")


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


def _network_as_text(test: Test, indexed: Indexed) -> list[_Pattern] | None:
    """Text of an IPv4 address within a network: its whole parts, or the IPv6 form of an IPv4 address."""
    try:
        net = network(test.operand)
    except ValueError:
        return None
    whole = net.prefixlen // 8
    if net.version != 4 or not whole:
        return None
    start = ".".join(str(net.network_address).split(".")[:whole]) + ("." if whole < 4 else "")
    return [_pattern(text, True, True, indexed)._replace(number=False) for text in (start, "ffff:")]


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


Made = Query | list[_Pattern] | None
_HOLDING = [family for family in Family if family is not Family.ABSENT]
UPPER: dict[tuple[Op, Family], Callable[[Test, Indexed], Made]] = {
    **{
        (op, family): _text
        for family in (Family.KEYWORD, Family.FLATTENED)
        for op in (Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH)
    },
    **{(Op.WILDCARD, family): _wildcard for family in (Family.KEYWORD, Family.FLATTENED)},
    **{(Op.REGEX, family): _regex for family in (Family.KEYWORD, Family.FLATTENED)},
    **{(Op.CIDR, family): _network_as_text for family in (Family.KEYWORD, Family.FLATTENED)},
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
    doubtful = _PART_OF_NUMBER.fullmatch(fold(literal)) and not _ONE_WRITING.fullmatch(literal)
    if test.cased or not literal or not literal.isascii() or doubtful or not indexed.whole:
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
