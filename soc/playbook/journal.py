"""Runs in the store: each change is one compare-and-set write, announced in the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from soc.detect.predicate import EVERYTHING, And, Op, Predicate, Test
from soc.playbook.engine import StaleRunError
from soc.playbook.state import KIND, Run, from_body, to_body
from soc.respond import audit, ids
from soc.store.contract import Store, VersionConflictError, Write

LETTER = "R"


class StoreJournal:
    """The journal of the runs in a store. See `soc.playbook.engine.Journal`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._user = store.whoami()

    @property
    def user(self) -> str:
        """Who acts, as the store knows them."""
        return self._user

    def save(self, run: Run, action: str, on_behalf_of: str = "") -> Run:
        """See `soc.playbook.engine.Journal.save`."""
        last = run.journal[-1] if run.journal else {}
        detail = {"step": run.step, "event": last.get("event"), "playbook": run.playbook}
        if last.get("event") == "answer":
            detail |= {"step": last["step"], "value": last.get("value")}
        (result,) = audit.change(
            self.store,
            [Write(KIND, run.id, to_body(run), run.version)],
            action=action,
            subject=run.id,
            detail=detail,
            on_behalf_of=on_behalf_of,
        )
        if isinstance(result, VersionConflictError):
            current = result.current
            raise StaleRunError(from_body(current.id, current.body, current.version) if current else None)
        return replace(run, version=result.version)

    def draw_id(self) -> str:
        """A new id that no run has."""
        return ids.draw(LETTER, lambda candidate: self.store.read(KIND, candidate) is not None)


def get(store: Store, text: str) -> Run:
    """The run that an id or a unique prefix names. Raises as `soc.respond.ids.resolve`."""
    name = ids.resolve(
        LETTER,
        text,
        exists=lambda id_: store.read(KIND, id_) is not None,
        beginning_with=lambda prefix: (d.id for d in store.find(KIND, Test("id", Op.STARTSWITH, prefix))),
        what="run",
    )
    found = store.read(KIND, name)
    if found is None:
        raise ids.NotFoundError(f"there is no run {name}", hint="soc run list")
    return from_body(found.id, found.body, found.version)


def find(store: Store, where: Predicate = EVERYTHING) -> Iterator[Run]:
    """Runs whose document satisfies a predicate (`status`, `playbook.name`, `subject.id`, …), by id."""
    for document in store.find(KIND, where):
        yield from_body(document.id, document.body, document.version)


def of_subject(store: Store, subject_id: str, playbook: str = "") -> list[Run]:
    """The runs on one alert or case, of one playbook if it is named, oldest first."""
    parts = [Test("subject.id", Op.EQUALS, subject_id)]
    if playbook:
        parts.append(Test("playbook.name", Op.EQUALS, playbook))
    return sorted(find(store, And(tuple(parts))), key=lambda run: run.started_at)
