"""The embedded store: one folder with one SQLite file for each space. No server, several processes.

The feed is exact because commits are numbered: a write transaction holds the only write lock, takes the
next numbers and is on disk before the next one starts. Whoever can write the file can write any name into
`changed_by`; where that matters, use Elasticsearch, which stamps the user itself.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soc.config import StoreSettings
from soc.detect.predicate import EVERYTHING, Predicate, matches
from soc.store.contract import (
    SCHEMA_VERSION,
    WHOLE,
    AuditRecord,
    Document,
    Fate,
    FeedBatch,
    Incoming,
    Outcome,
    Part,
    Planned,
    Position,
    Pruned,
    Reached,
    Store,
    StoredEvent,
    StoreStatus,
    VersionConflictError,
    Weight,
    Write,
)
from soc.store.embedded_codec import UnfitError, decode, micros, moment_of, row_of
from soc.store.embedded_documents import AuditLog, Documents, user
from soc.store.embedded_file import BUSY_SECONDS, SCHEMA, Database, file_of, statements
from soc.store.embedded_filter import Needles

PAGE_ROWS = 2_000
PAGE_BYTES = 16 * 1024 * 1024
"""Bounds of one read: rows, and bytes of their bodies."""

MAX_BATCH = 100_000
"""Most events in one batch of the feed, whatever is asked for."""

LOOK_SECONDS = 1.5
"""What looking for one needle in the bodies of a million events costs, of 1.5 kB each (measured)."""

MAX_COUNTED = 1_000_000
"""Waiting events are counted up to this number."""

PRUNE_ROWS = 5_000
"""Events removed in one transaction, so that writers do not wait long."""

LOW_DISK_BYTES = 1_000_000_000
"""Free space below which `status` warns."""

_MIN, _MAX = -(2**62), 2**62
"""Bounds beyond every event time in microseconds."""


def _micros(moment: datetime) -> int:
    return micros(moment.astimezone(UTC).isoformat())


def _millisecond(moment: datetime) -> int:
    """A moment in microseconds, taken down to the millisecond."""
    return _micros(moment) // 1_000 * 1_000


class EmbeddedStore(Store):
    """A store in a local folder (see `soc.store.contract.Store`)."""

    def __init__(self, settings: StoreSettings, database: Database) -> None:
        self.name = settings.target
        self._database = database
        self._documents = Documents(database)
        self._audit = AuditLog(database)
        self._mark = secrets.token_hex(8)
        self._marked = False

    @classmethod
    def open(
        cls, settings: StoreSettings, *, create: bool = True, busy_seconds: float = BUSY_SECONDS
    ) -> EmbeddedStore:
        """The store in the folder `settings.target`; made on first use unless `create` is False.

        `busy_seconds`: how long to wait for another process that writes. Raises `StoreUnavailableError`
        when there is no store and none may be made, `NotAuthorisedError` when this user may not use it,
        `UsageError` for a network file system or a bad name, `SocError` for a file of something else.
        """
        path = file_of(Path(settings.target).expanduser().absolute(), settings.space)
        return cls(settings, Database(path, create=create, busy_seconds=busy_seconds))

    # events

    def append(self, events: Sequence[Incoming]) -> list[Outcome]:
        """As `Store.append`: one transaction for all of them."""
        outcomes: list[Outcome | None] = []
        rows: dict[str, tuple[str, int, bytes | str]] = {}
        for id_, event in events:
            if id_ in rows:
                outcomes.append(Outcome(id_, Fate.DUPLICATE))
                continue
            try:
                rows[id_] = row_of(id_, event)
            except UnfitError as error:
                outcomes.append(Outcome(id_, Fate.REJECTED, str(error)))
            else:
                outcomes.append(None)
        new = self._insert(list(rows.values())) if rows else set()
        settled = {
            id_: Outcome(id_, Fate.STORED if new is None or id_ in new else Fate.DUPLICATE) for id_ in rows
        }
        return [known or settled[incoming[0]] for known, incoming in zip(outcomes, events, strict=True)]

    def _insert(self, rows: list[tuple[str, int, bytes | str]]) -> set[str] | None:
        """Commit the rows whose id is not there yet; their ids, or None for all."""
        with self._database.write() as connection:
            (before,) = connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()
            changes = connection.total_changes
            connection.executemany(
                "INSERT INTO events (id, time, body) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING", rows
            )
            stored = connection.total_changes - changes
            if not stored:
                return set()
            if not self._marked:
                connection.execute("INSERT INTO history VALUES (?, ?)", (before + 1, self._mark))
            connection.execute("UPDATE meta SET value = value + ? WHERE name = 'events'", (stored,))
            # the write lock is ours, so every number above `before` is of this call
            new = (
                None
                if stored == len(rows)
                else {id_ for (id_,) in connection.execute("SELECT id FROM events WHERE seq > ?", (before,))}
            )
        self._marked = True
        return new

    def search(
        self,
        where: Predicate = EVERYTHING,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[StoredEvent]:
        """As `Store.search`; reads in short transactions and decodes only what may match."""
        low = _MIN if since is None else _micros(since)
        high = _MAX if until is None else _micros(until)
        needles = Needles.of(where)
        found = 0
        for id_, body in self._by_time(low, high, newest_first, limit if where == EVERYTHING else None):
            if limit is not None and found >= limit:
                return
            if needles.may_match(body):
                event = decode(body)
                if where == EVERYTHING or matches(where, event):
                    found += 1
                    yield StoredEvent(id_, event)

    def _by_time(
        self, low: int, high: int, newest_first: bool, limit: int | None
    ) -> Iterator[tuple[str, bytes | str]]:
        """Id and body of events with `low <= time < high`, by time and id; about `limit` are read at once."""
        page = PAGE_ROWS if limit is None else max(1, min(limit, PAGE_ROWS))
        if newest_first:
            sql = (
                "SELECT time, id, body FROM events WHERE time >= ? AND (time, id) < (?, ?) "
                "ORDER BY time DESC, id DESC LIMIT ?"
            )
            bounds: tuple[int, int, str] = (low, high, "")
        else:
            sql = (
                "SELECT time, id, body FROM events WHERE time < ? AND (time, id) > (?, ?) "
                "ORDER BY time, id LIMIT ?"
            )
            bounds = (high, low, "")
        while True:
            rows, complete = self._database.page(sql, (*bounds, page), PAGE_BYTES)
            for _, id_, body in rows:
                yield id_, body
            if complete and len(rows) < page:
                return
            bounds = (bounds[0], rows[-1][0], rows[-1][1])

    def events(self, ids: Sequence[str]) -> list[StoredEvent]:
        """As `Store.events`."""
        found: dict[str, bytes | str] = {}
        wanted = [id_ for id_ in dict.fromkeys(ids) if id_.isascii()]
        for start in range(0, len(wanted), 500):
            some = wanted[start : start + 500]
            marks = ",".join("?" * len(some))
            found.update(
                self._database.read(f"SELECT id, body FROM events WHERE id IN ({marks})", some)  # noqa: S608 - only ?
            )
        return [StoredEvent(id_, decode(found[id_])) for id_ in ids if id_ in found]

    # feed

    def beginning(self) -> Position:
        """As `Store.beginning`."""
        return {"store": self._uuid(), "seq": 0, "mark": ""}

    def head(self) -> Position:
        """As `Store.head`."""
        return self._position(self._last())

    def feed(
        self,
        position: Position,
        *,
        limit: int = 10_000,
        narrow: Predicate | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        parts: Collection[str] | None = None,
        end: Position | None = None,
    ) -> Iterator[FeedBatch]:
        """As `Store.feed`; a batch is smaller than `limit` where events are large."""
        if parts is not None and WHOLE not in parts:
            return iter(())
        times = (
            _MIN if since is None else _millisecond(since),
            _MAX if until is None else _millisecond(until),
        )
        needles = Needles() if narrow is None else Needles.of(narrow)
        last = self._last()
        if end is not None:
            last = min(last, self.reached(end).number)
        return self._feed(position, last, max(1, min(limit, MAX_BATCH)), needles, times)

    def weight(self, narrow: Predicate) -> Weight | None:
        """As `Store.weight`: bodies are read all the same, and looked through for the needles."""
        clauses = Needles.of(narrow).clauses
        return Weight(0.0, LOOK_SECONDS * (2 + sum(map(len, clauses)))) if clauses else None

    def parts(self, position: Position) -> list[Part]:
        """As `Store.parts`: the file is one part."""
        seq, notes = self._resume(position)
        ((waiting,),) = self._database.read(
            "SELECT count(*) FROM (SELECT 1 FROM events WHERE seq > ? LIMIT ?)", (seq, MAX_COUNTED)
        )
        return [Part(WHOLE, self.name, self._last(), waiting or int(bool(notes)))]

    def split(self, position: Position) -> dict[str, Position]:
        """As `Store.split`."""
        return {WHOLE: position}

    def join(self, positions: Iterable[Position]) -> Position:
        """As `Store.join`."""
        return next(iter(positions), None) or self.beginning()

    def position_at(self, part: str, reached: Reached) -> Position:
        """As `Store.position_at`."""
        del part
        return self._position(reached.number)

    def reached(self, position: Position) -> Reached:
        """As `Store.reached`."""
        return Reached(str(position.get("store", "")), int(position.get("seq", 0)))

    def _feed(
        self, position: Position, end: int, limit: int, needles: Needles, times: tuple[int, int]
    ) -> Iterator[FeedBatch]:
        seq, notes = self._resume(position)
        while seq < end or notes:
            rows, complete = self._database.page(
                "SELECT seq, id, body FROM events "
                "WHERE seq > ? AND seq <= ? AND +time >= ? AND +time < ? ORDER BY seq LIMIT ?",
                (seq, end, *times, limit),
                PAGE_BYTES,
            )
            done = complete and len(rows) < limit
            seq = max(seq, end) if done else rows[-1][0]
            events = [StoredEvent(id_, decode(body)) for _, id_, body in rows if needles.may_match(body)]
            yield FeedBatch(events, self._position(seq), notes, len(rows) - len(events))
            notes = ()

    def _uuid(self) -> str:
        ((uuid,),) = self._database.read("SELECT value FROM meta WHERE name = 'uuid'")
        return str(uuid)

    def _last(self) -> int:
        ((last,),) = self._database.read("SELECT coalesce(max(seq), 0) FROM sqlite_sequence")
        return int(last)

    def _mark_at(self, seq: int) -> str:
        rows = self._database.read(
            "SELECT mark FROM history WHERE first <= ? ORDER BY first DESC LIMIT 1", (seq,)
        )
        return str(rows[0][0]) if rows else ""

    def _position(self, seq: int) -> Position:
        return {"store": self._uuid(), "seq": seq, "mark": self._mark_at(seq)}

    def _resume(self, position: Position) -> tuple[int, tuple[str, ...]]:
        """The number to go on after, and what is to be noted.

        Numbers are used again only by a file that was set back (a backup restored over it). Then another
        writer's mark stands where the position's was, and reading goes on from where both histories part.
        """
        seq = position.get("seq")
        if position.get("store") != self._uuid() or not isinstance(seq, int) or seq < 0:
            return 0, ("the position is of another store; reading from its beginning",)
        last, mark = self._last(), str(position.get("mark", ""))
        if seq == 0 or (seq <= last and self._mark_at(seq) == mark):
            return seq, ()
        rows = self._database.read("SELECT first FROM history WHERE mark = ?", (mark,))
        if not rows:
            return 0, ("the store was set back to before the position's history; reading from its beginning",)
        ((following,),) = self._database.read("SELECT min(first) FROM history WHERE first > ?", rows[0])
        common = min(seq, last, last if following is None else following - 1)
        return common, (
            f"the store was set back to {common}, before the position {seq}; reading on from there",
        )

    # documents and audit

    def read(self, kind: str, id: str) -> Document | None:  # noqa: A002 - the term of the contract
        """As `Store.read`."""
        return self._documents.read(kind, id)

    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        """As `Store.write`; all that agree are committed together."""
        return self._documents.write(writes)

    def find(
        self, kind: str, where: Predicate = EVERYTHING, *, limit: int | None = None
    ) -> Iterator[Document]:
        """As `Store.find`."""
        return self._documents.find(kind, where, limit)

    def audit_create(self, number: int, body: Mapping[str, Any]) -> bool:
        """As `Store.audit_create`."""
        return self._audit.create(number, body)

    def audit_read(self, after: int = 0, *, limit: int | None = None) -> Iterator[AuditRecord]:
        """As `Store.audit_read`."""
        return self._audit.read(after, limit)

    def audit_last(self) -> AuditRecord | None:
        """As `Store.audit_last`."""
        return self._audit.last()

    # the store itself

    def whoami(self) -> str:
        """The operating system's user."""
        return user()

    def init(self, *, dry_run: bool = False) -> list[Planned]:
        """As `Store.init`: the folder and the file with its tables."""
        path, there = self._database.path, self._database.exists()
        planned = [
            Planned("folder", str(path.parent), {"mode": "0700"}, path.parent.is_dir()),
            Planned(
                "database",
                str(path),
                {"layout": SCHEMA_VERSION, "mode": "0600", "statements": list(statements(SCHEMA))},
                there,
            ),
        ]
        if not dry_run:
            self._uuid()  # makes what is missing
        return planned

    def status(self) -> StoreStatus:
        """As `Store.status`; counts are kept, not counted."""
        ((events,),) = self._database.read("SELECT value FROM meta WHERE name = 'events'")
        ((oldest,),) = self._database.read("SELECT min(time) FROM events")
        ((newest,),) = self._database.read("SELECT max(time) FROM events")
        path = self._database.path
        files = [path, path.with_name(path.name + "-wal")]
        free = shutil.disk_usage(path.parent).free
        return StoreStatus(
            name=self.name,
            kind="embedded",
            events=events,
            bytes=sum(f.stat().st_size for f in files if f.exists()),
            oldest=None if oldest is None else moment_of(oldest),
            newest=None if newest is None else moment_of(newest),
            documents=self._documents.counts(),
            warnings=tuple(_warnings(path, free)),
            detail={"file": str(path), "layout": SCHEMA_VERSION, "last": self._last(), "free_bytes": free},
        )

    def prune(
        self, older_than: datetime, *, retention: str | None = None, dry_run: bool = False
    ) -> list[Pruned]:
        """As `Store.prune`, in short transactions; the space goes back to the file system."""
        before = _micros(older_than)
        if retention is not None:
            events, size = self._prune_class(before, retention, dry_run=dry_run)
            return [Pruned(str(self._database.path), events, 0, size)] if events else []
        ((events, size),) = self._database.read(
            "SELECT count(*), coalesce(sum(length(body)), 0) FROM events WHERE time < ?", (before,)
        )
        if events and not dry_run:
            events, size = self._remove(before)
        return [Pruned(str(self._database.path), events, 0, size)] if events else []

    def _prune_class(self, before: int, retention: str, *, dry_run: bool) -> tuple[int, int]:
        """Number and size of the events of one class. The class is in the body, so each body is read."""
        events = size = last = 0
        while rows := self._database.read(
            "SELECT seq, body FROM events WHERE time < ? AND seq > ? ORDER BY seq LIMIT ?",
            (before, last, PRUNE_ROWS),
        ):
            last = rows[-1][0]
            doomed = [
                (seq, len(body))
                for seq, body in rows
                if (decode(body).get("soc.retention") or "standard") == retention
            ]
            events += len(doomed)
            size += sum(length for _, length in doomed)
            if doomed and not dry_run:
                with self._database.write() as connection:
                    connection.executemany("DELETE FROM events WHERE seq = ?", [(seq,) for seq, _ in doomed])
                    connection.execute(
                        "UPDATE meta SET value = value - ? WHERE name = 'events'", (len(doomed),)
                    )
        if events and not dry_run:
            self._database.shrink()
        return events, size

    def _remove(self, before: int) -> tuple[int, int]:
        events = size = 0
        while True:
            with self._database.write() as connection:
                gone = connection.execute(
                    "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE time < ? LIMIT ?) "
                    "RETURNING length(body)",
                    (before, PRUNE_ROWS),
                ).fetchall()
                connection.execute("UPDATE meta SET value = value - ? WHERE name = 'events'", (len(gone),))
            events += len(gone)
            size += sum(length for (length,) in gone)
            if len(gone) < PRUNE_ROWS:
                break
        self._database.shrink()
        return events, size

    def close(self) -> None:
        """As `Store.close`."""
        self._database.close()


def _warnings(path: Path, free: int) -> Iterator[str]:
    if free < LOW_DISK_BYTES:
        yield f"only {free // 1_000_000} MB are free on the disk of the store"
    if path.stat().st_mode & 0o077:
        yield f"others than the owner may read or write the store: chmod 600 {path}"
