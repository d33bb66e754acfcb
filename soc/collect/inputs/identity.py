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


def is_gzip(path: Path) -> bool:
    """Whether a file begins as a gzip file does (RFC 1952); False when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(3) == b"\x1f\x8b\x08"
    except OSError:
        return False


def open_bytes(path: Path) -> IO[bytes]:
    """The content of a file, decompressed where it is gzip. Raises OSError."""
    if is_gzip(path):
        return gzip.open(path, "rb")  # type: ignore[return-value] # a GzipFile reads as one
    return path.open("rb", buffering=0)


def fingerprint(path: Path, end: int) -> Fingerprint | None:
    """The fingerprint of the first `end` bytes of a file's content; None when it has fewer or is broken."""
    try:
        with open_bytes(path) as file:
            head = _exactly(file, min(end, SPAN))
            if head is None:
                return None
            tail_size = min(end, SPAN)
            file.seek(end - tail_size)
            tail = _exactly(file, tail_size)
    except (OSError, EOFError, zlib.error):
        return None
    return None if tail is None else Fingerprint(len(head), digest(head), tail_size, digest(tail), end)


def _exactly(file: IO[bytes], size: int) -> bytes | None:
    out = b""
    while len(out) < size:
        more = file.read(size - len(out))
        if not more:
            return None
        out += more
    return out


def matches(path: Path, known: Fingerprint) -> bool | None:
    """Whether the content of a file goes on where the bytes of `known` end.

    None: as far as it goes it agrees, but it is shorter, or is compressed and broken. A fingerprint of no
    bytes matches nothing: an empty file has no content to be known by.
    """
    if not known.head_size:
        return False
    try:
        with open_bytes(path) as file:
            head = _exactly(file, known.head_size)
            if head is None:
                return None
            if digest(head) != known.head:
                return False
            if not known.tail_size or known.end == known.head_size == known.tail_size:
                return True
            file.seek(known.end - known.tail_size)
            tail = _exactly(file, known.tail_size)
            return None if tail is None else digest(tail) == known.tail
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return None
    except OSError:
        return False


def begins_like(path: Path, other: Path, size: int) -> bool:
    """Whether the first `size` bytes of a file are those of another: a copy that is still being made."""
    mine, theirs = fingerprint(path, size), fingerprint(other, size)
    return mine is not None and mine == theirs


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
