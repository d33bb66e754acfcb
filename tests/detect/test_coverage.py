"""Which techniques are covered by rules, seen in data, fired in tests; as a layer of the Navigator, too."""

from __future__ import annotations

import json
import re
from typing import Any

from soc.detect.coverage import SCORES, coverage, layer
from soc.detect.habits import TACTICS
from tests.detect.world import rule

RULES = [
    rule("proven", tags=("attack.execution", "attack.t1059.004")),
    rule("seen", tags=("attack.execution", "attack.t1059")),
    rule("tested", tags=("attack.credential-access", "attack.t1110")),
    rule("rule", tags=("attack.t1190",)),
    rule("blind", tags=("attack.impact", "attack.t1486"), blind="nobody provides it"),
    rule("off", tags=("attack.impact", "attack.t1486"), off="not selected"),
    rule("untagged"),
]
FOUND = coverage(RULES, fired={"proven", "tested", "blind"}, seen={"proven", "seen", "off"})


def test_a_technique_has_one_of_five_states() -> None:
    """A rule that cannot run covers nothing, whatever its samples say."""
    states = {technique.id: technique.state for technique in FOUND.techniques}
    assert states == {
        "T1059": "seen", "T1059.004": "proven", "T1110": "tested", "T1190": "rule", "T1486": "none",
    }  # fmt: skip


def test_the_table_is_by_tactic() -> None:
    """In ATT&CK's order, with what is missing; a technique without a tactic has a line of its own."""
    rows = {row["tactic"]: row for row in FOUND.by_tactic()}
    assert list(rows)[:3] == ["reconnaissance", "resource-development", "initial-access"]
    assert (rows["execution"]["techniques"], rows["execution"]["seen"], rows["execution"]["fired"]) == (
        2,
        2,
        1,
    )
    assert rows["impact"]["gap"] == "1 cannot run"
    assert rows["collection"]["gap"] == "no rule"
    assert rows["(none named)"]["techniques"] == 1
    assert {row["seen"] for row in coverage(RULES).by_tactic() if row["techniques"]} == {None}


def test_gaps_are_named() -> None:
    """Tactics without rules, techniques that cannot run, were not seen, or did not fire."""
    gaps = FOUND.gaps()
    assert "exfiltration" in gaps["tactics_without_rules"]
    assert gaps["cannot_run"] == ["T1486"]
    assert gaps["never_seen"] == ["T1110", "T1190"]
    assert gaps["never_fired"] == ["T1059", "T1190"]
    assert gaps["rules_without_technique"] == ["untagged"]


def test_the_layer_is_one_of_format_4_5() -> None:
    """Against the tables of the format: required names, types, and values that the Navigator knows."""
    made = json.loads(json.dumps(layer(FOUND, "name", "words")))
    assert made["versions"]["layer"] == "4.5"
    assert tuple(map(int, made["versions"]["navigator"].split("."))) >= (4, 9, 0)
    assert made["domain"] == "enterprise-attack"
    assert_fields(
        made, {"name": str, "description": str, "sorting": int, "layout": dict, "hideDisabled": bool}
    )
    assert made["layout"]["expandedSubtechniques"] in {"none", "all", "annotated"}
    assert made["layout"]["layout"] in {"side", "flat", "mini"}
    gradient = made["gradient"]
    assert gradient["maxValue"] > gradient["minValue"]
    assert len(gradient["colors"]) >= 2
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in gradient["colors"])
    assert all(set(item) == {"label", "color"} for item in made["legendItems"])
    ids = [technique["techniqueID"] for technique in made["techniques"]]
    assert len(ids) == len(set(ids)) == 5
    for technique in made["techniques"]:
        assert re.fullmatch(r"T\d{4}(\.\d{3})?", technique["techniqueID"])
        assert technique["score"] in SCORES.values()
        assert_fields(technique, {"comment": str, "enabled": bool, "metadata": list, "links": list})
        assert all(isinstance(m["name"], str) and isinstance(m["value"], str) for m in technique["metadata"])
        assert technique.get("tactic", TACTICS[0]) in TACTICS


def assert_fields(thing: dict[str, Any], wanted: dict[str, type]) -> None:
    """Each name is there with its type."""
    for name, kind in wanted.items():
        assert isinstance(thing[name], kind), name
