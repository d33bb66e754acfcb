"""What the tests of the contract share."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from soc.event import Event, event_id, timestamp
from soc.store.contract import (
    Fate,
    Incoming,
    Position,
    Store,
    StoredEvent,
)

START = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]

StoreFactory = Callable[[], Store]


def incoming(
    number: int, fields: Mapping[str, Any] | None = None, *, layer: int = 1, generation: str = "g"
) -> Incoming:
    """An event one second after the one before it."""
    at = timestamp(START + timedelta(seconds=number))
    event: Event = {
        "@timestamp": at,
        "soc.layer": layer,
        "event.original": f"line {number}",
        **(fields or {}),
    }
    return Incoming(event_id("test", generation, number), event)


def fates(store: Store, events: list[Incoming]) -> list[Fate]:
    """What became of each, with ids in the order given."""
    outcomes = store.append(events)
    assert [o.id for o in outcomes] == [e.id for e in events]
    assert all(bool(o.reason) == (o.fate is Fate.REJECTED) for o in outcomes)
    return [o.fate for o in outcomes]


def read_on(store: Store, position: Position, **options: Any) -> tuple[list[StoredEvent], Position]:
    """All that the feed has after a position, and where it stands then. Positions survive JSON."""
    events: list[StoredEvent] = []
    for batch in store.feed(json.loads(json.dumps(position)), **options):
        events += batch.events
        position = batch.position
    return events, position


def ids(events: list[StoredEvent] | list[Incoming]) -> list[str]:
    """Only the ids."""
    return [e.id for e in events]


def same(left: Any, right: Any) -> bool:
    """Equal in value and type, also inside lists; NaN is itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(v, right[k]) for k, v in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and math.isnan(left):
        return math.isnan(right)
    if isinstance(left, float) and math.copysign(1, left) != math.copysign(1, right):
        return False
    return bool(left == right)
