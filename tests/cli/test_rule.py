"""`soc rule`, run as a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import soc


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a configuration and one rule of one's own."""
    (tmp_path / "soc.yml").write_text("content: {rules: [rules]}\n")
    soc("rule", "new", "night_export", "--title", "Export at night", cwd=tmp_path).ok()
    return tmp_path


def test_new_lint_and_test_go_together(own: Path) -> None:
    """A new rule is listed, lints and passes; the next command is always named."""
    rule = own / "rules" / "night_export.yml"
    assert rule.is_file()
    listed = soc("rule", "list", "--output", "json", cwd=own).ok().json
    assert [r["title"] for r in listed if r["name"] == "night_export"] == ["Export at night"]
    soc("rule", "lint", "rules/night_export.yml", cwd=own).ok()
    tested = soc("rule", "test", "night_export", "--output", "json", cwd=own).ok()
    assert [row["result"] for row in tested.json] == ["passed"] * 5
    assert "5 passed, 0 failed" in tested.err


def test_new_says_how_to_use_the_rule(tmp_path: Path) -> None:
    """Where no configuration names the folder, the remark says what to write, and what to run next."""
    made = soc("rule", "new", "a_rule", cwd=tmp_path).ok()
    assert made.out.splitlines() == ["rules/a_rule.yml", "rules/samples/a_rule.yml"]
    assert "content: {rules: [rules]}" in made.err
    assert "next: soc rule test rules/a_rule.yml" in made.err
    assert "there already" in soc("rule", "new", "a_rule", cwd=tmp_path).failed(2).err


def test_new_with_dry_run_writes_nothing(tmp_path: Path) -> None:
    """The texts are printed, and the folder stays empty."""
    shown = soc("rule", "new", "a_rule", "--dry-run", cwd=tmp_path).ok()
    assert "title: A rule" in shown.out
    assert "expect: near_miss" in shown.out
    assert not list(tmp_path.iterdir())


def test_list_filters(tmp_path: Path) -> None:
    """By level, tag and layer; all three together."""
    rows = (
        soc("rule", "list", "--level", "critical", "--layer", "1", "--output", "jsonl", cwd=tmp_path)
        .ok()
        .jsonl
    )
    assert rows
    assert {(row["level"], row["layer"]) for row in rows} == {("critical", 1)}
    tagged = soc("rules", "--tag", "attack.t1110", "--output", "jsonl", cwd=tmp_path).ok().jsonl
    assert tagged
    assert all(any(tag.startswith("attack.t1110") for tag in row["tags"]) for row in tagged)
    nothing = soc("rule", "list", "--tag", "attack.t9999", cwd=tmp_path).ok()
    assert "no such rule" in nothing.err
    assert "unknown level 'loud'" in soc("rule", "list", "--level", "loud", cwd=tmp_path).failed(2).err


def test_list_shows_whole_names_where_there_is_little_room(tmp_path: Path) -> None:
    """At 80 columns layer and techniques make room: a name that is cut cannot be given to `soc rule show`."""
    few = soc("rule", "list", "--level", "critical", cwd=tmp_path, env={"COLUMNS": "80"}).ok().out
    assert "TECHNIQUES" not in few
    assert "finding_critical_exploit" in few
    assert "…" not in few
    assert max(map(len, few.splitlines())) <= 80
    many = soc("rule", "list", "--level", "critical", cwd=tmp_path, env={"COLUMNS": "140"}).ok().out
    assert "TECHNIQUES" in many
    assert "techniques" in soc("rule", "list", "--output", "csv", cwd=tmp_path).ok().out.splitlines()[0]


def test_show_tells_everything(tmp_path: Path) -> None:
    """By name and by the beginning of an id; unknown ones are refused with near names."""
    shown = soc("rule", "show", "win_lsass_read", "--output", "json", cwd=tmp_path).ok().json
    assert "lsass.exe" in shown["detection"]
    assert shown["playbooks"] == ["malware-on-host", "brute-forced-account"]
    again = soc("rule", "show", shown["id"][:8], "--output", "json", cwd=tmp_path).ok().json
    assert again == shown
    assert "Memory of LSASS" in soc("rule", "show", "win_lsass_read", cwd=tmp_path).ok().out
    assert "did you mean win_lsass_read" in soc("rule", "show", "win_lsass_reed", cwd=tmp_path).failed(2).err


def test_lint_shows_all_problems_with_their_places(own: Path) -> None:
    """Two broken files: every problem of both, with path, line and column, and exit 1."""
    (own / "rules" / "b.yml").write_text("title: [\n")
    (own / "rules" / "c.yml").write_text("title: c\nlogsource: {category: webserver}\ndetection: {}\n")
    result = soc("rule", "lint", "rules", cwd=own).failed(1)
    assert f"{own}/rules/b.yml:2:1: error" in result.out or "rules/b.yml:2:1: error" in result.out
    assert "rules/c.yml" in result.out
    data = soc("rule", "lint", "rules", "--output", "json", cwd=own).failed(1).json
    assert data["valid"] is False
    assert {Path(p["path"]).name for p in data["problems"] if p["severity"] == "error"} == {"b.yml", "c.yml"}
    assert all({"line", "column", "kind", "message", "hint"} <= set(p) for p in data["problems"])


def test_lint_of_warnings_alone_succeeds(own: Path) -> None:
    """A rule without samples can be used."""
    (own / "rules" / "samples" / "night_export.yml").unlink()
    result = soc("rule", "lint", "rules/night_export.yml", cwd=own).ok()
    assert "[no_samples]" in result.out
    assert "1 rule: 1 warning" in result.err


@pytest.mark.parametrize("verb", ["lint", "test"])
def test_a_file_that_is_not_there_fails(own: Path, verb: str) -> None:
    """Its name is shown, and nothing passes for tested."""
    result = soc("rule", verb, "rules/nosuch.yml", cwd=own).failed(1)
    assert "there is no such folder or file of rules" in result.out


def test_a_wrong_case_fails_the_test(own: Path) -> None:
    """The case is named with what was expected; the others pass."""
    samples = own / "rules" / "samples" / "night_export.yml"
    samples.write_text(samples.read_text().replace("404 153", "200 153"))
    result = soc("rule", "test", "night_export", cwd=own, env={"COLUMNS": "200"}).failed(1)
    assert "it should stay silent and fired on 1 of 1 events" in result.out
    assert "4 passed, 1 failed" in result.err


def test_a_table_of_tests_shows_failures(own: Path) -> None:
    """What passed is counted; `-v` and JSON show each case."""
    quiet = soc("rule", "test", "night_export", cwd=own).ok()
    assert quiet.out == ""
    assert quiet.err == "5 passed, 0 failed\n"
    assert soc("rule", "test", "night_export", "-v", cwd=own).ok().out.count("passed") == 5
    samples = own / "rules" / "samples" / "night_export.yml"
    samples.write_text(samples.read_text().replace("404 153", "200 153"))
    failed = soc("rule", "test", "night_export", cwd=own).failed(1).out
    assert ("passed" in failed, "failed" in failed) == (False, True)


def test_nothing_tested_is_a_failure(own: Path) -> None:
    """Rules without samples are named, and the exit code is 1."""
    (own / "rules" / "samples" / "night_export.yml").unlink()
    result = soc("rule", "test", "rules/night_export.yml", cwd=own).failed(1)
    assert "no samples: night_export" in result.err
    assert "nothing was tested" in result.err
    (own / "empty").mkdir()
    assert "nothing was checked" in soc("rule", "lint", "empty", cwd=own).failed(1).err
    assert "nothing was tested" in soc("rule", "test", "empty", cwd=own).failed(1).err


def test_a_broken_rule_fails_the_test_of_its_folder(own: Path) -> None:
    """Its neighbours are tested all the same."""
    (own / "rules" / "broken.yml").write_text("title: x\n")
    rows = soc("rule", "test", "rules", "--output", "json", cwd=own).failed(1).json
    assert [row["result"] for row in rows if row["rule"] == "night_export"] == ["passed"] * 5
    assert [row["result"] for row in rows if row["rule"] == "broken"][-1] == "failed"


def test_an_own_rule_takes_the_place_of_a_shipped_one(own: Path) -> None:
    """The one with the same id in one's own folder counts."""
    shipped = soc("rule", "show", "ssh_root_login", "--output", "json", cwd=own).ok().json
    rule = own / "rules" / "night_export.yml"
    text = rule.read_text()
    old = next(line for line in text.splitlines() if line.startswith("id: "))
    rule.write_text(text.replace(old, f"id: {shipped['id']}"))
    assert (
        soc("rule", "show", shipped["id"], "--output", "json", cwd=own).ok().json["title"]
        == "Export at night"
    )


@pytest.mark.slow
def test_all_shipped_rules_lint_and_pass(tmp_path: Path) -> None:
    """Without arguments, lint and test take every rule."""
    assert "no problem found" in soc("rule", "lint", cwd=tmp_path).ok().err
    tested = soc("rule", "test", "--output", "jsonl", cwd=tmp_path).ok()
    assert len(tested.jsonl) >= 5 * 44
    assert "0 failed" in tested.err
