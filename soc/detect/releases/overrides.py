"""`overrides.yml` in a folder of rules: what is different here about rules that others wrote.

    overrides:
      - match: {id: 5a6b1f2c-0d3e-4f41-9a57-0c2f6d1e8b90}
        set:
          level: low                   # the severity of its alerts
          playbooks: [phishing]        # what answers them
          group_by: [user.name]        # hits with equal values here become one alert …
          window: 24h                  # … as long as they lie within this time
          mode: shadow                 # alert, shadow (counted, no alerts) or off
        reason: the backup does this every night
      - match: {from: sigmahq, status: experimental}
        set: {mode: shadow}

`match` says which rules are meant (see `soc.detect.releases.conditions`), by what the rules themselves say.
A later entry beats an earlier one, and a later folder beats an earlier one, setting by setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from soc import yamlio
from soc.detect.releases.conditions import KEYS, Condition, EntryReader
from soc.detect.releases.layers import OVERRIDES
from soc.detect.rule import LEVELS, MODES, Rule, duration
from soc.errors import ContentError, Place, Problem, Severity

SETTINGS = ("level", "playbooks", "group_by", "window", "mode")
_ATTRIBUTES = {"playbooks": "soc.playbooks", "group_by": "soc.group_by", "window": "soc.window"}


@dataclass(slots=True)
class Override:
    """One entry: for which rules, what it sets (setting to value), and where each setting stands."""

    condition: Condition
    settings: dict[str, Any]
    places: dict[str, str]
    place: Place
    reason: str = ""


@dataclass
class Overrides:
    """What the overrides of some folders say, in the order in which they apply."""

    entries: list[Override] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def applied(self, rule: Rule) -> Rule:
        """The rule with what is set for it; the same object when nothing is."""
        settings: dict[str, Any] = {}
        decided: dict[str, str] = {}
        for entry in self.entries:
            if entry.condition.holds(rule):
                settings.update(entry.settings)
                decided.update(entry.places)
                if "mode" in entry.settings:
                    decided["reason"] = entry.reason
        if not settings:
            return rule
        attributes = {_ATTRIBUTES[name]: settings[name] for name in _ATTRIBUTES if name in settings}
        mode = settings.get("mode", rule.mode)
        why = decided.pop("reason", "")
        off = f"switched off by an override{f': {why}' if why else ''}" if mode == "off" else ""
        return replace(
            rule,
            level=settings.get("level", rule.level),
            attributes={**rule.attributes, **attributes} if attributes else rule.attributes,
            mode="alert" if mode == "off" else mode,
            off=off or rule.off,
            decided={**rule.decided, **decided, **({"state": decided["mode"]} if off else {})},
        )


def load_overrides(folders: Sequence[Path]) -> Overrides:
    """The overrides of folders of rules, in their order. Never raises: what is wrong is in `.problems`."""
    out = Overrides()
    for folder in folders:
        path = folder / OVERRIDES
        if not path.is_file():
            continue
        try:
            found = parse_overrides(yamlio.read_text(path), path)
        except ContentError as error:
            out.problems += error.problems
            continue
        out.entries += found.entries
        out.problems += found.problems
    return out


def parse_overrides(text: str, path: Path) -> Overrides:
    """The overrides in a text. Raises `ContentError` when it is no YAML; see `.problems` for the rest."""
    document = yamlio.parse(text, str(path))
    reader = EntryReader(document)
    data = {} if document.data is None else reader.mapping(document.data, ("overrides",))
    entries = [
        entry
        for number, item in enumerate(reader.items(data, "overrides"))
        if (entry := _entry(reader, item, "overrides", number))
    ]
    return Overrides(entries, reader.problems)


def _entry(reader: EntryReader, item: Any, *at: str | int) -> Override | None:
    before = len(reader.problems)
    entry = reader.mapping(item, ("match", "set", "reason"), *at)
    for part in ("match", "set"):
        if part not in entry and isinstance(item, dict):
            reader.problem(f"an override needs `{part}`", *at)
    match = reader.mapping(entry.get("match", {}), KEYS, *at, "match")
    condition = reader.condition(match, *at, "match") if "match" in entry else None
    settings = _settings(reader, reader.mapping(entry.get("set", {}), SETTINGS, *at, "set"), *at, "set")
    reason = "; ".join(reader.texts(entry, "reason", *at))
    if condition is None or len(reader.problems) > before:
        return None
    places = {name: str(reader.place(*at, "set", name)) for name in settings}
    return Override(condition, settings, places, reader.place(*at), reason)


def _settings(reader: EntryReader, data: dict[str, Any], *at: str | int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, among in (("level", LEVELS), ("mode", (*MODES, "off"))):
        if name in data:
            found = reader.texts(data, name, *at, among=among)
            if len(found) == 1:
                out[name] = found[0]
            elif found:
                reader.problem(f"one {name} is expected here", *at, name)
    for name in ("playbooks", "group_by"):
        if name in data:
            # an empty list takes away what the rule says
            out[name] = [] if data[name] == [] else list(reader.texts(data, name, *at))
    if "window" in data:
        out["window"] = str(data["window"])
        try:
            duration(out["window"])
        except ValueError as error:
            reader.problem(str(error), *at, "window")
    if not data:
        reader.problem("the override sets nothing", *at)
    return out


def apply_overrides(rules: dict[str, Rule], overrides: Overrides, problems: list[Problem]) -> None:
    """Replace the rules that overrides mean; note the overrides whose rule is not there."""
    problems += overrides.problems
    for entry in overrides.entries:
        gone = [id_ for id_ in entry.condition.ids if id_ not in rules]
        if gone:
            message = f"the override names the rule {', '.join(gone)}, which is not there"
            problems.append(Problem("unknown_rule", message, entry.place, Severity.WARNING, "soc rule list"))
    if overrides.entries:
        for rule in list(rules.values()):
            rules[rule.id] = overrides.applied(rule)
