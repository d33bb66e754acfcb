"""The detection engineer's questions, asked as a program: explain, coverage, health, diff."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soc.store.contract import Store
from tests.detect.world import append, event, open_at
from tests.harness import soc

RULE = """\
title: A command in a query
id: 11111111-1111-4111-8111-111111111111
status: test
level: high
description: A request that carries a command.
tags: [attack.execution, attack.t1059.004]
falsepositives: [none]
logsource: {category: webserver}
detection:
  sel: {url.query|contains: 'cmd='}
  condition: sel
"""
LOG = (
    "Mar  2 02:11:37 web01 sshd[20114]: Accepted password for an from 203.0.113.55 port 51122 ssh2\n"
    "Mar  2 02:11:38 web01 sshd[20114]: Accepted password for root from 203.0.113.55 port 51122 ssh2\n"
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a configuration, a rule and a log."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shell.yml").write_text(RULE)
    (tmp_path / "soc.yml").write_text("content: {rules: [rules]}\n")
    (tmp_path / "auth.log").write_text(LOG)
    return tmp_path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An embedded store, open in the test."""
    with open_at(tmp_path / "store") as opened:
        yield opened


class TestExplain:
    def test_a_record_of_a_file(self, place: Path) -> None:
        """Why did my rule not match this event? Each part with its verdict and the value it saw."""
        shown = soc("rule", "explain", "ssh_root_login", "auth.log:1", cwd=place, env={"COLUMNS": "80"}).ok()
        assert shown.out.startswith("Root signed in over SSH does not fire on auth.log:1")
        assert "user.name" in shown.out
        whole = soc("rule", "explain", "ssh_root_login", "auth.log", "--output", "json", cwd=place).ok().json
        assert [one["verdict"] for one in whole] == ["false", "true"]
        assert whole[0]["rule"]["title"] == "Root signed in over SSH"
        one = soc("rule", "explain", "ssh_root_login", "auth.log:2", "--output", "json", cwd=place).ok().json
        assert one["steps"][0]["seen"] == ["event.dataset: sshd.auth", "process.name: sshd"]

    def test_standard_input(self, place: Path) -> None:
        """`-` is what a pipe brings."""
        shown = soc("rule", "explain", "ssh_root_login", "-", "--output", "jsonl", cwd=place, stdin=LOG).ok()
        assert [one["verdict"] for one in shown.jsonl] == ["false", "true"]

    def test_the_version_that_raised_the_alert(self, place: Path, store: Store) -> None:
        """The rule was changed since: the alert is explained by the text that raised it, and that is said."""
        append(store, {"e1": event(1, user_agent__original="\x1b[31mred\x1b[0m")})
        sweep = ("sweep", "--once", "--from", "beginning", "--store", store.name)
        soc(*sweep, cwd=place).ok()
        (alert,) = soc("alert", "list", "--store", store.name, "--output", "jsonl", cwd=place).ok().jsonl
        (place / "rules" / "shell.yml").write_text(RULE.replace("cmd=", "exec="))

        def told(what: str) -> dict[str, Any]:
            run = soc("rule", "explain", "shell", what, "--store", store.name, "--output", "json", cwd=place)
            found: dict[str, Any] = run.ok().json
            return found

        by_alert, by_event = told(alert["id"]), told("e1")
        assert (by_alert["verdict"], by_event["verdict"]) == ("true", "false")
        assert by_alert["steps"][1]["parts"][0]["parts"][0]["parts"][0]["label"] == "cmd="
        assert any("raised the alert" in note for note in by_alert["notes"])
        assert by_alert["rule"]["version"] != by_event["rule"]["version"]

    def test_what_is_neither_event_nor_file(self, place: Path, store: Store) -> None:
        """It says what an event may be, and how to find one."""
        append(store, {"e1": event(1)})
        failed = soc("rule", "explain", "shell", "nonsense", "--store", store.name, cwd=place).failed(2)
        assert "no alert, no event in the store, and no file" in failed.err
        assert "soc search" in failed.err
        soc("rule", "explain", "no_such_rule", "auth.log", cwd=place).failed(2)
        (place / "empty.log").write_text("")
        soc("rule", "explain", "shell", "empty.log", cwd=place).failed(2)


class TestHealth:
    def test_before_and_after_a_sweep(self, place: Path, store: Store) -> None:
        """Nothing swept is a failure; then each rule has its state, and a pipeline can fail on one."""
        append(store, {f"e{n}": event(n, host=f"web{n}") for n in range(8)})
        before = soc("rule", "health", "--store", store.name, cwd=place).failed(1)
        assert "no sweep has run on this store yet" in before.err
        soc("sweep", "--once", "--from", "beginning", "--store", store.name, cwd=place).ok()
        rows = soc("rule", "health", "--store", store.name, "--output", "json", cwd=place).ok().json
        (mine,) = [row for row in rows if row["name"] == "shell"]
        assert (mine["matched"], mine["seen"], mine["alerts"], mine["health"]) == (8, 8, 8, "noisy")
        failed = soc("rule", "health", "--store", store.name, "--fail-on", "noisy", cwd=place).failed(1)
        assert "1 rule is noisy: shell" in failed.err
        soc("rule", "health", "shell", "--store", store.name, "--fail-on", "blind", cwd=place).ok()
        soc("rule", "health", "--store", store.name, "--fail-on", "fine", cwd=place).failed(2)
        table = soc(
            "rule", "health", "--health", "noisy", "--measure", "5", "--store", store.name, cwd=place
        ).ok()
        assert "shell" in table.out


class TestCoverage:
    def test_table_json_and_layer(self, place: Path, store: Store) -> None:
        """By tactic for people, whole for machines, and a file for the Navigator."""
        arguments = ("rule", "coverage", "shell", "--no-tests", "--store", store.name)
        append(store, {"e1": event(1)})
        soc("sweep", "--once", "--from", "beginning", "--store", store.name, cwd=place).ok()
        told = soc(*arguments, "--layer", "layer.json", "--output", "json", cwd=place).ok()
        assert told.json["techniques"][0]["technique"] == "T1059.004"
        assert told.json["techniques"][0]["state"] == "seen"
        made = json.loads((place / "layer.json").read_text())
        assert made["versions"]["layer"] == "4.5"
        assert [t["techniqueID"] for t in made["techniques"]] == ["T1059.004"]
        table = soc(*arguments, cwd=place).ok()
        assert "execution" in table.out
        assert "no rule" in table.out
        rows = soc(*arguments, "--by", "technique", "--output", "jsonl", cwd=place).ok().jsonl
        assert [row["technique"] for row in rows] == ["T1059.004"]

    def test_samples_are_run(self, place: Path) -> None:
        """Fired in tests means that a sample fired just now."""
        told = soc("rule", "coverage", "ssh_root_login", "--output", "json", cwd=place).ok().json
        assert all(row["fired"] == 1 for row in told["techniques"])

    def test_no_technique_is_a_failure(self, place: Path) -> None:
        """Nothing covered is not success."""
        (place / "rules" / "shell.yml").write_text(RULE.replace(", attack.t1059.004", ""))
        failed = soc("rule", "coverage", "rules/shell.yml", "--no-tests", cwd=place).failed(1)
        assert "no rule names a technique" in failed.err


class TestDiff:
    def test_exit_codes_that_a_pipeline_can_use(self, place: Path) -> None:
        """A difference, none, and nothing to look at."""
        (place / "old.yml").write_text(SSH.replace("NAME", "root"))
        (place / "new.yml").write_text(SSH.replace("NAME", "an"))
        both = ("rule", "diff", "old.yml", "new.yml", "--events", "auth.log")
        rows = soc(*both, "--output", "json", cwd=place).ok().json
        assert rows[0]["only_before_at"] == ["auth.log:2"]
        assert rows[0]["only_after_at"] == ["auth.log:1"]
        table = soc(*both, "--exit-code", cwd=place).failed(1)
        assert "2 events; rules: 1 changed, 0 added, 0 removed" in table.err
        soc("rule", "diff", "old.yml", "old.yml", "--events", "auth.log", "--exit-code", cwd=place).ok()
        (place / "empty.log").write_text("")
        soc("rule", "diff", "old.yml", "new.yml", "--events", "empty.log", cwd=place).failed(1)
        soc("rule", "diff", "old.yml", "new.yml", "--events", "none.log", cwd=place).failed(1)


SSH = """\
title: A sign-in
id: 22222222-2222-4222-8222-222222222222
status: test
level: high
logsource: {product: linux, service: sshd}
detection:
  sel: {user.name: NAME}
  condition: sel
"""
