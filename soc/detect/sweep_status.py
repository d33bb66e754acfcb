"""Where sweeps stand: positions, what waits, and which workers there are.

Each sweeping process leaves a document of kind `sweeper` at the end of each of its sweeps; those of processes
that are no more are removed by the next one of the same machine, or after a day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from soc.detect import ledger
from soc.detect.leases import Worker
from soc.detect.ledger import Tally
from soc.detect.places import POSITION, Place, Places
from soc.detect.predicate import Op, Test
from soc.event import moment
from soc.store.contract import Document, Store, VersionConflictError, Write

SWEEPER = "sweeper"
KEPT = timedelta(days=1)
"""How long a sweeping process is listed after its last sweep."""


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """Where a position stands. `waiting`: events not swept yet, as far as is known without reading them.

    `places`: its parts that were read or wait; `workers`: the bodies of the documents of kind `sweeper`.
    """

    name: str
    swept_at: str
    by: str
    rules: int
    ruleset: str
    waiting: int
    replaying: bool
    events_today: int
    hits_today: int
    blind: dict[str, str]
    notes: list[str]
    places: list[Place] = field(default_factory=list)
    workers: list[dict[str, Any]] = field(default_factory=list)


def status(store: Store) -> list[SweepStatus]:
    """Every position of a sweep in the store; none when nothing was swept yet."""
    workers = [{**d.body, "seen_at": d.changed_at} for d in store.find(SWEEPER)]
    return [
        _status(store, document, [w for w in workers if w["name"] == document.id])
        for document in store.find(POSITION)
        if "feed" in document.body
    ]


def _status(store: Store, root: Document, workers: list[dict[str, Any]]) -> SweepStatus:
    looker = Places(store, root.id, Worker.here(), dry_run=True)
    looker.open(None, "")
    places = looker.survey()
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    read = [place.document.body for place in places if place.document]
    tallies = [Tally.load(body["ledger"]) for body in read if body.get("ledger")]
    if root.body.get("ledger"):
        tallies.append(Tally.load(root.body["ledger"]))
    last = max([*workers, *read, root.body], key=lambda body: str(body.get("swept_at", "")))
    run = store.read(ledger.LEDGER, ledger.tally_id(today, last.get("ruleset", ""), root.id, ledger.RUN))
    runs = [Tally.load(run.body)] if run else []
    latest = max([t.day for t in [*tallies, *runs]], default=today)
    mine = [t for t in [*tallies, *runs] if t.day == latest]
    return SweepStatus(
        name=root.id,
        swept_at=str(last.get("swept_at") or root.body.get("since", "")),
        by=str(last.get("by") or _who(last)),
        rules=last.get("rules", 0),
        ruleset=last.get("ruleset", ""),
        waiting=sum(place.part.waiting for place in places),
        replaying=root.body.get("replay") is not None,
        events_today=sum(t.events for t in mine),
        hits_today=sum(t.hits for t in mine),
        blind={rule: why for t in mine for rule, why in t.blind.items()},
        notes=sorted(note for t in mine for note in t.notes),
        places=[place for place in places if place.document or place.due],
        workers=workers,
    )


def _who(worker: Mapping[str, Any]) -> str:
    return str(Worker.load(worker)) if "id" in worker else "?"


def keep_worker(store: Store, worker: Worker, facts: Mapping[str, Any]) -> None:
    """Write down what a worker did last; remove what is left of those that are no more."""
    for _ in range(10):
        there = store.read(SWEEPER, worker.id)
        body = {**worker.body(), **facts}
        (result,) = store.write([Write(SWEEPER, worker.id, body, there.version if there else 0)])
        if not isinstance(result, VersionConflictError):
            break
    if there is None:
        _clear(store, worker, str(facts["name"]))


def _clear(store: Store, worker: Worker, name: str) -> None:
    now = datetime.now(UTC)
    gone = [
        Write(SWEEPER, d.id, None, d.version)
        for d in store.find(SWEEPER, Test("name", Op.EQUALS, name))
        if d.id != worker.id and (Worker.load(d.body).ended() or now - moment(d.changed_at) > KEPT)
    ]
    if gone:
        store.write(gone)
