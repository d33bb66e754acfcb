"""Queries and conditions with variables in them, in the query language (`soc.query`).

A value never becomes part of the text of a query: the text is parsed with a stand-in for each variable,
and the values are put into the finished predicate. So whatever a value holds, it is only compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from soc.detect.predicate import NOTHING, Not, Op, Or, Predicate, Test, Verdict, evaluate, tests
from soc.playbook.template import UnsetVariableError
from soc.playbook.values import shown

_ORDER = (Op.LT, Op.LTE, Op.GT, Op.GTE)
_VARIABLE = re.compile(r"\{\{\s*([a-z][a-z0-9_]{0,63})\s*\}\}")
_SHOWN = re.compile(rf'"{_VARIABLE.pattern}"|{_VARIABLE.pattern}')
_IN_TEXT = re.compile(r"socvariable([0-9]+)stand")
_STAND_INS: tuple[Callable[[int], str], ...] = (
    lambda n: f"socvariable{n}stand",
    lambda n: f"0.251.{n // 256}.{n % 256}",
    lambda n: f"{771_000_000 + n}",
    lambda n: f"1907-03-05T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z",
)
"""What stands for the n-th variable while a query is parsed: text, and where a field wants another kind of
value, an address, a number or a time."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A predicate with stand-ins; `names` are the variables in order, `known` leads from an operand that is
    a stand-in to its number."""

    predicate: Predicate
    names: tuple[str, ...]
    known: Mapping[str, int]


def parse(text: str) -> Parsed:
    """The predicate of a query whose variables have no values yet.

    Raises `soc.query.QueryError` for what is not a query.
    """
    from soc import query

    found = list(_VARIABLE.finditer(text))
    kinds = [0] * len(found)
    while True:
        filled, spans = _substituted(text, found, kinds)
        try:
            predicate = query.parse(filled)
        except query.QueryError as error:
            wrong = _at_column(spans, error.column)
            if wrong is None or kinds[wrong] + 1 == len(_STAND_INS):
                column = error.column
                raise query.QueryError(error.reason, text, _original(found, spans, column)) from None
            kinds[wrong] += 1
            continue
        if any(test.field and _IN_TEXT.search(test.field) for test in tests(predicate)):
            raise query.QueryError("a variable cannot stand for a field's name", text, 1)
        stand_ins = {_STAND_INS[kind](number): number for number, kind in enumerate(kinds)}
        return Parsed(predicate, tuple(match[1] for match in found), stand_ins)


def _substituted(
    text: str, found: list[re.Match[str]], kinds: list[int]
) -> tuple[str, list[tuple[int, int]]]:
    """The text with its stand-ins, and where each of them stands in it."""
    out, spans, at = "", [], 0
    for number, (match, kind) in enumerate(zip(found, kinds, strict=True)):
        out += text[at : match.start()]
        stand_in = _STAND_INS[kind](number)
        spans.append((len(out), len(out) + len(stand_in)))
        out += stand_in
        at = match.end()
    return out + text[at:], spans


def _at_column(spans: list[tuple[int, int]], column: int) -> int | None:
    """The stand-in that an error points at; a quote may stand before it."""
    return next((n for n, (start, end) in enumerate(spans) if start <= column <= end + 1), None)


def _original(found: list[re.Match[str]], spans: list[tuple[int, int]], column: int) -> int:
    """A column of the text with stand-ins as one of the text with variables."""
    shift = 0
    for match, (start, end) in zip(found, spans, strict=True):
        if column - 1 >= end:
            shift += (match.end() - match.start()) - (end - start)
    return max(column + shift, 1)


def bind(text: str, variables: Mapping[str, Any]) -> Predicate:
    """The predicate of a query with the values of its variables.

    A variable that holds a list stands for any of its items. Raises `UnsetVariableError` for a variable
    without a value, and as `parse`.
    """
    parsed = parse(text)
    for name in parsed.names:
        if name not in variables:
            raise UnsetVariableError(name)
    return _bound(parsed.predicate, parsed.known, [variables[name] for name in parsed.names])


def _bound(predicate: Predicate, known: Mapping[str, int], values: list[Any]) -> Predicate:
    if isinstance(predicate, Test):
        return _bound_test(predicate, known, values)
    if isinstance(predicate, Not):
        return Not(_bound(predicate.part, known, values))
    return type(predicate)(tuple(_bound(part, known, values) for part in predicate.parts))


def _bound_test(test: Test, known: Mapping[str, int], values: list[Any]) -> Predicate:
    operand = test.operand
    if isinstance(operand, tuple):
        parts = tuple(part if part is None else _filled(part, values) for part in operand)
        return replace(test, operand=parts)
    if isinstance(operand, bool) or not isinstance(operand, (str, int)):
        return test
    number = _number_of(str(operand), known)
    if number is None:
        return replace(test, operand=_filled(operand, values)) if isinstance(operand, str) else test
    value = values[number]
    items = value if isinstance(value, list) else [value]
    found = tuple(_with_value(test, item) for item in items)
    return found[0] if len(found) == 1 else (Or(found) if found else NOTHING)


def _number_of(operand: str, known: Mapping[str, int]) -> int | None:
    if operand in known:
        return known[operand]
    if operand.endswith(".000000Z"):  # a time, as the parser writes it
        return known.get(operand.replace(".000000Z", "Z"))
    return None


def _with_value(test: Test, value: Any) -> Test:
    if test.op in _ORDER and isinstance(value, int) and not isinstance(value, bool):
        return replace(test, operand=value)
    return replace(test, operand=shown(value))


def _filled(text: str, values: list[Any]) -> str:
    return _IN_TEXT.sub(lambda m: shown(values[int(m[1])]), text)


def shown_query(text: str, variables: Mapping[str, Any]) -> str:
    """A query for people, with values quoted where they are known; not for parsing again."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in variables:
            return match[0]
        items = variables[name]
        items = items if isinstance(items, list) else [items]
        words = [_quoted(shown(item)) for item in items] or ["(nothing)"]
        return words[0] if len(words) == 1 else "(" + " or ".join(words) + ")"

    return _SHOWN.sub(value, text)


def _quoted(text: str) -> str:
    if re.fullmatch(r"[\w.@-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def variables_in(text: str) -> set[str]:
    """The variables that a condition speaks of: the fields of its tests, and those in `{{ … }}`.

    A bare word, which speaks of no variable, is the empty name. Raises as `parse`.
    """
    parsed = parse(text)
    return {test.field or "" for test in tests(parsed.predicate)} | set(parsed.names)


def decide(text: str, variables: Mapping[str, Any]) -> Verdict:
    """Whether a condition holds for the values of the variables; one without a value fits nothing."""
    flat = {name: _comparable(value) for name, value in variables.items()}
    return evaluate(bind(text, variables), flat)


def _comparable(value: Any) -> Any:
    if isinstance(value, bool):
        return ["true", "yes"] if value else ["false", "no"]
    return value
