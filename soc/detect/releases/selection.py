"""`selection.yml` in a folder of rules: which of the rules run.

    include:                           # a rule runs when one of these holds; left out: every rule
      - from: [own, shipped]
      - from: sigmahq
        level: [high, critical]
        status: [stable, test]
    exclude:                           # … and none of these
      - logsource: {product: windows, category: ps_script}
        reason: our servers run no PowerShell

An entry with `id` beats one without; otherwise `exclude` beats `include`. Rules that are `deprecated` or
`unsupported`, and rules that another running rule makes obsolete (`related:`), do not run unless an entry
of `include` names their id or, for the first, their status. What `overrides.yml` changes counts as changed.

One selection decides on all rules that are loaded: a second one, in another folder, is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from soc import yamlio
from soc.detect.releases.conditions import RETIRED, Condition, EntryReader
from soc.detect.releases.layers import SELECTION
from soc.detect.rule import Rule
from soc.errors import ContentError, Place, Problem, Severity

REPLACED_BY = {"obsolete": "obsolete", "obsoletes": "obsolete", "merged": "merged", "renamed": "renamed"}
"""Kinds of `related` by which a rule takes the place of the one that it names (Sigma 2.1, `related`)."""


@dataclass(slots=True)
class Entry:
    """One entry of a selection; `matched` counts the rules that it was true of."""

    condition: Condition
    place: Place
    reason: str = ""
    matched: int = 0


@dataclass
class Selection:
    """What a `selection.yml` says. Without a file: everything but what is retired."""

    path: Path | None = None
    include: list[Entry] = field(default_factory=list)
    exclude: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def decide(self, rules: Iterable[Rule]) -> dict[str, tuple[str, str]]:
        """Id to why it does not run and the place that says so, for the rules that are left out."""
        rules = list(rules)
        out = {}
        chosen: set[str] = set()
        for rule in rules:
            why, place = self._verdict(rule, chosen)
            if why:
                out[rule.id] = (why, place)
        for rule in rules:
            if rule.id in out or rule.off or rule.undecidable or rule.blind:
                continue  # what cannot fire itself takes nobody's place
            for target, kind in rule.related:
                if kind in REPLACED_BY and target != rule.id and target not in chosen:
                    out.setdefault(target, (f"{rule.title} took its place ({kind})", str(rule.place)))
        known = {rule.id for rule in rules}
        return {id_: said for id_, said in out.items() if id_ in known}

    def _verdict(self, rule: Rule, chosen: set[str]) -> tuple[str, str]:
        """Why a rule is left out, and where that stands; two empty texts when it runs."""
        ins = [entry for entry in self.include if entry.condition.holds(rule)]
        outs = [entry for entry in self.exclude if entry.condition.holds(rule)]
        for entry in (*ins, *outs):
            entry.matched += 1
        named = next((entry for entry in ins if entry.condition.ids), None)
        for entry in outs:
            if entry.condition.ids or not named:
                why = f": {entry.reason}" if entry.reason else ""
                return f"excluded by the selection{why}", str(entry.place)
        if named:
            chosen.add(rule.id)
            return "", ""
        if rule.status in RETIRED and not any(rule.status in entry.condition.statuses for entry in ins):
            return f"its status is {rule.status}", str(rule.place)
        if self.include and not ins:
            return "not included by the selection", str(self.path)
        return "", ""

    def named(self) -> set[str]:
        """The ids that are included by name."""
        return {id_ for entry in self.include for id_ in entry.condition.ids}

    def warnings(self, rules: Iterable[Rule]) -> list[Problem]:
        """What the selection names and is not there; call it after `decide`."""
        known = {rule.id for rule in rules}
        out = []
        for entry in (*self.include, *self.exclude):
            gone = [id_ for id_ in entry.condition.ids if id_ not in known]
            if gone:
                message = f"the selection names the rule {', '.join(gone)}, which is not there"
                out.append(Problem("unknown_rule", message, entry.place, Severity.WARNING, "soc rule list"))
            elif not entry.matched:
                message = "this entry of the selection is true of no rule"
                out.append(Problem("idle_entry", message, entry.place, Severity.WARNING))
        return out


def load_selection(folders: Sequence[Path]) -> Selection:
    """The selection in one of some folders of rules; an empty one when there is none.

    Never raises: what is wrong is in `.problems`.
    """
    found = [folder / SELECTION for folder in folders if (folder / SELECTION).is_file()]
    if not found:
        return Selection()
    selection = _read(found[0])
    for path in found[1:]:
        message = f"a selection stands already in {found[0]}, and one decides on all rules"
        selection.problems.append(Problem("second_selection", message, Place(str(path))))
    return selection


def _read(path: Path) -> Selection:
    try:
        return parse_selection(yamlio.read_text(path), path)
    except ContentError as error:
        return Selection(path, problems=error.problems)


def parse_selection(text: str, path: Path) -> Selection:
    """The selection in a text. Raises `ContentError` when it is no YAML; see `.problems` for the rest."""
    document = yamlio.parse(text, str(path))
    reader = EntryReader(document)
    data = {} if document.data is None else reader.mapping(document.data, ("include", "exclude"))
    selection = Selection(path, _entries(reader, data, "include"), _entries(reader, data, "exclude"))
    _contradictions(reader, selection)
    selection.problems = reader.problems
    return selection


def _entries(reader: EntryReader, data: dict[str, object], part: str) -> list[Entry]:
    out = []
    for number, item in enumerate(reader.items(data, part)):
        known = ("from", "level", "status", "logsource", "tag", "id", "reason")
        entry = reader.mapping(item, known, part, number)
        condition = reader.condition(entry, part, number)
        reason = "; ".join(reader.texts(entry, "reason", part, number))
        if condition is not None:
            out.append(Entry(condition, reader.place(part, number), reason))
    return out


def _contradictions(reader: EntryReader, selection: Selection) -> None:
    wanted = {id_: entry.place for entry in selection.include for id_ in entry.condition.ids}
    for entry in selection.exclude:
        for id_ in entry.condition.ids:
            if id_ in wanted:
                message = f"the rule {id_} is included by {wanted[id_]} and excluded here"
                reader.problems.append(Problem("contradiction", message, entry.place))


def needed_by_correlations(rules: dict[str, Rule]) -> dict[str, str]:
    """Id to the title of a running correlation that needs it, for the rules that do not run themselves."""
    names = _by_name(rules)
    out: dict[str, str] = {}
    running = [rule for rule in rules.values() if rule.correlation is not None and not rule.off]
    while running:
        correlation = running.pop()
        for base in _bases(correlation, rules, names):
            if base.off and base.id not in out:
                out[base.id] = correlation.title
                if base.correlation is not None:
                    running.append(base)
    return out


def _by_name(rules: dict[str, Rule]) -> dict[str, Rule]:
    return {rule.name: rule for rule in rules.values() if rule.name}


def _bases(correlation: Rule, rules: dict[str, Rule], names: dict[str, Rule]) -> Iterator[Rule]:
    """The rules that a correlation refers to, as far as they are there."""
    listed = (correlation.correlation or {}).get("rules")
    for name in listed if isinstance(listed, list) else [listed]:
        base = rules.get(str(name).lower()) or names.get(str(name))
        if base is not None:
            yield base


def left_without_correlation(rules: dict[str, Rule], chosen: Collection[str]) -> dict[str, Rule]:
    """Id to the correlation that does not run, for running rules that stand in its file and are there for it
    alone; but not for those in `chosen`. By themselves they would alert about what is normal.
    """
    names = _by_name(rules)
    out: dict[str, Rule] = {}
    kept: set[str] = set(chosen)
    for rule in rules.values():
        if rule.correlation is None or rule.correlation.get("generate") is True:
            continue
        for base in _bases(rule, rules, names):
            if rule.off and base.path == rule.path and not base.off:
                out[base.id] = rule
            elif not rule.off:
                kept.add(base.id)
    return {id_: rule for id_, rule in out.items() if id_ not in kept}


def apply_selection(rules: dict[str, Rule], selection: Selection, problems: list[Problem]) -> None:
    """Mark the rules that do not run (`Rule.off`); those that a running correlation needs run in shadow."""
    problems += selection.problems
    for id_, (why, place) in selection.decide(rules.values()).items():
        rule = rules[id_]
        if not rule.off:
            rules[id_] = replace(rule, off=why, decided={**rule.decided, "state": place})
    for id_, correlation in left_without_correlation(rules, selection.named()).items():
        why = f"it is there for a correlation that does not run: {correlation.title}"
        place = correlation.decided.get("state", "")
        rules[id_] = replace(rules[id_], off=why, decided={**rules[id_].decided, "state": place})
    if selection.path is not None:
        problems += selection.warnings(rules.values())
    for id_, title in needed_by_correlations(rules).items():
        rule = rules[id_]
        decided = {**rule.decided, "mode": f"needed by the correlation {title}"}
        rules[id_] = replace(rule, off="", mode="shadow", decided=decided)


def left_out(rules: Iterable[Rule]) -> str:
    """How many rules do not run and why, in one line; "" when all do."""
    reasons = Counter(
        (rule.off.partition(":")[0], rule.decided.get("state", "") if "selection" in rule.off else "")
        for rule in rules
        if rule.off
    )
    if not reasons:
        return ""
    parts = [
        f"{number:,} {why}{f' ({where})' if where else ''}" for (why, where), number in reasons.most_common()
    ]
    total = sum(reasons.values())
    return f"{total:,} rule{'' if total == 1 else 's'} not selected: {'; '.join(parts)}"
