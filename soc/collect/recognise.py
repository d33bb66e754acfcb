"""Which collector reads a file: by its content first, then by its name.

Every collector tries the first records. One that reads most of them by a pattern of its own wins over a
fallback (`syslog`, `jsonl`), which reads whatever has its format. A collector that reads any line (a pattern
such as `.*`) proves nothing by reading one: it is recognised by the name of a file alone.
"""

from __future__ import annotations

import fnmatch
import gzip
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from soc.collect.collector import Collector, Collectors, Context
from soc.collect.formats import registry
from soc.collect.formats.evtx_file import MAGIC
from soc.collect.parsing import ReadError, lines, opened
from soc.event import Event

RECORDS = 40
"""How many records are looked at."""

ENOUGH = 0.6
"""Share of the first records that a collector must read to be recognised by content."""

HEAD = 65536
"""Bytes of a file's beginning that are compared with `recognise.first`."""


STRANGE = (
    b"zq no program writes this line zq",
    b"2026-03-02T07:14:09Z zqhost zqprogram[7]: zq this neither",
    b"2026-03-02 07:14:09,120 zq this neither",
    b"<13>Mar  2 07:14:09 zqhost zqprogram[7]: zq this neither",
    b'{"timestamp":"2026-03-02T07:14:09Z","zq":"this neither"}',
)
"""Records that no log holds; a collector that reads one of them reads anything of that format."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """One collector's claim to a file: `score` orders claims, `why` explains one to a person.

    `share` is that of the first records which it reads by its own patterns, 1 where it knows the whole file.
    """

    collector: Collector
    score: float
    why: str
    share: float = 1.0
    named: bool = False


def recognise(path: Path, collectors: Mapping[str, Collector]) -> Collector | None:
    """The collector that reads this file best, or None. Raises OSError where the file cannot be read."""
    found = claims(path, collectors)
    return found[0].collector if found else None


def claims(path: Path, collectors: Mapping[str, Collector]) -> list[Recognised]:
    """All collectors that can read the file, the best first."""
    head = _head(path)
    out = []
    for collector in _concerned(head, collectors):
        named = any(fnmatch.fnmatch(path.name.lower(), glob.lower()) for glob in collector.spec.names)
        claim = _by_head(collector, head, named=named) if collector.framing == "file" else None
        if collector.framing == "lines" and head.records:
            claim = _by_lines(collector, head, named=named)
        if claim is not None:
            out.append(claim)
    return sorted(out, key=lambda c: (-c.score, c.collector.name))


def _concerned(head: _Head, collectors: Mapping[str, Collector]) -> Iterable[Collector]:
    """The collectors that may read a file; of a Windows event log only those that speak of its format."""
    if head.event_log and isinstance(collectors, Collectors):
        return collectors.mentioning("evtx")
    return collectors.values()


@dataclass(frozen=True)
class _Head:
    raw: bytes
    records: list[bytes]

    @property
    def event_log(self) -> bool:
        """Whether it is the beginning of an EVTX file."""
        return self.raw.startswith(MAGIC)

    @cached_property
    def text(self) -> str:
        """The beginning as text; of a binary file only what patterns can be about."""
        return self.raw[: len(MAGIC) if self.event_log else HEAD].decode("utf-8", "replace")


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
    if not raw.startswith(MAGIC):
        import io

        try:
            records = [r for r, _ in islice(lines(io.BytesIO(bytes(raw))), RECORDS) if r.strip()]
        except ReadError:
            records = []
    return _Head(bytes(raw), records)


def _by_head(collector: Collector, head: _Head, *, named: bool) -> Recognised | None:
    for pattern in collector.spec.first:
        if re.search(pattern, head.text, re.ASCII):
            return Recognised(collector, 3 + named, f"its beginning matches {pattern!r}", named=named)
    return None


def _by_lines(collector: Collector, head: _Head, *, named: bool) -> Recognised | None:
    if collector.spec.first and not _by_head(collector, head, named=named):
        return None
    evident = _evidence(collector)
    decoder = collector.decoder(Context())
    events = [(raw, event) for raw in head.records if (event := decoder.line(raw)) is not None]
    read = [(raw, event) for raw, event in events if is_read(collector, event)]
    own = [event for raw, event in read if named or evident(raw)]
    share = len(own) / len(events) if events else 0.0
    if share < ENOUGH:
        return None
    weight = 0.5 if collector.fallback else 2.0
    why = f"{len(own)} of its first {len(events)} records are read by {_datasets(own)}"
    if len(read) < len(events):
        why += f"; the other {len(events) - len(read)} by {_others(collector, [e for _, e in events])}"
    if reads_anything(collector):
        if not named:
            return None
        weight, why = 1.0, f"its name is one that `recognise` lists, and {why}"
    return Recognised(collector, weight + share * 0.9 + (0.05 if named else 0), why, share, named)


def is_read(collector: Collector, event: Event) -> bool:
    """Whether a collector read a record by its own patterns; for a fallback, by any collector's."""
    if event["event.kind"] == "pipeline_error":
        return False
    return collector.fallback or event["soc.collector"] == collector.name


def reads_anything(collector: Collector) -> bool:
    """Whether a collector of lines, no fallback, reads records that no log holds."""
    if collector.fallback or collector.framing != "lines":
        return False
    decoder = collector.decoder(Context())
    events = [event for raw in STRANGE if (event := decoder.line(raw)) is not None]
    return any(is_read(collector, event) for event in events)


def _evidence(collector: Collector) -> Callable[[bytes], bool]:
    """Whether a record that a collector reads speaks for it, where the name of the file does not."""
    check = registry.FORMATS[collector.format].load_evidence()
    return (lambda raw: check(raw.decode("utf-8", "replace"))) if check else (lambda _raw: True)


def _others(collector: Collector, events: list[Event]) -> str:
    """Which collectors read the records that this one does not; a line of syslog goes to its program's."""
    rest = [e for e in events if not is_read(collector, e)]
    names = {str(e["soc.collector"]) for e in rest if e["event.kind"] != "pipeline_error"}
    nobody = any(e["event.kind"] == "pipeline_error" for e in rest)
    return " and ".join([*([", ".join(sorted(names))] if names else []), *(["none"] if nobody else [])])


def _datasets(events: list[Event]) -> str:
    return ", ".join(sorted({str(e["event.dataset"]) for e in events}))
