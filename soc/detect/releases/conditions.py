"""Which rules an entry of `selection.yml` or `overrides.yml` means.

An entry states one thing or several, all of which must hold; a list means: any of these.

    from: [sigmahq, shipped, own]      # whose rules: the name of an imported set, the shipped ones, your own
    level: [high, critical]
    status: [stable, test]
    logsource: {product: windows, category: process_creation}
    tag: attack.t1059                  # this tag, or one below it
    id: 5a6b1f2c-0d3e-4f41-9a57-0c2f6d1e8b90
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from soc.detect.rule import LEVELS, Rule
from soc.errors import Place, Problem, Severity
from soc.yamlio import YamlDocument

STATUSES = ("stable", "test", "experimental", "deprecated", "unsupported")
"""The words for `status` in Sigma 2.1."""

RETIRED = ("deprecated", "unsupported")
"""Statuses of rules that do not run unless the selection asks for them."""

KEYS = ("from", "level", "status", "logsource", "tag", "id")
"""What an entry may state."""

_PARTS = ("category", "product", "service")


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on rules: every stated part must hold. An empty one is true of no rule."""

    origins: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    logsource: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tags: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    def holds(self, rule: Rule) -> bool:
        """Whether the condition is true of a rule."""
        if self.ids and rule.id not in self.ids:
            return False
        if self.origins and rule.origin not in self.origins:
            return False
        if self.levels and rule.level not in self.levels:
            return False
        if self.statuses and rule.status not in self.statuses:
            return False
        if any(getattr(rule.logsource, name) not in values for name, values in self.logsource):
            return False
        return not self.tags or any(_below(tag, self.tags) for tag in rule.tags)


def _below(tag: str, wanted: Collection[str]) -> bool:
    return any(tag == one or tag.startswith(f"{one}.") for one in wanted)


class EntryReader:
    """Reads entries of one document and collects what is wrong in them, with its place."""

    def __init__(self, document: YamlDocument) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def problem(
        self, message: str, *at: str | int, severity: Severity = Severity.ERROR, kind: str = ""
    ) -> None:
        """Note a problem at a place of the document."""
        self.problems.append(Problem(kind or "release", message, self.place(*at), severity))

    def place(self, *at: str | int) -> Place:
        """The place of a part."""
        return self.document.place(*at)

    def mapping(self, value: Any, known: Collection[str], *at: str | int) -> dict[str, Any]:
        """A mapping with keys among `known`; empty when it is none."""
        if not isinstance(value, dict):
            self.problem("a mapping is expected here", *at)
            return {}
        for key in value:
            if key not in known:
                near = difflib.get_close_matches(str(key).lower(), list(known), n=1)
                meant = f" (did you mean {near[0]!r}?)" if near else ""
                message = f"unknown key {key!r}{meant}; known here: {', '.join(known)}"
                self.problem(message, *at, str(key), kind="unknown_key")
        return value

    def items(self, data: Mapping[str, Any], name: str) -> list[Any]:
        """The list under a key; empty when it is not there."""
        value = data.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.problem("a list is expected here", name)
            return []
        return value

    def texts(
        self, data: Mapping[str, Any], name: str, *at: str | int, among: Collection[str] = ()
    ) -> tuple[str, ...]:
        """The text or texts under a key, each one of `among` where that is given."""
        value = data.get(name)
        if value is None:
            if name in data:
                self.problem(f"`{name}` states nothing", *at, name)
            return ()
        found = value if isinstance(value, list) else [value]
        if not found or not all(isinstance(one, str) and one for one in found):
            self.problem("a text or a list of texts is expected here", *at, name)
            return ()
        for one in found:
            if among and one not in among:
                near = difflib.get_close_matches(one.lower(), list(among), n=1)
                meant = f"; did you mean {near[0]!r}?" if near else ""
                self.problem(f"unknown {name} {one!r}{meant}: one of {', '.join(among)}", *at, name)
        return tuple(one for one in found if not among or one in among)

    def condition(self, data: Mapping[str, Any], *at: str | int) -> Condition | None:
        """The condition that an entry states; None, with a problem noted, when it is not sound."""
        before = len(self.problems)
        if not any(key in data for key in KEYS):
            self.problem(f"the entry says of no rule that it is meant; state one of {', '.join(KEYS)}", *at)
        logsource = data.get("logsource")
        parts = {} if logsource is None else self.mapping(logsource, _PARTS, *at, "logsource")
        found = Condition(
            origins=self.texts(data, "from", *at),
            levels=self.texts(data, "level", *at, among=LEVELS),
            statuses=self.texts(data, "status", *at, among=STATUSES),
            logsource=tuple(
                (name, self.texts(parts, name, *at, "logsource")) for name in _PARTS if name in parts
            ),
            tags=tuple(tag.lower() for tag in self.texts(data, "tag", *at)),
            ids=tuple(one.lower() for one in self.texts(data, "id", *at)),
        )
        return found if len(self.problems) == before else None
