"""A playbook as data: variables, steps and the tests that stand in its file.

Steps have short names; the arrows between them (`next`, `on_failure`, `then`, `else`, `cases`, `choices`)
form a graph without circles that begins at `start` and ends at `end` steps. The words map onto CACAO 2.0:
`manual` and `command` are actions, `query` an action with `out_args`, `decision` an if or switch condition
(a question: a manual action with an output, then a switch), `end` is `end`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from soc.errors import Place
from soc.playbook.values import VariableValue

BUILT_IN = {
    "run_id": "the id of this run",
    "subject_id": "the id of the alert or case",
    "playbook": "the name of this playbook",
}
"""Variables that every run has; a playbook cannot declare them."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared variable.

    `sources` are fields of the alert, tried in order; `constant` ones are set by the file or the person who
    starts the run, never by a log, and alone may name a program; `many` holds a list of values.
    """

    name: str
    type: str = "string"
    description: str = ""
    default: VariableValue | None = None
    sources: tuple[str, ...] = ()
    required: bool = False
    constant: bool = False
    many: bool = False

    @property
    def always_set(self) -> bool:
        """Whether it has a value from the start of every run."""
        return self.required or self.default is not None


@dataclass(frozen=True, slots=True)
class Step:
    """What all steps have: `who` has the turn where a person is asked; `next` is the step that follows."""

    name: str
    place: Place
    title: str = ""
    who: str = "analyst"

    kind = ""

    def arrows(self) -> dict[str, str]:
        """Every arrow out of this step: its label and the step it points to."""
        return {}

    def sets(self) -> tuple[str, ...]:
        """The variables that this step gives a value when it succeeds."""
        return ()

    def templates(self) -> dict[str, str]:
        """Every text with variables in it, by the key it stands under."""
        return {}


@dataclass(frozen=True, slots=True)
class Manual(Step):
    """An instruction to a person; `answers` maps variables to what is asked for them."""

    instruction: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    next: str = ""
    on_failure: str = ""

    kind = "manual"

    def arrows(self) -> dict[str, str]:
        """See `Step.arrows`."""
        return _arrows(next=self.next, on_failure=self.on_failure)

    def sets(self) -> tuple[str, ...]:
        """See `Step.sets`."""
        return tuple(self.answers)

    def templates(self) -> dict[str, str]:
        """See `Step.templates`."""
        return {"instruction": self.instruction}


class Meaning(NamedTuple):
    """What an exit code means: success, in words, and whether it found things to be so already."""

    ok: bool
    words: str = ""
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Command(Step):
    """A program with an argument list, never a shell.

    `timeout` in seconds. `read_only` commands change nothing; every other one, and one that says `confirm`,
    asks before it runs. `reversible` ones can be undone (`undo` says how, an argument list too). `idempotent`
    ones may be run again without harm, and yet are never run again silently. `exit_codes` maps a code to
    what it means (`Meaning`); 0 is success unless it stands there. `env` names variables of the environment
    that are passed on; their values are never written down. `output` and `exit_code` name variables.
    """

    run: tuple[str, ...] = ()
    timeout: int = 60
    dry_run: str = ""
    read_only: bool = False
    reversible: bool = False
    idempotent: bool = False
    confirm: bool = False
    undo: tuple[str, ...] = ()
    exit_codes: Mapping[int, Meaning] = field(default_factory=dict)
    env: tuple[str, ...] = ()
    input: str = ""
    output: str = ""
    exit_code: str = ""
    next: str = ""
    on_failure: str = ""

    kind = "command"

    @property
    def asks(self) -> bool:
        """Whether a person has to agree before it runs."""
        return self.confirm or not self.read_only

    def arrows(self) -> dict[str, str]:
        """See `Step.arrows`."""
        return _arrows(next=self.next, on_failure=self.on_failure)

    def sets(self) -> tuple[str, ...]:
        """See `Step.sets`."""
        return tuple(name for name in (self.output, self.exit_code) if name)

    def templates(self) -> dict[str, str]:
        """See `Step.templates`."""
        out = {f"run.{i}": text for i, text in enumerate(self.run)}
        out |= {f"undo.{i}": text for i, text in enumerate(self.undo)}
        return out | {"dry_run": self.dry_run, "input": self.input}


@dataclass(frozen=True, slots=True)
class Query(Step):
    """A search over the events of the store.

    `since` is a length of time before the first event of the alert, `until` one after its last event (None:
    until now). `count` names the variable that gets the number of events found (never above `limit`);
    `values` maps variables to the fields whose distinct values they get.
    """

    query: str = ""
    since: timedelta = timedelta(hours=24)
    until: timedelta | None = None
    limit: int = 10_000
    count: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    next: str = ""
    on_failure: str = ""

    kind = "query"

    def arrows(self) -> dict[str, str]:
        """See `Step.arrows`."""
        return _arrows(next=self.next, on_failure=self.on_failure)

    def sets(self) -> tuple[str, ...]:
        """See `Step.sets`."""
        return (self.count,) if self.count else ()

    def templates(self) -> dict[str, str]:
        """See `Step.templates`."""
        return {"query": self.query}


@dataclass(frozen=True, slots=True)
class Decision(Step):
    """Where the path divides: by a condition, by a variable's value, or by a person.

    `when` is the query language over variables, with `then` and `else_`; `switch` names a variable whose
    value is looked up in `cases`, else `default`; `ask` is a question whose `choices` map answers to steps.
    """

    when: str = ""
    then: str = ""
    else_: str = ""
    switch: str = ""
    cases: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    ask: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)

    kind = "decision"

    def arrows(self) -> dict[str, str]:
        """See `Step.arrows`."""
        out = _arrows(then=self.then, default=self.default) | {"else": self.else_}
        out |= {f"cases.{value}": step for value, step in self.cases.items()}
        out |= {f"choices.{answer}": step for answer, step in self.choices.items()}
        return {label: step for label, step in out.items() if step}

    def templates(self) -> dict[str, str]:
        """See `Step.templates`."""
        return {"when": self.when, "ask": self.ask}


@dataclass(frozen=True, slots=True)
class End(Step):
    """The end of a path: `outcome` is a short word for statistics, `summary` what is left to do."""

    outcome: str = ""
    summary: str = ""

    kind = "end"

    def templates(self) -> dict[str, str]:
        """See `Step.templates`."""
        return {"summary": self.summary}


def _arrows(**labels: str) -> dict[str, str]:
    return {label: step for label, step in labels.items() if step}


@dataclass(frozen=True, slots=True)
class StubbedCommand:
    """What a command is said to have done in a test: its exit code and what it printed.

    `missing` pretends that the program is not there, `timed_out` that it ran out of time.
    """

    exit: int = 0
    output: str = ""
    missing: bool = False
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A test in a playbook's file: what goes in, and the path and outcome that must come out."""

    name: str
    place: Place
    alert: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] = ()
    answers: Mapping[str, Any] = field(default_factory=dict)
    commands: Mapping[str, StubbedCommand] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Playbook:
    """A playbook that was read; whether it makes sense is for `soc.playbook.lint` to say.

    `text` is the file as it was read and `version` the first twelve digits of its SHA-256.
    """

    name: str
    title: str
    path: str
    text: str
    start: str
    description: str = ""
    level: str = ""
    tags: tuple[str, ...] = ()
    variables: Mapping[str, Variable] = field(default_factory=dict)
    steps: Mapping[str, Step] = field(default_factory=dict)
    tests: tuple[Trial, ...] = ()

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits that change with any change of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]
