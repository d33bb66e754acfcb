"""Questions to the person at the terminal whose turn it is in a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from soc.cli.output import width
from soc.cli.text import safe
from soc.playbook.prose import wrapped

if TYPE_CHECKING:
    from soc.playbook.answers import Turn

HELP = {"?", "h", "help"}

Doubts = Callable[[str, str], Sequence[str]]
"""What is doubtful about the value that was given for a variable: `doubts(name, value)`."""


def ask(turn: Turn, doubts: Doubts = lambda _name, _value: ()) -> Any:
    """The answer of the person; None for none: the run then goes on waiting."""
    _write(f"\n{turn.title} ({turn.who})\n{wrapped(turn.text, width())}")
    if turn.asks:
        return _values(turn, doubts)
    if turn.dangerous:
        return _agreement(turn)
    return _choice(turn.choices, turn.leads)


def _values(turn: Turn, doubts: Doubts) -> Any:
    given: dict[str, str] = {}
    for name, question in turn.asks.items():
        while name not in given:
            answer = _line(question or name)
            if not answer:
                return None
            if answer.lower() in HELP:
                _write("a value; `failed` when it cannot be found; nothing: later")
            elif answer.lower() == "failed":
                return answer.lower()
            elif _kept(doubts(name, answer)):
                given[name] = answer
    return given


def _kept(doubts: Sequence[str]) -> bool:
    """Whether the person keeps to a value that is doubtful."""
    for doubt in doubts:
        _write(f"CAREFUL: {doubt}")
    return not doubts or _line("Keep it? [y/N]").lower() in {"y", "yes"}


def _agreement(turn: Turn) -> str | None:
    """Yes or no to a command. No answer is no agreement, but not a decision against it either."""
    while True:
        word = _line("Run it? [y/N]").lower()
        if word in {"y", "yes", "n", "no"}:
            return "yes" if word.startswith("y") else "no"
        if not word:
            return None
        _write(f"y: run it; n: do not, go on at: {turn.leads.get('no', '')}; nothing: later, the run waits")


def _choice(choices: Sequence[str], leads: Mapping[str, str]) -> str | None:
    """One of some words, by its number or its beginning."""
    longest = max(len(choice) for choice in choices)
    for number, choice in enumerate(choices, 1):
        _write(f"  {number}  {choice:{longest}}  → {leads.get(choice, '')}")
    while answer := _line("Answer").lower():
        if answer.isdecimal() and 1 <= int(answer) <= len(choices) and answer not in choices:
            return choices[int(answer) - 1]
        exact = [choice for choice in choices if choice.lower() == answer]
        found = exact or [choice for choice in choices if choice.lower().startswith(answer)]
        if len(found) == 1 and answer not in HELP - set(choices):
            return found[0]
        _write(f"a number from 1 to {len(choices)}, or the beginning of a word; nothing: later")
    return None


def _write(text: str) -> None:
    sys.stderr.write(safe(text).rstrip() + "\n")


def _line(question: str) -> str:
    sys.stderr.write(safe(question) + (" " if question.endswith("]") else " (empty: later): "))
    sys.stderr.flush()
    return sys.stdin.readline().strip()
