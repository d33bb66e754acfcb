"""Scanning files: what is found, what is named as left out, and how processes share the work."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from soc import content
from soc.collect.collector import Collectors, Context, load_collectors
from soc.detect.logsources import declared_by
from soc.detect.matcher import Matcher
from soc.detect.parallel import processes, scan_all
from soc.detect.ruleset import Ruleset, load_rules
from soc.detect.scan import Hit, Input, Scanner, Summary, Tally, exit_code, inputs, remarks
from soc.errors import ExitCode
from tests.detect import rules

WEB = "{category: webserver}"
REQUEST = '192.0.2.7 - - [02/Mar/2026:14:14:09 +0700] "GET {} HTTP/1.1" 200 51 "-" "Mozilla/5.0"\n'
TRAVERSAL = rules.text(
    "s: {cs-uri|contains: '../'}\ncondition: s",
    logsource=WEB,
    title="Traversal",
    id="5a6b1f2c-0d3e-4f41-9a57-0c2f6d1e8b90",
)


@pytest.fixture(scope="module")
def collectors() -> Collectors:
    """The shipped collectors."""
    return load_collectors([content.shipped("collectors")])


@pytest.fixture(scope="module")
def ruleset(collectors: Collectors, tmp_path_factory: pytest.TempPathFactory) -> Ruleset:
    """One rule about web requests."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "t.yml").write_text(TRAVERSAL)
    return load_rules([folder], declared=declared_by(collectors), cache=False)


@pytest.fixture
def scanner(ruleset: Ruleset, collectors: Collectors) -> Scanner:
    """A scanner with that rule."""
    return Scanner(Matcher(ruleset.rules), collectors, Context())


def log(path: Path, *targets: str) -> Input:
    """An access log with these requests."""
    path.write_text("".join(REQUEST.format(target) for target in targets))
    return Input(str(path))


def found(scanner: Scanner, *sources: Input, jobs: int = 1) -> list[Hit]:
    """All hits of the files."""
    return list(scan_all(scanner, sources, jobs, lambda _done, _total: None))


def test_hits_name_file_and_line(scanner: Scanner, tmp_path: Path) -> None:
    """A hit carries the rule, the file, the line from 1 and the whole event."""
    source = log(tmp_path / "access.log", "/a", "/../../etc/passwd", "/b", "/x/../y")
    hits = found(scanner, source)
    assert [(h.rule.title, h.path, h.record) for h in hits] == [
        ("Traversal", source.path, 2),
        ("Traversal", source.path, 4),
    ]
    row = hits[0].row()
    assert row["rule"] == {"id": hits[0].rule.id, "title": "Traversal", "level": "high"}
    assert row["source"] == {"path": source.path, "record": 2}
    assert row["@timestamp"] == "2026-03-02T07:14:09.000000Z"
    assert row["event"]["url.original"] == "/../../etc/passwd"
    assert (scanner.tally.files, scanner.tally.events, scanner.tally.problems) == (1, 4, [])


def test_gzip_is_expanded(scanner: Scanner, tmp_path: Path) -> None:
    """A compressed log is read like a plain one; one that is cut off gives what could be read and says so."""
    raw = "".join(REQUEST.format(f"/{n}/../x") for n in range(2000)).encode()
    whole, cut = tmp_path / "access.log.gz", tmp_path / "cut.log.gz"
    whole.write_bytes(gzip.compress(raw))
    cut.write_bytes(gzip.compress(raw)[:-2000])
    assert len(found(scanner, Input(str(whole)))) == 2000
    assert 0 < len(found(scanner, Input(str(cut)))) < 2000
    assert any("cut.log.gz" in remark and "cannot be read" in remark for remark in scanner.tally.remarks)


def test_folders_are_walked(tmp_path: Path) -> None:
    """Folders give their files in order, without hidden ones; a file named twice is scanned once."""
    for name in ("b/two.log", "a.log", ".hidden/x.log", ".x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    sources, problems = inputs([str(tmp_path), str(tmp_path / "a.log")])
    assert [s.path for s in sources] == [str(tmp_path / "a.log"), str(tmp_path / "b" / "two.log")]
    assert not problems


def test_what_is_not_there_is_a_problem(tmp_path: Path) -> None:
    """Missing files, empty folders and things that are no files are named."""
    (tmp_path / "empty").mkdir()
    _, problems = inputs([str(tmp_path / "no"), str(tmp_path / "empty"), "/dev/null"])
    assert [p.kind for p in problems] == ["missing", "empty", "missing"]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [(b"\x7fELF" + bytes(range(256)) * 50, "unrecognised"), (b"ElfFile\0" + b"\0" * 5000, "unreadable")],
    ids=["binary", "hollow EVTX"],
)
def test_files_that_cannot_be_read_are_problems(
    raw: bytes, kind: str, scanner: Scanner, tmp_path: Path
) -> None:
    """A named file that nothing reads is a problem, the others are scanned; alone it makes the scan fail."""
    bad = tmp_path / "bad.evtx"
    bad.write_bytes(raw)
    assert found(scanner, Input(str(bad))) == []
    assert [p.kind for p in scanner.tally.problems] == [kind]
    assert exit_code(scanner.tally, scanner.tally.problems) == ExitCode.FAILED
    assert len(found(scanner, log(tmp_path / "access.log", "/../a"))) == 1
    assert exit_code(scanner.tally, scanner.tally.problems) == ExitCode.PARTLY_DONE


def test_in_a_folder_unknown_files_are_a_remark(scanner: Scanner, tmp_path: Path) -> None:
    """Whoever scans a folder does not vouch for each file in it: what nothing reads is named, no error."""
    path = tmp_path / "notes.bin"
    path.write_bytes(bytes(range(256)) * 9)
    found(scanner, Input(str(path), named=False))
    assert not scanner.tally.problems
    assert "notes.bin" in scanner.tally.remarks[0]


def test_nothing_scanned_is_a_failure(scanner: Scanner, tmp_path: Path) -> None:
    """An empty file is no evidence of peace."""
    (tmp_path / "empty.log").touch()
    found(scanner, Input(str(tmp_path / "empty.log")))
    assert exit_code(scanner.tally, []) == ExitCode.FAILED
    assert exit_code(Tally(files=1), []) == ExitCode.DONE


def test_unreadable_lines_are_counted_and_matched(collectors: Collectors, tmp_path: Path) -> None:
    """A line that no pattern reads is counted, and keyword rules see it all the same."""
    keywords = rules.text(
        "keywords: [mimikatz]\ncondition: keywords", logsource="{product: nginx}", title="Word"
    )
    ruleset = rules.load(tmp_path / "rules", keywords, declared=declared_by(collectors))
    scanner = Scanner(Matcher(ruleset.rules), collectors, Context())
    path = tmp_path / "access.log"
    path.write_text(REQUEST.format("/a") * 9 + "no request at all\n" + REQUEST.format("/mimikatz.exe"))
    assert [h.record for h in found(scanner, Input(str(path)))] == [11]
    assert scanner.tally.unreadable == 1
    assert any("1 of 11 records cannot be read" in remark for remark in remarks(ruleset, scanner.tally))


def test_undecided_is_counted(collectors: Collectors, tmp_path: Path) -> None:
    """A verdict that ran out of time is no hit, and is named with its rule."""
    slow = rules.text(r"s: {cs-uri|re: '(?=.a)^/(a|aa)+$'}" + "\ncondition: s", logsource=WEB, title="Slow")
    ruleset = rules.load(tmp_path / "rules", slow, declared=declared_by(collectors))
    scanner = Scanner(Matcher(ruleset.rules), collectors, Context())
    assert found(scanner, log(tmp_path / "access.log", "/" + "a" * 60 + "b", "/aaa")) != []
    assert sum(scanner.tally.undecided.values()) == 1
    assert any("undecided on 1 event" in remark for remark in remarks(ruleset, scanner.tally))


def test_processes_give_the_same_in_the_same_order(
    ruleset: Ruleset, collectors: Collectors, tmp_path: Path
) -> None:
    """Two processes find what one finds, in the order of the files, with the same counts."""
    sources = [log(tmp_path / f"{n:02}.log", "/a", f"/../{n}", "/b") for n in range(20)]
    sources.insert(7, Input(str(tmp_path / "bad.bin")))
    (tmp_path / "bad.bin").write_bytes(bytes(range(256)))
    results = []
    for jobs in (1, 2):
        scanner = Scanner(Matcher(ruleset.rules), collectors, Context())
        rows = [hit.row() for hit in found(scanner, *sources, jobs=jobs)]
        tally = scanner.tally
        results.append((rows, tally.files, tally.events, tally.unreadable, tally.problems))
    assert results[0] == results[1]
    assert len(results[0][0]) == 20


def test_processes_only_where_worthwhile(tmp_path: Path) -> None:
    """Little work stays in one process; large files and standard input are not shared out."""
    small = [log(tmp_path / "a", "/a"), log(tmp_path / "b", "/b")]
    assert processes(0, small) == 1
    assert processes(4, small) == 2
    assert processes(4, [Input("-"), small[0]]) == 1


def test_summary_puts_the_gravest_first(scanner: Scanner, tmp_path: Path) -> None:
    """For people: one row for each rule and file, with the number of hits and the first and last time."""
    summary = Summary()
    for hit in found(scanner, log(tmp_path / "a.log", "/../1", "/../2")):
        summary.add(hit)
    (row,) = summary.rows()
    assert (row["level"], row["rule"], row["hits"]) == ("high", "Traversal", 2)


# ------------------------------------------------------------------ recorded event logs


@pytest.mark.data
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_half_an_event_log(share: float, data_folder: Path, scanner: Scanner, tmp_path: Path) -> None:
    """Of an EVTX file that is cut off, what is left is read, and the loss is named."""
    source = max((data_folder / "evtx").rglob("*.evtx"), key=lambda p: p.stat().st_size)
    raw = source.read_bytes()
    path = tmp_path / "cut.evtx"
    path.write_bytes(raw[: int(len(raw) * share)])
    found(scanner, Input(str(path)))
    assert scanner.tally.events > scanner.tally.unreadable
    assert scanner.tally.files == 1
