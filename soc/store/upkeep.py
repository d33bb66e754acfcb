"""Looking after a store: setting it up, retention with its entry in the audit log, and rows to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from soc.event import timestamp
from soc.store.contract import Planned, Pruned, Store, StoreStatus


def planned_rows(planned: Sequence[Planned], *, dry_run: bool) -> Iterator[dict[str, Any]]:
    """What `init` has made or would make, one row for each thing."""
    for thing in planned:
        if thing.exists:
            state = "exists"
        elif dry_run:
            state = "missing"
        else:
            state = "not created" if thing.note else "created"
        yield {
            "kind": thing.kind,
            "name": thing.name,
            "state": state,
            "note": thing.note,
            "content": dict(thing.content),
        }


def status_row(status: StoreStatus) -> dict[str, Any]:
    """The status of a store as one row; every value is plain data."""
    return {
        "store": status.name,
        "kind": status.kind,
        "events": status.events,
        "bytes": status.bytes,
        "oldest": status.oldest,
        "newest": status.newest,
        "documents": dict(status.documents),
        "warnings": list(status.warnings),
        "detail": dict(status.detail),
    }


def pruned_rows(pruned: Sequence[Pruned]) -> Iterator[dict[str, Any]]:
    """What retention removes and what it leaves, one row for each place."""
    for part in pruned:
        yield {"name": part.name, "events": part.events, "kept": part.kept, "bytes": part.bytes}


def prune(store: Store, older_than: datetime, planned: Sequence[Pruned]) -> list[Pruned]:
    """Remove events older than a moment, after an entry in the audit log that says which.

    `planned` is what `store.prune(…, dry_run=True)` has shown to the person who decided.
    """
    from soc.respond import audit

    removed = [part for part in planned if part.events]
    detail = {
        "older_than": timestamp(older_than),
        "events": sum(part.events for part in removed),
        "from": [part.name for part in removed],
    }
    audit.record(store, action="store.prune", subject="events", detail=detail)
    return store.prune(older_than)
