"""Reading a playbook's YAML: every problem with its place, none hides another."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from soc import yamlio
from soc.errors import ContentError, Problem, UsageError
from soc.playbook.model import (
    BUILT_IN,
    Command,
    Decision,
    End,
    Manual,
    Meaning,
    Playbook,
    Query,
    Step,
    StubbedCommand,
    Trial,
    Variable,
)
from soc.playbook.prose import unwrap
from soc.playbook.template import NAME
from soc.playbook.values import TYPES, VariableValue, check_many
from soc.timing import parse_duration

LEVELS = ("informational", "low", "medium", "high", "critical")
STEP_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
PLAYBOOK_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
MAX_STEPS = 500
MAX_TIMEOUT = 86_400

At = tuple[str | int, ...]

_TOP = {"name", "title", "description", "level", "tags", "variables", "start", "steps", "tests"}
_VARIABLE = {"type", "description", "default", "from", "required", "constant", "list"}
_COMMON = {"type", "title", "who"}
_COMMAND = _COMMON | {
    *("run", "timeout", "dry_run", "read_only", "reversible", "idempotent", "confirm", "undo"),
    *("exit_codes", "env", "input", "output", "exit_code", "next", "on_failure"),
}
_STEPS: dict[str, set[str]] = {
    "manual": _COMMON | {"instruction", "answers", "next", "on_failure"},
    "command": _COMMAND,
    "query": _COMMON | {"query", "since", "until", "limit", "count", "values", "next", "on_failure"},
    "decision": _COMMON | {"when", "then", "else", "switch", "cases", "default", "ask", "choices"},
    "end": _COMMON | {"outcome", "summary"},
}
_TRIAL = {"name", "alert", "variables", "events", "answers", "commands", "path", "outcome"}
_STUB = {"exit", "output", "missing", "timed_out"}


class _Reader:
    """Takes typed values out of the document; what does not fit becomes a problem and a default."""

    def __init__(self, document: yamlio.YamlDocument) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.step = ""

    def problem(self, kind: str, message: str, *at: str | int, hint: str = "") -> None:
        place = self.document.place(*at)
        self.problems.append(Problem(kind, message, place, hint=hint, step=self.step))

    def mapping(self, value: Any, known: set[str] | None, *at: str | int) -> dict[str, Any]:
        """A mapping with text keys; unknown ones are problems where `known` says what may stand there."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.problem("bad_value", "a mapping is expected here", *at)
            return {}
        for key in value:
            if known is not None and key not in known:
                words = ", ".join(sorted(known))
                self.problem("unknown_key", f"unknown key {key!r}; known here: {words}", *at, key)
        return {str(key): item for key, item in value.items()}

    def text(self, value: Any, *at: str | int, needed: str = "") -> str:
        if value is None or value == "":
            if needed:
                self.problem("missing_key", needed, *at)
            return ""
        if not isinstance(value, str):
            self.problem("bad_value", "text is expected here; put it in quotes", *at)
            return ""
        return value

    def prose(self, value: Any, *at: str | int, needed: str = "") -> str:
        """Text for people: how the author wrapped it for the editor does not matter."""
        return unwrap(self.text(value, *at, needed=needed))

    def flag(self, value: Any, *at: str | int) -> bool:
        if value is not None and not isinstance(value, bool):
            self.problem("bad_value", "true or false is expected here", *at)
        return value is True

    def number(self, value: Any, default: int, low: int, high: int, *at: str | int) -> int:
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.problem("bad_value", f"a whole number from {low} to {high} is expected here", *at)
            return default
        return value

    def duration(self, value: Any, *at: str | int) -> timedelta | None:
        text = self.text(value, *at)
        if not text:
            return None
        try:
            return parse_duration(text)
        except UsageError as error:
            self.problem("bad_value", error.message, *at, hint=error.hint)
            return None

    def texts(self, value: Any, *at: str | int) -> tuple[str, ...]:
        """A list of texts; a single text is a list of one."""
        if value is None:
            return ()
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            self.problem("bad_value", "a list of texts is expected here; put numbers in quotes", *at)
            return ()
        return tuple(items)

    def text_map(self, value: Any, *at: str | int) -> dict[str, str]:
        """A mapping of texts to texts; keys may be numbers, true or false as they are written."""
        out = {}
        for key, item in (value if isinstance(value, dict) else {}).items():
            out[_word(key)] = self.text(item, *at, key, needed="a text is expected here")
        if value is not None and not isinstance(value, dict):
            self.problem("bad_value", "a mapping is expected here", *at)
        return out


def _word(key: Any) -> str:
    """A key as it is written: YAML's true, false and null are words here."""
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def read(path: Path) -> tuple[Playbook | None, list[Problem]]:
    """The playbook in a file and what is wrong with its form; None where there is too little to go on."""
    try:
        text = yamlio.read_text(path)
    except ContentError as error:
        return None, error.problems
    return read_text(text, str(path))


def read_text(text: str, path: str) -> tuple[Playbook | None, list[Problem]]:
    """As `read`, from text; `path` is for messages."""
    try:
        document = yamlio.parse(text, path)
    except ContentError as error:
        return None, error.problems
    reader = _Reader(document)
    if isinstance(document.data, dict) and document.data.get("type") == "playbook":
        hint = "write it as YAML; soc playbook new NAME shows how"
        reader.problem("unsupported_format", "this is a CACAO playbook, not one in YAML", hint=hint)
        return None, reader.problems
    data = reader.mapping(document.data, _TOP)
    if not data:
        reader.problem("missing_key", "a playbook needs `name`, `title` and `steps`")
        return None, reader.problems
    return _playbook(reader, data, text, path), reader.problems


def _playbook(reader: _Reader, data: dict[str, Any], text: str, path: str) -> Playbook:
    name = reader.text(data.get("name"), "name", needed="a playbook needs a `name`")
    if name and not PLAYBOOK_NAME.fullmatch(name):
        reader.problem("bad_name", f"the name {name!r} may hold a-z, 0-9 and - only", "name")
    level = reader.text(data.get("level"), "level")
    if level and level not in LEVELS:
        reader.problem("bad_value", f"the level is one of {', '.join(LEVELS)}", "level")
    steps = _steps(reader, data.get("steps"))
    return Playbook(
        name=name,
        title=reader.text(data.get("title"), "title", needed="a playbook needs a `title`"),
        path=path,
        text=text,
        start=reader.text(data.get("start"), "start") or next(iter(steps), ""),
        description=reader.text(data.get("description"), "description"),
        level=level,
        tags=reader.texts(data.get("tags"), "tags"),
        variables=_variables(reader, data.get("variables")),
        steps=steps,
        tests=_trials(reader, data.get("tests")),
    )


# variables


def _variables(reader: _Reader, value: Any) -> dict[str, Variable]:
    out = {}
    for name, item in reader.mapping(value, None, "variables").items():
        at: At = ("variables", name)
        if not NAME.fullmatch(name):
            reader.problem("bad_name", f"the variable {name!r} may hold a-z, 0-9 and _ only", *at)
        elif name in BUILT_IN:
            reader.problem("bad_name", f"the variable {name!r} is built in: {BUILT_IN[name]}", *at)
        else:
            out[name] = _variable(reader, name, item, at)
    return out


def _variable(reader: _Reader, name: str, value: Any, at: At) -> Variable:
    entry = reader.mapping(value, _VARIABLE, *at)
    type_ = reader.text(entry.get("type"), *at, "type") or "string"
    if type_ not in TYPES:
        words = ", ".join(TYPES)
        reader.problem("unknown_type", f"unknown type {type_!r}; known: {words}", *at, "type")
        type_ = "string"
    many = reader.flag(entry.get("list"), *at, "list")
    variable = Variable(
        name=name,
        type=type_,
        description=reader.text(entry.get("description"), *at, "description"),
        default=_default(reader, entry.get("default"), type_, many, at),
        sources=reader.texts(entry.get("from"), *at, "from"),
        required=reader.flag(entry.get("required"), *at, "required"),
        constant=reader.flag(entry.get("constant"), *at, "constant"),
        many=many,
    )
    if variable.constant and variable.sources:
        reader.problem("bad_value", f"the constant {name!r} cannot come from an alert", *at, "from")
    return variable


def _default(reader: _Reader, value: Any, type_: str, many: bool, at: At) -> VariableValue | None:
    if value is None:
        return None
    items = value if isinstance(value, list) and many else [value]
    good, reasons = check_many(type_, items)
    for reason in reasons:
        reader.problem("bad_value", f"the default is {reason}", *at, "default")
    if many:
        return good
    return good[0] if good else None


# steps


def _steps(reader: _Reader, value: Any) -> dict[str, Step]:
    entries = reader.mapping(value, None, "steps")
    if not entries:
        reader.problem("missing_key", "a playbook needs `steps`", "steps")
    if len(entries) > MAX_STEPS:
        reader.problem("bad_value", f"more than {MAX_STEPS} steps", "steps")
    out = {}
    for name, item in entries.items():
        reader.step = name
        if not STEP_NAME.fullmatch(name):
            reader.problem("bad_name", f"the step {name!r} may hold a-z, 0-9, - and _ only", "steps", name)
        step = _step(reader, name, item)
        if step is not None:
            out[name] = step
    reader.step = ""
    return out


def _step(reader: _Reader, name: str, value: Any) -> Step | None:
    at: At = ("steps", name)
    if not isinstance(value, dict):
        reader.problem("bad_value", "a mapping is expected here", *at)
        return None
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _STEPS:
        words = ", ".join(_STEPS)
        what = "a step needs a `type`" if kind is None else f"unknown step type {kind!r}"
        reader.problem("unknown_step_type", f"{what}; one of {words}", *at, "type")
        return None
    entry = reader.mapping(value, _STEPS[kind], *at)
    return _BUILDERS[kind](reader, name, entry, at)


def _shared(reader: _Reader, name: str, entry: Mapping[str, Any], at: At) -> dict[str, Any]:
    return {
        "name": name,
        "place": reader.document.place(*at),
        "title": reader.text(entry.get("title"), *at, "title"),
        "who": reader.text(entry.get("who"), *at, "who") or "analyst",
    }


def _follow(reader: _Reader, entry: Mapping[str, Any], at: At) -> dict[str, Any]:
    return {
        "next": reader.text(entry.get("next"), *at, "next", needed="a step needs `next`, or to be an end"),
        "on_failure": reader.text(entry.get("on_failure"), *at, "on_failure"),
    }


def _manual(reader: _Reader, name: str, entry: Mapping[str, Any], at: At) -> Step:
    return Manual(
        **_shared(reader, name, entry, at),
        **_follow(reader, entry, at),
        instruction=reader.prose(
            entry.get("instruction"), *at, "instruction", needed="a manual step needs an `instruction`"
        ),
        answers=reader.text_map(entry.get("answers"), *at, "answers"),
    )


def _command(reader: _Reader, name: str, entry: Mapping[str, Any], at: At) -> Step:
    run = reader.texts(entry.get("run"), *at, "run")
    if isinstance(entry.get("run"), str):
        reader.problem(
            "bad_value", "`run` is a list of arguments, such as [program, --option, value]", *at, "run"
        )
    elif not run:
        reader.problem("missing_key", "a command step needs `run`, a list of arguments", *at, "run")
    return Command(
        **_shared(reader, name, entry, at),
        **_follow(reader, entry, at),
        read_only=reader.flag(entry.get("read_only"), *at, "read_only"),
        reversible=reader.flag(entry.get("reversible"), *at, "reversible"),
        idempotent=reader.flag(entry.get("idempotent"), *at, "idempotent"),
        confirm=reader.flag(entry.get("confirm"), *at, "confirm"),
        run=run,
        timeout=reader.number(entry.get("timeout"), 60, 1, MAX_TIMEOUT, *at, "timeout"),
        dry_run=reader.text(
            entry.get("dry_run"), *at, "dry_run", needed="a command step needs `dry_run`: what it would do"
        ),
        undo=reader.texts(entry.get("undo"), *at, "undo"),
        exit_codes=_exit_codes(reader, entry.get("exit_codes"), (*at, "exit_codes")),
        env=reader.texts(entry.get("env"), *at, "env"),
        input=reader.text(entry.get("input"), *at, "input"),
        output=reader.text(entry.get("output"), *at, "output"),
        exit_code=reader.text(entry.get("exit_code"), *at, "exit_code"),
    )


def _exit_codes(reader: _Reader, value: Any, at: At) -> dict[int, Meaning]:
    """`{3: "unchanged: already listed", 4: failed}`: success or not, and what the code means."""
    out: dict[int, Meaning] = {}
    if value is not None and not isinstance(value, dict):
        reader.problem("bad_value", "a mapping of exit codes is expected here", *at)
        return out
    for code, meaning in (value or {}).items():
        word, _, rest = meaning.partition(":") if isinstance(meaning, str) else ("", "", "")
        if isinstance(code, bool) or not isinstance(code, int) or not 0 <= code <= 255:
            reader.problem("bad_value", f"{code!r} is not an exit code (0 to 255)", *at, code)
        elif word.strip() not in {"done", "unchanged", "failed"}:
            reader.problem(
                "bad_value",
                "an exit code means `done`, `unchanged` or `failed`, such as 'unchanged: already there'",
                *at,
                code,
            )
        else:
            word = word.strip()
            out[code] = Meaning(word != "failed", rest.strip(), word == "unchanged")
    return out


def _query(reader: _Reader, name: str, entry: Mapping[str, Any], at: At) -> Step:
    return Query(
        **_shared(reader, name, entry, at),
        **_follow(reader, entry, at),
        query=reader.text(entry.get("query"), *at, "query", needed="a query step needs a `query`"),
        since=reader.duration(entry.get("since"), *at, "since") or timedelta(hours=24),
        until=reader.duration(entry.get("until"), *at, "until"),
        limit=reader.number(entry.get("limit"), 10_000, 1, 1_000_000, *at, "limit"),
        count=reader.text(entry.get("count"), *at, "count"),
        values=reader.text_map(entry.get("values"), *at, "values"),
    )


def _decision(reader: _Reader, name: str, entry: Mapping[str, Any], at: At) -> Step:
    ways = [way for way in ("when", "switch", "ask") if entry.get(way)]
    if len(ways) != 1:
        reader.problem("bad_value", "a decision has exactly one of `when`, `switch`, `ask`", *at)
    belongs = {"then": "when", "else": "when", "cases": "switch", "default": "switch", "choices": "ask"}
    for key, way in belongs.items():
        if len(ways) == 1:
            if key in entry and way not in ways:
                reader.problem("bad_value", f"`{key}` belongs to a decision with `{way}`", *at, key)
            if key not in entry and way in ways:
                reader.problem("missing_key", f"a decision with `{way}` needs `{key}`", *at)
    return Decision(
        **_shared(reader, name, entry, at),
        when=reader.text(entry.get("when"), *at, "when"),
        then=reader.text(entry.get("then"), *at, "then"),
        else_=reader.text(entry.get("else"), *at, "else"),
        switch=reader.text(entry.get("switch"), *at, "switch"),
        cases=reader.text_map(entry.get("cases"), *at, "cases"),
        default=reader.text(entry.get("default"), *at, "default"),
        ask=reader.prose(entry.get("ask"), *at, "ask"),
        choices=reader.text_map(entry.get("choices"), *at, "choices"),
    )


def _end(reader: _Reader, name: str, entry: Mapping[str, Any], at: At) -> Step:
    outcome = reader.text(entry.get("outcome"), *at, "outcome", needed="an end step needs an `outcome`")
    if outcome and not STEP_NAME.fullmatch(outcome):
        reader.problem("bad_name", "an outcome is a short word of a-z, 0-9, - and _", *at, "outcome")
    return End(
        **_shared(reader, name, entry, at),
        outcome=outcome,
        summary=reader.prose(entry.get("summary"), *at, "summary"),
    )


_BUILDERS: dict[str, Callable[[_Reader, str, Mapping[str, Any], At], Step]] = {
    "manual": _manual,
    "command": _command,
    "query": _query,
    "decision": _decision,
    "end": _end,
}


# tests


def _trials(reader: _Reader, value: Any) -> tuple[Trial, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        reader.problem("bad_value", "a list of tests is expected here", "tests")
        return ()
    return tuple(_trial(reader, item, ("tests", i)) for i, item in enumerate(value))


def _trial(reader: _Reader, value: Any, at: At) -> Trial:
    entry = reader.mapping(value, _TRIAL, *at)
    events = entry.get("events")
    if events is not None and not (isinstance(events, list) and all(isinstance(e, dict) for e in events)):
        reader.problem("bad_value", "a list of events is expected here", *at, "events")
        events = None
    return Trial(
        name=reader.text(entry.get("name"), *at, "name", needed="a test needs a `name`"),
        place=reader.document.place(*at),
        alert=reader.mapping(entry.get("alert"), None, *at, "alert"),
        variables=reader.mapping(entry.get("variables"), None, *at, "variables"),
        events=tuple(events or ()),
        answers=reader.mapping(entry.get("answers"), None, *at, "answers"),
        commands={
            name: _stub(reader, item, (*at, "commands", name))
            for name, item in reader.mapping(entry.get("commands"), None, *at, "commands").items()
        },
        path=reader.texts(entry.get("path"), *at, "path"),
        outcome=reader.text(entry.get("outcome"), *at, "outcome", needed="a test needs an `outcome`"),
    )


def _stub(reader: _Reader, value: Any, at: At) -> StubbedCommand:
    entry = reader.mapping(value, _STUB, *at)
    return StubbedCommand(
        exit=reader.number(entry.get("exit"), 0, 0, 255, *at, "exit"),
        output=reader.text(entry.get("output"), *at, "output"),
        missing=reader.flag(entry.get("missing"), *at, "missing"),
        timed_out=reader.flag(entry.get("timed_out"), *at, "timed_out"),
    )
