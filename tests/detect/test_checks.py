"""What `soc rule lint` and `soc rule test` do with the rules that were asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc import config
from soc.config import Config
from soc.detect.catalogue import one_of, ruleset_of
from soc.detect.checks import Outcome, lint_chosen, tally, try_chosen
from soc.detect.samples import samples_path
from soc.detect.skeleton import draft, write
from soc.errors import ContentError, Place, Problem, Severity, UsageError


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A configuration with one rule of one's own, `mine`."""
    (tmp_path / "soc.yml").write_text("content: {rules: [rules]}\n")
    monkeypatch.chdir(tmp_path)
    made = config.load()
    write(draft(made, "mine"))
    return made


def test_arguments_name_files_folders_ids_and_names(settings: Config) -> None:
    """One rule that is named in several ways is taken once for each file."""
    (rule,) = ruleset_of(settings, ["rules"]).rules
    assert [r.id for r in ruleset_of(settings, ["mine"]).rules] == [rule.id]
    assert [r.id for r in ruleset_of(settings, [rule.id[:8]]).rules] == [rule.id]
    assert len(ruleset_of(settings, ["mine", rule.id, "mine"]).rules) == 1
    assert len(ruleset_of(settings, []).rules) > 44
    with pytest.raises(UsageError, match="no rule 'min'"):
        ruleset_of(settings, ["min"])


def test_one_rule_is_one(settings: Config) -> None:
    """A name or a file gives its rule; several, none, and a file that cannot be read are refused."""
    assert one_of(settings, "rules/mine.yml").id == one_of(settings, "mine").id
    write(draft(settings, "other"))
    with pytest.raises(UsageError, match="there are 2 rules in it: mine, other"):
        one_of(settings, "rules")
    Path("empty").mkdir()
    with pytest.raises(UsageError, match="there is no rule in it"):
        one_of(settings, "empty")
    with pytest.raises(UsageError, match="no rule ''"):
        one_of(settings, "")
    Path("broken.yml").write_bytes(b"\xff\x00")
    with pytest.raises(ContentError, match="not UTF-8"):
        one_of(settings, "broken.yml")


def test_lint_counts_rules_and_looks_for_orphans(settings: Config) -> None:
    """Only what was named is looked at; samples without a rule are found in folders."""
    assert lint_chosen(settings, ["mine"]) == (1, [])
    Path("rules/mine.yml").unlink()
    count, problems = lint_chosen(settings, ["rules"])
    assert count == 0
    assert [p.kind for p in problems] == ["orphan_samples"]


@pytest.mark.parametrize(
    ("errors", "warnings", "words"),
    [
        (0, 0, "no problem found"),
        (1, 0, "1 error"),
        (2, 1, "2 errors, 1 warning"),
        (0, 3, "3 warnings"),
    ],
)
def test_findings_are_counted_in_words(errors: int, warnings: int, words: str) -> None:
    """Errors first, in the singular and the plural."""
    problems = [Problem("x", "x", Place("x"))] * errors
    problems += [Problem("x", "x", Place("x"), Severity.WARNING)] * warnings
    assert tally(problems) == words


def test_the_samples_of_what_was_named_are_run(settings: Config) -> None:
    """Each case is a row; progress is told for each rule."""
    told: list[tuple[int, int]] = []
    outcome = try_chosen(settings, ["mine"], progress=lambda done, total: told.append((done, total)))
    assert outcome.passed
    assert told == [(0, 1)]
    assert [row["result"] for row in outcome.rows()] == ["passed"] * 5
    assert list(outcome.remarks()) == ["5 passed, 0 failed"]


def test_problems_are_rows_and_make_it_fail(settings: Config) -> None:
    """A file of samples that cannot be read fails, and is not counted among the rules without samples."""
    samples_path(Path("rules/mine.yml")).write_text("cases: 5\n")
    outcome = try_chosen(settings, ["mine"])
    assert not outcome.passed
    assert not outcome.untested
    (row,) = outcome.rows()
    assert (row["result"], row["rule"]) == ("failed", "mine")
    assert list(outcome.remarks()) == ["nothing was tested"]


def test_nothing_is_no_success() -> None:
    """An outcome without results has not passed."""
    assert not Outcome().passed
