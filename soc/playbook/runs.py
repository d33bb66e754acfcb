"""Starting runs and taking them up again: what the commands `soc playbook run` and `soc run` do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from soc.errors import ContentError
from soc.event import timestamp
from soc.playbook.engine import World
from soc.playbook.lint import lint_text
from soc.playbook.model import Playbook
from soc.playbook.state import Run
from soc.playbook.subject import Resolved, Subject, resolve


def draft(
    playbook: Playbook,
    subject: Subject,
    given: Mapping[str, Any],
    *,
    run_id: str,
    user: str,
    now: datetime,
) -> tuple[Run, Resolved]:
    """A new run that is not saved yet, at its first step. Raises as `soc.playbook.subject.resolve`."""
    resolved = resolve(playbook, subject, given)
    built_in = {"run_id": run_id, "subject_id": subject.id, "playbook": playbook.name}
    run = Run(
        id=run_id,
        playbook=playbook.name,
        title=playbook.title,
        playbook_version=playbook.version,
        path=playbook.path,
        text=playbook.text,
        subject_kind=subject.kind,
        subject_id=subject.id,
        subject_title=subject.title,
        first_event=subject.first,
        last_event=subject.last,
        started_by=user,
        started_at=timestamp(now),
        step="",
        variables={**built_in, **resolved.values},
    )
    run = run.with_entry(
        "started",
        now,
        user,
        variables=dict(resolved.values),
        origins=dict(resolved.origins),
        remarks=list(resolved.remarks) or None,
    )
    return replace(run, step=playbook.start), resolved


def abandoned(run: Run, world: World) -> bool:
    """Whether nobody is at work any more on the step that a run says was begun."""
    try:
        step = playbook_of(run).steps[run.step]
    except ContentError:
        return True
    return not world.busy(run, step)


def playbook_of(run: Run) -> Playbook:
    """The playbook that a run follows: the text that it was started with, whatever the file says now."""
    playbook, problems = lint_text(run.text, f"{run.path} (as kept in {run.id})")
    if playbook is None or run.step not in playbook.steps:
        raise ContentError(problems, hint=f"soc run log {run.id}")
    return playbook
