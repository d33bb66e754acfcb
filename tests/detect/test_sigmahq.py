"""The public rules of SigmaHQ: none is left out silently (test_ruleset: all load, and quickly)."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.detect.ruleset import Ruleset, load_rules

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def public(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ruleset:
    """The rules, compiled anew."""
    return load_rules([data_folder / "sigma" / "rules"], cache=tmp_path_factory.mktemp("cache"))


def test_every_file_is_a_rule(public: Ruleset, data_folder: Path) -> None:
    """Without one error, and without one file that gave nothing."""
    files = {str(path) for path in (data_folder / "sigma" / "rules").rglob("*.yml")}
    assert len(files) > 3000
    assert [str(problem) for problem in public.errors] == []
    assert {rule.path for rule in public.rules} == files


def test_what_cannot_be_decided_says_why(public: Ruleset) -> None:
    """A placeholder that nobody defines is the only reason, and each such rule names it."""
    assert 0 < len(public.undecidable) < 10
    for rule in public.undecidable:
        assert "nobody defines the placeholder %" in rule.undecidable


def test_every_rule_can_run_or_says_why_not(public: Ruleset) -> None:
    """Ready, blind with the log source that is not collected, or undecidable: there is no fourth state."""
    for rule in public.rules:
        assert rule.runnable or rule.undecidable or rule.correlation is not None
        assert not rule.blind or str(rule.logsource) in rule.blind
