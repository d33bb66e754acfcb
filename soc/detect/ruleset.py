"""Rule folders, loaded: every rule compiled, every problem with its place, from the cache where possible."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc import __version__, content, yamlio
from soc.detect.beyond.extensions import KINDS, extension_of, unusable
from soc.detect.beyond.extensions import check as check_extensions
from soc.detect.cache import Cache, Entry, Finding, Record
from soc.detect.exceptions import model as exceptions
from soc.detect.logsources import Declared, Logsources, declared_in
from soc.detect.pauses import collection_paused
from soc.detect.pipelines import Pipelines, load_pipelines
from soc.detect.placeholders import Configured
from soc.detect.predicate import NOTHING, And, Predicate, tests
from soc.detect.releases import overrides, selection
from soc.detect.releases.layers import is_shipped, layers
from soc.detect.rule import DEFAULT_LEVEL, Logsource, Rule, duration
from soc.errors import ContentError, Place, Problem, Severity

if TYPE_CHECKING:
    from soc.config import Config
    from soc.detect import sigma

MEANING = 3
"""Raised when the compiler gives the same rule another meaning: part of each rule's version."""

ID_SPACE = uuid.UUID("8f7c1d0e-52f3-5c4b-9d0a-6f1e7a3b2c11")
"""Name space of ids for rules that carry none: the id is then drawn from the title."""

Progress = Callable[[int, int], None]
"""Called while compiling, with the number of files done and of all."""


@dataclass(frozen=True)
class Ruleset:
    """The rules of some folders, in the order of their files, and what is wrong in them.

    `rules` holds detections and correlations alike, also blind and undecidable ones: nothing is lost.
    `exemptions` are the exceptions that were found, whether or not a rule is there for them.
    """

    rules: list[Rule]
    problems: list[Problem] = field(default_factory=list)
    folders: tuple[Path, ...] = ()
    exemptions: tuple[exceptions.Exemption, ...] = ()
    commit: str = ""
    """Of the published set that the rules are; "" for rules from files."""

    @property
    def errors(self) -> list[Problem]:
        """The problems that keep a rule from being used."""
        return [p for p in self.problems if p.severity is Severity.ERROR]

    @cached_property
    def by_id(self) -> Mapping[str, Rule]:
        """Rule id to rule."""
        return {rule.id: rule for rule in self.rules}

    @property
    def runnable(self) -> list[Rule]:
        """The rules that can be evaluated on single events."""
        return [rule for rule in self.rules if rule.runnable]

    @property
    def undecidable(self) -> list[Rule]:
        """The rules whose condition cannot be evaluated, such as with an undefined placeholder."""
        return [rule for rule in self.rules if rule.undecidable]

    @property
    def correlations(self) -> list[Rule]:
        """The correlation rules."""
        return [rule for rule in self.rules if rule.correlation is not None]

    @property
    def off(self) -> list[Rule]:
        """The rules that are not to run, by the selection or an override."""
        return [rule for rule in self.rules if rule.off]

    @property
    def shadow(self) -> list[Rule]:
        """The rules that run and whose hits are counted only."""
        return [rule for rule in self.rules if rule.mode == "shadow" and not rule.off]

    @property
    def blind(self) -> list[Rule]:
        """The rules whose log source nothing here provides."""
        return [rule for rule in self.rules if rule.blind]

    def select(self, keep: Callable[[Rule], bool]) -> Ruleset:
        """The same set with only the rules that `keep` accepts."""
        return replace(self, rules=[rule for rule in self.rules if keep(rule)])

    def require_sound(self) -> Ruleset:
        """This set, when nothing in it is broken. Raises `ContentError` with all errors otherwise."""
        if self.errors:
            raise ContentError(self.errors, hint="correct them, or leave them out with --keep-going")
        return self


def ruleset_for(config: Config, *, progress: Progress | None = None) -> Ruleset:
    """The shipped rules with the user's over them, as this configuration sees them."""
    folders = [content.shipped("rules"), *config.rules]
    declared = declared_for(config)
    return load_rules(folders, declared=declared, progress=progress, placeholders=config.placeholders)


def declared_for(config: Config) -> list[Declared]:
    """What the shipped collectors and the user's declare, without reading them where that is known."""
    return declared_in([content.shipped("collectors"), *config.collectors], _cache_folder(True))


def load_rules(
    folders: Sequence[Path],
    *,
    declared: Iterable[Declared] | None = None,
    cache: Path | bool | None = True,
    progress: Progress | None = None,
    commit: str = "",
    known_as: str = "",
    placeholders: Configured | None = None,
) -> Ruleset:
    """The rules of folders (or single files); a rule in a later folder replaces one with the same id.

    `declared` says which datasets serve which log source (default: the shipped collectors). `cache` is the
    folder for compiled rules; True is the platform's, False is none. The shipped pipelines always apply,
    those of the folders come before them. Sets of rules that were imported into a folder come before its own
    rules; its `selection.yml` and `overrides.yml` say what runs and how. `commit` is that of a published set;
    `known_as` is what the cache calls folders that have other names each time. `placeholders` are those of
    the configuration. Never raises for what is in the folders: see `.problems`.
    """
    folders = [Path(folder) for folder in folders]
    shipped = () if any(map(is_shipped, folders)) else (content.shipped("rules"),)
    pipelines = load_pipelines([*shipped, *(f for f in folders if f.is_dir())], placeholders)
    if declared is None:
        declared = declared_in([content.shipped("collectors")], _cache_folder(cache))
    with collection_paused():
        logsources = Logsources(declared, pipelines)
        kept = _cache(cache, pipelines, folders, known_as)
        loader = _Loader(pipelines, logsources, kept, commit)
        loader.problems += pipelines.problems
        loader.read(folders, progress)
        loader.apply_filters()
        loader.decide([folder for folder in folders if folder.is_dir()])
        loader.correlate()
        loader.cache.save(loader.used)
    rules, exemptions = list(loader.rules.values()), tuple(loader.exemptions)
    return Ruleset(rules, loader.problems, tuple(folders), exemptions, commit)


def compile_texts(
    texts: Mapping[str, bytes],
    folders: Sequence[Path],
    *,
    placeholders: Configured | None = None,
    progress: Progress | None = None,
) -> list[tuple[str, Entry]]:
    """Rule files that are not in a folder yet, compiled as they would be in these folders.

    What is compiled is kept in the cache of the folders, so that loading them afterwards is quick.
    """
    there = [folder for folder in folders if folder.is_dir()]
    pipelines = load_pipelines([content.shipped("rules"), *there], placeholders)
    cache = _cache(True, pipelines, folders)
    out = []
    with collection_paused(), tempfile.TemporaryDirectory(prefix="soc-rules-") as scratch:
        path = Path(scratch, "rule.yml")
        for done, (name, raw) in enumerate(texts.items(), 1):
            digest = _digest_of(raw, pipelines)
            entry = cache.entries.get(digest)
            if entry is None:
                path.write_bytes(raw)
                entry = _compile_file(path, pipelines, cache)
                cache.add(digest, entry)
            out.append((name, entry))
            if progress:
                progress(done, len(texts))
    cache.save(set(cache.entries))
    return out


def _digest_of(raw: bytes, pipelines: Pipelines) -> str:
    """What the cache knows a file's content by: with the lists of values, where it may name one."""
    lists = pipelines.lists.digest if b"|expand" in raw else ""
    return hashlib.blake2b(raw + lists.encode(), digest_size=16).hexdigest()


def _cache_folder(where: Path | bool | None) -> Path | None:
    from soc import config

    return config.cache_folder() / "rules" if where is True else where or None


def _cache(
    where: Path | bool | None, pipelines: Pipelines, folders: Sequence[Path], known_as: str = ""
) -> Cache:
    parts = (
        __version__,
        str(MEANING),
        _version_of("pysigma"),
        pipelines.digest,
        *([known_as] if known_as else map(os.path.abspath, folders)),
    )
    return Cache(_cache_folder(where), hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest())


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """Files among which an id may stand once."""

    whose: str


class _Loader:
    """Collects rules, filters and problems from folders."""

    def __init__(self, pipelines: Pipelines, logsources: Logsources, cache: Cache, commit: str) -> None:
        self.commit = commit
        self.pipelines = pipelines
        self.logsources = logsources
        self.cache = cache
        self.used: set[str] = set()
        self.rules: dict[str, Rule] = {}
        self.filters: list[tuple[Record, str]] = []
        self.exemptions: list[exceptions.Exemption] = []
        self.problems: list[Problem] = []
        self._source_texts: dict[Logsource, str] = {}

    def read(self, folders: Sequence[Path], progress: Progress | None) -> None:
        found: list[tuple[_Layer, Path]] = []
        for folder in folders:
            if not folder.exists():
                message = "there is no such folder or file of rules"
                self.problems.append(Problem("missing", message, Place(str(folder))))
            for whose, paths in layers(folder):
                layer = _Layer(whose)
                found += [(layer, path) for path in paths]
        origin: dict[str, _Layer] = {}
        for done, (layer, path) in enumerate(found, 1):
            for record in self.entry(path):
                self.take(record, str(path), layer, origin)
            if progress:
                progress(done, len(found))

    def entry(self, path: Path) -> list[Record]:
        """The records of a file, from the cache or compiled now; its problems are noted."""
        try:
            with path.open("rb", buffering=0) as file:
                raw = file.read(yamlio.MAX_BYTES + 1) or b""
        except OSError as error:
            self.problems.append(Problem("unreadable", error.strerror or str(error), Place(str(path))))
            return []
        digest = _digest_of(raw, self.pipelines)
        entry = self.cache.entries.get(digest)
        if entry is None:
            entry = _compile_file(path, self.pipelines, self.cache)
            self.cache.add(digest, entry)
        self.used.add(digest)
        for f in entry.findings:
            place = Place(str(path), f.line, f.column)
            self.problems.append(Problem(f.kind, f.message, place, Severity(f.severity), f.hint))
        return entry.records

    def take(self, record: Record, path: str, layer: _Layer, origin: dict[str, _Layer]) -> None:
        if record.kind == "filter":
            self.filters.append((record, path))
            return
        if origin.get(record.id) is layer:
            first = self.rules[record.id]
            message = f"the id {record.id} stands already in {first.place}"
            hint = "give it an id of its own: python3 -c 'import uuid; print(uuid.uuid4())'"
            self.problems.append(Problem("duplicate_id", message, Place(path, record.line), hint=hint))
            return
        origin[record.id] = layer
        earlier = self.rules.pop(record.id, None)
        rule = self.rule(record, path, layer.whose)
        self.rules[record.id] = replace(rule, decided={"replaces": earlier.path}) if earlier else rule

    def rule(self, record: Record, path: str, origin: str) -> Rule:
        logsource = Logsource(*record.logsource)
        source, blind = (
            (NOTHING, "") if record.kind == "correlation" else self.logsources.condition(logsource)
        )
        detection = NOTHING if record.tree is None else self.cache.table.predicate(record.tree)
        predicate = _both(source, detection)
        fields, undecidable = record.fields, record.undecidable or unusable(record.attributes)
        if undecidable:
            predicate = _both(source, NOTHING)
        elif (beyond := extension_of(record.attributes)) is not None:
            predicate = And((*predicate.parts, beyond.requirement))
            fields = tuple(sorted({*fields, *(t.field for t in tests(beyond.requirement) if t.field)}))
        return Rule(
            id=record.id,
            title=record.title,
            level=record.level,
            status=record.status,
            description=record.description,
            author=record.author,
            date=record.date,
            modified=record.modified,
            name=record.name,
            tags=record.tags,
            references=record.references,
            falsepositives=record.falsepositives,
            logsource=logsource,
            path=path,
            line=record.line,
            predicate=predicate,
            source=source,
            fields=fields,
            version=self.version(record.version, logsource, source),
            attributes=record.attributes,
            correlation=record.definition,
            blind=blind,
            undecidable=undecidable,
            origin=origin,
            related=record.related,
            commit=self.commit,
        )

    def version(self, own: str, logsource: Logsource, source: Predicate) -> str:
        """The version of a rule: what it says itself, and the condition of its log source."""
        if logsource not in self._source_texts:
            self._source_texts[logsource] = repr(source)
        return hashlib.blake2b(f"{own}\0{self._source_texts[logsource]}".encode(), digest_size=12).hexdigest()

    def apply_filters(self) -> None:
        """Add the condition of each filter document to the rules that it names."""
        if self.filters:
            from soc.detect.filters import Filters

            filters = Filters(self.filters, self.pipelines, self.cache)
            filters.apply(self.rules, self.problems)
            self.exemptions = filters.exemptions
            self.used |= filters.used

    def decide(self, folders: Sequence[Path]) -> None:
        """Apply what the files of the folders say about the rules: overrides, then the selection."""
        changes = overrides.load_overrides(folders)
        overrides.apply_overrides(self.rules, changes, self.problems)
        selection.apply_selection(self.rules, selection.load_selection(folders), self.problems)

    def correlate(self) -> None:
        """Join the correlations with the rules that they refer to."""
        from soc.detect.correlate.reading import resolve

        resolve(self.rules, self.pipelines, self.problems)


def _both(source: Predicate, detection: Predicate) -> And:
    if isinstance(detection, And):
        return And((source, *detection.parts))
    return And((source, detection))


# ------------------------------------------------------------------ compiling


def _compile_file(path: Path, pipelines: Pipelines, cache: Cache) -> Entry:
    """Every document of a file, compiled; its problems as findings."""
    problems: list[Problem] = []
    records: list[Record] = []
    try:
        documents = yamlio.load_all(path)
    except ContentError as error:
        return Entry([], [_finding(p) for p in error.problems])
    if not any(document.data is not None for document in documents):
        problems.append(Problem("empty", "the file holds no rule", Place(str(path))))
    for document in documents:
        if document.data is None:
            continue
        try:
            record = _compile(document, pipelines, cache, problems)
        except ContentError as error:
            problems += error.problems
        else:
            records += [record] if record else []
    return Entry(records, [_finding(p) for p in problems])


def _finding(problem: Problem) -> Finding:
    place = problem.place
    return Finding(
        problem.kind, problem.message, place.line, place.column, problem.severity.value, problem.hint
    )


def _compile(
    document: yamlio.YamlDocument, pipelines: Pipelines, cache: Cache, problems: list[Problem]
) -> Record | None:
    from soc.detect import sigma

    found = sigma.check(document, problems)
    if found is None:
        return None
    data: dict[str, Any] = document.data
    kind = sigma.kind_of(data)
    attributes = _attributes(document, kind, problems)
    compiled = None
    logsource = Logsource()
    if kind != "correlation":
        logsource = sigma.logsource_of(found)
        compile_ = sigma.compile_rule if kind == "rule" else partial(sigma.compile_filter, target=logsource)
        compiled = compile_(document, found, pipelines=pipelines)
    return _record(document, kind, logsource, compiled, attributes, cache)


def _record(
    document: yamlio.YamlDocument,
    kind: str,
    logsource: Logsource,
    compiled: sigma.Compiled | None,
    attributes: dict[str, Any],
    cache: Cache,
) -> Record:
    data: dict[str, Any] = document.data
    predicate = compiled.predicate if compiled else NOTHING
    text = json.dumps(data, default=str)
    own = hashlib.blake2b(f"{text}\0{MEANING}\0{predicate!r}".encode(), digest_size=12).hexdigest()
    title = str(data.get("title") or "")
    return Record(
        kind=kind,
        id=str(data.get("id") or uuid.uuid5(ID_SPACE, title)).lower(),
        title=title,
        line=document.place("title").line,
        level=str(data.get("level") or DEFAULT_LEVEL),
        status=str(data.get("status") or ""),
        description=str(data.get("description") or "").strip(),
        author=str(data.get("author") or ""),
        date=str(data.get("date") or ""),
        modified=str(data.get("modified") or ""),
        name=str(data.get("name") or ""),
        tags=_texts(data.get("tags")),
        references=_texts(data.get("references")),
        falsepositives=_texts(data.get("falsepositives")),
        logsource=(logsource.category, logsource.product, logsource.service),
        fields=tuple(sorted({t.field for t in tests(predicate) if t.field})),
        tree=cache.table.tree(predicate) if compiled else None,
        version=own,
        undecidable=compiled.undecidable if compiled else "",
        attributes=attributes,
        definition=data if kind == "filter" else data.get("correlation"),
        related=_related(data.get("related")),
    )


def _related(value: Any) -> tuple[tuple[str, str], ...]:
    """The ids that a rule names under `related`, each with its kind."""
    listed = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    return tuple((str(one.get("id")).lower(), str(one.get("type")).lower()) for one in listed)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, list) else ()


_LISTS = ("soc.playbooks", "soc.group_by")
_SPANS = ("soc.window", "soc.lateness", "soc.lookback")


def _attributes(document: yamlio.YamlDocument, kind: str, problems: list[Problem]) -> dict[str, Any]:
    """The `custom_attributes` of a rule or filter; what is wrong with our own (`soc.*`) becomes problems."""
    value = document.data.get("custom_attributes")
    if value is None:
        return {}

    def problem(message: str, *at: str) -> None:
        problems.append(Problem("attribute", message, document.place("custom_attributes", *at)))

    if not isinstance(value, dict):
        problem("`custom_attributes` must be a mapping")
        return {}
    if kind == "filter":
        exceptions.check(value, problem)
    else:
        _check_rule(value, problem, single="detection" in document.data)
    return {str(k): v for k, v in value.items()}


def _check_rule(attributes: Mapping[Any, Any], problem: Callable[..., None], *, single: bool) -> None:
    """Find what is wrong with our own settings of a rule; `single`: one on single events."""
    for key, setting in attributes.items():
        if key in _LISTS:
            if not isinstance(setting, list) or not all(isinstance(v, str) and v for v in setting):
                problem(f"{key} must be a list of names", key)
        elif key in _SPANS:
            try:
                duration(str(setting))
            except ValueError as error:
                problem(str(error), key)
        elif str(key).startswith("soc.") and key not in KINDS:
            known = ", ".join(sorted([*_LISTS, *_SPANS, *KINDS]))
            problem(f"unknown setting {key!r}; known are {known}", str(key))
    check_extensions(attributes, problem, single=single)
