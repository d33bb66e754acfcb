# ruff: noqa: E501 - a case is one line
"""Each modifier, and each combination that the specification names, against expectations written by hand.

Every case goes through both evaluations: the plain one and the matcher.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.detect.matcher import Matcher
from soc.detect.modifiers import KNOWN, UndecidableError, modified
from soc.detect.predicate import Op, Test, Verdict, evaluate
from soc.detect.rule import Rule
from soc.detect.values import Text, ValueProblem, Wild, split_wildcards
from tests.detect import rules


def b64(text: str, encoding: str = "utf-8") -> str:
    """Base64 of a text in an encoding."""
    return base64.b64encode(text.encode(encoding)).decode()


def octets(text: str, encoding: str) -> str:
    """A text in an encoding, one character for each byte: how a field shows it."""
    return text.encode(encoding).decode("latin-1")


CASES: list[tuple[str, Any, list[Any], list[Any]]] = [
    # key, value in the rule, values of the field that fire, values that do not
    ("f", "abc", ["ABC", ["x", "abc"]], ["abcd", "", None]),
    ("f", "Σίσυφος", ["ΣΊΣΥΦΟΣ", "σι\u0301συφος"], ["Σισυφος"]),
    ("f", 4624, [4624, "4624", 4624.0], [46240, "04624", True]),
    ("f", "4624", [4624, "4624"], ["4624.0"]),
    ("f", 1.5, [1.5, "1.5"], [1, "1.50"]),
    ("f", 2**63 + 1, [2**63 + 1, str(2**63 + 1)], [2**63]),
    ("f", -1, [-1, "-1"], [1]),
    ("f", True, [True, "true", "TRUE"], [1, "1", "yes", False]),
    ("f", False, [False, "False"], [0, "", None]),
    ("f", "", [""], [" ", None, []]),
    ("f", "''", ["''"], [""]),
    ("f", None, [None, []], ["", 0, False]),
    ("f", [None, ""], [None, ""], ["x"]),
    ("f", [1, "a", True, None], [1, "A", True, None], [2, "b", False]),
    ("f", [], [None], ["x"]),
    # wildcards and their escapes
    ("f", "*", ["x", "", 0], [None, []]),
    ("f", "?", ["x", "*", 7], ["", "xy"]),
    ("f", "a*b?c", ["abxc", "a--b-c"], ["abc"]),
    (r"f", r"a\*b", ["a*b"], ["axb"]),
    (r"f", r"a\?b", ["a?b"], ["axb"]),
    (r"f", r"a\\*b", ["a\\b", "a\\xxb"], ["axb", "a*b"]),
    (r"f", r"a\\\*b", [r"a\*b"], [r"a\xb"]),
    (r"f", r"a\b", [r"a\b"], ["ab"]),
    (r"f", r"a\\b", [r"a\b"], [r"a\\b"]),
    (r"f", r"a\\\b", [r"a\\b"], [r"a\b"]),
    (r"f", r"a\\\\b", [r"a\\b"], [r"a\b"]),
    (r"f", "a\\", ["a\\"], ["a"]),
    (r"f", "%x%", ["%x%"], ["x"]),
    # parts of a text
    ("f|contains", "b", ["ABC", "b"], ["ac", None]),
    ("f|contains", "a*c", ["xabcx"], ["ca"]),
    ("f|contains", "*a*", ["xax"], ["b"]),
    ("f|contains", "", ["", "x"], [None]),
    ("f|contains", 46, ["4624", 4624], ["4"]),
    ("f|contains", True, ["untrue"], ["x"]),
    ("f|contains", ["a", "b"], ["xa", "bx"], ["c"]),
    ("f|contains|all", ["a", "b"], ["ba", ["a", "b"]], ["a", ["a", "c"]]),
    ("f|all|contains", ["a", "b"], ["ba"], ["a"]),
    ("f|contains|all", "a", ["xa"], ["b"]),
    ("f|all", ["a*", "*b"], ["ab", ["a", "b"]], ["a"]),
    ("f|startswith", "a*c", ["abcd", "ac"], ["xac", "ab"]),
    ("f|startswith", "192.0.2.", ["192.0.2.7"], ["x192.0.2.7"]),
    ("f|startswith|all", ["a", "ab"], ["abc"], ["ac"]),
    ("f|endswith", r"\cmd.exe", [r"C:\CMD.EXE"], ["cmd.exe", r"C:\xcmd.exe"]),
    ("f|endswith", [".a", ".b"], ["x.A", "y.b"], ["x.c"]),
    # case
    ("f|cased", "Abc", ["Abc"], ["abc", "ABC"]),
    ("f|cased|contains", "Bc", ["aBcd"], ["abcd"]),
    ("f|contains|cased", "Bc", ["aBcd"], ["abcd"]),
    ("f|cased|startswith", "A?c", ["AbcD"], ["abcD"]),
    ("f|cased|endswith", ".Exe", ["a.Exe"], ["a.exe"]),
    ("f|cased|contains|all", ["A", "b"], ["bA"], ["ab", "AB"]),
    ("f|cased|windash|contains", " -Enc", ["x /Enc", "x -Enc"], ["x -enc"]),
    ("f|base64|cased", "foo", [b64("foo")], [b64("foo").upper()]),
    ("f|cased", "Nguye\u0302\u0303n", ["Nguyễn"], ["nguyễn"]),
    ("f|re", "^Nguye\u0302\u0303n$", ["Nguyễn"], ["nguyễn"]),
    # regular expressions (tests/detect/test_pcre.py says what a pattern means)
    ("f|re", "a.c", ["xabcx"], ["ABC", "a\nc"]),
    ("f|re", [r"^a\d+$", "b{2}"], ["a12", "xbbx"], ["a", "b"]),
    ("f|re", r"^\d+$", [443, "443"], ["x443"]),
    ("f|re", 42, ["1425"], ["4"]),
    ("f|re", r"C:\\Windows\\[^\\]*\.exe", ["C:\\Windows\\x.exe"], ["C:\\Windows\\a\\x.exe"]),
    ("f|re", "a*b?", ["", "xyz"], [None]),
    ("f|re", "%x%", ["%x%"], ["x"]),
    ("f|re|i", "a.C", ["xABcx"], ["ac"]),
    ("f|re|m", "^b$", ["a\nb\nc"], ["ab"]),
    ("f|re|s", "a.c", ["a\nc"], ["ac"]),
    ("f|re|i|m|s", "^B.c", ["a\nb\nc"], ["bc"]),
    ("f|re|ignorecase|multiline|dotall", "^B.c", ["a\nb\nc"], ["bc"]),
    ("f|re|contains", "b+", ["abbc"], ["ac"]),
    ("f|re|startswith", "b+|c", ["bba", "ca"], ["abb", "ac"]),
    ("f|re|endswith", "b+|c", ["abb", "bc"], ["bba"]),
    ("f|re|all", ["a", "b"], ["ba", ["a", "b"]], ["a"]),
    ("f|re", r"(?<!x)\h\Qa.b\E$", [" a.b", "y\u00a0a.b\n"], ["x a.b", " aXb"]),
    # encodings
    ("f|base64", "whoami /all", [b64("whoami /all")], ["x" + b64("whoami /all"), "whoami /all"]),
    ("f|base64|contains", "whoami /all", ["x " + b64("whoami /all")], ["whoami /all"]),
    ("f|base64|contains", r"a\*b", [b64("a*b")], [b64(r"a\*b")]),
    ("f|base64|contains", "é", [b64("é")], [b64("e")]),
    ("f|base64offset|contains", "évil", [b64("x" * n + "évil") for n in range(3)], [b64("evil")]),
    ("f|base64offset|contains", "/bin/bash", [b64("-" * n + "/bin/bash -i") for n in range(6)], [b64("/bin/sh")]),
    ("f|contains|base64offset", "/bin/bash", [b64("-" * n + "/bin/bash -i") for n in range(3)], ["/bin/bash"]),
    ("f|base64offset|contains|all", ["cmd.exe", "whoami"], [b64("xcmd.exe /c whoami ")], [b64("cmd.exe")]),
    ("f|wide", "cmd", ["c\0m\0d\0"], ["cmd", "\0c\0m\0d"]),
    ("f|utf16le", "cmd", ["C\0M\0D\0"], ["cmd"]),
    ("f|utf16be", "cmd", ["\0c\0m\0d"], ["c\0m\0d\0"]),
    ("f|utf16", "cmd", ["\xff\xfec\0m\0d\0"], ["c\0m\0d\0", "\ufeffc\0m\0d\0"]),
    ("f|wide|contains", "c*d", ["xc\0m\0d\0"], ["cmd"]),
    ("f|wide", "ễ", [octets("ễ", "utf-16-le")], ["ễ"]),
    ("f|wide|base64offset|contains", "Invoke-",
     [b64("p" * n + "Invoke-X", "utf-16-le") for n in range(4)], [b64("Invoke-X")]),
    ("f|utf16le|base64offset|contains", "été", [b64("xété ", "utf-16-le")], [b64("xété ")]),
    ("f|utf16be|base64offset|contains", "Invoke-", [b64("p" + "Invoke-X", "utf-16-be")], [b64("Invoke-X", "utf-16-le")]),
    ("f|utf16|base64|contains", "whoami", [b64("whoami", "utf-16")], [b64("whoami", "utf-16-le")]),
    ("f|wide|base64|contains", "whoami", [b64("whoami", "utf-16-le")], [b64("whoami")]),
    # dashes of the command line
    ("f|windash|contains", " -enc ", [f"x {dash}ENC y" for dash in "-/\u2013\u2014\u2015"], ["x enc y", "x +enc y"]),
    ("f|windash|contains", " /c ", ["x -c y", "x /c y", "x \u2015c y"], ["xc y"]),
    ("f|windash|contains", " \u2013enc", ["x -enc", "x /enc"], ["x enc"]),
    ("f|windash|contains", "-a-b", ["/a-b", "-a-b"], ["/a/b"]),
    ("f|windash|contains", " -a -b", ["x /a \u2014b", "x -a /b"], ["x -a b"]),
    ("f|windash|contains|all", [" -a", " -b"], ["x /b -a"], ["x -a"]),
    ("f|contains|all|windash", [" -a", " -b"], ["x /b -a"], ["x -a"]),
    ("f|windash|endswith", " -s", ["x /S"], ["x /s y"]),
    ("f|windash", "x.exe -?y*", ["x.exe -zyw"], ["x.exe /zyw"]),
    ("f|windash", "*-enc*", ["x /enc y"], ["x enc"]),
    # addresses
    ("f|cidr", "192.0.2.0/24", ["192.0.2.9", "::ffff:192.0.2.9", ["x", "192.0.2.1"]], ["192.0.3.1", "x", "", 7]),
    ("f|cidr", "192.0.2.7", ["192.0.2.7"], ["192.0.2.8"]),
    ("f|cidr", "2001:db8::/32", ["2001:DB8:1::1", "2001:0db8:0:0::1"], ["2001:db9::1", "192.0.2.1"]),
    ("f|cidr", "::ffff:192.0.2.0/120", ["192.0.2.1", "::ffff:192.0.2.1"], ["192.0.3.1"]),
    ("f|cidr", ["fe80::/10", "10.0.0.0/8"], ["fe80::1", "fe80::1%eth0", "10.1.2.3"], ["11.0.0.1"]),
    ("f|cidr", "0.0.0.0/0", ["255.255.255.255"], ["::1"]),
    # presence
    ("f|exists", True, ["", 0, False], [None, []]),
    ("f|exists", False, [None, []], ["", 0]),
    ("f|exists", "no", [None], ["x"]),
    ("f|exists", "Yes", ["x"], [None]),
    # numbers and dates
    ("f|lt", 5, [4, "4.9", -1], [5, "x", None, True]),
    ("f|lte", "5", [5, "5"], [5.1]),
    ("f|gt", 5, ["6", 5.5], [5, "1_000", "٦", "inf"]),
    ("f|gte", 1.5, [1.5, "2"], [1]),
    ("f|gte", [10, 100], [10], [9]),
    ("f|lt", "2026-03-02", ["2026-03-01T23:59:59Z", "2026-03-02T06:59:59+07:00", "2026-03-01"],
     ["2026-03-02T00:00:00Z", "2026-03-02", "x", 5]),
    ("f|gte", "2026-03-02T10:00:00+07:00", ["2026-03-02T03:00:00.000000Z", "2026-03-02 03:00"], ["2026-03-02T02:59:59Z"]),
    ("f|minute", 7, ["2026-03-02T23:07:00Z"], ["2026-03-02T23:08:00Z", "x", 7]),
    ("f|hour", [22, 23], ["2026-03-02T23:07:00Z", "2026-03-03T06:07:00+07:00"], ["2026-03-02T21:59:59Z"]),
    ("f|day", 2, ["2026-03-02T23:07:00"], ["2026-03-03T00:00:00Z"]),
    ("f|week", 53, ["2026-12-31T00:00:00Z", "2027-01-03T00:00:00Z"], ["2027-01-04T00:00:00Z"]),
    ("f|month", "3", ["2026-03-02T00:00:00Z"], ["2026-02-28T00:00:00Z"]),
    ("f|year", 2026, ["2026-03-02T00:00:00"], ["2025-12-31T23:59:59Z"]),
    ("f|hour|gte", 22, ["2026-03-02T23:07:00Z", "2026-03-02T22:00:00Z"], ["2026-03-02T21:59:00Z"]),
    ("f|hour|lt", 6, ["2026-03-02T05:59:59Z"], ["2026-03-02T06:00:00Z"]),
    ("f|year|gt", 2025, ["2026-01-01T00:00:00Z"], ["2025-12-31T23:59:59Z"]),
    ("f|year|lte", 2025, ["2025-12-31T23:59:59Z"], ["2026-01-01T00:00:00Z"]),
    # the opposite
    ("f|neq", "abc", ["x", None], ["ABC", ["x", "abc"]]),
    ("f|neq", ["a", "b"], ["c"], ["a", "B"]),
    ("f|neq", 5, [6, None], [5, "5"]),
    ("f|neq", None, ["x", ""], [None]),
    ("f|contains|neq", "b", ["x"], ["aBc"]),
    ("f|cidr|neq", "10.0.0.0/8", ["11.0.0.1", "x"], ["10.0.0.1"]),
    ("f|re|neq", "a+", ["b"], ["a"]),
    ("f|all|neq", ["a*", "*b"], ["a", "b"], ["ab"]),
]  # fmt: skip


def _both(rule: Rule, event: dict[str, Any]) -> bool:
    """The verdict of the plain evaluation, which the matcher must share."""
    event = {"event.dataset": "test.event", **event}
    plain = evaluate(rule.predicate, event) is Verdict.TRUE
    assert bool(Matcher([rule]).match(event)) is plain, event
    return plain


def _rule(folder: Path, key: str, value: Any) -> Rule:
    from soc import yamlio

    return rules.one(folder, yamlio.dump({"s": {key: value}, "condition": "s"}))


@pytest.mark.parametrize(
    ("key", "value", "fire", "silent"), CASES, ids=[f"{k}: {v!r}"[:60] for k, v, *_ in CASES]
)
def test_a_modifier_means_what_the_specification_says(
    key: str, value: Any, fire: list[Any], silent: list[Any], tmp_path: Path
) -> None:
    """Values, wildcards, encodings, dashes, networks, numbers, times, negation, in every combination named."""
    rule = _rule(tmp_path, key, value)
    assert [v for v in fire if not _both(rule, {"f": v})] == []
    assert [v for v in silent if _both(rule, {"f": v})] == []


REFERENCES = [
    ("f|fieldref", [{"f": "A", "g": "a"}, {"f": ["x", "y"], "g": ["z", "y"]}, {"f": 5, "g": "5"}], [{"f": "a"}, {}]),
    ("f|fieldref|contains", [{"f": "xAy", "g": "a"}], [{"f": "a", "g": "xay"}]),
    ("f|contains|fieldref", [{"f": "xAy", "g": "a"}], [{"f": "a", "g": "xay"}]),
    ("f|fieldref|startswith", [{"f": "Ay", "g": "a"}], [{"f": "xa", "g": "a"}]),
    ("f|fieldref|endswith", [{"f": "xA", "g": "a"}], [{"f": "ay", "g": "a"}]),
    ("f|fieldref|cased", [{"f": "A", "g": "A"}], [{"f": "A", "g": "a"}]),
    ("f|fieldref|neq", [{"f": "a", "g": "b"}, {"f": "a"}], [{"f": "A", "g": "a"}]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "fire", "silent"), REFERENCES, ids=[k for k, *_ in REFERENCES])
def test_fieldref(key: str, fire: list[Any], silent: list[Any], tmp_path: Path) -> None:
    """Two fields of one event are compared, whole or in part."""
    rule = _rule(tmp_path, key, "g")
    assert all(_both(rule, event) for event in fire)
    assert not any(_both(rule, event) for event in silent)


KEYWORDS = [
    (["evil", "bad*thing"], [{"x": "an EVIL one"}, {"y": ["ok", "a bad old thing."]}], [{"x": "good"}, {}]),
    ({"|all": ["one", "two"]}, [{"x": "one", "y": "two"}, {"x": "two one"}], [{"x": "one"}]),
    ({"|contains|all": ["one", "two"]}, [{"x": "one", "y": "two"}], [{"x": "one"}]),
    ({"|startswith": "ev"}, [{"x": "evil"}], [{"x": "an evil one"}]),
    ({"|endswith": ".exe"}, [{"x": "a.EXE"}], [{"x": "a.exe b"}]),
    ({"|cased": "Evil"}, [{"x": "an Evil one"}], [{"x": "evil"}]),
    ({"|re": "a+b$"}, [{"x": "zaab"}], [{"x": "aabz"}]),
    ({"|re|i": "A+B"}, [{"x": "zaab"}], [{"x": "ac"}]),
    ({"|windash": " -enc"}, [{"x": "p /enc q"}], [{"x": "enc"}]),
    ({"|base64offset": "/bin/bash"}, [{"x": "-" + b64("x/bin/bash ") + "-"}], [{"x": "/bin/bash"}]),
    ([4625], [{"x": 4625}, {"x": "id=4625;"}], [{"x": 462}]),
    ([True], [{"x": True}], [{"x": 1}]),
    ("evil", [{"x": "an evil one"}], [{"x": "good"}]),
    ([["a", "b"], {"f": 1}], [{"x": "a"}, {"f": 1}], [{"x": "c"}]),
]  # fmt: skip


@pytest.mark.parametrize(("keywords", "fire", "silent"), KEYWORDS, ids=[str(k)[:40] for k, *_ in KEYWORDS])
def test_keywords(keywords: Any, fire: list[Any], silent: list[Any], tmp_path: Path) -> None:
    """Values without a field are looked for in all fields."""
    from soc import yamlio

    rule = rules.one(tmp_path, yamlio.dump({"k": keywords, "condition": "k"}))
    assert all(_both(rule, event) for event in fire)
    assert not any(_both(rule, event) for event in silent)


REFUSED: list[tuple[str, Any]] = [
    ("f|contains", None), ("f|cased", None), ("f|cidr", "10.*"), ("f|cidr", "10.0.0.1/8"), ("f|cidr", 10),
    ("f|cidr", "192.0.2.0/99"), ("f|lt", "abc"), ("f|lt", True), ("f|lt", None), ("f|lt", "nan"), ("f|exists", 1),
    ("f|exists", "maybe"), ("f|fieldref", "a*"), ("f|fieldref", 1), ("f|base64", "a*b"), ("f|base64offset", "a?b"),
    ("f|base64offset|contains", "a"), ("f|hour", 24), ("f|hour", 1.5), ("f|minute", "x"), ("f|week", 54),
    ("f|i", "a"), ("f|i|re", "a"), ("f|contains|re", "a"), ("f|re", None), ("f|re", True), ("f|re", "("),
    ("f|re|base64", "a"), ("f|re|wide", "a"), ("f|re|windash", "a"), ("f|cidr|contains", "10.0.0.0/8"),
    ("f|lt|contains", 5), ("f|windash|contains", " -a" * 6), ("f|nonsense", "a"), ("f|RE", "a"), ("f|", "a"),
    ("f", {"a": 1}), ("f", [["a"]]), ("|exists", True), ("|fieldref", "g"), ("|cidr", "10.0.0.0/8"), ("", None),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), REFUSED, ids=[f"{k}: {v!r}"[:40] for k, v in REFUSED])
def test_what_cannot_be_applied_is_an_error_with_its_place(key: str, value: Any, tmp_path: Path) -> None:
    """A modifier that does not fit its value names the line; no rule is loaded from it, none is silent."""
    from soc import yamlio

    found = rules.load(tmp_path, rules.text(yamlio.dump({"s": {key: value}, "condition": "s"})))
    assert not found.rules
    (problem,) = found.errors
    assert problem.place.line >= 6, problem


def test_every_modifier_of_the_specification_is_known() -> None:
    """Those of the appendix Modifiers 2.1, and pySigma's long names of flags."""
    assert {
        "all", "startswith", "endswith", "contains", "exists", "cased", "neq", "windash", "re", "i", "m", "s",
        "base64", "base64offset", "utf16le", "utf16be", "utf16", "wide", "lt", "lte", "gt", "gte", "minute", "hour",
        "day", "week", "month", "year", "cidr", "expand", "fieldref", "ignorecase", "multiline", "dotall",
    } <= KNOWN  # fmt: skip


def values(raw: Any, *modifiers: str, **placeholders: list[str]) -> set[str]:
    """What becomes of a value, as the tests on a field that it makes."""
    from soc.detect.values import tests_of

    made = tests_of("f", modified(raw, modifiers, placeholders.get), lambda name: [name])
    parts = [made] if isinstance(made, Test) else made.parts  # type: ignore[union-attr] # what these values make is one test or an Or of them
    out = set()
    for part in parts:
        assert isinstance(part, Test)
        out.add(f"{part.op} {part.operand}" if part.op is not Op.REGEX else part.operand)
    return out


def test_placeholders_are_filled_in() -> None:
    """A placeholder stands for each of its values, which may have wildcards; `\\%` is a percent sign."""
    admins = ["root", "adm*"]
    assert values("%admins%", "expand", admins=admins) == {"equals root", "startswith adm"}
    assert values("u=%admins%", "expand", "contains", admins=admins) == {"contains u=root", "contains u=adm"}
    assert values("u=%admins%", "contains", "expand", admins=admins) == {"contains u=root", "contains u=adm"}
    assert values("%a%-%b%", "expand", a=["1", "2"], b=["x", "y"]) == {
        f"equals {n}-{c}" for n in "12" for c in "xy"
    }
    assert values(r"\%plain%name%", "expand", name=["x"]) == {"equals %plainx"}
    assert values("100%", "expand") == {"equals 100%"}
    assert values("%a%", "expand", "base64", a=["foo"]) == {"equals Zm9v"}
    assert values("^%a%$", "re", "expand", a=["1.2*", "C:\\x"]) == {r"^1\.2.*$", r"^C\:\\x$"}
    with pytest.raises(UndecidableError, match="%nobody%"):
        values("%nobody%", "expand")


def test_too_many_values_are_refused() -> None:
    """A value may not become more than can be looked for."""
    with pytest.raises(ValueProblem, match="1000000 values"):
        values("%a%%a%", "expand", a=[str(n) for n in range(1000)])


@given(st.text(alphabet="ab\\*?%", max_size=12))
def test_any_escaping_is_read_as_the_specification_says(text: str) -> None:
    """A plain reading, sign by sign: a backslash counts only before `*`, `?` and itself."""
    expected: list[str | Wild] = []
    rest = text
    while rest:
        if rest[0] == "\\" and rest[1:2] in ("*", "?", "\\") and rest[1:2]:
            expected.append(rest[1])
            rest = rest[2:]
            continue
        expected.append(Wild(rest[0]) if rest[0] in "*?" else rest[0])
        rest = rest[1:]
    found = [c for part in split_wildcards(text) for c in ([part] if isinstance(part, Wild) else part)]
    assert found == expected


@given(st.binary(min_size=3, max_size=12), st.binary(max_size=5), st.binary(max_size=5))
def test_base64offset_finds_any_bytes_anywhere(needle: bytes, before: bytes, after: bytes) -> None:
    """Whatever stands around it, and whatever alphabet it is of."""
    text = Text((needle.decode("latin-1"),), octets=True)
    from soc.detect.modifiers import MODIFIERS

    made = MODIFIERS["base64offset"](text)
    encoded = base64.b64encode(before + needle + after).decode()
    assert any(isinstance(v, Text) and (v.plain or "") in encoded for v in made)
