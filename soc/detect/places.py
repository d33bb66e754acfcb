"""Where a sweep stands in each part of the feed, and which worker may move it from there.

Two kinds of documents:

- `position`, one for each name (set of rules): where a part begins that has no document of its own, which is
  where the feed stood when sweeping began. A part that it does not know is new and begins at its first event.
- `position_part`, one for each part that was read: its position, the tally of the ledger, and the worker that
  holds it. Written by compare-and-set, so that position, tally and lease are always of one piece.

Whoever holds a part has seen the last version of its document. Taking a part writes a new version, and with
it a higher `token`; a worker that held it before can then write nothing any more (`LostError`). A `position`
document of an earlier layout, which held all of it, is taken over when it is read.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from soc.detect import ledger
from soc.detect.leases import BEATS, Watch, Worker
from soc.detect.ledger import POSITION_PART
from soc.detect.predicate import Op, Test
from soc.errors import ConflictError, SocError
from soc.event import timestamp
from soc.store.contract import Document, Part, Position, Store, VersionConflictError, Write

POSITION = "position"
ATTEMPTS = 30


class LostError(ConflictError):
    """Another worker has taken over a part of the feed."""

    def __init__(self, part: str, current: Document | None) -> None:
        who = current.body.get("by", "?") if current else "?"
        when = current.changed_at if current else "?"
        super().__init__(
            f"another sweep has taken over {part}; nothing is lost or counted twice",
            theirs=f"{who} moved the position at {when}",
            hint="soc sweep status",
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part of the feed stands, as it was when it was asked.

    `document`: of the part, None when nobody has read it; `position`: None before its first event;
    `holder`: who reads it now; `replay`: what is being read again, until the part is caught up.
    """

    part: Part
    document: Document | None
    position: Position | None
    replay: Mapping[str, Any] | None
    holder: Worker | None

    @property
    def due(self) -> bool:
        """Whether there is something to read."""
        return bool(self.part.waiting or self.part.gone or (self.document and self.replay))

    @property
    def number(self) -> int:
        """The number of the last event that was swept."""
        return self.part.end - self.part.waiting

    @property
    def caught_up(self) -> str:
        """Up to which time (of the clock) everything that had come was swept; "" when never."""
        return str(self.document.body.get("caught_up", "")) if self.document else ""


class Places:
    """The places of one name, for one worker."""

    def __init__(self, store: Store, name: str, worker: Worker, *, dry_run: bool = False) -> None:
        self.store = store
        self.name = name
        self.worker = worker
        self.dry_run = dry_run
        self._watch = Watch()
        self._root: Mapping[str, Any] = {}
        self._known: set[str] = set()

    def open(self, start: Mapping[str, Any] | None, ruleset: str) -> int | None:
        """Find out where parts begin. `start`: what to read again (`since`: a time, or "" for everything).

        Returns how many events were there before the first sweep, None when it is not the first. Who wants
        to read again what is being read again for the same rules joins in.
        """
        for _ in range(ATTEMPTS):
            root = self.store.read(POSITION, self.name)
            body, skipped = self._wanted(root, start, ruleset)
            changed = root is None or body is not root.body
            if changed and not self.dry_run and not self._write_root(body, root):
                continue
            self._root = body
            mine = Test("name", Op.EQUALS, self.name)
            self._known = {d.body["part"] for d in self.store.find(POSITION_PART, mine)}
            self._known.update(self.store.split(body["feed"]))
            return skipped
        raise ConflictError(
            "the position of the sweep is being changed all the time", hint="soc sweep status shows by whom"
        )

    def _wanted(
        self, root: Document | None, start: Mapping[str, Any] | None, ruleset: str
    ) -> tuple[dict[str, Any], int | None]:
        """The body that the position should have, and how many events a first sweep leaves out."""
        known = root.body if root else {}
        if known.get("ledger") and not self.dry_run:
            ledger.flush(self.store, ledger.Tally.load(known["ledger"]))
        if start is not None:
            running = known.get("replay") or {}
            if running.get("ruleset") == ruleset and running.get("since") == start["since"]:
                return known, None
            beginning = self.store.beginning()
            replay = {
                "since": start["since"],
                "again": root is not None,
                "ruleset": ruleset,
                "parts": [part.key for part in self.store.parts(beginning)],
            }
            return self._body(beginning, replay, known.get("generation", 0) + 1), None
        if root is None:
            feed = self.store.head()
            return self._body(feed, None, 1), self.store.status().events
        if "generation" not in known:
            return self._body(known["feed"], known.get("replay"), 1), None
        return known, None

    def _body(self, feed: Position, replay: Mapping[str, Any] | None, generation: int) -> dict[str, Any]:
        now = timestamp(datetime.now(UTC))
        return {
            "feed": dict(feed),
            "replay": dict(replay) if replay else None,
            "generation": generation,
            "since": now,
            "by": str(self.worker),
        }

    def _write_root(self, body: Mapping[str, Any], root: Document | None) -> bool:
        (result,) = self.store.write([Write(POSITION, self.name, body, root.version if root else 0)])
        return not isinstance(result, VersionConflictError)

    # looking around

    def survey(self) -> list[Place]:
        """Every part of the feed as it stands now."""
        if not self.dry_run:
            root = self.store.read(POSITION, self.name)
            self._root = root.body if root else self._root
        base = self.store.split(self._root["feed"])
        while True:
            found = self.store.read_many(POSITION_PART, [self.id_of(key) for key in sorted(self._known)])
            documents = {key: found.get(self.id_of(key)) for key in self._known}
            positions = {key: self._position(documents[key], base.get(key)) for key in documents}
            parts = self.store.parts(self.store.join(p for p in positions.values() if p))
            new = {part.key for part in parts} - self._known
            if not new:
                return [self._place(part, documents[part.key], positions[part.key]) for part in parts]
            self._known |= new

    def _position(self, document: Document | None, base: Position | None) -> Position | None:
        return document.body["feed"] if document and self._current(document) else base

    def _current(self, document: Document) -> bool:
        return bool(document.body["generation"] == self._root["generation"])

    def _place(self, part: Part, document: Document | None, position: Position | None) -> Place:
        held = document.body.get("holder") if document else None
        replay = self._root["replay"]
        if document and self._current(document):
            replay = document.body["replay"]
        elif replay and part.key not in replay.get("parts", (part.key,)):
            replay = None
        return Place(part, document, position, replay, Worker.load(held) if held else None)

    def free(self, place: Place) -> bool:
        """Whether nobody holds a part, or only somebody who is no more."""
        if place.holder is None or self.dry_run or place.holder.id == self.worker.id:
            return True
        version = place.document.version if place.document else 0
        return self._watch.expired(place.part.key, version, place.holder)

    # holding

    def take(self, places: Sequence[Place]) -> list[Held]:
        """Hold these parts; those that another worker was faster with are left out."""
        bodies = [self._taken(place) for place in places]
        if self.dry_run:
            return [
                Held(self, place, Document(POSITION_PART, self.id_of(place.part.key), 0, body, "", ""))
                for place, body in zip(places, bodies, strict=True)
            ]
        results = self.store.write(
            [
                Write(POSITION_PART, self.id_of(place.part.key), body, _version(place.document))
                for place, body in zip(places, bodies, strict=True)
            ]
        )
        return [
            Held(self, place, result)
            for place, result in zip(places, results, strict=True)
            if not isinstance(result, VersionConflictError)
        ]

    def _taken(self, place: Place) -> dict[str, Any]:
        old = place.document.body if place.document else {}
        return {
            "name": self.name,
            "part": place.part.key,
            "label": place.part.name,
            "ledger": old.get("ledger"),
            "opened": old.get("opened"),
            "ruleset": old.get("ruleset", ""),
            "commit": old.get("commit", ""),
            "rules": old.get("rules", 0),
            "swept_at": old.get("swept_at", ""),
            "by": str(self.worker),
            "caught_up": old.get("caught_up", ""),
            "feed": dict(place.position) if place.position else None,
            "generation": self._root["generation"],
            "replay": dict(place.replay) if place.replay else None,
            "token": old.get("token", 0) + 1,
            "holder": self.worker.body(),
        }

    def id_of(self, part: str) -> str:
        """The id of a part's document."""
        return f"{self.name}|{part}"

    def forget(self, part: str) -> None:
        """A part of the feed is no more; the position must not name it either."""
        self._known.discard(part)
        for _ in range(ATTEMPTS):
            root = self.store.read(POSITION, self.name)
            positions = self.store.split(root.body["feed"]) if root else {}
            if root is None or positions.pop(part, None) is None:
                return
            feed = dict(self.store.join(positions.values()))
            if self._write_root({**root.body, "feed": feed}, root):
                return

    def end_replay(self, places: Iterable[Place]) -> None:
        """When every part has been read again, say so."""
        if not self._root.get("replay") or self.dry_run:
            return
        if any(place.replay and (place.document or place.part.waiting) for place in places):
            return
        root = self.store.read(POSITION, self.name)
        if root and root.body["generation"] == self._root["generation"] and root.body["replay"]:
            self._write_root({**root.body, "replay": None}, root)


class Held:
    """A part of the feed that this worker holds."""

    def __init__(self, places: Places, place: Place, document: Document) -> None:
        self._places = places
        self._document = document
        self._written = time.monotonic()
        self.place = place
        self.key = place.part.key
        self.body = dict(document.body)
        # events may come that were swept before
        self.again = bool(place.replay and place.replay["again"])
        # the store said that something was set back
        self.back = False

    @property
    def position(self) -> Position | None:
        """How far it was read; None before its first event."""
        return self.body["feed"]  # type: ignore[no-any-return]  # out of a document

    @property
    def replay(self) -> Mapping[str, Any] | None:
        """What is being read again."""
        return self.body["replay"]  # type: ignore[no-any-return]  # out of a document

    def move(self, position: Position) -> None:
        """Set the position, to be written with the next `commit`; back only where the store said so."""
        if self.position and not self.back:
            before, now = (self._places.store.reached(p) for p in (self.position, position))
            if before.history == now.history and now.number < before.number:
                raise SocError(f"the position in {self.place.part.name} would move back from {before.number}")
        self.body["feed"] = dict(position)

    def commit(self, **changes: Any) -> None:
        """Write the body with these changes. Raises `LostError` when another worker has the part."""
        self.body.update(changes)
        if self._places.dry_run:
            return
        began = time.monotonic()
        write = Write(POSITION_PART, self._document.id, self.body, self._document.version)
        (written,) = self._places.store.write([write])
        if isinstance(written, VersionConflictError):
            raise LostError(self.place.part.name, written.current)
        self._document, self._written = written, began

    def release(self, **changes: Any) -> None:
        """Let others have it; also `commit`."""
        self.commit(**changes, holder=None)

    def let_go(self) -> None:
        """Let others have it, as it was at the last commit."""
        self.body = dict(self._document.body)
        self.release()

    def drop(self) -> None:
        """The part is no more: remove its document."""
        if self._places.dry_run:
            return
        self._places.store.write([Write(POSITION_PART, self._document.id, None, self._document.version)])
        self._places.forget(self.key)

    def fence(self) -> None:
        """Refuse to go on when another worker has the part."""
        if self._places.dry_run or self.beat():
            return
        current = self._places.store.read(POSITION_PART, self._document.id)
        if _version(current) != self._document.version:
            raise LostError(self.place.part.name, current)

    def beat(self) -> bool:
        """Show that this worker is alive, when it is time to; whether it was."""
        if self._places.dry_run:
            return False
        if time.monotonic() - self._written < self._places.worker.lease / BEATS:
            return False
        # what was changed since the last commit is not for others to see yet
        self.body, changed = dict(self._document.body), self.body
        try:
            self.commit()
        finally:
            self.body = changed
        return True


def _version(document: Document | None) -> int:
    return document.version if document else 0


def fresh(places: Iterable[Place], done: Collection[str]) -> Iterator[Place]:
    """Those with something to do that were not done yet; also what somebody holds, who may be no more."""
    return (place for place in places if (place.due or place.holder) and place.part.key not in done)
