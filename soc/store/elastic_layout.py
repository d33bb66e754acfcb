"""What the mapping of somebody else's index makes certain: where it holds a field, and as what.

The mapping says more than `_field_caps`, which hides normalizers, values in place of null, and scripts. What
is not plainly understood is left out, so that the predicate sees every event: `text` itself, `wildcard`,
`constant_keyword`, `flattened`, dates, runtime and nested fields. A field of `text` is asked by a sub-field
of kind keyword, as dynamic mapping makes one.

A field that the mapping does not have has no value in any document that was indexed before the mapping was
asked for, where new fields are mapped as they come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from soc.store.elastic_indexed import Family, Indexed

_TYPED = {
    "long": Family.LONG,
    "integer": Family.LONG,
    "short": Family.LONG,
    "byte": Family.LONG,
    "double": Family.DOUBLE,
    "ip": Family.IP,
    "boolean": Family.BOOLEAN,
}
_NOT_AS_WRITTEN = ("normalizer", "null_value", "script")
"""Settings with which an index holds other values than the document."""

DERIVED = {"event.dataset": ("data_stream.dataset",)}
"""Fields that reading fills from others where a document lacks them (`soc.store.elastic_foreign`)."""


@dataclass(frozen=True)
class ForeignLayout:
    """The layout of one index; called with a field, it says where that is held.

    `computed`: fields whose values are not in the document itself (aliases, runtime and constant fields).
    `hidden`: patterns of fields that the index leaves out of its documents, or `*`. `dated`: whether
    `@timestamp` is a time to the index.
    """

    fields: Mapping[str, Indexed] = field(default_factory=dict)
    opaque: frozenset[str] = frozenset()
    dynamic: bool = False
    computed: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    dated: bool = False

    def __call__(self, name: str) -> tuple[Indexed, ...]:
        """All the places that may hold a field; none when nothing is certain."""
        places = [self._place(one) for one in (name, *DERIVED.get(name, ()))]
        return tuple(p for p in places if p is not None) if None not in places else ()

    def __hash__(self) -> int:
        return id(self)

    def _place(self, name: str) -> Indexed | None:
        found = self.fields.get(name)
        if found is not None or not self.dynamic or "*" in name:
            return found
        parts = name.split(".")
        above = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
        if above & self.opaque or above & self.fields.keys():
            return None
        return Indexed(Family.ABSENT, name, (name,))


def layout_of(mapping: Mapping[str, Any]) -> ForeignLayout:
    """The layout that a mapping (`mappings` of `GET INDEX/_mapping`) makes certain."""
    fields: dict[str, Indexed] = {}
    opaque: set[str] = set(mapping.get("runtime", {}))
    aliases: dict[str, str] = {}
    computed = list(mapping.get("runtime", {}))
    for name, node in _leaves(mapping.get("properties", {}), "", opaque):
        kind = node.get("type", "object")
        if kind == "alias":
            aliases[name] = str(node.get("path", ""))
            computed.append(name)
        elif (indexed := _indexed(name, node)) is not None and name not in opaque:
            fields[name] = indexed
        else:
            opaque.add(name)
            if kind == "constant_keyword":
                computed.append(name)
    for name, path in aliases.items():
        if path in fields:
            fields[name] = fields[path]
        else:
            opaque.add(name)
    source = mapping.get("_source", {})
    hidden = ("*",) if source.get("enabled") is False else tuple(source.get("excludes", ()))
    if source.get("includes"):
        hidden = ("*", *hidden)
    return ForeignLayout(
        fields,
        frozenset(opaque),
        _adds_fields(mapping.get("dynamic", True)),
        tuple(dict.fromkeys(computed)),
        hidden,
        mapping.get("properties", {}).get("@timestamp", {}).get("type") in {"date", "date_nanos"},
    )


def _adds_fields(dynamic: Any) -> bool:
    """Whether new fields are mapped as they come, or refused, so that none is left unmapped."""
    return str(dynamic).lower() in {"true", "strict"}


def _leaves(
    properties: Mapping[str, Any], prefix: str, opaque: set[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The fields of a mapping; objects below which nothing is certain go into `opaque`."""
    for key, node in properties.items():
        name = prefix + key
        kind = node.get("type", "object")
        if kind == "object" and (node.get("enabled") is False or not _adds_fields(node.get("dynamic", True))):
            opaque.add(name)
        if kind == "nested" or (kind == "object" and node.get("enabled") is False):
            opaque.add(name)
            continue
        if kind == "object":
            yield from _leaves(node.get("properties", {}), f"{name}.", opaque)
        else:
            yield name, node


def _indexed(name: str, node: Mapping[str, Any]) -> Indexed | None:
    kind = node.get("type")
    if kind == "keyword":
        return _keyword(name, node)
    if kind == "text":
        for sub, inner in node.get("fields", {}).items():
            if inner.get("type") == "keyword" and (found := _keyword(f"{name}.{sub}", inner)):
                return found
        return None
    family = _TYPED.get(str(kind))
    if family is None or not _as_written(node):
        return None
    return Indexed(family, name, (name,), present=name)


def _keyword(path: str, node: Mapping[str, Any]) -> Indexed | None:
    return Indexed(Family.KEYWORD, path, (path,), path, path) if _as_written(node) else None


def _as_written(node: Mapping[str, Any]) -> bool:
    return node.get("index", True) is not False and not any(name in node for name in _NOT_AS_WRITTEN)
