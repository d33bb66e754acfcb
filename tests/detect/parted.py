"""An embedded store whose feed has several parts, as that of a cluster has, without a cluster."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from soc.config import StoreSettings
from soc.detect.predicate import Predicate
from soc.store.contract import (
    Document,
    FeedBatch,
    Part,
    Position,
    Reached,
    StoredEvent,
    VersionConflictError,
    Write,
)
from soc.store.embedded import EmbeddedStore


class Parted(EmbeddedStore):
    """Each value of `event.module` is a part of its own; positions are the numbers of its events.

    `meanwhile` is called before each reading or writing of documents, when something may happen elsewhere.
    """

    gone: frozenset[str] = frozenset()
    restored: frozenset[str] = frozenset()
    meanwhile: Callable[[], None] | None = None

    @classmethod
    def at(cls, path: Path) -> Parted:
        """The store in a folder."""
        opened = cls.open(StoreSettings(target=str(path)))
        assert isinstance(opened, Parted)
        return opened

    def _all(self) -> dict[str, list[StoredEvent]]:
        found: dict[str, list[StoredEvent]] = defaultdict(list)
        for batch in super().feed(super().beginning()):
            for stored in batch.events:
                found[str(stored.event.get("event.module", "0"))].append(stored)
        return {part: events for part, events in found.items() if part not in self.gone}

    def beginning(self) -> Position:
        """Before everything."""
        return {"parts": {}}

    def head(self) -> Position:
        """After everything."""
        return {"parts": {part: len(events) for part, events in self._all().items()}}

    def parts(self, position: Position) -> list[Part]:
        """See `Store.parts`."""
        known = dict(position["parts"])
        found = [
            Part(
                part,
                f"part {part}",
                len(events),
                len(events) - known.pop(part, 0) or int(part in self.restored),
            )
            for part, events in sorted(self._all().items())
        ]
        return found + [Part(part, f"part {part}", number, 0, gone=True) for part, number in known.items()]

    def split(self, position: Position) -> dict[str, Position]:
        """See `Store.split`."""
        return {part: {"parts": {part: number}} for part, number in position["parts"].items()}

    def join(self, positions: Iterable[Position]) -> Position:
        """See `Store.join`."""
        return {"parts": {part: number for one in positions for part, number in one["parts"].items()}}

    def position_at(self, part: str, reached: Reached) -> Position:
        """See `Store.position_at`."""
        return {"parts": {part: reached.number}}

    def reached(self, position: Position) -> Reached:
        """See `Store.reached`."""
        return Reached("h", next(iter(position["parts"].values()), 0))

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
        del narrow, since, until, end
        there = self._all()
        done = {part: number for part, number in position["parts"].items() if parts is None or part in parts}
        notes = tuple(f"{part} is gone" for part in done if part not in there)
        notes += tuple(f"{part} was restored" for part in done if part in self.restored)
        done = {part: n for part, n in done.items() if part in there and part not in self.restored}
        for part, events in sorted(there.items()):
            if parts is not None and part not in parts:
                continue
            while done.get(part, 0) < len(events):
                some = events[done.get(part, 0) : done.get(part, 0) + limit]
                done[part] = done.get(part, 0) + len(some)
                yield FeedBatch(some, {"parts": dict(done)}, notes, 0, part)
                notes = ()
        if notes:
            yield FeedBatch([], {"parts": dict(done)}, notes)

    def read(self, kind: str, id: str) -> Document | None:  # noqa: A002 - the term of the contract
        """See `Store.read`."""
        if self.meanwhile:
            self.meanwhile()
        return super().read(kind, id)

    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        """See `Store.write`."""
        if self.meanwhile:
            self.meanwhile()
        return super().write(writes)


def some_events(rng: random.Random, number: int, *, parts: int, start: int = 0) -> dict[str, dict[str, Any]]:
    """Events on a few hosts, in these parts."""
    from tests.detect.world import event

    return {
        f"e{i}": event(
            rng.randrange(9_000), host=f"h{rng.randrange(3)}", event__module=str(rng.randrange(parts))
        )
        for i in range(start, start + number)
    }
