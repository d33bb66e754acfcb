"""How the embedded store writes an event or a document body into one column, and reads it back unchanged.

JSON by orjson, as a BLOB. What JSON by orjson cannot say exactly (integers beyond 64 bits, lone surrogates,
numbers that are not finite) is written by the standard library instead, as TEXT: the type of the column
tells the reader which one it was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from soc.event import Event, timestamp

MAX_BYTES = 100_000_000
"""Largest encoded event or document: what Elasticsearch takes in one request by default."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# classes of Python's that orjson would turn into text by itself: they must not change their type unseen
_STRICT = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


class UnfitError(ValueError):
    """Something that the store cannot hold; the message is a reason for people."""


def encode(body: Mapping[str, Any]) -> bytes | str:
    """The column value of an event or document body; raises `UnfitError`."""
    try:
        raw = orjson.dumps(body, option=_STRICT)
    except TypeError:
        return _encode_exactly(body)
    # orjson writes NaN and the infinities as null
    if b"null" in raw and not _finite(body):
        return _encode_exactly(body)
    if len(raw) > MAX_BYTES:
        raise UnfitError(f"larger than {MAX_BYTES} bytes")
    return raw


def decode(column: bytes | str) -> dict[str, Any]:
    """The body that `encode` was given."""
    body: dict[str, Any] = orjson.loads(column) if isinstance(column, bytes) else json.loads(column)
    return body


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    return all(map(_finite, value)) if isinstance(value, (list, tuple)) else True


def _encode_exactly(body: Mapping[str, Any]) -> str:
    try:
        _check(body, "")
        text = json.dumps(body, separators=(",", ":"))
    except RecursionError:
        raise UnfitError("nested too deeply") from None
    except UnfitError:
        raise
    except ValueError:
        raise UnfitError("an integer has more digits than can be written") from None
    if len(text) > MAX_BYTES:
        raise UnfitError(f"larger than {MAX_BYTES} bytes")
    return text


def _check(value: Any, name: str) -> None:
    """Refuse what JSON would quietly turn into something else."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise UnfitError(f"the name {key!r} is not text")
            _check(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check(inner, name)
    elif value is not None and not isinstance(value, (str, int, float)):
        raise UnfitError(f"{name} holds a {type(value).__name__}, which is no JSON value")


def micros(text: Any) -> int:
    """Event time as whole microseconds since 1970 UTC; raises `UnfitError` for text that is no time."""
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except (ValueError, TypeError):
        raise UnfitError(f"@timestamp is not a time with a zone: {text!r:.60}") from None
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment_of(since: int) -> str:
    """The event time text of `micros`."""
    seconds, rest = divmod(since, 1_000_000)
    return timestamp(datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest))


def row_of(id: str, event: Event) -> tuple[str, int, bytes | str]:  # noqa: A002 - the term of the contract
    """The columns id, time and body of an event; raises `UnfitError` with the reason to reject it."""
    if not id or len(id) > 512 or not id.isprintable() or not id.isascii():
        raise UnfitError("an id is 1 to 512 printable ASCII characters")
    if "@timestamp" not in event:
        raise UnfitError("the event has no @timestamp")
    layer = event.get("soc.layer")
    if type(layer) is not int or not 1 <= layer <= 4:
        raise UnfitError(
            "the event has no soc.layer" if layer is None else f"soc.layer is 1 to 4, not {layer!r:.40}"
        )
    return id, micros(event["@timestamp"]), encode(event)
