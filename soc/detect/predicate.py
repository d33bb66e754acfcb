"""What a rule, a query or a filter means: a tree of tests on one event, and its plain evaluation.

Sigma rules (`soc.detect.sigma`) and the query language (`soc.query`) are both compiled into this tree;
both stores and the fast matcher (`soc.detect.matcher`) must agree with `evaluate`, which is written to
be read, not to be fast.

Evaluation has three values. `UNDECIDED` comes from a regular expression that ran out of time and
spreads as in Kleene's strong logic: `false and undecided` is false, `true or undecided` is true.

A field that is absent, null or an empty list has no value: every test on it is false, except `NULL`.
A field with several values passes a test when any one of them does.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from soc.detect import regex as rx
from soc.detect.text import canonical, fold
from soc.event import values_of


class Verdict(StrEnum):
    """The result of a predicate on an event."""

    TRUE = "true"
    FALSE = "false"
    UNDECIDED = "undecided"


class Op(StrEnum):
    """What a test asks of a value.

    Text tests (`EQUALS` to `WILDCARD`) compare `canonical(value)` under `fold`, or exactly when the
    test is `cased`.
    """

    EQUALS = "equals"
    CONTAINS = "contains"
    STARTSWITH = "startswith"
    ENDSWITH = "endswith"
    WILDCARD = "wildcard"
    """The operand is a tuple of literal parts, between which `*` stands: `("a", "b")` is `a*b`. A None
    between two parts stands for `?`: `("a", None, "b")` is `a?b`."""
    REGEX = "regex"
    """The operand is a pattern in PCRE style, `flags` holds the letters i, m, s; found anywhere."""
    CIDR = "cidr"
    """The operand is a network, `192.0.2.0/24` or `2001:db8::/32`."""
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    """The operand is a number, compared with numbers and with text that is one; a time as
    `soc.event.timestamp` writes it, compared with times; or other text, compared as text."""
    EXISTS = "exists"
    """The field has a value. The operand is unused."""
    NULL = "null"
    """The field has no value. The operand is unused."""
    FIELDREF = "fieldref"
    """The operand is the name of another field: one value of each is equal. `flags` may say `contains`,
    `startswith` or `endswith`."""
    TIMEPART = "timepart"
    """`flags` names the part (minute, hour, day, week, month, year); the operand is its number, in UTC."""


_TEXT = frozenset({Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH})


@dataclass(frozen=True, slots=True)
class Test:
    """One test of one field; the leaf of a predicate. `field` None means: any field (a keyword search).

    The operand of a text test is kept as text, whatever it was given as: Python takes 1 and True for equal,
    and two tests that mean different things must never be.
    """

    __test__ = False  # pytest: not a class of tests

    field: str | None
    op: Op
    operand: Any = None
    cased: bool = False
    flags: str = ""

    def __post_init__(self) -> None:
        """Bring the operand of a text test into the form in which it is compared."""
        if self.op in _TEXT and type(self.operand) is not str:
            object.__setattr__(self, "operand", canonical(self.operand))


@dataclass(frozen=True, slots=True)
class And:
    """All of `parts`; true when there are none."""

    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of `parts`; false when there are none."""

    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of `part`."""

    part: Predicate


Predicate = And | Or | Not | Test
EVERYTHING = And(())
NOTHING = Or(())


def tests(predicate: Predicate) -> Iterator[Test]:
    """Every test in the tree, in order, repeated where it stands more than once."""
    if isinstance(predicate, Test):
        yield predicate
    elif isinstance(predicate, Not):
        yield from tests(predicate.part)
    else:
        for part in predicate.parts:
            yield from tests(part)


def evaluate(predicate: Predicate, event: Mapping[str, Any]) -> Verdict:
    """The meaning of a predicate on a flat event. Never raises for any value of the event."""
    if isinstance(predicate, Test):
        return evaluate_test(predicate, event)
    if isinstance(predicate, Not):
        inner = evaluate(predicate.part, event)
        return {Verdict.TRUE: Verdict.FALSE, Verdict.FALSE: Verdict.TRUE}.get(inner, inner)
    settled, other = (
        (Verdict.FALSE, Verdict.TRUE) if isinstance(predicate, And) else (Verdict.TRUE, Verdict.FALSE)
    )
    result = other
    for part in predicate.parts:
        verdict = evaluate(part, event)
        if verdict is settled:
            return settled
        if verdict is Verdict.UNDECIDED:
            result = verdict
    return result


def matches(predicate: Predicate, event: Mapping[str, Any]) -> bool:
    """Whether the predicate is certainly true."""
    return evaluate(predicate, event) is Verdict.TRUE


def evaluate_test(test: Test, event: Mapping[str, Any]) -> Verdict:
    """The meaning of one test on a flat event."""
    if test.field is None:
        values = [v for name in event for v in values_of(event, name)]
    else:
        values = values_of(event, test.field)
    if test.op is Op.NULL:
        return _verdict(not values)
    if test.op is Op.EXISTS:
        return _verdict(bool(values))
    if test.op is Op.FIELDREF:
        return _verdict(any(refers(test, v, o) for v in values for o in values_of(event, test.operand)))
    result = Verdict.FALSE
    for value in values:
        verdict = evaluate_value(test, value)
        if verdict is Verdict.TRUE:
            return verdict
        if verdict is Verdict.UNDECIDED:
            result = verdict
    return result


def _verdict(truth: bool) -> Verdict:
    return Verdict.TRUE if truth else Verdict.FALSE


def evaluate_value(test: Test, value: Any) -> Verdict:
    """The meaning of a test on a single value (not for NULL, EXISTS and FIELDREF)."""
    op = test.op
    if op is Op.REGEX:
        found = rx.compiled(test.operand, test.flags).search(canonical(value))
        return Verdict.UNDECIDED if found is None else _verdict(found)
    if op is Op.CIDR:
        return _verdict(in_network(test.operand, value))
    if op in (Op.LT, Op.LTE, Op.GT, Op.GTE):
        return _verdict(compares(op, value, test.operand))
    if op is Op.TIMEPART:
        return _verdict(time_part(test.flags, value) == test.operand)
    text = canonical(value)
    if not test.cased:
        text = fold(text)
    return _verdict(text_test(op, text, folded(test.operand, test.cased)))


def text_test(op: Op, text: str, operand: Any) -> bool:
    """A text test; both sides already folded where case does not matter."""
    if op is Op.EQUALS:
        return bool(text == operand)
    if op is Op.CONTAINS:
        return operand in text
    if op is Op.STARTSWITH:
        return text.startswith(operand)
    if op is Op.ENDSWITH:
        return text.endswith(operand)
    return wildcard_matches(operand, text)


@lru_cache(maxsize=65536)
def folded(operand: Any, cased: bool) -> Any:
    """The operand of a text test in the form that `text_test` compares."""
    if isinstance(operand, tuple):
        return tuple(p if p is None or cased else fold(p) for p in operand)
    return operand if cased else fold(operand)


@lru_cache(maxsize=16384)
def _segments(parts: tuple[str | None, ...]) -> tuple[tuple[int, Any], ...]:
    """What stands between the stars of a pattern with `?`: the length of each, and its compiled form."""
    segments: list[list[str | None]] = [[]]
    for before, part in zip((None, *parts), parts, strict=False):
        if part is not None and before is not None:
            segments.append([])
        segments[-1].append(part)
    return tuple(
        (
            sum(1 if part is None else len(part) for part in segment),
            re.compile("".join("." if part is None else re.escape(part) for part in segment), re.DOTALL),
        )
        for segment in segments
    )


def wildcard_matches(parts: tuple[str | None, ...], text: str) -> bool:
    """Whether the whole text fits the parts of an `Op.WILDCARD`, without backtracking over `*`."""
    if None in parts:
        return _segments_match(_segments(parts), text)
    first, last = str(parts[0]), str(parts[-1])
    if len(parts) == 1:
        return text == first
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in parts[1:-1]:
        at = text.find(str(part), at, end)
        if at < 0:
            return False
        at += len(str(part))
    return at <= end


def _segments_match(segments: tuple[tuple[int, Any], ...], text: str) -> bool:
    """The same for segments of a fixed length: the leftmost place for each is as good as any later one."""
    (first_length, first), (last_length, last) = segments[0], segments[-1]
    if len(segments) == 1:
        return first.fullmatch(text) is not None
    at, end = first_length, len(text) - last_length
    if at > end or first.match(text) is None or last.match(text, end) is None:
        return False
    for length, pattern in segments[1:-1]:
        found = pattern.search(text, at, end)
        if found is None:
            return False
        at = found.start() + length
    return True


@lru_cache(maxsize=4096)
def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The network that a CIDR operand names; host bits may be set. Raises ValueError."""
    return ipaddress.ip_network(text, strict=False)


def in_network(text: str, value: Any) -> bool:
    """Whether a value is an address within the network `text`; an IPv4-mapped IPv6 address is IPv4."""
    try:
        address = ipaddress.ip_address(canonical(value).strip())
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    net = network(text)
    return address.version == net.version and address in net


_NUMBER = re.compile(r"[+-]?[0-9]{1,300}(?:\.[0-9]{0,300})?(?:[eE][+-]?[0-9]{1,3})?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:$|[T ])")
_NORMAL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def is_normal_time(text: str) -> bool:
    """Whether a text is a time as `soc.event.timestamp` writes it."""
    return _NORMAL_TIME.fullmatch(text) is not None


def as_number(value: Any) -> int | float | None:
    """A value as a number: numbers, and text that is one in decimal; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return int(value) if value.lstrip("+-").isdigit() else float(value)
    return None


def as_time(value: Any) -> str | None:
    """A time as `soc.event.timestamp` writes it; None for what is none. Without a zone it is UTC."""
    from datetime import UTC, datetime

    from soc.event import timestamp

    if not isinstance(value, str) or not _TIME.match(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return timestamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def compares(op: Op, value: Any, operand: Any) -> bool:
    """`value op operand`: as numbers when the operand is a number, as times when it is one as
    `soc.event.timestamp` writes it, else as text.
    """
    left: Any
    right: Any
    if isinstance(operand, str) and is_normal_time(operand):
        left, right = as_time(value), operand
        if left is None:
            return False
    elif isinstance(operand, str):
        left, right = (fold(canonical(value)), fold(operand))
    else:
        left, right = as_number(value), operand
        if left is None:
            return False
    if op is Op.LT:
        return bool(left < right)
    if op is Op.LTE:
        return bool(left <= right)
    if op is Op.GT:
        return bool(left > right)
    return bool(left >= right)


def refers(test: Test, value: Any, other: Any) -> bool:
    """Whether one value of a `FIELDREF` test agrees with one value of the field it names."""
    left, right = canonical(value), canonical(other)
    if not test.cased:
        left, right = fold(left), fold(right)
    op = {"contains": Op.CONTAINS, "startswith": Op.STARTSWITH, "endswith": Op.ENDSWITH}.get(
        test.flags, Op.EQUALS
    )
    return text_test(op, left, right)


def time_part(part: str, value: Any) -> int | None:
    """A part of a time in UTC (ISO 8601 week); None for what is no time. Without a zone it is UTC."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(canonical(value))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    if part == "week":
        return moment.isocalendar().week
    found = getattr(moment, part, None)
    return found if isinstance(found, int) else None
