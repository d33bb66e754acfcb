"""What a run would do, from where it stands, without doing any of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from soc.detect.predicate import Verdict
from soc.errors import SocError
from soc.playbook import conditions
from soc.playbook.answers import understand
from soc.playbook.model import Command, Decision, End, Manual, Playbook, Query, Step
from soc.playbook.state import Phase, Reason, Run
from soc.playbook.template import UnsafeArgumentError, UnsetVariableError, arguments, marked, names
from soc.playbook.values import shown


@dataclass(frozen=True, slots=True)
class Planned:
    """One step that may be reached. `text` is the command, query, instruction or question with its values;
    `effect` says what it would do; `then` where it goes from here; `unknown` names the values that are not
    known yet, and where each comes from: they stand as `<name>` in the texts."""

    step: str
    type: str
    who: str
    text: str
    effect: str
    then: str
    asks: bool = False
    unknown: tuple[str, ...] = ()


def preview(playbook: Playbook, run: Run, answers: Mapping[str, Any]) -> list[Planned]:
    """Every step that can be reached from where the run stands, in order of the file.

    Where the way is known (an answer that was prepared, a condition over known values) only that way is
    followed; otherwise both.
    """
    reached: dict[str, Planned] = {}
    todo = [run.step] if run.phase is not Phase.ENDED else []
    unsure = {name for step in playbook.steps.values() for name in _later(step)}
    while todo:
        name = todo.pop()
        step = playbook.steps.get(name)
        if step is None or name in reached:
            continue
        ways = _ways(playbook, step, run, answers, unsure)
        reached[name] = _planned(playbook, step, run, ways)
        todo.extend(ways.values())
    return [reached[name] for name in playbook.steps if name in reached]


def _later(step: Step) -> Iterator[str]:
    """Variables that a step may set or change while the run goes on."""
    yield from step.sets()
    if isinstance(step, Query):
        yield from step.values


def _ways(
    playbook: Playbook, step: Step, run: Run, answers: Mapping[str, Any], unsure: set[str]
) -> dict[str, str]:
    arrows = step.arrows()
    if isinstance(step, Decision) and not step.ask:
        return _decided(step, run, unsure) or arrows
    if step.name in answers and isinstance(step, (Decision, Manual)):
        reason = Reason.QUESTION if isinstance(step, Decision) else Reason.MANUAL
        waiting = replace(run, step=step.name, phase=Phase.WAITING, reason=reason)
        answered = understand(step, waiting, answers[step.name], playbook)
        if answered.failed:
            return {label: target for label, target in arrows.items() if label == "on_failure"}
        return {label: target for label, target in arrows.items() if target == answered.target}
    return arrows


def _decided(step: Decision, run: Run, unsure: set[str]) -> dict[str, str]:
    """The one way that a condition takes, when nothing it speaks of can change before."""
    if step.switch:
        if step.switch in unsure or step.switch not in run.variables:
            return {}
        target = step.cases.get(shown(run.variables[step.switch]), step.default)
        return {"switch": target}
    try:
        if conditions.variables_in(step.when) & unsure:
            return {}
        verdict = conditions.decide(step.when, run.variables)
    except (SocError, UnsetVariableError):
        return {}
    if verdict is Verdict.UNDECIDED:
        return {}
    return {"then": step.then} if verdict is Verdict.TRUE else {"else": step.else_}


def _planned(playbook: Playbook, step: Step, run: Run, ways: Mapping[str, str]) -> Planned:
    known = run.variables
    text, effect, asks = "", "", False
    if isinstance(step, Command):
        text, effect, asks = _command_text(step, known), marked(step.dry_run, known), step.asks
    elif isinstance(step, Query):
        text = marked(conditions.shown_query(step.query, known), known)
        effect = f"would count events{' into ' + step.count if step.count else ''}"
    elif isinstance(step, Manual):
        text, asks = marked(step.instruction, known), True
    elif isinstance(step, Decision):
        text, asks = marked(step.ask, known) or step.when or f"the value of {step.switch}", bool(step.ask)
    elif isinstance(step, End):
        text, effect = marked(step.summary, known), f"would end as {step.outcome}"
    then = ", ".join(f"{label}: {target}" for label, target in ways.items())
    unknown = tuple(f"{name} ({_origin(playbook, name)})" for name in _missing(step, known))
    return Planned(step.name, step.kind, step.who if asks else "", text, effect, then, asks, unknown)


def _missing(step: Step, known: Mapping[str, Any]) -> list[str]:
    """The variables in the texts that are shown of a step and have no value."""
    shown_texts = (text for key, text in step.templates().items() if key != "when" and "undo" not in key)
    return [name for name in dict.fromkeys(n for t in shown_texts for n in names(t)) if name not in known]


def _origin(playbook: Playbook, name: str) -> str:
    """Where a value that is not there yet comes from."""
    setters = [step.name for step in playbook.steps.values() if name in _later(step)]
    if setters:
        return f"from {' or '.join(setters)}"
    variable = playbook.variables.get(name)
    lacking = f"the alert has no {' or '.join(variable.sources)}; " if variable and variable.sources else ""
    return f"{lacking}set it with --var {name}=…"


def _command_text(step: Command, known: Mapping[str, Any]) -> str:
    try:
        return shlex.join(arguments(step.run, known))
    except UnsetVariableError:
        return shlex.join([_marked(argument, known) for argument in step.run])
    except UnsafeArgumentError as error:
        return f"refused: {error}"


def _marked(template: str, known: Mapping[str, Any]) -> str:
    try:
        return arguments([template], known)[0]
    except (UnsetVariableError, UnsafeArgumentError):
        return marked(template, known)
