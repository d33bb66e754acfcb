"""Compiled rules on disk: pySigma needs seconds for thousands of rules, a command-line tool must not.

One file per combination of program versions, pipelines and field mapping, in the platform's cache folder.
It holds, for the hash of each rule file's content, what was compiled from it, so that a changed file costs
only its own compilation. The format is MessagePack, read by msgspec into declared types: a forged or
corrupt cache can at worst be refused, never run anything. The folder belongs to its user alone.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from soc.detect.predicate import And, Not, Op, Or, Predicate, Test

FORMAT = 2
"""Version of the file format; another one is not read."""

MAX_FILES = 16
"""How many cache files are kept; the oldest are removed."""

Tree = int | list[Any]
"""A predicate: the index of a test, or [kind, part, …] with kind 0 and, 1 or, 2 not."""

_AND, _OR, _NOT = 0, 1, 2
_OPS = {op.value: op for op in Op}


class Finding(msgspec.Struct, array_like=True, omit_defaults=True):
    """A `Problem` without its path."""

    kind: str
    message: str
    line: int = 0
    column: int = 0
    severity: str = "error"
    hint: str = ""


class Record(msgspec.Struct, array_like=True, omit_defaults=True):
    """One document of a rule file, compiled; without its path and its log source's condition."""

    kind: str
    id: str
    title: str
    line: int
    level: str
    status: str
    description: str
    author: str
    date: str
    modified: str
    name: str
    tags: tuple[str, ...]
    references: tuple[str, ...]
    falsepositives: tuple[str, ...]
    logsource: tuple[str, str, str]
    fields: tuple[str, ...]
    tree: Any
    version: str
    undecidable: str = ""
    attributes: dict[str, Any] = {}
    definition: dict[str, Any] | None = None
    related: tuple[tuple[str, str], ...] = ()


class Entry(msgspec.Struct, array_like=True):
    """What one rule file gave."""

    records: list[Record]
    findings: list[Finding]


class Contents(msgspec.Struct, array_like=True):
    """The whole file: `tests` is the table of distinct tests that the trees point into."""

    format: int
    tests: list[tuple[str | None, str, Any, bool, str]]
    entries: dict[str, Entry]


class TestTable:
    """Distinct tests, each with its number."""

    __test__ = False  # pytest: not a class of tests

    def __init__(self, known: Iterable[Test] = ()) -> None:
        self.tests: list[Test] = list(known)
        self._numbers: dict[Test, int] | None = None

    def tree(self, predicate: Predicate) -> Tree:
        """A predicate as numbers."""
        if isinstance(predicate, Test):
            return self._number(predicate)
        if isinstance(predicate, Not):
            return [_NOT, self.tree(predicate.part)]
        kind = _AND if isinstance(predicate, And) else _OR
        return [kind, *map(self.tree, predicate.parts)]

    def _number(self, test: Test) -> int:
        if self._numbers is None:
            self._numbers = {t: n for n, t in enumerate(self.tests)}
        number = self._numbers.setdefault(test, len(self.tests))
        if number == len(self.tests):
            self.tests.append(test)
        return number

    def predicate(self, tree: Any) -> Predicate:
        """Numbers as a predicate. Raises ValueError, IndexError or TypeError for what is none."""
        if type(tree) is int:
            return self.tests[tree]
        tests = self.tests
        # a loop over the parts, not a call for each: most of them are tests
        inner = tuple([tests[part] if type(part) is int else self.predicate(part) for part in tree[1:]])
        if tree[0] == _AND:
            return And(inner)
        if tree[0] == _OR:
            return Or(inner)
        if tree[0] != _NOT or len(inner) != 1:
            raise ValueError("an unknown kind of node")
        return Not(inner[0])


class Cache:
    """The entries of one cache file: look up by content hash, add, save."""

    def __init__(self, folder: Path | None, key: str) -> None:
        self.path = folder / f"rules-{key}.msgpack" if folder else None
        self.table = TestTable()
        self.entries: dict[str, Entry] = {}
        self._added = False
        if self.path is not None:
            self._load(self.path)

    def _load(self, path: Path) -> None:
        """Take in the file when it is there, ours, and sound; anything else is as if it were not there."""
        try:
            contents = msgspec.msgpack.decode(read_own(path), type=Contents)
            if contents.format != FORMAT:
                return
            tests = [_test(row) for row in contents.tests]
        except (OSError, ValueError, TypeError, KeyError, msgspec.MsgspecError, RecursionError):
            return
        self.table = TestTable(tests)
        self.entries = contents.entries

    def add(self, digest: str, entry: Entry) -> None:
        """Keep what a file gave."""
        self.entries[digest] = entry
        self._added = True

    def save(self, used: set[str]) -> None:
        """Write the file anew when something was added; entries that are not in `used` are dropped.

        A cache that cannot be written is only slower next time, so this raises nothing for that.
        """
        if self.path is None or not self._added:
            return
        entries = {digest: entry for digest, entry in self.entries.items() if digest in used}
        rows = [(t.field, t.op.value, t.operand, t.cased, t.flags) for t in self.table.tests]
        # OverflowError: a rule quotes a number beyond 64 bits, which the format cannot hold
        with suppress(OSError, OverflowError):
            write_own(self.path, msgspec.msgpack.encode(Contents(FORMAT, rows, entries)))


def _test(row: Sequence[Any]) -> Test:
    field, op, operand, cased, flags = row
    if isinstance(operand, list):
        operand = tuple(operand)
    return Test(field, _OPS[op], operand, cased, flags)


def _private(path: Path) -> None:
    """Create the folder for its owner alone. Raises PermissionError when others can write into it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{path} is not a folder of this user alone")


def read_own(path: Path) -> bytes:
    """The contents of a file that `write_own` of this user wrote. Raises OSError or ValueError."""
    _private(path.parent)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise PermissionError(f"{path} can be written by others")
        raw = file.read()
    if hashlib.blake2b(raw[16:], digest_size=16).digest() != raw[:16]:
        raise ValueError("damaged")
    return raw[16:]


def write_own(path: Path, raw: bytes) -> None:
    """Write a cache file at once or not at all, with a checksum. Raises OSError."""
    _private(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".rules-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.blake2b(raw, digest_size=16).digest() + raw)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    _prune(path.parent)


def _prune(folder: Path) -> None:
    files = sorted(folder.glob("*.msgpack"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in files[MAX_FILES:]:
        old.unlink(missing_ok=True)
