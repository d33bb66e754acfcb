"""What a run of collection would read now: the same recognition of files as the run's, with nothing kept."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soc.collect.checkpoint import Checkpoint, Life
from soc.collect.inputs.files import FileInput, expand
from soc.collect.inputs.identity import DisplacedError, file_stat, open_bytes
from soc.collect.inputs.reports import content_hash
from soc.collect.inputs.stdin import PATH as STDIN
from soc.collect.inputs.tail import Handles, Tail
from soc.config import Source

_SETTLED = frozenset({"done", "copy"})


@dataclass(frozen=True, slots=True)
class Due:
    """A file that a run would look at: `state` is new, goes on, changed, done, copy, empty, or the problem.

    A copy holds what another file of the source holds as well; `size` and `offset` are in bytes.
    """

    source: str
    collector: str
    path: str
    state: str
    size: int = 0
    offset: int = 0

    @property
    def row(self) -> dict[str, Any]:
        """For tables and programs; `bytes` is what is left to read."""
        left = 0 if self.state in _SETTLED else max(0, self.size - self.offset)
        return {**asdict(self), "bytes": left}


def preview(sources: Sequence[Source], checkpoint: Checkpoint) -> list[Due]:
    """What a run would read now; writes nothing. `checkpoint` is one to look at, and of no use afterwards."""
    return [due for source in sources for due in _of_source(source, checkpoint)]


def _of_source(source: Source, checkpoint: Checkpoint) -> Iterator[Due]:
    lives = checkpoint.of(source.name)
    paths = list(dict.fromkeys(p for pattern in source.paths for p in expand(pattern)))
    if not lives or any(life.contents for life in lives):
        for path in paths:
            yield _whole(source, path, lives)
        return
    handles = Handles()
    files = FileInput(source, checkpoint, handles, lambda: datetime.now(UTC))
    try:
        files.scan()
        tails = {tail.path: tail for tail in files.tails()}
        for path in dict.fromkeys([*paths, *tails]):
            yield _line_file(source, path, tails.get(path), files.state.problems.get(str(path), ""), lives)
    finally:
        handles.close()


def _line_file(source: Source, path: Path, tail: Tail | None, problem: str, lives: Sequence[Life]) -> Due:
    def due(state: str, size: int = 0, offset: int = 0) -> Due:
        return Due(source.name, source.collector, str(path), state, size, offset)

    if problem or tail is None:
        try:
            size = file_stat(path).size
        except OSError as error:
            return due(error.strerror or str(error))
        return due(problem or ("copy" if size else "empty"), 0 if problem else size)
    known = any(life is tail.life for life in lives)
    if not known:
        return due("new", tail.stat.size)
    if tail.compressed:
        return due("done" if _is_read(tail) else "goes on", tail.stat.size)
    return due("goes on" if tail.lag else "done", tail.stat.size, tail.life.offset)


def _is_read(tail: Tail) -> bool:
    """Whether a compressed file holds no more than was read of it."""
    try:
        with tail.path.open("rb") as raw:
            # RFC 1952: a member ends in the length of its content modulo 2^32; most files have one member
            raw.seek(-4, 2)
            if int.from_bytes(raw.read(4), "little") == tail.life.offset % (1 << 32):
                return True
        with open_bytes(tail.path, tail.key) as content:
            content.seek(tail.life.offset)
            return not content.read(1)
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile, DisplacedError):
        return False


def _whole(source: Source, path: Path, lives: Sequence[Life]) -> Due:
    """A file that is read whole, or of a source of which nothing was read yet."""

    def due(state: str, size: int = 0) -> Due:
        return Due(source.name, source.collector, str(path), state, size)

    if str(path) == STDIN:
        return due("new")
    try:
        seen = file_stat(path)
        if not path.is_file():
            return due("not a file")
        life = next((x for x in lives if (x.device, x.inode) == seen.key), None)
        if life is not None and (life.size, life.mtime_ns) == (seen.size, seen.mtime_ns):
            return due("done", seen.size)
        if lives and seen.size and _holds(lives, content_hash(path)):
            return due("copy", seen.size)
    except OSError as error:
        return due(error.strerror or str(error))
    if life is None:
        return due("new" if seen.size else "empty", seen.size)
    return due("changed", seen.size)


def _holds(lives: Sequence[Life], content: str) -> bool:
    """Whether a file with this content was read to its end."""
    return any(
        content in life.contents[: None if life.size >= 0 else -1]  # -1: the last one is still being read
        for life in lives
    )
