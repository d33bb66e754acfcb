"""Reading a whole file with one collector, without a store: for `soc parse`, `collector try` and
benchmarks."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from soc.collect.collector import Collector, Context, collectors_for
from soc.collect.decode import MAX_LINE
from soc.config import Config
from soc.errors import SocError, UsageError
from soc.event import Event

BLOCK = 1 << 18
"""Bytes read at once."""

MAX_EXPANDED = 64 << 30
"""Most bytes that a compressed file may expand to."""

GZIP_MAGIC = b"\x1f\x8b"


class ReadError(SocError):
    """The input stops early: a truncated or damaged compressed file."""


def source_named(config: Config, name: str) -> Collector:
    """The collector of that name; `UsageError` when there is none, `ContentError` when it is broken."""
    return collectors_for(config).find(name)


def context_of(timezone: str, now: str, *, host: str = "", encoding: str = "utf-8") -> Context:
    """The context that command-line options describe; `UsageError` for what cannot be read."""
    import codecs

    from soc.timing import known_zone

    known_zone(timezone)
    try:
        moment = datetime.fromisoformat(now) if now else datetime.now(UTC)
    except ValueError:
        raise UsageError(f"--now {now!r} is no time; write it as 2026-03-02T07:14:09Z") from None
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise UsageError(f"unknown encoding {encoding!r}; such as utf-8, utf-16, cp1258") from None
    return Context(timezone, moment if moment.tzinfo else moment.replace(tzinfo=UTC), host, encoding)


@contextmanager
def opened(file: str) -> Iterator[IO[bytes]]:
    """The bytes of a file, expanded when it is compressed with gzip; `-` is standard input."""
    if file == "-":
        yield sys.stdin.buffer
        return
    path = Path(file)
    if path.is_dir():
        raise UsageError("this is a folder; name a file", place=path)
    if not path.exists():
        raise UsageError("there is no such file", place=path)
    if is_compressed(path):
        with gzip.open(path) as expanded:
            yield expanded  # type: ignore[misc] # a GzipFile reads bytes, as an IO[bytes] does
    else:
        with path.open("rb") as stream:
            yield stream


def is_compressed(path: Path) -> bool:
    """Whether a file begins as gzip does (RFC 1952)."""
    with path.open("rb") as stream:
        return stream.read(2) == GZIP_MAGIC


def blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """The bytes of a stream in blocks; raises `ReadError` where a compressed stream is damaged or ends
    early."""
    total = 0
    read = getattr(stream, "read1", stream.read)
    while True:
        try:
            block = read(BLOCK)
        except EOFError:
            raise ReadError("the compressed file ends early") from None
        except (zlib.error, gzip.BadGzipFile) as error:
            raise ReadError(f"the compressed file is damaged: {error}") from None
        if not block:
            return
        total += len(block)
        if total > MAX_EXPANDED:
            raise ReadError(f"the file expands to more than {MAX_EXPANDED >> 30} GiB")
        yield block


def _transcoded(found: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Bytes of an encoding whose line end is not one byte, as UTF-8; what cannot be decoded is replaced."""
    import codecs

    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for block in found:
        yield decoder.decode(block).encode()
    yield decoder.decode(b"", final=True).encode()


def is_wide(encoding: str) -> bool:
    """Whether an encoding writes a line end with more than one byte (UTF-16, UTF-32)."""
    return encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32", "utf16", "utf32"))


def lines(stream: IO[bytes], limit: int = MAX_LINE, encoding: str = "utf-8") -> Iterator[tuple[bytes, int]]:
    """The lines of a stream without their ends, and their full lengths; memory is bounded by `limit`.

    A longer line is cut at `limit`. What follows the last line end is a line too. Wide encodings (`is_wide`)
    come out as UTF-8, all others as they are.
    """
    end = b"\n"
    held = bytearray()
    length = 0
    found = blocks(stream)
    for block in _transcoded(found, encoding) if is_wide(encoding) else found:
        start = 0
        while (at := block.find(end, start)) >= 0:
            piece = block[start:at]
            start = at + len(end)
            if length:
                held += piece[: max(limit - len(held), 0)]
                yield bytes(held), length + len(piece)
                held.clear()
                length = 0
            else:
                yield piece[:limit], len(piece)
        rest = block[start:]
        length += len(rest)
        held += rest[: max(limit - len(held), 0)]
    if length:
        yield bytes(held), length


@dataclass
class Run:
    """One reading of one file: counts what was read, what could not be, and what gave no event."""

    collector: Collector
    context: Context
    join: bool = False
    events_seen: int = 0
    failed: int = 0
    passed_over: int = 0
    stopped: str = ""
    reasons: dict[str, int] = field(default_factory=dict)

    def events(self, file: str) -> Iterator[Event]:
        """The events of a file in its order; problems with the file become a last event, never an
        exception."""
        found = self._file(file) if self.collector.framing == "file" else self._lines(file)
        if self.join:
            from soc.collect.formats.audit import join

            found = join(found)
        for event in found:
            self.events_seen += 1
            if event["event.kind"] == "pipeline_error":
                self.failed += 1
                reason = event["error.message"]
                if reason in self.reasons or len(self.reasons) < 100:
                    self.reasons[reason] = self.reasons.get(reason, 0) + 1
            yield event

    def rows(self, file: str) -> Iterator[tuple[str, str, str, str]]:
        """Time, dataset, host and message of each event; without a message, the original or the reason."""
        for event in self.events(file):
            failed = event["event.kind"] == "pipeline_error"
            message = event.get("error.message") if failed else event.get("message")
            shown = str(message or event.get("event.original", ""))[:2000]
            yield event["@timestamp"], str(event["event.dataset"]), str(event.get("host.name", "")), shown

    def _lines(self, file: str) -> Iterator[Event]:
        wide = is_wide(self.context.encoding)
        decoder = self.collector.decoder(replace(self.context, encoding="utf-8") if wide else self.context)
        with opened(file) as stream:
            try:
                for raw, length in lines(stream, encoding=self.context.encoding):
                    event = decoder.line(raw) if length <= MAX_LINE else decoder.cut(raw, length)
                    if event is None:
                        self.passed_over += 1
                    else:
                        yield event
            except ReadError as error:
                self.stopped = error.message
                yield decoder.error("", error.message)

    def _file(self, file: str) -> Iterator[Event]:
        import tempfile

        decoder = self.collector.decoder(self.context)
        with opened(file) as stream, tempfile.TemporaryDirectory(prefix="soc-") as folder:
            path = Path(file)
            if file == "-" or is_compressed(path):
                path = Path(folder) / (Path(file).name.removesuffix(".gz") if file != "-" else "stdin")
                try:
                    with path.open("wb") as copy:
                        copy.writelines(blocks(stream))
                except ReadError as error:
                    self.stopped = error.message
            for _, event in decoder.file(path):
                yield event
            if self.stopped:
                yield decoder.error("", self.stopped)

    @property
    def readable(self) -> bool:
        """Whether anything could be read: not when every record failed."""
        return self.failed < self.events_seen or not self.events_seen

    def summary(self, name: str) -> str:
        """One line that says what was read and what was not."""
        parts = [f"{name}: {self.events_seen} event{'' if self.events_seen == 1 else 's'}"]
        if self.passed_over:
            parts.append(f"{self.passed_over} blank or format line{'' if self.passed_over == 1 else 's'}")
        if self.failed:
            often = max(self.reasons, key=self.reasons.__getitem__)
            parts.append(f"{self.failed} could not be read (most often: {often})")
        if not self.readable:
            parts.append(f"so nothing was read; which collector fits says: soc collector try {name}")
        return ", ".join(parts)
