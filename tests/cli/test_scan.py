"""`soc scan` as a person or a script meets it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.detect import rules
from tests.detect.test_scan import REQUEST, TRAVERSAL


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """A folder with an access log and a folder with a rule."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "access.log").write_text(REQUEST.format("/a") + REQUEST.format("/../b"))
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "t.yml").write_text(TRAVERSAL)
    return tmp_path


def soc(folder: Path, *args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """One run of the program."""
    command = [sys.executable, "-m", "soc", "scan", *args]
    done = subprocess.run(command, cwd=folder, input=stdin, capture_output=True, env=os.environ, check=False)
    text = (done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in text[1]
    return subprocess.CompletedProcess(command, done.returncode, *text)


def test_json_lines(evidence: Path) -> None:
    """One object for each rule and event, with rule, source, time and the event; exit 0."""
    done = soc(evidence, "logs/access.log", "--rules", "rules", "--output", "jsonl")
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    hit = json.loads(line)
    assert set(hit) == {"rule", "source", "@timestamp", "event"}
    assert set(hit["rule"]) == {"id", "title", "level"}
    assert hit["source"] == {"path": "logs/access.log", "record": 2}
    assert "2 events in 1 file against 1 rule" in done.stderr


def test_nothing_found_is_done(evidence: Path) -> None:
    """A scan without hits is a success, with no output."""
    (evidence / "logs" / "access.log").write_text(REQUEST.format("/a"))
    done = soc(evidence, "logs", "--rules", "rules", "--output", "jsonl")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no rule fired" in soc(evidence, "logs", "--rules", "rules").stderr


def test_table(evidence: Path) -> None:
    """People see levels, counts and files."""
    done = soc(evidence, "logs", "--rules", "rules")
    assert "LEVEL" in done.stdout
    assert "Traversal" in done.stdout


def test_standard_input(evidence: Path) -> None:
    """`-` reads standard input, also longer than is looked at to recognise it."""
    raw = (REQUEST.format("/a") * 2000 + REQUEST.format("/../b")).encode()
    done = soc(evidence, "-", "--rules", "rules", "--output", "jsonl", stdin=raw)
    assert json.loads(done.stdout)["source"] == {"path": "-", "record": 2001}


def test_shipped_rules_are_the_default(evidence: Path) -> None:
    """Without --rules the shipped ones are used."""
    (evidence / "logs" / "access.log").write_text(REQUEST.format("/x?f=../../../../etc/passwd"))
    done = soc(evidence, "logs", "--output", "jsonl")
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[0])["rule"]["title"] != "Traversal"


def test_broken_rules_stop_the_scan(evidence: Path) -> None:
    """All problems are listed with path and line before anything is scanned; exit 1."""
    (evidence / "rules" / "bad.yml").write_text(rules.text("s: {f|nope: 1}\ncondition: s"))
    (evidence / "rules" / "worse.yml").write_text("title: [\n")
    done = soc(evidence, "logs", "missing.log", "--rules", "rules", "--output", "jsonl")
    assert (done.returncode, done.stdout) == (1, "")
    assert "bad.yml:5" in done.stderr
    assert "worse.yml:" in done.stderr
    assert "missing.log" in done.stderr
    assert "--keep-going" in done.stderr


def test_keep_going(evidence: Path) -> None:
    """--keep-going leaves out what is broken, names it, scans the rest and ends with 5."""
    (evidence / "rules" / "bad.yml").write_text(rules.text("s: {f|nope: 1}\ncondition: s"))
    done = soc(evidence, "logs", "missing.log", "--rules", "rules", "--output", "jsonl", "--keep-going")
    assert done.returncode == 5
    assert len(done.stdout.splitlines()) == 1
    assert "bad.yml:5" in done.stderr
    assert "missing.log" in done.stderr


def test_undecidable_rules_are_remarks(evidence: Path) -> None:
    """A rule with an undefined placeholder is named on standard error, and the exit code stays 0."""
    (evidence / "rules" / "p.yml").write_text(
        rules.text("s: {cs-uri|expand: '%paths%'}\ncondition: s", logsource="{category: webserver}")
    )
    done = soc(evidence, "logs", "--rules", "rules", "--output", "jsonl")
    assert done.returncode == 0
    assert "p.yml:1: cannot be decided: nobody defines the placeholder %paths%" in done.stderr


def test_level(evidence: Path) -> None:
    """--level leaves out lesser rules; an unknown level is a usage error."""
    assert soc(evidence, "logs", "--rules", "rules", "--level", "high", "--output", "jsonl").stdout
    assert not soc(evidence, "logs", "--rules", "rules", "--level", "critical", "--output", "jsonl").stdout
    done = soc(evidence, "logs", "--level", "awful")
    assert done.returncode == 2
    assert "informational, low, medium, high, critical" in done.stderr


def test_nothing_scanned_fails(evidence: Path) -> None:
    """An empty folder, an empty file, a file that nothing reads: exit 1 and the reason."""
    (evidence / "empty").mkdir()
    (evidence / "void.log").touch()
    (evidence / "x.bin").write_bytes(bytes(range(256)) * 20)
    for name, word in (("empty", "no file in this folder"), ("void.log", "empty"), ("x.bin", "recognises")):
        done = soc(evidence, name, "--rules", "rules", "--output", "jsonl")
        assert done.returncode == 1, name
        assert word in done.stderr


def test_csv_and_fields(evidence: Path) -> None:
    """CSV has a flat row for each hit, and --fields takes the names that a table has."""
    done = soc(evidence, "logs", "--rules", "rules", "--output", "csv")
    header, row = csv.reader(done.stdout.splitlines())
    assert header == ["level", "rule", "path", "record", "@timestamp", "rule.id", "event"]
    assert row[1:4] == ["Traversal", "logs/access.log", "2"]
    assert json.loads(row[-1])["url.path"] == "/../b"
    done = soc(evidence, "logs", "--rules", "rules", "--output", "csv", "--fields", "rule,path")
    assert done.stdout == "rule,path\nTraversal,logs/access.log\n"


@pytest.mark.slow
def test_memory_stays_flat(evidence: Path) -> None:
    """Input of any size is scanned within 300 MB."""
    import resource

    path = evidence / "logs" / "access.log"
    with path.open("w") as file:
        for number in range(200_000):
            file.write(REQUEST.format(f"/{number}/" + "x" * (number % 500)))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = soc(evidence, "logs", "--rules", "rules", "--output", "jsonl", "--jobs", "1")
    assert done.returncode == 0
    assert "200,000 events" in done.stderr
    assert max(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, before) < 300 * 1024
