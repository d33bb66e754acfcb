"""What an extension remembers, in documents of the store: read, changed and written by compare-and-set.

A memory is cut into shards by hash, so that several sweepers seldom meet on one document and none grows
without bound. A change is a function of the document as it is; where another sweeper was faster it is asked
again over what that one wrote. With `dry_run` nothing is written, and what was decided is kept for this
process alone.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from soc.errors import ConflictError
from soc.store.contract import Document, Store, VersionConflictError, Write

KIND = "beyond"
"""Kind of the documents."""
ATTEMPTS = 30
MOST_MARKS = 20_000
_MARK = 8
T = TypeVar("T")

Change = Callable[[dict[str, Any] | None], tuple[dict[str, Any] | None, T]]
"""From a document's body (None: there is none) to the body to write (None: leave it) and a result."""


def digest(*parts: str) -> bytes:
    """8 bytes that stand for `parts`."""
    joined = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(joined, digest_size=8).digest()


class Marks:
    """Which events were taken, by a hash of their ids: the last `most` of them, which is more than a crash
    can repeat (`soc.detect.sweep.BATCH` for each sweeper at work).
    """

    def __init__(self, packed: str = "", most: int = MOST_MARKS) -> None:
        raw = base64.b64decode(packed)
        self._marks = dict.fromkeys(raw[at : at + _MARK] for at in range(0, len(raw), _MARK))
        self._most = most

    def __len__(self) -> int:
        return len(self._marks)

    def __contains__(self, event: str) -> bool:
        return digest(event) in self._marks

    def add(self, event: str) -> bool:
        """Note an event; whether it was not noted before."""
        mark = digest(event)
        if mark in self._marks:
            return False
        self._marks[mark] = None
        if len(self._marks) > self._most:
            del self._marks[next(iter(self._marks))]
        return True

    def packed(self) -> str:
        """As text."""
        return base64.b64encode(b"".join(self._marks)).decode()


class Memory:
    """The documents of one rule's extension; `name` tells them from those of others."""

    def __init__(self, store: Store, name: str, *, dry_run: bool = False) -> None:
        self.store = store
        self.name = name
        self.dry_run = dry_run
        self._known: dict[str, Document | None] = {}

    def forget(self) -> None:
        """Read everything again: others may have changed it."""
        if not self.dry_run:
            self._known.clear()

    def id(self, part: str) -> str:
        """The id of the document that holds a part."""
        return f"{self.name}:{part}"

    def read(self, part: str) -> dict[str, Any] | None:
        """The body of a part's document; not to be changed in place."""
        self.fetch([part])
        known = self._known[part]
        return known.body if known else None

    def fetch(self, parts: list[str]) -> None:
        """Read several parts at once."""
        wanted = {self.id(part): part for part in parts if part not in self._known}
        found = self.store.read_many(KIND, [*wanted]) if wanted else {}
        for id_, part in wanted.items():
            self._known[part] = found.get(id_)

    def change(self, changes: Mapping[str, Change[T]]) -> dict[str, T]:
        """Change parts, each on its own; the results by part.

        Raises `ConflictError` when others are always faster.
        """
        out: dict[str, T] = {}
        waiting = dict(changes)
        for _ in range(ATTEMPTS):
            self.fetch([*waiting])
            writes: list[tuple[str, Write]] = []
            for part, change in waiting.items():
                known = self._known[part]
                body, out[part] = change(known.body if known else None)
                if body is not None:
                    writes.append((part, Write(KIND, self.id(part), body, known.version if known else 0)))
            waiting = {part: waiting[part] for part in self._write(writes)}
            if not waiting:
                return out
        raise ConflictError(
            "what a rule remembers is being changed by another sweep all the time",
            hint="soc sweep status shows who; stop one of them",
        )

    def _write(self, writes: list[tuple[str, Write]]) -> list[str]:
        """Write; the parts that another was faster with."""
        again = []
        results: list[Document | VersionConflictError]
        if self.dry_run:
            results = [Document(w.kind, w.id, w.expect + 1, dict(w.body or {}), "", "") for _, w in writes]
        else:
            results = self.store.write([w for _, w in writes]) if writes else []
        for (part, _), result in zip(writes, results, strict=True):
            if isinstance(result, VersionConflictError):
                again.append(part)
                self._known[part] = result.current
            else:
                self._known[part] = result
        return again
