"""What a person's answer to a step means, and whose turn it is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soc import yamlio
from soc.errors import ContentError, Problem, UsageError
from soc.playbook.model import Command, Decision, End, Manual, Playbook, Step
from soc.playbook.state import Phase, Reason, Run
from soc.playbook.template import UnsafeArgumentError, UnsetVariableError, arguments, fill
from soc.playbook.values import TYPES, check, check_many, shown

DONE, FAILED, AGAIN = "done", "failed", "again"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that fits: where to go, or what else it says, and the variables it sets."""

    shown: str
    target: str = ""
    failed: bool = False
    again: bool = False
    confirmed: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """A person's turn: who, at which step, why, what to do, the words that may be answered (`choices`), the
    variables that are asked for (`asks`), where each choice leads (`leads`) and the exact commands that
    answer."""

    step: str
    title: str
    who: str
    reason: Reason
    text: str
    choices: tuple[str, ...]
    asks: Mapping[str, str]
    commands: tuple[str, ...]
    dangerous: bool = False
    leads: Mapping[str, str] = field(default_factory=dict)


def effective_reason(run: Run) -> Reason | None:
    """Why a person has the turn; a step that was begun and not ended counts as unknown."""
    if run.phase is Phase.ACTING:
        return Reason.UNKNOWN
    return run.reason if run.phase is Phase.WAITING else None


def understand(step: Step, run: Run, value: Any, playbook: Playbook) -> Answered:
    """The meaning of an answer to a step that waits. Raises `UsageError` that says what may be answered."""
    reason = effective_reason(run)
    word = _word(value)
    if reason in (Reason.FAILED, Reason.UNKNOWN):
        return _after_failure(step, word)
    if reason is Reason.CONFIRM:
        if word.lower() not in {"yes", "no"}:
            raise UsageError(f"{step.name} is to be agreed to: yes or no")
        agreed = word.lower() == "yes"
        return Answered(word.lower(), confirmed=agreed, failed=not agreed)
    if isinstance(step, Decision):
        return _choice(step, word)
    if isinstance(step, Manual):
        return _manual(step, value, word, playbook)
    raise UsageError(f"{step.name} does not wait for a person")


def _word(value: Any) -> str:
    """An answer as one word; YAML's true and false are yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None or isinstance(value, (dict, list)) else str(value).strip()


def _after_failure(step: Step, word: str) -> Answered:
    word = word.lower()
    if word == DONE:
        return Answered(DONE, target=step.arrows().get("next", ""))
    if word == FAILED:
        return Answered(FAILED, failed=True)
    if word == AGAIN:
        return Answered(AGAIN, again=True)
    raise UsageError(f"{step.name}: one of {DONE}, {FAILED}, {AGAIN} is expected")


def choices_of(step: Decision) -> dict[str, str]:
    """The answers to a question and where each leads; an undecided condition asks for true or false."""
    if step.ask:
        return dict(step.choices)
    return {"true": step.then, "false": step.else_}


def _choice(step: Decision, word: str) -> Answered:
    choices = choices_of(step)
    also = {"yes": "true", "no": "false", "true": "yes", "false": "no"}.get(word.lower(), "")
    for label, target in choices.items():
        if label.lower() in {word.lower(), also}:
            return Answered(label, target=target)
    raise UsageError(f"{step.name}: one of {', '.join(choices)} is expected, not {word!r}")


def _manual(step: Manual, value: Any, word: str, playbook: Playbook) -> Answered:
    if word.lower() == FAILED:
        return Answered(FAILED, failed=True)
    if not step.answers:
        if word.lower() not in {DONE, "yes"}:
            raise UsageError(f"{step.name}: {DONE} or {FAILED} is expected, not {word!r}")
        return Answered(DONE, target=step.next)
    given = _given(step, value)
    good: dict[str, Any] = {}
    faults = [f"{name!r} is not asked for" for name in given if name not in step.answers]
    for name in step.answers:
        if name not in given:
            faults.append(f"{name} is missing")
            continue
        try:
            good[name] = _typed(playbook, name, given[name])
        except ValueError as error:
            type_ = TYPES[playbook.variables[name].type]
            faults.append(f"{name} is {error}; it must be {type_.title}")
    if faults:
        raise UsageError(f"{step.name}: " + "; ".join(faults))
    return Answered(in_words(given), target=step.next, variables=good)


def _given(step: Manual, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    if len(step.answers) == 1:
        (name,) = step.answers
        if isinstance(value, str) and value.startswith(f"{name}="):
            value = value.removeprefix(f"{name}=")
        return {name: value}
    names = " ".join(f"{name}=…" for name in step.answers)
    raise UsageError(f"{step.name} asks for several values: {names}")


def _typed(playbook: Playbook, name: str, value: Any) -> Any:
    variable = playbook.variables[name]
    if not variable.many:
        return check(variable.type, value)
    items = value if isinstance(value, list) else str(value).split(",")
    good, reasons = check_many(variable.type, items)
    if reasons:
        raise ValueError(reasons[0])
    return good


def in_words(value: Any) -> str:
    """An answer as it would be typed."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={shown(item)}" for name, item in value.items())
    return shown(value)


def from_words(step: Step | None, words: Sequence[str]) -> Any:
    """The answer in the words of a command line: one word, or `name=value` for each value asked for."""
    if isinstance(step, Manual) and step.answers:
        pairs = dict(
            word.split("=", 1) for word in words if "=" in word and word.split("=", 1)[0] in step.answers
        )
        if len(pairs) == len(words) and pairs:
            return pairs
    return " ".join(words)


def unanswered(playbook: Playbook, run: Run, step: str, *, options: str = "") -> UsageError:
    """The error that says what a run waits for, and how to answer, when the command line did not."""
    turn = turn_of(playbook, run, options=options)
    if turn is None:
        return UsageError(f"{run.id} waits for no answer; it is {run.status}", hint=f"soc run show {run.id}")
    if step and step != turn.step:
        return UsageError(f"{run.id} waits at {turn.step}, not at {step}", hint=turn.commands[0])
    what = ", ".join(turn.choices) or ", ".join(f"{name}: {text}" for name, text in turn.asks.items())
    words = f"{run.id} waits at {turn.step} ({turn.title}) for an answer: {what}"
    return UsageError(words, hint="\n      ".join(turn.commands))


def turn_of(playbook: Playbook, run: Run, *, options: str = "") -> Turn | None:
    """Whose turn it is; None when the run has ended or a step is ready to begin.

    `options` is added to each command, such as ` --store …`.
    """
    reason = effective_reason(run)
    if reason is None:
        return None
    step = playbook.steps[run.step]
    text, choices, asks = _asked(step, run, reason)
    base = f"soc run answer {run.id} {step.name}"
    if asks:
        pairs = " ".join(f"{name}=…" for name in asks)
        commands = [f"{base} {pairs}{options}", f"{base} {FAILED}{options}"]
    else:
        commands = [f"{base} {shlex.quote(choice)}{options}" for choice in choices]
    return Turn(
        step=step.name,
        title=step.title or step.name,
        who=step.who,
        reason=reason,
        text=text,
        choices=tuple(choices),
        asks=asks,
        commands=tuple(commands),
        dangerous=reason is Reason.CONFIRM,
        leads={choice: _lead(playbook, step, run, choice) for choice in choices},
    )


def _lead(playbook: Playbook, step: Step, run: Run, choice: str) -> str:
    """What an answer leads to, in words: the title of the next step."""
    answered = understand(step, run, choice, playbook)
    if answered.again or answered.confirmed:
        return "the command is run"
    target = step.arrows().get("on_failure", "") if answered.failed else answered.target
    if not target:
        waits = effective_reason(run) in (Reason.FAILED, Reason.UNKNOWN)
        return "the run ends as failed" if waits else "you are asked what to do"
    following = playbook.steps[target]
    if isinstance(following, End):
        return following.title or f"the end: {following.outcome}"
    return following.title or following.name


def _asked(step: Step, run: Run, reason: Reason) -> tuple[str, list[str], dict[str, str]]:
    if reason in (Reason.FAILED, Reason.UNKNOWN):
        return _trouble(step, run, reason), [DONE, FAILED, AGAIN], {}
    if reason is Reason.CONFIRM and isinstance(step, Command):
        return _to_agree(step, run), ["yes", "no"], {}
    if isinstance(step, Decision):
        return fill(step.ask or f"Is this so: {step.when}", run.variables), list(choices_of(step)), {}
    if isinstance(step, Manual):
        asks = {name: fill(text, run.variables) for name, text in step.answers.items()}
        return fill(step.instruction, run.variables), [] if asks else [DONE, FAILED], asks
    return "", [], {}


def _to_agree(step: Command, run: Run) -> str:
    """The command with its values, what it would do, how to undo it, and what is doubtful about it."""
    turn: Mapping[str, Any] = next((e for e in reversed(run.journal) if e["event"] == "turn"), {})
    lines = [command_line(step, run), fill(step.dry_run, run.variables)]
    lines.append(f"to undo: {_filled(step.undo, run)}" if step.undo else "this cannot be undone")
    if step.read_only:
        lines[-1] = "it changes nothing"
    return "\n".join([*lines, *(f"CAREFUL: {doubt}" for doubt in turn.get("doubts") or ())])


def _trouble(step: Step, run: Run, reason: Reason) -> str:
    last: Mapping[str, Any] = next(
        (e for e in reversed(run.journal) if e["event"] in {"result", "intent", "answer"}), {}
    )
    what = command_line(step, run) if isinstance(step, Command) else step.name
    if reason is Reason.FAILED:
        why = last.get("detail") or ("declined" if last.get("event") == "answer" else "")
        ways = "answer done when it is done by other means, failed to give up, or again"
        return f"It failed ({why}): {what}\n{ways}"
    safe = "; doing it again is harmless" if isinstance(step, Command) and step.idempotent else ""
    begun = f"It was begun at {last.get('at', '?')} by {last.get('by', '?')}"
    return (
        f"{begun} and nobody wrote down how it ended: {what}\n"
        f"look whether it took effect, then answer done, failed or again{safe}"
    )


def command_line(step: Command, run: Run) -> str:
    """The command as one would type it into a shell, with its values; what is not known stays as it is."""
    return _filled(step.run, run)


def _filled(templates: Sequence[str], run: Run) -> str:
    try:
        return shlex.join(arguments(templates, run.variables))
    except (UnsafeArgumentError, UnsetVariableError):
        return " ".join(templates)


def load_answers(path: Path, playbook: Playbook) -> dict[str, Any]:
    """The answers in a file: step to value. Raises `ContentError` for what is not that, with its place."""
    document = yamlio.load(path)
    problems = []
    if not isinstance(document.data, dict):
        problems.append(Problem("bad_value", "a mapping of steps to answers is expected", document.place()))
        raise ContentError(problems)
    for name in document.data:
        if name not in playbook.steps:
            message = f"{playbook.name} has no step {name!r}"
            problems.append(Problem("dangling_step", message, document.place(name), step=str(name)))
    if problems:
        raise ContentError(problems, hint=f"soc playbook show {playbook.name}")
    return dict(document.data)
