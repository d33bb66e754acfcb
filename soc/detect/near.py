"""Near misses: what in a value would have to be otherwise for a test to be true.

For people who ask why their rule did not fire. Only what is certain is said: each answer is a test that was
tried on the value.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from soc.detect.predicate import Op, Test, Verdict, as_number, evaluate_value
from soc.detect.text import canonical, fold
from soc.event import values_of

_TEXT = (Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH, Op.WILDCARD)


def near_miss(test: Test, event: Mapping[str, Any]) -> str:
    """Why a false test of one field is nearly true; "" when it is not."""
    if test.field is None:
        return ""
    for value in values_of(event, test.field):
        for why in _reasons(test, canonical(value)):
            return why
    return ""


def _true(test: Test, value: str) -> bool:
    return evaluate_value(test, value) is Verdict.TRUE


def _reasons(test: Test, value: str) -> Iterator[str]:
    if test.op is Op.REGEX:
        yield from _regex(test, value)
    elif test.op in _TEXT:
        yield from _text(test, value)
        if isinstance(test.operand, str):
            yield from _literal(test, test.operand, value)


def _regex(test: Test, value: str) -> Iterator[str]:
    for flag, why in (
        ("i", "upper and lower case differ: `re|i` would match"),
        ("s", "`.` does not match a line end: `re|s` would match"),
        ("m", "`^` and `$` hold for the whole text: `re|m` would match"),
    ):
        changed = Test(test.field, Op.REGEX, test.operand, flags="".join(sorted({*test.flags, flag})))
        if flag not in test.flags and _true(changed, value):
            yield why


def _with(test: Test, change: Callable[[str], str]) -> Test:
    """The test with its literals changed."""
    operand = test.operand
    if isinstance(operand, tuple):
        operand = tuple(part if part is None else change(part) for part in operand)
    else:
        operand = change(str(operand))
    return Test(test.field, test.op, operand, test.cased, test.flags)


def _text(test: Test, value: str) -> Iterator[str]:
    if test.cased and _true(Test(test.field, test.op, test.operand), value):
        yield "upper and lower case differ (`cased`)"
    if _true(_with(test, _slashes), _slashes(value)):
        yield "path separators differ: \\ and /"
    if _true(_with(test, _bare), _bare(value)):
        yield "accents differ"
    if _true(_with(test, _squeezed), _squeezed(value)):
        yield "blanks differ"
    if _true(test, value.strip().strip("\"'")):
        yield "blanks or quotes stand around the value"


def _slashes(text: str) -> str:
    return text.replace("\\", "/")


def _bare(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", fold(text)) if not unicodedata.combining(c))


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _literal(test: Test, operand: str, value: str) -> Iterator[str]:
    if "*" in operand and (operand.count("*") < len(operand)):
        parts = ("", *operand.split("*"), "") if test.op is Op.CONTAINS else tuple(operand.split("*"))
        if test.op is Op.STARTSWITH:
            parts = (*parts, "")
        elif test.op is Op.ENDSWITH:
            parts = ("", *parts)
        if _true(Test(test.field, Op.WILDCARD, parts, test.cased), value):
            yield "its * is plain (`\\*`): `\\\\*` is a backslash and any text"
    if test.op is Op.EQUALS and (number := as_number(operand)) is not None and as_number(value) == number:
        yield "the same number, written otherwise"
    if test.op is not Op.CONTAINS and operand and _true(Test(test.field, Op.CONTAINS, operand), value):
        where = {
            Op.EQUALS: "it is only a part of the value: `contains` would match",
            Op.STARTSWITH: "it stands elsewhere in the value: `contains` would match",
            Op.ENDSWITH: "it stands elsewhere in the value: `contains` would match",
        }
        yield where[test.op]
    if test.op is Op.EQUALS and len(value) >= 4 and _true(Test(None, Op.CONTAINS, value), operand):
        yield "the value is only a part of what the rule asks for"
