"""One JSON object per line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

_EMPTY: Mapping[str, Any] = {}


def parse(line: str) -> dict[str, Any] | None:
    """The object of a line; ValueError says why there is none.

    A comma at the end and brackets alone on a line, which an array written over several lines has, are
    passed over.
    """
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        stripped = line.strip()
        if stripped in {"[", "]", "[]", ","}:
            return None
        if not stripped.endswith(","):
            raise ValueError(f"not JSON: {error}") from None
        try:
            document = orjson.loads(stripped[:-1])
        except orjson.JSONDecodeError:
            raise ValueError(f"not JSON: {error}") from None
    if type(document) is not dict:
        raise ValueError("a JSON object is expected, one on each line")
    return document


def inner(text: str) -> Mapping[str, Any]:
    """The JSON object in a text, also behind a prefix such as `@cee:`; empty when there is none."""
    at = text.find("{")
    if at < 0:
        return _EMPTY
    try:
        document = orjson.loads(text[at:])
    except orjson.JSONDecodeError:
        return _EMPTY
    return document if type(document) is dict else _EMPTY
