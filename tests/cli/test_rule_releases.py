"""`soc rule import` and what follows from it, as a user calls them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.detect.releases.test_importer import FIRST, A, B, D, git_in, rule, zipped
from tests.harness import soc


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a configuration that names a folder of rules."""
    (tmp_path / "soc.yml").write_text("store: store\ncontent: {rules: [rules]}\n")
    return tmp_path


def test_import_and_what_it_says(place: Path) -> None:
    """A first import, a look at the next release, the import of it, with exit codes for CI."""
    zipped(place / "1.zip", FIRST)
    first = soc("rule", "import", "1.zip", cwd=place).ok()
    assert "3 rules; 3 new" in first.err
    assert first.out == ""
    second = {"rules/windows/a.yml": rule(A, "A", value="2"), "rules/bad.yml": b"title: [\n"}
    zipped(place / "2.zip", second)
    look = soc("rule", "import", "2.zip", "--dry-run", "--output", "json", cwd=place).failed(5)
    assert [row["change"] for row in look.json] == ["changed", "removed", "removed", "left out"]
    assert "dry run" in look.err
    assert soc("rule", "import", "1.zip", cwd=place).ok().err.count("there already") == 1
    soc("rule", "import", "2.zip", cwd=place).failed(5)
    listed = soc("rule", "list", "--origin", "sigmahq", "--output", "json", cwd=place).ok()
    assert [row["title"] for row in listed.json] == ["A"]


def test_edits_stop_an_import_with_a_conflict(place: Path) -> None:
    """Exit 3 names the file; --discard-edits asks first."""
    soc("rule", "import", zipped(place / "1.zip", FIRST), cwd=place).ok()
    edited = place / "rules/upstream/sigmahq/rules/windows/a.yml"
    edited.write_bytes(rule(A, "Edited"))
    source = zipped(place / "2.zip", {"rules/d.yml": rule(D, "D")})
    refused = soc("rule", "import", source, cwd=place).failed(3)
    assert "rules/windows/a.yml (edited)" in refused.err
    soc("rule", "import", source, "--discard-edits", cwd=place).failed(2)
    assert edited.read_bytes() == rule(A, "Edited")
    soc("rule", "import", source, "--discard-edits", "--yes", cwd=place).ok()
    assert not edited.exists()


def test_import_without_a_place_or_a_release(tmp_path: Path) -> None:
    """Usage errors say what to do."""
    zipped(tmp_path / "1.zip", FIRST)
    assert "--to" in soc("rule", "import", "1.zip", cwd=tmp_path).failed(2).err
    assert "no such file" in soc("rule", "import", "none.zip", "--to", "rules", cwd=tmp_path).failed(2).err
    done = soc("rule", "import", "1.zip", "--to", "rules", cwd=tmp_path).ok()
    assert "content: {rules: [rules]}" in done.err


def test_lint_counts_warnings_on_imported_rules(place: Path) -> None:
    """Nobody here can edit them, and there are thousands. Named or with -v they are shown; errors always."""
    soc("rule", "import", zipped(place / "1.zip", FIRST), cwd=place).ok()
    (place / "rules/own.yml").write_bytes(rule(D, "Own", value="own"))
    short = soc("rule", "lint", "rules", cwd=place).ok()
    assert "rules/own.yml" in short.out
    assert "upstream" not in short.out
    assert "on imported rules are not shown" in short.err
    for args in (["rules", "-v"], ["rules/upstream/sigmahq"], ["rules", "--output", "csv"]):
        assert "upstream/sigmahq/rules/windows/a.yml" in soc("rule", "lint", *args, cwd=place).ok().out
    (place / "rules/upstream/sigmahq/rules/windows/a.yml").write_text("title: [\n")
    assert "upstream/sigmahq/rules/windows/a.yml:" in soc("rule", "lint", "rules", cwd=place).failed(1).out


def test_the_list_shows_what_holds_and_why(place: Path) -> None:
    """State, effective level and the deciding line are shown; show names every file that decided."""
    soc("rule", "import", zipped(place / "1.zip", FIRST), cwd=place).ok()
    (place / "rules/selection.yml").write_text("exclude:\n  - id: [" + B + "]\n    reason: not ours\n")
    (place / "rules/overrides.yml").write_text(
        f"overrides:\n  - match: {{id: {A}}}\n    set: {{level: critical, mode: shadow}}\n"
    )
    listed = soc("rule", "list", "--origin", "sigmahq", "--output", "json", cwd=place).ok()
    rows = {row["title"]: row for row in listed.json}
    assert (rows["A"]["level"], rows["A"]["mode"]) == ("critical", "shadow")
    assert rows["B"]["state"] == "not selected"
    assert "1 rule not selected: 1 excluded by the selection" in listed.err
    assert "1 in shadow" in listed.err
    shown = soc("rule", "show", B, "--output", "json", cwd=place).ok().json
    assert shown["why"] == "excluded by the selection: not ours"
    assert shown["decided"] == [f"state: {place}/rules/selection.yml:2:5"]
    only = soc("rule", "list", "--state", "not-selected", "--output", "json", cwd=place).ok()
    assert [row["title"] for row in only.json] == ["B"]
    assert "unknown state" in soc("rule", "list", "--state", "odd", cwd=place).failed(2).err


class TestPublish:
    """`soc rule publish` and `rollback`."""

    @pytest.fixture
    def content(self, place: Path) -> Path:
        """A content repository with an imported set in a commit."""
        (place / ".gitignore").write_text("store/\n*.zip\n")
        git_in(place, "init", "-q")
        zipped(place / "1.zip", FIRST)
        soc("rule", "import", "1.zip", cwd=place).ok()
        git_in(place, "add", "-A")
        git_in(place, "commit", "-qm", "first")
        return place

    def test_from_a_look_to_a_rollback(self, content: Path) -> None:
        """Dry run, a prompt without a terminal, publish, sweep, publish again, back, and the log."""
        look = soc("rule", "publish", "--dry-run", cwd=content).ok()
        assert "nothing was published" in look.err
        soc("rule", "publish", cwd=content).failed(2)
        soc("rule", "publish", "--yes", cwd=content).ok()
        assert "published already" in soc("rule", "publish", "--yes", cwd=content).ok().err
        soc("sweep", "--once", "--published", cwd=content).ok()
        (status,) = soc("sweep", "status", "--output", "json", cwd=content).ok().json
        (first,) = soc("rule", "rollback", "--list", "--output", "json", cwd=content).ok().json
        assert status["commit"] == [first["commit"][:12]]
        checks = {row["check"]: row for row in soc("status", "--output", "json", cwd=content).ok().json}
        assert checks["published rules"]["state"] == "ok"
        assert first["commit"][:12] in checks["published rules"]["found"]
        (content / "rules/overrides.yml").write_text(
            f"overrides:\n  - match: {{id: {A}}}\n    set: {{mode: shadow}}\n"
        )
        refused = soc("rule", "publish", "--yes", cwd=content).failed(2)
        assert "rules/overrides.yml" in refused.err
        assert "--allow-dirty" in refused.err
        second = soc("rule", "publish", "--yes", "--allow-dirty", "--output", "json", cwd=content).ok()
        assert [(row["change"], row["title"]) for row in second.json] == [("shadow", "A")]
        soc("rule", "rollback", cwd=content).failed(2)
        back = soc("rule", "rollback", "--yes", "--output", "json", cwd=content).ok()
        assert [(row["change"], row["title"]) for row in back.json] == [("alert", "A")]
        listed = soc("rule", "rollback", "--list", "--output", "json", cwd=content).ok().json
        assert [(row["number"], row["dirty"], row["back"]) for row in listed] == [
            (3, False, True),
            (2, True, False),
            (1, False, False),
        ]
        said = soc("audit", "list", "--output", "json", cwd=content).ok().json
        assert [row["action"] for row in said] == ["rule.publish", "rule.publish", "rule.rollback"]
        assert "remembered" in soc("rule", "rollback", "abcdef", cwd=content).failed(2).err
        again = soc("rule", "rollback", "--yes", cwd=content).failed(1)
        assert "nothing is further back" in again.err
        assert "soc rule rollback COMMIT" in again.err

    def test_the_configuration_can_say_published(self, content: Path) -> None:
        """`detect: {rules: published}` makes it the default; --rules still means files."""
        settings = content / "soc.yml"
        settings.write_text(settings.read_text() + "detect: {rules: published}\n")
        none = soc("sweep", "--once", cwd=content).failed(1)
        assert "no rules are published" in none.err
        assert "soc rule publish" in none.err
        soc("sweep", "--once", "--rules", "rules", cwd=content).ok()
        soc("sweep", "--once", "--rules", "rules", "--published", cwd=content).failed(2)
        settings.write_text(settings.read_text().replace("published}", "publshed}"))
        assert "`files` or `published`" in soc("config", "check", cwd=content).failed(1).out
