"""Every shipped playbook: it lints, and its own tests come through every step."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from soc import content, yamlio
from soc.playbook.library import load_file
from soc.playbook.model import Command, Decision, End, Playbook, Query
from soc.playbook.trial import perform, perform_all

FILES = sorted(content.files(content.shipped("playbooks")))
NAMES = {
    "brute-forced-account",
    "critical-vulnerability",
    "malware-on-host",
    "national-botnet-address",
    "phishing-mail",
    "web-shell",
}


def read(path: Path) -> Playbook:
    """The playbook in a shipped file."""
    found = load_file(path).playbook
    assert found is not None
    return found


def trials() -> list[tuple[Path, str]]:
    """Every test in every shipped playbook."""
    return [(path, str(trial["name"])) for path in FILES for trial in yamlio.load(path).data["tests"]]


def test_the_six_are_shipped() -> None:
    """The playbooks that rules name are there."""
    assert {path.stem for path in FILES} >= NAMES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_lints(path: Path) -> None:
    """A shipped playbook has neither errors nor warnings, and is named like its file."""
    entry = load_file(path)
    assert entry.problems == ()
    assert entry.name == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_has_query_decision_and_reversible_action(path: Path) -> None:
    """A shipped playbook searches, decides, and acts by a command that can be undone."""
    steps = read(path).steps.values()
    assert any(isinstance(step, Query) for step in steps)
    assert any(isinstance(step, Decision) and step.when for step in steps)
    assert any(isinstance(step, Decision) and step.ask for step in steps)
    commands = [step for step in steps if isinstance(step, Command)]
    assert any(step.reversible and step.undo for step in commands)
    for step in commands:
        assert step.dry_run.startswith("would ")
        assert step.on_failure, f"{step.name} goes nowhere when it fails"
        assert step.read_only or step.reversible


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_evidence_comes_before_containment(path: Path) -> None:
    """On no path is something changed before the events were copied as evidence, where both happen."""
    playbook = read(path)
    for trial in playbook.tests:
        visited = list(perform(playbook, trial).path)
        changing = [
            visited.index(step.name)
            for step in playbook.steps.values()
            if isinstance(step, Command) and not step.read_only and step.name in visited
        ]
        if "preserve" in visited and changing:
            assert visited.index("preserve") < min(changing)


@pytest.mark.parametrize(("path", "name"), trials(), ids=lambda part: getattr(part, "stem", part))
def test_trial(path: Path, name: str) -> None:
    """Each test in the file takes its path to its outcome."""
    playbook = read(path)
    trial = next(trial for trial in playbook.tests if trial.name == name)
    result = perform(playbook, trial)
    assert result.faults == ()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_both_branches(path: Path) -> None:
    """Together the tests take every arrow out of every decision and every command, and reach every end."""
    playbook = read(path)
    results, unseen = perform_all(playbook)
    assert unseen == []
    taken = set()
    for result in results:
        taken |= set(zip(result.path, result.path[1:], strict=False))
    wanted = {
        (step.name, target)
        for step in playbook.steps.values()
        if isinstance(step, (Decision, Command))
        for target in step.arrows().values()
    }
    assert wanted - taken == set()
    ends = {step.outcome for step in playbook.steps.values() if isinstance(step, End)}
    assert {result.outcome for result in results} == ends


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_addresses_are_for_documentation(path: Path) -> None:
    """No shipped playbook names a real address (RFC 5737, RFC 1918, RFC 3927)."""
    found = re.findall(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", path.read_text("utf-8"))
    documentation = ("192.0.2.", "198.51.100.", "203.0.113.")
    private = ("10.", "172.16.", "192.168.", "127.", "169.254.")
    assert all(address.startswith((*documentation, *private)) for address in found)
