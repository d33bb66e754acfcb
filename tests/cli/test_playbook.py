"""`soc playbook`: the real program on a real store, with and without a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson
import pexpect
import pytest

from tests.harness import Result, soc
from tests.playbook.conftest import Scene, scene

__all__ = ["scene"]

DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def run(where: Scene, *args: object, stdin: str | None = None) -> Result:
    """Run `soc` on the scene's store, with the scene's configuration."""
    config = where.folder / "soc.yml"
    if not config.exists():
        config.write_text(f"state: {where.folder}/state\nstore: {where.folder}/store\n")
    return soc(*args, "--config", config, stdin=stdin, cwd=where.folder)


def terminal(where: Scene, *args: str) -> pexpect.spawn:
    """The same on a terminal."""
    run(where, "playbook", "list").ok()
    return pexpect.spawn(
        sys.executable,
        ["-m", "soc", *args, "--config", str(where.folder / "soc.yml")],
        encoding="utf-8",
        timeout=30,
        dimensions=(50, 160),
    )


def test_list() -> None:
    """The shipped playbooks are listed and ready."""
    rows = soc("playbook", "list", "--output", "json").ok().json
    assert {row["name"] for row in rows} >= {"web-shell", "phishing-mail"}
    assert {row["state"] for row in rows} == {"ready"}
    assert soc("playbooks").ok().out


def test_names_for_the_shell() -> None:
    """The shell completes names of playbooks, in any case."""
    from soc.cli.run import playbook_names

    assert playbook_names("WEB") == ["web-shell"]
    assert playbook_names("zzz") == []


@pytest.mark.slow
def test_show() -> None:
    """A playbook is shown to people and to programs; an unknown name names what is near."""
    assert "who-called (query)" in soc("playbook", "show", "web-shell").ok().out
    data = soc("playbook", "show", "web-shell", "--output", "json").ok().json
    assert data["steps"]["block"]["type"] == "command"
    assert "did you mean web-shell" in soc("playbook", "show", "web-shel").failed(2).err


@pytest.mark.slow
def test_new_lints_and_tests_green(tmp_path: Path) -> None:
    """The skeleton is a playbook that works; it is never written over a file."""
    made = soc("playbook", "new", "lost-laptop", "--title", "It's: lost", cwd=tmp_path).ok()
    assert "to use it, name its folder in soc.yml: content: {playbooks: [playbooks]}" in made.err
    path = Path(made.out.strip())
    assert path == Path("playbooks/lost-laptop.yml")
    soc("playbook", "lint", path, cwd=tmp_path).ok()
    assert "2 passed, 0 failed" in soc("playbook", "test", path, cwd=tmp_path).ok().err
    assert "not overwritten" in soc("playbook", "new", "lost-laptop", cwd=tmp_path).failed(2).err
    soc("playbook", "new", "Lost Laptop", cwd=tmp_path).failed(2)
    soc("playbook", "new", "other", "--dry-run", cwd=tmp_path).ok()
    assert not (tmp_path / "playbooks" / "other.yml").exists()


def test_own_folder_overrides(tmp_path: Path) -> None:
    """A playbook in the folder of soc.yml takes the place of the shipped one with its name."""
    (tmp_path / "soc.yml").write_text("content: {playbooks: [mine]}\n")
    soc("playbook", "new", "web-shell", cwd=tmp_path).ok()
    rows = soc("playbook", "list", "--output", "json", cwd=tmp_path).ok().json
    mine = next(row for row in rows if row["name"] == "web-shell")
    assert (mine["shipped"], mine["path"]) == (False, str(tmp_path / "mine" / "web-shell.yml"))


@pytest.mark.slow
def test_lint_json(tmp_path: Path) -> None:
    """JSON has `valid` and the problems, each with kind, step and message; exit code 1 for an error."""
    path = tmp_path / "x.yml"
    path.write_text("name: x\ntitle: X\nsteps:\n  a: {type: manual, instruction: i, next: b}\n")
    found = soc("playbook", "lint", path, "--output", "json").failed(1).json
    assert found["valid"] is False
    (problem,) = [p for p in found["problems"] if p["severity"] == "error"]
    assert (problem["kind"], problem["step"], problem["line"]) == ("dangling_step", "a", 4)
    assert "'b'" in problem["message"]
    soc("playbook", "lint", "web-shell", "--output", "json").ok()
    assert soc("playbook", "lint", "--output", "json").ok().json == {"valid": True, "problems": []}


@pytest.mark.parametrize("name", ["no-such", "no/such.yml", "."])
def test_lint_nothing(name: str, tmp_path: Path) -> None:
    """Nothing linted is a failure, not a success."""
    soc("playbook", "lint", name, cwd=tmp_path).failed(2)


def test_lint_counts(tmp_path: Path) -> None:
    """One arrow that points nowhere is one error, not one for each step behind it, and the end counts."""
    path = tmp_path / "bad.yml"
    path.write_text(
        "name: bad\ntitle: B\nsteps:\n  a: {type: manual, instruction: i, next: bb}\n"
        "  b: {type: manual, instruction: i, next: c}\n  c: {type: end, outcome: good}\n"
    )
    found = soc("playbook", "lint", path).failed(1)
    assert "did you mean" in found.out
    assert "no path" not in found.out
    assert "1 playbook: 1 error, 1 warning" in found.err


def test_only_failures_are_shown() -> None:
    """Tests that passed are counted; -v and other formats show each."""
    brief = soc("playbook", "test", "web-shell").ok()
    assert brief.out == ""
    assert "passed, 0 failed" in brief.err
    assert "passed" in soc("playbook", "test", "web-shell", "-v").ok().out
    assert soc("playbook", "test", "web-shell", "--output", "json").ok().json


def test_test_fails(tmp_path: Path) -> None:
    """A test that takes another path, a step that no test reaches, and no tests at all are failures."""
    text = "name: x\ntitle: X\nsteps:\n  a: {type: decision, ask: q, choices: {p: b, r: c}}\n"
    text += "  b: {type: end, outcome: b}\n  c: {type: end, outcome: c}\n"
    path = tmp_path / "x.yml"
    path.write_text(text)
    assert "no tests" in soc("playbook", "test", path).failed(1).out
    path.write_text(text + "tests: [{name: one, answers: {a: p}, outcome: c}]\n")
    rows = soc("playbook", "test", path, "--output", "json").failed(1).json
    assert [(r["test"], r["result"]) for r in rows] == [("one", "failed"), ("coverage", "failed")]


@pytest.mark.slow
def test_run_needs_a_subject(scene: Scene) -> None:
    """Without alert or case, with both, or with one that is not there, nothing is started."""
    run(scene, "playbook", "run", "web-shell").failed(2)
    run(scene, "playbook", "run", "web-shell", "--alert", "A-1", "--case", "C-1").failed(2)
    run(scene, "playbook", "run", "web-shell", "--alert", "A-ZZZZZZ").failed(2)
    run(scene, "playbook", "run", "web-shell", "--case", "C-2026-001").failed(2)
    assert run(scene, "run", "list", "--output", "json").ok().json == []


def test_run_without_a_playbook(scene: Scene) -> None:
    """Those that the rule names are listed with the exact commands; nothing is chosen by itself."""
    error = run(scene, "playbook", "run", "--alert", scene.alert).failed(2).err
    assert f"soc playbook run web-shell --alert {scene.alert}" in error
    assert f"soc playbook run malware-on-host --alert {scene.alert}" in error


@pytest.mark.slow
def test_dry_run_touches_nothing(scene: Scene) -> None:
    """A dry run prints every command with its values, follows prepared answers, and writes nothing."""
    before = {p: p.stat().st_size for p in scene.folder.rglob("*") if p.is_file() and "store" not in str(p)}
    shown = run(scene, "playbook", "run", "web-shell", "--alert", scene.alert, "--dry-run").ok()
    assert "soc-action list add blocked-addresses 203.0.113.66 --note" in shown.out
    assert "would put 203.0.113.66 on the list of blocked addresses" in shown.out
    assert "only-tried" in shown.out
    answers = scene.folder / "answers.yml"
    answers.write_text("whose: ours\n")
    rows = run(
        scene,
        *("playbook", "run", "web-shell", "--alert", scene.alert, "--dry-run", "--answers", answers),
        *("--output", "json"),
    ).ok()
    assert "block" not in {row["step"] for row in rows.json}
    assert run(scene, "run", "list", "--output", "json").ok().json == []
    answers.unlink()
    (scene.folder / "soc.yml").unlink()
    after = {p: p.stat().st_size for p in scene.folder.rglob("*") if p.is_file() and "store" not in str(p)}
    assert after == before


@pytest.mark.slow
def test_run_to_the_end_by_a_file(scene: Scene) -> None:
    """With answers from a file a run goes to its end, acts, leaves evidence, and says how to undo."""
    answers = scene.folder / "answers.yml"
    answers.write_text(f"look-at-file: {DIGEST}\nwhose: foreign\nblock: yes\nshut: done\nrecover: done\n")
    done = run(
        scene,
        *("playbook", "run", "web-shell", "--alert", scene.alert, "--answers", answers, "--output", "json"),
    ).ok()
    assert (done.json["status"], done.json["outcome"]) == ("ended", "contained")
    assert "list remove blocked-addresses 203.0.113.66" in done.json["undo"][0]
    assert (scene.folder / "state/lists/blocked-addresses.txt").read_text() == "203.0.113.66\n"
    evidence = scene.folder / "state" / "runs" / done.json["id"] / "preserve.jsonl"
    assert [orjson.loads(line)["_id"] for line in evidence.read_bytes().splitlines()] == [
        f"event-{n}" for n in range(5)
    ]
    log = run(scene, "run", "log", done.json["id"], "--output", "jsonl").ok().jsonl
    assert [entry["n"] for entry in log] == list(range(1, len(log) + 1))
    shown = run(scene, "run", "show", done.json["id"]).ok()
    assert "to undo: soc-action list remove" in shown.out


@pytest.mark.slow
def test_second_run_warns(scene: Scene) -> None:
    """A second run of a playbook on the same alert needs a yes; another playbook does not."""
    run(scene, "playbook", "run", "web-shell", "--alert", scene.alert).failed(8)
    second = run(scene, "playbook", "run", "web-shell", "--alert", scene.alert).failed(2)
    assert "ran on" in second.err
    run(scene, "playbook", "run", "malware-on-host", "--alert", scene.alert).failed(8)
    run(scene, "playbook", "run", "web-shell", "--alert", scene.alert, "--yes").failed(8)
    assert len(run(scene, "run", "list", "--output", "json").ok().json) == 3


@pytest.mark.slow
def test_variables_from_the_command_line(scene: Scene) -> None:
    """--var sets a variable, is checked, and must name one that is declared."""
    start = ("playbook", "run", "web-shell", "--alert", scene.alert, "--dry-run")
    assert "198.51.100.9" in run(scene, *start, "--var", "source_ip=198.51.100.9").ok().out
    assert "an IPv4 or IPv6 address" in run(scene, *start, "--var", "source_ip=1.2.3.4;reboot").failed(2).err
    assert "not a variable" in run(scene, *start, "--var", "nope=1").failed(2).err
    assert "name=value" in run(scene, *start, "--var", "nope").failed(2).err


@pytest.mark.parametrize(
    "content",
    ["- a\n", "whose: [\n", "no-such-step: done\n", "whose: a\nwhose: b\n", "\x00", "whose: perhaps\n"],
)
def test_broken_answers(scene: Scene, content: str) -> None:
    """A broken file of answers is an error with its place before anything is started, or at its step."""
    answers = scene.folder / "answers.yml"
    answers.write_text(content)
    start = ("playbook", "run", "web-shell", "--alert", scene.alert, "--answers", answers)
    failed = run(scene, *start)
    assert failed.code in {1, 2, 8}
    failed.failed(failed.code)
    if content != "whose: perhaps\n":
        assert "answers.yml" in failed.err
        assert run(scene, "run", "list", "--output", "json").ok().json == []


def test_missing_answers_file(scene: Scene) -> None:
    """A file of answers that is not there is an error, and nothing is started."""
    start = ("playbook", "run", "web-shell", "--alert", scene.alert, "--answers", scene.folder / "none.yml")
    assert "none.yml" in run(scene, *start).failed(1).err
    assert run(scene, "run", "list", "--output", "json").ok().json == []


@pytest.mark.slow
def test_on_a_terminal(scene: Scene) -> None:
    """On a terminal each turn is asked; a wrong answer is asked again, an empty one leaves it waiting."""
    child = terminal(scene, "playbook", "run", "--alert", scene.alert)
    child.expect("1  web-shell")
    child.expect("Which one")
    child.sendline("1")
    child.expect("SHA-256 of the script")
    child.sendline("not a hash")
    child.expect("must be a SHA-256 hash")
    child.expect("SHA-256 of the script .*: $")
    child.sendline(DIGEST)
    child.expect("1  foreign +→ Is it an outside")
    child.sendline("?")
    child.expect("a number from 1 to 2")
    child.sendline("")
    child.expect(r"R-\w+ is waiting; go on with: soc run resume R-")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 8
    (left,) = run(scene, "run", "list", "--output", "json").ok().json
    assert (left["step"], left["status"]) == ("whose", "waiting")

    child = terminal(scene, "run", "resume", left["id"])
    child.expect("2  ours")
    child.sendintr()
    child.expect(f"{left['id']} is waiting; go on with: soc run resume")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 8

    child = terminal(scene, "run", "resume", left["id"])
    child.expect("2  ours")
    child.sendline("our")
    child.expect("allowed")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


DANGEROUS = """\
name: danger
title: A command that cannot be undone
steps:
  act: {{type: command, run: [touch, '{folder}/done'], dry_run: would do it, next: good, on_failure: bad}}
  good: {{type: end, outcome: good}}
  bad: {{type: end, outcome: bad}}
"""


def test_a_dangerous_command_on_a_terminal(scene: Scene) -> None:
    """The resolved command is shown, the answer defaults to No, and y runs it."""
    path = scene.folder / "danger.yml"
    path.write_text(DANGEROUS.format(folder=scene.folder))
    child = terminal(scene, "playbook", "run", str(path), "--alert", scene.alert)
    child.expect(f"touch {scene.folder}/done")
    child.expect("y/N")
    child.sendline("")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 8
    assert not (scene.folder / "done").exists()
    (left,) = run(scene, "run", "list", "--output", "json").ok().json
    child = terminal(scene, "run", "resume", left["id"])
    child.expect("y/N")
    child.sendline("y")
    child.expect("good")
    child.expect(pexpect.EOF)
    assert (scene.folder / "done").exists()


@pytest.mark.slow
def test_a_name_that_nobody_knows(scene: Scene) -> None:
    """A host that is in no event is pointed out, asked again, and its isolation waits for a yes."""
    child = terminal(scene, "playbook", "run", "malware-on-host", "--alert", scene.alert)
    child.expect("Name of the computer")
    child.sendline("x")
    child.expect("CAREFUL: x is neither in the register nor in any event")
    child.expect("Keep it")
    child.sendline("")
    child.expect("Name of the computer")
    child.sendline("portal-01")
    child.expect("1  harmful")
    child.sendline("1")
    child.expect("1  done")
    child.sendline("d")
    child.expect("soc-action list add isolated-hosts portal-01")
    child.expect("to undo: soc-action list remove isolated-hosts portal-01")
    child.expect("y/N")
    assert not (scene.folder / "state" / "lists").exists()
    child.sendintr()
    child.expect("is waiting; go on with: soc run resume")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 8
    assert not (scene.folder / "state" / "lists").exists()


def test_a_broken_playbook_is_not_run(scene: Scene) -> None:
    """A playbook with an error is not started; the error has its place and the next command."""
    path = scene.folder / "bad.yml"
    path.write_text("name: bad\ntitle: B\nsteps:\n  a: {type: manual, instruction: i, next: b}\n")
    failed = run(scene, "playbook", "run", path, "--alert", scene.alert).failed(1)
    assert f"{path}:4" in failed.err
    assert "soc playbook lint" in failed.err
