"""Where sweeps stand: positions, what waits, and which workers there are.

Each sweeping process leaves a document of kind `sweeper` at the end of each of its sweeps; those of processes
that are no more are removed by the next one of the same machine, or after a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
class PartStatus:
    """Where a part of the feed stands. `holder`: who reads it now, "" for nobody; `silent`: seconds since the
    holder last wrote, by the store's clock and this one's; `lease`: seconds after which it is taken over."""

    part: str
    waiting: int
    swept_at: str
    holder: str
    silent: float
    lease: float


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A sweeping process. `ended`: it is known to be no more; `holds`: how many parts it reads now; `events`,
    `seconds` and `plan` (`soc.detect.plan`, "" when there was nothing to read): of its last sweep."""

    worker: str
    swept_at: str
    rules: int
    ruleset: str
    commit: str
    events: int
    seconds: float
    plan: str
    holds: int
    ended: bool


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """Where a position stands. `waiting`: events not swept yet, as far as is known without reading them.

    `parts`: those that were read or wait; `commit`: of the published rules that were swept with last.
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
    commit: str = ""
    parts: list[PartStatus] = field(default_factory=list)
    workers: list[WorkerStatus] = field(default_factory=list)


def status(store: Store) -> list[SweepStatus]:
    """Every position of a sweep in the store; none when nothing was swept yet."""
    workers = [document.body for document in store.find(SWEEPER)]
    return [
        _status(store, document, [w for w in workers if w["name"] == document.id])
        for document in store.find(POSITION)
        if "feed" in document.body
    ]


def _status(store: Store, root: Document, workers: list[dict[str, Any]]) -> SweepStatus:
    looker = Places(store, root.id, Worker.here(), dry_run=True)
    looker.open(None, "")
    places = looker.survey()
    today = ledger.today()
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
        commit=str(last.get("commit") or ""),
        parts=[_part(place) for place in places if place.document or place.due],
        workers=sorted((_worker(body, places) for body in workers), key=lambda w: w.swept_at, reverse=True),
    )


def _part(place: Place) -> PartStatus:
    document, holder = place.document, place.holder
    silent = (datetime.now(UTC) - moment(document.changed_at)).total_seconds() if document else 0.0
    return PartStatus(
        part=place.part.name,
        waiting=place.part.waiting,
        swept_at=str(document.body.get("swept_at") or "") if document else "",
        holder=str(holder or ""),
        silent=round(max(0.0, silent), 1) if holder else 0.0,
        lease=holder.lease if holder else 0.0,
    )


def _worker(body: Mapping[str, Any], places: Sequence[Place]) -> WorkerStatus:
    worker = Worker.load(body)
    return WorkerStatus(
        worker=str(worker),
        swept_at=body["swept_at"],
        rules=body["rules"],
        ruleset=body["ruleset"],
        commit=body.get("commit") or "",
        events=body["events"],
        seconds=body["seconds"],
        plan=body.get("plan", ""),
        holds=sum(place.holder is not None and place.holder.id == worker.id for place in places),
        ended=worker.ended(),
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
