"""An event: one record of a log, as a flat mapping from dotted ECS names to scalars or lists of scalars.

    {"@timestamp": "2026-03-02T07:14:09.120000Z", "source.ip": "192.0.2.7", "soc.layer": 1}

Both stores, every collector and every rule speak this form; nesting exists only in foreign documents
and is flattened once, on reading. Times are text in UTC with six digits of fraction, so that comparing
text compares time.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

Scalar = str | int | float | bool | None
Value = Scalar | list[Any]
Event = dict[str, Any]
"""Dotted ECS name to a scalar or a list of scalars."""

MAX_DEPTH = 64
"""Deepest nesting of a foreign document that is flattened; what lies deeper is kept as JSON text."""


def flatten(document: Mapping[str, Any]) -> Event:
    """A nested document as a flat event.

    Lists of scalars stay lists; a list that holds mappings is spread over their keys, so that
    `[{"a": 1}, {"a": 2}]` under `x` becomes `x.a: [1, 2]`, as Elasticsearch indexes it. Empty
    mappings vanish. Keys that are already dotted are kept.
    """
    out: Event = {}
    _flatten_into(out, "", document, 0)
    return out


def _flatten_into(out: Event, prefix: str, document: Mapping[str, Any], depth: int) -> None:
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            if depth >= MAX_DEPTH:
                _add(out, name, _json_text(value))
            else:
                _flatten_into(out, f"{name}.", value, depth + 1)
        elif isinstance(value, list):
            _flatten_list(out, name, value, depth)
        else:
            _add(out, name, value)


def _flatten_list(out: Event, name: str, values: list[Any], depth: int) -> None:
    if not any(isinstance(v, (Mapping, list)) for v in values):
        _add(out, name, list(values))
        return
    for value in values:
        if isinstance(value, Mapping) and depth < MAX_DEPTH:
            inner: Event = {}
            _flatten_into(inner, f"{name}.", value, depth + 1)
            for inner_name, inner_value in inner.items():
                _append(out, inner_name, inner_value)
        elif isinstance(value, list) and depth < MAX_DEPTH:
            inner = {}
            _flatten_list(inner, name, value, depth + 1)
            for inner_name, inner_value in inner.items():
                _append(out, inner_name, inner_value)
        else:
            _append(out, name, _json_text(value) if isinstance(value, (Mapping, list)) else value)


def _add(out: Event, name: str, value: Any) -> None:
    if name in out:
        _append(out, name, value)
    else:
        out[name] = value


def _append(out: Event, name: str, value: Any) -> None:
    known = out.get(name, [])
    known = known if isinstance(known, list) else [known]
    out[name] = known + (value if isinstance(value, list) else [value])


def _json_text(value: Any) -> str:
    import json

    import orjson

    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:
        pass  # deeper than orjson goes, an integer beyond 64 bits, a lone surrogate
    try:
        return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return "(nested too deeply)"


def nest(event: Mapping[str, Any]) -> dict[str, Any]:
    """A flat event as nested mappings, for people and tools that expect them.

    Where one name is both a value and the prefix of another (`a` beside `a.b`), the longer one
    stays dotted.
    """
    out: dict[str, Any] = {}
    for name in sorted(event):
        parts = name.split(".")
        at: Any = out
        for i, part in enumerate(parts[:-1]):
            inner = at.setdefault(part, {})
            if not isinstance(inner, dict):
                at[".".join(parts[i:])] = event[name]
                break
            at = inner
        else:
            at[parts[-1]] = event[name]
    return out


def values_of(event: Mapping[str, Any], field: str) -> list[Any]:
    """The values of a field as a list: empty when the field is absent, null or an empty list."""
    value = event.get(field)
    if value is None:
        return []
    return [v for v in value if v is not None] if isinstance(value, list) else [value]


def normalise(text: str) -> str:
    """Text in Unicode normal form C (UAX #15); Vietnamese letters occur composed and decomposed."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def timestamp(moment: datetime) -> str:
    """A moment as event text: UTC, six digits, `Z`. A naive datetime is a programming error."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    # not strftime, whose %Y has fewer than four digits before the year 1000
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def moment(text: str) -> datetime:
    """The moment that an event's time text names (RFC 3339). Raises ValueError for other text."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"a time without a zone: {text!r}")
    return parsed.astimezone(UTC)


def source_key(source: str, generation: str) -> str:
    """16 hexadecimal digits that stand for one life of one source."""
    return hashlib.blake2b(f"{source}\0{generation}".encode(), digest_size=8).hexdigest()


def event_id(source: str, generation: str, offset: int) -> str:
    """The id of the record at `offset` of one life (`generation`) of a source.

    The hash of source and generation comes first and the offset after it, so that ids of one file
    grow together: index pages of both stores are then written in order (docs/decisions/0002).
    """
    return f"{source_key(source, generation)}-{offset:012x}"


def record_id(source: str, record: str) -> str:
    """The id of an event whose source gives each record an id of its own (journald cursor, GUID)."""
    return "r" + hashlib.blake2b(f"{source}\0{record}".encode(), digest_size=15).hexdigest()


def merge_values(values: Iterable[Any]) -> Value:
    """Distinct values in order of appearance: None for none, a scalar for one, a list for more."""
    seen = list(dict.fromkeys(v for v in values if v is not None))
    return seen if len(seen) > 1 else (seen[0] if seen else None)
