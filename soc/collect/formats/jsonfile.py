"""Files of JSON that must be read whole: one document, with the records in it, or one record on each line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from soc.collect.formats.registry import Broken

Record = tuple[str, dict[str, Any]] | Broken

MAX_DOCUMENT = 256 << 20
"""Largest file in bytes that is one JSON document, which must be read at once."""

MAX_LINE = 16 << 20
"""Most bytes of one record of a file of lines."""


def document(path: Path) -> Any | Broken:
    """The one JSON document of a file, or why there is none. An empty file is an empty list."""
    if path.stat().st_size > MAX_DOCUMENT:
        return Broken(
            f"larger than {MAX_DOCUMENT >> 20} MiB, which is the most that is read as one JSON document"
        )
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if not raw.strip():
        return []
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return Broken(f"not JSON, or cut off: {error}")


def source(value: Any) -> str:
    """A part of a document as the text that an event keeps of it."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def items(path: Path, within: str = "") -> Iterator[tuple[str, Any] | Broken]:
    """What a file holds: the items of a list, one object, or one value on each line, with their text.

    `within`: the key of the one object that holds the list of items.
    """
    with path.open("rb") as stream:
        first = stream.readline(MAX_LINE).strip().removeprefix(b"\xef\xbb\xbf")
        more = any(line.strip() for line in iter(partial(stream.readline, MAX_LINE), b""))
    whole = first.startswith(b"[") or (first.startswith(b"{") and not _is_object(first)) or not more
    if whole:
        found = document(path)
        if isinstance(found, dict) and within in found:
            found = found[within]
        if isinstance(found, Broken):
            yield found
        else:
            yield from ((source(item), item) for item in (found if isinstance(found, list) else [found]))
        return
    with path.open("rb") as stream:
        while line := stream.readline(MAX_LINE):
            text = line.decode("utf-8", "replace").removeprefix("\ufeff").rstrip("\r\n")
            if text.strip():
                try:
                    yield text, orjson.loads(text)
                except orjson.JSONDecodeError as error:
                    yield Broken(f"not JSON: {error}", text)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def records(path: Path, options: Mapping[str, Any]) -> Iterator[Record]:
    """The objects of a file of any of these forms.

    Option `within`: the key of the list in a document (`Records`). Option `unpack`: a key whose value is
    JSON written as text, which is put in its place (`AuditData`).
    """
    unpack = str(options.get("unpack") or "")
    for found in items(path, str(options.get("within") or "")):
        if isinstance(found, Broken):
            yield found
            continue
        text, value = found
        if not isinstance(value, dict):
            yield Broken("a JSON object is expected", text[:MAX_LINE])
            continue
        if unpack and isinstance(value.get(unpack), str):
            try:
                value[unpack] = orjson.loads(value[unpack])
            except orjson.JSONDecodeError as error:
                yield Broken(f"{unpack} is not JSON: {error}", text)
                continue
        yield text, value
