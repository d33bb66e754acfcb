"""Field pipelines: from the field names of Sigma to the names that collectors write, as content.

A pipeline is a file below `pipelines/` in a folder of rules:

    name: windows
    logsource: {product: windows}          # the rules it is for; left out: all rules
    mappings:                              # the first mapping that names the field decides
      - logsource: {category: process_creation}
        fields: {Image: process.executable}
      - fields: {EventID: event.code, Hash: [file.hash.md5, file.hash.sha256]}
    prefix: winlog.event_data.             # for names that no mapping knows and that have no dot
    sources:                               # which events belong to a log source: any of these
      - logsource: {service: security}
        where: {winlog.channel: Security}  # `*` is any value
    placeholders:                          # values of %name% in rules with the modifier `expand`
      Administrators: [root, admin]

Several target names mean: any of them. Pipelines of later folders are asked first, so that a user's
pipeline overrides a shipped one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soc import yamlio
from soc.detect.modifiers import UndecidableError
from soc.detect.placeholders import Configured, Placeholders, load_placeholders
from soc.detect.predicate import And, Op, Or, Predicate, Test
from soc.detect.rule import Logsource
from soc.errors import ContentError, Problem

FOLDER = "pipelines"
"""Name of the folder, within a folder of rules, that holds pipelines."""

_PARTS = ("category", "product", "service")
_KEYS = {"name", "description", "logsource", "mappings", "prefix", "sources", "placeholders"}


@dataclass(frozen=True, slots=True)
class Scope:
    """A condition on a log source: every stated part must be one of the listed values."""

    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def covers(self, logsource: Logsource) -> bool:
        """Whether a rule with this log source is within the scope."""
        return all(getattr(logsource, name) in values for name, values in self.parts.items())


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """Field names of Sigma to names in the store, for the rules of a scope."""

    scope: Scope
    fields: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Source:
    """Events that belong to the log sources of a scope: field to its possible values, all of them needed."""

    scope: Scope
    where: Mapping[str, tuple[str, ...]]

    def predicate(self) -> Predicate:
        """The condition on an event."""
        return And(tuple(any_of(name, values) for name, values in self.where.items()))


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One pipeline file."""

    name: str
    path: str
    scope: Scope
    mappings: tuple[FieldMapping, ...]
    prefix: str
    sources: tuple[Source, ...]
    placeholders: Mapping[str, tuple[str, ...]]


def any_of(name: str, values: Iterable[str]) -> Predicate:
    """The field has one of the values, compared under the fold; `*` stands for any value."""
    parts = tuple(Test(name, Op.EXISTS) if value == "*" else Test(name, Op.EQUALS, value) for value in values)
    return parts[0] if len(parts) == 1 else Or(parts)


class Pipelines:
    """All pipelines together, as the rule compiler asks them."""

    def __init__(
        self,
        pipelines: Sequence[Pipeline],
        problems: Sequence[Problem] = (),
        digest: str = "",
        lists: Placeholders | None = None,
    ) -> None:
        """`lists`: values of placeholders, which come before those of the pipelines."""
        self.pipelines = tuple(pipelines)
        self.lists = lists or Placeholders()
        self.problems = list(problems)
        self.digest = digest
        self._known: dict[tuple[Logsource, str], tuple[str, ...]] = {}

    def targets(self, logsource: Logsource, name: str) -> tuple[str, ...]:
        """The names in the store for a field of a rule: one or more, any of which may hold the value."""
        key = (logsource, name)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._targets(logsource, name)
        return found

    def _targets(self, logsource: Logsource, name: str) -> tuple[str, ...]:
        for pipeline in self.pipelines:
            if not pipeline.scope.covers(logsource):
                continue
            for mapping in pipeline.mappings:
                if name in mapping.fields and mapping.scope.covers(logsource):
                    return mapping.fields[name]
            if pipeline.prefix and "." not in name:
                return (pipeline.prefix + name,)
        return (name,)

    def sources(self, logsource: Logsource) -> list[Predicate]:
        """Conditions of which an event must fulfil one to belong to the log source; empty: none is known."""
        return [
            source.predicate()
            for pipeline in self.pipelines
            if pipeline.scope.covers(logsource)
            for source in pipeline.sources
            if source.scope.covers(logsource)
        ]

    def placeholder(self, name: str) -> tuple[str, ...] | None:
        """The values of a placeholder; None when nobody defines it.

        Raises `UndecidableError` when the only list of that name cannot be used.
        """
        if name in self.lists.values:
            return self.lists.values[name]
        found = next((p.placeholders[name] for p in self.pipelines if name in p.placeholders), None)
        if found is None and name in self.lists.broken:
            why = self.lists.broken[name]
            raise UndecidableError(f"the list of the placeholder %{name}% cannot be used: {why}")
        return found


def paths(folders: Sequence[Path]) -> list[Path]:
    """The pipeline files of folders of rules, in the order in which they are asked."""
    out: list[Path] = []
    for folder in reversed(folders):
        if (below := folder / FOLDER).is_dir():
            out += sorted([*below.glob("*.yml"), *below.glob("*.yaml")])
    return list(dict.fromkeys(out))


def load_pipelines(folders: Sequence[Path], placeholders: Configured | None = None) -> Pipelines:
    """The pipelines of folders of rules, and their lists; what cannot be used is in `.problems`.

    `placeholders`: those of the configuration, which come before all others.
    """
    import hashlib

    pipelines: list[Pipeline] = []
    problems: list[Problem] = []
    digest = hashlib.blake2b(digest_size=16)
    for path in paths(folders):
        try:
            text = yamlio.read_text(path)
            digest.update(text.encode() + b"\0")
            pipelines.append(read_pipeline(text, str(path)))
        except ContentError as error:
            problems += error.problems
    lists = load_placeholders(folders, placeholders)
    return Pipelines(pipelines, [*problems, *lists.problems], digest.hexdigest(), lists)


def read_pipeline(text: str, path: str) -> Pipeline:
    """The pipeline in a text; `path` is for messages. Raises `ContentError` with all its problems."""
    return _Reader(yamlio.parse(text, path)).read()


class _Reader:
    """Reads one document and collects every problem in it with its place."""

    def __init__(self, document: yamlio.YamlDocument) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def read(self) -> Pipeline:
        data = self.mapping(self.document.data, _KEYS)
        pipeline = Pipeline(
            name=str(data.get("name") or Path(self.document.path).stem),
            path=self.document.path,
            scope=self.scope(data.get("logsource"), "logsource"),
            mappings=tuple(
                self.field_mapping(m, "mappings", i) for i, m in enumerate(self.items(data, "mappings"))
            ),
            prefix=str(data.get("prefix") or ""),
            sources=tuple(self.source(s, "sources", i) for i, s in enumerate(self.items(data, "sources"))),
            placeholders=self.named_values(data.get("placeholders"), "placeholders"),
        )
        if self.problems:
            raise ContentError(self.problems)
        return pipeline

    def problem(self, message: str, *at: str | int, kind: str = "pipeline") -> None:
        self.problems.append(Problem(kind, message, self.document.place(*at)))

    def mapping(self, value: Any, known: Iterable[str] | None, *at: str | int) -> dict[str, Any]:
        if value is None and at:
            return {}
        if not isinstance(value, dict):
            self.problem("a mapping is expected here", *at)
            return {}
        for key in value:
            if known is not None and key not in known:
                words = ", ".join(sorted(known))
                self.problem(f"unknown key {key!r}; known here: {words}", *at, str(key), kind="unknown_key")
        return value

    def items(self, data: Mapping[str, Any], name: str) -> list[Any]:
        value = data.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.problem("a list is expected here", name)
            return []
        return value

    def values(self, value: Any, *at: str | int) -> tuple[str, ...]:
        found = value if isinstance(value, list) else [value]
        if not found or not all(isinstance(v, (str, int, float)) for v in found):
            self.problem("a text or a list of texts is expected here", *at)
            return ()
        return tuple(str(v) for v in found)

    def named_values(self, value: Any, *at: str | int) -> dict[str, tuple[str, ...]]:
        return {str(k): self.values(v, *at, str(k)) for k, v in self.mapping(value, None, *at).items()}

    def scope(self, value: Any, *at: str | int) -> Scope:
        parts = self.mapping(value, _PARTS, *at)
        return Scope({str(k): self.values(v, *at, str(k)) for k, v in parts.items()})

    def field_mapping(self, value: Any, *at: str | int) -> FieldMapping:
        data = self.mapping(value, {"logsource", "fields"}, *at)
        return FieldMapping(
            self.scope(data.get("logsource"), *at, "logsource"),
            self.named_values(data.get("fields"), *at, "fields"),
        )

    def source(self, value: Any, *at: str | int) -> Source:
        data = self.mapping(value, {"logsource", "where"}, *at)
        where = self.named_values(data.get("where"), *at, "where")
        if not where:
            self.problem("a source needs `where`, with one field at least", *at)
        return Source(self.scope(data.get("logsource"), *at, "logsource"), where)
