"""Which techniques of ATT&CK the rules cover: by a rule, by data that was seen, by a test that fired.

A rule that exists is one thing; that its data is here, and that it was shown to fire, are two more. There is
no list of all techniques in this program: what no rule names is not counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from soc.detect.catalogue import short_name, state_of, techniques
from soc.detect.habits import TACTICS

if TYPE_CHECKING:
    from soc.detect.checks import Outcome
    from soc.detect.rule import Rule
    from soc.detect.sight import Sight

NAVIGATOR, LAYER = "5.1.0", "4.5"
"""Versions in a layer: of the Navigator (4.9.0 at least, by the format) and of the format.

LAYERFORMATv4_5.md of github.com/mitre-attack/attack-navigator."""

SCORES = {"none": 0, "rule": 1, "tested": 2, "seen": 3, "proven": 4}
"""State of a technique to its score in a layer."""

COLORS = {
    "none": ("#d3d3d3", "rules that cannot run here (blind, undecidable, not selected)"),
    "rule": ("#fdd49e", "a rule"),
    "tested": ("#fdbb84", "a rule whose samples fired"),
    "seen": ("#a1d99b", "a rule, and the store had its data"),
    "proven": ("#31a354", "a rule, its data, and samples that fired"),
}
"""State to the colour and words of the legend."""


@dataclass
class Technique:
    """A technique and the rules that name it. `seen` is None when no store was asked, `fired` when no sample
    was run."""

    id: str
    tactics: list[str] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    running: list[Rule] = field(default_factory=list)
    fired: list[Rule] | None = None
    seen: list[Rule] | None = None

    @property
    def state(self) -> str:
        """One of `SCORES`."""
        if not self.running:
            return "none"
        if self.seen and self.fired:
            return "proven"
        return "seen" if self.seen else "tested" if self.fired else "rule"

    def row(self) -> dict[str, Any]:
        """As one row."""
        return {
            "technique": self.id,
            "state": self.state,
            "tactics": list(self.tactics),
            "rules": len(self.rules),
            "running": len(self.running),
            "seen": None if self.seen is None else len(self.seen),
            "fired": None if self.fired is None else len(self.fired),
            "names": [short_name(rule) for rule in self.rules],
            "why_not": sorted({state_of(rule) for rule in self.rules} - {"ready", "shadow", "correlation"}),
        }


@dataclass(frozen=True)
class Coverage:
    """All techniques that rules name, and the rules that name none."""

    techniques: list[Technique]
    untagged: list[Rule]

    def by_tactic(self) -> Iterator[dict[str, Any]]:
        """One row for each tactic of ATT&CK that is current or that a rule names, in ATT&CK's order."""
        for tactic in [*TACTICS, ""]:
            mine = [t for t in self.techniques if tactic in t.tactics or (not tactic and not t.tactics)]
            if not mine and tactic in {"", *_NEW}:
                continue
            yield {
                "tactic": tactic or "(none named)",
                "techniques": len(mine),
                "running": sum(bool(t.running) for t in mine),
                "seen": _number(t.seen for t in mine),
                "fired": _number(t.fired for t in mine),
                "rules": len({rule.id for t in mine for rule in t.rules}),
                "gap": ", ".join(_gap(mine)),
            }

    def gaps(self) -> dict[str, list[str]]:
        """What is missing: tactics without a rule, techniques without one that runs, is seen, or fired."""
        known = {tactic for t in self.techniques for tactic in t.tactics}
        running = [t for t in self.techniques if t.running]
        return {
            "tactics_without_rules": [name for name in TACTICS if name not in known and name not in _NEW],
            "cannot_run": [t.id for t in self.techniques if not t.running],
            "never_seen": [t.id for t in running if t.seen is not None and not t.seen],
            "never_fired": [t.id for t in running if t.fired is not None and not t.fired],
            "rules_without_technique": [short_name(rule) for rule in self.untagged],
        }


_NEW = ("stealth", "defense-impairment")
"""Tactics that newer versions of ATT&CK have in place of `defense-evasion`: listed only where used."""


def _number(found: Iterable[Sequence[Rule] | None]) -> int | None:
    listed = list(found)
    return None if any(one is None for one in listed) else sum(bool(one) for one in listed)


def _gap(found: Sequence[Technique]) -> Iterator[str]:
    if not found:
        yield "no rule"
    for state, words in (("none", "cannot run"), ("rule", "unproven")):
        number = sum(t.state == state for t in found)
        asked = state == "none" or any(t.seen is not None or t.fired is not None for t in found)
        if number and asked:
            yield f"{number} {words}"


def coverage(
    rules: Sequence[Rule], *, fired: Collection[str] | None = None, seen: Collection[str] | None = None
) -> Coverage:
    """The techniques of the rules. `fired`: ids of rules of which samples fired (None: none was run); `seen`:
    ids of those of which a store had the data (None: no store was asked).
    """
    found: dict[str, Technique] = {}
    untagged = []
    for rule in rules:
        named = techniques(rule)
        if not named:
            untagged.append(rule)
        for id_ in named:
            one = found.setdefault(
                id_, Technique(id_, seen=None if seen is None else [], fired=None if fired is None else [])
            )
            one.rules.append(rule)
            one.tactics += [t for t in _tactics(rule) if t not in one.tactics]
            if state_of(rule) not in {"ready", "shadow", "correlation"}:
                continue
            one.running.append(rule)
            if fired is not None and one.fired is not None and rule.id in fired:
                one.fired.append(rule)
            if seen is not None and one.seen is not None and rule.id in seen:
                one.seen.append(rule)
    return Coverage(sorted(found.values(), key=lambda t: t.id), untagged)


def _tactics(rule: Rule) -> Iterator[str]:
    for tag in rule.tags:
        name = tag.removeprefix("attack.").replace("_", "-")
        if tag.startswith("attack.") and name in TACTICS:
            yield name


def fired_in(outcome: Outcome) -> set[str]:
    """The rules of which a sample fired as it should."""
    return {r.rule.id for r in outcome.results if r.passed and str(r.case.expect) == "fires"}


def seen_by(rules: Iterable[Rule], sight: Sight) -> set[str]:
    """The rules that could be true of an event of a stream that the store has seen."""
    from soc.detect.sight import could

    streams = sight.streams()
    return {
        rule.id
        for rule in rules
        if rule.runnable and not rule.blind and any(could(rule.predicate, f, n) for f, n in streams)
    }


def layer(found: Coverage, name: str, description: str = "") -> dict[str, Any]:
    """The coverage as a layer of the ATT&CK Navigator."""
    return {
        "name": name,
        "versions": {"navigator": NAVIGATOR, "layer": LAYER},
        "domain": "enterprise-attack",
        "description": description,
        "sorting": 3,
        "layout": {"layout": "side", "showID": True, "showName": True, "expandedSubtechniques": "annotated"},
        "hideDisabled": False,
        "techniques": [entry for technique in found.techniques for entry in _entries(technique)],
        "gradient": {"colors": [color for color, _ in COLORS.values()], "minValue": 0, "maxValue": 4},
        "legendItems": [{"label": label, "color": color} for color, label in COLORS.values()],
        "metadata": [],
        "links": [],
        "showTacticRowBackground": False,
        "selectTechniquesAcrossTactics": True,
        "selectSubtechniquesWithParent": False,
    }


def _entries(technique: Technique) -> Iterator[dict[str, Any]]:
    row = technique.row()
    facts: Mapping[str, str] = {
        "rules": ", ".join(row["names"]),
        "running": str(row["running"]),
        "seen in data": "not asked" if row["seen"] is None else str(row["seen"]),
        "fired in tests": "not run" if row["fired"] is None else str(row["fired"]),
    }
    yield {
        "techniqueID": technique.id,
        "score": SCORES[technique.state],
        "comment": COLORS[technique.state][1],
        "enabled": True,
        "metadata": [{"name": name, "value": value} for name, value in facts.items()],
        "links": [],
        "showSubtechniques": "." in technique.id,
    }
