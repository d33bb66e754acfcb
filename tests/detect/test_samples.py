"""Samples of rules: reading their files, and taking cases through collector, store and sweep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soc import content
from soc.collect.collector import load_collectors
from soc.detect.rule import Rule
from soc.detect.ruleset import load_rules
from soc.detect.samples import Bench, Samples, enough, load_samples, run_samples, samples_path
from soc.detect.skeleton import RULE, SAMPLES

LINE = '203.0.113.5 - - [02/Mar/2026:07:14:09 +0700] "GET /{page} HTTP/1.1" {status} 512 "-" "curl/8.5.0"'
VALUES = {
    "title": "A page",
    "id": "6a5f0c1e-0d52-4c8e-9a64-1b2c3d4e5f60",
    "author": "somebody",
    "date": "2026-03-02",
    "marker": "secret-page",
}


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    """A rule that fires on a page of the portal, with samples that pass."""
    path = tmp_path / "page.yml"
    path.write_text(RULE.format(**VALUES))
    samples_path(path).parent.mkdir()
    samples_path(path).write_text(SAMPLES.format(**VALUES))
    return path


@pytest.fixture
def rule(rule_file: Path) -> Rule:
    """The rule of `rule_file`, compiled."""
    (found,) = load_rules([rule_file], cache=False).rules
    return found


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A place to try rules, with the shipped collectors."""
    with Bench(load_collectors([content.shipped("collectors")])) as made:
        yield made


def samples(rule_file: Path, text: str) -> Samples:
    """The samples of the rule after their file was replaced."""
    samples_path(rule_file).write_text(text)
    return load_samples(rule_file)


def faults(bench: Bench, rule: Rule, text: str) -> list[str]:
    """What is wrong with each case of a text of samples."""
    read = samples(Path(rule.path), text)
    assert not read.problems
    return [bench.run(rule, case).fault for case in read.cases]


def one_case(expect: str, line: str, more: str = "") -> str:
    """Samples with one case of one line."""
    head = f"cases:\n  - name: a\n    expect: {expect}\n    collector: nginx\n"
    return f"{head}{more}    lines:\n      - '{line}'\n"


def test_cases_that_go_as_expected_pass(bench: Bench, rule: Rule) -> None:
    """Each case counts its own events and hits, whatever the case before it was."""
    results = [bench.run(rule, case) for case in load_samples(Path(rule.path)).cases]
    assert [(r.case.expect, r.events, r.hits, r.passed) for r in results] == [
        ("fires", 1, 1, True),
        ("fires", 1, 1, True),
        ("near_miss", 1, 0, True),
        ("silent", 1, 0, True),
        ("silent", 1, 0, True),
    ]


def test_the_same_case_twice_gives_the_same(bench: Bench, rule: Rule) -> None:
    """Nothing of an earlier run is in the way of a later one."""
    case = load_samples(Path(rule.path)).cases[0]
    assert [bench.run(rule, case).hits for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("expect", "page", "status", "fault"),
    [
        ("fires", "other", 200, "it should fire and did not"),
        ("silent", "secret-page", 200, "it should stay silent and fired on 1 of 1 events"),
        ("near_miss", "secret-page", 200, "it should stay silent and fired on 1 of 1 events"),
    ],
)
def test_a_case_that_goes_otherwise_says_how(
    bench: Bench, rule: Rule, expect: str, page: str, status: int, fault: str
) -> None:
    """The fault names what was expected and what happened."""
    assert faults(bench, rule, one_case(expect, LINE.format(page=page, status=status))) == [fault]


def test_an_exception_that_hides_a_sample_is_named(bench: Bench, rule_file: Path) -> None:
    """Nothing in the rule is wrong then, and nobody would look for the reason in another file."""
    (rule_file.parent / "hides.yml").write_text(
        "title: Hides\nid: 7b1f0c1e-0d52-4c8e-9a64-1b2c3d4e5f61\nlogsource: {category: webserver}\n"
        f"filter: {{rules: [{VALUES['id']}], selection: {{url.path: '*'}}, condition: not selection}}\n"
        "custom_attributes: {soc.owner: me, soc.reason: a test, soc.expires: '2999-01-01'}\n"
    )
    (rule,) = load_rules([rule_file.parent], cache=False).rules
    case = load_samples(rule_file).cases[0]
    said = bench.run(rule, case).fault
    assert said == "it should fire and did not: hidden by the exception 7b1f0c1e (soc exception show)"


def test_a_line_that_cannot_be_read_shows_nothing(bench: Bench, rule: Rule) -> None:
    """A silent case of rubbish is not passed over as silent."""
    (fault,) = faults(bench, rule, one_case("silent", "rubbish"))
    assert fault.startswith("the collector nginx could not read a line")


def test_an_unreadable_line_is_fine_when_it_is_meant_to_be(bench: Bench, rule: Rule) -> None:
    """`unreadable: true` allows rubbish, and refuses lines that can be read."""
    more = "    unreadable: true\n"
    readable = LINE.format(page="other", status=200)
    assert faults(bench, rule, one_case("silent", "rubbish", more)) == [""]
    assert "could read it all" in faults(bench, rule, one_case("silent", readable, more))[0]


def test_a_case_without_events_is_wrong(bench: Bench, rule: Rule) -> None:
    """Blank lines make no event, so nothing was shown."""
    assert faults(bench, rule, one_case("silent", "  ")) == ["the collector nginx made no event of it"]


def test_a_near_miss_is_near(bench: Bench, rule: Rule) -> None:
    """A line of another log source is no near miss, however silent the rule stays."""
    text = one_case("near_miss", "Mar  2 08:00:00 web01 sshd[1]: Invalid user x from 192.0.2.1 port 1")
    (fault,) = faults(bench, rule, text.replace("nginx", "sshd"))
    assert "no near miss" in fault


def test_an_unknown_collector_is_named(bench: Bench, rule: Rule) -> None:
    """The fault says which collector there is not."""
    assert faults(bench, rule, one_case("silent", "x").replace("nginx", "nosuch")) == [
        "there is no collector 'nosuch'"
    ]


def test_a_case_may_read_a_file(bench: Bench, rule: Rule, rule_file: Path) -> None:
    """`file` is a path from the folder of the samples, read as the collector reads files."""
    log = samples_path(rule_file).parent / "night.log"
    log.write_text(LINE.format(page="secret-page", status=200) + "\n")
    text = "cases:\n  - {name: a, expect: fires, collector: nginx, file: night.log}\n"
    assert faults(bench, rule, text) == [""]


def test_a_rule_that_cannot_see_anything_fails_with_the_reason(bench: Bench, rule_file: Path) -> None:
    """A rule on a log source that nobody provides is not silent, but blind."""
    rule_file.write_text(rule_file.read_text().replace("category: webserver", "product: nosuch"))
    (blind,) = load_rules([rule_file], cache=False).rules
    result = bench.run(blind, load_samples(rule_file).cases[3])
    assert "no collector and no pipeline provides the log source" in result.fault


def test_the_zone_and_the_moment_of_reading_decide_the_time(bench: Bench, rule_file: Path) -> None:
    """Times without year and zone become what the case says they are."""
    text = one_case(
        "silent",
        "Mar  2 08:00:00 web01 sshd[1]: Invalid user x from 192.0.2.1 port 1",
        "    timezone: Asia/Ho_Chi_Minh\n    now: 2031-05-01T00:00:00Z\n",
    ).replace("nginx", "sshd")
    (case,) = samples(rule_file, text).cases
    (event,) = bench._events(case)
    assert event["@timestamp"] == "2031-03-02T01:00:00.000000Z"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a mapping is expected here"),
        ("cases: []", "`cases` must be a list of cases"),
        ("cases: {a: 1}", "`cases` must be a list of cases"),
        ("tests: []", "unknown key 'tests'"),
        ("cases: [text]", "a mapping is expected here"),
        ("cases: [{name: a, expect: fires, collector: nginx}]", "either `lines` or `file`"),
        (
            "cases: [{name: a, expect: maybe, collector: nginx, lines: [x]}]",
            "one of fires, silent, near_miss",
        ),
        ("cases: [{expect: fires, collector: nginx, lines: [x]}]", "`name` is missing"),
        ("cases: [{name: a, expect: fires, lines: [x]}]", "`collector` is missing"),
        ("cases: [{name: a, expect: fires, collector: nginx, lines: []}]", "list of texts"),
        ("cases: [{name: a, expect: fires, collector: nginx, lines: [1]}]", "list of texts"),
        ("cases: [{name: a, expect: fires, collector: nginx, line: x}]", "unknown key 'line'"),
        ("cases: [{name: a, expect: fires, collector: nginx, file: nosuch.log}]", "there is no file"),
        ("cases: [{name: a, expect: fires, collector: nginx, file: /etc/passwd}]", "lies outside"),
        (
            "cases: [{name: a, expect: fires, collector: nginx, lines: [x], timezone: Mars/Base}]",
            "unknown time zone",
        ),
        (
            "cases: [{name: a, expect: fires, collector: nginx, lines: [x], now: 2026-03-02T00:00:00}]",
            "a time with a zone",
        ),
        (
            "cases: [{name: a, expect: fires, collector: nginx, lines: [x], unreadable: maybe}]",
            "`unreadable` is true or false",
        ),
        ("cases: [", "did not find"),
    ],
)
def test_a_mistake_in_samples_is_shown_with_its_place(rule_file: Path, text: str, words: str) -> None:
    """Every mistake names file and line; the broken case is not run."""
    read = samples(rule_file, text)
    assert any(words in str(problem) for problem in read.problems), list(map(str, read.problems))
    assert all(problem.place.path == str(samples_path(rule_file)) for problem in read.problems)
    assert not read.cases


def test_a_broken_case_does_not_hurt_its_neighbours(rule_file: Path) -> None:
    """The other cases are read, and a name that stands twice is an error."""
    good = SAMPLES.format(**VALUES)
    read = samples(
        rule_file, good + "  - {name: another page, expect: fires, collector: nginx, lines: [x]}\n"
    )
    assert [case.name for case in read.cases][-1] == "a longer name"
    assert "stands twice" in str(read.problems[0])


def test_a_rule_without_enough_samples_is_told_what_lacks(rule_file: Path) -> None:
    """Two that fire, three that do not, one near miss: each lack is named."""
    assert not enough(rule_file, load_samples(rule_file))
    lacking = enough(rule_file, samples(rule_file, one_case("fires", "x")))
    assert [p.kind for p in lacking] == ["few_samples"] * 3
    samples_path(rule_file).unlink()
    (none,) = enough(rule_file, load_samples(rule_file))
    assert none.kind == "no_samples"
    assert "soc rule new" in none.hint


def test_binary_samples_are_a_finding(rule_file: Path) -> None:
    """A file that is no text is named, and nothing is raised."""
    samples_path(rule_file).write_bytes(b"\xff\xfe\x00\x01")
    (problem,) = load_samples(rule_file).problems
    assert problem.kind == "encoding"


def test_the_bench_leaves_nothing_behind(rule: Rule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its store is in a folder of its own, which is gone afterwards."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    for memory in (scratch, tmp_path / "none"):
        monkeypatch.setattr("soc.detect.samples.MEMORY", memory)
        results = list(run_samples([rule], load_collectors([content.shipped("collectors")])))
        assert results
        assert all(result.passed for result in results)
        assert not list(scratch.iterdir())


def test_lines_are_repeated_with_a_number_and_at_times(bench: Bench, rule: Rule, rule_file: Path) -> None:
    """Each repetition is an event of its own, `{n}` its number; `times` says when each event was."""
    line = LINE.format(page="secret-page?{n}", status=200)
    (case,) = samples(rule_file, one_case("fires", line, "    repeat: {times: 3, every: 1m}\n")).cases
    result = bench.run(rule, case)
    assert (result.events, result.fault) == (3, "")
    (case,) = samples(rule_file, one_case("fires", line, "    times: [5s]\n")).cases
    assert bench.run(rule, case).passed
    (case,) = samples(rule_file, one_case("fires", line, "    times: [0s, 1h]\n")).cases
    assert bench.run(rule, case).fault == "`times` has 2 spans for 1 events"
    problems = samples(rule_file, one_case("fires", line, "    times: [soon]\n")).problems
    assert "soon" in problems[0].message
