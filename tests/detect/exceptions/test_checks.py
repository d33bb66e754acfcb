"""Findings about exceptions, each with its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from soc import config
from soc.detect import checks as chosen
from soc.detect.exceptions.checks import check
from soc.errors import Problem
from tests.detect.exceptions.world import RULE, SHELL, exception, load

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def findings(folder: Path, *texts: str, now: datetime = NOW) -> list[Problem]:
    """What is said of exceptions."""
    found = load(folder, *texts)
    return check(found.exemptions, found.rules, now)


def test_a_good_exception_has_none(tmp_path: Path) -> None:
    """Owner, expiry, reason, a rule, something that it hides and something that it does not."""
    assert findings(tmp_path, exception()) == []


@pytest.mark.parametrize(
    ("text", "kinds", "line"),
    [
        (exception(expires=""), ["exception_endless"], 10),
        (exception().replace("soc.owner: huong", "soc.owner: ' '"), ["exception_owner"], 10),
        (exception().replace("  soc.reason: the backup job\n", ""), ["exception_reason"], 10),
        (exception("url.query|contains: cmd="), ["exception_everything"], 5),
        (exception("url.query: '*'"), ["exception_everything"], 5),
        (exception("'@timestamp|exists': false"), ["exception_nothing"], 5),
        (exception(expires="2025-01-01"), ["exception_expired"], 14),
        (exception().replace("{category: test}", "{product: windows}"), ["exception_nowhere"], 3),
        (exception(target="[gone]"), [], 0),
    ],
)
def test_findings(text: str, kinds: Sequence[str], line: int, tmp_path: Path) -> None:
    """Each at its line; that a rule is gone is said by the loader."""
    found = findings(tmp_path, text)
    assert [problem.kind for problem in found] == kinds
    assert [problem.place.line for problem in found] == [line] * len(kinds)


def test_a_field_that_one_of_several_values_needs_is_there(tmp_path: Path) -> None:
    """Whichever of `[a, b*]` it is, there is a name: an exception for all that have one hides everything."""
    rule = SHELL.replace("url.query|contains: cmd=", "user.name: [a, 'b*']")
    assert rule != SHELL
    found = load(tmp_path, exception("user.name|exists: true"), rule=rule)
    assert [one.kind for one in check(found.exemptions, found.rules, NOW)] == ["exception_everything"]


def test_every_finding_is_documented() -> None:
    """The page has the kinds that there are, and no others; `unknown_rule` comes from the loader."""
    root = Path(__file__).parents[3]
    source = (root / "soc" / "detect" / "exceptions" / "checks.py").read_text()
    said = set(re.findall(r'(?:_warning|Problem)\(\s*"([a-z_]+)"', source))
    page = (root / "docs" / "exceptions.md").read_text()
    documented = set(re.findall(r"^\| `([a-z_]+)` \| (?:error|warning)", page, re.MULTILINE))
    assert documented == said | {"unknown_rule"}


def test_an_id_that_stands_twice(tmp_path: Path) -> None:
    """Their counts could not be told apart."""
    (problem,) = findings(tmp_path, exception(), exception("host.name: web02"))
    assert (problem.kind, problem.severity) == ("duplicate_id", "error")


def test_lint_of_single_files(tmp_path: Path) -> None:
    """An exception's rule may stand elsewhere; one that is gone is named."""
    (tmp_path / "soc.yml").write_text("content: {rules: [mine]}\n")
    folder = tmp_path / "mine" / "exceptions"
    folder.mkdir(parents=True)
    (tmp_path / "mine" / "web_shell.yml").write_text(
        SHELL.replace("{category: test}", "{category: webserver}")
    )
    webserver = exception(expires="2999-01-01").replace("{category: test}", "{category: webserver}")
    (folder / "one.yml").write_text(webserver)
    settings = config.load(tmp_path / "soc.yml")
    assert chosen.lint_chosen(settings, [str(folder / "one.yml")]) == (1, [])
    (folder / "one.yml").write_text(webserver.replace("host.name: web01", "url.query|exists: true"))
    _, problems = chosen.lint_chosen(settings, [str(folder / "one.yml")])
    assert [problem.kind for problem in problems] == ["exception_everything"]
    (folder / "one.yml").write_text(webserver.replace(RULE, "4f1c6a1e-0000-4000-8000-000000000000"))
    _, problems = chosen.lint_chosen(settings, [str(folder)])
    assert [problem.kind for problem in problems] == ["unknown_rule"]
