"""Questions to an analyst at a terminal. Without one, each is a usage error that names the option."""

from __future__ import annotations

import sys

from soc.cli.session import Session
from soc.cli.text import safe
from soc.errors import UsageError
from soc.respond.alerts import NOTE_WANTED, REASONS

TRIES = 3


def closing(s: Session, reason: str, note: str) -> tuple[str, str]:
    """The reason and note to close with; asks for what is missing."""
    if not reason:
        if not s.interactive:
            raise UsageError(f"closing wants --reason: {', '.join(REASONS)}")
        for number, (name, meaning) in enumerate(REASONS.items(), 1):
            sys.stderr.write(f"  {number}  {name:15} {meaning}\n")
        reason = _ask_reason()
    if reason in NOTE_WANTED and not note.strip() and s.interactive:
        note = ask(f"Why {reason}? A note for the next analyst")
    return reason, note


def _ask_reason() -> str:
    names = list(REASONS)
    for _ in range(TRIES):
        answer = ask("Reason").lower()
        if answer.isdecimal() and 1 <= int(answer) <= len(names):
            return names[int(answer) - 1]
        found = [name for name in names if name.startswith(answer)]
        if len(found) == 1:
            return found[0]
        sys.stderr.write(f"one of 1 to {len(names)}, or the beginning of a word\n")
    raise UsageError("cancelled; nothing was changed")


def ask(question: str) -> str:
    """A line typed by the person. An empty one cancels (exit 2)."""
    sys.stderr.write(f"{safe(question)}: ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip()
    if not answer:
        raise UsageError("cancelled; nothing was changed")
    return answer
