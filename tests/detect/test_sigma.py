"""The meaning of every construct of Sigma, as compiled predicates on events."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from soc.detect.matcher import Matcher
from soc.detect.predicate import Verdict, evaluate
from soc.detect.rule import Rule
from tests.detect import rules

Events = list[dict[str, Any]]
Cases = list[tuple[str, Events, Events]]

MODIFIERS: Cases = [
    # detection, events that fire, events that do not
    ("s: {f: abc}\ncondition: s", [{"f": "ABC"}, {"f": ["x", "abc"]}], [{"f": "abcd"}, {}, {"f": None}]),
    ("s: {f: 'a*c'}\ncondition: s", [{"f": "ac"}, {"f": "aXYc"}], [{"f": "acd"}]),
    ("s: {f: 'a?c'}\ncondition: s", [{"f": "abc"}], [{"f": "ac"}, {"f": "abbc"}]),
    (r"s: {f: 'a\*c'}" + "\ncondition: s", [{"f": "a*c"}], [{"f": "abc"}]),
    (r"s: {f: 'a\?c'}" + "\ncondition: s", [{"f": "a?c"}], [{"f": "abc"}]),
    (r"s: {f: 'C:\Windows\\*'}" + "\ncondition: s", [{"f": r"c:\windows\x"}], [{"f": r"c:\windowsx"}]),
    (r"s: {f: 'C:\Windows\*'}" + "\ncondition: s", [{"f": r"c:\windows*"}], [{"f": r"c:\windows\x"}]),
    (r"s: {f: 'a\\*c'}" + "\ncondition: s", [{"f": r"a\xc"}, {"f": r"a\c"}], [{"f": "axc"}]),
    ("s: {f: '*'}\ncondition: s", [{"f": "x"}, {"f": ""}, {"f": 0}], [{}, {"f": None}, {"f": []}]),
    ("s: {f: '?*'}\ncondition: s", [{"f": "x"}], [{"f": ""}, {}]),
    ("s: {f: ''}\ncondition: s", [{"f": ""}], [{"f": " "}, {}, {"f": None}]),
    ("s: {f: null}\ncondition: s", [{}, {"f": None}, {"f": []}], [{"f": ""}, {"f": 0}]),
    ("s: {f: [null, a]}\ncondition: s", [{}, {"f": "A"}], [{"f": "b"}]),
    (
        "s: {f: 4624}\ncondition: s",
        [{"f": 4624}, {"f": "4624"}, {"f": 4624.0}],
        [{"f": 46240}, {"f": "04624"}],
    ),
    ("s: {f: true}\ncondition: s", [{"f": True}, {"f": "True"}], [{"f": 1}, {"f": "1"}]),
    ("s: {f: [1, a, true]}\ncondition: s", [{"f": 1}, {"f": "A"}, {"f": True}], [{"f": 2}]),
    ("s: {f|contains: bc}\ncondition: s", [{"f": "aBCd"}], [{"f": "b c"}]),
    ("s: {f|contains: 'b*d'}\ncondition: s", [{"f": "abXde"}], [{"f": "adb"}]),
    ("s: {f|startswith: ab}\ncondition: s", [{"f": "ABc"}], [{"f": "cab"}]),
    ("s: {f|endswith: bc}\ncondition: s", [{"f": "aBC"}], [{"f": "bca"}]),
    ("s: {f|endswith: '\\x.exe'}\ncondition: s", [{"f": "C:\\x.exe"}], [{"f": "C:\\ax.exe"}]),
    ("s: {f|contains|all: [a, b]}\ncondition: s", [{"f": "b a"}, {"f": ["a", "b"]}], [{"f": "a"}]),
    ("s: {f|cased: Abc}\ncondition: s", [{"f": "Abc"}], [{"f": "abc"}, {"f": "ABC"}]),
    ("s: {f|contains|cased: Bc}\ncondition: s", [{"f": "aBcd"}], [{"f": "abcd"}]),
    ("s: {f|startswith|cased: 'A*b'}\ncondition: s", [{"f": "AxbC"}], [{"f": "axbC"}]),
    ("s: {f|re: 'a.c'}\ncondition: s", [{"f": "xabcx"}], [{"f": "ABC"}, {"f": "a\nc"}]),
    ("s: {f|re|i: 'a.c'}\ncondition: s", [{"f": "xABCx"}], [{"f": "ac"}]),
    ("s: {f|re|s: 'a.c'}\ncondition: s", [{"f": "a\nc"}], [{"f": "ac"}]),
    ("s: {f|re|m: '^b$'}\ncondition: s", [{"f": "a\nb\nc"}], [{"f": "ab"}]),
    ("s: {f|re|i|m|s: '^B.c'}\ncondition: s", [{"f": "a\nb\nc"}], [{"f": "bc"}]),
    (r"s: {f|re: '(?<!a)b(?=c)'}" + "\ncondition: s", [{"f": "xbc"}], [{"f": "abc"}, {"f": "xb"}]),
    (
        "s: {f|cidr: 192.0.2.0/24}\ncondition: s",
        [{"f": "192.0.2.9"}, {"f": "::ffff:192.0.2.9"}],
        [{"f": "192.0.3.1"}, {"f": "x"}],
    ),
    (
        "s: {f|cidr: ['2001:db8::/32', 192.0.2.0/28]}\ncondition: s",
        [{"f": "2001:DB8:1::1"}, {"f": "192.0.2.15"}],
        [{"f": "192.0.2.16"}],
    ),
    ("s: {f|exists: true}\ncondition: s", [{"f": ""}, {"f": 0}], [{}, {"f": None}, {"f": []}]),
    ("s: {f|exists: false}\ncondition: s", [{}, {"f": []}], [{"f": ""}]),
    (
        "s: {f|fieldref: g}\ncondition: s",
        [{"f": "A", "g": "a"}, {"f": ["x", "y"], "g": ["z", "y"]}],
        [{"f": "a", "g": "b"}, {"f": "a"}],
    ),
    ("s: {f|fieldref|contains: g}\ncondition: s", [{"f": "xAy", "g": "a"}], [{"f": "a", "g": "xay"}]),
    ("s: {f|fieldref|startswith: g}\ncondition: s", [{"f": "Ay", "g": "a"}], [{"f": "xa", "g": "a"}]),
    ("s: {f|fieldref|endswith: g}\ncondition: s", [{"f": "xA", "g": "a"}], [{"f": "ay", "g": "a"}]),
    ("s: {f|lt: 5}\ncondition: s", [{"f": 4}, {"f": "4.9"}], [{"f": 5}, {"f": "x"}, {}]),
    ("s: {f|lte: 5}\ncondition: s", [{"f": 5}], [{"f": 5.1}]),
    ("s: {f|gt: 5}\ncondition: s", [{"f": "6"}], [{"f": 5}]),
    ("s: {f|gte: 5}\ncondition: s", [{"f": 5.0}], [{"f": 4}, {"f": True}]),
    ("s: {f|neq: abc}\ncondition: s", [{"f": "x"}, {}], [{"f": "ABC"}]),
    ("s: {f|contains|neq: b}\ncondition: s", [{"f": "x"}], [{"f": "aBc"}]),
    (
        "s: {f|minute: 7}\ncondition: s",
        [{"f": "2026-03-02T23:07:00Z"}],
        [{"f": "2026-03-02T23:08:00Z"}, {"f": "x"}],
    ),
    (
        "s: {f|hour: 23}\ncondition: s",
        [{"f": "2026-03-02T23:07:00Z"}, {"f": "2026-03-03T06:07:00+07:00"}],
        [{"f": "2026-03-02T22:07:00Z"}],
    ),
    ("s: {f|day: 2}\ncondition: s", [{"f": "2026-03-02T23:07:00Z"}], [{"f": "2026-03-03T00:00:00Z"}]),
    ("s: {f|week: 10}\ncondition: s", [{"f": "2026-03-02T00:00:00Z"}], [{"f": "2026-03-01T00:00:00Z"}]),
    ("s: {f|month: 3}\ncondition: s", [{"f": "2026-03-02T00:00:00Z"}], [{"f": "2026-02-28T00:00:00Z"}]),
    ("s: {f|year: 2026}\ncondition: s", [{"f": "2026-03-02T00:00:00"}], [{"f": "2025-03-02T00:00:00Z"}]),
    (
        "s: {f|windash|contains: ' -enc'}\ncondition: s",
        [{"f": "x -ENC"}, {"f": "x /enc"}, {"f": "x –enc"}],
        [{"f": "x enc"}],
    ),
    ("s: {f|contains|all|windash: [' -a', ' -b']}\ncondition: s", [{"f": "x /a -b"}], [{"f": "x -a"}]),
]


@pytest.mark.parametrize(
    ("detection", "fire", "silent"), MODIFIERS, ids=[case[0].split("\n")[0] for case in MODIFIERS]
)
def test_meaning(detection: str, fire: Events, silent: Events, tmp_path: Path) -> None:
    """Each modifier, wildcard and kind of value means what the specification says, in both evaluations."""
    _check(rules.one(tmp_path, detection), fire, silent)


def _check(rule: Rule, fire: Events, silent: Events) -> None:
    matcher = Matcher([rule])
    for expected, events in ((True, fire), (False, silent)):
        for given in events:
            event = {"event.dataset": "test.event", **given}
            assert (evaluate(rule.predicate, event) is Verdict.TRUE) is expected, event
            assert bool(matcher.match(event)) is expected, event


CONDITIONS: Cases = [
    ("a: {f: 1}\nb: {g: 1}\ncondition: a and not b", [{"f": 1}], [{"f": 1, "g": 1}, {"g": 1}]),
    ("a: {f: 1}\nb: {g: 1}\ncondition: a or b", [{"f": 1}, {"g": 1}], [{}]),
    ("a_1: {f: 1}\na_2: {g: 1}\ncondition: 1 of a_*", [{"f": 1}, {"g": 1}], [{}]),
    ("a_1: {f: 1}\na_2: {g: 1}\ncondition: any of a_*", [{"f": 1}, {"g": 1}], [{}]),
    ("a_1: {f: 1}\na_2: {g: 1}\ncondition: all of a_*", [{"f": 1, "g": 1}], [{"f": 1}]),
    ("a: {f: 1}\nb: {g: 1}\ncondition: 1 of them", [{"g": 1}], [{}]),
    ("a: {f: 1}\nb: {g: 1}\n_c: {h: 1}\ncondition: all of them", [{"f": 1, "g": 1}], [{"f": 1}]),
    (
        "a: {f: 1}\nb: {g: 1}\nc: {h: 1}\ncondition: a and (b or not c)",
        [{"f": 1}, {"f": 1, "g": 1, "h": 1}],
        [{"f": 1, "h": 1}],
    ),
    ("a: {f: 1}\nb: {g: 1}\ncondition: [a, b]", [{"f": 1}, {"g": 1}], [{}]),
    ("a: {f: 1, g: 2}\ncondition: a", [{"f": 1, "g": 2}], [{"f": 1}]),
    ("a: [{f: 1}, {g: 2}]\ncondition: a", [{"f": 1}, {"g": 2}], [{}]),
    ("a: [{f: 1, h: 1}, {g: 2}]\ncondition: not a", [{"f": 1}], [{"g": 2}]),
    (
        "keywords: [evil, 'bad*thing']\ncondition: keywords",
        [{"x": "an EVIL one"}, {"y": ["ok", "a bad old thing."]}],
        [{"x": "good"}, {}],
    ),
    (
        "keywords: {'|all': [one, two]}\ncondition: keywords",
        [{"x": "one", "y": "two"}, {"x": "two one"}],
        [{"x": "one"}],
    ),
    ("keywords: {'|re': 'a+b'}\ncondition: keywords", [{"x": "zaab"}], [{"x": "ac"}]),
    ("keywords: [4625]\ncondition: keywords", [{"x": 4625}, {"x": "id=4625;"}], [{"x": 462}]),
    ("keywords: [evil]\nf: {g: 1}\ncondition: keywords and not f", [{"x": "evil"}], [{"x": "evil", "g": 1}]),
]


@pytest.mark.parametrize(
    ("detection", "fire", "silent"),
    CONDITIONS,
    ids=[c[0].split("condition: ")[1] + f"-{n}" for n, c in enumerate(CONDITIONS)],
)
def test_condition(detection: str, fire: Events, silent: Events, tmp_path: Path) -> None:
    """Conditions, selectors and keywords combine as the specification says, in both evaluations."""
    _check(rules.one(tmp_path, detection), fire, silent)


def test_base64_and_wide(tmp_path: Path) -> None:
    """Encodings are applied to the rule's value, base64offset at all three alignments."""
    plain = rules.one(tmp_path / "a", "s: {f|base64|contains: 'whoami /all'}\ncondition: s")
    wide = rules.one(tmp_path / "b", "s: {f|wide|base64offset|contains: 'Invoke'}\ncondition: s")
    alias = rules.one(tmp_path / "c", "s: {f|utf16le|base64offset|contains: 'Invoke'}\ncondition: s")
    big = rules.one(tmp_path / "d", "s: {f|utf16be|base64offset|contains: 'Invoke'}\ncondition: s")
    event = {"event.dataset": "test.event", "f": "x " + base64.b64encode(b"whoami /all").decode()}
    assert evaluate(plain.predicate, event) is Verdict.TRUE
    for pad in range(3):
        encoded = base64.b64encode(b"p" * pad + "Invoke-Thing".encode("utf-16-le")).decode()
        event = {"event.dataset": "test.event", "f": encoded}
        assert evaluate(wide.predicate, event) is Verdict.TRUE
        assert evaluate(alias.predicate, event) is Verdict.TRUE
        encoded = base64.b64encode(b"p" * pad + "Invoke-Thing".encode("utf-16-be")).decode()
        assert evaluate(big.predicate, {**event, "f": encoded}) is Verdict.TRUE


def test_unresolved_placeholder_is_undecidable(tmp_path: Path) -> None:
    """A placeholder that nobody defines makes the rule undecidable, with the reason, and not runnable."""
    rule = rules.one(tmp_path, "s: {f|expand: '%admins%'}\ncondition: s")
    assert "%admins%" in rule.undecidable
    assert not rule.runnable
    assert Matcher([rule]).match({"event.dataset": "test.event", "f": "root"}) == ()


def test_placeholder_from_pipeline(tmp_path: Path) -> None:
    """A pipeline beside the rules defines the values of a placeholder, also within other text."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "site.yml").write_text("placeholders: {admins: [root, 'adm*']}\n")
    rule = rules.one(tmp_path, "s: {f|expand|contains: 'user=%admins%'}\ncondition: s")
    fires = [v for v in ("user=root;", "USER=ROOT", "user=other") if _fires(rule, v)]
    assert fires == ["user=root;", "USER=ROOT"]


def _fires(rule: Any, value: str) -> bool:
    return evaluate(rule.predicate, {"event.dataset": "test.event", "f": value}) is Verdict.TRUE


BROKEN = [
    ("s: {f|containz: a}\ncondition: s", "unknown_modifier", 5),
    ("s: {f: a}\ncondition: s and t", "condition", 6),
    ("s: {f: a}\ncondition: 1 of t_*", "condition", 6),
    ("s: {f: a}\ncondition: s | count() > 5", "condition", 6),
    ("s: {f: a}\ncondition: s and and", "condition", 6),
    ("s: {f: a}", "condition", 4),
    ("s: {f|re: '('}\ncondition: s", "regex", 5),
    ("s: {f|cidr: 192.0.2.0/99}\ncondition: s", "sigma", None),
    ("s: {f|lt: abc}\ncondition: s", "sigma", None),
    ("s: {f|base64: 'a*b'}\ncondition: s", "sigma", None),
    ("s: {}\ncondition: s", "detection", None),
    ("condition: s", "detection", None),
    ("s: {1: a}\ncondition: s", "sigma", 5),
]


@pytest.mark.parametrize(("detection", "kind", "line"), BROKEN, ids=[b[0].replace("\n", " ") for b in BROKEN])
def test_broken_detection_is_a_problem(detection: str, kind: str, line: int | None, tmp_path: Path) -> None:
    """What cannot be expressed is an error with file and line; no rule is loaded from it."""
    found = rules.load(tmp_path, rules.text(detection))
    assert not found.rules
    (problem,) = found.errors
    assert problem.place.path.endswith("rule0.yml")
    if line is not None:
        assert (problem.kind, problem.place.line) == (kind, line), str(problem)
