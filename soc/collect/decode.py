"""From the bytes of a record to an event: what every collector shares.

A decoder never raises for what a record holds. What cannot be read becomes an event of kind `pipeline_error`
that carries the reason and the original, so that keyword rules see it and nothing is lost.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc.collect import patterns
from soc.collect.formats import registry
from soc.collect.times import TimeReader
from soc.event import Event, normalise, timestamp

if TYPE_CHECKING:
    from soc.collect.collector import Collector

MAX_LINE = 1024 * 1024
"""Most bytes of one record that are kept and read; the rest is cut off, and the event says so."""

CUT = "line_cut"
"""Tag of an event whose record was longer than `MAX_LINE`; `soc.extra.original_bytes` has its full length."""

MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class Context:
    """What a source knows that its records do not say.

    `timezone`: zone of times without one. `now`: aware; decides the year of times without one, and is the
    time of events that have none. It is fixed per life of a file. `host`: the name of the host, where
    records name none. `encoding`: of the bytes.
    """

    timezone: str = "UTC"
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    host: str = ""
    encoding: str = "utf-8"


class Decoder:
    """Turns the records of one life of one input into events; keeps the time of the last record in mind.

    Not for several threads at once.
    """

    def __init__(self, collector: Collector, context: Context) -> None:
        self.collector = collector
        self.context = context
        self._reader = TimeReader(context.timezone, context.now)
        self._latest = [timestamp(context.now), "ingest"]
        self._bound: dict[tuple[str, bool], Callable[..., Event | None]] = {}
        self._own = self._bind(collector, long=False)
        format_ = registry.FORMATS[collector.format]
        self._format = format_
        self._parse: Callable[..., Any] | None = format_.load() if format_.target else None
        self._decode = self._dispatch()

    def _bind(self, collector: Collector, *, long: bool) -> Callable[..., Event | None]:
        key = (collector.name, long)
        if key not in self._bound:
            self._bound[key] = collector.program.bind(self._reader, self._latest, long=long)
        return self._bound[key]

    def _dispatch(self) -> Callable[[str], Event | None]:
        if self.collector.format == "text":
            return self._text
        return self._syslog if self.collector.format == "syslog" else self._document

    # -- lines

    def line(self, raw: bytes) -> Event | None:
        """The event of one record without its line end; None for a blank or format line. Never raises.

        At most `MAX_LINE` bytes are read.
        """
        if len(raw) > MAX_LINE:
            return self.cut(raw[:MAX_LINE], len(raw))
        try:
            text = raw.decode(self.context.encoding)
        except (UnicodeDecodeError, LookupError):
            return self._undecodable(raw)
        if not text.isascii():
            text = normalise(text.removeprefix("\ufeff"))
        if text[-1:] == "\r":
            text = text[:-1]
        if not text or text.isspace():
            return None
        event = self._decode(text)
        return self._hosted(event) if self.context.host and event is not None else event

    def _hosted(self, event: Event) -> Event:
        if "host.name" not in event:
            event["host.name"] = self.context.host
            event.setdefault("related.hosts", self.context.host)
        return event

    def cut(self, raw: bytes, length: int) -> Event | None:
        """The event of a record of `length` bytes of which only the first `MAX_LINE` are there."""
        event = self.line(raw)
        if event is not None:
            tags = event.get("tags", [])
            event["tags"] = [*(tags if isinstance(tags, list) else [tags]), CUT] if tags else CUT
            event["soc.extra.original_bytes"] = length
            if event["event.kind"] == "pipeline_error":
                event["error.message"] += f" (of its {length:,} bytes the first {MAX_LINE:,} were read)"
        return event

    def _undecodable(self, raw: bytes) -> Event | None:
        try:
            text = raw.decode(self.context.encoding, "replace")
        except LookupError:
            text = raw.decode("utf-8", "replace")
        event = (
            self.line(text.encode())
            if self.context.encoding.lower() in {"utf-8", "utf8"}
            else self._plain(text)
        )
        if event is not None:
            event["soc.original_base64"] = base64.b64encode(raw).decode()
        return event

    def _plain(self, text: str) -> Event | None:
        text = normalise(text).rstrip("\r")
        return self._decode(text) if text and not text.isspace() else None

    def _long(self, text: str) -> bool:
        return len(text) > patterns.SHORT

    def _text(self, text: str) -> Event | None:
        if len(text) <= patterns.SHORT:
            event = self._own(text)
        else:
            event = self._bind(self.collector, long=True)(text)
        if event is None:
            return self.error(text, f"no pattern of the collector {self.collector.name} matches this line")
        return event

    def _syslog(self, text: str) -> Event | None:
        from soc.collect.formats.syslog import split

        long = len(text) > patterns.SHORT
        header = split(text)
        if header is None:
            return self.error(text, "not a syslog line: no time at its beginning")
        if not self.collector.fallback:
            event = (self._bind(self.collector, long=True) if long else self._own)(text, header)
            if event is not None:
                return event
        for sibling in self.collector.syslog_siblings():
            event = self._bind(sibling, long=long)(text, header)
            if event is not None:
                return event
        return self.error(text, f"no pattern of the collector {self.collector.name} matches this line")

    def _document(self, text: str) -> Event | None:
        assert self._parse is not None  # noqa: S101 - every format but text and syslog has one
        try:
            document = self._parse(text)
        except ValueError as error:
            return self.error(text, str(error))
        if document is None:
            return None
        return self.document(document, text)

    def document(self, document: Any, original: str) -> Event | None:
        """The event of a record that was already read into a mapping."""
        event = self._bind(self.collector, long=len(original) > patterns.SHORT)(original, document)
        if event is None:
            return self.error(original, f"no stream of the collector {self.collector.name} takes this record")
        return event

    def record(self, value: Any) -> Event | None:
        """The event of a record as its format's library gives it (a sample's `record`)."""
        import orjson

        from soc.collect.formats import windows

        document = windows.record(value) if self.collector.format in {"evtx", "windows-json"} else value
        return self.document(document, orjson.dumps(value).decode())

    # -- files

    def file(self, path: Path) -> Iterator[tuple[int, Event]]:
        """The records of a whole file (framing `file`), with their numbers from 0.

        What is broken or cut off gives an event of kind `pipeline_error`. Raises OSError only where the file
        cannot be opened.
        """
        assert self._parse is not None  # noqa: S101 - every format of framing `file` has one
        for number, record in enumerate(self._parse(path, self.collector.options)):
            if isinstance(record, registry.Broken):
                event: Event | None = self.error(record.original[:MAX_LINE], record.reason)
            else:
                original, document = record
                event = self.document(document, normalise(original))
            if event is not None:
                yield number, self._hosted(event) if self.context.host else event

    def error(self, original: str, reason: str) -> Event:
        """The event for what cannot be read."""
        collector = self.collector
        event: Event = {
            "@timestamp": self._latest[0],
            "soc.time_from": self._latest[1],
            "event.kind": "pipeline_error",
            "event.module": collector.name,
            "event.dataset": f"{collector.name}.unparsed",
            "soc.layer": collector.layer,
            "soc.collector": collector.name,
            "error.message": reason[:MAX_REASON],
        }
        if original:
            event["event.original"] = original
        return event
