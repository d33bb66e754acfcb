"""The skeleton of a rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc import config, content, yamlio
from soc.cli.newcontent import is_used, shown_folder
from soc.collect.collector import load_collectors
from soc.detect.lint import lint
from soc.detect.ruleset import load_rules
from soc.detect.samples import run_samples
from soc.detect.skeleton import draft, write
from soc.errors import UsageError


def playbooks() -> set[str]:
    """The names of the shipped playbooks."""
    return {path.stem for path in content.files(content.shipped("playbooks"))}


@pytest.mark.parametrize(
    "title", ["", "An export: at night", "it's #1", 'nên xem "kỹ"', "- [x]", "two\nlines", "true", "12"]
)
def test_a_new_rule_lints_and_its_samples_pass(tmp_path: Path, title: str) -> None:
    """Before a word of it is changed, whatever its title is."""
    made = draft(config.load(), "night_export", title=title, to=tmp_path)
    write(made)
    collectors = load_collectors([content.shipped("collectors")])
    ruleset = load_rules([tmp_path], cache=False)
    assert not lint(ruleset, collectors=collectors, playbooks=playbooks())
    results = list(run_samples(ruleset.rules, collectors))
    assert len(results) == 5
    assert all(result.passed for result in results), [result.fault for result in results]
    assert ruleset.rules[0].title == (" ".join(title.split()) or "Night export")


def test_two_new_rules_have_ids_of_their_own(tmp_path: Path) -> None:
    """No id is copied."""
    ids = {yamlio.parse(draft(config.load(), name, to=tmp_path).rule, "").data["id"] for name in ("a1", "b1")}
    assert len(ids) == 2


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "../x", "a/b", "a.yml", "a__b", "ä", "a" + "\n"])
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    """A name is also that of a file, and never leaves the folder."""
    with pytest.raises(UsageError, match="no name for a rule"):
        draft(config.load(), name, to=tmp_path)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Neither a rule nor samples that are there already."""
    write(draft(config.load(), "mine", to=tmp_path))
    with pytest.raises(UsageError, match="there already"):
        draft(config.load(), "mine", to=tmp_path)
    (tmp_path / "mine.yml").unlink()
    with pytest.raises(UsageError, match="there already"):
        draft(config.load(), "mine", to=tmp_path)


def test_it_goes_where_rules_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a file named, a folder named, the first configured folder, or ./rules."""
    monkeypatch.chdir(tmp_path)
    assert draft(config.load(), "a", to=Path("x/y.yml")).rule_path == Path("x/y.yml")
    assert draft(config.load(), "a", to=Path("x")).samples_path == Path("x/samples/a.yml")
    assert draft(config.load(), "a").rule_path == Path("rules/a.yml")
    (tmp_path / "soc.yml").write_text("content: {rules: [own, other]}\n")
    settings = config.load()
    made = draft(settings, "a")
    assert made.rule_path == tmp_path / "own" / "a.yml"
    assert is_used(settings, "rule", made.rule_path)
    assert not is_used(settings, "rule", Path("elsewhere/a.yml"))
    assert shown_folder(settings, tmp_path / "deep" / "mine") == "deep/mine"
    assert shown_folder(settings, Path("/elsewhere")) == "/elsewhere"
