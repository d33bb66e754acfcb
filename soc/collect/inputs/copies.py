"""Telling the copy that a rotation makes from a file of its own.

For a while there are two files of one life: `app.log` and its copy before the truncation, `app.log.1` and
`app.log.1.gz` before the removal. The life is read from the one that it is attached to; the other is left
alone until that one is gone. A copy holds nothing but the beginning of its original as it is now. Files that
only begin alike (a common header) are each a file of its own.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from soc.collect.inputs.identity import SPAN, FileStat, is_heir, live_name, open_bytes

if TYPE_CHECKING:
    from soc.collect.inputs.tail import Tail

BLOCK = 256 * 1024

LOOKED_AT = 64 * 1024 * 1024
"""Bytes of a compressed file's content that are compared; one that agrees so far is a copy."""


class Copies:
    """The attached files by name, and the files that were found to be copies of them."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[FileStat, str]] = {}
        self._tails: dict[str, Tail] = {}
        self._names: defaultdict[tuple[Path, str], set[str]] = defaultdict(set)

    def add(self, tail: Tail) -> None:
        """A file was attached."""
        self._tails[tail.life.generation] = tail
        for name in _own_names(tail):
            self._names[name].add(tail.life.generation)

    def drop(self, tail: Tail) -> None:
        """A file was released: what was a copy of it may now be its heir."""
        if self._tails.pop(tail.life.generation, None) is not None:
            for name in _own_names(tail):
                self._names[name].discard(tail.life.generation)
                if not self._names[name]:
                    del self._names[name]

    def has(self, found: FileStat) -> bool:
        """Whether a file was found to be a copy, and nothing has changed since."""
        known = self._known.get(found.key)
        return known is not None and known[0] == found and known[1] in self._tails

    def note(self, found: FileStat, tail: Tail) -> None:
        """A file is a copy of an attached one."""
        self._known[found.key] = (found, tail.life.generation)

    def originals(self, path: Path, *, compressed: bool) -> list[Tail]:
        """The attached files that this one may be a copy of, by its name."""
        generations = {g for name in _possible(path) for g in self._names.get(name, ())}
        tails = (self._tails[g] for g in sorted(generations))
        return [t for t in tails if not t.compressed and is_heir(_origin(t), path, compressed=compressed)]


def _origin(tail: Tail) -> Path:
    return Path(tail.life.path)


def _own_names(tail: Tail) -> set[tuple[Path, str]]:
    path = _origin(tail)
    return {(path.parent, path.name), (path.parent, live_name(path.name))}


def _possible(path: Path) -> Iterator[tuple[Path, str]]:
    """Every name of which `path` may be a rotated form, so that not each attached file is asked."""
    folder, name = path.parent, path.name
    yield folder, live_name(name)
    ending = name.removesuffix(".gz").rpartition(".")[2]
    for length in range(1, len(name)):
        yield folder, name[:length]
        yield folder, f"{name[:length]}.{ending}"


def is_beginning_of(path: Path, key: tuple[int, int], tail: Tail) -> bool:
    """Whether a file holds nothing but the beginning of an attached one, as both are now.

    Of a plain file only head and end are compared; of a compressed one all that can be had of it so far.
    Raises OSError, and `DisplacedError` when another file has one of the names.
    """
    with open_bytes(path, key) as file, tail.looking() as original:
        if not isinstance(file, gzip.GzipFile):
            size = os.fstat(file.fileno()).st_size
            places = (0, max(0, size - SPAN))
            return size > 0 and all(
                (part := os.pread(file.fileno(), SPAN, at)) == os.pread(original, len(part), at)
                for at in places
            )
        at = 0
        try:
            while at < LOOKED_AT and (block := file.read1(BLOCK)):
                if os.pread(original, len(block), at) != block:
                    return False
                at += len(block)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            pass  # still being written, or broken: what there is of it agrees
        return at > 0
