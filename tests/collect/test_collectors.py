"""Every collector file, one by one: it lints, its samples pass, hostile input neither breaks nor stops it."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from soc import content
from soc.collect import check
from soc.collect.collector import LAYERS, Collectors, Context, load_collectors
from soc.collect.decode import MAX_LINE
from soc.errors import Severity
from soc.event import moment

FOLDER = content.shipped("collectors")
FILES = list(content.files(FOLDER))


@pytest.fixture(scope="module")
def collectors() -> Collectors:
    """All shipped collectors."""
    return load_collectors([FOLDER])


def _id(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_it_lints_without_errors_or_warnings(path: Path) -> None:
    """A shipped collector has no problem, warnings included."""
    assert [str(p) for p in check.lint([path])] == []


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_its_samples_give_what_they_promise(path: Path, collectors: Collectors) -> None:
    """Each sample gives the expected events, and each event is well-formed ECS."""
    collector = collectors[path.stem]
    assert collector.samples
    assert [str(p) for p in check.test(collector)] == []


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_it_stands_in_the_folder_of_its_layer(path: Path, collectors: Collectors) -> None:
    """The folder says the layer, and the layer is 1 to 4."""
    assert path.parent.name == LAYERS[collectors[path.stem].layer]


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_its_samples_hold_no_real_addresses(path: Path) -> None:
    """Samples use documentation addresses (RFC 5737, RFC 3849) and example names only."""
    import re

    allowed = ("192.0.2.", "198.51.100.", "203.0.113.", "127.", "0.0.0.0", "255.")
    text = path.read_text("utf-8").partition("\nsamples:")[2]
    text = re.sub(r"1\.3\.6\.1\.4\.1\.[\d.]+", "", text)
    found = re.findall(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", text)
    assert [address for address in found if not address.startswith(allowed)] == []


def _hostile(rng: random.Random) -> list[bytes]:
    """Lines that make careless patterns slow or break careless code."""
    words = [
        b" from ",
        b"a",
        b" ",
        b"=",
        b'"',
        b"\\",
        b"[",
        b": ",
        b"1",
        b"\xff",
        b"\0",
        b"{",
        b"]",
        b"'",
        b"-",
        b"\xcc\x81",
    ]
    out = [word * 4000 for word in words]
    out += [b" ".join(rng.choice(words) for _ in range(1500)) for _ in range(10)]
    out += [bytes(rng.randrange(256) for _ in range(600)) for _ in range(10)]
    headers = [
        *(
            b"Mar  2 14:14:09 h " + program + b": "
            for program in (b"sshd[1]", b"postfix/smtpd[1]", b"sudo", b"kernel")
        ),
        b"type=EXECVE msg=audit(1.1:1): ",
        b'192.0.2.1 - - [02/Mar/2026:14:14:09 +0700] "',
        b"[Mon Mar 02 14:14:09 2026] [error] [client 192.0.2.1] ",
        b"2026/03/02 14:14:09 [error] 1#1: ",
    ]
    starts = [
        b"Failed password for ",
        b"user ",
        b"pam_unix(x:auth): authentication failure;",
        b"warning: x[",
        b"A1B2C3D4: to=<",
    ]
    out += [head + start + word * 3500 for head in headers for start in (b"", *starts) for word in words[:6]]
    return out


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_hostile_lines_give_one_event_each_at_once(
    path: Path, collectors: Collectors, tmp_path: Path
) -> None:
    """Any bytes give an event or nothing, within a moment; an event has a time and its original."""
    collector = collectors[path.stem]
    decoder = collector.decoder(Context(now=moment("2026-06-01T00:00:00Z")))
    lines = _hostile(random.Random(path.stem))
    if collector.framing == "file":
        for i, line in enumerate(lines[:40]):
            report = tmp_path / f"{i}.report"
            report.write_bytes(line)
            assert all(event["event.kind"] for _, event in decoder.file(report))
        return
    slowest = 0.0
    for line in lines:
        started = time.process_time()
        event = decoder.line(line)
        slowest = max(slowest, time.process_time() - started)
        if event is not None:
            moment(event["@timestamp"])
            assert event["event.original"]
            assert event["soc.collector"]
    assert slowest < 0.5


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_a_line_beyond_the_limit_is_cut_and_marked(path: Path, collectors: Collectors) -> None:
    """A record of several megabytes stays one event of bounded size, whose full length is known."""
    collector = collectors[path.stem]
    if collector.framing == "file":
        pytest.skip("reads whole files")
    event = collector.decoder().line(b"x" * (3 * MAX_LINE))
    if event is None:
        return
    assert event["tags"] == "line_cut"
    assert event["soc.extra.original_bytes"] == 3 * MAX_LINE
    assert len(event["event.original"]) == MAX_LINE


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_samples_cut_anywhere_never_raise(path: Path, collectors: Collectors, tmp_path: Path) -> None:
    """The beginning of a good record, cut at any point, is read or reported, never an exception."""
    collector = collectors[path.stem]
    decoder = collector.decoder()
    for sample in collector.samples:
        text = sample.text or "\n".join(sample.lines)
        for cut in range(0, len(text), max(len(text) // 60, 1)):
            if collector.framing == "lines":
                decoder.line(text[:cut].encode())
            else:
                report = tmp_path / "cut"
                report.write_text(text[:cut], "utf-8")
                list(decoder.file(report))


def test_each_layer_has_at_least_three_collectors(collectors: Collectors) -> None:
    """The four layers are all covered."""
    layers = [c.layer for c in collectors.values()]
    assert all(layers.count(layer) >= 3 for layer in LAYERS)


def test_no_file_is_broken(collectors: Collectors) -> None:
    """Loading the whole folder finds nothing wrong."""
    assert [p for p in collectors.problems if p.severity is Severity.ERROR] == []
