"""How rules are written: each habit with a rule that breaks it, and one that looks like it and does not."""

from __future__ import annotations

import pytest

from soc import yamlio
from soc.detect.habits import habits

GOOD = """\
title: A rule
logsource: {category: test}
detection:
  sel: {f|contains: a}
  condition: sel
"""


def kinds(text: str) -> set[str]:
    """The kinds of findings about a document."""
    return {problem.kind for problem in habits(yamlio.parse(text, "rule.yml"))}


def detection(text: str, condition: str = "sel") -> str:
    """The good rule with another detection."""
    return GOOD.replace("  sel: {f|contains: a}\n  condition: sel", f"  {text}\n  condition: {condition}")


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (GOOD + "refrences: [x]\n", "misspelt_key"),
        (GOOD.replace("category: test", "category: test, index: x"), "misspelt_key"),
        (GOOD.replace("A rule", "x" * 300), "long_title"),
        (GOOD + "status: deprecated\n", "retired"),
        (GOOD + "tags: [attack.execution, attack.execution]\n", "twice"),
        (GOOD + "falsepositives: [None]\n", "empty_falsepositive"),
        (GOOD + "tags: [attack.executon]\n", "attack_tag"),
        (GOOD + "tags: [attack.t12]\n", "attack_tag"),
        (detection("sel: {f: a}\n  other: {g: b}"), "unused_detection"),
        (detection("sel: {f: a}\n  other: {g: b}", "all of them"), "all_of_them"),
        (detection("sel: {f: a}\n  timeframe: 5m"), "timeframe"),
        (detection("sel: {f|contains|contains: a}"), "modifier_twice"),
        (detection("sel: {f|contains|all: [a]}"), "single_all"),
        (detection("sel: {f|all: [a, b]}"), "all_whole"),
        (detection("sel: {f|base64offset: abcdef}"), "offset_whole"),
        (detection("sel: {f|startswith: 1.10}"), "number_as_text"),
        (detection('sel: {f: "C:\\temp"}'), "control_character"),
        (detection("sel: {f: 'a**b'}"), "double_wildcard"),
        (detection(r"sel: {f: 'C:\Windows\*'}"), "plain_wildcard"),
        (detection("sel: {f: '*abc*'}"), "wildcard_for_modifier"),
        (detection("sel: {f: ['*.exe', '*abc']}"), "wildcard_for_modifier"),
        (
            GOOD.replace("category: test", "service: sysmon").replace("f|contains: a", "EventID: 1"),
            "specific_source",
        ),
        (detection("sel: [{f|all: [a, b]}]"), "all_whole"),
    ],
)
def test_a_habit_is_found_where_it_is_broken(broken: str, kind: str) -> None:
    """Each with its kind, and a place within the file."""
    found = [problem for problem in habits(yamlio.parse(broken, "rule.yml")) if problem.kind == kind]
    assert found, kinds(broken)
    assert all(problem.place.line for problem in found)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD
        + "tags: [attack.t1059.001, attack.command-and-control, attack.g0016, attack.s0002, cve.2026-1]\n",
        GOOD + "custom_key: 1\n",
        detection("sel_1: {f: a}\n  sel_2: {g: b}", "1 of sel_*"),
        detection("sel: {f|contains|all: [a, b]}"),
        detection("sel: {f|all: ['a*', '*b']}"),
        detection("sel: {f|base64offset|contains: abcdef}"),
        detection("sel: {f: 1.5}"),
        detection(r"sel: {f: 'C:\Windows\\*'}"),
        detection(r"sel: {f: 'a\*b'}"),
        detection("sel: {f: ['*', 'a*b']}"),
        detection("sel: {f: [abc, '*abc']}"),
        detection("sel: {f|re: 'a**'}"),
        detection("sel: [a, b]"),
        "[]",
    ],
)
def test_what_is_well_written_has_no_finding(text: str) -> None:
    """Nothing is said of what looks similar and is meant so."""
    assert kinds(text) == set()
