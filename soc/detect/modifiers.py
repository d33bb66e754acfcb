"""The modifiers of Sigma: what becomes of a value before it is a test.

They apply in the order in which they are written. A modifier changes a value, and may turn it into several,
of which one is enough (also under `all`). Sigma specification 2.1, appendix Modifiers;
docs/sigma-semantics.md says what each one means here.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from soc.detect.predicate import Op, as_number, as_time
from soc.detect.text import canonical
from soc.detect.values import (
    Comparison,
    Network,
    Number,
    Part,
    Pattern,
    Presence,
    Reference,
    Text,
    TimePart,
    Truth,
    Value,
    ValueProblem,
    Wild,
    as_text,
    read,
    split_wildcards,
    unfit,
)
from soc.event import normalise

MAX_EXPANDED = 10_000
"""Values that one value may turn into: five dashes in each of six places are 15,625."""

Lookup = Callable[[str], Sequence[str] | None]
"""The values of a placeholder; None when nobody defines it. It may raise `UndecidableError` itself."""


class UndecidableError(Exception):
    """The condition depends on something that is not known here; the text says on what."""


# ------------------------------------------------------------------ modifiers on text


def _contains(value: Value) -> list[Value]:
    return _opened(value, "contains", before=True, after=True)


def _startswith(value: Value) -> list[Value]:
    return _opened(value, "startswith", after=True)


def _endswith(value: Value) -> list[Value]:
    return _opened(value, "endswith", before=True)


def _opened(value: Value, modifier: str, *, before: bool = False, after: bool = False) -> list[Value]:
    if isinstance(value, Pattern):  # found anywhere as it is; held to the start or the end
        start, end = "" if before else "\\A", "" if after else "\\z"
        return [replace(value, text=f"{start}(?:{value.text}){end}" if start or end else value.text)]
    if not isinstance(value, Reference):
        value = as_text(value, modifier)
    return [replace(value, before=value.before or before, after=value.after or after)]


def _cased(value: Value) -> list[Value]:
    if isinstance(value, Reference):
        return [replace(value, cased=True)]
    return [replace(as_text(value, "cased"), cased=True)]


_DASHES = "-/\u2013\u2014\u2015"
_FLAG = re.compile(rf"\B[{_DASHES}]\b")


def _windash(value: Value) -> list[Value]:
    """Each dash or slash that begins a word, as each of the five that Windows programs take."""
    text = as_text(value, "windash")
    choices: list[Sequence[Part]] = []
    for part in text.parts:
        if isinstance(part, Wild):
            choices.append([part])
            continue
        at = 0
        for found in _FLAG.finditer(part):
            choices += [[part[at : found.start()]], list(_DASHES)]
            at = found.end()
        choices.append([part[at:]])
    return [replace(text, parts=parts) for parts in _products(choices, "windash")]


def _products(choices: Sequence[Sequence[Part]], modifier: str) -> list[tuple[Part, ...]]:
    number = 1
    for options in choices:
        number *= len(options)
    if number > MAX_EXPANDED:
        raise ValueProblem("value", f"`{modifier}` would make {number} values of this one", "shorten it")
    return [_joined(parts) for parts in product(*choices)]


def _joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    out: list[Part] = []
    for part in parts:
        if isinstance(part, str) and out and isinstance(last := out[-1], str):
            out[-1] = last + part
        elif part != "":
            out.append(part)
    return tuple(out)


# ------------------------------------------------------------------ encodings


def _wide(encoding: str, mark: bytes = b"") -> Callable[[Value], list[Value]]:
    """UTF-16; the field is taken to show one character for each byte."""

    def encode(value: Value) -> list[Value]:
        text = as_text(value, encoding)
        parts = [
            part if isinstance(part, Wild) else part.encode(encoding, "surrogatepass").decode("latin-1")
            for part in text.parts
        ]
        return [replace(text, parts=_joined([mark.decode("latin-1"), *parts]), octets=True)]

    return encode


def _octets(value: Value, modifier: str) -> tuple[Text, bytes]:
    text = as_text(value, modifier)
    plain = text.plain
    if plain is None:
        raise ValueProblem(
            "value", f"`{modifier}` cannot encode a wildcard", "\\* and \\? are the plain signs"
        )
    return text, plain.encode("latin-1" if text.octets else "utf-8", "surrogatepass")


def _base64(value: Value) -> list[Value]:
    text, octets = _octets(value, "base64")
    return [replace(text, parts=(base64.b64encode(octets).decode(),), octets=False)]


def _base64offset(value: Value) -> list[Value]:
    """What of the encoded value does not depend on its neighbours, at each of the three offsets."""
    text, octets = _octets(value, "base64offset")
    found = []
    for shift, start in ((0, 0), (1, 2), (2, 3)):
        size = shift + len(octets)
        whole = base64.b64encode(b" " * shift + octets).decode()
        certain = whole[start : (size * 8) // 6]
        if not certain:
            raise ValueProblem("value", "the value is too short to be recognised within base64")
        found.append(replace(text, parts=(certain,), octets=False))
    return list(dict.fromkeys(found))


# ------------------------------------------------------------------ other kinds of values


def _cidr(value: Value) -> list[Value]:
    text = value.plain if isinstance(value, Text) else None
    if text is None:
        raise unfit("cidr", value)
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueProblem("value", f"not a network: {error}", "such as 192.0.2.0/24") from None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped  # addresses of this kind are compared as IPv4
        network = ipaddress.ip_network((mapped, network.prefixlen - 96)) if mapped else network
    return [Network(str(network))]


_YES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _exists(value: Value) -> list[Value]:
    """YAML 1.1, which much of the world still reads, has more words for true and false."""
    if isinstance(value, Truth):
        return [Presence(value.truth)]
    word = _YES.get((value.plain or "").lower()) if isinstance(value, Text) else None
    if word is None:
        raise ValueProblem("value", "`exists` is true or false")
    return [Presence(word)]


def _fieldref(value: Value) -> list[Value]:
    name = value.plain if isinstance(value, Text) else None
    if not name:
        raise ValueProblem("value", "`fieldref` takes the name of a field")
    assert isinstance(value, Text)  # noqa: S101 - only text has a name
    return [Reference(name, value.cased, value.before, value.after)]


def number_of(value: Value) -> int | float | None:
    """A number, also when the rule has it in quotes; else None."""
    if isinstance(value, Number):
        return value.number
    return as_number(value.plain) if isinstance(value, Text) and value.plain is not None else None


def _compared(modifier: str, op: Op) -> Callable[[Value], list[Value]]:
    def compare(value: Value) -> list[Value]:
        if isinstance(value, TimePart):
            return [_part_compared(value, op)]
        number = number_of(value)
        if number is not None:
            return [Comparison(op, number)]
        plain = value.plain if isinstance(value, Text) else None
        if plain is not None and (moment := as_time(plain)):
            return [Comparison(op, moment)]
        raise ValueProblem("value", f"`{modifier}` takes a number or a date", "such as 5, or '2026-03-02'")

    return compare


_UNITS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day": (1, 31),
    "week": (1, 53),
    "month": (1, 12),
    "year": (1, 9999),
}


def _part(unit: str) -> Callable[[Value], list[Value]]:
    low, high = _UNITS[unit]

    def take(value: Value) -> list[Value]:
        number = number_of(value)
        if number is None or number != int(number) or not low <= number <= high:
            raise ValueProblem("value", f"`{unit}` takes a whole number from {low} to {high}")
        return [TimePart(unit, (int(number),))]

    return take


def _part_compared(value: TimePart, op: Op) -> Value:
    """`hour|gte: 22`: the hours from 22 on; a year is compared as the time at which it begins."""
    (number,) = value.numbers
    if value.unit == "year":
        first = number + (op in {Op.GT, Op.LTE})
        return Comparison(Op.GTE if op in {Op.GT, Op.GTE} else Op.LT, f"{first:04}-01-01T00:00:00.000000Z")
    low, high = _UNITS[value.unit]
    holds = {Op.LT: int.__lt__, Op.LTE: int.__le__, Op.GT: int.__gt__, Op.GTE: int.__ge__}[op]
    return TimePart(value.unit, tuple(n for n in range(low, high + 1) if holds(n, number)))


# ------------------------------------------------------------------ regular expressions and placeholders

_FLAGS = {"i": "i", "ignorecase": "i", "m": "m", "multiline": "m", "s": "s", "dotall": "s"}


def _flagged(flag: str) -> Callable[[Value], list[Value]]:
    def set_flag(value: Value) -> list[Value]:
        if not isinstance(value, Pattern):
            raise ValueProblem("modifier", f"`{flag}` stands after `re`, and this is no regular expression")
        return [replace(value, flags="".join(sorted({*value.flags, flag})))]

    return set_flag


_PLACEHOLDER = re.compile(r"(?<!\\)%([^%]+)%")


def expand(value: Value, lookup: Lookup) -> list[Value]:
    """The value with its placeholders filled in: one value for each combination.

    What a placeholder stands for is read like a value of the rule, with wildcards; in a regular expression it
    is found as it is written. Raises `UndecidableError` for a placeholder that nobody defines.
    """
    if isinstance(value, Pattern):
        choices = _choices(value.text, lookup, _as_expression)
        return [replace(value, text="".join(map(str, parts))) for parts in _products(choices, "expand")]
    text = as_text(value, "expand")
    choices = []
    for part in text.parts:
        choices += [[part]] if isinstance(part, Wild) else _choices(part, lookup, split_wildcards)
    # a filled-in value is several parts at once
    found = []
    for parts in _combined(choices):
        flat = [inner for part in parts for inner in (part if isinstance(part, tuple) else (part,))]
        found.append(replace(text, parts=_joined(flat)))
    return list(found)


def _combined(choices: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    number = 1
    for options in choices:
        number *= len(options)
    if number > MAX_EXPANDED:
        raise ValueProblem("value", f"`expand` would make {number} values of this one", "use one placeholder")
    return product(*choices)


def _choices(text: str, lookup: Lookup, read_value: Callable[[str], Any]) -> list[list[Any]]:
    """Literals and, for each placeholder, what it may be."""
    out: list[list[Any]] = []
    at = 0
    for found in _PLACEHOLDER.finditer(text):
        values = lookup(found[1])
        if values is None:
            raise UndecidableError(f"nobody defines the placeholder %{found[1]}%")
        out += [[text[at : found.start()].replace("\\%", "%")], [read_value(v) for v in values]]
        at = found.end()
    return [*out, [text[at:].replace("\\%", "%")]]


def _as_expression(text: str) -> str:
    """A value of a list within a regular expression: its wildcards are expressions, all else is plain."""
    words = {Wild.MANY: ".*", Wild.ONE: "."}
    return "".join(
        words[p] if isinstance(p, Wild) else re.sub(r"([^\w\s])", r"\\\1", p, flags=re.ASCII)
        for p in split_wildcards(text)
    )


MODIFIERS: Mapping[str, Callable[[Value], list[Value]]] = {
    "contains": _contains,
    "startswith": _startswith,
    "endswith": _endswith,
    "cased": _cased,
    "windash": _windash,
    "wide": _wide("utf-16-le"),
    "utf16le": _wide("utf-16-le"),
    "utf16be": _wide("utf-16-be"),
    "utf16": _wide("utf-16-le", b"\xff\xfe"),
    "base64": _base64,
    "base64offset": _base64offset,
    "cidr": _cidr,
    "exists": _exists,
    "fieldref": _fieldref,
    "lt": _compared("lt", Op.LT),
    "lte": _compared("lte", Op.LTE),
    "gt": _compared("gt", Op.GT),
    "gte": _compared("gte", Op.GTE),
    **{unit: _part(unit) for unit in _UNITS},
    **{name: _flagged(flag) for name, flag in _FLAGS.items()},
}
"""Modifiers of single values. Those of the whole list are `all` and `neq`; `re` and `expand` need more."""

KNOWN = frozenset({*MODIFIERS, "re", "expand", "all", "neq"})
"""Every modifier."""


def modified(raw: Any, modifiers: Sequence[str], lookup: Lookup) -> list[Value]:
    """What a value of a rule becomes under the modifiers: one value, or several of which one is enough.

    Raises `ValueProblem`, `UndecidableError`.
    """
    values = [read(raw)]
    if "re" in modifiers:
        values = [_expression(raw, modifiers)]
    for modifier in modifiers:
        if modifier in {"all", "neq", "re"}:
            continue
        if modifier == "expand":
            values = [made for value in values for made in expand(value, lookup)]
        else:
            values = [made for value in values for made in MODIFIERS[modifier](value)]
    return values


def _expression(raw: Any, modifiers: Sequence[str]) -> Pattern:
    before = [m for m in modifiers[: modifiers.index("re")] if m not in {"all", "neq", "expand"}]
    if before:
        raise ValueProblem(
            "modifier", f"`re` takes the value as it is written, not after `{before[0]}`", "write `re` first"
        )
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float)):
        raise unfit("re", read(raw))
    return Pattern(normalise(canonical(raw)))
