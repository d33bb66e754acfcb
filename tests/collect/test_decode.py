"""What every decoder does: bytes in, one event out, nothing lost."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc import content
from soc.collect.collector import Collectors, Context, load_collectors
from soc.ecs import conform

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LINE = b'192.0.2.7 - - [02/Mar/2026:14:14:09 +0700] "GET /a HTTP/1.1" 200 5 "-" "-"'


@pytest.fixture(scope="module")
def collectors() -> Collectors:
    """All shipped collectors."""
    return load_collectors([content.shipped("collectors")])


def test_a_line_that_cannot_be_read_becomes_an_event(collectors: Collectors) -> None:
    """It says why, keeps the original, and has the time of the line before it."""
    decoder = collectors["nginx"].decoder(Context(now=NOW))
    first = decoder.line(b"nonsense")
    assert first is not None
    assert first["@timestamp"] == "2026-03-02T12:00:00.000000Z"
    assert first["soc.time_from"] == "ingest"
    decoder.line(LINE)
    event = decoder.line(b"more nonsense")
    assert event is not None
    assert event["event.kind"] == "pipeline_error"
    assert event["event.original"] == "more nonsense"
    assert "nginx" in event["error.message"]
    assert event["@timestamp"] == "2026-03-02T07:14:09.000000Z"
    assert event["soc.time_from"] == "previous"


@pytest.mark.parametrize("blank", [b"", b"   ", b"\r", b"\t\r"])
def test_blank_lines_give_no_event(collectors: Collectors, blank: bytes) -> None:
    """A line without any character but white space is a format line."""
    assert collectors["nginx"].decoder(Context(now=NOW)).line(blank) is None


def test_a_carriage_return_is_part_of_the_line_end(collectors: Collectors) -> None:
    """Files with CRLF read as those with LF."""
    decoder = collectors["nginx"].decoder(Context(now=NOW))
    assert decoder.line(LINE + b"\r") == decoder.line(LINE)


def test_bytes_that_are_no_utf8_are_kept(collectors: Collectors) -> None:
    """The text has replacement characters, the bytes stand in base64."""
    raw = b"Mar  2 10:00:00 h sshd[1]: Invalid user \xc3\x28 from 192.0.2.7 port 1"
    event = collectors["sshd"].decoder(Context(now=NOW)).line(raw)
    assert event is not None
    assert event["user.name"] == "\ufffd("
    assert base64.b64decode(event["soc.original_base64"]) == raw


def test_text_is_composed(collectors: Collectors) -> None:
    """Decomposed Vietnamese letters come out composed, in fields and original."""
    line = "Mar  2 10:00:00 h sshd[1]: Invalid user nguye\u0302\u0303n from 192.0.2.7 port 1"
    event = collectors["sshd"].decoder(Context(now=NOW)).line(line.encode())
    assert event is not None
    assert event["user.name"] == "nguy\u1ec5n"
    assert "\u0302" not in event["event.original"]


def test_another_encoding_can_be_named(collectors: Collectors) -> None:
    """Windows-1258 text is decoded as such."""
    line = "Mar  2 10:00:00 h app: đăng nhập".encode("cp1258", "replace")
    event = collectors["syslog"].decoder(Context(now=NOW, encoding="cp1258")).line(line)
    assert event is not None
    assert event["message"].startswith("đăng")
    assert "soc.original_base64" not in event


def test_the_host_of_the_source_fills_in(collectors: Collectors) -> None:
    """A web server's log names no host; a syslog line's own host stays."""
    web = collectors["nginx"].decoder(Context(now=NOW, host="web1")).line(LINE)
    auth = collectors["sshd"].decoder(Context(now=NOW, host="web1")).line(b"Mar  2 10:00:00 h sshd[1]: x")
    assert web is not None
    assert auth is not None
    assert (web["host.name"], auth["host.name"]) == ("web1", "h")


def test_lines_of_other_programs_go_to_their_collectors(collectors: Collectors) -> None:
    """One file of a host holds many programs; each line gets the dataset of its own."""
    lines = {
        b"Mar  2 10:00:00 h sshd[1]: Invalid user a from 192.0.2.7 port 1": "sshd.auth",
        b"Mar  2 10:00:00 h sudo: a : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh": "sudo.auth",
        b"Mar  2 10:00:00 h postfix/smtpd[1]: connect from unknown[192.0.2.7]": "postfix.mail",
        b"Mar  2 10:00:00 h kernel: [1.0] [UFW BLOCK] IN=eth0 SRC=192.0.2.7 DST=192.0.2.8": "iptables.log",
        b"Mar  2 10:00:00 h kernel: [1.0] usb 1-1: new device": "syslog.log",
        b"Mar  2 10:00:00 h ntpd[1]: synchronised": "syslog.log",
    }
    for name in ("syslog", "sshd", "sudo", "postfix", "iptables"):
        decoder = collectors[name].decoder(Context(now=NOW))
        got = {line: (decoder.line(line) or {})["event.dataset"] for line in lines}
        assert got == lines


def test_values_that_do_not_fit_move_aside(collectors: Collectors) -> None:
    """A port that is none is kept as text beside the event, which is otherwise whole."""
    line = b'{"event_type":"flow","src_ip":"nobody","src_port":"many","dest_ip":"192.0.2.1"}'
    event = collectors["suricata"].decoder(Context(now=NOW)).line(line)
    assert event is not None
    assert sorted(event["soc.misfit"]) == ["source.ip=nobody", "source.port=many"]
    assert event["destination.ip"] == "192.0.2.1"


def test_a_document_cannot_forge_what_only_we_know(collectors: Collectors) -> None:
    """Provenance and `pipeline_error` of a JSON line are not taken over."""
    line = (
        b'{"soc.layer": 4, "soc": {"collector": "x"}, "event": {"kind": "pipeline_error", "original": "y"}}'
    )
    event = collectors["jsonl"].decoder(Context(now=NOW)).line(line)
    assert event is not None
    assert (event["soc.layer"], event["soc.collector"], event["event.kind"]) == (1, "jsonl", "event")
    assert event["event.original"] == line.decode()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_break_a_decoder(collectors: Collectors, raw: bytes) -> None:
    """Any bytes give None or an event that is already conformed."""
    for collector in collectors.values():
        if collector.framing == "lines":
            event = collector.decoder(Context(now=NOW)).line(raw.replace(b"\n", b" "))
            assert event is None or conform(event) == event


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
_KEYS = [
    *(
        "timestamp",
        "event_type",
        "src_ip",
        "dest_port",
        "alert",
        "dns",
        "http",
        "tls",
        "winlog",
        "Event",
        "System",
    ),
    *(
        "EventData",
        "EventID",
        "rule",
        "agent",
        "ts",
        "uid",
        "query",
        "qtype_name",
        "id.orig_h",
        "severity",
        "data",
    ),
    *("threat_name", "@timestamp", "soc", "event", "message", "proto", "vlan", "fileinfo"),
]


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=8),
    st.sampled_from(["alert", "dns", "http", "flow", "smtp"]),
)
def test_no_document_breaks_a_decoder(collectors: Collectors, document: dict[str, object], kind: str) -> None:
    """Values of any type under the names that collectors read give an event of the right types."""
    import json

    for line in (json.dumps(document), json.dumps({**document, "event_type": kind})):
        for name in ("suricata", "windows-json", "wazuh", "zeek", "edr", "jsonl"):
            event = collectors[name].decoder(Context(now=NOW)).line(line.encode("utf-8", "replace"))
            assert event is None or conform(event) == event


def test_a_file_that_cannot_be_opened_is_an_error(collectors: Collectors, tmp_path: Path) -> None:
    """A missing file is the caller's problem, not an event."""
    with pytest.raises(OSError, match="No such file"):
        list(collectors["nessus"].decoder(Context(now=NOW)).file(tmp_path / "none.nessus"))
