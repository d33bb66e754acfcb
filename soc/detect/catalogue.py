"""Finding rules by what people call them, and what is said of a rule in lists."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc.collect.collector import LAYERS
from soc.detect.predicate import And, Op, Or, Predicate, Test
from soc.errors import ContentError, UsageError

_DATASET = "event.dataset"
_TECHNIQUE = re.compile(r"attack\.(t[0-9]{4}(?:\.[0-9]{3})?)\Z")

if TYPE_CHECKING:
    from soc.config import Config
    from soc.detect.exceptions.model import Exemption
    from soc.detect.rule import Rule
    from soc.detect.ruleset import Ruleset


def short_name(rule: Rule) -> str:
    """What a rule is called on the command line: its Sigma `name`, else its file's name without ending."""
    return rule.name or Path(rule.path).stem


def find(rules: Iterable[Rule], wanted: str) -> Rule:
    """The rule with this id, unique beginning of an id, or name.

    Raises `UsageError` that lists the candidates of an ambiguous one, or near names of an unknown one.
    """
    rules = list(rules)
    key = wanted.lower()
    exact = [rule for rule in rules if key in (rule.id, short_name(rule).lower())]
    found = exact or [rule for rule in rules if len(key) >= 4 and rule.id.startswith(key)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"{rule.id} ({short_name(rule)})" for rule in found)
        raise UsageError(f"{wanted!r} means several rules: {names}", hint="name one of them by its whole id")
    near = difflib.get_close_matches(wanted, [short_name(rule) for rule in rules], n=3)
    tail = f"; did you mean {', '.join(near)}?" if near else ""
    raise UsageError(f"there is no rule {wanted!r}{tail}", hint="soc rule list")


def datasets(source: Predicate) -> list[str]:
    """The datasets that the source of a rule names; empty when it (also) says it in another way."""
    names: list[str] = []
    for part in source.parts if isinstance(source, Or) else (source,):
        tests = part.parts if isinstance(part, And) else (part,)
        found = [
            t.operand for t in tests if isinstance(t, Test) and t.field == _DATASET and t.op is Op.EQUALS
        ]
        if len(found) != 1:
            return []
        names += found
    return list(dict.fromkeys(names))


def layer_of(rule: Rule) -> int | None:
    """The layer (1 to 4) whose folder the rule's file stands in; None when it stands in none."""
    numbers = {folder: number for number, folder in LAYERS.items()}
    return next((numbers[part] for part in reversed(Path(rule.path).parts[:-1]) if part in numbers), None)


def state_of(rule: Rule) -> str:
    """`ready` or `shadow`, or what keeps the rule from firing: `not selected`, `undecidable`, `blind`."""
    if rule.off:
        return "not selected"
    if rule.undecidable or (rule.correlation is not None and rule.definition is None):
        return "undecidable"
    if rule.blind:
        return "blind"
    return "shadow" if rule.mode == "shadow" else "ready"


STATES = ("ready", "shadow", "not selected", "undecidable", "blind")
"""Every answer of `state_of`."""


def techniques(rule: Rule) -> list[str]:
    """The techniques of ATT&CK that the rule's tags name: `T1059.001`."""
    return [found[1].upper() for tag in rule.tags if (found := _TECHNIQUE.match(tag))]


def chosen(
    rules: Iterable[Rule],
    *,
    levels: Sequence[str] = (),
    tags: Sequence[str] = (),
    layer: int | None = None,
    states: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> list[Rule]:
    """The rules that have one of the levels, all of the tags (whole or as a beginning), the layer, one of the
    states, and one of the origins; what is not given does not matter."""
    return [
        rule
        for rule in rules
        if (not levels or rule.level in levels)
        and all(any(t == tag or t.startswith(f"{tag}.") for t in rule.tags) for tag in map(str.lower, tags))
        and (layer is None or layer_of(rule) == layer)
        and (not states or state_of(rule) in states)
        and (not origins or rule.origin in origins)
    ]


_GROUPED = {
    "detection": ["host.name, else user.name, else source.ip"],
    "correlation": ["nothing: all of its events are one group"],
}
"""What the hits of a rule are grouped by that does not say so."""


def looks_at(rule: Rule) -> str:
    """What events a rule looks at: its log source, or the rules that it correlates."""
    if rule.definition is None:
        return str(rule.logsource)
    names = ", ".join(short_name(reference.rule) for reference in rule.definition.references)
    return f"{rule.definition.kind} of {names}"


def quiet(rules: Iterable[Rule]) -> set[str]:
    """Ids of the rules that raise no alerts of their own: they are there for a correlation (`generate`)."""
    return {
        reference.rule.id
        for rule in rules
        if rule.definition and not rule.definition.generate
        for reference in rule.definition.references
    }


def row(rule: Rule) -> dict[str, Any]:
    """A rule as one row of a list."""
    return {
        "name": short_name(rule),
        "level": rule.level,
        "layer": layer_of(rule),
        "title": rule.title,
        "status": rule.status,
        "state": state_of(rule),
        "logsource": looks_at(rule),
        "extension": rule.beyond,
        "techniques": techniques(rule),
        "tags": list(rule.tags),
        "playbooks": list(rule.playbooks),
        "origin": rule.origin,
        "mode": rule.mode,
        "decided": dict(rule.decided),
        "id": rule.id,
        "path": rule.path,
        "line": rule.line,
    }


def details(rule: Rule) -> dict[str, Any]:
    """Everything that a rule says of itself, and its detection as written."""
    window = rule.attributes.get("soc.window", "1h")
    return {
        "name": short_name(rule),
        "id": rule.id,
        "title": rule.title,
        "level": rule.level,
        "status": rule.status,
        "state": state_of(rule),
        "origin": rule.origin,
        "mode": rule.mode,
        "why": rule.off or rule.undecidable or rule.blind,
        "layer": layer_of(rule),
        "description": rule.description,
        "logsource": looks_at(rule),
        "detection": _detection(rule),
        "extension": _extension(rule),
        "fields": list(rule.fields),
        "group_by": list(rule.group_by) or _GROUPED[rule.kind],
        "window": str(window) if rule.correlation is None else "",
        "playbooks": list(rule.playbooks),
        "falsepositives": list(rule.falsepositives),
        "exceptions": [f"{one.id}, until {one.expires or 'ever'}" for one in rule.exceptions],
        "tags": list(rule.tags),
        "references": list(rule.references),
        "author": rule.author,
        "date": rule.date,
        "related": [f"{id_} ({kind})" for id_, kind in rule.related],
        "version": rule.version,
        "commit": rule.commit,
        "path": str(rule.place),
        "decided": [f"{what}: {where}" for what, where in rule.decided.items()],
    }


def _extension(rule: Rule) -> str:
    """What decides over the hits of the detection, as written; "" where nothing does."""
    from soc import yamlio

    return yamlio.dump({rule.beyond: rule.attributes[rule.beyond]}).rstrip() if rule.beyond else ""


def _detection(rule: Rule) -> str:
    from soc import yamlio

    for document in yamlio.load_all(Path(rule.path)):
        if isinstance(document.data, dict) and document.place("title").line == rule.line:
            part = document.data.get("detection") or document.data.get("correlation") or {}
            return yamlio.dump(part).rstrip()
    return ""


def ruleset_of(config: Config, arguments: Sequence[str]) -> Ruleset:
    """The rules that arguments of a command name: files, folders, ids, names; all when there are none.

    Problems come with files and folders, and with all rules. Raises `UsageError` for an unknown id or name.
    """
    from soc.collect.collector import collectors_for
    from soc.detect.exceptions.checks import settled
    from soc.detect.logsources import declared_by
    from soc.detect.placeholders import files_of
    from soc.detect.ruleset import Ruleset, load_rules, ruleset_for

    paths = [Path(argument) for argument in arguments if _is_path(argument)]
    names = [argument for argument in arguments if not _is_path(argument)]
    if not arguments:
        return ruleset_for(config)
    rules: list[Rule] = []
    problems = []
    exemptions: tuple[Exemption, ...] = ()
    if names:
        known = ruleset_for(config).rules
        rules += [find(known, name) for name in names]
    if paths:
        declared = declared_by(collectors_for(config))
        # a file alone is read with the lists of the configured folders, which it may lie in
        lists = {**files_of(config.rules, {}), **config.placeholders}
        found = load_rules(paths, declared=declared, placeholders=lists)
        if found.exemptions or any(problem.kind == "unknown_rule" for problem in found.problems):
            found = settled(found, ruleset_for(config).rules)
        rules += found.rules
        problems += found.problems
        exemptions = found.exemptions
    return Ruleset(_distinct(rules), problems, tuple(paths), exemptions)


def one_of(config: Config, argument: str) -> Rule:
    """The one rule that an argument names: an id, a name, or a file.

    Raises `UsageError` when there is none or several, `ContentError` for a file in which none can be read.
    """
    ruleset = ruleset_of(config, [argument])
    if len(ruleset.rules) == 1:
        return ruleset.rules[0]
    if ruleset.rules:
        names = ", ".join(short_name(rule) for rule in ruleset.rules[:5])
        more = ", …" if len(ruleset.rules) > 5 else ""
        raise UsageError(f"there are {len(ruleset.rules)} rules in it: {names}{more}", place=argument)
    if ruleset.errors:
        raise ContentError(ruleset.errors)
    raise UsageError("there is no rule in it", place=argument)


def _distinct(rules: Sequence[Rule]) -> list[Rule]:
    return list({(rule.id, rule.path): rule for rule in rules}.values())


def _is_path(argument: str) -> bool:
    return bool(argument) and (
        "/" in argument or argument.endswith((".yml", ".yaml")) or Path(argument).exists()
    )
