"""Looking after a store: setting it up, retention with its entry in the audit log, and rows to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from soc.event import timestamp
from soc.store.contract import Planned, Pruned, Store, StoreStatus

if TYPE_CHECKING:
    from soc.config import Config


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


@dataclass(frozen=True, slots=True)
class Cut:
    """Events to remove: those before a moment, of one retention class (None: of every class), and where."""

    retention: str | None
    before: datetime
    parts: Sequence[Pruned]

    @property
    def events(self) -> int:
        """How many events are removed."""
        return sum(part.events for part in self.parts)


def plan(store: Store, older_than: datetime) -> list[Cut]:
    """What removing everything before a moment would remove; nothing is changed."""
    return [Cut(None, older_than, store.prune(older_than, dry_run=True))]


def plan_retention(store: Store, config: Config, now: datetime) -> list[Cut]:
    """What the retention classes of the configuration would remove (`now`: aware); nothing is changed."""
    out = []
    for name, days in sorted(config.retention.items()):
        before = now - timedelta(days=days)
        out.append(Cut(name, before, store.prune(before, retention=name, dry_run=True)))
    return out


def kept_for_ever(config: Config) -> list[str]:
    """Retention classes that a source names and nobody gave days: their events are never removed."""
    return sorted({source.retention for source in config.sources} - set(config.retention))


def pruned_rows(cuts: Sequence[Cut]) -> Iterator[dict[str, Any]]:
    """What retention removes and what it leaves, one row for each place and class."""
    for cut in cuts:
        for part in cut.parts:
            yield {
                "name": part.name,
                "class": cut.retention or "",
                "before": timestamp(cut.before),
                "events": part.events,
                "kept": part.kept,
                "bytes": part.bytes,
            }


def prune(store: Store, cuts: Sequence[Cut]) -> list[Cut]:
    """Remove events, each time after an entry in the audit log that says which; gives what was removed.

    `cuts` is what `plan` or `plan_retention` has shown to the person who decided.
    """
    from soc.respond import audit

    done = []
    for cut in cuts:
        if not cut.events:
            done.append(cut)
            continue
        detail = {
            "older_than": timestamp(cut.before),
            "events": cut.events,
            "from": [part.name for part in cut.parts if part.events],
            **({"class": cut.retention} if cut.retention else {}),
        }
        audit.record(store, action="store.prune", subject="events", detail=detail)
        done.append(replace(cut, parts=store.prune(cut.before, retention=cut.retention)))
    return done
