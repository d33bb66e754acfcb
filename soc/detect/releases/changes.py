"""Which rules a change of content concerns, by what git says has changed.

A rule is concerned by its own file and samples, and by everything that changes what it means or whether it
runs: a pipeline that maps it, an entry of the selection or the overrides that means it, a filter or exception
that names it, a collector that provides its log source, and a rule that it correlates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc import yamlio
from soc.detect import filters
from soc.detect.catalogue import datasets
from soc.detect.pipelines import FOLDER, read_pipeline
from soc.detect.placeholders import FOLDER as LISTS
from soc.detect.releases import git
from soc.detect.releases.layers import OVERRIDES, SELECTION
from soc.detect.releases.overrides import parse_overrides
from soc.detect.releases.selection import parse_selection
from soc.detect.rule import Logsource
from soc.errors import ContentError

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.detect.ruleset import Ruleset

SAMPLES = "samples"


@dataclass(frozen=True, slots=True)
class Changed:
    """A file of content that differs: `before` is its text at the other commit (None: it was not there)."""

    path: Path
    folder: Path
    before: str | None

    @property
    def parts(self) -> tuple[str, ...]:
        """Its path within the folder of content."""
        return self.path.relative_to(self.folder).parts

    @property
    def is_content(self) -> bool:
        """Whether it is a file of YAML, or a list of values."""
        return self.path.suffix in (".yml", ".yaml") or self.is_list

    @property
    def is_list(self) -> bool:
        """Whether it holds the values of a placeholder."""
        return self.parts[0] == LISTS and self.path.suffix in (".txt", ".yml", ".yaml")

    @property
    def is_samples(self) -> bool:
        """Whether it lies among samples."""
        return SAMPLES in self.parts[:-1]

    @property
    def now(self) -> str | None:
        """Its text now; None when it is gone or cannot be read, which the loader says."""
        try:
            return yamlio.read_text(self.path)
        except ContentError:
            return None


@dataclass
class Concern:
    """What a change concerns: rule id to the files because of which; rules that are gone by id."""

    files: list[Changed] = field(default_factory=list)
    rules: dict[str, set[str]] = field(default_factory=dict)
    removed: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, rules: Iterable[Rule], why: str) -> None:
        """Note rules."""
        for rule in rules:
            self.rules.setdefault(rule.id, set()).add(why)


def changed_files(folders: Sequence[Path], ref: str) -> list[Changed]:
    """The files below folders of content that differ from where this branch left `ref`.

    Raises `UsageError` when a folder is in no git repository, or its repository does not know `ref`.
    """
    out: dict[Path, Changed] = {}
    known: dict[Path, tuple[str, set[Path]]] = {}
    real: dict[Path, Path] = {}
    before: dict[Path, str] = {}
    for folder in folders:
        checkout = git.require_checkout(folder)
        if checkout.root not in known:
            base = checkout.merge_base(checkout.resolve(ref))
            known[checkout.root] = base, checkout.changed_since(base)
        base, names = known[checkout.root]
        whole = folder.resolve()
        for name in sorted(names):
            if name.is_relative_to(whole):
                path = folder / name.relative_to(whole)
                found = Changed(path, folder, None)
                if found.is_content or found.is_samples:
                    out[path] = found
                    real[path] = name
        before |= checkout.texts_at(base, [real[p] for p in out if p.is_relative_to(folder)])
    files = [file for file in out.values() if not any(part.startswith(".") for part in file.parts)]
    return [replace(file, before=before.get(real[file.path])) for file in files]


def concerned(
    ruleset: Ruleset, files: Sequence[Changed], collectors: Mapping[Path, Sequence[str]]
) -> Concern:
    """The rules that changed files concern. `collectors`: file of a collector to its datasets."""
    out = Concern(list(files))
    by_path: dict[str, list[Rule]] = {}
    for rule in ruleset.rules:
        by_path.setdefault(rule.path, []).append(rule)
    for file in files:
        _one(file, ruleset, by_path, collectors, out)
    _correlations(ruleset, out)
    return out


def _one(
    file: Changed,
    ruleset: Ruleset,
    by_path: dict[str, list[Rule]],
    collectors: Mapping[Path, Sequence[str]],
    out: Concern,
) -> None:
    why = str(file.path)
    parts = file.parts
    if file.is_samples:
        out.add(_sampled(file, by_path), why)
    elif file.path in collectors:
        there = set(collectors[file.path])
        out.add((rule for rule in ruleset.rules if there & set(datasets(rule.source))), why)
    elif file.is_list:
        out.add(_expanded(file, by_path), why)
    elif parts[0] == FOLDER:
        out.add(_mapped(file, ruleset), why)
    elif parts == (SELECTION,):
        out.add(_differently_selected(file, ruleset), why)
    elif parts == (OVERRIDES,):
        out.add(_differently_set(file, ruleset), why)
    else:
        out.add(by_path.get(why, ()), why)
        out.add(_filtered(file, ruleset), why)
        out.removed.update(_removed(file, ruleset))


def _sampled(file: Changed, by_path: dict[str, list[Rule]]) -> list[Rule]:
    """The rules whose samples a file is, or whose samples name it."""
    at = len(file.parts) - 1 - file.parts[::-1].index(SAMPLES)
    beside = file.folder.joinpath(*file.parts[:at])
    direct = by_path.get(str(beside / file.path.name))
    if direct and at == len(file.parts) - 2:
        return direct
    return [
        rule
        for path, rules in by_path.items()
        if Path(path).parent == beside and _names(Path(path), file.path)
        for rule in rules
    ]


def _names(rule_path: Path, file: Path) -> bool:
    from soc.detect.samples import load_samples

    return any(case.file == file for case in load_samples(rule_path).cases)


def _both(file: Changed, read: Callable[[str, str], Any]) -> Iterator[Any]:
    """What a file says now and said before, as far as it can be read."""
    for text in (file.before, file.now):
        if text is not None:
            try:
                yield read(text, str(file.path))
            except ContentError:
                continue


def _mapped(file: Changed, ruleset: Ruleset) -> list[Rule]:
    scopes = [pipeline.scope for pipeline in _both(file, read_pipeline)]
    return [rule for rule in ruleset.rules if any(scope.covers(rule.logsource) for scope in scopes)]


def _expanded(file: Changed, by_path: dict[str, list[Rule]]) -> Iterator[Rule]:
    """The rules whose file names a placeholder."""
    wanted = f"%{file.path.stem}%".encode()
    for path, rules in by_path.items():
        try:
            if wanted in Path(path).read_bytes():
                yield from rules
        except OSError:
            continue  # a finding of the loader


def _differently_selected(file: Changed, ruleset: Ruleset) -> list[Rule]:
    found = list(_both(file, lambda text, path: parse_selection(text, Path(path))))
    if len(found) < 2 or bool(found[0].include) != bool(found[1].include):
        return ruleset.rules  # there was none, there is none, or what is not named runs now and did not
    conditions = [
        {(part, entry.condition) for part in ("include", "exclude") for entry in getattr(one, part)}
        for one in found
    ]
    different = [condition for _, condition in conditions[0] ^ conditions[1]]
    return [rule for rule in ruleset.rules if any(condition.holds(rule) for condition in different)]


def _differently_set(file: Changed, ruleset: Ruleset) -> list[Rule]:
    found = [
        {(repr(entry.condition), repr(entry.settings)): entry for entry in one.entries}
        for one in _both(file, lambda text, path: parse_overrides(text, Path(path)))
    ]
    # a file that was not there before, or is not there now, said nothing then
    before, now = (found[0], found[1]) if len(found) == 2 else ({}, found[0] if found else {})
    entries = [{**before, **now}[key] for key in before.keys() ^ now.keys()]
    return [rule for rule in ruleset.rules if any(entry.condition.holds(rule) for entry in entries)]


def _documents(text: str | None, path: Path) -> Iterator[dict[str, Any]]:
    """The documents of a text that are mappings; none of one that cannot be read."""
    try:
        documents = yamlio.parse_all(text or "", str(path))
    except ContentError:
        return
    yield from (document.data for document in documents if isinstance(document.data, dict))


def _filtered(file: Changed, ruleset: Ruleset) -> Iterator[Rule]:
    """The rules that a filter, or an exception, in a file is about."""
    texts = [text for text in (file.before, file.now) if text and "filter:" in text]
    for data in (one for text in texts for one in _documents(text, file.path)):
        if not isinstance(data.get("filter"), dict):
            continue
        wanted = filters.wanted_rules(data)
        stated = data.get("logsource")
        parts = {str(k): str(v) for k, v in stated.items()} if isinstance(stated, dict) else {}
        scope = Logsource(parts.get("category", ""), parts.get("product", ""), parts.get("service", ""))
        for rule in ruleset.rules:
            named = wanted is None or rule.id in wanted or (rule.name and rule.name.lower() in wanted)
            if named and filters.covers(scope, rule.logsource):
                yield rule


def _removed(file: Changed, ruleset: Ruleset) -> dict[str, tuple[str, str]]:
    """Rules that the file held and that are nowhere now: id to title and path."""
    return {
        str(data["id"]).lower(): (str(data.get("title") or ""), str(file.path))
        for data in _documents(file.before, file.path)
        if "id" in data and ("detection" in data or "correlation" in data)
        if str(data["id"]).lower() not in ruleset.by_id
    }


def _correlations(ruleset: Ruleset, out: Concern) -> None:
    """Add the correlations over rules that are concerned, and those over them."""
    while True:
        names = {ruleset.by_id[id_].name for id_ in out.rules if id_ in ruleset.by_id} - {""}
        more = []
        for rule in ruleset.correlations:
            listed = (rule.correlation or {}).get("rules")
            refs = {str(one) for one in (listed if isinstance(listed, list) else [listed])}
            if rule.id not in out.rules and refs & (names | out.rules.keys()):
                more.append(rule)
        if not more:
            return
        out.add(more, "a rule that it correlates")
