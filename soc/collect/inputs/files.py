"""The files of one source: found by polling, each attached to its life, followed through every rotation.

How a file is recognised, in this order:

1. by device, inode and birth time, if its content goes on where the life was read to (a rename);
2. by content, in a name of the same family (`access.log.2.gz`), or in any name once enough was read
   (copytruncate, compression, a restored backup, a copy by rsync);
3. a rotated name with the content of a life that is still attached elsewhere is a copy, and left alone;
4. else it begins a new life.

When a path holds a new file, the folder is searched for what became of the old one, and for generations
that came and went in between, also beyond the configured paths.
"""

from __future__ import annotations

import gzip
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from soc.collect.checkpoint import Checkpoint, Epoch, Life, new_generation
from soc.collect.inputs.copies import Copies, is_beginning_of
from soc.collect.inputs.identity import (
    SPAN,
    DisplacedError,
    FileStat,
    Fingerprint,
    birth_time,
    digest,
    is_heir,
    live_name,
    matches,
    open_bytes,
    rotated_name,
)
from soc.collect.inputs.lines import Chunk
from soc.collect.inputs.tail import QUIET_SECONDS, Handles, Tail, encoding_of
from soc.config import Source
from soc.event import timestamp

QUOTA = 8 * 1024 * 1024
"""Bytes read from one file before the next has its turn."""

CERTAIN = 1024
"""Bytes that must agree for a file of an unrelated name to be taken for a known one."""

LOOKS = 4
"""How many times a folder in which files are being renamed is listed, before that is left for later."""

SEARCHES = 30
"""How many times a folder is searched again after a file of it was displaced: compressing takes a while."""


@dataclass(slots=True)
class Found:
    """A file that was found, before it is known whose life it is."""

    path: Path
    stat: FileStat
    _inside: Inside | None = None

    def inside(self) -> Inside:
        """What it holds; opened once. Raises OSError, and `DisplacedError` when the name has another file."""
        if self._inside is None:
            head, broken = b"", False
            with open_bytes(self.path, self.stat.key) as file:
                compressed = isinstance(file, gzip.GzipFile)
                birth = birth_time(file.fileno())
                try:
                    head = file.read1(SPAN) if isinstance(file, gzip.GzipFile) else file.read(SPAN)
                except (EOFError, zlib.error, gzip.BadGzipFile):
                    broken = True
            self._inside = Inside(compressed, birth, head, broken)
        return self._inside

    def begins_as(self, known: Fingerprint) -> bool:
        """Whether it has the first bytes of a fingerprint, and enough of them to be sure."""
        size, head = known.head_size, self.inside().head
        return len(head) >= size >= CERTAIN and digest(head[:size]) == known.head

    def matches(self, known: Fingerprint) -> bool | None:
        """As `identity.matches`, of this very file."""
        return matches(self.path, known, self.stat.key)


@dataclass(frozen=True, slots=True)
class Inside:
    """The inside of a file: whether it is compressed, when it was made, and its first bytes."""

    compressed: bool
    birth: int
    head: bytes
    broken: bool


@dataclass(slots=True)
class SourceState:
    """What there is to say about a source apart from numbers: problems by path."""

    problems: dict[str, str] = field(default_factory=dict)
    files: int = 0


def expand(pattern: str) -> list[Path]:
    """The paths that a pattern names, sorted; a path that exists is itself, whatever characters it holds."""
    path = Path(pattern)
    if path.exists() or not any(c in pattern for c in "*?["):
        return [path]
    parts = path.parts
    fixed = next(i for i, part in enumerate(parts) if any(c in part for c in "*?["))
    return sorted(Path(*parts[:fixed]).glob(str(Path(*parts[fixed:]))))


class FileInput:
    """The files of one source that are read line by line.

    `take_last`: half a line at the end of a file is all there will be of it. `again`: a file changed while it
    was read; the next `scan` tells what it is now.
    """

    def __init__(
        self, source: Source, checkpoint: Checkpoint, handles: Handles, clock: Callable[[], datetime]
    ) -> None:
        self.source = source
        self.checkpoint = checkpoint
        self.state = SourceState()
        self.take_last = False
        self.again = False
        self._handles = handles
        self._clock = clock
        self._tails: dict[str, Tail] = {}
        self._loose: dict[str, Life] = {life.generation: life for life in checkpoint.of(source.name)}
        self._copies = Copies()
        self._folders: dict[Path, dict[str, int]] = {}
        self._searches = SEARCHES if self._loose else 0

    # finding

    def scan(self) -> None:
        """Look at the files that there are now. Raises OSError only for the checkpoint."""
        self._folders.clear()
        for _ in range(LOOKS):
            self.again = False
            self._folders = {folder: _entries(folder) for folder in self._folders}
            self._look_around()
            if not self._folders:
                return
        self.again = True

    def _look_around(self) -> None:
        self.state.problems = {k: v for k, v in self.state.problems.items() if k.startswith("content:")}
        found = self._list()
        self.state.files = len(found)
        unknown = self._match_attached(found)
        self._identify(unknown)

    def _list(self) -> list[Found]:
        out: dict[tuple[int, int], Found] = {}
        for pattern in self.source.paths:
            for path in expand(pattern):
                if (found := self._look(path)) is not None:
                    out.setdefault(found.stat.key, found)
        return sorted(out.values(), key=lambda f: (f.stat.mtime_ns, str(f.path)))

    def _look(self, path: Path, *, report: bool = True) -> Found | None:
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            if report:
                self.state.problems[str(path)] = error.strerror or str(error)
            return None
        if not stat.S_ISREG(status.st_mode):
            if report and stat.S_ISDIR(status.st_mode):
                self.state.problems[str(path)] = f"is a folder; to read the files in it, write {path}/*"
            elif report:
                self.state.problems[str(path)] = "is not a file (a pipe, socket or device)"
            return None
        return Found(path, FileStat(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))

    def _match_attached(self, found: list[Found]) -> list[Found]:
        """Update the tails whose files are still there; gives the files that nobody has."""
        by_key = {tail.key: tail for tail in self._tails.values()}
        unknown: list[Found] = []
        present: set[str] = set()
        for one in found:
            tail = by_key.get(one.stat.key)
            if tail is None:
                unknown.append(one)
                continue
            if one.stat.size < tail.position and not tail.compressed:
                self._displace(tail)
                unknown.append(one)
                continue
            tail.path, tail.outside = one.path, False
            tail.stat = FileStat(*one.stat.key, one.stat.size, one.stat.mtime_ns, tail.stat.birth)
            present.add(tail.life.generation)
        for generation in [g for g in self._tails if g not in present]:
            self._absent(self._tails[generation])
        return unknown

    def _absent(self, tail: Tail) -> None:
        """A file that none of the paths names any more: read it to its end while it can be had."""
        tail.rotated = True
        if tail.is_open and not tail.compressed:
            try:
                tail.refresh()
            except OSError:
                self._displace(tail)
                return
        else:
            found = self._look(tail.path, report=False)
            if found is None or found.stat.key != tail.key:
                self._displace(tail)
                return
            tail.stat = FileStat(*tail.key, found.stat.size, found.stat.mtime_ns, tail.stat.birth)
        quiet = time.time_ns() - tail.stat.mtime_ns > QUIET_SECONDS * 1e9
        if not tail.has_news() and not tail.waiting and tail.life.offset == tail.position and quiet:
            self._release(tail)

    def _displace(self, tail: Tail) -> None:
        """The file of a tail is not its file any more; its life looks for another."""
        self._release(tail)
        self._searches = SEARCHES

    def _release(self, tail: Tail) -> None:
        life = tail.life
        self._handles.drop(tail)
        self._tails.pop(life.generation, None)
        self._copies.drop(tail)
        if tail.begun or self.checkpoint.knows(life):
            self._loose[life.generation] = life

    def _lives(self) -> list[Life]:
        """The lives of this source, also those of which nothing was sent yet."""
        return [*(tail.life for tail in self._tails.values()), *self._loose.values()]

    # recognising

    def _identify(self, unknown: list[Found]) -> None:
        some = (f for f in unknown if f.stat.size and not self._copies.has(f.stat))
        rest = [f for f in some if not self._tried(self._by_inode, f)]
        paths = {life.path for life in self._loose.values()} | {
            tail.life.path for tail in self._tails.values() if tail.rotated
        }
        fresh = {str(f.path) for f in rest} & {life.path for life in self._lives()}
        if fresh or (self._searches and paths):
            self._searches = max(0, self._searches - 1)
            rest += self._beyond(paths | fresh, {f.stat.key for f in unknown})
        rest.sort(key=lambda f: f.stat.mtime_ns)
        if not self._steady({f.path.parent for f in rest}):
            return
        rest = [f for f in rest if not self._tried(self._by_content, f)]
        # the name of a copy is longer than that of its original, which has to come first
        for one in sorted(rest, key=lambda f: len(f.path.name)):
            self._tried(self._begin, one)

    def _steady(self, folders: set[Path]) -> bool:
        """Whether nothing was renamed in these folders during this look, so that it has seen all files there.

        Files are listed one after the other: one that is renamed meanwhile is missed, while its compressed
        form is seen, and would be taken for new, or for what became of it. So files are told apart only where
        the names were the same before and after.
        """
        now = {folder: _entries(folder) for folder in folders}
        steady = all(self._folders.get(folder) == entries for folder, entries in now.items())
        self._folders = {} if steady else now
        return steady

    def _begin(self, one: Found) -> bool:
        """Begin a life, unless it is the copy of one that was begun just now."""
        if not self._is_copy(one) and (life := self._new_life(one)) is not None:
            self._attach(life, one)
        return True

    def _tried(self, attempt: Callable[[Found], bool], one: Found) -> bool:
        """Whether an attempt settled what a file is; one that was renamed meanwhile is left for later."""
        try:
            return attempt(one)
        except DisplacedError:
            self.again = True
        except OSError as error:
            self.state.problems[str(one.path)] = error.strerror or str(error)
        return True

    def _by_inode(self, one: Found) -> bool:
        """Attach a file to the life that was last read from it, if it still is."""
        known = [life for life in self._loose.values() if (life.device, life.inode) == one.stat.key]
        if not known:
            return False
        birth = one.inside().birth
        for life in known:
            same_birth = not birth or not life.birth or birth == life.birth
            if same_birth and one.matches(life.print):
                self._attach(life, one)
                return True
        return False

    def _by_content(self, one: Found) -> bool:
        """Attach a file to a life by its content, or see that it is only a copy, or not complete yet."""
        inside = one.inside()
        written = time.time_ns() - one.stat.mtime_ns < QUIET_SECONDS * 1e9
        if inside.broken and not inside.head and written:
            return True
        for life in sorted(self._loose.values(), key=lambda life: -life.print.end):
            live = Path(life.path)
            related = one.path == live or is_heir(live, one.path, compressed=inside.compressed)
            if not related and life.print.head_size < CERTAIN:
                continue
            same = one.matches(life.print)
            if same:
                self._attach(life, one)
                return True
            if same is None and written and (inside.compressed or one.begins_as(life.print)):
                return True
            if same is None and inside.compressed and one.begins_as(life.print):
                self.state.problems[str(one.path)] = "is damaged before the place that was read to"
                return True
        return self._is_copy(one)

    def _is_copy(self, one: Found) -> bool:
        """Whether a file is to be left alone, because its life is read from what it is a copy of."""
        for tail in self._copies.originals(one.path, compressed=one.inside().compressed):
            if is_beginning_of(one.path, one.stat.key, tail):
                self._copies.note(one.stat, tail)
                return True
            if not tail.is_itself():
                # truncated since it was listed, so this may be all there is of it: the next look will tell
                self._displace(tail)
                self.again = True
                return True
        return False

    def _beyond(self, paths: set[str], listed: set[tuple[int, int]]) -> list[Found]:
        """Files beside the paths that may hold what was displaced, or a generation that was never seen."""
        attached = {tail.key for tail in self._tails.values()}
        loose = {(life.device, life.inode) for life in self._loose.values()}
        out: list[Found] = []
        for folder in {Path(p).parent for p in paths}:
            names = {Path(p).name for p in paths if Path(p).parent == folder}
            for path in sorted(folder / name for name in _entries(folder)):
                found = self._look(path, report=False)
                if found is None or not found.stat.size or found.stat.key in attached | listed:
                    continue
                if found.stat.key in loose and self._tried(self._by_inode, found):
                    self._tails_outside(found)
                elif self._tried(lambda f, d=folder, n=names: not self._unseen(f, d, n), found) is False:  # type: ignore[misc] # bound here on purpose
                    out.append(found)
        return out

    def _tails_outside(self, found: Found) -> None:
        for tail in self._tails.values():
            if tail.key == found.stat.key:
                tail.outside = tail.rotated = True

    def _unseen(self, one: Found, folder: Path, names: Iterable[str]) -> bool:
        """Whether a file beyond the paths continues a life, or began one while nobody looked."""
        for name in names:
            if not rotated_name(name, one.path.name):
                continue
            lives = [x for x in self._lives() if x.path == str(folder / name)]
            if any(one.matches(life.print) for life in lives if life.generation in self._loose):
                return True
            if lives and one.stat.mtime_ns > max(life.mtime_ns for life in lives):
                return True
        return False

    def _attach(self, life: Life, one: Found) -> None:
        inside = one.inside()
        life.device, life.inode, life.birth = *one.stat.key, inside.birth
        stat_ = FileStat(*one.stat.key, one.stat.size, one.stat.mtime_ns, inside.birth)
        tail = Tail(life, one.path, stat_, self._handles, compressed=inside.compressed)
        live = one.path.with_name(live_name(one.path.name))
        tail.rotated = tail.compressed or str(one.path) != life.path or (live != one.path and live.exists())
        self._loose.pop(life.generation, None)
        self._tails[life.generation] = tail
        self._copies.add(tail)

    def _new_life(self, one: Found) -> Life | None:
        """A life for a file; the checkpoint gets it before the first event of it is sent."""
        inside = one.inside()
        if not inside.head:
            return None
        now = self._clock()
        source = self.source
        return Life(
            source=source.name,
            generation=new_generation(),
            collector=source.collector,
            path=str(one.path),
            epochs=[Epoch.begin(source, 0, now, encoding_of(inside.head, source.encoding))],
            print=Fingerprint(len(inside.head), digest(inside.head)),
            device=one.stat.device,
            inode=one.stat.inode,
            birth=inside.birth,
            mtime_ns=one.stat.mtime_ns,
            seen=timestamp(now),
        )

    # reading

    def tails(self) -> list[Tail]:
        """The files that are attached, the oldest first."""
        return sorted(self._tails.values(), key=lambda t: (not t.rotated, t.stat.mtime_ns, str(t.path)))

    def read(self, *, quota: int = QUOTA) -> Iterator[tuple[Tail, Chunk]]:
        """What is new, up to `quota` bytes of each file. A file that cannot be read becomes a problem."""
        for tail in self.tails():
            if not tail.has_news() and not (self.take_last and tail.waiting):
                continue
            try:
                for chunk in tail.read(quota, take_last=self.take_last):
                    yield tail, chunk
            except DisplacedError:
                self._displace(tail)
                self.again = True
            except OSError as error:
                self.state.problems[str(tail.path)] = error.strerror or str(error)
                self._handles.drop(tail)
            if tail.damage:
                self.state.problems[f"content:{tail.path}"] = tail.damage

    @property
    def behind(self) -> bool:
        """Whether something is left to read now, half lines apart."""
        return any(
            not t.complete if t.compressed else t.stat.size > t.position
            for t in self._tails.values()
            if str(t.path) not in self.state.problems
        )

    @property
    def half_lines(self) -> list[Tail]:
        """Files that end in half a line."""
        return [tail for tail in self._tails.values() if tail.waiting]

    @property
    def lag(self) -> int:
        """Bytes that are there and not acknowledged."""
        return sum(tail.lag for tail in self._tails.values())


def _entries(folder: Path) -> dict[str, int]:
    """The names in a folder with their inodes."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.inode() for entry in entries}
    except OSError:
        return {}
