"""The store on Elasticsearch, 8.19 or newer, any licence. See `soc.store.contract` for what it promises.

The parts: `elastic_connection` (signing in, retries, errors), `elastic_schema` (names, mappings),
`elastic_events` (append), `elastic_query` (narrowing a search down), `elastic_feed`, `elastic_documents`,
`elastic_setup` (init, status, prune), `elastic_survey` (what else is there).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from soc.detect.predicate import EVERYTHING, Predicate, matches
from soc.event import timestamp
from soc.store.contract import (
    AuditRecord,
    Document,
    FeedBatch,
    ForeignIndices,
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
from soc.store.elastic_connection import PATIENCE, TIMEOUT, Connection
from soc.store.elastic_documents import AuditLog, Documents, refresh
from soc.store.elastic_events import Appender
from soc.store.elastic_feed import Feed
from soc.store.elastic_narrow import Narrow, counts, weight
from soc.store.elastic_schema import Names
from soc.store.elastic_search import Search
from soc.store.elastic_setup import Setup
from soc.store.elastic_shard import Reading
from soc.store.elastic_survey import survey

if TYPE_CHECKING:
    from soc.config import StoreSettings


class ElasticStore(Store):
    """A store in the indices `soc-…` of a cluster."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self.name = connection.name
        self.space = names.space
        self._connection = connection
        self._names = names
        self._setup = Setup(connection, names)
        self._appender = Appender(connection, names, self._setup.ready)
        reading = Reading(names)
        self._feed = Feed(connection, reading)
        self._search = Search(connection, reading)
        self._documents = Documents(connection, names, self._setup.ready, self._setup.user)
        self._audit = AuditLog(connection, names, self._setup.ready, self._setup.user)

    @classmethod
    def connect(
        cls, settings: StoreSettings, *, patience: float = PATIENCE, timeout: float = TIMEOUT
    ) -> ElasticStore:
        """The store at `settings.target`. Nothing is sent before the first use.

        `patience`: seconds for which a call is tried again; `timeout`: seconds for one answer. Raises
        `UsageError` for settings that cannot work: no TLS, a secret that others can read, half a sign-in.
        """
        return cls(Connection(settings, patience=patience, timeout=timeout), Names(settings.space))

    def append(self, events: Sequence[Incoming]) -> list[Outcome]:
        """See `Store.append`. After a cut connection, what the first try had stored counts as a duplicate."""
        return self._appender.append(events)

    def search(
        self,
        where: Predicate = EVERYTHING,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[StoredEvent]:
        """See `Store.search`."""
        low = None if since is None else timestamp(since)
        high = None if until is None else timestamp(until)
        left = limit
        if left is not None and left <= 0:
            return
        size = None if limit is None or where != EVERYTHING else limit
        for found in self._search.candidates(where, since, until, newest_first=newest_first, first_page=size):
            time = found.event["@timestamp"]
            if (low is None or time >= low) and (high is None or time < high) and matches(where, found.event):
                yield found
                if left is not None:
                    left -= 1
                    if not left:
                        return

    def events(self, ids: Sequence[str]) -> list[StoredEvent]:
        """See `Store.events`."""
        return self._search.by_id(ids)

    def beginning(self) -> Position:
        """See `Store.beginning`."""
        return self._feed.beginning()

    def head(self) -> Position:
        """See `Store.head`."""
        return self._feed.head()

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
        """See `Store.feed`."""
        return self._feed.read(position, limit, Narrow(narrow, since, until), parts, end)

    def parts(self, position: Position) -> list[Part]:
        """See `Store.parts`: the shards of all indices."""
        return self._feed.parts(position)

    def split(self, position: Position) -> dict[str, Position]:
        """See `Store.split`."""
        return self._feed.split(position)

    def join(self, positions: Iterable[Position]) -> Position:
        """See `Store.join`."""
        return self._feed.join(positions)

    def position_at(self, part: str, reached: Reached) -> Position:
        """See `Store.position_at`."""
        return self._feed.position_at(part, reached)

    def reached(self, position: Position) -> Reached:
        """See `Store.reached`."""
        return self._feed.reached(position)

    def weight(self, narrow: Predicate) -> Weight | None:
        """See `Store.weight`."""
        return weight(narrow, len(self._feed.shards()))

    def candidates(
        self, narrows: Sequence[Predicate], *, since: datetime | None = None, until: datetime | None = None
    ) -> list[int | None]:
        """See `Store.candidates`: counted by the server, in bounded requests."""
        refresh(self._connection, self._names.events)
        return counts(self._connection, self._names.events, narrows, Narrow(None, since, until).times)

    def read(self, kind: str, id: str) -> Document | None:  # noqa: A002 - the term of the contract
        """See `Store.read`."""
        return self._documents.read(kind, id)

    def read_many(self, kind: str, ids: Sequence[str]) -> dict[str, Document]:
        """See `Store.read_many`; a few calls for all of them."""
        return self._documents.read_many(kind, ids)

    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        """See `Store.write`."""
        return self._documents.write(writes)

    def find(
        self, kind: str, where: Predicate = EVERYTHING, *, limit: int | None = None
    ) -> Iterator[Document]:
        """See `Store.find`."""
        return self._documents.find(kind, where, limit)

    def audit_create(self, number: int, body: Mapping[str, Any]) -> bool:
        """See `Store.audit_create`."""
        return self._audit.create(number, body)

    def audit_read(self, after: int = 0, *, limit: int | None = None) -> Iterator[AuditRecord]:
        """See `Store.audit_read`."""
        return self._audit.read(after, limit)

    def audit_last(self) -> AuditRecord | None:
        """See `Store.audit_last`."""
        return self._audit.last()

    def whoami(self) -> str:
        """See `Store.whoami`."""
        return self._setup.user()

    def init(self, *, dry_run: bool = False) -> list[Planned]:
        """See `Store.init`."""
        return self._setup.init(dry_run=dry_run)

    def status(self) -> StoreStatus:
        """See `Store.status`."""
        for index in (self._names.events, self._names.documents):
            refresh(self._connection, index)
        return dataclasses.replace(self._setup.status(), documents=self._documents.counts())

    def foreign(self) -> list[ForeignIndices]:
        """See `Store.foreign`."""
        return survey(self._connection)

    def prune(
        self, older_than: datetime, *, retention: str | None = None, dry_run: bool = False
    ) -> list[Pruned]:
        """See `Store.prune`. Whole indices are deleted: older events in one that goes on stay there."""
        refresh(self._connection, self._names.events)
        return self._setup.prune(older_than, retention=retention, dry_run=dry_run)

    def close(self) -> None:
        """See `Store.close`."""
        self._connection.close()
