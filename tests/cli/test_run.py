"""`soc run`: seeing, answering and resuming runs with the real program."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from soc.errors import ExitCode
from tests.cli.test_playbook import DIGEST, run
from tests.playbook.conftest import Scene, scene

__all__ = ["scene"]


@pytest.fixture
def waiting(scene: Scene) -> str:
    """The id of a run that waits for the digest of a file."""
    start = ("playbook", "run", "web-shell", "--alert", scene.alert, "--output", "json")
    started = run(scene, *start).failed(ExitCode.WAITING)
    assert started.json["turn"]["step"] == "look-at-file"
    return str(started.json["id"])


def test_show_says_whose_turn_it_is(scene: Scene, waiting: str) -> None:
    """A waiting run names the person, what to do and the exact next command, and exits 8 if asked to."""
    run(scene, "run", "show", waiting, "--exit-status").failed(8)
    shown = run(scene, "run", "show", waiting).ok()
    assert "turn of: system operator" in shown.out
    assert "stat" in shown.out
    (command,) = re.findall(r"next: soc (run answer .*)", shown.out)
    words = command.split(" --config")[0].replace("=…", f"={DIGEST}").split()
    answered = run(scene, *words).failed(8)
    assert "waiting at whose" in answered.out


def test_by_prefix(scene: Scene, waiting: str) -> None:
    """A run is found by the beginning of its id, in lower case and without its letter."""
    assert waiting in run(scene, "run", "show", waiting[2:5].lower()).ok().out
    run(scene, "run", "show", "R-ZZZZZZ").failed(2)
    run(scene, "run", "show", "!").failed(2)


@pytest.mark.slow
def test_list_filters(scene: Scene, waiting: str) -> None:
    """Runs are filtered by status, alert and playbook."""
    for flags, found in (
        (("--status", "waiting"), [waiting]),
        (("--status", "ended"), []),
        (("--alert", scene.alert), [waiting]),
        (("--playbook", "web-shell"), [waiting]),
        (("--playbook", "other"), []),
    ):
        rows = run(scene, "run", "list", *flags, "--output", "json").ok().json
        assert [row["id"] for row in rows] == found
    run(scene, "run", "list", "--status", "sleeping").failed(2)


def test_list_in_eighty_columns(scene: Scene, waiting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of runs fits a narrow terminal with nothing cut; the zone of its times is said once."""
    monkeypatch.setenv("COLUMNS", "80")
    listed = run(scene, "run", "list").ok()
    assert "…" not in listed.out
    assert all(len(line) <= 80 for line in listed.out.splitlines())
    for word in (waiting, "web-shell", "look-at-file", "system operator"):
        assert word in listed.out
    assert "times in your zone" in listed.err


@pytest.mark.slow
def test_wrong_answers_change_nothing(scene: Scene, waiting: str) -> None:
    """An answer that does not fit, or to another step, is refused with what would fit."""
    assert "SHA-256" in run(scene, "run", "answer", waiting, "look-at-file", "abc").failed(2).err
    assert "stands at look-at-file" in run(scene, "run", "answer", waiting, "whose", "ours").failed(2).err
    assert "no step" in run(scene, "run", "answer", waiting, "nope", "x").failed(2).err
    for words in ((), ("look-at-file",)):
        told = run(scene, "run", "answer", waiting, *words).failed(2).err
        assert "waits at look-at-file" in told
        assert f"soc run answer {waiting} look-at-file file_sha256=…" in told
    assert run(scene, "run", "show", waiting, "--output", "json").ok().json["step"] == "look-at-file"


def test_answer_dry_run(scene: Scene, waiting: str) -> None:
    """A dry run of an answer shows what would follow and changes nothing."""
    shown = run(scene, "run", "answer", waiting, "look-at-file", DIGEST, "--dry-run").ok()
    assert "soc-action list add blocked-addresses 203.0.113.66" in shown.out
    assert "preserve" not in shown.out
    assert run(scene, "run", "show", waiting, "--output", "json").ok().json["step"] == "look-at-file"
    assert "whose" in run(scene, "run", "resume", waiting, "--dry-run").ok().out


@pytest.mark.slow
def test_two_answers_at_the_same_time(scene: Scene, waiting: str) -> None:
    """Of several that answer at once exactly one is taken; the others exit 3 with its answer shown."""
    run(scene, "run", "answer", waiting, "look-at-file", DIGEST).failed(8)
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda v: run(scene, "run", "answer", waiting, "whose", v), ["ours"] * 3))
    codes = sorted(result.code for result in results)
    assert codes == [0, 3, 3]
    for result in results:
        assert "Traceback" not in result.err
        if result.code == 3:
            assert "'ours'" in result.err
            assert "their change:" in result.err


def test_answer_in_the_journal(scene: Scene, waiting: str) -> None:
    """The journal keeps the answer with its note and for whom it was given."""
    more = ("--note", "theo điện thoại", "--on-behalf-of", "binh.tran")
    run(scene, "run", "answer", waiting, "look-at-file", DIGEST, *more).failed(8)
    log = run(scene, "run", "log", waiting, "--output", "jsonl").ok().jsonl
    (entry,) = [e for e in log if e["event"] == "answer"]
    assert entry["detail"]["note"] == "theo điện thoại"
    assert entry["detail"]["on_behalf_of"] == "binh.tran"
    assert "on behalf of binh.tran" in entry["text"]


@pytest.mark.slow
def test_ended_runs_take_no_answer(scene: Scene, waiting: str) -> None:
    """An ended run shows its outcome, exits 0, and is not changed by resume or answer."""
    run(scene, "run", "answer", waiting, "look-at-file", DIGEST).failed(8)
    run(scene, "run", "answer", waiting, "whose", "ours").ok()
    assert "allowed" in run(scene, "run", "show", waiting).ok().out
    run(scene, "run", "resume", waiting).ok()
    assert "has ended" in run(scene, "run", "answer", waiting, "shut", "done").failed(2).err


def test_the_file_may_change(scene: Scene) -> None:
    """A changed or deleted file does not change a run under way."""
    run(scene, "playbook", "new", "mine", "--to", scene.folder).ok()
    path = scene.folder / "mine.yml"
    path.write_text(path.read_text().replace("events_seen:>10", "events_seen:>100"))
    started = run(scene, "playbook", "run", path, "--alert", scene.alert, "--output", "json").failed(8)
    path.write_text("broken: [")
    run(scene, "run", "answer", started.json["id"], "judge", "expected").ok()
    path.unlink()
    assert "harmless" in run(scene, "run", "show", started.json["id"]).ok().out


SLOW = """\
name: slow
title: Slow
steps:
  act:
    type: command
    run: [sh, '{folder}/slow.sh']
    dry_run: would be slow
    reversible: true
    undo: [sh, '{folder}/undo.sh']
    next: good
  good: {{type: end, outcome: good}}
"""


@pytest.mark.slow
def test_killed_and_resumed(scene: Scene) -> None:
    """The program is killed while its command runs: the run asks what became of it and never runs it again
    by itself."""
    (scene.folder / "slow.yml").write_text(SLOW.format(folder=scene.folder))
    marks = scene.folder
    (marks / "slow.sh").write_text(
        f"echo x >> '{marks}/ran'; while [ ! -e '{marks}/go' ]; do sleep 0.05; done\n"
    )
    run(scene, "playbook", "list").ok()  # writes soc.yml
    start = ["playbook", "run", str(marks / "slow.yml"), "--alert", scene.alert, "--yes"]
    process = subprocess.Popen(
        [sys.executable, "-m", "soc", *start, "--config", str(marks / "soc.yml")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    while not (marks / "ran").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()

    (left,) = run(scene, "run", "list", "--output", "json").ok().json
    assert left["status"] == "running"  # somebody is still at work: the command itself
    assert "still runs on this machine" in run(scene, "run", "show", left["id"]).ok().out
    assert "still runs on this machine" in run(scene, "run", "resume", left["id"]).failed(3).err
    (marks / "go").touch()
    time.sleep(0.5)
    (left,) = run(scene, "run", "list", "--status", "waiting", "--output", "json").ok().json
    assert (left["step"], left["reason"]) == ("act", "unknown")
    for verb, code in (("show", 0), ("resume", 8), ("resume", 8)):
        asked = run(scene, "run", verb, left["id"]).failed(code)
        for word in ("done", "failed", "again"):
            assert f"soc run answer {left['id']} act {word}" in asked.out
    assert (marks / "ran").read_text() == "x\n"
    run(scene, "run", "answer", left["id"], "act", "done").ok()
    assert (marks / "ran").read_text() == "x\n"
    verified = run(scene, "audit", "verify")
    assert verified.code == 0, verified.err


def test_without_a_store(scene: Scene) -> None:
    """A store that is not there is a clear error, and none is made."""
    away = scene.folder / "away"
    failed = run(scene, "run", "list", "--store", away)
    failed.failed(failed.code)
    assert failed.code != 0
    assert not away.exists()
