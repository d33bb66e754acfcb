"""Running the tests that stand in a playbook's file: the real engine over an invented world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from soc.detect.predicate import Predicate, matches
from soc.errors import SocError
from soc.event import Event, flatten, moment
from soc.playbook.command import CommandResult
from soc.playbook.engine import Engine
from soc.playbook.model import Command, Playbook, Step, Trial
from soc.playbook.runs import draft
from soc.playbook.state import Phase, Run
from soc.playbook.subject import Subject

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
"""The time in every test: fixed, so that a test means the same every day."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What a test did: the path it took, how it ended, and what is wrong (empty: passed)."""

    playbook: str
    name: str
    path: tuple[str, ...]
    outcome: str
    faults: tuple[str, ...]
    run: Run | None = None

    @property
    def passed(self) -> bool:
        """Whether everything came out as expected."""
        return not self.faults


class MemoryJournal:
    """A journal that keeps the last state of a run."""

    user = "tester"

    def save(self, run: Run, action: str, on_behalf_of: str = "") -> Run:  # noqa: ARG002 - a protocol's signature
        """Keep it; nobody else is there to write first."""
        return replace(run, version=run.version + 1)


class StubbedWorld:
    """Events of the test are the store; commands end as the test says."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.events = [flatten(event) for event in trial.events]
        self.calls: list[list[str]] = []

    def now(self) -> datetime:
        """Always `NOW`."""
        return NOW

    def query(self, where: Predicate, since: datetime, until: datetime | None, limit: int) -> Iterator[Event]:
        """The events of the test that match; one without a time is always within."""
        found = 0
        for event in self.events:
            when = event.get("@timestamp")
            at = moment(str(when)) if when else None
            inside = at is None or (since <= at and (until is None or at < until))
            if inside and found < limit and matches(where, event):
                found += 1
                yield event

    def execute(self, run: Run, step: Command, argv: Sequence[str], text: str) -> CommandResult:  # noqa: ARG002 - as above
        """What the test says of the step: success without output where it says nothing."""
        self.calls.append(list(argv))
        stub = self.trial.commands.get(step.name)
        if stub is None:
            return CommandResult(0)
        if stub.missing:
            return CommandResult(None, error=f"{argv[0]}: No such file or directory")
        if stub.timed_out:
            return CommandResult(None, timed_out=True)
        return CommandResult(stub.exit, stdout=stub.output)

    def worker(self) -> Mapping[str, Any]:
        """Nobody in particular."""
        return {}

    def busy(self, run: Run, step: Step) -> str:  # noqa: ARG002 - a protocol's signature
        """Nobody is at work between two calls."""
        return ""

    def doubts(self, playbook: Playbook, run: Run, step: Command) -> Sequence[str]:  # noqa: ARG002 - as above
        """A test means what it says."""
        return ()


def subject_of(trial: Trial) -> Subject:
    """The alert of a test: `alert.…` and `rule.…` as they stand, `event.…` as its one sample event."""
    flat = flatten(trial.alert)
    event = {n.removeprefix("event."): v for n, v in flat.items() if n.startswith("event.")}
    fields = {n: v for n, v in flat.items() if not n.startswith("event.")}
    return Subject(
        kind="alert",
        id=str(fields.get("alert.id", "A-0TEST")),
        title=str(fields.get("rule.title", "")),
        fields=fields,
        events=(event,) if event else (),
        first=str(fields.get("alert.first", "")),
        last=str(fields.get("alert.last", "")),
    )


def perform(playbook: Playbook, trial: Trial) -> TrialResult:
    """Run one test to its end."""
    journal = MemoryJournal()
    world = StubbedWorld(trial)
    try:
        run, _ = draft(
            playbook, subject_of(trial), trial.variables, run_id="R-0TEST", user=journal.user, now=world.now()
        )
        engine = Engine(playbook, journal, world, answers=dict(trial.answers), approve=True)
        run = engine.advance(run)
    except (SocError, ValueError) as error:
        return TrialResult(playbook.name, trial.name, (), "", (str(error),))
    path = tuple(run.path_taken())
    return TrialResult(
        playbook.name, trial.name, path, run.outcome, tuple(_faults(trial, run, path, engine)), run
    )


def _faults(trial: Trial, run: Run, path: tuple[str, ...], engine: Engine) -> Iterator[str]:
    if run.phase is not Phase.ENDED:
        yield f"it stopped at {run.step}, which waits for an answer ({run.reason}); add it under `answers`"
    if trial.path and path != trial.path:
        yield f"the path was {' → '.join(path)}, expected {' → '.join(trial.path)}"
    if run.phase is Phase.ENDED and run.outcome != trial.outcome:
        yield f"the outcome was {run.outcome!r}, expected {trial.outcome!r}"
    for name in engine.answers:
        yield f"the answer to {name} was never asked for"
    for name in trial.commands:
        if name not in path:
            yield f"the command {name} was never run"


def perform_all(playbook: Playbook) -> tuple[list[TrialResult], list[str]]:
    """Run every test of a playbook; the results, and the steps that no test came through."""
    results = [perform(playbook, trial) for trial in playbook.tests]
    visited = {name for result in results for name in result.path}
    return results, [name for name in playbook.steps if name not in visited]
