"""The level of an alert, raised by what the register knows of its machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.config import load
from soc.detect.sweep import Start, sweep
from soc.errors import ContentError
from soc.respond import alerts
from soc.respond.register import Asset, Criticality, System, load_register
from soc.respond.severity import LEVELS, Raised, Severity
from tests.detect.world import append, event, open_at, rule

REGISTER = """
systems:
  - {name: portal, level: 4, owner: Web team}
  - {name: canteen, level: 1}
  - {name: archive}
assets:
  - {host: web01, system: portal}
  - {host: menu01, system: canteen}
  - {host: till01, system: canteen, criticality: high}
  - {host: vault01, system: archive, criticality: low}
"""


def asset(level: int | None = None, criticality: str = "") -> Asset:
    """An asset of a system with this level."""
    system = System("portal", level)
    return Asset("web01", ("web01",), (), system, Criticality(criticality) if criticality else None)


@pytest.mark.parametrize(
    ("rule_level", "system", "criticality", "wanted"),
    [
        ("medium", 3, "medium", ""),
        ("medium", None, "", ""),
        ("medium", 4, "", "high"),
        ("medium", 5, "low", "high"),
        ("medium", None, "high", "high"),
        ("medium", 5, "critical", "high"),
        ("low", 1, "critical", "medium"),
        ("high", 4, "", "critical"),
        ("critical", 5, "critical", ""),
        ("informational", 5, "critical", ""),
        ("", 5, "critical", ""),
    ],
)
def test_table(rule_level: str, system: int | None, criticality: str, wanted: str) -> None:
    """One step for either, not two for both; never lowered, never beyond critical."""
    raised = Severity().raised(rule_level, [asset(system, criticality)])
    assert (raised.level if raised else "") == wanted


def test_says_why() -> None:
    """The reason names what the register says."""
    assert Severity().raised("low", [asset(2), asset(4)]) == Raised("medium", "portal is a system of level 4")
    assert Severity().raised("low", [asset(2, "high")]) == Raised("medium", "web01 is high")
    assert Severity({5: 3}, {}).raised("low", [asset(5)]) == Raised(
        "critical", "portal is a system of level 5"
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("steps", range(4))
def test_never_lowers(level: str, steps: int) -> None:
    """Whatever the steps are."""
    raised = Severity({4: steps}, {}).raised(level, [asset(4)])
    assert raised is None or LEVELS.index(raised.level) > LEVELS.index(level)


def test_alerts_of_a_sweep(tmp_path: Path) -> None:
    """The alert has the raised level, keeps the rule's, and says why; machines that are not listed raise
    nothing. It can be asked for by either."""
    path = tmp_path / "register.yml"
    path.write_text(REGISTER)
    with open_at(tmp_path / "store") as store:
        for number, host in enumerate(("web01", "menu01", "till01", "vault01", "unknown")):
            append(store, {f"e{number}": event(number, host=host)})
        sweep(store, [rule(level="medium")], start=Start(), register=load_register(path))
        found = {d.body["entity"]: (d.body["level"], d.body["raised"]) for d in store.find("alert")}
        assert found == {
            "web01": ("high", {"from": "medium", "why": "portal is a system of level 4"}),
            "menu01": ("medium", None),
            "till01": ("high", {"from": "medium", "why": "till01 is high"}),
            "vault01": ("medium", None),
            "unknown": ("medium", None),
        }
        assert all(d.body["rule"]["level"] == "medium" for d in store.find("alert"))
        wanted = alerts.wanted("level:high rule.level:medium")
        assert {v.body["entity"] for v in alerts.list_alerts(store, wanted)} == {"web01", "till01"}


def test_raised_by_a_later_hit_and_stays(tmp_path: Path) -> None:
    """A hit on a machine of importance raises an alert that is open; a register that forgets it lowers
    nothing."""
    path = tmp_path / "register.yml"
    path.write_text(REGISTER)
    by_address = rule(level="low", attributes={"soc.group_by": ["source.ip"]})
    with open_at(tmp_path / "store") as store:
        append(store, {"e1": event(1, host="menu01")})
        sweep(store, [by_address], start=Start(), register=load_register(path))
        levels = []
        for number, known in ((2, load_register(path)), (3, None)):
            append(store, {f"e{number}": event(number, host="web01")})
            sweep(store, [by_address], register=known)
            (document,) = store.find("alert")
            levels.append((document.body["level"], document.body["count"]))
        assert levels == [("medium", 2), ("medium", 3)]


class TestConfiguration:
    def write(self, tmp_path: Path, text: str) -> Path:
        """A configuration with this severity."""
        path = tmp_path / "soc.yml"
        path.write_text(f"detect:\n  severity: {text}\n")
        return path

    def test_steps(self, tmp_path: Path) -> None:
        """What is not named keeps its default."""
        found = load(self.write(tmp_path, "{levels: {5: 2, 4: 0}, criticality: {medium: 1}}")).severity
        assert (dict(found.levels), dict(found.criticality)) == (
            {4: 0, 5: 2},
            {"medium": 1, "high": 1, "critical": 1},
        )

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{levels: {6: 1}}", "1 to 5"),
            ("{levels: {4: -1}}", "never lowered"),
            ("{levels: {4: much}}", "whole number"),
            ("{criticality: {huge: 1}}", "unknown setting"),
            ("{level: {4: 1}}", "unknown setting"),
        ],
    )
    def test_mistakes(self, tmp_path: Path, text: str, message: str) -> None:
        """With their place."""
        with pytest.raises(ContentError) as caught:
            load(self.write(tmp_path, text))
        (problem,) = caught.value.problems
        assert message in problem.message
        assert problem.place.line == 2
