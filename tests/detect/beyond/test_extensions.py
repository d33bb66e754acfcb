"""Extensions in rule files: what is wrong with them is found where it stands, and such a rule does not
run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.detect import scan
from soc.detect.beyond.extensions import DAY, NewTerm, extension_of
from soc.detect.predicate import matches
from tests.detect import rules

PLAIN = "s: {event.action: login}\ncondition: s"


def with_extension(setting: str) -> str:
    """A rule with these lines below `custom_attributes`."""
    return rules.text(PLAIN, more="custom_attributes:\n  " + setting.replace("\n", "\n  ") + "\n")


@pytest.mark.parametrize(
    ("setting", "at", "said"),
    [
        ("soc.new_term: user.name", (5, 3), "a mapping is expected"),
        ("soc.new_term: {within: 30d}", (5, 3), "`fields` is missing"),
        ("soc.new_term: {fields: []}", (5, 18), "a field name, or a list of field names"),
        ("soc.new_term:\n  fields: [a]\n  within: 30 days", (7, 5), "not a time span"),
        ("soc.new_term:\n  fields: [a, a]", (6, 5), "a field stands twice"),
        ("soc.new_term: {fields: [a], wihtin: 30d}", (5, 31), "did you mean within?"),
        ("soc.newterm: {fields: [a]}", (5, 3), "unknown setting 'soc.newterm'"),
        ("soc.new_term: {fields: [a]}\nsoc.indicator: {fields: [b]}", (6, 3), "a rule has one extension"),
        ("soc.indicator: {fields: [a], types: [car]}", (5, 32), "one or more of these"),
        ("soc.indicator: {fields: [a], confidence: 101}", (5, 32), "from 0 to 100"),
        ("soc.silence: {per: [a]}", (5, 3), "either `for` or `learned: true` is needed"),
        ("soc.silence: {for: 15m, learned: true}", (5, 3), "either `for` or `learned: true` is needed"),
        ("soc.silence: {for: 40d}", (5, 3), "`forget` must be longer than `for`"),
        ("soc.silence: {learned: yes}", (5, 17), "true or false"),
        ("soc.rare: {field: a}", (5, 3), "either `share` or `count` is needed"),
        ("soc.rare: {field: a, count: 3, over: 36h}", (5, 3), "`over` must be whole days"),
        ("soc.rare: {field: [a], count: 3}", (5, 14), "a field name is expected"),
        ("soc.spike: {factor: 1}", (5, 15), "a number above 1"),
        ("soc.flat: {share: 2}", (5, 14), "at most 1"),
    ],
)
def test_mistakes_are_found_where_they_stand(
    setting: str, at: tuple[int, int], said: str, tmp_path: Path
) -> None:
    """Each malformed setting is a problem with file, line and column; its rule is not run as an ordinary
    one.
    """
    found = rules.load(tmp_path, with_extension(setting))
    (problem,) = found.errors
    assert said in problem.message
    assert (problem.kind, problem.place.line, problem.place.column) == ("attribute", *at)
    if "one extension" not in said:
        assert found.runnable == []
        assert "its setting" in found.rules[0].undecidable


def test_filters_and_correlations_have_none(tmp_path: Path) -> None:
    """What has no detection of its own cannot choose among its hits."""
    text = (
        "title: many\nname: many\ncorrelation: {type: event_count, rules: [x], group-by: [a], timespan: 1h,\n"
        "  condition: {gte: 5}}\ncustom_attributes:\n  soc.new_term: {fields: [a]}\n"
    )
    found = rules.load(tmp_path, text)
    (problem,) = [p for p in found.errors if p.kind == "attribute"]
    assert "is for rules with a `detection`" in problem.message


def test_the_fields_are_part_of_the_rule(tmp_path: Path) -> None:
    """An event without the field is no hit, and the field counts among those that the rule must see."""
    (rule,) = rules.load(tmp_path, with_extension("soc.new_term: {fields: [user.name], within: 7d}")).rules
    assert rule.beyond == "soc.new_term"
    assert extension_of(rule.attributes) == NewTerm(("user.name",), within=7 * DAY)
    assert rule.fields == ("event.action", "user.name")
    event = {"event.dataset": "test.event", "event.action": "login"}
    assert not matches(rule.predicate, event)
    assert matches(rule.predicate, {**event, "user.name": "an"})


def test_the_version_changes_with_the_setting(tmp_path: Path) -> None:
    """Another setting is another version of the rule."""
    one, two = (
        rules.load(tmp_path / within, with_extension(f"soc.new_term: {{fields: [a], within: {within}}}"))
        for within in ("7d", "8d")
    )
    assert one.rules[0].version != two.rules[0].version


def test_a_scan_leaves_them_out_and_says_so(tmp_path: Path) -> None:
    """Without a store nothing is known of before: such a rule is left out, never run as an ordinary one."""
    found = rules.load(
        tmp_path, with_extension("soc.new_term: {fields: [a]}"), rules.text(PLAIN, title="Plain")
    )
    assert [rule.title for rule in scan.alone(found.rules)] == ["Plain"]
    said = "\n".join(scan.remarks(found, scan.Tally()))
    assert "1 rule left out: they ask what was before, which only a store knows (soc sweep)" in said
    assert "against 1 rule" in said
