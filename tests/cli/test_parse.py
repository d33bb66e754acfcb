"""`soc parse`, run as a program."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest

from tests.harness import soc

LINE = b'192.0.2.7 - - [02/Mar/2026:14:14:09 +0700] "GET /%d HTTP/1.1" 200 5 "-" "-"\n'
NOW = ("--now", "2026-06-01T00:00:00Z", "--timezone", "UTC")


def test_one_document_for_each_line_in_order(tmp_path: Path) -> None:
    """Good and bad lines come out in the order of the file; blank lines give none; the remark counts them."""
    file = tmp_path / "access.log"
    file.write_bytes(LINE % 1 + b"\n" + b"nonsense\n" + LINE % 2)
    done = soc("parse", "nginx", file, "--output", "jsonl", *NOW).ok()
    assert [e.get("url.path") for e in done.jsonl] == ["/1", None, "/2"]
    assert done.jsonl[1]["event.kind"] == "pipeline_error"
    assert "3 events, 1 blank or format line, 1 could not be read" in done.err


def test_the_table_shows_time_dataset_host_and_message(tmp_path: Path) -> None:
    """A person sees what happened; an unreadable line shows why."""
    file = tmp_path / "auth.log"
    file.write_text("Mar  2 10:00:00 bastion sshd[1]: Invalid user a from 192.0.2.7 port 1\nnonsense\n")
    out = soc("parse", "sshd", file, *NOW).ok().out
    assert "2026-03-02 10:00:00" in out
    assert "sshd.auth" in out
    assert "bastion" in out
    assert "Invalid user a" in out
    assert "not a syslog line" in out


def test_standard_input_is_read() -> None:
    """`-` reads lines, and reports too."""
    assert len(soc("parse", "nginx", "-", "--output", "jsonl", *NOW, stdin=LINE % 1).ok().jsonl) == 1
    report = '{"template-id":"t","info":{"name":"n","severity":"high"},"host":"h"}\n'
    (found,) = soc("parse", "nuclei", "-", "--output", "jsonl", *NOW, stdin=report).ok().jsonl
    assert found["vulnerability.severity"] == "high"


def test_the_zone_and_the_year_are_given(tmp_path: Path) -> None:
    """`--timezone` and `--now` decide times that do not say."""
    file = tmp_path / "auth.log"
    file.write_text("Dec 31 23:30:00 h sshd[1]: x\n")
    done = soc(
        "parse",
        "sshd",
        file,
        "--output",
        "jsonl",
        "--timezone",
        "Asia/Ho_Chi_Minh",
        "--now",
        "2026-01-01T00:00:00Z",
    )
    assert done.ok().jsonl[0]["@timestamp"] == "2025-12-31T16:30:00.000000Z"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("nginx", "{folder}"), "folder"),
        (("nginx", "{folder}/none"), "no such file"),
        (("ngnix", "{file}"), "did you mean nginx"),
        (("nginx", "{file}", "--timezone", "Mars/Olympus"), "unknown time zone"),
        (("nginx", "{file}", "--now", "noon"), "is no time"),
        (("nginx", "{file}", "--encoding", "klingon"), "unknown encoding"),
    ],
)
def test_what_cannot_work_is_a_usage_error(tmp_path: Path, args: tuple[str, ...], says: str) -> None:
    """Exit code 2, and a sentence that says what is wrong."""
    file = tmp_path / "x.log"
    file.write_bytes(LINE % 1)
    done = soc("parse", *(a.format(folder=tmp_path, file=file) for a in args)).failed(2)
    assert says in done.err


def test_a_compressed_file_that_is_cut_off(tmp_path: Path) -> None:
    """What is there is read, the end is an event that says so, and the command succeeds."""
    packed = gzip.compress(b"".join(LINE % i for i in range(20000)))
    file = tmp_path / "access.log.gz"
    file.write_bytes(packed)
    assert len(soc("parse", "nginx", file, "--output", "jsonl", *NOW).ok().jsonl) == 20000
    file.write_bytes(packed[: len(packed) // 2])
    events = soc("parse", "nginx", file, "--output", "jsonl", *NOW).ok().jsonl
    assert 1000 < len(events) < 20000
    assert events[-1]["error.message"] == "the compressed file ends early"
    assert [e["url.path"] for e in events[:3]] == ["/0", "/1", "/2"]


def test_nothing_readable_fails(tmp_path: Path) -> None:
    """A file of another kind altogether is exit 1, and the next command is named."""
    file = tmp_path / "x.evtx"
    file.write_bytes(b"no event log")
    done = soc("parse", "windows-evtx", file, "--output", "jsonl", *NOW).failed(1)
    assert len(done.jsonl) == 1
    assert "soc collector try" in done.err


def test_an_empty_file_is_no_failure(tmp_path: Path) -> None:
    """No line, no event, no problem."""
    file = tmp_path / "x.log"
    file.write_bytes(b"")
    assert soc("parse", "nginx", file, "--output", "jsonl").ok().out == ""


def test_audit_records_are_joined_on_demand(tmp_path: Path) -> None:
    """Three records of one event are three events, or one with `--join`."""
    file = tmp_path / "audit.log"
    head = "msg=audit(1772435649.120:501): "
    file.write_text(f'type=SYSCALL {head}pid=2\ntype=EXECVE {head}argc=1 a0="id"\ntype=CWD {head}cwd="/"\n')
    assert len(soc("parse", "auditd", file, "--output", "jsonl", *NOW).ok().jsonl) == 3
    (event,) = soc("parse", "auditd", file, "--join", "--output", "jsonl", *NOW).ok().jsonl
    assert event["process.args"] == "id"
    assert event["process.pid"] == 2


def test_wide_encodings_are_read(tmp_path: Path) -> None:
    """A log in UTF-16, as Windows programs write it."""
    file = tmp_path / "x.log"
    file.write_bytes("Mar  2 10:00:00 h app: đăng nhập ਊ\nMar  2 10:00:01 h app: x\n".encode("utf-16"))
    events = soc("parse", "syslog", file, "--encoding", "utf-16", "--output", "jsonl", *NOW).ok().jsonl
    assert [e["message"] for e in events] == ["đăng nhập ਊ", "x"]


@pytest.mark.slow
def test_a_line_of_fifty_megabytes_is_one_event_in_little_memory(tmp_path: Path) -> None:
    """It is cut and marked; the next line is read; the program stays below 150 MB."""
    file = tmp_path / "x.log"
    with file.open("wb") as stream:
        stream.write(b"x" * 50_000_000 + b"\n" + LINE % 1)
    code = (
        "import pathlib, sys; sys.argv = ['soc', *sys.argv[1:]]\n"
        "from soc.__main__ import run\n"
        "code = run()\n"
        "peak = pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]\n"
        "sys.stderr.write(f'peak {peak}\\n'); sys.exit(code)"
    )
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", code, "parse", "nginx", str(file), "--output", "jsonl", *NOW],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["soc.extra.original_bytes"] == 50_000_000
    assert len(first["event.original"]) == 1 << 20
    assert second["url.path"] == "/1"
    assert int(done.stderr.rsplit("peak ", 1)[1]) < 150_000


def test_a_broken_collector_names_every_problem(tmp_path: Path) -> None:
    """Exit 1 with path, line and column of each, and the command that checks it."""
    folder = tmp_path / "collectors"
    folder.mkdir()
    (folder / "mine.yml").write_text("name: mine\nlayer: 9\nstreams: []\n")
    (tmp_path / "soc.yml").write_text("content: {collectors: [collectors]}\n")
    (tmp_path / "x.log").write_text("x\n")
    done = soc("parse", "mine", "x.log", cwd=tmp_path).failed(1)
    assert "mine.yml:2:1" in done.err
    assert "mine.yml:3:1" in done.err
    assert "soc collector lint" in done.err


@pytest.mark.data
@pytest.mark.parametrize(
    "source", ["nginx", "apache", "sshd", "postfix", "iptables", "auditd", "suricata", "syslog"]
)
def test_labelled_lines_are_read(source: str, data_folder: Path, tmp_path: Path) -> None:
    """Nearly every labelled field of outside lines is right."""
    cases = [
        json.loads(x) for x in (data_folder / "logs" / f"{source}.jsonl").read_text("utf-8").splitlines()
    ]
    file = tmp_path / "x.log"
    file.write_text("".join(c["line"] + "\n" for c in cases), "utf-8")
    events = (
        soc("parse", source, file, "--output", "jsonl", "--timezone", "UTC", "--now", "2024-12-31T23:59:59Z")
        .ok()
        .jsonl
    )
    assert len(events) == len(cases)
    wanted = [(e, k, v) for c, e in zip(cases, events, strict=True) for k, v in c["expect"].items()]
    right = sum(str(e.get(k)).strip() == str(v).removeprefix("::ffff:").strip() for e, k, v in wanted)
    assert right / len(wanted) > 0.97
