"""`soc exception` as analysts and scripts use it, in processes and terminals of its own."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pexpect
import pytest

from soc import config, yamlio
from soc.detect.ruleset import ruleset_for
from soc.detect.sweep import Start, sweep
from soc.respond import alerts, audit
from soc.store.contract import Store
from tests.detect import rules
from tests.detect.exceptions.world import RULE
from tests.detect.world import append, event, open_at
from tests.harness import Result, soc

HOSTILE = "GET /\x1b]0;owned\x07\x1b[31m\u202ecod.exe \r\n HTTP/1.1"
FOLDER = "my-rules/exceptions"


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with a configuration, a rule of its own, and three alerts of it: 3 hits on each host."""
    (tmp_path / "soc.yml").write_text("store: {target: ./store}\ncontent: {rules: [my-rules]}\n")
    (tmp_path / "my-rules").mkdir()
    text = rules.text(
        "q:\n  url.query|contains: cmd=\ncondition: q",
        title="Web shell",
        id=RULE,
        logsource="{category: webserver}",
        more="name: web_shell\n",
    )
    (tmp_path / "my-rules" / "web_shell.yml").write_text(text)
    recent = datetime.now(UTC) - timedelta(days=2)
    events = {
        f"e{i}": event(0, host=f"web0{i % 3}", source__ip=f"192.0.2.{i}", event__original=HOSTILE)
        for i in range(9)
    }
    for number, one in enumerate(events.values()):
        one["@timestamp"] = (recent + timedelta(seconds=number)).isoformat(timespec="microseconds")[:-6] + "Z"
    with open_at(tmp_path / "store") as store:
        append(store, events)
        sweep(store, ruleset_for(config.load(tmp_path / "soc.yml")).rules, start=Start())
    return tmp_path


@pytest.fixture
def store(world: Path) -> Iterator[Store]:
    """The store of the world, open in the test."""
    with open_at(world / "store") as opened:
        yield opened


def run(world: Path, *args: object, **options: Any) -> Result:
    """Run `soc exception …` in the world's folder."""
    return soc("exception", *args, cwd=world, **options)


GIVEN = ("--rule", "web_shell", "--expires", "30d", "--reason", "Own scanner")


def alert_of(store: Store, host: str) -> str:
    """The alert on a host."""
    return next(v.id for v in alerts.list_alerts(store) if v.body["entity"] == host)


class TestAdd:
    def test_it_shows_before_it_saves(self, world: Path, store: Store) -> None:
        """Hits, alerts, samples; without a terminal a question is exit 2, and nothing is saved."""
        result = run(world, "add", *GIVEN, "--where", "host.name=web01").failed(2)
        assert "9 hits, it hides 3" in result.out
        assert alert_of(store, "web01") in result.out
        assert "\x1b" not in result.out
        assert "add --yes" in result.err
        assert not (world / FOLDER).exists()

    def test_it_is_a_sigma_filter_of_the_content_folder(self, world: Path, store: Store) -> None:
        """Valid Sigma, with owner, expiry, reason and ticket; the log has an entry; the next sweep counts."""
        made = run(
            world, "add", *GIVEN, "--where", "host.name=web01", "--ticket", "T-1", "--owner", "huong", "--yes"
        ).ok()
        path = world / FOLDER / "web_shell-web01.yml"
        assert made.out.rstrip().endswith(str(path))
        data = yamlio.load(path).data
        assert data["filter"] == {
            "rules": [RULE],
            "selection": {"host.name": "web01"},
            "condition": "not selection",
        }
        assert data["custom_attributes"]["soc.owner"] == "huong"
        assert data["custom_attributes"]["soc.ticket"] == "T-1"
        (entry,) = audit.entries(store)
        assert (entry.action, entry.subject, entry.detail["where"]) == (
            "exception.add",
            data["id"],
            ["host.name=web01"],
        )
        soc("rule", "lint", "my-rules", cwd=world).ok()
        fresh = event(0, host="web01")
        fresh["@timestamp"] = datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
        append(store, {"new": fresh})
        assert "1 hit hidden by exceptions" in soc("sweep", "--once", cwd=world).ok().err
        (row,) = run(world, "list", "--output", "json").ok().json
        assert (row["hidden"], row["state"], row["unused"]) == (1, "active", False)

    def test_a_true_positive_is_hidden_only_with_yes(self, world: Path, store: Store) -> None:
        """No question is asked: it is refused, with the alert's id."""
        id_ = alert_of(store, "web02")
        alerts.apply(store, [id_], alerts.close("true-positive"))
        result = run(world, "add", *GIVEN, "--where", "source.ip=192.0.2.5").failed(2)
        assert f"would have hidden 1 hit of alerts closed as true positive: {id_}" in result.err
        assert not (world / FOLDER).exists()
        dry = run(world, "add", *GIVEN, "--where", "source.ip=192.0.2.5", "--dry-run").ok()
        assert "--yes would be needed" in dry.err
        everything = run(
            world, "add", *GIVEN, "--where", "source.ip=192.0.2.5", "--yes", "--output", "json"
        ).ok()
        assert everything.json["true_positives"] == [id_]
        assert everything.json["saved"] is True

    def test_dry_run_writes_nothing(self, world: Path, store: Store) -> None:
        """Neither file nor entry, with --close-matching too."""
        result = run(world, "add", *GIVEN, "--where", "host.name=web01", "--close-matching", "--dry-run").ok()
        assert "would be closed" in result.out
        assert "soc.expires" in result.out
        assert not (world / FOLDER).exists()
        assert list(audit.entries(store)) == []

    def test_a_person_is_asked(self, world: Path) -> None:
        """The default is No."""
        arguments = ["-m", "soc", "exception", "add", *GIVEN, "--where", "host.name=web01"]
        for answer, saved in (("", False), ("y", True)):
            child = pexpect.spawn(
                sys.executable, arguments, encoding="utf-8", timeout=60, cwd=str(world), env=dict(os.environ)
            )
            child.expect(r"Save it as .*\[y/N\]")
            child.sendline(answer)
            child.expect(pexpect.EOF)
            child.close()
            assert (child.exitstatus == 0) is saved
            assert (world / FOLDER).exists() is saved

    def test_a_name_that_is_taken(self, world: Path) -> None:
        """The name used instead is said, also in a dry run; so is an exception that does the same."""
        same = ("add", *GIVEN, "--where", "host.name=web01", "--name", "scanner")
        assert "already" not in run(world, *same, "--yes").ok().err
        (first,) = run(world, "list", "--output", "json").ok().json
        for more in ("--dry-run", "--yes"):
            said = run(world, *same, more).ok()
            assert "there is an exception scanner already; this one is called scanner-2" in said.err
            assert f"the exception {first['id'][:8]} hides the same hits" in said.err
            assert f"soc exception extend {first['id'][:8]} --expires" in said.err
        other = run(world, "add", *GIVEN, "--where", "host.name=web02", "--name", "scanner", "--dry-run",
                    "--output", "json").ok()  # fmt: skip
        assert (other.json["name"], Path(other.json["path"]).name) == ("scanner-3", "scanner-3.yml")
        assert "hides the same" not in other.err + " ".join(other.json["doubts"])
        run(world, "end", "scanner", "--reason", "x").ok()
        run(world, "end", "scanner-2", "--reason", "x").ok()
        assert "hides the same" not in run(world, *same, "--dry-run").ok().err

    def test_an_alert_from_before_since(self, world: Path, store: Store) -> None:
        """Nothing of it is counted: a longer --since is named, and with it there is a count."""
        given = ("add", "--alert", alert_of(store, "web01"), *GIVEN[2:], "--where", "host.name=web01")
        said = run(world, *given, "--since", "1d", "--dry-run").ok()
        assert "0 hits" in said.out
        assert "older than --since" in said.err
        named = re.search(r"--since ([23]d) has them", said.err)
        assert named
        said = run(world, *given, "--since", named[1], "--dry-run").ok()
        assert "it hides 3" in said.out
        assert "older than" not in said.err

    def test_values_of_an_alert_are_offered(self, world: Path, store: Store) -> None:
        """First its entity; as commands to copy, or to choose from at a terminal."""
        id_ = alert_of(store, "web01")
        result = run(world, "add", "--alert", id_).failed(2)
        assert "--where host.name=web01" in result.out
        assert "--where is missing" in result.err
        rows = run(world, "add", "--alert", id_, "--output", "json").failed(2).json
        assert (rows[0]["where"], rows[0]["events"]) == ("host.name=web01", "3 of 3")
        child = pexpect.spawn(
            sys.executable,
            ["-m", "soc", "exception", "add", "--alert", id_, "--expires", "1d", "--reason", "x", "--yes"],
            encoding="utf-8",
            timeout=60,
            cwd=str(world),
            env=dict(os.environ),
        )
        child.expect("Numbers of the conditions")
        child.sendline("1")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        assert (world / FOLDER / "web_shell-web01.yml").exists()

    def test_close_matching(self, world: Path, store: Store) -> None:
        """Wholly covered alerts are closed with the exception's id; of others it says why not."""
        result = run(
            world, "add", *GIVEN, "--where", "source.ip:(192.0.2.0 or 192.0.2.3 or 192.0.2.6 or 192.0.2.1)",
            "--close-matching", "--yes",
        ).ok()  # fmt: skip
        assert "open alerts: 1 wholly covered, 1 partly covered, 1 not covered" in result.err
        assert f"{alert_of(store, 'web01')} stays open: 1 covered, 2 hits not covered" in result.err
        view = alerts.get(store, alert_of(store, "web00"))
        id_ = yamlio.load(next((world / FOLDER).glob("*.yml"))).data["id"]
        assert (view.status, view.work["reason"]) == ("closed", "benign")
        assert id_ in view.work["notes"][0]["text"]

    def test_close_matching_as_data(self, world: Path, store: Store) -> None:
        """Per alert, what became of it."""
        found = run(
            world, "add", *GIVEN, "--where", "url.query|contains=cmd", "--close-matching", "--close-as",
            "false-positive", "--yes", "--output", "json",
        ).ok().json  # fmt: skip
        assert {row["result"] for row in found["closed"]} == {"closed"}
        assert len(found["coverage"]["wholly"]) == 3
        # the rule wants `cmd=`, so whatever the events this hides each of its hits, not just these nine
        assert found["doubts"] == ["it hides every hit of Web shell; to switch a rule off, use selection.yml"]
        assert {v.work["reason"] for v in alerts.list_alerts(store)} == {"false-positive"}

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["--where", "a.b=c"], "say --rule or --alert"),
            (["--rule", "x", "--alert", "A-1", "--where", "a.b=c"], "say --rule or --alert"),
            (["--rule", "web_shell", "--where", "a.b=c"], "--expires is missing"),
            (["--rule", "web_shell", "--where", "a.b=c", "--expires", "30d"], "--reason is missing"),
            ([*GIVEN], "--where is missing"),
            (["--rule", "web_shel", *GIVEN[2:], "--where", "a.b=c"], "did you mean web_shell"),
            (
                ["--rule", "web_shell", "--expires", "2020-01-01", "--reason", "x", "--where", "a=b"],
                "is past",
            ),
            (
                ["--rule", "web_shell", "--expires", "9000d", "--reason", "x", "--where", "a=b"],
                "at most 1095",
            ),
            (["--rule", "web_shell", "--expires", "soon", "--reason", "x", "--where", "a=b"], "not a time"),
            (["--rule", "web_shell", "--expires", "soon", "--reason", "x", "--where", "a=b"], "until when"),
            ([*GIVEN, "--where", "a.b|fuzzy=c"], "unknown modifier"),
            ([*GIVEN, "--where", "a.b|re=(("], "--where: "),
            ([*GIVEN, "--where", "a.b|cidr=10"], "--where a.b"),
            ([*GIVEN, "--where", "a.b=c", "--close-as", "duplicate"], "benign, false-positive"),
            (["--alert", "A-0000", *GIVEN[2:], "--where", "a.b=c"], "there is no alert"),
        ],
    )
    def test_what_is_wrong_is_said(self, args: list[str], message: str, world: Path) -> None:
        """Exit 2, a sentence, and nothing written."""
        said = run(world, "add", *args).failed(2).err
        assert message in said
        assert "the exception:" not in said  # a place in a text that was never saved
        assert not (world / FOLDER).exists()

    def test_without_a_content_folder(self, world: Path) -> None:
        """It says what to write into which file."""
        (world / "soc.yml").write_text("store: {target: ./store}\n")
        result = run(world, "add", "--rule", "web_log4shell", *GIVEN[2:], "--where", "a.b=c").failed(2)
        assert "no content folder of your own" in result.err
        assert "content: {rules: [my-rules]}" in result.err

    def test_without_a_store(self, world: Path) -> None:
        """There is nothing to look at, and no log to write into."""
        result = run(world, "add", *GIVEN, "--where", "a.b=c", "--store", world / "none")
        assert result.code == 1
        assert "Traceback" not in result.err

    def test_odd_conditions_warn(self, world: Path) -> None:
        """A field that is none, a value that nothing has; hostile text is shown, not obeyed."""
        result = run(world, "add", *GIVEN, "--where", "host.nam=\x1b[31mweb*", "--dry-run").ok()
        assert "no event may ever have the field host.nam" in result.err
        assert "it hides nothing of that time" in result.err
        assert "\x1b[31m" not in result.err
        made = yamlio.parse(result.out[result.out.index("title:") :], "x").data
        assert made["filter"]["selection"] == {"host.nam": "\x1b[31mweb\\*"}


@pytest.fixture
def exception(world: Path) -> Path:
    """A saved exception."""
    run(world, "add", *GIVEN, "--where", "host.name=web01", "--name", "scanner", "--yes").ok()
    return world / FOLDER / "scanner.yml"


class TestLater:
    def test_list(self, world: Path, exception: Path) -> None:
        """Who, until when, what it hid; filters; the report in a line. It fits 80 columns."""
        result = run(world, "list", env={"COLUMNS": "80"}).ok()
        assert "scanner" in result.out
        assert "1 exception: 0 fired, 1 never used, 0 expired" in result.err
        assert all(len(line) <= 80 for line in result.out.splitlines())
        assert soc("exceptions", cwd=world, env={"COLUMNS": "80"}).ok().out == result.out
        for args, number in (
            (["--expiring", "14d"], 0),
            (["--expiring", "31d"], 1),
            (["--expired"], 0),
            (["--unused"], 1),
            (["--rule", "web_shell"], 1),
            (["--rule", "web_log4shell"], 0),
        ):
            assert len(run(world, "list", *args, "--output", "jsonl").ok().jsonl) == number, args
        assert exception.exists()
        assert "there is no rule" in run(world, "list", "--rule", "none").failed(2).err

    def test_show(self, world: Path, exception: Path) -> None:
        """By name or the beginning of its id."""
        id_ = yamlio.load(exception).data["id"]
        out = run(world, "show", "scanner").ok().out
        assert "made it, until" in out
        assert "Own scanner" in out
        found = run(world, "show", id_[:6], "--output", "json").ok().json
        assert (found["id"], found["hidden"], found["days"]) == (id_, 0, {})
        assert "did you mean scanner" in run(world, "show", "scaner").failed(2).err

    def test_an_alert_tells_of_it(self, world: Path, store: Store, exception: Path) -> None:
        """The page of an alert leads to exceptions, and names those that its rule has got since."""
        id_ = alert_of(store, "web01")
        out = soc("alert", "show", id_, cwd=world).ok().out
        assert f"soc exception add --alert {id_}" in out
        assert "Exceptions of this rule since" in out
        assert "Own scanner (soc exception show scanner)" in out.replace("\n", " ").replace("  ", " ")
        found = soc("alert", "show", id_, "--output", "json", cwd=world).ok().json
        assert [one["name"] for one in found["exceptions_since"]] == [exception.stem]

    def test_hostile_files(self, world: Path) -> None:
        """What a file says, and what it is called, is shown and never obeyed."""
        text = (
            f'title: "x\\e[31m\\u202e"\nid: 4f1c6a1e-0000-4000-8000-00000000000e\n'
            f"logsource: {{category: webserver}}\nfilter:\n  rules: [{RULE}]\n"
            '  selection: {user.name: "\\e]0;owned\\a"}\n  condition: not selection\n'
            'custom_attributes: {soc.owner: "\\e[2J", soc.reason: "a\\nb\\e[1m"}\n'
        )
        (world / FOLDER).mkdir()
        (world / FOLDER / "$(id) x.yml").write_text(text)
        for args in (["list"], ["show", "$(id) x"], ["end", "$(id) x", "--reason", "y", "--dry-run"]):
            result = run(world, *args).ok()
            assert "\x1b" not in result.out + result.err
        problem = soc("rule", "lint", "my-rules", cwd=world).ok()
        assert "soc exception extend '$(id) x' --expires" in problem.out
        run(world, "extend", "$(id) x", "--expires", "9d", "--reason", "y").ok()
        assert "exception_endless" not in soc("rule", "lint", "my-rules", cwd=world).ok().out

    def test_extend_and_end(self, world: Path, store: Store, exception: Path) -> None:
        """Who did it and why is kept in the file and in the log; nothing is ever removed."""
        first = yamlio.load(exception).data
        assert "later" in run(world, "extend", "scanner", "--expires", "2d", "--reason", "x").failed(2).err
        assert "--reason" in run(world, "extend", "scanner", "--expires", "60d").failed(2).err
        run(world, "extend", "scanner", "--expires", "60d", "--reason", "Until June", "--dry-run").ok()
        assert yamlio.load(exception).data == first
        run(world, "extend", "scanner", "--expires", "60d", "--reason", "Until June").ok()
        run(world, "end", "scanner", "--reason", "Gone").ok()
        last = yamlio.load(exception).data
        said = last["custom_attributes"]
        assert [(h["action"], h.get("reason")) for h in said["soc.history"]] == [
            ("add", None),
            ("extend", "Until June"),
            ("end", "Gone"),
        ]
        assert said["soc.expires"] <= datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert {**last, "custom_attributes": 0} == {**first, "custom_attributes": 0}
        actions = [entry.action for entry in audit.entries(store)]
        assert actions == ["exception.add", "exception.extend", "exception.end"]
        assert "has expired already" in run(world, "end", "scanner", "--reason", "x").failed(2).err
        assert len(run(world, "list", "--expired", "--output", "jsonl").ok().jsonl) == 1
        again = run(world, "extend", "scanner", "--expires", "9d", "--reason", "Back").ok()
        assert "it had expired" in again.err

    def test_what_a_colleague_changed_is_noticed(self, world: Path, exception: Path) -> None:
        """Who has looked at an exception is told when it is another by the time they act: exit 3."""
        run(world, "show", "scanner").ok()
        theirs = exception.read_text().replace("Own scanner", "Their scanner")
        exception.write_text(theirs)
        child = pexpect.spawn(
            sys.executable,
            ["-m", "soc", "exception", "end", "scanner", "--reason", "x"],
            encoding="utf-8",
            timeout=60,
            cwd=str(world),
            env=dict(os.environ),
        )
        child.expect("was changed since you looked at it")
        child.expect(pexpect.EOF)
        child.close()
        assert (child.exitstatus, exception.read_text()) == (3, theirs)

    def test_a_file_that_cannot_be_changed(self, world: Path, exception: Path) -> None:
        """A sentence with the place, and the log says that it was not done."""
        text = exception.read_text()
        exception.write_text("{" + ", ".join(f"{k}: {v}" for k, v in _flow(text).items()) + "}\n")
        result = run(world, "end", "scanner", "--reason", "x").failed(1)
        assert f"{exception}:1" in result.err
        assert "by hand" in result.err


def _flow(text: str) -> dict[str, str]:
    import json

    return {key: json.dumps(value) for key, value in yamlio.parse(text, "x").data.items()}
