"""Finding rules by what people call them."""

from __future__ import annotations

from typing import Any

import pytest

from soc.detect.catalogue import chosen, datasets, find, layer_of, row, short_name, state_of
from soc.detect.predicate import And, Op, Or, Test
from soc.detect.rule import Rule
from soc.errors import UsageError


def rule(number: int, **fields: Any) -> Rule:
    """A rule with an id and a file of its own."""
    made: dict[str, Any] = {
        "id": f"{number:08x}-0000-4000-8000-000000000000",
        "title": f"Rule {number}",
        "path": f"/srv/rules/onsite/rule_{number}.yml",
        "line": 1,
    }
    return Rule(**{**made, **fields})


RULES = [rule(1), rule(2), rule(0x20), rule(3, name="by_name"), rule(4, path="/srv/own/x.yml")]


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("00000001-0000-4000-8000-000000000000", 0),
        ("00000001", 0),
        ("00000001-0000-4000-8000-00000000000", 0),
        ("rule_2", 1),
        ("RULE_2", 1),
        ("by_name", 3),
        ("x", 4),
    ],
)
def test_a_rule_is_found_by_id_beginning_and_name(wanted: str, number: int) -> None:
    """The whole id, a beginning that is unique, the Sigma name, and the name of the file."""
    assert find(RULES, wanted) is RULES[number]


def test_an_ambiguous_name_lists_the_candidates() -> None:
    """Both are named with their ids, and nothing is guessed."""
    with pytest.raises(UsageError, match=r"several rules: .*\(rule_2\), .*\(rule_32\)"):
        find([rule(2), rule(0x20)], "0000")


@pytest.mark.parametrize("wanted", ["000", "nosuch", "", "rule_9"])
def test_an_unknown_name_says_so(wanted: str) -> None:
    """A few digits are no beginning of an id; near names are suggested."""
    with pytest.raises(UsageError) as caught:
        find(RULES, wanted)
    assert caught.value.hint == "soc rule list"
    assert ("did you mean" in caught.value.message) is (wanted == "rule_9")


def test_rules_are_chosen_by_level_tag_and_layer() -> None:
    """Levels are alternatives, tags add up and may be beginnings, a layer is that of the folder."""
    rules = [
        rule(1, level="high", tags=("attack.t1059.001", "attack.execution")),
        rule(2, level="low", tags=("attack.t1059",)),
        rule(3, level="high", path="/srv/rules/national/r.yml"),
    ]
    assert chosen(rules, levels=["high", "critical"]) == [rules[0], rules[2]]
    assert chosen(rules, tags=["attack.t1059"]) == rules[:2]
    assert chosen(rules, tags=["attack.t105"]) == []
    assert chosen(rules, tags=["ATTACK.T1059", "attack.execution"]) == rules[:1]
    assert chosen(rules, layer=4) == rules[2:]
    assert chosen(rules) == rules


def test_the_layer_is_that_of_the_folder() -> None:
    """A rule elsewhere has none."""
    assert layer_of(RULES[0]) == 1
    assert layer_of(RULES[4]) is None
    assert row(RULES[4])["layer"] is None
    assert short_name(RULES[4]) == "x"


def test_the_state_says_whether_a_rule_can_fire() -> None:
    """Undecidable comes before blind; a correlation that could not be read is undecidable."""
    assert state_of(rule(1)) == "ready"
    assert state_of(rule(1, blind="nobody")) == "blind"
    assert state_of(rule(1, correlation={"type": "event_count"}, blind="nobody")) == "undecidable"
    assert state_of(rule(1, undecidable="why")) == "undecidable"


def test_the_datasets_of_a_source_are_known_when_it_names_nothing_else() -> None:
    """A source that also asks for channels could be anything."""
    nginx, apache = (Test("event.dataset", Op.EQUALS, name) for name in ("nginx.access", "apache.access"))
    assert datasets(nginx) == ["nginx.access"]
    assert datasets(Or((nginx, apache))) == ["nginx.access", "apache.access"]
    assert datasets(Or((nginx, Test("winlog.channel", Op.EQUALS, "Security")))) == []
    assert datasets(And(())) == []
    sudo = Test("process.name", Op.EQUALS, "sudo")
    assert datasets(Or((And((nginx, sudo)), apache, nginx))) == ["nginx.access", "apache.access"]
    assert datasets(And((nginx, apache))) == []
