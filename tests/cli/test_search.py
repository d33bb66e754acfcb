"""`soc search`."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from soc.config import StoreSettings
from soc.event import event_id, timestamp
from soc.search import summary
from soc.store import open_store
from soc.store.contract import Incoming
from tests.harness import soc

NOW = datetime.now(UTC).replace(microsecond=0)


def at(hours: float) -> str:
    """So many hours ago."""
    return timestamp(NOW - timedelta(hours=hours))


EVENTS = [
    {
        "@timestamp": at(5), "soc.layer": 1, "event.dataset": "sshd.auth", "host.name": "mail01",
        "event.outcome": "failure", "source.ip": "192.0.2.7", "user.name": "Nguyễn",
        "event.original": "Failed password for Nguyễn\x1b[31m from 192.0.2.7",
    },
    {
        "@timestamp": at(3), "soc.layer": 1, "event.dataset": "nginx.access", "host.name": "web01",
        "source.ip": "198.51.100.9", "url.path": "/upload/x.php", "event.original": "GET /upload/x.php",
        "http.response.status_code": 200,
    },
    {
        "@timestamp": at(1), "soc.layer": 2, "event.dataset": "suricata.alert", "source.ip": "192.0.2.7",
        "message": "=ET SCAN", "observer.name": "sensor-1", "soc.source": "eve", "event.original": "{}",
    },
]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with three events."""
    folder = tmp_path / "store"
    with open_store(StoreSettings(str(folder))) as opened:
        opened.append([Incoming(event_id("s", "g", n), event) for n, event in enumerate(EVENTS)])
    return folder


def test_a_table_shows_the_newest_first_in_the_zone_of_the_viewer(store: Path) -> None:
    """Time, layer, host (or the sensor), dataset and a message on one line; the offset once, below."""
    ran = soc("search", "--store", store, env={"TZ": "Asia/Ho_Chi_Minh", "COLUMNS": "160"}).ok()
    heading, *rows = ran.out.splitlines()
    assert heading.split() == ["TIME", "LAYER", "HOST", "DATASET", "MESSAGE"]
    assert len(rows) == 3
    assert "sensor-1" in rows[0]
    assert "=ET SCAN" in rows[0]
    assert "+07:00" not in ran.out
    assert "times in your zone (+07:00)" in ran.err
    assert "Failed password for Nguyễn\\x1b[31m from" in rows[2]


def test_json_has_whole_events_in_utc(store: Path) -> None:
    """With the id of each, and nothing changed."""
    ran = soc(
        "search", "user.name:nguyễn", "--store", store, "--output", "jsonl", env={"TZ": "Asia/Tokyo"}
    ).ok()
    (found,) = ran.jsonl
    assert found == {"_id": event_id("s", "g", 0), **EVENTS[0]}
    assert soc("search", "user.name:nobody", "--store", store, "--output", "json").ok().json == []


@pytest.mark.parametrize(
    ("args", "numbers"),
    [
        (["source.ip:192.0.2.0/24"], [2, 0]),
        (["source.ip:192.0.2.7", "and", "not", "event.outcome:failure"], [2]),
        (["php or password", "--oldest"], [0, 1]),
        (["--since", "4h"], [2, 1]),
        (["--until", "4h"], [0]),
        (["--since", "6h", "--until", "2h", "--oldest"], [0, 1]),
        (["*", "--limit", "2"], [2, 1]),
        (["--limit", "0"], [2, 1, 0]),
        (["--limit", "1", "--oldest"], [0]),
        (["http.response.status_code:[200 TO 299]"], [1]),
        (["--since", "2000-01-01", "--until", "2000-01-02T07:00"], []),
    ],
)
def test_what_is_found(store: Path, args: list[str], numbers: list[int]) -> None:
    """Query, period, order and limit."""
    ran = soc("search", *args, "--store", store, "--output", "jsonl").ok()
    assert [event["_id"] for event in ran.jsonl] == [event_id("s", "g", n) for n in numbers]


def test_a_limit_that_left_some_out_is_told(store: Path) -> None:
    """On standard error, unless quiet; a limit that was enough says nothing."""
    assert "more than these 2" in soc("search", "--limit", 2, "--store", store).ok().err
    assert soc("search", "--limit", 2, "--store", store, "-q").ok().err == ""
    assert "more than" not in soc("search", "--limit", 3, "--store", store).ok().err


def test_nothing_found_is_told(store: Path) -> None:
    """Exit code 0: the answer is known."""
    ran = soc("search", "nobody", "--store", store).ok()
    assert (ran.out, ran.err) == ("", "nothing found\n")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("source.ipp:192.0.2.7", "did you mean source.ip?"),
        ("EventID:4624", "did you mean event.code?"),
        (r"process.executable:C:\Users\*", r"C:\Users\\*"),
    ],
)
def test_nothing_found_says_what_may_be_wrong(store: Path, query: str, said: str) -> None:
    """A field that nobody knows, an asterisk that is meant as a wildcard; a remark, and exit code 0."""
    ran = soc("search", query, "--store", store).ok()
    assert said in ran.err
    assert soc("search", "source.ip:192.0.2.200", "--store", store).ok().err == "nothing found\n"


def test_a_structured_event_shows_its_main_fields() -> None:
    """Not the beginning of its JSON or XML; a line of text is shown as it is."""
    windows = {
        "event.original": "<Event><System>…", "event.code": "4688", "user.name": "huong",
        "process.command_line": "powershell -enc x", "related.user": ["huong"],
    }  # fmt: skip
    said = "event.code=4688 user.name=huong process.command_line=powershell -enc x"
    assert summary(windows) == said
    alert = {
        "event.original": '{"a": 1}',
        "message": "ET SCAN",
        "source.ip": "192.0.2.7",
        "rule.name": "ET SCAN",
    }
    assert summary(alert) == "ET SCAN  source.ip=192.0.2.7"
    line = {"event.original": "Mar  2 sshd[7]: Failed", "message": "Failed"}
    assert (summary(line), summary(line, raw=True)) == ("Failed", "Mar  2 sshd[7]: Failed")
    assert summary({"event.original": '{"odd": 1}'}) == '{"odd": 1}'


def test_csv_is_utc_as_stored(store: Path) -> None:
    """For programs; only a table has the viewer's zone."""
    ran = soc("search", "--output", "csv", "--limit", 1, "--store", store, env={"TZ": "Asia/Tokyo"}).ok()
    assert ran.out.splitlines()[1].startswith(at(1))


def test_chosen_fields_may_be_absent_in_some_events(store: Path) -> None:
    """A field that ECS knows is a column, whichever event comes first; formulas are disarmed."""
    ran = soc(
        "search", "--fields", "@timestamp,url.path,message", "--output", "csv", "--oldest", "--store", store
    ).ok()
    rows = list(csv.reader(io.StringIO(ran.out)))
    assert rows[0] == ["@timestamp", "url.path", "message"]
    assert [row[1:] for row in rows[1:]] == [["", ""], ["/upload/x.php", ""], ["", "'=ET SCAN"]]


def test_an_unknown_field_lists_those_there_are(store: Path) -> None:
    """Exit code 2; an empty name lists them too."""
    for fields in ("no.such.field", ""):
        ran = soc("search", "--fields", fields, "--store", store).failed(2)
        assert "soc.layer" in ran.err


def test_a_bad_query_is_pointed_at(store: Path) -> None:
    """Exit code 2, column and caret, before the store is looked for."""
    for target in (store, "/does/not/exist"):
        ran = soc("search", "source.ip:10.0.0.0/99 and (", "--store", target).failed(2)
        lines = ran.err.splitlines()
        assert "column 11" in lines[0]
        assert lines[1] == "  source.ip:10.0.0.0/99 and ("
        assert lines[2] == " " * 12 + "^"


@pytest.mark.parametrize(
    "args",
    [
        ["--since", "yesterday"],
        ["--since", "1h", "--until", "2h"],
        ["--limit", "-1"],
        ["--limit", "x"],
        ["--output", "xml"],
    ],
)
def test_bad_options_are_refused(store: Path, args: list[str]) -> None:
    """Exit code 2 and a message."""
    assert soc("search", *args, "--store", store).failed(2).err


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    """Names the folder and the next command, and makes nothing."""
    ran = soc("search", "x", "--store", tmp_path / "nowhere").failed(1)
    assert str(tmp_path / "nowhere") in ran.err
    assert "next: soc store init" in ran.err
    assert not (tmp_path / "nowhere").exists()


def test_a_damaged_store_is_named(store: Path) -> None:
    """No traceback."""
    (store / "soc.db").write_bytes(b"not a database at all" * 100)
    assert "not a soc store" in soc("search", "x", "--store", store).failed(1).err


@pytest.mark.parametrize("output", ["table", "json", "jsonl", "csv"])
def test_what_is_no_text_is_printed_all_the_same(store: Path, output: str) -> None:
    """Lone surrogates, as broken file names become, in every format; JSON gives them back."""
    event = {**EVENTS[0], "event.original": "odd\ud800name", "labels.large": 2**70}
    with open_store(StoreSettings(str(store))) as opened:
        opened.append([Incoming("odd", event)])
    ran = soc("search", "odd", "--store", store, "--output", output).ok()
    assert "\\ud800" in ran.out
    if output == "json":
        assert json.loads(ran.out) == [{"_id": "odd", **event}]


def test_a_reader_that_leaves_is_no_error(store: Path) -> None:
    """`soc search | head`: ends quietly."""
    import subprocess
    import sys

    with open_store(StoreSettings(str(store))) as opened:
        opened.append([Incoming(event_id("s", "h", n), EVENTS[1]) for n in range(3_000)])
    command = f"{sys.executable} -m soc search '*' --limit 0 --output jsonl --store {store} | head -n 1"
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0
    assert len(ran.stdout.splitlines()) == 1
    assert ran.stderr == ""
