"""One life of one file while it is being read: its open file, its lines, and whether it is still itself."""

from __future__ import annotations

import gzip
import os
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from soc.collect.inputs.identity import (
    SPAN,
    DisplacedError,
    FileStat,
    digest,
    file_stat,
    open_bytes,
)
from soc.collect.inputs.lines import Chunk, LineSplitter

if TYPE_CHECKING:
    from soc.collect.checkpoint import Life

Opened = IO[bytes] | gzip.GzipFile

BLOCK = 256 * 1024
"""Bytes read at once."""

OPEN_FILES = 400
"""Files kept open at once; one that was renamed away or deleted can only be read to its end while it is."""

QUIET_SECONDS = 5.0
"""A rotated file that did not change for this long will not grow any more: its last line is complete."""


class Handles:
    """The open files of all tails; the one that was used longest ago is closed when there are too many."""

    def __init__(self, limit: int = OPEN_FILES) -> None:
        self.limit = limit
        self._open: OrderedDict[int, Tail] = OrderedDict()

    def use(self, tail: Tail) -> None:
        """Note that a tail's file is open and was used now."""
        self._open[id(tail)] = tail
        self._open.move_to_end(id(tail))
        while len(self._open) > self.limit:
            _, oldest = self._open.popitem(last=False)
            oldest.shut()

    def drop(self, tail: Tail) -> None:
        """Close a tail's file."""
        self._open.pop(id(tail), None)
        tail.shut()

    def close(self) -> None:
        """Close all."""
        while self._open:
            self._open.popitem()[1].shut()


def separator_of(encoding: str) -> bytes:
    """The line end in an encoding: two bytes in UTF-16, else one."""
    return "\n".encode(encoding) if encoding in {"utf-16-le", "utf-16-be"} else b"\n"


def encoding_of(head: bytes, configured: str) -> str:
    """The encoding of a file: its byte order mark decides, else the configuration."""
    if head.startswith(b"\xff\xfe"):
        return "utf-16-le"
    if head.startswith(b"\xfe\xff"):
        return "utf-16-be"
    plain = configured.lower().replace("_", "-")
    return "utf-16-le" if plain in {"utf-16", "utf16"} else plain


class Tail:
    """A life attached to the file that it is in now.

    `rotated` is set when another file took its place, so that it will soon stop growing. `outside` means that
    it was found beyond the configured paths, to be read to its end.
    """

    def __init__(
        self, life: Life, path: Path, stat: FileStat, handles: Handles, *, compressed: bool = False
    ) -> None:
        self.life = life
        self.path = path
        self.stat = stat
        self.compressed = compressed
        self.rotated = self.compressed
        self.outside = False
        self.complete = False
        self.damage = ""
        self._handles = handles
        self._file: Opened | None = None
        self._splitter: LineSplitter | None = None
        self._looked = stat.mtime_ns

    @property
    def key(self) -> tuple[int, int]:
        """Device and inode."""
        return self.stat.key

    @property
    def position(self) -> int:
        """The offset in the content up to which it was read, the beginning of a half line included."""
        return self._splitter.position if self._splitter else self.life.offset

    @property
    def begun(self) -> bool:
        """Whether lines of this life were handed on, now or in an earlier run."""
        return bool(self._splitter.offset if self._splitter else self.life.offset)

    @property
    def waiting(self) -> int:
        """Bytes of a last line without its end."""
        return self._splitter.waiting if self._splitter else 0

    @property
    def is_open(self) -> bool:
        """Whether its file is open, so that it can be read even if it was deleted."""
        return self._file is not None

    @property
    def lag(self) -> int:
        """Bytes that are there and not acknowledged; of a compressed file, as they are on disk."""
        if self.compressed:
            return 0 if self.complete else self.stat.size
        return max(0, self.stat.size - self.life.offset)

    def refresh(self) -> None:
        """Look at the file again through its descriptor, where it is open. Raises OSError."""
        if self._file is not None and not self.compressed:
            found = file_stat(self._file.fileno())
            self.stat = FileStat(found.device, found.inode, found.size, found.mtime_ns, self.stat.birth)

    def has_news(self) -> bool:
        """Whether there may be something to read."""
        if self.compressed:
            return not self.complete
        # the same size at another time: truncated and written again
        changed = self.stat.size != self.position or self.stat.mtime_ns != self._looked
        return changed or self.may_finish()

    def may_finish(self) -> bool:
        """Whether the half line at the end is all there will ever be of it."""
        if not self.waiting or not (self.rotated or self.compressed):
            return False
        return self.compressed or time.time_ns() - self.stat.mtime_ns > QUIET_SECONDS * 1e9

    def read(self, quota: int, *, take_last: bool = False) -> Iterator[Chunk]:
        """The next lines, about `quota` bytes of them. `take_last`: a last line without an end is complete.

        Raises `DisplacedError` when the file is not the one it was, OSError when it cannot be read.
        """
        file, splitter = self._opened()
        self._looked, ended = self.stat.mtime_ns, False
        while quota > 0:
            block = self._block(file, splitter)
            if not block:
                ended = True
                break
            quota -= len(block)
            yield from splitter.feed(block)
        if ended and (take_last or self.may_finish()) and (last := splitter.finish()) is not None:
            yield last
        if ended and self.compressed and not splitter.waiting:
            self.complete = True
            self._handles.drop(self)

    def _block(self, file: Opened, splitter: LineSplitter) -> bytes:
        if isinstance(file, gzip.GzipFile):
            return self._inflate(file)
        block = os.pread(file.fileno(), BLOCK, splitter.position)
        # whoever truncated the file since has destroyed what was read before as well, so look at that after;
        # its end alone may be the same again (padding, a line that repeats), with its beginning it is not
        head, recent = splitter.head, splitter.recent
        if not recent:
            same = self._begins_as_known(block)
        else:
            same = os.pread(file.fileno(), len(recent), splitter.position - len(recent)) == recent
            same = same and os.pread(file.fileno(), len(head), 0) == head
        if not same:
            raise DisplacedError
        if not block and os.fstat(file.fileno()).st_size < splitter.position:
            raise DisplacedError
        return block

    def _begins_as_known(self, block: bytes) -> bool:
        """Whether these first bytes of the file are those that the life is known by."""
        known = self.life.print
        return not known.head_size or digest(block[: known.head_size]) == known.head

    @contextmanager
    def looking(self) -> Iterator[int]:
        """A descriptor of its file, to look at and not to move, also if the file was deleted.

        Raises OSError, and `DisplacedError` when another file has its name.
        """
        if self._file is not None:
            yield self._file.fileno()
        else:
            with open_bytes(self.path, self.key) as file:
                yield file.fileno()

    def is_itself(self) -> bool:
        """Whether the file (not a compressed one) still holds what was acknowledged. Raises as `looking`."""
        known = self.life.print
        with self.looking() as file:
            head = os.pread(file, known.head_size, 0)
            tail = os.pread(file, known.tail_size, known.end - known.tail_size)
        known_head = not known.head_size or digest(head) == known.head
        return known_head and (not known.tail_size or digest(tail) == known.tail)

    def _inflate(self, file: gzip.GzipFile) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            # in small reads, so that what can be had of a damaged file is had
            while size < BLOCK and (more := file.read1(BLOCK - size)):
                parts.append(more)
                size += len(more)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            if parts:
                return b"".join(parts)  # the next read fails again
            if time.time_ns() - self.stat.mtime_ns <= QUIET_SECONDS * 1e9:
                raise DisplacedError from None  # still being written; it is looked at anew
            self.damage = f"damaged after {self.position} bytes of content: {error}"
        return b"".join(parts)

    def _opened(self) -> tuple[Opened, LineSplitter]:
        if self._file is None:
            self._file = open_bytes(self.path, self.key)
            if isinstance(self._file, gzip.GzipFile) is not self.compressed:
                self.shut()
                raise DisplacedError
        assert self._file is not None  # noqa: S101 - opened above
        if self._splitter is None:
            self._splitter = self._resumed(self._file)
        elif self.compressed and self._file.tell() != self._splitter.position:
            self._file.seek(self._splitter.position)
        self._handles.use(self)
        return self._file, self._splitter

    def _resumed(self, file: Opened) -> LineSplitter:
        offset, head, recent = self.life.offset, b"", b""
        size = min(SPAN, offset)
        if self.compressed:
            try:
                head = file.read(size)
                file.seek(offset - size)
                recent = file.read(size)
            except (EOFError, gzip.BadGzipFile, zlib.error):
                raise DisplacedError from None
        elif offset:
            head = os.pread(file.fileno(), size, 0)
            recent = os.pread(file.fileno(), size, offset - size)
        if len(recent) < size or not (self.compressed or self.is_itself()):
            raise DisplacedError
        return LineSplitter(offset, head, recent, separator=separator_of(self.life.epoch.encoding))

    def shut(self) -> None:
        """Close the file; it is opened again when there is something to read."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
