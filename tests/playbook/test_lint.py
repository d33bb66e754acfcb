"""The linter: each fault of a playbook is found, at its place, with its kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.playbook.lint import lint_file, lint_text

HEAD = "name: t\ntitle: T\n"
END = "  done: {type: end, outcome: ok}\n"
VARIABLES = """\
variables:
  ip: {type: ip, from: event.source.ip, required: true}
  maybe: {type: ip, from: event.destination.ip}
  who: {type: user, required: true}
  text: {type: string, required: true}
  n: {type: integer}
  tool: {type: path, constant: true, default: /opt/tool}
"""


def kinds(text: str) -> set[str]:
    """The kinds of findings about a playbook, but for the missing tests."""
    return {p.kind for p in lint_text(text, "t.yml")[1]} - {"missing_tests"}


def steps(*lines: str) -> str:
    """A playbook of these steps, one a line, and an end `done`."""
    return HEAD + VARIABLES + "steps:\n" + "".join(f"  {line}\n" for line in lines) + END


MANUAL = "one: {type: manual, instruction: Do it, next: done}"


def command(run: str, more: str = "read_only: true") -> str:
    """A playbook of one command."""
    return steps(f"one: {{type: command, run: {run}, dry_run: would, next: done, {more}}}")


def test_sound() -> None:
    """A sound playbook has no finding."""
    assert kinds(steps(MANUAL)) == set()


FORM = {
    "empty": ("", "missing_key"),
    "a list": ("- a\n", "bad_value"),
    "not YAML": ("name: [", "yaml_syntax"),
    "a tag": ("name: !!python/object:os.system x\n", "yaml_tag"),
    "a key twice": (HEAD + "name: u\nsteps:\n" + END, "duplicate_key"),
    "unknown key": (steps(MANUAL) + "wokflow: 1\n", "unknown_key"),
    "unknown key of a step": (steps(MANUAL.replace("next", "color: red, next")), "unknown_key"),
    "unknown step type": (
        steps("one: {type: loop, next: done}", MANUAL.replace("one", "two", 1)),
        "unknown_step_type",
    ),
    "no step type": (steps("one: {next: done}"), "unknown_step_type"),
    "a step that is text": (steps("one: do it"), "bad_value"),
    "no title": ("name: t\nsteps:\n" + END, "missing_key"),
    "no steps": (HEAD, "missing_key"),
    "a bad name": ("name: T t\ntitle: T\nsteps:\n" + END, "bad_name"),
    "a bad step name": (steps("One!: {type: manual, instruction: x, next: done}"), "bad_name"),
    "an unknown level": (HEAD + "level: serious\nsteps:\n" + END, "bad_value"),
    "a command as text": (command('"rm -rf {{ ip }}"'), "bad_value"),
    "a number as an argument": (command("[sleep, 5]"), "bad_value"),
    "a timeout of nothing": (command("[x]", "timeout: 0"), "bad_value"),
    "an exit code that means nothing": (command("[x]", "exit_codes: {3: fine}"), "bad_value"),
    "an exit code out of range": (command("[x]", "exit_codes: {300: done}"), "bad_value"),
    "no dry run": (steps("one: {type: command, run: [x], next: done}"), "missing_key"),
    "a truth value as text": (command("[x]", "reversible: 'yes'"), "bad_value"),
    "a length of time": (
        steps("one: {type: query, query: 'a:b', since: yesterday, next: done}"),
        "bad_value",
    ),
    "two ways to decide": (
        steps("one: {type: decision, when: 'n:1', then: done, else: done, ask: q, choices: {a: done}}"),
        "bad_value",
    ),
    "no way to decide": (steps("one: {type: decision, then: done}"), "bad_value"),
    "a condition without else": (steps("one: {type: decision, when: 'n:1', then: done}"), "missing_key"),
    "a question without a choice": (steps("one: {type: decision, ask: q, choices: {a: done}}"), "bad_value"),
    "an unknown type": (HEAD + "variables: {a: {type: colour}}\nsteps:\n" + END, "unknown_type"),
    "a default that does not fit": (
        HEAD + "variables: {a: {type: ip, default: x}}\nsteps:\n" + END,
        "bad_value",
    ),
    "a built-in variable": (HEAD + "variables: {run_id: {}}\nsteps:\n" + END, "bad_name"),
    "a constant from the alert": (
        HEAD + "variables: {a: {constant: true, from: alert.entity}}\nsteps:\n" + END,
        "bad_value",
    ),
    "a CACAO playbook": ('{"type": "playbook", "spec_version": "cacao-2.0"}', "unsupported_format"),
}


@pytest.mark.parametrize(("text", "kind"), FORM.values(), ids=FORM)
def test_form(text: str, kind: str) -> None:
    """A fault of form is found and nothing raises."""
    assert kind in kinds(text)


GRAPH = {
    "dangling": (steps("one: {type: manual, instruction: x, next: dome}"), "dangling_step"),
    "dangling on_failure": (
        steps("one: {type: manual, instruction: x, next: done, on_failure: x}"),
        "dangling_step",
    ),
    "dangling choice": (steps("one: {type: decision, ask: q, choices: {a: x, b: done}}"), "dangling_step"),
    "unreachable": (steps(MANUAL, MANUAL.replace("one", "two", 1)), "unreachable_step"),
    "a circle of one": (steps("one: {type: manual, instruction: x, next: one}"), "cycle"),
    "a circle of two": (
        steps(
            "one: {type: manual, instruction: x, next: two}",
            "two: {type: decision, ask: again, choices: {a: one, b: done}}",
        ),
        "cycle",
    ),
    "starts nowhere": (steps(MANUAL) + "start: nowhere\n", "wrong_start"),
    "starts at its end": (steps(MANUAL) + "start: done\n", "wrong_start"),
}


@pytest.mark.parametrize(("text", "kind"), GRAPH.values(), ids=GRAPH)
def test_graph(text: str, kind: str) -> None:
    """A fault of the graph is found."""
    assert kind in kinds(text)


def test_long_chains() -> None:
    """Hundreds of steps one after another are no circle and no trouble."""
    lines = [f"s{i}: {{type: manual, instruction: x, next: s{i + 1}}}" for i in range(450)]
    assert kinds(steps(*lines, MANUAL.replace("one", "s450", 1))) == set()


VARIABLE = {
    "undeclared in a command": (command("[x, '{{ ipp }}']"), "undefined_variable"),
    "undeclared in an instruction": (
        steps("one: {type: manual, instruction: 'see {{ nobody }}', next: done}"),
        "undefined_variable",
    ),
    "undeclared in a query": (
        steps("one: {type: query, query: 'a:{{ zz }}', next: done}"),
        "undefined_variable",
    ),
    "undeclared in a condition": (
        steps("one: {type: decision, when: 'zz:1', then: done, else: done}"),
        "undefined_variable",
    ),
    "undeclared in switch": (
        steps("one: {type: decision, switch: zz, cases: {a: done}, default: done}"),
        "undefined_variable",
    ),
    "undeclared count": (
        steps("one: {type: query, query: 'a:b', count: zz, next: done}"),
        "undefined_variable",
    ),
    "undeclared values": (
        steps("one: {type: query, query: 'a:b', values: {zz: f}, next: done}"),
        "undefined_variable",
    ),
    "undeclared answer": (
        steps("one: {type: manual, instruction: x, answers: {zz: q}, next: done}"),
        "undefined_variable",
    ),
    "undeclared output": (command("[x]", "output: zz"), "undefined_variable"),
    "no variable": (command("[x, '{{ IP }}']"), "bad_template"),
    "a count that is no number": (
        steps("one: {type: query, query: 'a:b', count: ip, next: done}"),
        "bad_value",
    ),
    "a constant that is set": (command("[x]", "output: tool"), "constant_variable"),
    "perhaps without a value": (command("[x, '{{ maybe }}']"), "unset_variable"),
    "a bare word as a condition": (
        steps("one: {type: decision, when: 'yes', then: done, else: done}"),
        "bad_condition",
    ),
    "a condition that cannot be read": (
        steps("one: {type: decision, when: 'n:>', then: done, else: done}"),
        "bad_condition",
    ),
    "a query that cannot be read": (steps("one: {type: query, query: 'a:(', next: done}"), "bad_query"),
}


@pytest.mark.parametrize(("text", "kind"), VARIABLE.values(), ids=VARIABLE)
def test_variables(text: str, kind: str) -> None:
    """A fault of a variable is found."""
    assert kind in kinds(text)


def test_a_condition_sees_to_a_value() -> None:
    """Behind `maybe:*` the variable has a value; on the other way it has none."""
    use = "two: {type: command, run: [x, '{{ maybe }}'], dry_run: w, read_only: true, next: done}"
    right = steps("one: {type: decision, when: 'maybe:* and n:>1', then: two, else: done}", use)
    wrong = steps("one: {type: decision, when: 'maybe:* and n:>1', then: done, else: two}", use)
    turned = steps("one: {type: decision, when: 'not maybe:*', then: done, else: two}", use)
    either = steps("one: {type: decision, when: 'maybe:* or n:>1', then: two, else: done}", use)
    assert kinds(right) == set()
    assert kinds(turned) == set()
    assert kinds(wrong) == {"unset_variable"}
    assert kinds(either) == {"unset_variable"}


UNSAFE = {
    "a program from a log": (command("['{{ text }}', x]"), "unsafe_command"),
    "an option from a log": (command("[x, '--{{ text }}']"), "unsafe_command"),
    "a shell": (command("[sh, -c, 'echo {{ text }}']"), "shell_command"),
    "a shell by its path": (command("[/bin/bash, -ec, 'echo hello']"), "shell_command"),
    "a shell behind env": (command("[env, bash, -c, 'echo']"), "shell_command"),
    "code with a value in it": (command("[python3, -c, 'print({{ text }})']"), "unsafe_command"),
    "a remote shell": (command("[ssh, gate, block, '{{ text }}']"), "unsafe_command"),
    "a password": (command("[x, '--password=hunter2']"), "secret"),
    "a token after its option": (command("[x, --token, '{{ text }}']"), "secret"),
    "a password in a URL": (command("[curl, 'https://u:p@api.example/']"), "secret"),
    "a list that is said to be read only": (
        command("[soc-action, list, add, x, y]", "read_only: true"),
        "bad_value",
    ),
    "reversible without undo": (command("[x]", "reversible: true"), "missing_undo"),
    "undo without reversible": (command("[x]", "undo: [y]"), "bad_value"),
    "an environment variable with a value": (command("[x]", "env: ['TOKEN=abc']"), "bad_name"),
}


@pytest.mark.parametrize(("text", "kind"), UNSAFE.values(), ids=UNSAFE)
def test_unsafe_commands(text: str, kind: str) -> None:
    """A command through which a value could become more than a value, or a secret be seen, is an error."""
    assert kind in kinds(text)


@pytest.mark.parametrize(
    "run",
    ["['{{ tool }}', '{{ text }}']", "[ssh, gate, block, '{{ ip }}']", "[bash, /opt/block.sh, '{{ text }}']"],
)
def test_safe_commands(run: str) -> None:
    """A constant may name a program; a remote program may get an address; a script may be a shell's."""
    assert kinds(command(run)) == set()


def test_tests_of_the_file() -> None:
    """Tests that name what is not there are errors; no tests at all is a warning."""
    text = steps(MANUAL) + (
        "tests:\n  - {name: a, variables: {zz: 1}, answers: {two: done}, path: [three], outcome: bad}\n"
        "  - {name: a, outcome: ok}\n"
    )
    assert kinds(text) == {"undefined_variable", "dangling_step", "bad_value", "bad_name"}
    (only,) = lint_text(steps(MANUAL), "t.yml")[1]
    assert (only.kind, only.severity) == ("missing_tests", "warning")


def test_places() -> None:
    """A finding names file, line and column, and the step; all of a file are found at once, in its order."""
    text = steps("one: {type: manual, instruction: '{{ a }}', next: two}", "two: {type: nothing}")
    problems = [p for p in lint_text(text, "t.yml")[1] if p.kind != "missing_tests"]
    assert [(p.kind, p.step) for p in problems] == [
        ("dangling_step", "one"),
        ("undefined_variable", "one"),
        ("unknown_step_type", "two"),
    ]
    assert str(problems[0].place) == "t.yml:11:3"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00name", b"name: t\x00", b"a: &a [*a]\n", b"\x7fELF" * 100])
def test_binary_files(tmp_path: Path, content: bytes) -> None:
    """A file that is no text is one clear problem."""
    path = tmp_path / "x.yml"
    path.write_bytes(content)
    playbook, problems = lint_file(path)
    assert playbook is None
    assert problems
    assert str(path) in str(problems[0])
