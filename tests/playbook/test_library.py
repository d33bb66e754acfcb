"""Finding playbooks: shipped and own, one broken file hides none."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc import content
from soc.config import Config, StoreSettings
from soc.errors import ContentError, UsageError
from soc.playbook import library, skeleton

GOOD = skeleton.text_for("mine")


def config(*folders: Path) -> Config:
    """A configuration with these folders of playbooks."""
    return Config(None, StoreSettings(""), playbooks=folders)


def test_one_broken_file_hides_none(tmp_path: Path) -> None:
    """A folder with a broken, a binary and a sound file gives all three, each with its own problems."""
    (tmp_path / "a.yml").write_text("name: [")
    (tmp_path / "b.yml").write_bytes(b"\xff\x00")
    (tmp_path / "mine.yml").write_text(GOOD)
    found = library.load([tmp_path])
    assert {name: entry.usable for name, entry in found.items()} == {"a": False, "b": False, "mine": True}
    assert all(entry.problems for entry in found.values() if not entry.usable)


def test_one_name_in_two_files(tmp_path: Path) -> None:
    """Two files of one folder with the same name are an error that names both."""
    (tmp_path / "one.yml").write_text(GOOD)
    (tmp_path / "two.yml").write_text(GOOD)
    found = library.load([tmp_path])
    (problem,) = [p for entry in found.values() for p in entry.problems]
    assert problem.kind == "duplicate_name"
    assert "one.yml" in problem.message
    assert problem.place.path.endswith("two.yml")


def test_later_folders_override(tmp_path: Path) -> None:
    """A user's playbook takes the place of a shipped one; drills beside them are left out."""
    (tmp_path / "drills").mkdir()
    (tmp_path / "drills" / "x.yml").write_text("scenario: x")
    (tmp_path / "web.yml").write_text(skeleton.text_for("web-shell"))
    found = library.playbooks_for(config(tmp_path, tmp_path / "not-there"))
    assert found["web-shell"].path == tmp_path / "web.yml"
    assert "x" not in found
    assert found["phishing-mail"].shipped


def test_find(tmp_path: Path) -> None:
    """A playbook is found by name or path; what is not there names what is near."""
    path = tmp_path / "mine.yml"
    path.write_text(GOOD)
    assert library.find(config(), str(path)).name == "mine"
    assert library.find(config(tmp_path), "mine").path == path
    with pytest.raises(UsageError, match="did you mean malware-on-host"):
        library.find(config(), "malware-on-hosts")
    with pytest.raises(UsageError, match="no such file"):
        library.find(config(), "none.yml")


def test_usable(tmp_path: Path) -> None:
    """One with an error is not given out to be run."""
    path = tmp_path / "bad.yml"
    path.write_text(GOOD.replace("next: busy", "next: bussy"))
    with pytest.raises(ContentError, match="did you mean 'busy'"):
        library.usable(config(), str(path))


def test_rules_name_playbooks_that_are_there() -> None:
    """Every playbook that a shipped rule names is shipped."""
    from soc.detect.ruleset import load_rules

    known = set(library.load([content.shipped("playbooks")]))
    rules = load_rules([content.shipped("rules")]).rules
    missing = {(rule.title, name) for rule in rules for name in rule.playbooks if name not in known}
    assert missing == set()
