"""The values of a rule: how they are read from YAML, and the tests that they become.

Between the two stand the modifiers (`soc.detect.modifiers`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from soc.detect import regex as rx
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test
from soc.detect.text import canonical
from soc.event import normalise


class ValueProblem(Exception):  # noqa: N818 - it becomes a Problem, with the place that the caller knows
    """A value that a modifier cannot be applied to: `kind` for machines, a sentence, and a next step."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.hint = kind, message, hint


class Wild(Enum):
    """A wildcard: `*` any text, `?` one character."""

    MANY = "*"
    ONE = "?"


Part = str | Wild


@dataclass(frozen=True, slots=True)
class Text:
    """Text with wildcards. `before`, `after`: any text may stand there. `octets`: each character is a byte of
    what an encoding made.
    """

    parts: tuple[Part, ...]
    cased: bool = False
    before: bool = False
    after: bool = False
    octets: bool = False

    @property
    def plain(self) -> str | None:
        """The text when it holds no wildcard, else None."""
        return "".join(p for p in self.parts if isinstance(p, str)) if not self.wild else None

    @property
    def wild(self) -> bool:
        """Whether it holds a wildcard of its own."""
        return any(isinstance(p, Wild) for p in self.parts)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression in PCRE's syntax."""

    text: str
    flags: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """The value of another field."""

    field: str
    cased: bool = False
    before: bool = False
    after: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """More or less than a number or a time (in the form of `soc.event.timestamp`)."""

    op: Op
    operand: int | float | str


@dataclass(frozen=True, slots=True)
class TimePart:
    """A part of a time that is one of some numbers."""

    unit: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """A network in CIDR notation."""

    text: str


@dataclass(frozen=True, slots=True)
class Presence:
    """The field has a value, or has none."""

    there: bool


@dataclass(frozen=True, slots=True)
class Number:
    """A number, as YAML read it."""

    number: int | float


@dataclass(frozen=True, slots=True)
class Truth:
    """A boolean."""

    truth: bool


@dataclass(frozen=True, slots=True)
class Absent:
    """`null`."""


Value = Text | Pattern | Reference | Comparison | TimePart | Network | Presence | Number | Truth | Absent

# ------------------------------------------------------------------ reading


def read(raw: Any) -> Value:
    """A value as it stands in the YAML of a rule; text is composed (NFC), as that of events is."""
    if raw is None:
        return Absent()
    if isinstance(raw, bool):
        return Truth(raw)
    if isinstance(raw, (int, float)):
        return Number(raw)
    if isinstance(raw, str):
        return Text(split_wildcards(normalise(raw)))
    raise ValueProblem("value", f"a value is expected here, not a {type(raw).__name__}")


def split_wildcards(text: str) -> tuple[Part, ...]:
    """Literals and wildcards. A backslash makes `*`, `?` and itself plain; before others it stays."""
    parts: list[Part] = []
    run: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\" and text[at + 1 : at + 2] in {"*", "?", "\\"}:
            at += 1
            run.append(text[at])
        elif char in "*?":
            if run:
                parts.append("".join(run))
                run.clear()
            parts.append(Wild(char))
        else:
            run.append(char)
        at += 1
    return (*parts, "".join(run)) if run else tuple(parts)


def as_text(value: Value, modifier: str) -> Text:
    """The value as text: numbers and booleans are their text. Raises `ValueProblem` for others."""
    if isinstance(value, Text):
        return value
    if isinstance(value, Number):
        return Text((canonical(value.number),))
    if isinstance(value, Truth):
        return Text((canonical(value.truth),))
    raise unfit(modifier, value)


_CALLED = {
    "Pattern": "a regular expression", "Reference": "the name of a field", "Comparison": "a comparison",
    "TimePart": "a part of a time", "Network": "a network", "Presence": "`exists`", "Number": "a number",
    "Truth": "true or false", "Absent": "null", "Text": "text",
}  # fmt: skip


def unfit(modifier: str, value: Value) -> ValueProblem:
    """The finding that a modifier does not apply to a value."""
    return ValueProblem("modifier", f"`{modifier}` does not apply to {_CALLED[type(value).__name__]}")


# ------------------------------------------------------------------ tests


def tests_of(name: str, values: Sequence[Value], others: Callable[[str], Sequence[str]]) -> Predicate:
    """The test that a field has one of the values. `others`: what a field that is referred to is called."""
    return any_of([_test(name, value, others) for value in values])


def any_of(parts: Sequence[Predicate]) -> Predicate:
    """One of the parts; a single one as it is."""
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


_COMPARE_WORDS = {(True, True): "contains", (False, True): "startswith", (True, False): "endswith"}


def _test(name: str, value: Value, others: Callable[[str], Sequence[str]]) -> Predicate:
    if isinstance(value, Text):
        return text_test(name, value)
    if isinstance(value, Pattern):
        return _pattern_test(name, value)
    if isinstance(value, Reference):
        word = _COMPARE_WORDS.get((value.before, value.after), "")
        return any_of([Test(name, Op.FIELDREF, o, value.cased, word) for o in others(value.field)])
    if isinstance(value, TimePart):
        return any_of([Test(name, Op.TIMEPART, n, flags=value.unit) for n in value.numbers])
    if isinstance(value, Presence):
        return Test(name, Op.EXISTS if value.there else Op.NULL)
    if isinstance(value, Comparison):
        return Test(name, value.op, value.operand)
    if isinstance(value, Network):
        return Test(name, Op.CIDR, value.text)
    if isinstance(value, Absent):
        return Test(name, Op.NULL)
    return Test(name, Op.EQUALS, canonical(value.number if isinstance(value, Number) else value.truth))


def _pattern_test(name: str | None, value: Pattern) -> Predicate:
    try:
        rx.compiled(value.text, value.flags)
    except rx.PatternError as error:
        raise ValueProblem("regex", f"invalid regular expression {value.text!r}: {error}") from None
    return Test(name, Op.REGEX, value.text, flags=value.flags)


def keyword_test(value: Value, modifiers: Sequence[str]) -> Predicate:
    """A value without a field: found somewhere in any; with `startswith`, `endswith` at its ends."""
    if isinstance(value, Pattern):
        return _pattern_test(None, value)
    if not isinstance(value, (Text, Number, Truth)):
        raise ValueProblem("keywords", f"a keyword cannot be {_CALLED[type(value).__name__]}; name a field")
    text = as_text(value, "a keyword")
    if not {"startswith", "endswith"} & set(modifiers):
        text = replace(text, before=True, after=True)
    return text_test(None, text)


def text_test(name: str | None, text: Text) -> Predicate:
    """Text with wildcards as the simplest test that means the same."""
    parts = [*[Wild.MANY] * text.before, *text.parts, *[Wild.MANY] * text.after]
    pieces: list[str | None] = [""]
    for part in parts:
        if isinstance(part, str):
            pieces[-1] = (pieces[-1] or "") + part
        elif part is Wild.ONE:
            pieces += [None, ""]
        elif not (len(pieces) > 1 and pieces[-1] == "" and pieces[-2] is not None):
            pieces.append("")
    if len(pieces) == 1:
        return Test(name, Op.EQUALS, pieces[0], text.cased)
    if None not in pieces:
        first, last, inner = pieces[0], pieces[-1], pieces[1:-1]
        if not first and not last and not inner:
            return Test(name, Op.EXISTS)
        if len(pieces) == 2 and not last:
            return Test(name, Op.STARTSWITH, first, text.cased)
        if len(pieces) == 2 and not first:
            return Test(name, Op.ENDSWITH, last, text.cased)
        if len(pieces) == 3 and not first and not last:
            return Test(name, Op.CONTAINS, inner[0], text.cased)
    return Test(name, Op.WILDCARD, tuple(pieces), text.cased)


def linked(parts: Sequence[Predicate], modifiers: Sequence[str]) -> Predicate:
    """The tests of the values of one field together: any of them, with `all` all; with `neq` the opposite."""
    whole: Predicate = And(tuple(parts)) if "all" in modifiers and len(parts) != 1 else any_of(parts)
    return Not(whole) if "neq" in modifiers else whole
