# ruff: noqa: E501 - a case is one line
"""Why a rule fires or does not: each part as it is written, its verdict, what it saw, and what nearly fitted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soc import yamlio
from soc.config import StoreSettings, load
from soc.detect.explain import Explanation, Step, explain, lines
from soc.detect.logsources import Declared
from soc.detect.near import near_miss
from soc.detect.predicate import Op, Test, Verdict, evaluate
from soc.detect.rule import Logsource
from soc.detect.ruleset import load_rules
from soc.detect.subject import Asked, bursts, events_of, subject_of
from soc.errors import UsageError
from soc.store import open_store
from soc.store.contract import Store
from tests.detect import rules
from tests.detect.test_modifiers import CASES
from tests.detect.world import append
from tests.detect.world import event as world_event

RULE = """
selection:
  process.name|endswith: [.exe, .com]
  CommandLine|contains|all: [' -enc', hidden]
filter_tools: {user.name: backup}
keywords: [evil]
condition: (selection and not 1 of filter_*) or keywords
"""


def told(folder: Path, detection: str, event: dict[str, Any], *more: str) -> Explanation:
    """The explanation of the rule with this detection."""
    found = rules.load(folder, rules.text(detection), *more)
    (rule,) = found.rules
    answer = explain(subject_of(load(), found, rule, stored=None), event, "the event")
    whole = evaluate(rule.predicate, event)
    assert answer.verdict == whole or (answer.verdict == "blind" and whole is Verdict.FALSE)
    return answer


def steps(answer: Explanation) -> dict[str, Step]:
    """Every step by its label; of equal ones the first."""
    out: dict[str, Step] = {}
    waiting = list(answer.steps)
    while waiting:
        step = waiting.pop(0)
        out.setdefault(step.label, step)
        waiting += step.parts
    return out


EVENT = {
    "event.dataset": "test.event",
    "process.name": "cmd.EXE",
    "user.name": "an",
    "CommandLine": "x -enc Hidden",
}


def test_each_part_has_its_verdict_and_what_it_saw(tmp_path: Path) -> None:
    """Detections, fields, values and conditions under the names that the rule gives them."""
    answer = told(tmp_path, RULE, EVENT)
    found = steps(answer)
    assert answer.verdict == "true"
    expected = {
        "selection": "true", "process.name|endswith": "true", ".exe": "true", ".com": "false",
        "CommandLine|contains|all": "true", " -enc": "true", "hidden": "true", "1 of filter_*": "false",
        "filter_tools": "false", "backup": "false", "not": "true", "or": "true", "keywords": "false",
        "log source: category test": "true",
    }  # fmt: skip
    assert {label: found[label].verdict for label in expected} == expected
    assert found["process.name|endswith"].seen == ("cmd.EXE",)
    assert found["log source: category test"].seen == ("test.event",)


def test_a_field_that_is_not_there_is_blind(tmp_path: Path) -> None:
    """Blind is not false: it is said where the event has something of that name instead."""
    event = {**EVENT, "winlog.event_data.CommandLine": "x"}
    del event["CommandLine"]
    answer = told(tmp_path, RULE.replace(" or keywords", "").replace("keywords: [evil]\n", ""), event)
    found = steps(answer)
    assert answer.verdict == "blind"
    assert found["CommandLine|contains|all"].verdict == "blind"
    assert found["CommandLine|contains|all"].hint == "the event has winlog.event_data.CommandLine"
    assert found["selection"].verdict == "blind"
    assert found["process.name|endswith"].verdict == "true"


def test_what_speaks_against_it_is_false_not_blind(tmp_path: Path) -> None:
    """One part that was seen and does not hold decides, whatever could not be seen."""
    answer = told(tmp_path, "s: {a: 1, b: 2}\ncondition: s", {"event.dataset": "test.event", "b": 3})
    assert answer.verdict == "false"
    answer = told(
        tmp_path / "or", "s: [{a: 1}, {b: 2}]\ncondition: s", {"event.dataset": "test.event", "b": 3}
    )
    assert answer.verdict == "false"
    answer = told(tmp_path / "source", "s: {a: 1}\ncondition: s", {"event.dataset": "other"})
    assert answer.verdict == "false"
    answer = told(tmp_path / "null", "s: {a: null}\ncondition: not s", {"event.dataset": "test.event"})
    assert answer.verdict == "false"


def test_undecided_is_shown(tmp_path: Path) -> None:
    """An expression that runs out of time is neither true nor false."""
    answer = told(
        tmp_path,
        "s: {f|re: '(?=a)(a|aa)+$'}\ncondition: s",
        {"event.dataset": "test.event", "f": "a" * 5000 + "!"},
    )
    assert answer.verdict == "undecided"
    assert steps(answer)["s"].verdict == "undecided"


def test_keywords_say_where_they_were_found(tmp_path: Path) -> None:
    """A value without a field names the field that holds it."""
    answer = told(
        tmp_path, "k: [evil, bad]\ncondition: k", {"event.dataset": "test.event", "x": "an Evil one"}
    )
    assert steps(answer)["evil"].seen == ("x: an Evil one",)


def test_filters_that_decided_are_named(tmp_path: Path) -> None:
    """A filter and an exception stand below the condition, with their own parts and the expiry."""
    one = "title: Backups\nid: 6f3e2987-db24-4c78-a860-b4f4095a7095\nlogsource: {category: test}\nfilter:\n  rules: any\n"
    one += "  own: {user.name: backup}\n  condition: not own\n"
    two = (
        one.replace("6f3e", "7f3e")
        .replace("Backups", "Known host")
        .replace("user.name: backup", "host.name: pc7")
    )
    two += "custom_attributes: {soc.owner: an, soc.expires: '2030-01-01', soc.reason: known}\n"
    event = {
        "event.dataset": "test.event",
        "@timestamp": "2026-03-02T00:00:00.000000Z",
        "f": 1,
        "host.name": "pc7",
    }
    answer = told(tmp_path, "s: {f: 1}\ncondition: s", event, one, two)
    found = steps(answer)
    assert answer.verdict == "false"
    assert found["Backups"].kind == "filter"
    assert found["Backups"].verdict == "true"
    (hiding,) = [step for label, step in found.items() if label.startswith("Known host")]
    assert (hiding.kind, hiding.verdict) == ("exception", "false")
    assert "until 2030-01-01" in hiding.label
    assert found["pc7"].verdict == "true"


@pytest.mark.parametrize(
    ("key", "value", "fire", "silent"), CASES, ids=[f"{k}: {v!r}"[:60] for k, v, *_ in CASES]
)
def test_an_explanation_never_contradicts_the_rule(
    key: str, value: Any, fire: list[Any], silent: list[Any], tmp_path: Path
) -> None:
    """For each modifier: the whole is true exactly where the rule is, and near misses never raise."""
    text = yamlio.dump({"s": {key: value}, "condition": "s"})
    for number, seen in enumerate([*fire, *silent]):
        answer = told(tmp_path / str(number), text, {"event.dataset": "test.event", "f": seen})
        assert (answer.verdict == "true") is (number < len(fire))


def test_long_lists_show_what_decides(tmp_path: Path) -> None:
    """Of many values only those that are true, or nearly, and how many others there are."""
    many = ", ".join(f"v{n}" for n in range(50))
    answer = told(tmp_path, f"s: {{f: [{many}]}}\ncondition: s", {"event.dataset": "test.event", "f": "V7"})
    shown = [line.text.strip() for line in lines(answer.steps)]
    assert shown[-2:] == ["v7", "… 49 more, all false"]
    assert len(list(lines(answer.steps, everything=True))) == len(shown) + 48


def test_a_value_of_any_length_is_shortened(tmp_path: Path) -> None:
    """And how much is left out is said."""
    answer = told(tmp_path, "s: {f: x}\ncondition: s", {"event.dataset": "test.event", "f": "y" * 10_000})
    (seen,) = steps(answer)["f"].seen
    assert seen.endswith("… (9,500 more characters)")


NEAR = [
    (Test("f", Op.EQUALS, "Abc", cased=True), "aBC", "upper and lower case"),
    (Test("f", Op.REGEX, "abc"), "ABC", "`re|i` would match"),
    (Test("f", Op.REGEX, "a.c"), "a\nc", "`re|s` would match"),
    (Test("f", Op.REGEX, "^b$"), "a\nb", "`re|m` would match"),
    (Test("f", Op.ENDSWITH, "\\x.exe"), "C:/a/x.exe", "path separators"),
    (Test("f", Op.CONTAINS, "nguyen"), "Nguyễn", "accents"),
    (Test("f", Op.CONTAINS, "a  b"), "xa by", "blanks differ"),
    (Test("f", Op.EQUALS, "abc"), ' "abc"', "blanks or quotes"),
    (Test("f", Op.STARTSWITH, "C:\\Windows*"), "C:\\Windows\\x", "its * is plain"),
    (Test("f", Op.EQUALS, "4624"), "4624.0", "the same number"),
    (Test("f", Op.EQUALS, "cmd.exe"), "C:\\cmd.exe", "only a part of the value"),
    (Test("f", Op.STARTSWITH, "cmd"), "x cmd", "stands elsewhere"),
    (Test("f", Op.EQUALS, "C:\\cmd.exe"), "cmd.exe", "only a part of what the rule asks"),
    (Test("f", Op.EQUALS, "abc"), "xyz", ""),
    (Test("f", Op.CIDR, "192.0.2.0/24"), "x", ""),
]


@pytest.mark.parametrize(
    ("test", "value", "hint"), NEAR, ids=[f"{t.op} {t.operand} {v!r}" for t, v, _ in NEAR]
)
def test_near_misses(test: Test, value: str, hint: str) -> None:
    """What would have to be otherwise is said, when it is certain."""
    found = near_miss(test, {"f": value})
    assert found.startswith(hint) or hint in found
    assert bool(found) is bool(hint)


CORRELATION = """
title: Failed
name: failed
logsource: {category: test}
detection:
  s: {f: 1}
  condition: s
---
title: Three failed
correlation:
  type: event_count
  rules: [failed]
  group-by: [user.name]
  timespan: 10m
  condition: {gte: 3}
level: high
"""


def test_a_correlation_says_which_windows_fulfil_it(tmp_path: Path) -> None:
    """Windows, group and parts, over the events that were asked about; none is said, too."""
    (tmp_path / "r.yml").write_text(CORRELATION)
    found = load_rules([tmp_path], declared=rules.DECLARED, cache=False)
    (rule,) = [rule for rule in found.rules if rule.correlation is not None]

    def at(minute: int, user: str = "an") -> Asked:
        time = f"2026-03-02T07:{minute:02}:00.000000Z"
        event = {"event.dataset": "test.event", "@timestamp": time, "f": 1, "user.name": user}
        return Asked(event, f"log:{minute}")

    (told,) = bursts(rule, [at(1), at(2), at(3, "lan"), at(4)])
    assert (told["group"], told["count"], told["first"][11:16]) == ({"user.name": "an"}, 3, "07:01")
    assert bursts(rule, [at(1), at(2), at(20)]) == []
    assert bursts(rule, []) == []


@pytest.fixture(params=["embedded", pytest.param("elastic", marks=pytest.mark.elastic)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    settings = StoreSettings(str(tmp_path / "store"))
    if request.param == "elastic":
        settings = request.getfixturevalue("elastic_settings")
    with open_store(settings) as opened:
        opened.init()
        yield opened


WEB = (Declared(Logsource(category="webserver"), "nginx.access", "test"),)


def test_both_stores_give_the_same_answer(store: Store, tmp_path: Path) -> None:
    """An event out of a store is explained as the event that was put in, whatever its values."""
    event = {
        **world_event(1), "process.name": ["cmd.EXE", "x"], "process.pid": 7, "user.name": "Nguye\u0302\u0303n",
        "process.command_line": "x -enc Hidden" + "y" * 40_000, "soc.extra.n": 1.5, "soc.extra.b": True,
    }  # fmt: skip
    append(store, {"e1": event})
    (asked,) = events_of(load(), "e1", store=lambda: store, rule="")
    detection = RULE.replace("CommandLine", "process.command_line")
    text = rules.text(detection, logsource="{category: webserver}")
    found = rules.load(tmp_path / "rules", text, declared=WEB)
    subject = subject_of(load(), found, found.rules[0], stored=None)
    direct, stored = explain(subject, event, "the event"), explain(subject, asked.event, "the event")
    assert direct.verdict == stored.verdict == "true"
    assert direct.body()["steps"] == stored.body()["steps"]


def test_what_is_no_event_says_so(tmp_path: Path) -> None:
    """A file that is not there, a record that is not in it."""
    with pytest.raises(UsageError, match="no such file"):
        events_of(load(), str(tmp_path / "none.log"), store=None, rule="")
    log = tmp_path / "auth.log"
    log.write_text(
        "Mar  2 02:11:37 web01 sshd[20114]: Accepted password for root from 203.0.113.55 port 51122 ssh2\n"
    )
    assert len(events_of(load(), str(log), store=None, rule="")) == 1
    assert events_of(load(), f"{log}:1", store=None, rule="")[0].where == f"{log}:1"
    with pytest.raises(UsageError, match="no record 2"):
        events_of(load(), f"{log}:2", store=None, rule="")
