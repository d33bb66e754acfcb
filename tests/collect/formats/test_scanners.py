"""Scanner reports: the number of findings, hostile and damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soc.collect.formats import scanners
from soc.collect.formats.registry import FORMATS, Broken

READERS = ("nessus", "openvas", "nuclei", "zap", "trivy", "sarif")
FOLDERS = {"tenable": "nessus"}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "raw",
    [
        *(b"\0" * 100, b"<a", b"<a/>", b"<?xml version='1.0'?><a><b></a>", b"\xff\xfe<a/>", b"<" * 5000),
        *(b"{", b"{}", b"[1, 2]", b'"x"', b"[" * 5000, b"a,b,c\n1,2,3\n"),
        b'{"runs": [1, {"results": [1, {}]}], "Results": [1, {"Vulnerabilities": [1]}]}',
    ],
)
def test_strange_files_are_broken_not_crashes(name: str, raw: bytes, tmp_path: Path) -> None:
    """Whatever a file holds, a reader gives findings or `Broken`."""
    file = tmp_path / "report"
    file.write_bytes(raw)
    for item in FORMATS[name].load()(file, {}):
        assert isinstance(item, Broken) or isinstance(item[1]["id"], str)


@pytest.mark.parametrize("name", ["nessus", "openvas", "zap"])
def test_entities_are_refused(name: str, tmp_path: Path) -> None:
    """A report that would expand to gigabytes, or read a local file, is not read (CWE-776, CWE-611)."""
    roots = {"nessus": "NessusClientData_v2", "openvas": "report", "zap": "OWASPZAPReport"}
    bomb = '<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">'
    file = tmp_path / "report.xml"
    file.write_text(f'<?xml version="1.0"?><!DOCTYPE x [{bomb}]><{roots[name]}><x>&b;&c;</x></{roots[name]}>')
    found = list(FORMATS[name].load()(file, {}))
    assert len(found) == 1
    assert isinstance(found[0], Broken)
    assert "refused" in found[0].reason


def test_a_report_that_is_cut_off_gives_what_was_whole(tmp_path: Path) -> None:
    """The findings before the cut are read, and the cut is reported."""
    file = tmp_path / "x.nessus"
    item = '<ReportItem port="1" pluginID="{}" pluginName="n"><risk_factor>Low</risk_factor></ReportItem>'
    body = "".join(item.format(i) for i in range(50))
    file.write_text(f'<NessusClientData_v2><Report><ReportHost name="h">{body}'[:-40])
    found = list(scanners.nessus(file, {}))
    assert [isinstance(f, Broken) for f in found] == [False] * 49 + [True]


def test_memory_does_not_grow_with_a_report(tmp_path: Path) -> None:
    """A report of 60 MB is read in a few megabytes."""
    import tracemalloc

    file = tmp_path / "x.nessus"
    with file.open("w") as stream:
        stream.write("<NessusClientData_v2><Report>")
        for host in range(60):
            stream.write(f'<ReportHost name="h{host}">')
            for i in range(100):
                output = f"<plugin_output>{'x' * 10_000}</plugin_output>"
                stream.write(f'<ReportItem port="1" pluginID="{i}" pluginName="n">{output}</ReportItem>')
            stream.write("</ReportHost>")
        stream.write("</Report></NessusClientData_v2>")
    tracemalloc.start()
    count = sum(1 for _ in scanners.nessus(file, {}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 6000
    assert peak < 8_000_000


@pytest.mark.parametrize(("name", "heading"), [("nessus", "Plugin ID,Name"), ("openvas", "NVT Name,IP")])
@pytest.mark.parametrize("size", [17 << 20, 40 << 20])
def test_a_line_without_end_is_broken_and_not_held(
    name: str, heading: str, size: int, tmp_path: Path
) -> None:
    """One line of megabytes, as heading or as row, is `Broken`; what stood before it is read."""
    file = tmp_path / "report.csv"
    file.write_bytes(b"A" * size)
    assert isinstance(next(iter(FORMATS[name].load()(file, {}))), Broken)
    file.write_bytes(f"{heading}\n1,2\n".encode() + b"A" * size)
    found = list(FORMATS[name].load()(file, {}))
    assert [isinstance(f, Broken) for f in found] == [False, True]


def test_the_id_of_a_finding_is_what_and_where(tmp_path: Path) -> None:
    """The same finding in the next report has the same id; on another port it is another."""
    line = '{{"template-id":"t","info":{{"name":"n"}},"host":"h","matched-at":"h:{}","timestamp":"{}"}}\n'
    ids = []
    for port, time in (
        ("80", "2026-01-01T00:00:00Z"),
        ("80", "2026-02-01T00:00:00Z"),
        ("81", "2026-02-01T00:00:00Z"),
    ):
        file = tmp_path / "n.jsonl"
        file.write_text(line.format(port, time) * 2)
        first, second = list(scanners.nuclei(file, {}))
        assert not isinstance(first, Broken)
        assert not isinstance(second, Broken)
        assert first[1]["id"] == second[1]["id"]
        ids.append(first[1]["id"])
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ("0.0", "info"),
        ("0.1", "low"),
        (3.9, "low"),
        ("4.0", "medium"),
        (7, "high"),
        ("9.0", "critical"),
        ("x", "info"),
        (None, "info"),
    ],
)
def test_severity_of_a_score(score: object, expected: str) -> None:
    """The bands of CVSS v3.1."""
    assert scanners.by_score(score) == expected


def test_a_secret_is_not_copied(tmp_path: Path) -> None:
    """What Trivy found as a secret does not travel into events."""
    file = tmp_path / "t.json"
    secret = {
        "RuleID": "r",
        "Severity": "HIGH",
        "Title": "t",
        "Match": "TOKEN=hunter2",
        "Code": {"Lines": ["hunter2"]},
    }
    file.write_text(json.dumps({"SchemaVersion": 2, "Results": [{"Target": "f", "Secrets": [secret]}]}))
    (found,) = scanners.trivy(file, {})
    assert "hunter2" not in str(found)


@pytest.mark.data
def test_every_labelled_report_has_its_number_of_findings(data_folder: Path) -> None:
    """The counts of the outside data, and nothing broken."""
    folder = data_folder / "scanners"
    for text in (folder / "cases.jsonl").read_text("utf-8").splitlines():
        case = json.loads(text)
        reader = FORMATS[FOLDERS.get(case["kind"], case["kind"])].load()
        found = list(reader(folder / case["kind"] / case["file"], {}))
        assert not [item for item in found if isinstance(item, Broken)], case["file"]
        assert len(found) == case["findings"], case["file"]
