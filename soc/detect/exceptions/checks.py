"""Findings about exceptions for `soc rule lint`: nobody answers, no end, no rule, all hidden, long over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from soc import yamlio
from soc.detect.exceptions import model
from soc.detect.exceptions.draft import stamp
from soc.detect.exceptions.model import Exemption
from soc.errors import ContentError, Place, Problem, Severity

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.detect.ruleset import Ruleset

LONG = timedelta(days=90)
"""How long after its expiry an exception is worth a finding."""


def check(exemptions: Sequence[Exemption], rules: Iterable[Rule], now: datetime) -> list[Problem]:
    """Everything to say about exceptions, by file. `rules`: those that they may have been added to."""
    by_id = {rule.id: rule for rule in rules}
    out: list[Problem] = []
    seen: dict[str, Exemption] = {}
    for one in exemptions:
        places = _Places(one)
        out += _stated(one, places)
        out += _over(one, places, now)
        out += _meaning(one, places, by_id)
        first = seen.setdefault(one.id, one)
        if first is not one:
            message = f"the id {one.id} stands already in {first.path}:{first.line}"
            out.append(Problem("duplicate_id", message, places.at("id"), hint="give it an id of its own"))
    return out


class _Places:
    """Where the parts of an exception stand."""

    def __init__(self, one: Exemption) -> None:
        self._one = one
        self._document: yamlio.YamlDocument | None = None
        try:
            documents = yamlio.load_all(Path(one.path))
        except ContentError:
            return  # a finding of the loader
        self._document = next((d for d in documents if d.place("title").line == one.line), None)

    def at(self, *parts: str) -> Place:
        """The place of a part, or of its nearest ancestor that is there."""
        return self._document.place(*parts) if self._document else Place(self._one.path, self._one.line)


def _warning(kind: str, message: str, place: Place, hint: str = "") -> Problem:
    return Problem(kind, message, place, Severity.WARNING, hint)


def _stated(one: Exemption, places: _Places) -> Iterator[Problem]:
    where = places.at("custom_attributes")
    if one.expires is None:
        yield _warning(
            "exception_endless",
            "the exception never ends",
            where,
            f'soc exception extend {one.word} --expires 90d --reason "…" gives it an expiry',
        )
    if not one.owner.strip():
        yield _warning("exception_owner", f"nobody answers for the exception ({model.OWNER})", where)
    if not one.reason.strip():
        yield _warning("exception_reason", f"the exception does not say why ({model.REASON})", where)


def _over(one: Exemption, places: _Places, now: datetime) -> Iterator[Problem]:
    if one.expires is not None and now - one.expires > LONG:
        yield _warning(
            "exception_expired",
            f"it expired on {stamp(one.expires)[:10]}, and matters only while events of before are kept",
            places.at("custom_attributes", model.EXPIRES),
            "remove the file when no event of that time is in the store any more",
        )


def check_elsewhere(exemptions: Sequence[Exemption], rules: Iterable[Rule]) -> list[Problem]:
    """What exceptions hide of rules that stand in other files than those that `check` was given."""
    by_id = {rule.id: rule for rule in rules}
    return [problem for one in exemptions for problem in _hiding(one, _Places(one), by_id)]


def _meaning(one: Exemption, places: _Places, rules: Mapping[str, Rule]) -> Iterator[Problem]:
    if not one.applies and (one.rules is None or not _are_gone(one, rules)):
        message = "it applies to no rule: none of its rules is a detection of this log source"
        yield _warning("exception_nowhere", message, places.at("logsource"), "soc rule show RULE says which")
    yield from _hiding(one, places, rules)


def _hiding(one: Exemption, places: _Places, rules: Mapping[str, Rule]) -> Iterator[Problem]:
    from soc.detect.exceptions.doubts import hides_everything, holds

    for id_ in one.applies:
        rule = rules.get(id_)
        applied = next((a for a in rule.exceptions if a.id == one.id), None) if rule else None
        if rule is None or applied is None:
            continue
        if hides_everything(rule, applied):
            yield _warning(
                "exception_everything",
                f"it hides every hit of {rule.title}",
                places.at("filter"),
                "narrow it, or switch the rule off in selection.yml",
            )
        elif holds(applied.hides, ()) is False:
            yield _warning("exception_nothing", f"it can hide no hit of {rule.title}", places.at("filter"))


def _are_gone(one: Exemption, rules: Mapping[str, Rule]) -> bool:
    """Whether its rules are not there, which the loader has said."""
    names = {name for rule in rules.values() for name in (rule.id, rule.name.lower())}
    return not names.intersection(one.rules or ())


def settled(found: Ruleset, known: Sequence[Rule]) -> Ruleset:
    """A set of files whose filters may name rules that stand elsewhere: those in `known` are not gone."""
    from soc.detect.filters import is_meant

    rules = {rule.id: rule for rule in (*known, *found.rules)}.values()
    names = {name for rule in rules for name in (rule.id, rule.name.lower()) if name}
    problems = [p for p in found.problems if p.kind != "unknown_rule" or not _names(p, names)]
    exemptions = tuple(
        replace(one, applies=tuple(r.id for r in rules if is_meant(r, one.rules, one.logsource)))
        for one in found.exemptions
    )
    return replace(found, problems=problems, exemptions=exemptions)


def _names(problem: Problem, names: set[str]) -> bool:
    return any(f"the rule {name}," in problem.message for name in names)
