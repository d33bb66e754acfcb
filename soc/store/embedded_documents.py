"""Documents and the audit log of the embedded store."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from soc.detect.predicate import EVERYTHING, Op, Predicate, matches, tests
from soc.errors import SocError
from soc.event import flatten, timestamp
from soc.store.contract import AuditRecord, Document, VersionConflictError, Write
from soc.store.embedded_codec import UnfitError, decode, encode
from soc.store.embedded_file import Database
from soc.store.embedded_filter import Needles

PAGE_ROWS = 2_000
PAGE_BYTES = 16 * 1024 * 1024
"""Bounds of one read: rows, and bytes of their bodies."""

_COLUMNS = "kind, id, version, changed_by, changed_at, body"


def user() -> str:
    """The operating system's name of the effective user, whatever the environment claims."""
    import pwd

    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid:{uid}"


def _checked(write: Write) -> Write:
    try:
        f"{write.kind}{write.id}".encode()
    except UnicodeEncodeError:
        raise SocError(
            f"{write.kind} {write.id!a} is no name for a document: it is no Unicode text"
        ) from None
    return write


def _encoded(what: str, body: Mapping[str, Any]) -> bytes | str:
    try:
        return encode(body)
    except UnfitError as error:
        raise SocError(f"{what} cannot be stored: {error}") from None


def _document(row: tuple[Any, ...]) -> Document:
    kind, id_, version, changed_by, changed_at, body = row
    return Document(kind, id_, version, decode(body), changed_by, changed_at)


def _fields(where: Predicate) -> frozenset[str] | None:
    """The fields that a predicate asks about; None for all."""
    names: set[str] = set()
    for test in tests(where):
        if test.field is None:
            return None
        names.add(test.field)
        if test.op is Op.FIELDREF:
            names.add(test.operand)
    return frozenset(names)


def _part(body: dict[str, Any], asked: frozenset[str] | None) -> dict[str, Any]:
    """What of a body can become one of the fields asked about: flattening samples of events takes long."""
    if asked is None:
        return body
    return {key: body[key] for key in body if any(f == key or f.startswith(f"{key}.") for f in asked)}


class Documents:
    """Documents by kind and id, with compare-and-set (see `soc.store.contract.Store`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, kind: str, id_: str) -> Document | None:
        """The document, or None."""
        rows = self._database.read(
            f"SELECT {_COLUMNS} FROM documents WHERE kind = ? AND id = ? AND body IS NOT NULL",  # noqa: S608 - constants
            (kind, id_),
        )
        return _document(rows[0]) if rows else None

    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        """Compare and set each; all that agree are committed together."""
        bodies = [
            None if w.body is None else _encoded(f"{w.kind} {w.id}", w.body) for w in map(_checked, writes)
        ]
        if not writes:
            return []
        by, at = user(), timestamp(datetime.now(UTC))
        with self._database.write() as connection:
            return [
                _write_one(connection, write, body, by, at)
                for write, body in zip(writes, bodies, strict=True)
            ]

    def find(self, kind: str, where: Predicate, limit: int | None) -> Iterator[Document]:
        """Documents of a kind on which the predicate holds, by id."""
        needles, asked = Needles.of(where), _fields(where)
        found, after = 0, ""
        first = True
        while limit is None or found < limit:
            rows, complete = self._database.page(
                f"SELECT {_COLUMNS} FROM documents WHERE kind = ? AND id {'>=' if first else '>'} ? "  # noqa: S608 - constants
                "AND body IS NOT NULL ORDER BY id LIMIT ?",
                (kind, after, PAGE_ROWS),
                PAGE_BYTES,
            )
            first = False
            for row in rows:
                if not needles.may_match(row[-1]):
                    continue
                document = _document(row)
                if where == EVERYTHING or matches(where, flatten(_part(document.body, asked))):
                    yield document
                    found += 1
                    if limit is not None and found >= limit:
                        return
            if complete and len(rows) < PAGE_ROWS:
                return
            after = rows[-1][1]

    def counts(self) -> dict[str, int]:
        """How many documents of each kind there are."""
        return dict(
            self._database.read(
                "SELECT kind, count(*) FROM documents WHERE body IS NOT NULL GROUP BY kind ORDER BY kind"
            )
        )


def _write_one(
    connection: sqlite3.Connection, write: Write, body: bytes | str | None, by: str, at: str
) -> Document | VersionConflictError:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM documents WHERE kind = ? AND id = ?",  # noqa: S608 - constants
        (write.kind, write.id),
    ).fetchone()
    last = row[2] if row else 0
    current = _document(row) if row and row[-1] is not None else None
    if write.expect != (current.version if current else 0):
        return VersionConflictError(write, current)
    if body is None and current is None:
        return Document(write.kind, write.id, 0, {}, by, at)
    connection.execute(
        "INSERT INTO documents (kind, id, version, body, changed_by, changed_at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, body = excluded.body, "
        "changed_by = excluded.changed_by, changed_at = excluded.changed_at",
        (write.kind, write.id, last + 1, body, by, at),
    )
    if body is None:
        return Document(write.kind, write.id, 0, {}, by, at)
    return Document(write.kind, write.id, last + 1, decode(body), by, at)


class AuditLog:
    """Numbered records that are created once (see `soc.store.contract.Store`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, number: int, body: Mapping[str, Any]) -> bool:
        """Create the record `number`; False when it is taken."""
        if number < 1:
            raise ValueError("audit records are numbered from 1")
        encoded = _encoded(f"audit record {number}", body)
        with self._database.write() as connection:
            done = connection.execute(
                "INSERT INTO audit (number, body, user) VALUES (?, ?, ?) ON CONFLICT (number) DO NOTHING",
                (number, encoded, user()),
            )
            return done.rowcount == 1

    def read(self, after: int, limit: int | None) -> Iterator[AuditRecord]:
        """Records with a number above `after`, ascending."""
        left = limit
        while left is None or left > 0:
            wanted = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
            rows, complete = self._database.page(
                "SELECT number, user, body FROM audit WHERE number > ? ORDER BY number LIMIT ?",
                (after, wanted),
                PAGE_BYTES,
            )
            for number, by, body in rows:
                yield AuditRecord(number, decode(body), by)
            if complete and len(rows) < wanted:
                return
            after = rows[-1][0]
            left = None if left is None else left - len(rows)

    def last(self) -> AuditRecord | None:
        """The record with the highest number."""
        rows = self._database.read("SELECT number, body, user FROM audit ORDER BY number DESC LIMIT 1")
        return AuditRecord(rows[0][0], decode(rows[0][1]), rows[0][2]) if rows else None
