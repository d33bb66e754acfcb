"""Anchors of the audit log in a file: lines of number and hash, or JSON as `soc audit anchor` prints it."""

from __future__ import annotations

import re
from pathlib import Path

from soc.errors import UsageError
from soc.respond.audit import Anchor

_LINE = re.compile(r"(?m)^\s*([0-9]{1,18})[\s:,]+([0-9a-f]{64})\s*$")
_JSON = re.compile(r'\{\s*"number"\s*:\s*([0-9]{1,18})\s*,\s*"hash"\s*:\s*"([0-9a-f]{64})"\s*\}')
MAX_BYTES = 16 * 1024 * 1024


def read(path: Path) -> Anchor:
    """The anchor with the highest number in a file, so that anchors can be appended to one.

    Raises `UsageError` when the file cannot be read or has none.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"cannot read the anchor: {error.strerror or error}", place=path) from None
    found = [Anchor(int(number), digest) for number, digest in [*_LINE.findall(text), *_JSON.findall(text)]]
    if not found:
        raise UsageError(
            "there is no anchor in this file", place=path, hint="soc audit anchor prints one: number and hash"
        )
    return max(found, key=lambda a: a.number)
