"""What collection remembers: each life of each file, how far it was acknowledged, and how it is read.

The checkpoint is a journal, `checkpoint.jsonl`: one record a line, each the whole state of one life, after
its checksum. Records are appended and synced after the store acknowledged; one sync serves all files of a
batch. Now and then the journal is written anew, and the old one stays as `checkpoint.previous.jsonl`. So a
torn or damaged record is noticed and the state before it holds; going back repeats events under the ids they
had, which stores nothing twice.

What decides where an event is stored (zone, base time, retention class, host) is fixed in *epochs* of a life.
A new epoch begins only where everything before it was acknowledged, so a replay always uses the old one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from soc.collect.inputs.identity import Fingerprint
from soc.errors import ConflictError, SocError
from soc.event import source_key, timestamp

if TYPE_CHECKING:
    from soc.config import Source

JOURNAL, PREVIOUS, LOCK = "checkpoint.jsonl", "checkpoint.previous.jsonl", "lock"
COMPACT_BYTES = 4 * 1024 * 1024
"""The journal is written anew when it is larger than this and four times what it holds."""

EPOCHS_KEPT = 40
"""How many epochs of a life are remembered; a rewind to before them uses the oldest."""

VERSION = 1


@dataclass(frozen=True, slots=True)
class Epoch:
    """How bytes from `offset` on are read. `now`, an event's time text, is the base of years.

    `shift`: seconds added to the times of a recorded log (`soc.config.Source.shift`).
    """

    offset: int
    now: str
    timezone: str = "UTC"
    retention: str = "standard"
    host: str = ""
    encoding: str = "utf-8"
    shift: int = 0

    @classmethod
    def begin(cls, source: Source, offset: int, now: datetime, encoding: str) -> Epoch:
        """An epoch with the settings of a source; a recorded log begins in the time it was recorded."""
        recorded = timestamp(now - timedelta(seconds=source.shift))
        return cls(offset, recorded, source.timezone, source.retention, source.host, encoding, source.shift)

    def same_settings(self, other: Epoch) -> bool:
        """Whether both read alike, apart from when they began."""
        return replace(self, offset=other.offset, now=other.now) == other


@dataclass(slots=True)
class Counts:
    """Records of one life: `read = stored + duplicate + parked + format`; `unparsed` are stored as such."""

    read: int = 0
    stored: int = 0
    duplicate: int = 0
    parked: int = 0
    format: int = 0
    unparsed: int = 0

    def add(self, other: Counts) -> None:
        """Add another's numbers to these."""
        self.read += other.read
        self.stored += other.stored
        self.duplicate += other.duplicate
        self.parked += other.parked
        self.format += other.format
        self.unparsed += other.unparsed

    @property
    def balanced(self) -> bool:
        """Whether every record that was read has a fate."""
        return self.read == self.stored + self.duplicate + self.parked + self.format


@dataclass(slots=True)
class Life:
    """One file from its first byte to its last, and how far of it the store has acknowledged.

    `offset` counts bytes of the content (decompressed), or records of a report file. `prologue` holds the
    format lines (headers) that a decoder must see again before it goes on. `last_time` is the time of the
    last record that had one, for the next that has none. `contents` are hashes of what a report file held,
    the last one now; while it is not read to its end, its `size` is -1.
    """

    source: str
    generation: str
    collector: str
    path: str
    epochs: list[Epoch]
    offset: int = 0
    print: Fingerprint = field(default_factory=Fingerprint)
    device: int = 0
    inode: int = 0
    birth: int = 0
    size: int = 0
    mtime_ns: int = 0
    prologue: list[str] = field(default_factory=list)
    last_time: str = ""
    contents: list[str] = field(default_factory=list)
    seen: str = ""
    counts: Counts = field(default_factory=Counts)

    @property
    def key(self) -> str:
        """The first part of the ids of this life's events."""
        return source_key(self.source, self.generation)

    def epoch_at(self, offset: int) -> Epoch:
        """The epoch of the byte at `offset`; the oldest one known for what lies before it."""
        for epoch in reversed(self.epochs):
            if epoch.offset <= offset:
                return epoch
        return self.epochs[0]

    @property
    def epoch(self) -> Epoch:
        """The epoch of the next byte."""
        return self.epoch_at(self.offset)


def new_generation() -> str:
    """A name for a new life, drawn at random: machines from one image never draw the same."""
    return secrets.token_hex(8)


def _encode(life: Life) -> bytes:
    import orjson

    data = asdict(life)
    data["v"] = VERSION
    text = orjson.dumps(data)
    return hashlib.blake2b(text, digest_size=8).hexdigest().encode() + b" " + text + b"\n"


def _decode(line: bytes) -> Life | None:
    """The life in a line of the journal; None when it is damaged."""
    import orjson

    checksum, _, text = line.partition(b" ")
    if hashlib.blake2b(text, digest_size=8).hexdigest().encode() != checksum:
        return None
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if data.pop("v", 0) != VERSION:
        raise SocError(
            "the checkpoint was written by a newer version of soc", hint="upgrade soc on this machine"
        )
    data["print"] = Fingerprint(**data["print"])
    data["epochs"] = [Epoch(**e) for e in data["epochs"]]
    data["counts"] = Counts(**data["counts"])
    return Life(**data)


_BEGUN = re.compile(rb"[0-9a-f]{0,16}\Z|[0-9a-f]{16} (?:\{|\Z)")


@dataclass(slots=True)
class _Loaded:
    lives: dict[tuple[str, str], Life] = field(default_factory=dict)
    good: int = 0
    damaged: int = 0
    torn: bool = False


def _load(path: Path, into: dict[tuple[str, str], Life] | None = None) -> _Loaded | None:
    """Read a journal; None when there is none. `good` is where to append. Raises OSError."""
    out = _Loaded(into if into is not None else {})
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with file:
        for line in file:
            if not line.endswith(b"\n"):
                # the beginning of a record was torn off by a crash; anything else is damage
                out.torn = _BEGUN.match(line) is not None
                out.damaged += not out.torn
                break
            life = _decode(line[:-1])
            if life is None:
                out.damaged += 1
            else:
                out.lives[life.source, life.generation] = life
            out.good += len(line)
    return out


class Checkpoint:
    """The lives that a state folder remembers. Open it once per process; it holds the folder's lock.

    `notes` says what was found damaged on opening. Every write is on disk when it returns, or raises OSError
    and has changed nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lives: dict[tuple[str, str], Life] = {}
        self.notes: list[str] = []
        self._lock = -1
        self._file = -1
        self._length = 0

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Open the state in `folder` for writing.

        Raises `ConflictError` when another process has it open, `SocError` when all of it is damaged.
        """
        _must_be_folder(folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self = cls(folder)
        self._take_lock()
        try:
            self._read()
            self._file = os.open(folder / JOURNAL, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._file, self._length)
            _sync_folder(folder)
        except BaseException:
            self.close()
            raise
        return self

    @classmethod
    def look(cls, folder: Path) -> Checkpoint:
        """The state in `folder` to look at: takes no lock and writes nothing. Raises `SocError`."""
        _must_be_folder(folder)
        self = cls(folder)
        self._read()
        return self

    def _take_lock(self) -> None:
        self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip()
            os.close(self._lock)
            self._lock = -1
            raise ConflictError(
                f"another `soc collect run` (process {owner or 'unknown'}) uses the state in {self.folder}",
                hint="stop it first, or give this one its own `state:` in soc.yml",
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def _read(self) -> None:
        journal, previous = self.folder / JOURNAL, self.folder / PREVIOUS
        current = _load(journal)
        if current is None or current.damaged:
            # the previous one first, so that whatever still holds in the current one lies on top of it
            older = _load(previous)
            lives = older.lives if older else {}
            current = _load(journal, lives) or (_Loaded(lives) if older else None)
            if older and older.lives:
                self.notes.append(f"{journal} is damaged or gone; went back to {previous.name} where needed")
        if current is None:
            return
        if current.damaged and not current.lives:
            raise SocError(
                "the checkpoint is damaged and nothing of it can be read",
                place=journal,
                hint=f"move {self.folder} away to start anew; what was collected before is then stored again",
            )
        if current.damaged:
            self.notes.append(f"{journal}: {current.damaged} damaged records were left out")
        if current.torn:
            self.notes.append(f"{journal}: the last record is torn; went on from the one before it")
        self.lives = current.lives
        self._length = current.good

    def of(self, source: str) -> list[Life]:
        """The lives of a source."""
        return [life for (name, _), life in self.lives.items() if name == source]

    def knows(self, life: Life) -> bool:
        """Whether a life was saved, so that events of it may have been sent."""
        return (life.source, life.generation) in self.lives

    def save(self, lives: Sequence[Life]) -> None:
        """Put the state of these lives on disk. Raises OSError (a full disk); then nothing has changed."""
        data = b"".join(map(_encode, lives))
        at = self._length
        while at < self._length + len(data):
            at += os.pwrite(self._file, data[at - self._length :], at)
        os.fsync(self._file)
        self._length += len(data)
        for life in lives:
            self.lives[life.source, life.generation] = life
        if self._length > COMPACT_BYTES and self._length > 4 * len(self.lives) * max(
            len(data) // len(lives), 1
        ):
            self.compact()

    def forget(self, lives: Iterable[Life]) -> None:
        """Drop lives, at the next compaction also from disk."""
        for life in lives:
            self.lives.pop((life.source, life.generation), None)

    def compact(self) -> None:
        """Write it anew and keep the old one as the previous. Raises OSError; the old stands then."""
        journal, previous, fresh = (self.folder / n for n in (JOURNAL, PREVIOUS, JOURNAL + ".new"))
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            length = 0
            for life in self.lives.values():
                data = memoryview(_encode(life))
                while data:
                    written = os.pwrite(file, data, length)
                    length += written
                    data = data[written:]
            os.fsync(file)
            previous.unlink(missing_ok=True)
            previous.hardlink_to(journal)
            fresh.replace(journal)
            _sync_folder(self.folder)
        except OSError:
            os.close(file)
            fresh.unlink(missing_ok=True)
            raise
        os.close(self._file)
        self._file, self._length = file, length

    def close(self) -> None:
        """Let go of the journal and the lock."""
        for name in ("_file", "_lock"):
            descriptor = getattr(self, name)
            if descriptor >= 0:
                os.close(descriptor)
                setattr(self, name, -1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _must_be_folder(folder: Path) -> None:
    for part in (folder, *folder.parents):
        if part.exists() and not part.is_dir():
            raise SocError(
                "this is a file, and the state needs a folder", place=part, hint="correct `state:`"
            )


def _sync_folder(folder: Path) -> None:
    """Make a rename or a new name survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some file systems refuse to sync a folder; there is nothing better to do
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def state_folder(state: Path, store: str, space: str = "") -> Path:
    """The folder of the state of collection into one store and space: what one has seen, another has not."""
    name = hashlib.blake2b(f"{store}\0{space}".encode(), digest_size=6).hexdigest()
    return state / "collect" / name


def describe(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """The lives as rows for people and programs: source, path, generation, offset and counts."""
    return [
        {
            "source": life.source,
            "path": life.path,
            "generation": life.generation,
            "offset": life.offset,
            "seen": life.seen,
            **asdict(life.counts),
            "balanced": life.counts.balanced,
        }
        for life in checkpoint.lives.values()
    ]
