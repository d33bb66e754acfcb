"""Which collector reads a file: by its content first, then by its name.

Every collector tries the first records. One that reads most of them by a pattern of its own wins over a
fallback (`syslog`, `jsonl`), which reads whatever has its format.
"""

from __future__ import annotations

import fnmatch
import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from soc.collect.collector import Collector, Context
from soc.collect.formats import registry
from soc.collect.parsing import ReadError, lines, opened
from soc.event import Event

RECORDS = 40
"""How many records are looked at."""

ENOUGH = 0.6
"""Share of the first records that a collector must read to be recognised by content."""

HEAD = 65536
"""Bytes of a file's beginning that are compared with `recognise.first`."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """One collector's claim to a file: `score` orders claims, `why` explains one to a person."""

    collector: Collector
    score: float
    why: str


def recognise(path: Path, collectors: Mapping[str, Collector]) -> Collector | None:
    """The collector that reads this file best, or None. Raises OSError where the file cannot be read."""
    found = claims(path, collectors)
    return found[0].collector if found else None


def claims(path: Path, collectors: Mapping[str, Collector]) -> list[Recognised]:
    """All collectors that can read the file, the best first."""
    head = _head(path)
    out = []
    for collector in collectors.values():
        named = any(fnmatch.fnmatch(path.name.lower(), glob.lower()) for glob in collector.spec.names)
        claim = _by_head(collector, head, named=named) if collector.framing == "file" else None
        if collector.framing == "lines" and head.records:
            claim = _by_lines(collector, head, named=named)
        if claim is not None:
            out.append(claim)
    return sorted(out, key=lambda c: (-c.score, c.collector.name))


@dataclass(frozen=True, slots=True)
class _Head:
    raw: bytes
    records: list[bytes]


def _head(path: Path) -> _Head:
    """The beginning of a file, expanded if need be; what is damaged later does not matter here."""
    raw = bytearray()
    records: list[bytes] = []
    try:
        with opened(str(path)) as stream:
            raw += stream.read(HEAD)
    except (EOFError, OSError, gzip.zlib.error) as error:  # type: ignore[attr-defined] # gzip imports zlib
        if not path.exists() or isinstance(error, PermissionError):
            raise
    if not raw.startswith(b"ElfFile\0"):
        import io

        try:
            records = [r for r, _ in islice(lines(io.BytesIO(bytes(raw))), RECORDS) if r.strip()]
        except ReadError:
            records = []
    return _Head(bytes(raw), records)


def _by_head(collector: Collector, head: _Head, *, named: bool) -> Recognised | None:
    text = head.raw.decode("utf-8", "replace")
    for pattern in collector.spec.first:
        if re.search(pattern, text, re.ASCII):
            return Recognised(collector, 3 + named, f"its beginning matches {pattern!r}")
    return None


def _by_lines(collector: Collector, head: _Head, *, named: bool) -> Recognised | None:
    if collector.spec.first and not _by_head(collector, head, named=named):
        return None
    decoder = collector.decoder(Context())
    events = [event for raw in head.records if (event := decoder.line(raw)) is not None]
    good = [e for e in events if e["event.kind"] != "pipeline_error"]
    own = good if collector.fallback else [e for e in good if e["soc.collector"] == collector.name]
    share = len(own) / len(events) if events else 0.0
    if share < ENOUGH:
        return None
    why = f"{len(own)} of its first {len(events)} records are read by {_datasets(own)}"
    weight = 0.5 if collector.fallback else 2.0
    return Recognised(collector, weight + share * 0.9 + (0.05 if named else 0), why)


def _datasets(events: list[Event]) -> str:
    return ", ".join(sorted({str(e["event.dataset"]) for e in events}))


def framing_of(collector: Collector) -> registry.Framing:
    """Whether a collector reads lines or whole files."""
    return collector.framing
