"""Errors and findings, as data that knows its place.

Low-level code raises plain errors; parts of the product raise a `SocError` that says what
happened, where, and what to do next. They are translated once, at the edge of the command line
(`soc.__main__`), into a message and an exit code. Checks of content do not raise: they return
`Problem` objects, which feed the table, the JSON output and the tests alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class ExitCode:
    """Exit codes of every command (see docs/reference/exit-codes.md)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CONFLICT = 3
    NOT_AUTHORISED = 4
    PARTLY_DONE = 5
    WAITING = 8


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands: a file, and within it a line and column counted from 1 (0: unknown)."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.path
        return f"{self.path}:{self.line}:{self.column}" if self.column else f"{self.path}:{self.line}"


class Severity(StrEnum):
    """How much a `Problem` matters: an error stops the content from being used, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about a piece of content.

    `kind` is a stable word for machines (`unknown_field`); `message` says it in a sentence;
    `hint` is the next step, best a command; `step` names the playbook step, where there is one.
    """

    kind: str
    message: str
    place: Place
    severity: Severity = Severity.ERROR
    hint: str = ""
    step: str = ""

    def __str__(self) -> str:
        tail = f" ({self.hint})" if self.hint else ""
        return f"{self.place}: {self.severity}: {self.message} [{self.kind}]{tail}"


class SocError(Exception):
    """Something went wrong that the user can understand.

    `message` is one sentence; `place` is where; `hint` is what to do next, best a command.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, place: Place | Path | str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = Place(str(place)) if isinstance(place, (str, Path)) else place
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class UsageError(SocError):
    """The command was used in a way that cannot work; nothing was done. Exit code 2."""

    exit_code = ExitCode.USAGE


class ConflictError(SocError):
    """Somebody else changed the same thing first. Exit code 3.

    `mine` is what the user wrote (kept, so that nothing typed is lost), `theirs` describes the
    other change.
    """

    exit_code = ExitCode.CONFLICT

    def __init__(self, message: str, *, mine: str = "", theirs: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.mine = mine
        self.theirs = theirs


class NotAuthorisedError(SocError):
    """The store refused the user. Exit code 4; `hint` names the missing role where it is known."""

    exit_code = ExitCode.NOT_AUTHORISED


class StoreUnavailableError(SocError):
    """The store cannot be reached, or is shut for now; trying again later may work."""


class ContentError(SocError):
    """Content (collectors, rules, playbooks, configuration) that cannot be used: all problems at once."""

    def __init__(self, problems: Sequence[Problem], *, hint: str = "") -> None:
        self.problems = list(problems)
        first = self.problems[0]
        rest = len(self.problems) - 1
        message = first.message + (f" (and {rest} more problem{'s' if rest > 1 else ''})" if rest else "")
        super().__init__(message, place=first.place, hint=hint or first.hint)
