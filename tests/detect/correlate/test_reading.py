"""What a correlation says is read whole, or refused with its place."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from soc.detect.correlate.definition import Expression, Kind, Limit, Watch
from soc.detect.correlate.reading import read, with_bases
from soc.detect.rule import Rule
from tests.detect import rules
from tests.detect.correlate.test_stage import BASE, GOOD, MANY, correlation, loaded

COUNT: dict[str, Any] = {
    "type": "event_count",
    "rules": ["failed"],
    "timespan": "5m",
    "condition": {"gte": 3},
}


def section(**changes: Any) -> dict[str, Any]:
    """A sound section with something changed; None leaves a key out."""
    made = {**COUNT, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return {name: value for name, value in made.items() if value is not None}


FAULTS = {
    "no mapping": ("x", "correlation", "must be a mapping"),
    "no type": (section(type=None), "correlation_type", "has no `type`"),
    "unknown type": (section(type="event_cuont"), "correlation_type", "unknown type"),
    "unknown key": ({**COUNT, "group_by": ["a"]}, "correlation", "unknown key 'group_by'"),
    "no rules": (section(rules=None), "correlation", "names no `rules`"),
    "empty rules": (section(rules=[]), "correlation", "is empty"),
    "rules of another kind": (section(rules={"a": 1}), "correlation", "must be a name or a list"),
    "a rule twice": (section(rules=["a", "a"]), "correlation", "stands twice"),
    "no timespan": (section(timespan=None), "timespan", "has no `timespan`"),
    "timespan of zero": (section(timespan="0m"), "timespan", "zero"),
    "no timespan at all": (section(timespan="soon"), "timespan", "is no timespan"),
    "a number as timespan": (section(timespan=5), "timespan", "is no timespan"),
    "generate": (section(generate="yes"), "correlation", "true or false"),
    "no condition": (section(condition=None), "condition", "must be a mapping"),
    "nothing compared": (section(condition={}), "condition", "compares with nothing"),
    "unknown word": (section(condition={"gte": 3, "atleast": 2}), "condition", "unknown word"),
    "no number": (section(condition={"gte": "many"}), "condition", "is not a number"),
    "a truth for a number": (section(condition={"gte": True}), "condition", "is not a number"),
    "not a number": (section(condition={"gte": float("nan")}), "condition", "is not a number"),
    "too many": (section(condition={"gte": 2_000_000}), "condition", "exact up to"),
    "never": (section(condition={"gt": 5, "lt": 6}), "never", "never be true"),
    "always": (section(condition={"gte": 0}), "always", "always true"),
    "more rules than there are": (
        section(type="temporal", rules=["a", "b"], condition={"gte": 3}),
        "never",
        "never be true",
    ),
    "a field that is not counted": (
        section(condition={"gte": 3, "field": "a"}),
        "condition",
        "no meaning for event_count",
    ),
    "no field": (section(type="value_count"), "condition", "needs a `field`"),
    "no field to add": (section(type="value_sum"), "condition", "needs a `field`"),
    "two fields to add": (
        section(type="value_sum", condition={"gte": 3, "field": ["a", "b"]}),
        "condition",
        "computes with one field",
    ),
    "no percentile": (
        section(type="value_percentile", condition={"gte": 3, "field": "a"}),
        "condition",
        "needs a `percentile`",
    ),
    "percentile beyond": (
        section(type="value_percentile", condition={"gte": 3, "field": "a", "percentile": 101}),
        "condition",
        "between 0 and 100",
    ),
    "percentile elsewhere": (
        section(condition={"gte": 3, "percentile": 50}),
        "condition",
        "no meaning for event_count",
    ),
    "aliases": (section(aliases=["a"]), "aliases", "must be a mapping"),
    "alias without a field": (section(aliases={"a": "b"}), "aliases", "needs a field for each rule"),
    "alias of another rule": (
        section(aliases={"a": {"failed": "x", "other": "y"}}),
        "aliases",
        "does not refer to",
    ),
    "alias that leaves a rule out": (
        section(rules=["failed", "good"], aliases={"a": {"failed": "x"}}),
        "aliases",
        "has no field for the rule good",
    ),
    "words for a count": (section(condition="a and b"), "condition", "for temporal correlations"),
    "words with an unknown rule": (
        section(type="temporal", rules=["a", "b"], condition="a and c"),
        "condition",
        "names 'c'",
    ),
    "words that leave a rule out": (
        section(type="temporal", rules=["a", "b"], condition="a"),
        "condition",
        "does not use the rule b",
    ),
    "words that end early": (
        section(type="temporal", rules=["a", "b"], condition="a and"),
        "condition",
        "is missing",
    ),
    "words with an open parenthesis": (
        section(type="temporal", rules=["a", "b"], condition="(a or b"),
        "condition",
        "not closed",
    ),
    "words that go on": (
        section(type="temporal", rules=["a", "b"], condition="a b"),
        "condition",
        "unexpected 'b'",
    ),
    "words too deep": (
        section(type="temporal", rules=["a"], condition="(" * 40 + "a" + ")" * 40),
        "condition",
        "nested deeper",
    ),
    "not in an order": (
        section(type="temporal_ordered", rules=["a", "b"], condition="a and not b"),
        "condition",
        "no place for `not`",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_malformed_is_told(name: str) -> None:
    """Each with its kind, and in words that say what is wrong."""
    written, kind, message = FAULTS[name]
    found = read(written).faults
    assert [fault for fault in found if fault.kind == kind and message in fault.message], found


def test_faults_are_collected() -> None:
    """All at once, not one after the other."""
    found = read({"type": "x", "timespan": "0s", "generate": 1, "condition": {"gte": "a"}}).faults
    assert {fault.kind for fault in found} == {"correlation_type", "timespan", "correlation", "condition"}


def test_a_section_is_read() -> None:
    """With ranges, fractions, spans, and what is left out as the specification has it."""
    draft = read(section(type="value_avg", condition={"gte": 0.5, "lt": "1e3", "field": "a"}, timespan="1M"))
    assert not draft.faults
    assert draft.limits == [Limit("gte", Fraction(1, 2)), Limit("lt", Fraction(1000))]
    assert draft.timespan == 2_629_746_000_000
    draft = read(section(type="temporal", rules=["a", "b", "c"], condition=None))
    assert draft.limits == [Limit("gte", Fraction(3))]
    draft = read(section(type="temporal", rules=None, condition="not a and (b or a_1)"))
    assert draft.rules == ["a", "b", "a_1"]
    assert draft.expression == Expression(
        "and",
        (
            Expression("not", (Expression("rule", rule=0),)),
            Expression("or", (Expression("rule", rule=1), Expression("rule", rule=2))),
        ),
    )


def definition_of(found: list[Rule]) -> Any:
    """The definition of the last rule."""
    assert found[-1].definition is not None
    return found[-1].definition


def test_rules_are_found_by_name_and_id_and_in_any_order(tmp_path: Path) -> None:
    """Also a correlation that stands before those that it refers to."""
    body = "type: temporal\nrules: [FAILED, 00000000-0000-4000-8000-000000000002]\ntimespan: 1h"
    first, *_ = loaded(tmp_path, correlation(body), BASE, GOOD)
    assert first.definition is not None
    assert [reference.rule.name for reference in first.definition.references] == ["failed", "good"]
    assert first.definition.watch is Watch.RISING
    assert [rule.name or rule.title for rule in with_bases([first])] == ["Many 9", "failed", "good"]


def test_fields_are_mapped_like_those_of_the_rule(tmp_path: Path) -> None:
    """By the pipelines of the log source of each rule, aliases too."""
    windows = (
        BASE.replace("failed", "win")
        .replace("0001", "0007")
        .replace("{category: test}", "{product: windows, service: security}")
    )
    body = """
type: value_count
rules: [failed, win]
group-by: [who]
timespan: 1h
aliases: {who: {failed: user.name, win: SubjectUserName}}
condition: {field: TargetUserName, gte: 2}
"""
    found = rules.load(tmp_path / "rules", BASE, windows, correlation(body))
    assert not found.errors, found.errors
    definition = definition_of(found.rules)
    by_rule = [
        (reference.groups[base], reference.values[base])
        for reference in definition.references
        for base in reference.bases
    ]
    assert by_rule[0] == ((("user.name",),), (("TargetUserName",),))
    assert by_rule[1][0] != (("SubjectUserName",),)
    assert definition.names == ("who",)


@pytest.mark.parametrize(
    ("texts", "kind", "line", "words"),
    [
        pytest.param([correlation(MANY)], "unknown_rule", 5, "there is no rule failed", id="unknown rule"),
        pytest.param(
            [BASE, BASE.replace("0001", "0004"), correlation(MANY)],
            "unknown_rule",
            5,
            "means several rules",
            id="a name of two",
        ),
        pytest.param(
            [correlation(MANY.replace("failed", "me"), name="me")],
            "cycle",
            6,
            "refer to each other: Many 9 → Many 9",
            id="itself",
        ),
        pytest.param(
            [
                correlation(MANY.replace("failed", "b"), 7, name="a"),
                correlation(MANY.replace("failed", "a"), 8, name="b"),
            ],
            "cycle",
            6,
            "Many 7 → Many 8 → Many 7",
            id="a circle",
        ),
        pytest.param(
            [
                BASE,
                correlation(MANY.replace("gte: 3", "eq: 0"), 7, name="quiet"),
                correlation(MANY.replace("failed", "quiet"), 8),
            ],
            "nested",
            5,
            "decided when time has passed",
            id="silence beneath",
        ),
    ],
)
def test_what_cannot_be_joined_is_told_with_its_line(
    texts: list[str], kind: str, line: int, words: str, tmp_path: Path
) -> None:
    """At the name in question; the rule stays, as one that cannot be decided."""
    found = rules.load(tmp_path / "rules", *texts)
    problems = [problem for problem in found.problems if problem.kind == kind]
    assert problems, [str(problem) for problem in found.problems]
    assert words in problems[0].message
    assert problems[0].place.line == line
    broken = [rule for rule in found.rules if rule.correlation is not None and rule.definition is None]
    assert broken
    assert all(rule.undecidable for rule in broken)


def test_a_fault_in_a_file_has_its_line(tmp_path: Path) -> None:
    """Also where pySigma would have said only that something is wrong."""
    found = rules.load(tmp_path / "rules", BASE, correlation(MANY.replace("10m", "0m")))
    (problem,) = found.errors
    assert (problem.kind, problem.place.line) == ("timespan", 7)


def test_the_version_follows_what_is_referred_to(tmp_path: Path) -> None:
    """A changed rule beneath is another version of the correlation; state goes on with the same shape."""
    before = loaded(tmp_path / "a", BASE, correlation(MANY))[-1]
    other = loaded(tmp_path / "b", BASE.replace("failure", "unknown"), correlation(MANY))[-1]
    higher = loaded(tmp_path / "c", BASE, correlation(MANY.replace("3", "4")))[-1]
    wider = loaded(tmp_path / "d", BASE, correlation(MANY.replace("10m", "20m")))[-1]
    assert len({rule.version for rule in (before, other, higher, wider)}) == 4
    shapes = [definition_of([rule]).shape for rule in (before, other, higher, wider)]
    assert shapes[0] == shapes[1] == shapes[2] != shapes[3]


def test_every_type_is_known() -> None:
    """Those of the specification, and those of pySigma."""
    from sigma.correlations import SigmaCorrelationType

    assert {kind.name.lower() for kind in SigmaCorrelationType} == {str(kind) for kind in Kind}
