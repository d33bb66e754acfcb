"""Collector files: what is wrong with one is said with its line, and does not hurt its neighbours."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.collect.check import lint
from soc.collect.check import test as run_samples
from soc.collect.collector import Context, load, load_collectors
from soc.errors import ContentError, UsageError

GOOD = """name: {name}
title: A log
layer: 1
recognise: {{names: ['*x*']}}
streams:
  - name: log
    pattern: '(?P<client>\\S+) (?P<message>.*)'
    fields: {{source.ip: client | address, message: message}}
    set: {{event.category: host, event.type: info}}
samples:
  - line: '192.0.2.7 hello'
    expect: {{source.ip: 192.0.2.7, message: hello, event.dataset: {name}.log}}
"""


def _write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "kind", "line"),
    [
        (("streams:", "streamz:"), "unknown_key", 5),
        (("source.ip: client", "source.ipp: client"), "unknown_field", 8),
        (("client | address", "client | adress"), "unknown_filter", 8),
        (("message: message", "message: nothing"), "unknown_raw", 8),
        (("(?P<message>.*)", "(?P<message>.*"), "pattern", 7),
        (("(?P<message>.*)", "(?P<message>(a+)+)"), "pattern", 7),
        (("(?P<message>.*)", "(?P<message>(?=x).*)"), "pattern", 7),
        (("event.category: host", "event.category: hosts"), "value", 9),
        (("event.type: info", "process.pid: many"), "value", 9),
        (("layer: 1", "layer: 5"), "layer", 3),
        (("layer: 1", "layer: 1\nformat: xyz"), "format", 4),
        (("name: log", "name: Log"), "name", 6),
        (("expect:", "expekt:"), "unknown_key", 12),
        (("title: A log", "title: A log\ntime: {from: client, format: moon}"), "time", 3),
        (("title: A log\n", ""), "title", 1),
    ],
)
def test_a_problem_is_named_with_its_line(
    tmp_path: Path, change: tuple[str, str], kind: str, line: int
) -> None:
    """Each kind of mistake is found at the line where it stands."""
    path = _write(tmp_path, "x", GOOD.format(name="x").replace(*change, 1))
    collector, problems = load(path)
    assert collector is None
    assert (kind, line) in {(p.kind, p.place.line) for p in problems}


def test_all_problems_are_found_at_once(tmp_path: Path) -> None:
    """Three mistakes in one file are three problems."""
    text = (
        GOOD.format(name="x")
        .replace("layer: 1", "layer: 9")
        .replace("source.ip", "source.xx")
        .replace("info", "infos")
    )
    _, problems = load(_write(tmp_path, "x", text))
    assert {p.kind for p in problems} == {"layer", "unknown_field", "value"}


@pytest.mark.parametrize(
    "text", ["", "[]", "a", "name: [", "\0", "- 1\n- 2", "name: x\nname: y", "!!python/object:os.system {}"]
)
def test_what_is_no_collector_is_a_problem(tmp_path: Path, text: str) -> None:
    """Empty files, lists, broken YAML and tags are problems, not exceptions."""
    collector, problems = load(_write(tmp_path, "x", text))
    assert collector is None
    assert problems


def test_the_file_is_named_as_the_collector(tmp_path: Path) -> None:
    """A collector is found by its file's name, so the two must agree."""
    _, problems = load(_write(tmp_path, "y", GOOD.format(name="x")))
    assert [p.kind for p in problems] == ["file_name"]


def test_a_broken_collector_does_not_hurt_its_neighbours(tmp_path: Path) -> None:
    """The others load; asking for the broken one raises with its problems."""
    _write(tmp_path, "good", GOOD.format(name="good"))
    _write(tmp_path, "bad", "name: bad\nlayer: 7")
    collectors = load_collectors([tmp_path])
    assert list(collectors) == ["good"]
    assert {p.place.path for p in collectors.problems} == {str(tmp_path / "bad.yml")}
    with pytest.raises(ContentError):
        collectors["bad"]


def test_a_later_folder_overrides_by_name(tmp_path: Path) -> None:
    """A user's file takes the place of a shipped one."""
    _write(tmp_path / "a", "x", GOOD.format(name="x"))
    _write(tmp_path / "b", "x", GOOD.format(name="x").replace("A log", "Mine"))
    assert load_collectors([tmp_path / "a", tmp_path / "b"])["x"].title == "Mine"


def test_a_missing_folder_is_a_problem(tmp_path: Path) -> None:
    """It is said, and nothing else fails."""
    assert [p.kind for p in load_collectors([tmp_path / "none"]).problems] == ["missing"]


def test_an_unknown_name_suggests_near_ones(tmp_path: Path) -> None:
    """A typing error is answered with the name that was meant."""
    _write(tmp_path, "nginx", GOOD.format(name="nginx"))
    with pytest.raises(UsageError, match="did you mean nginx"):
        load_collectors([tmp_path]).find("ngnix")


def test_a_sample_that_does_not_hold_is_a_problem(tmp_path: Path) -> None:
    """What came out and what was expected both stand in the message, at the sample's line."""
    collector, _ = load(
        _write(tmp_path, "x", GOOD.format(name="x").replace("message: hello,", "message: bye,"))
    )
    assert collector is not None
    (problem,) = run_samples(collector)
    assert "message is 'hello', expected 'bye'" in problem.message
    assert problem.place.line == 11


def test_a_collector_without_samples_is_warned_about(tmp_path: Path) -> None:
    """Nothing proves that it works."""
    path = _write(tmp_path, "x", GOOD.format(name="x").partition("samples:")[0])
    assert "no_samples" in {p.kind for p in lint([path])}


def test_the_text_of_a_file_never_becomes_code(tmp_path: Path) -> None:
    """Quotes, brackets and escapes in names, values and patterns stay data."""
    nasty = "'); raise SystemExit('x' + \\\"\\\" #"
    text = GOOD.format(name="x").replace(
        "event.type: info", f'event.type: info, labels.x: "{nasty}", event.reason: "\\n\\t{{e}}"'
    )
    collector, problems = load(_write(tmp_path, "x", text))
    assert problems == []
    assert collector is not None
    event = collector.decoder(Context()).line(b"192.0.2.7 hello")
    assert event is not None
    assert event["labels.x"] == "'); raise SystemExit('x' + \"\" #"
    assert event["event.reason"] == "\n\t{e}"


def test_cases_and_conditions(tmp_path: Path) -> None:
    """Of the cases that hold, the first that sets a field decides; every kind of condition works."""
    cases = """    cases:
      - {when: {n: {above: 10}}, set: {event.action: many}}
      - {when: {n: {below: 3}}, set: {event.action: few, labels.low: 'yes'}}
      - {when: {word: {prefix: [ab, cd]}}, set: {event.action: prefix}}
      - {when: {word: {suffix: z}}, set: {event.action: suffix}}
      - {when: {word: {contains: ['--']}}, set: {event.action: contains}}
      - {when: {word: {match: '[0-9]+$'}}, set: {event.action: match}}
      - {when: {word: {not: [q, r]}, opt: {exists: true}}, set: {event.action: both}}
      - {when: [{word: q}, {word: [r, s]}], set: {event.action: either}}
      - {set: {event.action: other}}
"""
    text = GOOD.format(name="x").replace(
        "(?P<client>\\S+) (?P<message>.*)", "(?P<n>\\d+) (?P<word>\\S+)(?: (?P<opt>\\S+))?"
    )
    text = text.replace("source.ip: client | address, message: message", "message: word")
    text = text.partition("samples:")[0] + cases
    collector, problems = load(_write(tmp_path, "x", text))
    assert problems == []
    assert collector is not None
    decoder = collector.decoder(Context())
    lines = {
        "11 q": "many", "2 q": "few", "5 abc": "prefix", "5 xz": "suffix", "5 a--b": "contains",
        "5 123": "match",
        "5 other it": "both", "5 q it": "either", "5 s": "either", "5 nothing": "other",
    }  # fmt: skip
    got = {line: (decoder.line(line.encode()) or {})["event.action"] for line in lines}
    assert got == lines
    low = decoder.line(b"1 q")
    assert low is not None
    assert low["labels.low"] == "yes"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("timezone: Mars/Base", "unknown time zone"),
        ("timezone: Asia", "unknown time zone"),
        ("file: ../../../../../../../../etc/passwd", "lies outside"),
        ("file: none.log", "there is no file"),
    ],
)
def test_a_sample_that_cannot_be_run_says_why(tmp_path: Path, more: str, words: str) -> None:
    """A zone that is none and a file that is not the sample's own are findings; nothing foreign is read."""
    text = GOOD.format(name="x")
    if more.startswith("file"):
        text = text.replace("line: '192.0.2.7 hello'", more)
    else:
        text += f"    {more}\n"
    path = _write(tmp_path, "x", text)
    collector, _ = load(path)
    assert collector is not None
    problems = run_samples(collector)
    assert [words in problem.message for problem in problems] == [True], problems
