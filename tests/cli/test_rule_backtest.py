"""`soc rule backtest`, run as a program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness import soc

RULE = """title: Shell in the query
id: 3f6f4f52-65cf-4a53-8a6e-3c8b8b8f1d11
status: experimental
level: high
logsource: {category: webserver}
detection:
  selection: {cs-uri-query|contains: 'cmd='}
  condition: selection
"""
QUERIES = ["cmd=id" if n % 2 else "q=1" for n in range(30)]
LINES = [
    f"192.0.2.{n % 3} - - [0{2 + n // 10}/Mar/2026:07:{n:02d}:09 +0000] "
    f'"GET /?{query} HTTP/1.1" 200 5 "-" "curl/8"\n'
    for n, query in enumerate(QUERIES)
]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A rule, a log, and a store that has collected it."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shell.yml").write_text(RULE)
    (tmp_path / "access.log").write_text("".join(LINES))
    (tmp_path / "soc.yml").write_text(
        "store: store\ncontent: {rules: [rules]}\nminutes_per_alert: 4\nstate: state\n"
        "sources: [{name: web, collector: nginx, paths: [access.log]}]\n"
    )
    soc("collect", "run", "--once", cwd=tmp_path).ok()
    return tmp_path


def test_one_rule_is_a_page_and_many_are_a_table(world: Path) -> None:
    """Days, alerts, entities and minutes; the remarks say how the minutes came about, and the plan."""
    one = soc("rule", "backtest", "shell", "--since", "2026-03-01", cwd=world).ok()
    assert "2026-03-03  5" in one.out
    assert "4 minutes each, minutes_per_alert in soc.yml" in one.err
    assert "30 events" in one.err
    assert "plan" in one.err
    every = soc("rule", "backtest", "--since", "2026-03-01", "--output", "json", cwd=world).ok().json
    mine = next(row for row in every["rules"] if row["title"] == "Shell in the query")
    assert (every["events"], mine["hits"], mine["alerts"]) == (30, 15, 9)
    assert every["minutes"] >= 36
    assert not soc("alert", "list", "--output", "json", cwd=world).ok().json


@pytest.mark.parametrize("plan", ["stream", "candidates"])
def test_both_plans_and_files_give_the_same(world: Path, plan: str) -> None:
    """Forced or not, from a store or from the file itself."""
    told = ("rule", "backtest", "rules/shell.yml", "--output", "json")
    stored = soc(*told, "--since", "beginning", "--plan", plan, cwd=world).ok().json
    files = soc(*told, "--events", "access.log", cwd=world).ok().json
    assert stored["plan"] == plan
    assert stored["events"] == files["events"] == 30
    for row in (stored["rules"][0], files["rules"][0]):
        assert (row["hits"], row["alerts"]) == (15, 9)
    assert json.dumps(stored["rules"][0]["hits_by_day"]) == json.dumps(files["rules"][0]["hits_by_day"])


def test_nothing_to_look_at_is_a_failure(world: Path) -> None:
    """A check that has looked at nothing must not be green."""
    none = soc("rule", "backtest", "shell", "--since", "2026-03-20", "--until", "2026-03-21", cwd=world)
    assert "nothing was tried" in none.failed(1).err
    assert "no such file" in soc("rule", "backtest", "shell", "--events", "nowhere", cwd=world).failed(1).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plan", "both"], "there is no plan 'both'"),
        (["--since", "1d", "--until", "2d"], "no event lies between"),
        (["--since", "soon"], "not a time"),
    ],
)
def test_wrong_options_are_named(world: Path, arguments: list[str], message: str) -> None:
    """Usage errors, before anything is read."""
    assert message in soc("rule", "backtest", "shell", *arguments, cwd=world).failed(2).err
