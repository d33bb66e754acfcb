"""What `--where` says, as the selections and the condition of a Sigma filter.

    host.name=web01                 the field is exactly this text, whatever signs are in it
    process.command_line|contains=backup.sh --nightly
    source.ip|cidr=192.0.2.0/24     with any modifiers of Sigma
    url.path:/health* and not user.name:root     a query, as in soc search

A value after `=` is taken literally: `*`, `?` and the backslash are escaped. Every `--where` must hold.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from soc.detect.predicate import And, Not, Op, Predicate, Test, as_number
from soc.errors import UsageError
from soc.event import normalise

_ASSIGNED = re.compile(r"([^\s=|:\"'()]+)((?:\|[A-Za-z0-9_]+)*)=(.*)\Z", re.DOTALL)
_NUMBERS = frozenset({"lt", "lte", "gt", "gte", "minute", "hour", "day", "week", "month", "year"})
_RAW = frozenset({"re", "cidr", "fieldref", "expand"})
_TRUTH = {"true": True, "yes": True, "false": False, "no": False}
_WILD = re.compile(r"[\\*?]")
_EXAMPLE = "--where 'host.name=web01', --where 'url.path|startswith=/health', or a query as in soc search"
MAX_VALUE = 10_000
"""Characters of one value."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a selection: a field with its modifiers, and a value; `key` "" is a keyword."""

    key: str
    value: Any

    @property
    def field(self) -> str:
        """The field's name alone; "" for a keyword."""
        return self.key.partition("|")[0]


@dataclass(frozen=True, slots=True)
class Node:
    """Items joined by `kind`: and, or, not."""

    kind: str
    parts: tuple[Item | Node, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """The detection part of a filter. `selections`: name to its mapping or list; `text` selects what is to be
    hidden, so the filter's condition is `not` of it. `items` are all lines, as they were given."""

    selections: Mapping[str, Any]
    text: str
    items: tuple[Item, ...]

    @property
    def negated(self) -> str:
        """The condition of the filter."""
        return f"not ({self.text})" if self.text.startswith("not ") else f"not {self.text}"


def escaped(text: str) -> str:
    """Text as a Sigma value that means it literally (Sigma specification: escaping of wildcards)."""
    return _WILD.sub(lambda found: "\\" + found[0], text)


def read(where: Sequence[str]) -> Condition:
    """What all of `where` together select. Raises `UsageError` that says which of them cannot be read."""
    if not where:
        raise UsageError("which hits? --where is missing", hint=_EXAMPLE)
    return written(Node("and", tuple(_one(text) for text in where)))


def _one(text: str) -> Item | Node:
    assigned = _ASSIGNED.match(text)
    if assigned:
        return _assigned(assigned[1], assigned[2], assigned[3])
    if "=" not in text and ":" not in text and '"' not in text:
        raise UsageError(f"--where {text[:80]!r} names no field", hint=_EXAMPLE)
    from soc.query import parse

    return _of(parse(text), text)


def _assigned(name: str, modifiers: str, value: str) -> Item:
    given = [modifier for modifier in modifiers.split("|") if modifier]
    _known(given, name)
    if len(value) > MAX_VALUE:
        raise UsageError(f"--where {name}: a value of {len(value)} characters; at most {MAX_VALUE} are taken")
    return Item("|".join([name, *given]), _value(name, set(given), normalise(value)))


def _known(modifiers: Iterable[str], name: str) -> None:
    from soc.detect.modifiers import KNOWN

    for modifier in modifiers:
        if modifier not in KNOWN:
            raise UsageError(
                f"--where {name}: unknown modifier {modifier!r}",
                hint="contains, startswith, endswith, re, cidr, exists, gt, gte, lt, lte, cased, …",
            )


def _value(name: str, modifiers: set[str], value: str) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"--where {name}: the value is not valid text (UTF-8)") from None
    if "exists" in modifiers:
        if value.lower() not in _TRUTH:
            raise UsageError(f"--where {name}|exists={value[:40]}: true or false is expected")
        return _TRUTH[value.lower()]
    if modifiers & _NUMBERS:
        number = as_number(value)
        if number is None or not math.isfinite(number):
            raise UsageError(f"--where {name}: {value[:40]!r} is not a number")
        return number
    if "cidr" in modifiers:
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise UsageError(
                f"--where {name}: {value[:60]!r} is not a network such as 192.0.2.0/24"
            ) from None
    return value if modifiers & _RAW else escaped(value)


# ------------------------------------------------------------------ from a query


def _of(predicate: Predicate, query: str) -> Item | Node:
    if isinstance(predicate, Test):
        return _item(predicate, query)
    if isinstance(predicate, Not):
        return Node("not", (_of(predicate.part, query),))
    kind = "and" if isinstance(predicate, And) else "or"
    if not predicate.parts:
        raise UsageError("--where: the query is empty", hint=_EXAMPLE)
    parts = tuple(_of(part, query) for part in predicate.parts)
    return parts[0] if len(parts) == 1 else Node(kind, parts)


_TEXT = {Op.EQUALS: "", Op.CONTAINS: "contains", Op.STARTSWITH: "startswith", Op.ENDSWITH: "endswith"}
_ORDER = {Op.LT: "lt", Op.LTE: "lte", Op.GT: "gt", Op.GTE: "gte"}


def _item(test: Test, query: str) -> Item:
    name, op = test.field or "", test.op
    key, value = "", test.operand
    if op in _TEXT:
        key, value = _TEXT[op], escaped(str(test.operand))
    elif op is Op.WILDCARD:
        value = _pattern(test.operand)
    elif op is Op.CIDR:
        key = "cidr"
    elif op is Op.EXISTS:
        key, value = "exists", True
    elif op is Op.NULL:
        value = None
    elif op in _ORDER and not isinstance(test.operand, str):
        key = _ORDER[op]
    else:
        raise UsageError(
            f"--where {query[:80]!r}: a filter cannot say this of {name or 'any field'}",
            hint="times are bounded by --expires; otherwise write --where 'field|modifier=value'",
        )
    if not name:
        if op is not Op.CONTAINS:
            raise UsageError(f"--where {query[:80]!r}: name a field for this", hint=_EXAMPLE)
        key = ""
    return Item("|".join(part for part in (name, key) if part), value)


def _pattern(parts: tuple[str | None, ...]) -> str:
    """The parts of an `Op.WILDCARD` as text with `*` and `?`."""
    out = escaped(str(parts[0]))
    for before, part in pairwise(parts):
        if part is None:
            out += "?"
        else:
            out += escaped(part) if before is None else "*" + escaped(part)
    return out


# ------------------------------------------------------------------ as a filter


class _Writer:
    """Puts items into selections, and says how these are joined."""

    def __init__(self) -> None:
        self.selections: dict[str, Any] = {}
        self.items: list[Item] = []

    def node(self, node: Item | Node) -> str:
        if isinstance(node, Item):
            return self.selection({node.key: node.value} if node.key else [node.value], node)
        if node.kind == "not":
            inner = self.node(node.parts[0])
            return f"not {inner}"
        if node.kind == "or":
            return self.either(node)
        return self.every(_flat(node, "and"))

    def every(self, parts: Sequence[Item | Node]) -> str:
        """All of them: what names different fields goes into one mapping."""
        together: dict[str, Item] = {}
        rest: list[Item | Node] = []
        for part in parts:
            if isinstance(part, Item) and part.key and part.key not in together:
                together[part.key] = part
            elif part not in together.values():
                rest.append(part)
        names = []
        if together:
            names.append(
                self.selection({key: item.value for key, item in together.items()}, *together.values())
            )
        names += [self.node(part) for part in rest]
        return names[0] if len(names) == 1 else f"({' and '.join(names)})"

    def either(self, node: Node) -> str:
        """Any of them: values of one field go into one list."""
        parts = _flat(node, "or")
        keys = {part.key if isinstance(part, Item) else None for part in parts}
        items = [part for part in parts if isinstance(part, Item)]
        if len(keys) == 1 and len(items) == len(parts):
            values = [item.value for item in items]
            return self.selection({items[0].key: values} if items[0].key else values, *items)
        return f"({' or '.join(self.node(part) for part in parts)})"

    def selection(self, value: Any, *items: Item) -> str:
        name = f"selection_{len(self.selections) + 1}" if self.selections else "selection"
        self.selections[name] = value
        self.items += items
        return name


def _flat(node: Node, kind: str) -> list[Item | Node]:
    out: list[Item | Node] = []
    for part in node.parts:
        out += _flat(part, kind) if isinstance(part, Node) and part.kind == kind else [part]
    return out


def written(node: Item | Node) -> Condition:
    """A tree of items as selections and a condition."""
    writer = _Writer()
    text = writer.node(node)
    return Condition(writer.selections, text, tuple(writer.items))
