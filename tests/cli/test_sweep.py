"""`soc sweep` as an operator runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from soc.store.contract import Store
from tests.detect.world import append, counts, event, open_at
from tests.harness import Result, soc

RULE = """\
title: A command in a query
id: {id}
status: test
level: high
description: A request that carries a command.
logsource: {{category: webserver}}
detection:
  sel: {{url.query|contains: '{text}'}}
  condition: sel
"""
ID = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A folder with one rule."""
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "shell.yml").write_text(RULE.format(id=ID, text="cmd="))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An embedded store, open in the test."""
    with open_at(tmp_path / "store") as opened:
        yield opened


def run(store: Store, rules: Path, *args: object, **options: Any) -> Result:
    """Run `soc sweep` with the rules of the test."""
    return soc("sweep", "--store", store.name, "--rules", rules, *args, **options)


def fill(store: Store, number: int, start: int = 0) -> None:
    """So many events, each of which the rule fires on, on three hosts."""
    append(store, {f"e{i}": event(i, host=f"web0{i % 3}") for i in range(start, start + number)})


class TestOnce:
    def test_first_sweep_tells_a_newcomer_what_to_do(self, store: Store, rules: Path) -> None:
        """It starts from now, says how many events that leaves out, and the command to sweep them too."""
        fill(store, 30)
        result = run(store, rules, "--once").ok()
        assert "30 events from before were not looked at" in result.err
        command = result.err.split("To sweep those too: ")[1].splitlines()[0].split()
        assert command[:2] == ["soc", "sweep"]
        again = soc(*command[1:], "--store", store.name).ok()
        assert "30 events, 30 hits, 3 new alerts" in again.err
        assert "soc alert list" in again.err
        assert counts(store) == {"web00": 10, "web01": 10, "web02": 10}

    def test_summary_for_programs(self, store: Store, rules: Path) -> None:
        """One object with all figures; -q says nothing else."""
        run(store, rules, "--once", "-q").ok()
        fill(store, 6)
        result = run(store, rules, "--once", "--output", "json", "-q").ok()
        assert (result.json["events"], result.json["hits"], result.json["alerts_opened"]) == (6, 6, 3)
        assert result.json["rules"] == {ID: {"matched": 6, "undecided": 0}}
        assert result.err == ""

    def test_dry_run(self, store: Store, rules: Path) -> None:
        """Says what would be, raises nothing, keeps no place."""
        fill(store, 6)
        assert (
            "would be: 6 events" in run(store, rules, "--once", "--from", "beginning", "--dry-run").ok().err
        )
        assert list(store.find("alert")) == []
        assert list(store.find("position")) == []

    def test_broken_rules_stop_it_with_all_problems(self, store: Store, rules: Path) -> None:
        """Path and line of each; with --keep-going the rest runs, and the exit code says so."""
        (rules / "broken.yml").write_text("title: x\ndetection: [\n")
        (rules / "worse.yml").write_text("title: no detection\nlogsource: {category: webserver}\n")
        result = run(store, rules, "--once").failed(1)
        assert "broken.yml:" in result.err
        assert "worse.yml:" in result.err
        fill(store, 3)
        going = run(store, rules, "--once", "--keep-going", "--from", "beginning").failed(5)
        assert "broken.yml:" in going.err
        assert "3 hits" in going.err

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            ((), "--once or --every"),
            (("--once", "--every", "5s"), "--once or --every"),
            (("--every", "soon"), "length of time"),
            (("--every", "10ms"), "at least 1s"),
            (("--once", "--from", "yesteryear"), "not a time"),
            (("--once", "--rules", "/nonexistent"), "no such folder"),
        ],
    )
    def test_wrong_use(self, store: Store, rules: Path, args: tuple[str, ...], said: str) -> None:
        """Exit 2, with the way it works."""
        assert said in run(store, rules, *args).failed(2).err

    def test_a_mistyped_store_does_not_look_like_a_quiet_night(self, rules: Path, tmp_path: Path) -> None:
        """No events and no alerts, because there was no store: it says so, once."""
        there = tmp_path / "no-such-store"
        first = soc("sweep", "--store", there, "--rules", rules, "--once").ok()
        assert f"there was no store at {there}" in first.err
        assert "there was no store" not in soc("sweep", "--store", there, "--rules", rules, "--once").ok().err

    def test_rules_that_cannot_be_decided_are_told_of(self, store: Store, rules: Path) -> None:
        """A placeholder that nobody defines: such a rule finds nothing, and that is said."""
        (rules / "lists.yml").write_text(
            "title: Ours\nid: 5f0c3c1e-6d0b-4d7e-9a1b-0b7f0c9d2e10\nlogsource: {category: webserver}\n"
            "detection: {a: {user.name|expand: '%nobody_defines_it%'}, condition: a}\n"
        )
        said = run(store, rules, "--once").ok().err
        assert "1 rule cannot be decided and found nothing: soc rule list --state undecidable" in said

    def test_empty_folder_is_not_a_success(self, store: Store, tmp_path: Path) -> None:
        """Sweeping with no rule at all is a failure."""
        (tmp_path / "none").mkdir()
        assert "no rule" in run(store, tmp_path / "none", "--once").failed(1).err

    @pytest.mark.slow
    def test_other_rules_keep_their_own_place(self, store: Store, rules: Path, tmp_path: Path) -> None:
        """What one set has swept is still new to another."""
        other = tmp_path / "other"
        other.mkdir()
        (other / "r.yml").write_text(RULE.format(id="22222222-2222-4222-8222-222222222222", text="id"))
        run(store, rules, "--once").ok()
        run(store, other, "--once").ok()
        fill(store, 3)
        assert "3 hits" in run(store, rules, "--once").ok().err
        assert "3 hits" in run(store, other, "--once").ok().err

    def test_many_alerts_want_a_yes(self, store: Store, rules: Path) -> None:
        """Without a terminal that is exit 2; --yes answers."""
        append(store, {f"e{i}": event(i, host=f"h{i}") for i in range(80)})
        result = run(store, rules, "--once", "--from", "beginning").failed(2)
        assert "about 80 alerts" in result.err
        assert "--yes" in result.err
        assert "80 new alerts" in run(store, rules, "--once", "--from", "beginning", "--yes").ok().err

    def test_question_at_a_terminal(self, store: Store, rules: Path) -> None:
        """The default is No."""
        append(store, {f"e{i}": event(i, host=f"h{i}") for i in range(80)})
        command = ["-m", "soc", "sweep", "--once", "--from", "beginning"]
        child = pexpect.spawn(
            sys.executable,
            [*command, "--store", store.name, "--rules", str(rules)],
            encoding="utf-8",
            timeout=60,
        )
        child.expect(r"Sweep them\? \[y/N\]")
        child.sendline("")
        child.expect("nothing was changed")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 2
        assert list(store.find("alert")) == []

    @pytest.mark.slow
    def test_register_names_the_system(self, store: Store, rules: Path, tmp_path: Path) -> None:
        """An alert on a listed host knows its system; an unlisted host has none."""
        (tmp_path / "register.yml").write_text(
            "systems: [{name: portal, level: 4, owner: Web team}]\n"
            "assets: [{host: web01, system: portal, criticality: high}]\n"
        )
        (tmp_path / "soc.yml").write_text("register: register.yml\n")
        fill(store, 3)
        run(store, rules, "--once", "--from", "beginning", "--config", tmp_path / "soc.yml").ok()
        rows = soc("alert", "list", "--store", store.name, "--output", "jsonl").ok().jsonl
        assert {r["entity"]: r["soc.system_level"] for r in rows} == {
            "web00": None,
            "web01": 4,
            "web02": None,
        }
        page = soc("alert", "show", next(r["id"] for r in rows if r["soc.system"]), "--store", store.name)
        assert "portal (level 4, owner Web team)" in page.ok().out


class TestEvery:
    def start(self, store: Store, rules: Path) -> subprocess.Popen[str]:
        """A sweep every second."""
        command = [sys.executable, "-m", "soc", "sweep", "--every", "1s", "--rules", str(rules)]
        return subprocess.Popen([*command, "--store", store.name], stderr=subprocess.PIPE, text=True)

    def wait(self, store: Store, number: int) -> None:
        """Until so many hits are counted."""
        end = time.monotonic() + 30
        while sum(counts(store).values()) != number:
            assert time.monotonic() < end, counts(store)
            time.sleep(0.1)

    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_sweeps_until_asked_to_end(self, store: Store, rules: Path, number: int) -> None:
        """New events are swept as they come; a signal ends it with exit 0."""
        run(store, rules, "--once").ok()
        process = self.start(store, rules)
        fill(store, 5)
        self.wait(store, 5)
        fill(store, 5, start=5)
        self.wait(store, 10)
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0, said
        assert "Traceback" not in said
        assert "ended" in said

    @pytest.mark.slow
    def test_takes_up_changed_rules_and_survives_broken_ones(self, store: Store, rules: Path) -> None:
        """A new rule works without a restart; a broken one is told, and those from before go on."""
        run(store, rules, "--once").ok()
        process = self.start(store, rules)
        fill(store, 1)
        self.wait(store, 1)
        (rules / "more.yml").write_text(RULE.format(id="22222222-2222-4222-8222-222222222222", text="cmd"))
        time.sleep(2.5)
        fill(store, 1, start=1)
        self.wait(store, 3)
        (rules / "broken.yml").write_text("title: [")
        time.sleep(2.5)
        fill(store, 1, start=2)
        self.wait(store, 5)
        process.terminate()
        _, said = process.communicate(timeout=20)
        assert "going on with 2" in said
        assert "broken.yml" in said
        assert "going on with those from before" in said


class TestLooking:
    @pytest.mark.slow
    def test_status(self, store: Store, rules: Path) -> None:
        """Nothing yet, then where it stands."""
        store.init()
        assert "soc sweep --once" in soc("sweep", "status", "--store", store.name).ok().err
        run(store, rules, "--once").ok()
        fill(store, 4)
        (row,) = soc("sweep", "status", "--store", store.name, "--output", "json").ok().json
        assert (row["rules"], row["waiting"]) == (1, 4)
        table = soc("sweep", "status", "--store", store.name, env={"COLUMNS": "80"}).ok()
        assert "…" not in table.out
        assert "WAITING" in table.out
        assert "times in your zone" in table.err

    def test_from_the_future(self, store: Store, rules: Path) -> None:
        """A year that was mistyped is refused; it would sweep nothing and say so."""
        assert "in the future" in run(store, rules, "--once", "--from", "3000-01-01").failed(2).err

    @pytest.mark.slow
    def test_ledger(self, store: Store, rules: Path) -> None:
        """What each rule has seen; earlier versions with --all."""
        run(store, rules, "--once").ok()
        fill(store, 4)
        run(store, rules, "--once").ok()
        (rules / "shell.yml").write_text(RULE.format(id=ID, text="cmd=i"))
        fill(store, 2, start=4)
        run(store, rules, "--once").ok()
        every = soc("sweep", "ledger", "--all", "--store", store.name, "--output", "json").ok().json
        assert sorted((r["seen"], r["matched"]) for r in every) == [(2, 2), (4, 4)]
        table = soc("sweep", "ledger", "--rule", "COMMAND", "--store", store.name).ok().out
        assert "A command in a query" in table
        assert soc("sweep", "ledger", "--rule", "none such", "--store", store.name).ok().out == ""


@pytest.mark.slow
def test_three_at_once_share(store: Store, rules: Path) -> None:
    """Who leaves something to another says so with exit 5, and nothing is counted twice."""
    run(store, rules, "--once").ok()
    fill(store, 20_000)
    command = [sys.executable, "-m", "soc", "sweep", "--once", "--rules", str(rules), "--store", store.name]
    processes = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) for _ in range(3)
    ]
    said = [p.communicate(timeout=100)[1] for p in processes]
    codes = [p.returncode for p in processes]
    while 5 in codes:
        at = codes.index(5)
        assert "another sweep is at work on it" in said[at]
        codes[at] = 0
    assert codes == [0, 0, 0], said
    run(store, rules, "--once").ok()
    assert sum(counts(store).values()) == 20_000


class TestBackfill:
    def late(self, store: Store, rules: Path) -> None:
        """A store that was swept, and a rule that comes afterwards."""
        run(store, rules, "--once").ok()
        fill(store, 6)
        run(store, rules, "--once").ok()
        (rules / "late.yml").write_text(
            RULE.format(id=ID.replace("1", "2"), text="id").replace("A command", "Another")
        )

    def test_from_dry_run_to_alerts(self, store: Store, rules: Path) -> None:
        """It says what would be, then does it, then has nothing more to do; alerts are marked."""
        self.late(store, rules)
        command = ("sweep", "backfill", "late", "--since", "beginning", "--rules", rules)
        said = soc(*command, "--dry-run", "--store", store.name).ok().err
        assert "6 events to read; about 3 alerts to expect" in said
        assert "would be: 6 events, 6 hits, 3 new alerts" in said
        assert len(list(store.find("alert"))) == 3
        assert "soc alert list backfill:true" in soc(*command, "--store", store.name).ok().err
        listed = soc("alert", "list", "backfill:true", "--store", store.name, "--output", "json").ok().json
        assert {row["title"] for row in listed} == {"Another in a query"}
        page = soc("alert", "show", listed[0]["id"], "--store", store.name).ok().out
        assert "opened for the past by soc sweep backfill" in page
        again = soc(*command, "--store", store.name, "--output", "json", "-q").ok().json
        assert (again["events"], again["alerts_opened"]) == (0, 0)

    def test_ledger_shows_what_is_missing_and_how_to_fill_it(self, store: Store, rules: Path) -> None:
        """UNSEEN, and the command."""
        self.late(store, rules)
        run(store, rules, "--once").ok()
        fill(store, 1, start=90)
        run(store, rules, "--once").ok()
        ledger = ("sweep", "ledger", "--rule", "another", "--store", store.name)
        (row,) = soc(*ledger, "--output", "json").ok().json
        assert (row["seen"], row["unseen"]) == (1, 6)
        command = soc(*ledger).ok().err.split("to fill in what was not seen: soc ")[1].split()
        assert command[:2] == ["sweep", "backfill"]
        soc(*(c for c in command if c != "--dry-run"), "--rules", rules, "--store", store.name).ok()
        (row,) = soc(*ledger, "--output", "json").ok().json
        assert (row["seen"], row["unseen"]) == (7, 0)

    def test_many_alerts_are_asked_for(self, store: Store, rules: Path) -> None:
        """Without a terminal that is exit 2; --yes agrees."""
        self.late(store, rules)
        append(store, {f"m{i}": event(i, host=f"h{i}") for i in range(60)})
        (rules / "late.yml").rename(rules.parent / "late.yml")
        run(store, rules, "--once").ok()
        (rules.parent / "late.yml").rename(rules / "late.yml")
        command = ("sweep", "backfill", "late", "--gaps", "--rules", rules, "--store", store.name)
        before = len(list(store.find("alert")))
        assert "63 alerts" in soc(*command).failed(2).err
        assert len(list(store.find("alert"))) == before
        soc(*command, "--yes").ok()
        assert len(list(store.find("alert"))) == before + 63

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (("shell",), "--gaps"),
            (("shell", "--gaps", "--since", "7d"), "--gaps"),
            (("shell", "--until", "1d"), "--until goes with --since"),
            (("shell", "--since", "1d", "--until", "2d"), "not before"),
            (("none_such", "--gaps"), "there is no rule"),
            (("shell", "--since", "never"), "never"),
            (("shell", "--since", "3000-01-01"), "in the future"),
        ],
    )
    def test_mistakes(self, store: Store, rules: Path, args: tuple[str, ...], said: str) -> None:
        """Each with its next step."""
        store.init()
        result = soc("sweep", "backfill", *args, "--rules", rules, "--store", store.name).failed(2)
        assert said in result.err
