"""From lines to the store: decode, add where each came from, append in batches, then move the checkpoint.

Files are their own spool: when the store is away, reading stops, the position stays, and it is tried again.
"""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from soc.collect import deadletters
from soc.collect.checkpoint import Checkpoint, Counts, Life
from soc.collect.decode import Context
from soc.errors import StoreUnavailableError
from soc.event import Event, moment, record_id, timestamp
from soc.store.contract import Fate, Incoming, Store

if TYPE_CHECKING:
    from soc.collect.collector import Collector
    from soc.collect.decode import Decoder
    from soc.collect.inputs.identity import Fingerprint
    from soc.collect.inputs.lines import Chunk
    from soc.collect.stopping import Stop

BATCH_EVENTS = 4000
BATCH_BYTES = 4 * 1024 * 1024
"""A batch goes to the store when it holds this many events, or this many bytes of original text."""

PROLOGUE_LINES, PROLOGUE_BYTES = 64, 64 * 1024
"""How much of a file's format lines is remembered."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds between tries while the store is away; doubled each time, and spread by chance."""

ONCE_TRIES = 4
"""How often a run that does not follow tries before it gives up."""

REMIND_SECONDS = 300.0
"""How often it is said again that the store is away."""

DECODERS = 512
"""Decoders kept for files that are being read."""

# what a decoder must not, but a faulty one could raise
_FAULTS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The run was asked to end while it waited for the store; nothing that was read is lost."""


@dataclass(slots=True)
class _Part:
    """What of one life is in the batch, and its state after the store has acknowledged."""

    life: Life
    end: int
    print: Fingerprint | None = None
    mtime_ns: int = 0
    last_time: str = ""
    counts: Counts = field(default_factory=Counts)


class Pipeline:
    """Takes lines and records, and returns when they are in the store or in the batch.

    `note` is told, for people, when the store goes away and comes back. `once` gives up after some tries.
    """

    def __init__(
        self,
        store: Store,
        checkpoint: Checkpoint,
        stop: Stop,
        note: Callable[[str], None],
        *,
        once: bool = False,
    ) -> None:
        self.totals: dict[str, Counts] = {}
        self._store = store
        self._checkpoint = checkpoint
        self._stop = stop
        self._note = note
        self._once = once
        self._batch: list[Incoming] = []
        self._owners: list[tuple[_Part, int]] = []
        self._parts: dict[tuple[str, str], _Part] = {}
        self._bytes = 0
        self._ingested = timestamp(datetime.now(UTC))
        self._decoders: OrderedDict[tuple[str, str, int], Decoder] = OrderedDict()

    @property
    def pending(self) -> int:
        """Records read and not yet acknowledged."""
        return sum(part.counts.read for part in self._parts.values())

    # in

    def take(self, life: Life, collector: Collector, chunk: Chunk, *, mtime_ns: int = 0) -> None:
        """Decode the lines of a chunk into the batch; sends the batch when it is full."""
        for piece in _by_epoch(chunk, life):
            self._take(life, collector, piece, mtime_ns)

    def _take(self, life: Life, collector: Collector, chunk: Chunk, mtime_ns: int) -> None:
        part = self._part(life)
        decoder = self._decoder(life, collector, chunk.start)
        counts = part.counts
        common = self._common(life, chunk.start)
        key, offset, batch = life.key, chunk.start, self._batch
        shift = life.epoch_at(offset).shift
        before = len(batch)
        decode = decoder.line
        for i, raw in enumerate(chunk.lines):
            try:
                event = decode(raw) if i not in chunk.clipped else decoder.cut(raw, chunk.clipped[i])
            except _FAULTS as error:
                event = decoder.error(raw.decode("utf-8", "replace"), f"the collector failed: {error!r}")
            if event is None:
                counts.format += 1
                self._remember(life, raw)
            else:
                if "soc.time_from" in event or event["event.kind"] == "pipeline_error":
                    self._undated(event, part, counts, shift)
                else:
                    if shift:
                        _shift(event, shift)
                    part.last_time = event["@timestamp"]
                event.update(common)
                event["soc.offset"] = offset
                batch.append(Incoming(f"{key}-{offset:012x}", event))
            offset += chunk.sizes[i]
        counts.read += len(chunk.lines)
        part.end, part.print = chunk.end, chunk.print
        part.mtime_ns = max(part.mtime_ns, mtime_ns)
        if len(batch) > before:
            self._owners.append((part, len(batch) - before))
        self._bytes += chunk.end - chunk.start
        self._flush_when_full()

    def take_record(self, life: Life, number: int, event: Event, *, own_id: str = "") -> None:
        """Take record `number` of a report file. `own_id` is what the source itself knows it by."""
        part = self._part(life)
        part.counts.read += 1
        if event.get("event.kind") == "pipeline_error":
            part.counts.unparsed += 1
        if shift := life.epoch_at(number).shift:
            _shift(event, shift)
        event.update(self._common(life, number))
        event["soc.offset"] = number
        self._batch.append(Incoming(record_id(life.source, own_id or f"{life.generation}\0{number}"), event))
        self._owners.append((part, 1))
        self._bytes += len(event.get("event.original", "")) + 200
        part.end = number + 1
        self._flush_when_full()

    def _part(self, life: Life) -> _Part:
        key = (life.source, life.generation)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part(life, life.offset, last_time=life.last_time)
        return part

    def _common(self, life: Life, offset: int) -> Event:
        epoch = life.epoch_at(offset)
        return {
            "soc.source": life.source,
            "soc.path": life.path,
            "soc.generation": life.generation,
            "soc.retention": epoch.retention,
            "event.ingested": self._ingested,
        }

    def _decoder(self, life: Life, collector: Collector, offset: int) -> Decoder:
        """The decoder of this life and epoch; a new one sees the format lines again first."""
        epoch = life.epoch_at(offset)
        key = (life.source, life.generation, epoch.offset)
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = collector.decoder(
                Context(epoch.timezone, moment(epoch.now), epoch.host, epoch.encoding)
            )
            if offset:
                for line in life.prologue:
                    decoder.line(line.encode("latin-1"))
            self._decoders[key] = decoder
            if len(self._decoders) > DECODERS:
                self._decoders.popitem(last=False)
        self._decoders.move_to_end(key)
        return decoder

    def _undated(self, event: Event, part: _Part, counts: Counts, shift: int) -> None:
        """An event without a time of its own gets that of the record before it, also after a restart."""
        if event["event.kind"] == "pipeline_error":
            counts.unparsed += 1
        if event.get("soc.time_from") == "ingest" and part.last_time:
            event["@timestamp"], event["soc.time_from"] = part.last_time, "previous"
            if shift:
                event["soc.time_shift"] = shift
        elif shift:
            _shift(event, shift)

    def _remember(self, life: Life, raw: bytes) -> None:
        if not raw.strip():
            return
        line = raw.decode("latin-1")
        if line in life.prologue:
            life.prologue.remove(line)
        life.prologue.append(line)
        while len(life.prologue) > PROLOGUE_LINES or sum(map(len, life.prologue)) > PROLOGUE_BYTES:
            life.prologue.pop(0)

    # out

    def _flush_when_full(self) -> None:
        if len(self._batch) >= BATCH_EVENTS or self._bytes >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send the batch and save the positions. Raises `Stopped`, or `StoreUnavailableError` with `once`."""
        if not self._parts:
            return
        if self._batch:
            self._send()
        for part in self._parts.values():
            self._settle(part)
        self.persist(lambda: self._checkpoint.save([part.life for part in self._parts.values()]))
        self._clear()

    def discard(self) -> None:
        """Forget what was not acknowledged; it is read again."""
        self._clear()

    def _clear(self) -> None:
        self._batch = []
        self._owners.clear()
        self._parts.clear()
        self._bytes = 0
        self._ingested = timestamp(datetime.now(UTC))

    def _send(self) -> None:
        self._enter()
        outcomes = self.persist(lambda: self._store.append(self._batch))
        refused = [
            (incoming, outcome.reason)
            for incoming, outcome in zip(self._batch, outcomes, strict=True)
            if outcome.fate is Fate.REJECTED
        ]
        if refused:
            self.persist(lambda: deadletters.park(self._store, refused))
        at = 0
        for part, length in self._owners:
            fates = [outcome.fate for outcome in outcomes[at : at + length]]
            part.counts.stored += fates.count(Fate.STORED)
            part.counts.duplicate += fates.count(Fate.DUPLICATE)
            part.counts.parked += fates.count(Fate.REJECTED)
            at += length

    def _enter(self) -> None:
        """Save the lives that the batch begins, so that a replay gives their events the same ids.

        They are known by the very bytes that were read, which may be others than when they were found.
        """
        new = [part for part in self._parts.values() if not self._checkpoint.knows(part.life)]
        for part in new:
            if part.print is not None:
                part.life.print = replace(part.print, tail_size=0, tail="", end=0)
        if new:
            self.persist(lambda: self._checkpoint.save([part.life for part in new]))

    def _settle(self, part: _Part) -> None:
        life = part.life
        life.offset = part.end
        life.print = part.print or life.print
        life.mtime_ns = max(life.mtime_ns, part.mtime_ns)
        life.last_time = part.last_time
        life.seen = self._ingested
        life.counts.add(part.counts)
        self.totals.setdefault(life.source, Counts()).add(part.counts)

    def persist(self, do: Callable[[], T]) -> T:
        """Do what needs the store or the disk, again and again while they are away."""
        wait, tries, since, said = FIRST_WAIT, 0, 0.0, 0.0
        while True:
            try:
                result = do()
            except (StoreUnavailableError, OSError) as error:
                tries += 1
                now = time.monotonic()
                since = since or now
                if self._once and tries >= ONCE_TRIES:
                    raise
                if not said or now - said > REMIND_SECONDS:
                    said = now
                    self._note(f"waiting, nothing is lost: {error}")
                if self._stop.wait(wait * random.uniform(0.5, 1.5)):  # noqa: S311 - only spreads the tries
                    raise Stopped from None
                wait = min(wait * 2, LONGEST_WAIT)
            else:
                if tries:
                    self._note(f"going on after {time.monotonic() - since:.0f} s")
                return result


def _by_epoch(chunk: Chunk, life: Life) -> Iterator[Chunk]:
    """The chunk in pieces of one epoch each: what is read anew may reach over several."""
    inside = {epoch.offset for epoch in life.epochs if chunk.start < epoch.offset < chunk.end}
    first, start, at = 0, chunk.start, chunk.start
    for i, size in enumerate(chunk.sizes if inside else ()):
        at += size
        if at in inside:
            yield _piece(chunk, first, i + 1, start, at)
            first, start = i + 1, at
    yield _piece(chunk, first, len(chunk.lines), start, chunk.end) if first else chunk


def _piece(chunk: Chunk, first: int, end: int, start: int, at: int) -> Chunk:
    clipped = {i - first: size for i, size in chunk.clipped.items() if first <= i < end}
    return replace(
        chunk,
        lines=chunk.lines[first:end],
        sizes=chunk.sizes[first:end],
        start=start,
        end=at,
        clipped=clipped,
    )


def _shift(event: Event, seconds: int) -> None:
    """Move a recorded event in time; its original text keeps the time it had."""
    event["@timestamp"] = timestamp(moment(event["@timestamp"]) + timedelta(seconds=seconds))
    event["soc.time_shift"] = seconds


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of several counts."""
    out = Counts()
    for one in counts:
        out.add(one)
    return out
