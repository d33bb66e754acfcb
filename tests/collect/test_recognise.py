"""Which collector a file is given to: content decides, a name only tips the scales."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from soc import content
from soc.collect.collector import Collectors, load_collectors
from soc.collect.recognise import claims, recognise


@pytest.fixture(scope="module")
def collectors() -> Collectors:
    """All shipped collectors."""
    return load_collectors([content.shipped("collectors")])


NAMES = [path.stem for path in content.files(content.shipped("collectors"))]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_its_samples_is_recognised(name: str, collectors: Collectors, tmp_path: Path) -> None:
    """Each collector's samples, under a name that says nothing, are given to that collector."""
    collector = collectors[name]
    texts = [s.text for s in collector.samples if s.text][:1]
    own = [line for s in collector.samples for line in s.lines if line and s.count != 0]
    if not texts and not own:
        pytest.skip("its samples are no text")
    file = tmp_path / "file.dat"
    if collector.fallback:
        own = own[:1]
    file.write_text("".join(texts) or "\n".join(own) + "\n", "utf-8")
    found = recognise(file, collectors)
    assert found is not None
    alike = {"nginx", "apache"}  # both write the common log format; only the name of a file tells them apart
    assert found.name == name or {found.name, name} == alike, [
        (c.collector.name, c.score) for c in claims(file, collectors)
    ]


def test_a_log_of_many_programs_is_syslog(collectors: Collectors, tmp_path: Path) -> None:
    """Where no program has most of the lines, the general collector reads them all."""
    file = tmp_path / "auth.log"
    file.write_text(
        "Mar  2 10:00:00 h sshd[1]: Invalid user a from 192.0.2.7 port 1\n"
        "Mar  2 10:00:00 h sudo: a : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh\n"
        "Mar  2 10:00:00 h ntpd[1]: synchronised\n"
    )
    found = recognise(file, collectors)
    assert found is not None
    assert found.name == "syslog"


def test_a_compressed_file_is_recognised(collectors: Collectors, tmp_path: Path) -> None:
    """What is inside counts, also where the file is cut off."""
    line = b'192.0.2.7 - - [02/Mar/2026:14:14:09 +0700] "GET /%d HTTP/1.1" 200 5 "-" "-"\n'
    packed = gzip.compress(b"".join(line % i for i in range(3000)))
    for name, raw in (("whole.gz", packed), ("cut.gz", packed[: len(packed) // 2])):
        file = tmp_path / name
        file.write_bytes(raw)
        found = recognise(file, collectors)
        assert found is not None
        assert found.name in {"nginx", "apache"}


def test_the_name_decides_between_equals(collectors: Collectors, tmp_path: Path) -> None:
    """nginx and Apache write the same format; the file's name says which it is."""
    line = '192.0.2.7 - - [02/Mar/2026:14:14:09 +0700] "GET / HTTP/1.1" 200 5 "-" "-"\n'
    for name, expected in (("apache-access.log", "apache"), ("nginx-access.log", "nginx")):
        file = tmp_path / name
        file.write_text(line)
        found = recognise(file, collectors)
        assert found is not None
        assert found.name == expected


@pytest.mark.parametrize("raw", [b"", b"\0" * 500, bytes(range(256)) * 9, b"just some words\nand others\n"])
def test_what_nobody_reads_is_given_to_nobody(raw: bytes, collectors: Collectors, tmp_path: Path) -> None:
    """Empty, binary and strange files have no collector."""
    file = tmp_path / "file.dat"
    file.write_bytes(raw)
    assert recognise(file, collectors) is None


def test_a_reason_is_given(collectors: Collectors, tmp_path: Path) -> None:
    """A claim says in words how many of the first records were read as what."""
    file = tmp_path / "x"
    file.write_text("Mar  2 10:00:00 h sshd[1]: Invalid user a from 192.0.2.7 port 1\n")
    assert "1 of its first 1 records are read by sshd.auth" in claims(file, collectors)[0].why


def own(folder: Path, name: str, text: str) -> Collectors:
    """The shipped collectors with one of a user's."""
    folder.mkdir()
    (folder / f"{name}.yml").write_text(f"name: {name}\ntitle: t\nlayer: 1\n{text}")
    return load_collectors([content.shipped("collectors"), folder])


@pytest.mark.parametrize(
    "text",
    [
        "streams: [{name: log, pattern: '(?P<message>.*)', fields: {message: message}}]\n",
        "streams: [{name: log, pattern: '(?P<a>\\S+) (?P<message>.+)', fields: {message: message}}]\n",
        "format: syslog\nstreams: [{name: log, fields: {message: message}}]\n",
    ],
)
def test_what_reads_any_line_is_recognised_by_name_alone(text: str, tmp_path: Path) -> None:
    """It wins over no collector that knows the log, and over the general ones only by a telling name."""
    with_app = own(tmp_path / "own", "app", "recognise: {names: ['app.*']}\n" + text)
    login = "Mar  2 10:00:00 h sshd[1]: Invalid user a from 192.0.2.7 port 1\n"
    other = "Mar  2 10:00:00 h portald[1]: done\n"
    for name, lines_, expected in (
        ("auth.dat", login * 6 + other * 2, "sshd"),
        ("app.log", login * 6 + other * 2, "sshd"),
        ("x.dat", other * 8, "syslog"),
        ("app.txt", other * 8, "app"),
    ):
        (tmp_path / name).write_text(lines_)
        found = recognise(tmp_path / name, with_app)
        assert found is not None
        assert (name, found.name) == (name, expected)


def test_any_json_is_not_ones_own(tmp_path: Path) -> None:
    """A collector that takes every document does not take the files of others."""
    text = "format: json\nstreams: [{name: event, fields: {message: message}}]\n"
    with_app = own(tmp_path / "own", "app", text)
    file = tmp_path / "x.dat"
    file.write_text('{"timestamp":"2026-03-02T07:14:09Z","message":"x"}\n')
    found = recognise(file, with_app)
    assert found is not None
    assert found.name == "jsonl"


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        ("login.dat", "2026-11-23T08:00:00Z|alice|10.1.2.3|LOGIN|OK", None),
        ("login.csv", "10.1.2.3,alice,LOGIN", None),
        ("list.txt", "203.0.113.7", "indicators"),
        ("list.txt", "hxxp://c2.example[.]net/a # seen in mail", "indicators"),
        ("botnet.csv", "203.0.113.7,8443,botnet", "indicators"),
    ],
)
def test_a_log_with_addresses_is_no_list_of_them(
    name: str, line: str, expected: str | None, collectors: Collectors, tmp_path: Path
) -> None:
    """Rows with more than a value are a list of indicators only where the file's name says so."""
    (tmp_path / name).write_text(f"{line}\n" * 5)
    found = recognise(tmp_path / name, collectors)
    assert (found.name if found else None) == expected


@pytest.mark.data
def test_real_event_logs_are_recognised(collectors: Collectors, data_folder: Path) -> None:
    """Every EVTX file of the outside data is given to the EVTX collector."""
    for file in sorted((data_folder / "evtx").rglob("*.evtx"))[:40]:
        found = recognise(file, collectors)
        assert found is not None
        assert found.name == "windows-evtx"


def test_an_event_log_is_recognised_without_reading_every_collector(tmp_path: Path) -> None:
    """Only collectors that speak of the format can read it; a broken one in its place is not read for it."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "nginx.yml").write_text("this is: [no collector\n")
    found = load_collectors([content.shipped("collectors"), own])
    log = tmp_path / "Security"
    log.write_bytes(b"ElfFile\0" + bytes(4088))
    collector = recognise(log, found)
    assert collector is not None
    assert collector.name == "windows-evtx"
    assert "nginx" not in found._loaded
