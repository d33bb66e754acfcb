"""A run: one execution of a playbook, as it is kept in the store.

A run is one document. Each change appends to its journal and is one compare-and-set write, so that the
journal and the state can never disagree. A step that acts is written down before it begins (`intent`) and
after it ended (`result`); an intent without a result is an outcome that nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from soc.errors import SocError
from soc.event import timestamp

KIND = "run"
SCHEMA = 1


class Phase(StrEnum):
    """Where a run stands at its current step."""

    READY = "ready"
    """The step has not begun."""
    ACTING = "acting"
    """The step has begun; its result is not written yet."""
    WAITING = "waiting"
    """It is a person's turn; `Run.reason` says why."""
    ENDED = "ended"


class Reason(StrEnum):
    """Why a run waits for a person."""

    MANUAL = "manual"
    """Something is to be done by hand."""
    QUESTION = "question"
    """A question decides on the path."""
    CONFIRM = "confirm"
    """A command that changes something is to be agreed to."""
    FAILED = "failed"
    """A step failed and the playbook does not say what then."""
    UNKNOWN = "unknown"
    """A command began and nobody wrote down how it ended."""


@dataclass(frozen=True, slots=True)
class Run:
    """The state of a run. `version` is that of its document: what this state was read or written as.

    `who` has the turn while it waits; `variables` are the values known so far; `confirmed` names the step
    whose command was agreed to; `attempt` counts how often the current step was begun; `text` is the playbook
    as it was at the start.
    """

    id: str
    playbook: str
    title: str
    playbook_version: str
    path: str
    text: str
    subject_kind: str
    subject_id: str
    subject_title: str
    started_by: str
    started_at: str
    step: str
    first_event: str = ""
    last_event: str = ""
    phase: Phase = Phase.READY
    reason: Reason | None = None
    who: str = ""
    outcome: str = ""
    ended_at: str = ""
    confirmed: str = ""
    attempt: int = 0
    worker: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    journal: tuple[Mapping[str, Any], ...] = ()
    version: int = 0

    @property
    def status(self) -> str:
        """One word for lists: running, waiting or ended."""
        if self.phase is Phase.ENDED:
            return "ended"
        return "waiting" if self.phase is Phase.WAITING else "running"

    def with_entry(self, event: str, at: datetime, by: str, **detail: Any) -> Run:
        """This run with one more journal entry; details that are None are left out."""
        entry = {"n": len(self.journal) + 1, "at": timestamp(at), "by": by, "step": self.step, "event": event}
        entry |= {key: value for key, value in detail.items() if value is not None}
        return replace(self, journal=(*self.journal, entry))

    def last_answer(self, step: str) -> Mapping[str, Any] | None:
        """The last answer that was given at a step."""
        return next((e for e in reversed(self.journal) if e["event"] == "answer" and e["step"] == step), None)

    def path_taken(self) -> list[str]:
        """The steps that were begun, in order, each time once."""
        out: list[str] = []
        for entry in self.journal:
            if entry["step"] and (not out or out[-1] != entry["step"]):
                out.append(str(entry["step"]))
        return out


def to_body(run: Run) -> dict[str, Any]:
    """The document of a run."""
    return {
        "schema": SCHEMA,
        "id": run.id,
        "status": run.status,
        "phase": str(run.phase),
        "reason": str(run.reason) if run.reason else None,
        "who": run.who if run.phase is Phase.WAITING else "",
        "step": run.step,
        "outcome": run.outcome,
        "playbook": {
            "name": run.playbook,
            "title": run.title,
            "version": run.playbook_version,
            "path": run.path,
            "text": run.text,
        },
        "subject": {"kind": run.subject_kind, "id": run.subject_id, "title": run.subject_title},
        "first_event": run.first_event,
        "last_event": run.last_event,
        "started": {"by": run.started_by, "at": run.started_at},
        "ended_at": run.ended_at,
        "confirmed": run.confirmed,
        "attempt": run.attempt,
        "worker": dict(run.worker),
        # a list of pairs: the names differ from playbook to playbook and must not become fields of an index
        "variables": [{"name": name, "value": value} for name, value in run.variables.items()],
        "journal": [dict(entry) for entry in run.journal],
    }


def from_body(id: str, body: Mapping[str, Any], version: int) -> Run:  # noqa: A002 - the term of the contract
    """The run in a document. Raises `SocError` for one that a newer program wrote."""
    if body.get("schema") != SCHEMA:
        raise SocError(f"run {id} was written by another version of this program", hint="upgrade soc")
    playbook, subject, started = body["playbook"], body["subject"], body["started"]
    return Run(
        id=id,
        playbook=playbook["name"],
        title=playbook["title"],
        playbook_version=playbook["version"],
        path=playbook["path"],
        text=playbook["text"],
        subject_kind=subject["kind"],
        subject_id=subject["id"],
        subject_title=subject["title"],
        first_event=body.get("first_event") or "",
        last_event=body.get("last_event") or "",
        started_by=started["by"],
        started_at=started["at"],
        step=body["step"],
        phase=Phase(body["phase"]),
        reason=Reason(body["reason"]) if body.get("reason") else None,
        who=body.get("who") or "",
        outcome=body.get("outcome") or "",
        ended_at=body.get("ended_at") or "",
        confirmed=body.get("confirmed") or "",
        attempt=body.get("attempt") or 0,
        worker=body.get("worker") or {},
        variables={item["name"]: item["value"] for item in body.get("variables") or ()},
        journal=tuple(body.get("journal") or ()),
        version=version,
    )
