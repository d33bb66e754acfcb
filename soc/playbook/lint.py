"""What is wrong with a playbook beyond its form: the graph, the variables, the commands, the tests.

Kinds of findings about the graph have the names that are usual for CACAO playbooks: `wrong_start`,
`dangling_step`, `unreachable_step`, `cycle`, `undefined_variable`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from soc.detect.predicate import And, Not, Op, Predicate, Test
from soc.errors import Place, Problem, Severity, SocError
from soc.playbook import conditions, reader
from soc.playbook.model import BUILT_IN, Command, Decision, End, Playbook, Query, Step
from soc.playbook.template import broken, names, names_an_option
from soc.playbook.values import TYPES

_SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "csh", "tcsh", "fish", "cmd", "cmd.exe", "busybox"}
_SHELLS |= {"powershell", "powershell.exe", "pwsh", "pwsh.exe"}
_INTERPRETERS = {"python", "python3", "perl", "ruby", "node", "php", "lua", "awk", "gawk", "mawk", "sed"}
_REMOTE = {"ssh", "plink", "rsh", "psexec", "su", "watch", "eval"}
_CODE = re.compile(r"(?i)-\w*[ce]\w*|/c|/k|-command|-encodedcommand|--eval|--expression")
_SECRET_OPTION = re.compile(r"(?i)--?(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key)")
_SECRET = re.compile(
    r"(?i)(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|credential)s?[=:]\s*\S|://[^/\s:@]+:[^/\s@]+@"
)


def lint_file(path: Path) -> tuple[Playbook | None, list[Problem]]:
    """The playbook in a file and everything that is wrong with it, in the order of the file."""
    playbook, problems = reader.read(path)
    return playbook, _ordered([*problems, *(lint(playbook) if playbook else ())])


def lint_text(text: str, path: str) -> tuple[Playbook | None, list[Problem]]:
    """As `lint_file`, from text."""
    playbook, problems = reader.read_text(text, path)
    return playbook, _ordered([*problems, *(lint(playbook) if playbook else ())])


def _ordered(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(dict.fromkeys(problems), key=lambda p: (p.place.path, p.place.line, p.place.column, p.kind))


def lint(playbook: Playbook) -> list[Problem]:
    """Everything that is wrong with a playbook that was read."""
    found = [*_graph(playbook), *_templates(playbook), *_outputs(playbook), *_unset(playbook)]
    for step in playbook.steps.values():
        if isinstance(step, Command):
            found += _command(playbook, step)
        elif isinstance(step, Decision):
            found += _condition(playbook, step)
        elif isinstance(step, Query):
            found += _query(step)
    return [*found, *_tests(playbook)]


def _at(
    step: Step, kind: str, message: str, *, hint: str = "", severity: Severity = Severity.ERROR
) -> Problem:
    return Problem(kind, message, step.place, severity, hint, step.name)


# the graph


def _graph(playbook: Playbook) -> Iterator[Problem]:
    steps = playbook.steps
    if not steps:
        return
    first = next(iter(steps.values())).place
    if playbook.start not in steps:
        place = Place(playbook.path, first.line)
        yield Problem("wrong_start", f"it starts at {playbook.start!r}, which is not a step", place)
    elif isinstance(steps[playbook.start], End):
        yield _at(steps[playbook.start], "wrong_start", "it starts at its end: nothing would be done")
    for step in steps.values():
        for label, target in step.arrows().items():
            if target not in steps:
                near = _near(target, steps)
                yield _at(step, "dangling_step", f"`{label}` points to {target!r}, which is not a step{near}")
    yield from _circles(playbook)
    if playbook.start in steps:
        reached = reachable(playbook, playbook.start)
        if any(target not in steps for name in reached for target in steps[name].arrows().values()):
            return  # the arrow that points nowhere may be the one that leads to the steps behind it
        for step in steps.values():
            if step.name not in reached:
                yield _at(step, "unreachable_step", f"no path from {playbook.start!r} leads to {step.name!r}")


def _near(word: str, known: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def reachable(playbook: Playbook, start: str) -> set[str]:
    """The steps that a path from `start` leads to, `start` included."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name in playbook.steps and name not in seen:
            seen.add(name)
            todo.extend(playbook.steps[name].arrows().values())
    return seen


def _circles(playbook: Playbook) -> Iterator[Problem]:
    """One finding for each arrow that closes a circle, found by walking in depth."""
    done: set[str] = set()
    for root in playbook.steps:
        trail: list[str] = []
        todo: list[tuple[str, Iterator[str]]] = []
        _enter(playbook, root, done, trail, todo)
        while todo:
            name, targets = todo[-1]
            target = next(targets, None)
            if target is None:
                todo.pop()
                trail.pop()
                done.add(name)
            elif target in trail:
                way = " → ".join([*trail[trail.index(target) :], target])
                yield _at(playbook.steps[name], "cycle", f"the steps form a circle: {way}")
            else:
                _enter(playbook, target, done, trail, todo)


def _enter(
    playbook: Playbook,
    name: str,
    done: set[str],
    trail: list[str],
    todo: list[tuple[str, Iterator[str]]],
) -> None:
    if name in playbook.steps and name not in done:
        trail.append(name)
        targets = dict.fromkeys(playbook.steps[name].arrows().values())
        todo.append((name, iter(targets)))


# variables


def _templates(playbook: Playbook) -> Iterator[Problem]:
    known = {*playbook.variables, *BUILT_IN}
    for step in playbook.steps.values():
        for key, text in step.templates().items():
            if rest := broken(text):
                yield _at(
                    step,
                    "bad_template",
                    f"`{key}` holds {rest!r}, which is no variable",
                    hint="write {{ name }} with a name of a-z, 0-9 and _",
                )
            for name in dict.fromkeys(names(text)):
                if name not in known:
                    yield _undefined(step, f"`{key}`", name, playbook)


def _undefined(step: Step, where: str, name: str, playbook: Playbook) -> Problem:
    near = _near(name, playbook.variables)
    message = f"{where} names the variable {name!r}, which is not declared{near}"
    return _at(step, "undefined_variable", message, hint="declare it under `variables`")


def _outputs(playbook: Playbook) -> Iterator[Problem]:
    for step in playbook.steps.values():
        named = [*step.sets(), *(step.values if isinstance(step, Query) else ())]
        for name in named:
            if name not in playbook.variables:
                yield _undefined(step, "the step", name, playbook)
            elif playbook.variables[name].constant:
                yield _at(step, "constant_variable", f"the step sets the constant {name!r}")
        number = (
            step.count if isinstance(step, Query) else step.exit_code if isinstance(step, Command) else ""
        )
        if number in playbook.variables and playbook.variables[number].type != "integer":
            yield _at(step, "bad_value", f"the variable {number!r} must be of type integer")
        if isinstance(step, Decision) and step.switch and step.switch not in playbook.variables:
            yield _undefined(step, "`switch`", step.switch, playbook)


def _unset(playbook: Playbook) -> Iterator[Problem]:
    """Variables in commands and queries that may have no value on some path."""
    certain = {name for name, variable in playbook.variables.items() if variable.always_set} | set(BUILT_IN)
    found = {n for step in playbook.steps.values() if isinstance(step, Query) for n in step.values}
    for step, known in _known_before(playbook, certain).items():
        current = playbook.steps[step]
        if not isinstance(current, (Command, Query)):
            continue
        for key, text in current.templates().items():
            if key in {"dry_run", "input"}:  # for people: what is not known is shown as that
                continue
            for name in dict.fromkeys(names(text)):
                if name in playbook.variables and name not in known:
                    yield _at(
                        current,
                        "unset_variable",
                        f"`{key}` needs {name!r}, which may have no value here",
                        hint="give it a default, make it required, or ask for it in a step before",
                        # a decision may have seen to it that a query found some, which is not known here
                        severity=Severity.WARNING if name in found else Severity.ERROR,
                    )


def _known_before(playbook: Playbook, certain: set[str]) -> dict[str, set[str]]:
    """For each step that is reached, the variables that have a value on every path to it."""
    known: dict[str, set[str]] = {}
    todo = [(playbook.start, frozenset(certain))]
    while todo:
        name, arriving = todo.pop()
        if name not in playbook.steps:
            continue
        before = known.get(name)
        merged = set(arriving) if before is None else before & arriving
        if before == merged:
            continue
        known[name] = merged
        step = playbook.steps[name]
        for label, target in step.arrows().items():
            todo.append((target, frozenset(merged.union(_gained(playbook, step, label)))))
    return known


def _gained(playbook: Playbook, step: Step, label: str) -> set[str]:
    """The variables that certainly have a value once an arrow was taken."""
    if isinstance(step, Decision):
        if not step.when:
            return {step.switch} if label.startswith("cases.") else set()
        try:
            return _implied(conditions.parse(step.when).predicate, label == "then")
        except SocError:
            return set()
    if label == "on_failure":
        return set()
    lists = (
        {n for n in step.values if n in playbook.variables and playbook.variables[n].many}
        if isinstance(step, Query)
        else set()
    )
    return lists.union(step.sets())


def _implied(predicate: Predicate, truth: bool) -> set[str]:
    """The variables that have a value when a condition is true (or false)."""
    if isinstance(predicate, Not):
        return _implied(predicate.part, not truth)
    if isinstance(predicate, Test):
        return {predicate.field or ""} if truth is not (predicate.op is Op.NULL) else set()
    parts = [_implied(part, truth) for part in predicate.parts]
    if not parts:
        return set()
    return set.union(*parts) if isinstance(predicate, And) is truth else set.intersection(*parts)


# steps


def _command(playbook: Playbook, step: Command) -> Iterator[Problem]:
    for argv, key in ((step.run, "run"), (step.undo, "undo")):
        if argv:
            yield from _argv(playbook, step, argv, key)
    if step.read_only and (step.undo or step.reversible):
        yield _at(step, "bad_value", "a command that is `read_only` has nothing to undo")
    if step.read_only and step.run[:1] == ("soc-action",) and step.run[1:2] != ("evidence",):
        yield _at(step, "bad_value", "soc-action changes something here: the command is not `read_only`")
    if step.undo and not step.reversible:
        yield _at(step, "bad_value", "a command with `undo` is `reversible: true`")
    if step.reversible and not step.undo:
        yield _at(step, "missing_undo", "a `reversible` command says how by `undo`, a list of arguments")
    for name in step.env:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            yield _at(step, "bad_name", f"{name!r} is not the name of an environment variable")


def _argv(playbook: Playbook, step: Command, argv: tuple[str, ...], key: str) -> Iterator[Problem]:
    for name in names(argv[0]):
        if name in playbook.variables and not playbook.variables[name].constant:
            yield _at(
                step,
                "unsafe_command",
                f"`{key}`: the program comes from {name!r}; only a `constant` variable may name a program",
            )
    separated = False
    for argument in argv[1:]:
        if names_an_option(argument) and not separated:
            yield _at(step, "unsafe_command", f"`{key}`: a value must not name an option, as in {argument}")
        separated = separated or argument == "--"
    for before, argument in zip(("", *argv), argv, strict=False):
        if _SECRET.search(argument) or (_SECRET_OPTION.fullmatch(before) and not argument.startswith("-")):
            yield _at(
                step,
                "secret",
                f"`{key}` seems to hold a password or key",
                hint="name an environment variable under `env` instead",
            )
    yield from _interpreted(playbook, step, argv, key)


def _interpreted(playbook: Playbook, step: Command, argv: tuple[str, ...], key: str) -> Iterator[Problem]:
    """Programs that would read an argument as code, so that a value could become a command."""
    programs = {PurePosixPath(argument).name.lower() for argument in argv}
    program = PurePosixPath(argv[0]).name.lower()
    flags = [i for i, a in enumerate(argv) if i and _CODE.fullmatch(a)]
    if programs & _SHELLS and flags:
        yield _at(step, "shell_command", f"`{key}` hands text to a shell; give the program and its arguments")
        return
    read = argv[1:] if program in _REMOTE else ()
    if program in _INTERPRETERS:
        # what comes after the code is data to it; awk and sed take code without an option
        read = tuple(argv[i + 1] for i in flags if i + 1 < len(argv))
        read = read or (argv[1:2] if program.endswith(("awk", "sed")) else ())
    for name in dict.fromkeys(n for argument in read for n in names(argument)):
        variable = playbook.variables.get(name)
        if variable and not variable.constant and not TYPES[variable.type].plain:
            yield _at(
                step,
                "unsafe_command",
                f"`{key}`: {program} may take the value of {name!r} ({variable.type}) for a command",
                hint="use a script that takes it as an argument, or a type such as ip, host, integer or hash",
            )


def _condition(playbook: Playbook, step: Decision) -> Iterator[Problem]:
    if step.when:
        try:
            spoken = conditions.variables_in(step.when)
        except SocError as error:
            yield _at(step, "bad_condition", f"`when`: {error.message}", hint=error.hint)
            return
        for name in sorted(spoken):
            if not name:
                yield _at(step, "bad_condition", "`when` compares variables, as in hits:>0; no bare words")
            elif name not in playbook.variables and name not in BUILT_IN:
                yield _undefined(step, "`when`", name, playbook)
    if step.ask and len(step.choices) < 2:
        yield _at(step, "bad_value", "a question needs two `choices` or more")


def _query(step: Query) -> Iterator[Problem]:
    try:
        conditions.parse(step.query)
    except SocError as error:
        yield _at(step, "bad_query", f"`query`: {error.message}", hint=error.hint)


# tests


def _tests(playbook: Playbook) -> Iterator[Problem]:
    seen: set[str] = set()
    outcomes = {step.outcome for step in playbook.steps.values() if isinstance(step, End)}
    for trial in playbook.tests:
        for named, what in ((trial.path, "path"), (trial.answers, "answers"), (trial.commands, "commands")):
            for name in named:
                if name not in playbook.steps:
                    message = f"test {trial.name!r}: `{what}` names {name!r}, which is not a step"
                    yield Problem("dangling_step", message, trial.place)
        for name in trial.variables:
            if name not in playbook.variables:
                message = f"test {trial.name!r} sets the variable {name!r}, which is not declared"
                yield Problem("undefined_variable", message, trial.place)
        if trial.outcome and trial.outcome not in outcomes:
            message = f"test {trial.name!r} expects the outcome {trial.outcome!r}, which no end step has"
            yield Problem("bad_value", message, trial.place)
        if trial.name in seen:
            yield Problem("bad_name", f"two tests are called {trial.name!r}", trial.place)
        seen.add(trial.name)
    if playbook.steps and not playbook.tests:
        place = Place(playbook.path, 1)
        yield Problem(
            "missing_tests", "it has no `tests`", place, Severity.WARNING, "soc playbook new shows how"
        )
