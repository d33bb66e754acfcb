"""The matcher says what `predicate.evaluate` says, for every rule and event, and within its bounds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.detect import atoms, gates
from soc.detect import matcher as matching
from soc.detect.matcher import Match, Matcher
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, Verdict, evaluate
from soc.detect.rule import Rule
from soc.detect.trees import Atoms, kleene, needed, truth_of

FIELDS = ("a", "b.c", "d")
WORDS = (
    "abc",
    "ABC",
    "b",
    "bc",
    "é",
    "e\u0301",
    "K",
    "k",
    "ſ",
    "σ",
    "ς",
    "İ",
    "ß",
    "4624",
    "*",
    "",
    "a\nb",
    "\\x",
    "\ud800b",
)
VALUES = st.one_of(
    st.sampled_from(WORDS),
    st.text(alphabet="abcABC é\u0301kKσ.\\0123456789", max_size=8),
    st.text(max_size=5),
    st.integers(-5, 5),
    st.sampled_from([4624, 2**53, 2**60, 2.0**60, 1.0, 0.5, -0.0, float("inf"), float("nan"), 10**25]),
    st.booleans(),
    st.none(),
    st.sampled_from(
        ["192.0.2.1", "::1", "::ffff:192.0.2.1", " 192.0.2.9 ", "2026-03-02T07:14:09Z", "0001-01-01"]
    ),
)
EVENTS = st.dictionaries(
    st.sampled_from([*FIELDS, "route", "other"]), st.one_of(VALUES, st.lists(VALUES, max_size=3)), max_size=5
)
NAMES = st.sampled_from(FIELDS)
PIECES = st.sampled_from(WORDS)
TEXT_OPS = st.sampled_from([Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH])
PATTERNS = st.sampled_from(
    [
        "abc",
        "(?i)ABC",
        "^a.c$",
        "b+c",
        "(a|b)c",
        "ab?c",
        "a{2}",
        "[a-c]bc",
        "x|abc",
        "[a-c]",
        "(?:k|σ)",
        "b$",
        r"\s",
        "(?i)[a-z]{2}",
        ".{16,}",
        "k",
        "(?<!a)bc",
        r"\\x",
        "é",
        "a(?=b)",
    ]
)
NUMBERS = st.sampled_from([0, 1, 4, 0.5, 4624, 2**60])


def some_tests() -> st.SearchStrategy[Test]:
    """Tests of every kind on a few fields, so that events hit them often."""
    maybe = st.one_of(NAMES, st.none())
    return st.one_of(
        st.builds(Test, maybe, TEXT_OPS, PIECES, st.booleans()),
        st.builds(Test, maybe, st.just(Op.WILDCARD), st.tuples(PIECES, PIECES, PIECES), st.booleans()),
        st.builds(Test, NAMES, st.just(Op.WILDCARD), st.tuples(PIECES, st.none(), PIECES), st.booleans()),
        st.builds(
            Test, maybe, st.just(Op.REGEX), PATTERNS, st.just(False), st.sampled_from(["", "i", "s", "im"])
        ),
        st.builds(
            Test, NAMES, st.just(Op.CIDR), st.sampled_from(["192.0.2.0/24", "::/0", "0.0.0.0/0", "::1/128"])
        ),
        st.builds(Test, NAMES, st.sampled_from([Op.LT, Op.LTE, Op.GT, Op.GTE]), st.one_of(NUMBERS, PIECES)),
        st.builds(Test, maybe, st.sampled_from([Op.EXISTS, Op.NULL])),
        st.builds(Test, NAMES, st.just(Op.FIELDREF), NAMES, st.booleans(), st.sampled_from(["", "contains"])),
        st.builds(
            Test,
            NAMES,
            st.just(Op.TIMEPART),
            st.integers(0, 12),
            st.just(False),
            st.sampled_from(["hour", "day"]),
        ),
    )


def trees() -> st.SearchStrategy[Predicate]:
    """Predicates of every shape."""
    return st.recursive(
        some_tests(),
        lambda inner: st.one_of(
            st.builds(And, st.lists(inner, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
            st.builds(Not, inner),
        ),
        max_leaves=6,
    )


SOURCES: st.SearchStrategy[Predicate] = st.sampled_from(
    [
        And(()),
        Test("route", Op.EQUALS, "abc"),
        Or((Test("route", Op.EQUALS, "k"), Test("a", Op.EQUALS, "abc"))),
        And((Test("route", Op.EXISTS), Not(Test("route", Op.CONTAINS, "b")))),
    ]
)


@st.composite
def rulesets(draw: st.DrawFn) -> list[Rule]:
    """A few rules with log sources."""
    out = []
    for number in range(draw(st.integers(1, 6))):
        source, detection = draw(SOURCES), draw(trees())
        whole = And((source, *detection.parts)) if isinstance(detection, And) else And((source, detection))
        out.append(Rule(f"r{number}", f"rule {number}", predicate=whole, source=source))
    return out


def expected(rules: list[Rule], event: dict[str, Any]) -> list[Match]:
    """What plain evaluation says."""
    verdicts = [(rule, evaluate(rule.predicate, event)) for rule in rules]
    return [Match(rule, verdict) for rule, verdict in verdicts if verdict is not Verdict.FALSE]


STREAMS = st.lists(EVENTS, min_size=1, max_size=8)
BOUNDS = st.sampled_from([32_000_000, 300])


def _agrees(rules: list[Rule], events: list[dict[str, Any]], remembered: int) -> None:
    """Each event twice; gates are learnt anew all the time, and where memory is bounded, hardly any is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gates, "FIRST_LESSON", 1)
        patch.setattr(gates, "FULLY", 2)
        patch.setattr(gates, "EVERY", 2)
        if remembered < 1000:
            patch.setattr(matching, "COMBINATIONS", 2)
            patch.setattr(matching, "PARTITIONS", 2)
            patch.setattr(atoms, "MAX_REMEMBERED", 3)
            patch.setattr(atoms, "MAX_SIGHTS", 2)
        matcher = Matcher(rules, remembered=remembered)
        for event in [*events, *events]:
            assert list(matcher.match(event)) == expected(rules, event)


@given(rulesets(), STREAMS, BOUNDS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_agrees_with_plain_evaluation(
    rules: list[Rule], events: list[dict[str, Any]], remembered: int
) -> None:
    """Whatever the rules and events, seen first or again, remembered or not: the verdicts are the same."""
    _agrees(rules, events, remembered)


@pytest.mark.slow
@given(rulesets(), STREAMS, BOUNDS)
@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_agrees_with_plain_evaluation_at_length(
    rules: list[Rule], events: list[dict[str, Any]], remembered: int
) -> None:
    """The same, with many more examples."""
    _agrees(rules, events, remembered)


@given(trees(), EVENTS)
@settings(max_examples=300, deadline=None)
def test_a_gate_never_hides_a_rule(predicate: Predicate, event: dict[str, Any]) -> None:
    """When a predicate is true, one of the tests that it is said to need is true."""
    numbered = Atoms(())
    found = needed(numbered.tree(predicate), numbered.costs)
    if found is not None and evaluate(predicate, event) is Verdict.TRUE:
        assert any(evaluate(numbered.tests[n], event) is Verdict.TRUE for n in found[1])


@given(st.recursive(
    st.integers(0, 4),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from([And, Or]), st.lists(inner, max_size=3).map(tuple)),
        st.tuples(st.just(Not), inner.map(lambda part: (part,))),
    ),
    max_leaves=8,
), st.sets(st.integers(0, 4)))  # fmt: skip
def test_compiled_truth_is_kleene_without_doubt(tree: Any, true: set[int]) -> None:
    """With nothing undecided, the compiled function and the three-valued evaluation agree."""
    assert truth_of(tree)(true) is (kleene(tree, true, frozenset()) is Verdict.TRUE)


def rule(predicate: Predicate, id: str = "r") -> Rule:  # noqa: A002 - the attribute's name
    """A rule for any event."""
    return Rule(id, id, predicate=And((And(()), predicate)), source=And(()))


SLOW = Test("a", Op.REGEX, r"(?=a)^(a|aa)+$")
"""An expression that the backtracking engine cannot finish on a long run of a."""


def test_undecided_spreads_as_in_kleenes_logic() -> None:
    """A search that runs out of time is undecided; what does not depend on it is decided all the same."""
    event = {"a": "a" * 40 + "b", "b": "x"}
    b = Test("b", Op.EQUALS, "x")
    rules = [
        rule(SLOW, "slow"),
        rule(Or((b, SLOW)), "or"),
        rule(And((Not(b), SLOW)), "and"),
        rule(Not(SLOW), "not"),
    ]
    found = {m.rule.id: m.verdict for m in Matcher(rules).match(event)}
    assert found == {"slow": Verdict.UNDECIDED, "or": Verdict.TRUE, "not": Verdict.UNDECIDED}


def test_a_hit_does_not_depend_on_what_was_asked_before() -> None:
    """An expression is tried only when a rule asks for it; a rule that asks later gets the same answer."""
    pattern = Test("a", Op.REGEX, "ab.*c")
    rules = [
        rule(And((Test("b", Op.EQUALS, "1"), pattern)), "first"),
        rule(And((Test("c", Op.EQUALS, "1"), pattern)), "second"),
        rule(And((Test("d", Op.EQUALS, "1"), Not(pattern))), "third"),
    ]
    matcher = Matcher(rules)
    for extra in ({}, {"c": "1"}, {"b": "1", "d": "1"}, {"b": "1", "c": "1"}, {"d": "1"}):
        for value in ("xabyyc", "ab", ["ab", "abc"], "abc" + "x" * 2000):
            event = {"a": value, **extra}
            assert list(matcher.match(event)) == expected(rules, event), event


def test_doubt_in_one_of_several_values() -> None:
    """A list with a value on which the search runs out of time, and one that decides it all the same."""
    slow = "a" * 40 + "b"
    rules = [rule(SLOW, "slow"), rule(Not(SLOW), "not")]
    matcher = Matcher(rules)
    for value, verdict in (([slow, "x"], Verdict.UNDECIDED), ([slow, "aa"], Verdict.TRUE)):
        found = {m.rule.id: m.verdict for m in matcher.match({"a": value})}
        assert found["slow"] is verdict


def test_blind_and_undecidable_rules_are_left_out() -> None:
    """Rules that cannot be evaluated are not among the rules that the matcher decides."""
    everything = And(())
    rules = [
        Rule("blind", "b", predicate=everything, source=everything, blind="nobody provides it"),
        Rule("open", "o", predicate=everything, source=everything, undecidable="a placeholder"),
        Rule("correlation", "c", correlation={"type": "event_count"}),
        Rule("fires", "f", predicate=everything, source=everything),
    ]
    assert [m.rule.id for m in Matcher(rules).match({})] == ["fires"]


def test_numbers_and_booleans_that_python_takes_for_equal_stay_apart() -> None:
    """1, True and "1" are different texts, though 1 == True in Python; the memory does not mix them up."""
    matcher = Matcher([rule(Test("a", Op.EQUALS, "1"), "one"), rule(Test("a", Op.EQUALS, "true"), "yes")])
    for value, fires in ((1, "one"), (True, "yes"), ("1", "one"), (1.0, "one"), (True, "yes"), (1, "one")):
        assert [m.rule.id for m in matcher.match({"a": value})] == [fires], value


@pytest.mark.parametrize("value", [{"x": 1}, [{"x": 1}], [["abc"]], ("abc",), b"abc", object()])
def test_odd_values_do_not_raise(value: Any) -> None:
    """Values that no event should hold are compared as their text, as plain evaluation does."""
    rules = [rule(Test("a", Op.CONTAINS, "abc"), "field"), rule(Test(None, Op.CONTAINS, "abc"), "any")]
    assert list(Matcher(rules).match({"a": value})) == expected(rules, {"a": value})


def test_memory_is_bounded() -> None:
    """A stream of values that never repeat does not grow what is remembered beyond its bound."""
    matcher = Matcher(
        [rule(Test("a", Op.CONTAINS, "b")), rule(Test(None, Op.CONTAINS, "zz"), "k")], remembered=50_000
    )
    for number in range(5_000):
        matcher.match({"a": f"value {number}", "b": "x" * 5000 + str(number)})
    held = sum(len(k) for t in matcher._tables.values() for k in t.memo if isinstance(k, str))
    assert held <= 50_000


# ------------------------------------------------------------------ over real rules and logs


def _windows_events(folder: Path) -> Iterator[dict[str, Any]]:
    from soc import content
    from soc.collect.collector import load_collectors

    decoder = load_collectors([content.shipped("collectors")])["windows-evtx"].decoder()
    for path in sorted(folder.rglob("*.evtx")):
        for _, event in islice(decoder.file(path), 40):
            yield event


@pytest.mark.data
@pytest.mark.slow
def test_agrees_on_real_rules_and_events(data_folder: Path, tmp_path: Path) -> None:
    """All public rules over recorded events give the verdicts of plain evaluation."""
    from soc.detect.ruleset import load_rules

    rules = [r for r in load_rules([data_folder / "sigma" / "rules"], cache=tmp_path).runnable if not r.blind]
    matcher = Matcher(rules)
    events = list(islice(_windows_events(data_folder / "sigma" / "regression"), 150))
    assert len(rules) > 2500
    assert len(events) > 100
    for event in events:
        assert list(matcher.match(event)) == expected(rules, event)
