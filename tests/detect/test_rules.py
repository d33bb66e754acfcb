"""Every shipped rule: sound, usable, shown to fire and to stay silent. Each file is a test of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from soc import content, yamlio
from soc.collect.collector import LAYERS, Collectors, load_collectors
from soc.detect import predicate
from soc.detect.catalogue import layer_of, quiet, short_name
from soc.detect.lint import lint, orphans
from soc.detect.predicate import Op, Verdict, evaluate_value
from soc.detect.releases.layers import rule_files
from soc.detect.rule import Rule
from soc.detect.ruleset import Ruleset, load_rules
from soc.detect.samples import Bench, Expect, load_samples
from soc.errors import Problem

FOLDER = content.shipped("rules")
FILES = list(rule_files(FOLDER))
PLAYBOOKS = {path.stem for path in content.files(content.shipped("playbooks"))}


@cache
def collectors() -> Collectors:
    """The shipped collectors."""
    return load_collectors([content.shipped("collectors")])


@cache
def ruleset() -> Ruleset:
    """The shipped rules."""
    return load_rules([FOLDER], cache=False)


@cache
def findings() -> dict[str, list[Problem]]:
    """What lint says, by file."""
    out: dict[str, list[Problem]] = {}
    for problem in lint(ruleset(), collectors=collectors(), playbooks=PLAYBOOKS):
        out.setdefault(problem.place.path, []).append(problem)
    return out


def rules_of(path: Path) -> list[Rule]:
    """The rules in a file that raise alerts; those that are there for a correlation are not among them."""
    silent = quiet(ruleset().rules)
    return [rule for rule in ruleset().rules if rule.path == str(path) and rule.id not in silent]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """One store for all samples of this module."""
    with Bench(collectors()) as made:
        yield made


def named(path: Path) -> str:
    """The test id of a rule file."""
    return str(path.relative_to(FOLDER).with_suffix(""))


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_shipped_rule_has_no_finding(path: Path) -> None:
    """Neither the rule nor its samples have an error or a warning; both name what an analyst needs."""
    samples = load_samples(path).path
    found = findings().get(str(path), []) + findings().get(str(samples), [])
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_shipped_rule_fires_where_it_should_and_nowhere_else(path: Path, bench: Bench) -> None:
    """Its true log lines, through the shipped collector, a store and a sweep, give what each case says."""
    cases = load_samples(path).cases
    rules = rules_of(path)
    assert rules
    assert cases
    results = [bench.run(rule, case) for rule in rules for case in cases]
    wrong = [f"{r.case.place} {r.case.name}: {r.fault}" for r in results if not r.passed]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_shipped_rule_says_what_an_analyst_needs(path: Path) -> None:
    """It stands in the folder of its layer, is ours, and has a date, a group of its alerts and a playbook."""
    for rule in rules_of(path):
        assert layer_of(rule) in LAYERS
        assert rule.author == "soc authors"
        assert rule.date
        assert rule.status in {"experimental", "test", "stable"}
        assert rule.group_by, "soc.group_by says whose alert it is"
        assert set(rule.playbooks) <= PLAYBOOKS
        assert len(rule.description.split()) >= 15


HOSTILE = [
    part * (200_000 // len(part))
    for part in ("a", " ", "../", "${", "$%7b", "'\"", "-c sh ", "a.", "%20;", "\\", "é")
]


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_shipped_rule_does_not_hang_on_long_text(path: Path) -> None:
    """Text made to keep a regular expression busy is decided, and soon."""
    patterns = [
        test for rule in rules_of(path) for test in predicate.tests(rule.predicate) if test.op is Op.REGEX
    ]
    begun = time.perf_counter()
    for test in patterns:
        for text in HOSTILE:
            assert evaluate_value(test, text) is not Verdict.UNDECIDED, test.operand
    assert time.perf_counter() - begun < 2.0 * max(len(patterns), 1)


def test_there_are_rules_for_every_layer() -> None:
    """Forty rules or more, some of each of the four layers, and at least three levels of severity."""
    rules = ruleset().rules
    assert len(rules) >= 44
    layers = [layer_of(rule) for rule in rules]
    assert all(layers.count(number) >= 4 for number in LAYERS), {n: layers.count(n) for n in LAYERS}
    assert {"low", "medium", "high", "critical"} <= {rule.level for rule in rules}


def test_there_are_correlations_on_every_layer() -> None:
    """Ten or more, of several types; each has its samples with times like every other rule."""
    found = [rule for rule in ruleset().correlations if rule.id not in quiet(ruleset().rules)]
    assert len(found) >= 10
    assert {layer_of(rule) for rule in found} == set(LAYERS)
    kinds = {rule.definition.kind for rule in ruleset().correlations if rule.definition}
    assert len(kinds) >= 5, kinds


def test_names_of_shipped_rules_are_unique() -> None:
    """Each rule can be named on the command line by the name of its file."""
    names = [short_name(rule) for rule in ruleset().rules]
    assert len(names) == len(set(names))


def test_every_file_of_samples_belongs_to_a_rule() -> None:
    """No samples were left behind when a rule was renamed."""
    assert not orphans(FOLDER)


def test_every_playbook_answers_a_rule() -> None:
    """Each shipped playbook is named by a rule, so that its alerts lead there."""
    named_by_rules = {name for rule in ruleset().rules for name in rule.playbooks}
    assert named_by_rules >= PLAYBOOKS


@pytest.mark.slow
def test_all_rules_together_find_what_each_finds_alone() -> None:
    """All rules in one sweep: a case that fires its rule alone does so in their company too."""
    rules = ruleset().rules
    with Bench(collectors(), rules=rules) as together:
        for path in FILES:
            for case in load_samples(path).cases:
                for rule in rules_of(path):
                    result = together.run(rule, case)
                    assert bool(result.hits) is (case.expect is Expect.FIRES), f"{case.place} {result}"


INSIDE = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"}
"""An institution's own networks, as every rule means them."""
LOCAL = {"127.0.0.0/8", "169.254.0.0/16", "fe80::/10", "::1/128"}
"""What is not of the Internet besides: a machine itself, and its own link."""


def networks(value: object) -> Iterator[set[str]]:
    """Every list of networks in a detection."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.endswith("|cidr"):
                yield set(inner if isinstance(inner, list) else [inner])
            else:
                yield from networks(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from networks(inner)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_inside_means_the_same_in_every_rule(path: Path) -> None:
    """Private networks of both families stand together; so do the addresses of a machine and its link."""
    documents = yamlio.parse_all(path.read_text("utf-8"), str(path))
    for listed in (found for document in documents for found in networks(document.data.get("detection", {}))):
        if listed & (INSIDE | LOCAL):
            assert listed >= INSIDE
            assert not listed & LOCAL or listed >= LOCAL
