"""Sigma filters: conditions that one document adds to other rules, such as what is normal on this network.

A filter names rules (by id or name, or `any`) and a log source; to each such rule with that log source its
condition is added with *and*. Its field names are mapped as those of the rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from soc.detect.cache import Cache, Entry, Record
from soc.detect.exceptions.model import Exemption, apply, exemption, expiry_of, is_exception
from soc.detect.pipelines import Pipelines
from soc.detect.predicate import NOTHING, And, Predicate
from soc.detect.rule import Logsource, Rule
from soc.errors import Place, Problem, Severity
from soc.yamlio import YamlDocument


def wanted_rules(definition: Mapping[str, Any]) -> list[str] | None:
    """The ids and names that a filter document lists; None for any rule."""
    listed = definition["filter"].get("rules")
    if isinstance(listed, str) and listed.lower() != "any":
        return [listed.lower()]
    return [str(name).lower() for name in listed] if isinstance(listed, list) and listed else None


def covers(scope: Logsource, logsource: Logsource) -> bool:
    """Whether a filter for `scope` may apply to a rule for `logsource`."""
    return all(logsource.stated.get(name) == value for name, value in scope.stated.items())


class Filters:
    """The filter documents of a set of rules, ready to be added to them."""

    def __init__(self, found: Sequence[tuple[Record, str]], pipelines: Pipelines, cache: Cache) -> None:
        self.found = found
        self.pipelines = pipelines
        self.cache = cache
        self.used: set[str] = set()
        self.exemptions: list[Exemption] = []

    def apply(self, rules: dict[str, Rule], problems: list[Problem]) -> None:
        """Replace the rules that filters name by rules with the filters' conditions added.

        Exceptions come last, whatever their files are called (`soc.detect.exceptions.model.bare`).
        """
        known = {name for r in rules.values() for name in (r.id, r.name.lower())}
        for record, path in sorted(self.found, key=lambda one: is_exception(one[0].attributes)):
            definition = record.definition or {}
            wanted = wanted_rules(definition)
            targets = [r for r in rules.values() if is_meant(r, wanted, Logsource(*record.logsource))]
            for name in wanted or ():
                if name not in known:
                    message = f"the filter names the rule {name}, which is not there"
                    place = Place(path, record.line)
                    problems.append(
                        Problem("unknown_rule", message, place, Severity.WARNING, "soc rule list")
                    )
            for rule in targets:
                rules[rule.id] = self._filtered(rule, record)
            if is_exception(record.attributes):
                applies = tuple(rule.id for rule in targets)
                self.exemptions.append(replace(exemption(record, path, wanted), applies=applies))

    def _filtered(self, rule: Rule, record: Record) -> Rule:
        condition, undecidable = self._condition(record, rule.logsource)
        if undecidable:
            why = f"its filter {record.title!r} cannot be decided: {undecidable}"
            return replace(rule, predicate=NOTHING, undecidable=rule.undecidable or why, exceptions=())
        exceptions = rule.exceptions
        if is_exception(record.attributes):
            applied = apply(record.id, condition, expiry_of(record.attributes))
            condition, exceptions = applied.condition, (*exceptions, applied)
        parts = rule.predicate.parts if isinstance(rule.predicate, And) else (rule.predicate,)
        version = hashlib.blake2b(f"{rule.version}\0{condition!r}".encode(), digest_size=12).hexdigest()
        return replace(
            rule,
            predicate=NOTHING if rule.undecidable else And((*parts, condition)),
            version=version,
            filters=(*rule.filters, record.id),
            exceptions=() if rule.undecidable else exceptions,
        )

    def _condition(self, record: Record, target: Logsource) -> tuple[Predicate, str]:
        """The filter's condition with the field names of the log source; from the cache where possible."""
        key = f"{record.version}:{target.category}:{target.product}:{target.service}"
        self.used.add(key)
        entry = self.cache.entries.get(key)
        if entry is None or not entry.records:
            entry = Entry([self._compile(record, target)], [])
            self.cache.add(key, entry)
        compiled = entry.records[0]
        return self.cache.table.predicate(compiled.tree), compiled.undecidable

    def _compile(self, record: Record, target: Logsource) -> Record:
        from soc.detect import sigma

        document = YamlDocument(record.title, record.definition, {})
        # the document was checked, and its condition compiled, when its file was read
        found = sigma.check(document, [])
        compiled = sigma.compile_filter(document, found, target, self.pipelines)
        out = Record(*[getattr(record, name) for name in record.__struct_fields__])
        out.kind, out.definition = "applied", None
        out.tree, out.undecidable = self.cache.table.tree(compiled.predicate), compiled.undecidable
        return out


def is_meant(rule: Rule, wanted: Sequence[str] | None, scope: Logsource) -> bool:
    """Whether a filter for the rules `wanted` (None: any) and the log source `scope` is for this rule."""
    if rule.correlation is not None or not covers(scope, rule.logsource):
        return False
    return wanted is None or rule.id in wanted or (bool(rule.name) and rule.name.lower() in wanted)
