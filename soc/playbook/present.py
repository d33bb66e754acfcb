"""Runs and playbooks as rows and text, for people and for programs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from soc.detect.predicate import EVERYTHING, And, Op, Test
from soc.errors import UsageError
from soc.playbook import journal
from soc.playbook.answers import turn_of
from soc.playbook.model import Command, Playbook, Query
from soc.playbook.preview import Planned
from soc.playbook.prose import wrapped
from soc.playbook.state import Phase, Reason, Run
from soc.playbook.values import shown
from soc.store.contract import Store
from soc.timing import local

STATUSES = ("all", "running", "waiting", "ended")
_MAX_SHOWN = 300


def listed(
    store: Store,
    *,
    status: str = "all",
    alert: str = "",
    playbook: str = "",
    abandoned: Callable[[Run], bool] = lambda _: False,
) -> list[dict[str, Any]]:
    """Runs as rows, the newest first. Raises `UsageError` for an unknown status, and for an unknown alert.

    `abandoned` says of a run whose step was begun that nobody is at work on it any more: it waits for a
    person to say what became of the step.
    """
    if status not in STATUSES:
        raise UsageError(f"--status {status!r}: one of {', '.join(STATUSES)} is expected")
    parts = []
    if status == "ended":
        parts.append(Test("status", Op.EQUALS, status))
    if alert:
        from soc.respond import alerts

        parts.append(Test("subject.id", Op.EQUALS, alerts.resolve(store, alert)))
    if playbook:
        parts.append(Test("playbook.name", Op.EQUALS, playbook))
    runs = journal.find(store, And(tuple(parts)) if parts else EVERYTHING)
    rows = []
    for run in sorted(runs, key=lambda run: run.started_at, reverse=True):
        shown_row = row(run)
        if run.phase is Phase.ACTING and abandoned(run):
            shown_row |= {"status": "waiting", "reason": str(Reason.UNKNOWN)}
        if status in {"all", shown_row["status"]}:
            rows.append(shown_row)
    return rows


def row(run: Run) -> dict[str, Any]:
    """One run in a listing."""
    return {
        "id": run.id,
        "status": run.status,
        "playbook": run.playbook,
        "playbook_version": run.playbook_version,
        "subject": run.subject_id,
        "title": run.subject_title,
        "step": run.step,
        "reason": str(run.reason) if run.reason else "",
        "outcome": run.outcome,
        "who": run.who if run.phase is Phase.WAITING else "",
        "started_by": run.started_by,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
    }


def described(playbook: Playbook, run: Run, *, busy: str = "", options: str = "") -> dict[str, Any]:
    """A run as one thing: the row, variables, path, whose turn it is and the exact commands to go on.

    `busy` says who is at work on the current step; `options` is added to each command.
    """
    out = {name: value for name, value in row(run).items() if name != "who"}
    out["variables"] = dict(run.variables)
    out["path"] = list(steps_taken(run))
    turn = None if busy else turn_of(playbook, run, options=options)
    out["turn"] = None
    out["busy"] = busy
    out["next"] = []
    if turn is not None:
        out["turn"] = {
            "who": turn.who,
            "step": turn.step,
            "title": turn.title,
            "reason": str(turn.reason),
            "text": turn.text,
            "choices": list(turn.choices),
            "asks": dict(turn.asks),
        }
        out["next"] = list(turn.commands)
    elif run.phase is Phase.READY:
        out["next"] = [f"soc run resume {run.id}{options}"]
    elif run.phase is Phase.ENDED:
        last = run.journal[-1]
        out["summary"] = last.get("summary", "")
        out["next"] = [f"soc run log {run.id}{options}"]
    undo = list(undo_commands(playbook, run))
    if undo:
        out["undo"] = undo
    return out


def undo_commands(playbook: Playbook, run: Run) -> Iterator[str]:
    """How to undo what the run changed, the last first, as the playbook says.

    A command that found things as they should be changed nothing: undoing it would undo another's work.
    """
    from soc.playbook.template import UnsafeArgumentError, UnsetVariableError, arguments

    results = [entry for entry in run.journal if entry["event"] == "result"]
    done = [entry["step"] for entry in results if entry.get("ok") and not entry.get("unchanged")]
    for name in reversed(list(dict.fromkeys(done))):
        step = playbook.steps.get(name)
        if isinstance(step, Command) and step.undo:
            try:
                yield shlex.join(arguments(step.undo, run.variables))
            except (UnsafeArgumentError, UnsetVariableError):
                continue


def steps_taken(run: Run) -> Iterator[dict[str, Any]]:
    """The steps of a run so far, each with how it came out."""
    for name in run.path_taken():
        entries = [entry for entry in run.journal if entry["step"] == name and entry["event"] != "started"]
        if entries:
            yield {
                "step": name,
                "at": entries[-1]["at"],
                "by": entries[-1]["by"],
                "state": sentence(entries[-1]),
            }


def as_text(described_run: Mapping[str, Any], *, whole: bool, width: int = 110) -> str:
    """A run for a person: the path if `whole`, whose turn it is, and the next commands.

    Text is wrapped to `width` cells; commands stay on one line, to be copied.
    """
    one = described_run
    state = one["outcome"] if one["status"] == "ended" else f"{one['status']} at {one['step']}"
    lines = [f"{one['id']}  {one['playbook']} on {one['subject']}  {state}"]
    if whole:
        lines.append(f"  {one['title']}; started by {one['started_by']} at {local(one['started_at'])}")
        lines += [f"  {s['step']}: {s['state']}" for s in one["path"]]
    if turn := one["turn"]:
        lines += ["", f"It is the turn of: {turn['who']} ({turn['title']})"]
        lines.append(wrapped(str(turn["text"]), width, "  "))
        lines += [f"  {name}: {question}" for name, question in turn["asks"].items()]
    if one["busy"]:
        lines.append(f"  being carried out by {one['busy']}")
    if one.get("summary"):
        lines += ["", wrapped(str(one["summary"]), width)]
    if one.get("undo"):
        lines += ["", *(f"to undo: {command}" for command in one["undo"])]
    if one["next"]:
        lines += ["", *(f"{'next:' if i == 0 else '  or:'} {c}" for i, c in enumerate(one["next"]))]
    return "\n".join(lines)


def journal_rows(run: Run) -> Iterator[dict[str, Any]]:
    """The journal as rows; `text` says each entry in a sentence, the entry's own details follow it."""
    for entry in run.journal:
        fixed = {name: entry[name] for name in ("n", "at", "by", "step", "event")}
        rest = {name: value for name, value in entry.items() if name not in fixed}
        yield {**fixed, "text": sentence(entry), "detail": rest}


def progress(run: Run) -> str:
    """A line about the last thing that happened; empty where the end of the command says it anyway."""
    entry = run.journal[-1]
    if entry["event"] in {"turn", "started"} and not entry.get("doubts"):
        return ""
    return f"{entry['step'] or run.id}: {sentence(entry)}"


def sentence(entry: Mapping[str, Any]) -> str:
    """One journal entry in words."""
    event = entry["event"]
    write = _SENTENCES.get(str(event))
    return write(entry) if write else str(event)


def _started(entry: Mapping[str, Any]) -> str:
    words = [f"{name}={shown(value)}" for name, value in (entry.get("variables") or {}).items()]
    return "started" + (f" with {', '.join(words)}" if words else "") + _remarks(entry)


def _intent(entry: Mapping[str, Any]) -> str:
    attempt = f" (attempt {entry['attempt']})" if entry.get("attempt", 1) > 1 else ""
    if "command" in entry:
        return f"running{attempt}: {shlex.join(entry['command'])}"
    return f"searching{attempt}: {entry.get('query', '')}"


def _result(entry: Mapping[str, Any]) -> str:
    parts = ["done" if entry.get("ok") else "failed"]
    if "count" in entry:
        parts = [f"{entry['count']}{' or more' if entry.get('more') else ''} events"]
    if entry.get("detail"):
        parts.append(str(entry["detail"]))
    for name, value in (entry.get("variables") or {}).items():
        parts.append(f"{name}={shown(value)}")
    printed = str(entry.get("stdout") or entry.get("stderr") or "").strip()
    if printed:
        parts.append(printed if len(printed) <= _MAX_SHOWN else printed[:_MAX_SHOWN] + "…")
    return "; ".join(parts) + _remarks(entry)


def _remarks(entry: Mapping[str, Any]) -> str:
    return "".join(f"; {remark}" for remark in entry.get("remarks") or ())


def _turn(entry: Mapping[str, Any]) -> str:
    if "command" in entry:
        words = f"waits for a yes to: {shlex.join(entry['command'])}"
        return words + "".join(f"; CAREFUL: {doubt}" for doubt in entry.get("doubts") or ())
    return f"waits for a person ({entry.get('reason', '')})"


def _answer(entry: Mapping[str, Any]) -> str:
    text = f"answered {entry['value']!r}"
    if entry.get("on_behalf_of"):
        text += f" on behalf of {entry['on_behalf_of']}"
    if entry.get("prepared"):
        text += " (from a file)"
    return text + (f": {entry['note']}" if entry.get("note") else "")


_SENTENCES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "started": _started,
    "intent": _intent,
    "result": _result,
    "turn": _turn,
    "answer": _answer,
    "ended": lambda entry: f"ended as {entry.get('outcome', '')}",
    "unknown": lambda entry: f"outcome unknown: {entry.get('detail', '')}",
    "resumed": lambda entry: f"taken up again: {entry.get('detail', '')}",
}


def preview_text(planned: Sequence[Planned], *, width: int = 110) -> str:
    """What may still come, for a person, wrapped to `width` cells; commands and queries stay on one line."""
    verbs = {
        "command": "runs",
        "query": "searches",
        "manual": "by hand",
        "decision": "decides",
        "end": "ends",
    }
    lines = []
    for step in planned:
        text = step.text.strip()
        who = f" ({step.who})" if step.who else ""
        lines.append(f"{step.step}{who}")
        if step.type in {"command", "query"}:
            lines.append(f"    {verbs[step.type]}: {text}")
        else:
            first, *more = f"{verbs[step.type]}: {text}".split("\n")
            lines.append(wrapped(first, width, "    "))
            lines += [wrapped(line, width, "      ") for line in more]
        if step.effect:
            lines.append(wrapped(step.effect, width, "    "))
        if step.unknown:
            lines.append(wrapped(f"not known yet: {'; '.join(step.unknown)}", width, "    "))
        if step.then:
            lines.append(f"    → {step.then}")
    return "\n".join(lines) or "nothing is left to do"


# playbooks


def playbook_text(playbook: Playbook) -> str:
    """A playbook for a person to read: variables, then each step with where it leads."""
    lines = [f"{playbook.name}  {playbook.title}", f"  version {playbook.version}, {playbook.path}", ""]
    if playbook.description:
        lines += [playbook.description.strip(), ""]
    lines.append("Variables:")
    for variable in playbook.variables.values():
        origin = ", ".join(variable.sources) or (
            "constant" if variable.constant else "set by a step or --var"
        )
        needed = ", required" if variable.required else ""
        default = f", default {shown(variable.default)}" if variable.default is not None else ""
        lines.append(
            f"  {variable.name} ({variable.type}{needed}{default}): {variable.description} [{origin}]"
        )
    lines += ["", "Steps:"]
    for step in playbook.steps.values():
        mark = "*" if step.name == playbook.start else " "
        lines.append(f" {mark}{step.name} ({step.kind}){': ' + step.title if step.title else ''}")
        if isinstance(step, Command):
            lines.append(f"      runs: {shlex.join(step.run)}")
        elif isinstance(step, Query):
            lines.append(f"      searches: {step.query}")
        lines += [f"      {label} → {target}" for label, target in step.arrows().items()]
    return "\n".join(lines)
