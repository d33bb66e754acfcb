"""`soc alert` as analysts and scripts use it, in processes and terminals of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pexpect
import pytest

from soc.detect.sweep import Start, sweep
from soc.respond import alerts
from soc.store.contract import Store
from tests.detect.world import append, event, open_at, rule
from tests.harness import Result, soc

HOSTILE = "GET /\x1b]0;owned\x07\x1b[31m\u202ecod.exe \r\n HTTP/1.1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with three alerts of high and one of low level."""
    folder = tmp_path / "store"
    with open_at(folder) as store:
        some = {
            f"e{i}": event(i, host=f"web0{i % 3}", event__original=HOSTILE, url__path="/a b/\x1b[2J")
            for i in range(9)
        }
        append(store, some)
        rules = [
            rule("shell", attributes={"soc.playbooks": ["web-shell"]}, falsepositives=("Scanner",)),
            rule("low", level="low", attributes={"soc.group_by": ["source.ip"]}),
        ]
        sweep(store, rules, start=Start())
    return folder


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """The same store, open in the test."""
    with open_at(path) as opened:
        yield opened


def ids_in(store: Store) -> list[str]:
    """The ids of all alerts in the order of the list."""
    return [view.id for view in alerts.list_alerts(store)]


def alert(path: Path, verb: str, *args: object, **options: Any) -> Result:
    """Run `soc alert VERB`."""
    return soc("alert", verb, "--store", path, *args, **options)


def terminal(path: Path, *args: str) -> Any:
    """Run `soc alert …` at a terminal."""
    return pexpect.spawn(
        sys.executable,
        ["-m", "soc", "alert", args[0], "--store", str(path), *args[1:]],
        encoding="utf-8",
        timeout=30,
        dimensions=(30, 160),
        env={**os.environ, "TERM": "xterm-256color"},
    )


class TestList:
    def test_table_and_plural(self, path: Path) -> None:
        """A table for people; `soc alerts` is the same."""
        result = alert(path, "list").ok()
        assert result.out.count("high") == 3
        assert "times in your zone (+00:00)" in result.err
        assert soc("alerts", "--store", path).ok().out == result.out

    def test_json_has_all_fields(self, path: Path) -> None:
        """UTC in data, whatever the zone."""
        rows = alert(path, "list", "--output", "jsonl", env={"TZ": "Asia/Ho_Chi_Minh"}).ok().jsonl
        assert [row["level"] for row in rows] == ["high"] * 3 + ["low"]
        assert rows[0]["first"] == "2026-03-02T07:00:00.000000Z"
        table = alert(path, "list", env={"TZ": "Asia/Ho_Chi_Minh"}).ok().out
        assert "2026-03-02 14:00 " in f"{table} ".replace("\n", " ")

    def test_table_is_bounded_and_says_so(self, tmp_path: Path) -> None:
        """Fifty rows for a person, all for a program or when asked for."""
        with open_at(tmp_path) as store:
            append(store, {f"e{i}": event(i, host=f"h{i:03}") for i in range(60)})
            sweep(store, [rule()], start=Start())
        table = alert(tmp_path, "list").ok()
        assert table.out.count("high") == 50
        assert "10 more alerts" in table.err
        assert alert(tmp_path, "list", "--limit", "0").ok().out.count("high") == 60
        assert len(alert(tmp_path, "list", "--output", "jsonl").ok().jsonl) == 60
        assert len(alert(tmp_path, "list", "--output", "jsonl", "--limit", "7").ok().jsonl) == 7

    def test_columns_that_say_nothing_are_left_out(self, path: Path, store: Store) -> None:
        """Owner and status show once somebody has touched an alert."""
        assert "OWNER" not in alert(path, "list").ok().out
        alerts.apply(store, ids_in(store)[:1], alerts.ack("huong"))
        assert "OWNER" in alert(path, "list").ok().out

    def test_fits_eighty_columns(self, path: Path, store: Store) -> None:
        """Owner, status and time are whole."""
        alerts.apply(store, ids_in(store)[:1], alerts.ack("huong"))
        out = alert(path, "list", env={"COLUMNS": "80"}).ok().out
        assert "…" not in out
        assert " ack " in out
        assert all(len(line) <= 80 for line in out.splitlines())

    def test_query_and_fields(self, path: Path) -> None:
        """A query, and one column of it."""
        result = alert(path, "list", "level:high", "host.name:web01", "--fields", "entity", "--output", "csv")
        assert result.ok().out == "entity\nweb01\n"
        assert "host.name" in alert(path, "list", "--fields", "").failed(2).err

    def test_wrong_query_points_at_the_column(self, path: Path) -> None:
        """Exit 2 and a caret."""
        assert "column" in alert(path, "list", "level:(high").failed(2).err
        assert "is expected" in alert(path, "list", "--status", "opne").failed(2).err

    def test_nothing_found(self, path: Path) -> None:
        """Said on standard error; JSON is an empty list."""
        assert "no alert" in alert(path, "list", "level:critical").ok().err
        assert alert(path, "list", "level:critical", "--output", "json").ok().json == []

    def test_no_store(self, tmp_path: Path) -> None:
        """A store that is not there is not made by looking."""
        result = alert(tmp_path / "none", "list").failed(1)
        assert "store" in result.err
        assert not (tmp_path / "none").exists()

    @pytest.mark.slow
    def test_starts_fast(self, tmp_path: Path) -> None:
        """Two thousand alerts are listed with little work."""
        with open_at(tmp_path / "store") as store:
            append(store, {f"e{i}": event(i / 100, host=f"h{i}") for i in range(2000)})
            from soc.detect.sweep import Sweeper

            sweeper = Sweeper(store, [rule()])
            sweeper._writer.max_opened = 10_000
            sweeper.run(Start())
        best = 9.0
        for _ in range(5):
            before = os.times()
            rows = alert(tmp_path / "store", "list", "--output", "json").ok().json
            after = os.times()
            # of the processor, not of the clock: other tests run beside this one
            best = min(best, after.children_user - before.children_user)
            assert len(rows) == 2000
        assert best < 0.9, f"{best:.2f} s of processor (0.35 s on an idle machine)"


class TestShow:
    def test_page(self, path: Path, store: Store) -> None:
        """What, where, when, why, and what to do next."""
        id_ = ids_in(store)[0]
        out = alert(path, "show", id_.lower()).ok().out
        for part in (
            id_,
            "Rule shell",
            "host.name web0",
            "3 hits",
            "url.query: cmd=id",
            "Scanner",
            "version 0",
        ):
            assert part in out
        assert f"soc playbook run web-shell --alert {id_}" in out
        assert f"soc alert ack {id_}" in out

    def test_hostile_text_is_shown_not_obeyed(self, path: Path, store: Store) -> None:
        """Escapes, bells, line breaks and direction overrides of a log reach no terminal."""
        out = alert(path, "show", ids_in(store)[0]).ok().out
        assert not set(out) & set("\x1b\x07\r\u202e")
        assert "\\x1b]0;owned\\x07" in out
        child = terminal(path, "show", ids_in(store)[0])
        child.expect(pexpect.EOF)
        assert "\x1b]0;" not in child.before
        assert "\x1b[2J" not in child.before
        assert "\u202e" not in child.before

    def test_commands_shown_are_safe_to_paste(self, tmp_path: Path) -> None:
        """A host name with a quote or a command in it stands in no command."""
        with open_at(tmp_path) as store:
            append(store, {"e": event(host="x'; rm -rf $HOME #")})
            sweep(store, [rule()], start=Start())
        out = alert(tmp_path, "show", "--output", "table", "").failed(2).err
        assert "not an id" in out
        with open_at(tmp_path) as store:
            out = alert(tmp_path, "show", ids_in(store)[0]).ok().out
        assert "rm -rf" not in out.split("Next")[1]

    def test_json_has_events_and_history(self, path: Path, store: Store) -> None:
        """All of it for a program."""
        id_ = ids_in(store)[0]
        alerts.apply(store, [id_], alerts.note("x"))
        found = alert(path, "show", id_, "--output", "json").ok().json
        assert (len(found["events"]), found["version"], found["notes"][0]["text"]) == (3, 1, "x")
        assert found["events"][0]["event"]["event.original"] == HOSTILE

    def test_ambiguous_and_unknown(self, path: Path) -> None:
        """Exit 2, with candidates or the way to the list."""
        assert "soc alert list" in alert(path, "show", "A-0000000").failed(2).err
        result = alert(path, "show", "")
        assert "an id looks like" in result.failed(2).err

    def test_next_is_the_most_urgent_without_owner(self, path: Path, store: Store) -> None:
        """And nothing when all are taken."""
        first, second = ids_in(store)[:2]
        alerts.apply(store, [first], alerts.assign("huong"))
        assert second in alert(path, "next").ok().out
        alerts.apply(store, ids_in(store), alerts.ack("huong"))
        assert "no open alert" in alert(path, "next").ok().err

    def test_next_of_some(self, path: Path, store: Store) -> None:
        """A level or a query narrows it down."""
        low = next(v.id for v in alerts.list_alerts(store) if v.level == "low")
        assert low in alert(path, "next", "--level", "low").ok().out
        assert "among these" in alert(path, "next", "host.name:nowhere").ok().err

    def test_several(self, path: Path, store: Store) -> None:
        """Pages below each other, a list for programs; ids also from a pipe."""
        first, second = ids_in(store)[:2]
        out = alert(path, "show", first, second).ok().out
        assert f"soc alert ack {first}" in out
        assert f"soc alert ack {second}" in out
        found = alert(path, "show", "-", "--output", "json", stdin=f"{first}\n{second}\n").ok().json
        assert [one["id"] for one in found] == [first, second]

    def test_why_an_id_was_read_otherwise(self, path: Path) -> None:
        """O is a zero in ids; who typed it is told."""
        assert "O as 0" in alert(path, "show", "A-NOPE").failed(2).err


class TestChange:
    def test_one(self, path: Path, store: Store) -> None:
        """A sentence says what is now, on standard output as the table of several, also with -q."""
        id_ = ids_in(store)[0]
        assert "acknowledged" in alert(path, "ack", id_, "-q").ok().out
        assert "is already acknowledged" in alert(path, "ack", id_).ok().out
        assert "assigned to huong" in alert(path, "assign", id_, "huong").ok().out
        assert "is already assigned to huong" in alert(path, "assign", id_, "huong").ok().out
        assert "noted" in alert(path, "note", id_, "--", "- a note").ok().out
        result = alert(path, "close", id_, "--reason", "benign", "--on-behalf-of", "Huong").ok()
        assert "closed as benign" in result.out
        assert "reopened" in alert(path, "reopen", id_, "--reason", "again").ok().out

    def test_conflict(self, path: Path, store: Store) -> None:
        """Exit 3: the other's change is shown, one's own text kept, nothing saved."""
        id_ = ids_in(store)[0]
        alerts.apply(store, [id_], alerts.note("taken by Huong"))
        result = alert(path, "close", id_, "--reason", "benign", "--note", "mine", "--expect", "0").failed(3)
        assert "their change: root wrote a note" in result.err or "wrote a note" in result.err
        assert "taken by Huong" in result.err
        assert "your text, not saved: mine" in result.err
        assert alerts.get(store, id_).status == "open"

    def test_pipe(self, path: Path, store: Store) -> None:
        """A listing is the input of a change."""
        listed = alert(path, "list", "level:high", "--fields", "id", "--output", "csv").ok().out
        result = alert(path, "close", "-", "--reason", "benign", "--note", "x", stdin=listed).ok()
        assert "3 of 3 closed" in result.err
        assert {str(v.status) for v in alerts.list_alerts(store) if v.level == "high"} == {"closed"}

    def test_partly_done(self, path: Path, store: Store) -> None:
        """Exit 5, with a row for each."""
        first, second = ids_in(store)[:2]
        alerts.apply(store, [first], alerts.close("benign"))
        result = alert(path, "ack", first, second, "A-00000000", "--output", "jsonl").failed(5)
        assert [row["result"] for row in result.jsonl] == ["failed", "acknowledged", "failed"]
        table = alert(path, "close", first, second, "--reason", "benign", "--note", "my words").failed(5)
        assert "1 of 2 closed" in table.err
        assert "your text, not saved on 1: my words" in table.err

    def test_dry_run(self, path: Path, store: Store) -> None:
        """Says what would be."""
        id_ = ids_in(store)[0]
        assert "would be closed" in alert(path, "close", id_, "--reason", "benign", "--dry-run").ok().out
        assert alerts.get(store, id_).version == 0

    def test_without_terminal_missing_words_are_usage(self, path: Path, store: Store) -> None:
        """Never a wait: exit 2 that names the option."""
        id_ = ids_in(store)[0]
        assert "--reason" in alert(path, "close", id_).failed(2).err
        assert "--note" in alert(path, "close", id_, "--reason", "false-positive").failed(2).err
        assert "one of" in alert(path, "close", id_, "--reason", "meh").failed(2).err
        assert "--reason" in alert(path, "reopen", id_).failed(2).err
        assert "no id" in alert(path, "ack", "-", stdin="").failed(2).err

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (("note", "A-1QBW"), ("TEXT is missing", 'next: soc alert note A-1QBW "…"')),
            (("note", "only words"), ("ID is missing",)),
            (("assign", "A-1QBW"), ("USER is missing", "next: soc alert assign A-1QBW me")),
            (("assign", "huong"), ("ID is missing",)),
            (("assign",), ("ID and USER are missing",)),
        ],
    )
    def test_what_is_missing_is_named(self, path: Path, args: tuple[str, ...], said: tuple[str, ...]) -> None:
        """The text, the user or the alert, whichever it is."""
        error = alert(path, *args).failed(2).err
        assert all(part in error for part in said), error

    @pytest.mark.slow
    def test_two_at_once(self, path: Path, store: Store) -> None:
        """Of many that close one alert seen at one version, one does; the others are told who."""
        id_ = ids_in(store)[0]
        command = [sys.executable, "-m", "soc", "alert", "close", id_, "--store", str(path), "--expect", "0"]
        processes = [
            subprocess.Popen(
                [*command, "--reason", "benign", "--note", f"by {n}"], stderr=subprocess.PIPE, text=True
            )
            for n in range(5)
        ]
        errors = [p.communicate()[1] for p in processes]
        assert sorted(p.returncode for p in processes) == [0, 3, 3, 3, 3]
        assert sum("your text, not saved: by" in e for e in errors) == 4
        assert len(alerts.get(store, id_).work["notes"]) == 1


class TestTerminal:
    def test_closing_asks_for_reason_and_note(self, path: Path, store: Store) -> None:
        """By number or by the beginning of a word; a false positive wants a note."""
        id_ = ids_in(store)[0]
        child = terminal(path, "close", id_)
        child.expect("Reason: ")
        child.sendline("nonsense")
        child.expect("one of 1 to")
        child.sendline("fal")
        child.expect("A note for the next analyst: ")
        child.sendline("a backup job")
        child.expect("closed as false-positive")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        assert alerts.get(store, id_).work["notes"][0]["text"] == "a backup job"

    def test_empty_answer_cancels(self, path: Path, store: Store) -> None:
        """Exit 2, nothing changed."""
        id_ = ids_in(store)[0]
        child = terminal(path, "close", id_, "--reason", "false-positive")
        child.expect("A note")
        child.sendline("")
        child.expect("cancelled")
        child.expect(pexpect.EOF)
        child.close()
        assert (child.exitstatus, alerts.get(store, id_).version) == (2, 0)

    def test_change_while_answering_is_a_conflict(self, path: Path, store: Store) -> None:
        """What a colleague does while one types is not overwritten, and what was typed is shown."""
        id_ = ids_in(store)[0]
        child = terminal(path, "close", id_, "--reason", "false-positive")
        child.expect("A note")
        alerts.apply(store, [id_], alerts.assign("huong"))
        child.sendline("my long text")
        child.expect("changed since")
        child.expect("assigned it to huong")
        child.expect("not saved: my long text")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 3

    def test_change_since_looking_is_a_conflict_once(self, path: Path, store: Store) -> None:
        """Who saw an alert and acts on it is told what happened since; after looking again it works."""
        id_ = ids_in(store)[0]
        for args, code in (("list",), 0), (("ack", id_), 3), (("show", id_), 0), (("ack", id_), 0):
            child = terminal(path, *args)
            child.expect(pexpect.EOF)
            child.close()
            assert child.exitstatus == code, (args, child.before)
            if args == ("list",):
                alerts.apply(store, [id_], alerts.note("from Huong"))

    def test_what_was_seen_in_a_drill_is_not_seen_on_duty(self, path: Path, store: Store) -> None:
        """Spaces of one store may have alerts of one id; each keeps what was shown of its own."""
        (path / "soc-drill.db").write_bytes((path / "soc.db").read_bytes())
        id_ = ids_in(store)[0]
        for args in ("list", "--space", "drill"), ("ack", id_):
            child = terminal(path, *args)
            child.expect(pexpect.EOF)
            child.close()
            assert child.exitstatus == 0, (args, child.before)
            if args[0] == "list":
                alerts.apply(store, [id_], alerts.note("from Huong"))

    def test_watch_redraws_until_ctrl_c(self, path: Path, store: Store) -> None:
        """A new state shows by itself; Ctrl-C leaves a clean terminal and exit 0."""
        child = terminal(path, "list", "--watch", "--interval", "300ms")
        child.expect("4 alerts")
        alerts.apply(store, [ids_in(store)[0]], alerts.ack("huong"))
        child.expect("acknowledged")
        child.sendintr()
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        assert "\x1b[?1049l" in child.before, "the alternate screen was left"
        assert "\x1b[?25h" in child.before, "the cursor is back"

    def test_levels_are_coloured(self, path: Path) -> None:
        """On a terminal, unless NO_COLOR is set."""
        child = terminal(path, "list")
        child.expect(pexpect.EOF)
        assert "\x1b[1;31mhigh" in child.before


def test_watch_streams_changes_to_a_pipe(path: Path, store: Store) -> None:
    """Elsewhere each alert is a line of JSON, again when it changed; SIGTERM ends it."""
    command = [sys.executable, "-m", "soc", "alert", "list", "--watch", "--interval", "200ms"]
    process = subprocess.Popen([*command, "--store", str(path), "--output", "json"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as out:
        first = [orjson.loads(out.readline()) for _ in range(4)]
        changed = first[1]["id"]
        alerts.apply(store, [changed], alerts.ack("huong"))
        row = orjson.loads(out.readline())
        assert (row["id"], row["status"]) == (changed, "acknowledged")
        process.send_signal(signal.SIGTERM)
        assert out.read() == b""
    assert process.wait(10) == 0


def test_watch_has_a_least_interval(path: Path) -> None:
    """A loop without a pause helps nobody."""
    assert "at least" in alert(path, "list", "--watch", "--interval", "1ms").failed(2).err
