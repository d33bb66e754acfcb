"""Which file is which: finding the life of a file again under another name, as a copy, or compressed.

A *life* is one file from its first byte to its last: a log between two rotations. What identifies it is a
generation drawn at random; everything here only finds it again. Evidence is the inode with the file's birth
time, and the hash of the bytes that were already read (their head and their tail, however few they are). An
inode alone proves nothing: file systems give the number of a deleted file to the next one.
"""

from __future__ import annotations

import ctypes
import gzip
import hashlib
import os
import re
import sys
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

SPAN = 4096
"""How many bytes of head and of tail are hashed, at most."""

GZIP = (".gz",)
"""Endings of compressed files; the content decides whether they are."""


@dataclass(frozen=True, slots=True)
class FileStat:
    """What the file system says of a file. `birth` is in nanoseconds, 0 where it is not known."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    birth: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """Device and inode: one file under all its names, as long as it exists."""
        return self.device, self.inode


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hashes of the first `head_size` bytes and of the `tail_size` bytes before `end`."""

    head_size: int = 0
    head: str = ""
    tail_size: int = 0
    tail: str = ""
    end: int = 0


def digest(data: bytes) -> str:
    """A short hash of bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def file_stat(path: Path | int, *, birth: bool = False) -> FileStat:
    """The status of a file, by name or descriptor; with `birth` also when it was made. Raises OSError."""
    found = os.fstat(path) if isinstance(path, int) else path.stat()
    made = birth_time(path) if birth else 0
    return FileStat(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, made)


class _StatxTime(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_int64), ("nsec", ctypes.c_uint32), ("pad", ctypes.c_int32))


class _Statx(ctypes.Structure):
    # struct statx of linux/stat.h: 256 bytes, of which only the mask and the birth time are looked at
    _fields_ = (
        ("mask", ctypes.c_uint32),
        ("skipped", ctypes.c_char * 76),
        ("btime", _StatxTime),
        ("rest", ctypes.c_char * 160),
    )


_BTIME = 0x800
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000


@cache
def _statx() -> Any:
    """The C library's statx, which Python does not offer; None where there is none."""
    if sys.platform != "linux":
        return None
    with suppress(OSError, AttributeError):
        return ctypes.CDLL(None, use_errno=True).statx
    return None


def birth_time(path: Path | int) -> int:
    """When a file was made, in nanoseconds since 1970; 0 where system or file system does not say."""
    call = _statx()
    if call is None:
        return 0
    out = _Statx()
    by_name = not isinstance(path, int)
    folder, name, flags = (_AT_FDCWD, os.fsencode(path), 0) if by_name else (path, b"", _AT_EMPTY_PATH)  # type: ignore[arg-type] # not an int here
    if call(folder, name, flags, _BTIME, ctypes.byref(out)) != 0 or not out.mask & _BTIME:
        return 0
    return int(out.btime.sec) * 1_000_000_000 + int(out.btime.nsec)


# content


class DisplacedError(Exception):
    """The file under a name is not the one that it was: truncated, replaced, or renamed meanwhile."""


def open_bytes(path: Path, key: tuple[int, int] | None = None) -> IO[bytes] | gzip.GzipFile:
    """The content of a file, decompressed where it begins as a gzip file does (RFC 1952).

    `key`: device and inode that it must have; `DisplacedError` when the name has another file by now. Raises
    OSError.
    """
    try:
        raw = path.open("rb", buffering=0)
    except FileNotFoundError:
        if key is None:
            raise
        raise DisplacedError from None
    try:
        found = os.fstat(raw.fileno())
        if key is not None and (found.st_dev, found.st_ino) != key:
            raise DisplacedError
        if os.pread(raw.fileno(), len(_MAGIC), 0) != _MAGIC:
            return raw
    except BaseException:
        raw.close()
        raise
    packed = gzip.GzipFile(fileobj=raw)
    packed.myfileobj = raw  # closed with it
    return packed


_MAGIC = b"\x1f\x8b\x08"


def fingerprint(path: Path, end: int, key: tuple[int, int] | None = None) -> Fingerprint | None:
    """The fingerprint of the first `end` bytes of a file's content; None when it has fewer.

    Raises OSError.
    """
    try:
        with open_bytes(path, key) as file:
            head = _exactly(file, min(end, SPAN))
            if head is None:
                return None
            tail_size = min(end, SPAN)
            file.seek(end - tail_size)
            tail = _exactly(file, tail_size)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return None
    return None if tail is None else Fingerprint(len(head), digest(head), tail_size, digest(tail), end)


def _exactly(file: IO[bytes] | gzip.GzipFile, size: int) -> bytes | None:
    out = b""
    while len(out) < size:
        more = file.read(size - len(out))
        if not more:
            return None
        out += more
    return out


def matches(path: Path, known: Fingerprint, key: tuple[int, int] | None = None) -> bool | None:
    """Whether the content of a file goes on where the bytes of `known` end.

    None: it is shorter, or is compressed and not complete, so there is no telling yet. A fingerprint of no
    bytes matches nothing: an empty file has no content to be known by. `key` as for `open_bytes`. Raises
    OSError.
    """
    if not known.head_size:
        return False
    try:
        with open_bytes(path, key) as file:
            # a compressed file that ends properly will not become longer
            short = False if isinstance(file, gzip.GzipFile) else None
            head = _exactly(file, known.head_size)
            if head is None:
                return short
            if digest(head) != known.head:
                return False
            if not known.tail_size or known.end == known.head_size == known.tail_size:
                return True
            file.seek(known.end - known.tail_size)
            tail = _exactly(file, known.tail_size)
            return short if tail is None else digest(tail) == known.tail
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return None


# names

_NUMBERED = re.compile(r"[.\-_~]?[0-9][0-9TZ:._\-]*\Z")
_SET_ASIDE = (".old", ".bak", ".prev", ".orig", ".save", "~")


def rotated_name(base: str, name: str) -> bool:
    """Whether a file name is a rotated form of another: a number or date after it or before its ending.

    `access.log` gives `access.log.1`, `access.log.2.gz`, `access.log-20260302`, `access-2026-03-02.log`,
    `access.log.old`.
    """
    for ending in GZIP:
        name = name.removesuffix(ending)
    if name == base:
        return False
    if name.startswith(base):
        rest = name[len(base) :]
        return rest in _SET_ASIDE or _NUMBERED.match(rest) is not None
    stem, dot, ending = base.rpartition(".")
    if not dot or not name.startswith(stem) or not name.endswith("." + ending):
        return False
    return _NUMBERED.match(name[len(stem) : -len(ending) - 1]) is not None


_SUFFIX = re.compile(r"(?<=.)[.\-_~][0-9][0-9TZ:._\-]*\Z")
_DATE = re.compile(r"[.\-_]?(?:19|20)[0-9]{2}[\-_.]?[0-9]{2}[\-_.]?[0-9]{2}[0-9TZ:._\-]*?(?=\.[A-Za-z]|\Z)")


def live_name(name: str) -> str:
    """The name under which a rotated file was written: `access.log` for `access.log.2.gz`.

    Other names come back as they are, without an ending for compression.
    """
    for ending in GZIP:
        name = name.removesuffix(ending)
    for ending in _SET_ASIDE:
        name = name.removesuffix(ending) or name
    return _DATE.sub("", _SUFFIX.sub("", name)) or name


def is_heir(live: Path, path: Path, *, compressed: bool) -> bool:
    """Whether a file may, by its name, hold what was once written under the name `live`.

    A rotated form of that name in the same folder, that name with anything after it, or, for a compressed
    file, any other rotated form of the same log.
    """
    if path.parent != live.parent or path.name == live.name:
        return False
    if rotated_name(live.name, path.name) or path.name.startswith((live.name + ".", live.name + "-")):
        return True
    return compressed and live_name(live.name) == live_name(path.name)
