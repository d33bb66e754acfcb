"""Files that must be read whole (EVTX, scanner reports): read again whenever they changed.

A record is known by its source's own id where it has one (computer, channel and record number of a Windows
event), else by its number in the file's generation and its content. So a log that grew adds what is new, and
overlapping exports of one log store each record once. A report that another file took the place of is a new
report, whose findings are all new observations.
"""

from __future__ import annotations

import hashlib
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from soc.collect.checkpoint import Checkpoint, Epoch, Life, new_generation
from soc.collect.decode import Context
from soc.collect.inputs.files import SourceState, expand
from soc.collect.inputs.identity import FileStat, file_stat
from soc.config import Source
from soc.event import Event, moment, timestamp

if TYPE_CHECKING:
    from soc.collect.collector import Collector

QUIET_SECONDS = 2.0
"""While following, a file is read when it has not changed for this long: a report is written in pieces."""

CONTENTS_KEPT = 64
"""Hashes of earlier contents of a file that are remembered, so that a copy of one is known."""

_WINDOWS = ("winlog.computer_name", "winlog.channel", "winlog.record_id")


def content_hash(path: Path) -> str:
    """The hash of a whole file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def own_id(life: Life, number: int, event: Event) -> str:
    """What record `number` is known by, apart from its source."""
    content = f"{event.get('@timestamp')}\0{event.get('event.original', '')}"
    digest = hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=16).hexdigest()
    if all(name in event for name in _WINDOWS):
        return "\0".join(["windows", *(str(event[name]) for name in _WINDOWS), digest])
    return f"{life.generation}\0{number}\0{digest}"


class ReportInput:
    """The files of one source that are read whole."""

    def __init__(
        self, source: Source, checkpoint: Checkpoint, clock: Callable[[], datetime], *, once: bool = False
    ) -> None:
        self.source = source
        self.checkpoint = checkpoint
        self.state = SourceState()
        self.lag = 0
        self._clock = clock
        self._once = once

    def scan(self) -> list[tuple[Life, Path]]:
        """The files to read now, with their lives saved. Raises OSError only for the checkpoint."""
        self.state.problems.clear()
        self.state.files = self.lag = 0
        due: list[tuple[Life, Path]] = []
        for pattern in self.source.paths:
            for path in expand(pattern):
                try:
                    life = self._due(path)
                except OSError as error:
                    self.state.problems[str(path)] = error.strerror or str(error)
                    continue
                if life is not None:
                    due.append((life, path))
        if due:
            self.checkpoint.save([life for life, _ in due])
        return due

    def _due(self, path: Path) -> Life | None:
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            self.state.problems[str(path)] = "is not a file"
            return None
        self.state.files += 1
        seen = file_stat(path)
        lives = self.checkpoint.of(self.source.name)
        if any(_unchanged(life, path, seen) for life in lives) or not seen.size:
            return None
        self.lag += seen.size
        if not self._once and time.time_ns() - seen.mtime_ns < QUIET_SECONDS * 1e9:
            return None
        content = content_hash(path)
        life = _life_of(lives, path, seen, content)
        if life is None:
            return self._new(path, seen, content)
        if content not in life.contents:
            life.contents, life.offset = [*life.contents[-CONTENTS_KEPT + 1 :], content], 0
        elif content != life.contents[-1] or life.size >= 0:
            # a copy, or only touched: nothing new in it
            life.device, life.inode, life.size, life.mtime_ns = *seen.key, seen.size, seen.mtime_ns
            self.checkpoint.save([life])
            self.lag -= seen.size
            return None
        life.size = -1
        return life

    def _new(self, path: Path, seen: FileStat, content: str) -> Life:
        source = self.source
        epoch = Epoch.begin(source, 0, self._clock(), source.encoding)
        return Life(
            source=source.name,
            generation=new_generation(),
            collector=source.collector,
            path=str(path),
            epochs=[epoch],
            device=seen.device,
            inode=seen.inode,
            size=-1,
            contents=[content],
            seen=timestamp(self._clock()),
        )

    def read(self, life: Life, path: Path, collector: Collector) -> Iterator[tuple[int, Event]]:
        """The records that were not acknowledged yet, with their numbers. Raises OSError."""
        epoch = life.epochs[0]
        decoder = collector.decoder(Context(epoch.timezone, moment(epoch.now), epoch.host, epoch.encoding))
        for number, event in decoder.file(path):
            if number >= life.offset:
                yield number, event

    def finish(self, life: Life, before: FileStat) -> None:
        """Note that a file was read and acknowledged whole, as it was `before`. Raises OSError."""
        life.device, life.inode = before.key
        life.size, life.mtime_ns = before.size, before.mtime_ns
        self.lag = max(0, self.lag - before.size)
        self.checkpoint.save([life])


def _life_of(lives: Sequence[Life], path: Path, seen: FileStat, content: str) -> Life | None:
    """The life of a changed file: the one that held this content, else the one that is written in place."""
    for life in lives:
        if content in life.contents:
            return life
    return next((x for x in lives if x.path == str(path) and (x.device, x.inode) == seen.key), None)


def _unchanged(life: Life, path: Path, seen: FileStat) -> bool:
    same_file = (life.device, life.inode) == seen.key or life.path == str(path)
    return same_file and (life.size, life.mtime_ns) == (seen.size, seen.mtime_ns)
