"""What `overrides.yml` changes about rules without touching their files."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from soc.errors import Severity
from tests.detect.releases.test_selection import A, B, D, folder_of, load, running

ALL = f"""\
overrides:
  - match: {{id: {A}}}
    set:
      level: critical
      playbooks: [phishing]
      group_by: [user.name]
      window: 24h
      mode: shadow
    reason: as agreed with the mail team
"""


def test_every_setting_holds_and_says_where_it_comes_from(tmp_path: Path) -> None:
    """Severity, playbooks, grouping and mode are those of the file, each with its line; the rule stays."""
    folder = folder_of(tmp_path, overrides=ALL)
    before = (folder / "a.yml").read_bytes()
    plain = load(folder_of(tmp_path / "plain")).by_id[A]
    found = load(folder)
    assert not found.problems
    rule = found.by_id[A]
    assert (rule.level, rule.mode) == ("critical", "shadow")
    assert (rule.playbooks, rule.group_by, rule.window) == (
        ("phishing",),
        ("user.name",),
        timedelta(days=1),
    )
    lines = {name: Path(place).name for name, place in rule.decided.items()}
    assert lines == {
        "level": "overrides.yml:4:7",
        "playbooks": "overrides.yml:5:7",
        "group_by": "overrides.yml:6:7",
        "window": "overrides.yml:7:7",
        "mode": "overrides.yml:8:7",
    }
    assert rule.version == plain.version  # what it matches is the same, so its ledger goes on
    assert found.shadow == [rule]
    assert (folder / "a.yml").read_bytes() == before


def test_later_entries_beat_earlier_ones_setting_by_setting(tmp_path: Path) -> None:
    """A general entry can be narrowed by a later one; what the later one does not say stays."""
    text = f"""\
overrides:
  - match: {{from: [own, sigmahq]}}
    set: {{mode: shadow, level: low}}
  - match: {{id: {A}}}
    set: {{mode: alert}}
"""
    found = load(folder_of(tmp_path, overrides=text))
    assert {rule.title: (rule.mode, rule.level) for rule in found.rules} == {
        "A": ("alert", "low"),
        "B": ("shadow", "low"),
        "C": ("shadow", "low"),
        "D": ("shadow", "low"),
    }


def test_a_rule_can_be_switched_off_with_a_reason(tmp_path: Path) -> None:
    """Mode off is a state that the list shows, with the reason and the line."""
    text = f"overrides:\n  - match: {{id: {B}}}\n    set: {{mode: off}}\n    reason: broken sensor\n"
    found = load(folder_of(tmp_path, overrides=text))
    assert running(found) == "AD"
    rule = found.by_id[B]
    assert rule.off == "switched off by an override: broken sensor"
    assert rule.decided["state"].endswith("overrides.yml:3:11")


def test_the_selection_goes_by_overridden_values(tmp_path: Path) -> None:
    """A rule that is raised to high is within a selection of high."""
    text = f"overrides:\n  - match: {{id: {D}}}\n    set: {{level: high}}\n"
    found = load(folder_of(tmp_path, "include: [{level: high}]\n", text))
    assert running(found) == "AD"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"overrides:\n  - match: {{id: {A}}}\n", 2),
        (f"overrides:\n  - match: {{id: {A}}}\n    set: {{}}\n", 3),
        (f"overrides:\n  - match: {{id: {A}}}\n    set: {{level: worst}}\n", 3),
        (f"overrides:\n  - match: {{id: {A}}}\n    set: {{level: [low, high]}}\n", 3),
        (f"overrides:\n  - match: {{id: {A}}}\n    set: {{mode: silent}}\n", 3),
        (f"overrides:\n  - match: {{id: {A}}}\n    set: {{window: soon}}\n", 3),
        (f"overrides:\n  - match: {{id: {A}}}\n    set: {{playbooks: [3]}}\n", 3),
        (f"overrides:\n  - match: {{id: {A}}}\n    set: {{severity: low}}\n", 3),
        ("overrides:\n  - match: {}\n    set: {level: low}\n", 2),
        ("overrides:\n  - set: {level: low}\n", 2),
        ("overrides:\n  - just text\n", 2),
        ("overrides: yes\n", 1),
        ("rules: []\n", 1),
        ("overrides: [\n", 2),
    ],
)
def test_a_broken_override_is_an_error_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    """What cannot be understood is named and not half applied; the other rules are as they were."""
    found = load(folder_of(tmp_path, overrides=text))
    assert found.errors
    assert all(Path(p.place.path).name == "overrides.yml" for p in found.errors)
    assert found.errors[0].place.line == line
    assert running(found) == "ABD"
    assert found.by_id[A].level == "high"


def test_an_override_whose_rule_is_gone_is_named(tmp_path: Path) -> None:
    """After an import, what was said about a rule that upstream removed does not vanish quietly."""
    gone = A.replace("1a", "9a")
    text = f"overrides:\n  - match: {{id: [{gone}, {A}]}}\n    set: {{level: low}}\n"
    found = load(folder_of(tmp_path, overrides=text))
    (problem,) = found.problems
    assert (problem.kind, problem.severity, problem.place.line) == ("unknown_rule", Severity.WARNING, 2)
    assert gone in problem.message
    assert found.by_id[A].level == "low"
