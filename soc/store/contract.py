"""The contract that every store keeps; one test suite (tests/store/test_contract*.py) runs over all of them.

What a store holds:

- **events**, append only, read by time and predicate (`search`) or in commit order (`feed`);
- **documents**, by kind and id, each with a version for compare-and-set;
- the **audit log**, numbered entries that are created once and never changed.

Reading gives back exactly the names and types that were appended. An event goes where its own fields say
(`@timestamp`, `soc.layer`, `soc.retention`), so that a replay of the same event always meets itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self

from soc.detect.predicate import EVERYTHING, Predicate
from soc.errors import ConflictError
from soc.event import Event

SCHEMA_VERSION = 1
"""Version of the layout of a store; a store of a newer version is refused, the one before is opened."""

Position = Mapping[str, Any]
"""Where a reader of the feed stands: plain JSON data that only the store which gave it can read."""


WHOLE = "all"
"""The one part of a feed that has no parts."""


class Incoming(NamedTuple):
    """An event on its way into a store, with the id that makes a replay harmless (`soc.event.event_id`).

    The event must have `@timestamp` and `soc.layer`; `soc.retention` is its retention class
    (`standard` when absent).
    """

    id: str
    event: Event


class StoredEvent(NamedTuple):
    """An event as it was appended, and its id."""

    id: str
    event: Event


class Weight(NamedTuple):
    """Seconds that a search takes however few events there are, and for each million of them."""

    least: float
    million: float

    def seconds(self, events: int) -> float:
        """For so many events."""
        return self.least + self.million * events / 1e6


class Fate(StrEnum):
    """What became of one appended event."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


class Outcome(NamedTuple):
    """The fate of one appended event; `reason` is set when the store rejected it."""

    id: str
    fate: Fate
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FeedBatch:
    """Some events in commit order and the position after them.

    `notes` says what the ledger should hold: a shard read again after a restore, an index that was gone.
    `passed`: how many more events lie before this position, and were passed over because the predicate that
    was asked for is certainly not true of them. `remarks` is for the ledger too; it is not
    about events that come again.
    The events are all of one `part` of the feed. A batch without events may move several parts.
    """

    events: list[StoredEvent]
    position: Position
    notes: tuple[str, ...] = ()
    passed: int = 0
    part: str = WHOLE
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the feed that can be read apart from the others, as it stands beside a position.

    `end`: the number of its newest event; `waiting`: events after the position, as far as is known without
    reading them (never 0 when there is something to read or to note); `gone`: the position knows it, and it
    cannot be found now.
    """

    key: str
    name: str
    end: int
    waiting: int
    gone: bool = False


class Reached(NamedTuple):
    """How far a position stands in a part. Numbers of one `history` can be compared, and rise."""

    history: str
    number: int


@dataclass(frozen=True, slots=True)
class Document:
    """A document with the version seen, to be given back as `expect` when writing.

    `changed_by` is the user as the store knows them, never as a client claims.
    """

    kind: str
    id: str
    version: int
    body: dict[str, Any]
    changed_by: str
    changed_at: str


@dataclass(frozen=True, slots=True)
class Write:
    """A change of one document: `expect` is the version seen, 0 to create. `body` None deletes."""

    kind: str
    id: str
    body: Mapping[str, Any] | None
    expect: int


class VersionConflictError(ConflictError):
    """The document is not at the version that the writer had seen; `current` is what is there now."""

    def __init__(self, write: Write, current: Document | None) -> None:
        by = f"changed by {current.changed_by} at {current.changed_at}" if current else "gone"
        super().__init__(f"{write.kind} {write.id} was {by} in the meantime")
        self.write = write
        self.current = current


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One numbered record of the audit log as the store keeps it; `user` is stamped by the store."""

    number: int
    body: dict[str, Any]
    user: str


@dataclass(frozen=True, slots=True)
class Planned:
    """One thing that `init` creates, or that is already as it should be: kind, name, content, state.

    `note` says why it was not created although it was not there.
    """

    kind: str
    name: str
    content: Mapping[str, Any]
    exists: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Pruned:
    """Events that retention removes: where they were, how many, and how many are kept for open alerts."""

    name: str
    events: int
    kept: int
    bytes: int


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What a store says of itself; `warnings` is for people, `detail` for machines."""

    name: str
    kind: str
    events: int
    bytes: int
    oldest: str | None
    newest: str | None
    documents: Mapping[str, int]
    warnings: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForeignIndices:
    """Indices of others in the same cluster: a pattern, how many, their documents, the newest @timestamp."""

    pattern: str
    indices: int
    documents: int
    newest: str | None


class Store(ABC):
    """A place for events, documents and the audit log. Safe to use from one thread; processes may share it.

    Every method raises `StoreUnavailableError` when the store cannot be reached after retries and
    `NotAuthorisedError` when it refuses the user.
    """

    name: str
    """How the user named it: a path or an address, without secrets."""

    space: str = ""
    """The space within it; "" for the one of everyday."""

    # events

    @abstractmethod
    def append(self, events: Sequence[Incoming]) -> list[Outcome]:
        """Store events; one outcome for each, in order. Returns only after they are on disk.

        An id that is already there, also earlier in the same call, is a duplicate and changes nothing.
        One rejected event never harms its neighbours.
        """

    @abstractmethod
    def search(
        self,
        where: Predicate = EVERYTHING,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[StoredEvent]:
        """Events with `since <= @timestamp < until` on which the predicate is true, by time, then id."""

    @abstractmethod
    def events(self, ids: Sequence[str]) -> list[StoredEvent]:
        """The events with these ids, in the order of `ids`; those that are not there are left out."""

    # feed

    @abstractmethod
    def beginning(self) -> Position:
        """The position before every event that is here now or will come."""

    @abstractmethod
    def head(self) -> Position:
        """The position after every event whose append had returned before this call."""

    @abstractmethod
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
        """Events committed after `position`, each exactly once, in batches of at most `limit`.

        Ends when it has caught up with what was acknowledged at the start of the call. The position of
        the last batch is where to go on; a batch without events may still move it. `parts`: only these
        parts of the feed; positions then hold these alone. `end`: no further than this position.

        `narrow`: events on which this predicate is certainly neither true nor undecided may be passed over;
        the batches count them. What comes is not decided: whoever asked evaluates the predicate. `since`,
        `until`: only events with `since <= @timestamp < until` come and are counted; both are taken down to
        the millisecond, which is what every store keeps.
        """

    def weight(self, narrow: Predicate) -> Weight | None:
        """What it costs to find the candidates of a predicate, by constants measured once. None: this store
        cannot pass over events for it."""
        del narrow
        return None

    def candidates(
        self, narrows: Sequence[Predicate], *, since: datetime | None = None, until: datetime | None = None
    ) -> list[int | None]:
        """For each predicate: of how many events a narrowed feed would give at most; None: not known without
        reading. Times as for `feed`."""
        del since, until
        return [None] * len(narrows)

    @abstractmethod
    def parts(self, position: Position) -> list[Part]:
        """The parts that the feed has now, and those of `position` that cannot be found."""

    @abstractmethod
    def split(self, position: Position) -> dict[str, Position]:
        """A position as one position for each part that it knows. A part that it does not know is before
        its first event."""

    @abstractmethod
    def join(self, positions: Iterable[Position]) -> Position:
        """The opposite of `split`; of none, the beginning."""

    @abstractmethod
    def position_at(self, part: str, reached: Reached) -> Position:
        """The position of one part that has reached this number; the opposite of `reached`."""

    @abstractmethod
    def reached(self, position: Position) -> Reached:
        """How far the position of one part stands."""

    # documents

    @abstractmethod
    def read(self, kind: str, id: str) -> Document | None:  # noqa: A002 - the term of the contract
        """The document, or None."""

    def read_many(self, kind: str, ids: Sequence[str]) -> dict[str, Document]:
        """The documents with these ids that there are, by id."""
        found = {id_: self.read(kind, id_) for id_ in dict.fromkeys(ids)}
        return {id_: document for id_, document in found.items() if document}

    @abstractmethod
    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        """Compare and set, each on its own; a conflict is returned, not raised, and stops no other.

        A deleted document is returned with the version 0 and an empty body.
        """

    @abstractmethod
    def find(
        self, kind: str, where: Predicate = EVERYTHING, *, limit: int | None = None
    ) -> Iterator[Document]:
        """Documents of a kind whose flattened body satisfies the predicate, by id."""

    def put(self, kind: str, id: str, body: Mapping[str, Any], *, expect: int) -> Document:  # noqa: A002 - as above
        """Write one document; raises `VersionConflictError`."""
        (result,) = self.write([Write(kind, id, body, expect)])
        if isinstance(result, VersionConflictError):
            raise result
        return result

    # audit

    @abstractmethod
    def audit_create(self, number: int, body: Mapping[str, Any]) -> bool:
        """Create the audit record `number` (from 1); False when that number is taken."""

    @abstractmethod
    def audit_read(self, after: int = 0, *, limit: int | None = None) -> Iterator[AuditRecord]:
        """Audit records with a number above `after`, ascending."""

    @abstractmethod
    def audit_last(self) -> AuditRecord | None:
        """The record with the highest number, or None."""

    # the store itself

    @abstractmethod
    def whoami(self) -> str:
        """The user as the store knows them: authenticated, or the operating system's."""

    @abstractmethod
    def init(self, *, dry_run: bool = False) -> list[Planned]:
        """Create what the store needs and say what that is; existing things of others are not touched."""

    @abstractmethod
    def status(self) -> StoreStatus:
        """Counts, sizes and warnings."""

    def foreign(self) -> list[ForeignIndices]:
        """Indices of others that stand beside this store; none unless it is in a cluster."""
        return []

    @abstractmethod
    def prune(
        self, older_than: datetime, *, retention: str | None = None, dry_run: bool = False
    ) -> list[Pruned]:
        """Remove events older than a moment; those that an open alert holds were copied with it.

        `retention`: only those of this retention class (`soc.retention`; an event without one is
        `standard`); None: of every class.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections. A closed store must not be used again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
