"""Checks of rules beyond their being valid Sigma: can they fire here, and can an analyst work with them?

Everything is reported at once, as `Problem`s with file, line and column. Errors keep a rule from being used;
warnings are about its quality, so that foreign rules can be used with what they lack.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc import ecs, yamlio
from soc.detect import logic
from soc.detect.catalogue import datasets, quiet
from soc.detect.exceptions import checks as exceptions
from soc.detect.predicate import And, Not, Or, Predicate, Test, tests
from soc.detect.samples import enough, load_samples, samples_path
from soc.errors import ContentError, Place, Problem, Severity

if TYPE_CHECKING:
    from soc.collect.collector import Collector, Collectors
    from soc.detect.correlate.definition import Definition
    from soc.detect.rule import Rule
    from soc.detect.ruleset import Ruleset

ALWAYS_THERE = (
    "@timestamp", "message", "tags", "error.message", "event.", "soc.", "related.", "labels.",
)  # fmt: skip
"""Fields, or beginnings of fields, that any event may have whatever its collector maps."""

OPEN_FORMATS = {"json", "windows-json", "evtx"}
"""Formats whose records bring field names of their own, which no collector file lists."""


DEFAULTS: Mapping[str, str] = {"unfiltered_regex": "ignore"}
"""What weighs otherwise than the findings say, unless the configuration says otherwise."""


def lint(
    ruleset: Ruleset,
    *,
    collectors: Collectors,
    playbooks: Collection[str],
    severities: Mapping[str, str] | None = None,
    unfilled: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Everything to say about rules and their samples, in the order of files and lines.

    `playbooks`: the names that `soc.playbooks` may use. `severities`: kind of finding to `error`, `warning`
    or `ignore`. What keeps a rule from being used stays an error. `unfilled`: rule id to the fields that were
    never filled in the store, as `soc.detect.sight` says it.
    """
    problems = list(ruleset.problems)
    written = {dataset: fields for c in collectors.values() for dataset, fields in _written(c).items()}
    sampled: set[Path] = set()
    silent = quiet(ruleset.rules)
    files = _Files()
    for rule in ruleset.rules:
        marks = _Marks(rule, files.documents(rule.path))
        problems += _usable(rule, marks)
        problems += _logic(rule, marks)
        problems += marks.habits()
        problems += _fields(rule, marks, written)
        if why := (unfilled or {}).get(rule.id):
            hint = "soc search shows what the events have; a field pipeline may map it"
            problems.append(_warning("unfilled_field", why, marks.place("detection"), hint))
        if rule.id not in silent:  # nobody gets to see an alert of it
            problems += _described(rule, marks)
            problems += _playbooks(rule, marks, playbooks)
        if (path := Path(rule.path)) not in sampled and rule.id not in silent:
            sampled.add(path)
            problems += _samples(path, collectors)
    problems += _duplicates(ruleset.rules)
    problems += exceptions.check(ruleset.exemptions, ruleset.rules, datetime.now(UTC))
    weighed = weigh(problems, {**DEFAULTS, **(severities or {})})
    return sorted(weighed, key=lambda p: (p.place, p.kind, p.message))


def weigh(problems: Iterable[Problem], severities: Mapping[str, str]) -> Iterator[Problem]:
    """The findings with the severities of a configuration; warnings may be raised or left out."""
    for problem in problems:
        wanted = severities.get(problem.kind)
        if problem.severity is Severity.WARNING and wanted == "ignore":
            continue
        yield replace(problem, severity=Severity.ERROR) if wanted == "error" else problem


class _Files:
    """The documents of the file read last: rules of one file follow each other."""

    def __init__(self) -> None:
        self._path = ""
        self._documents: list[yamlio.YamlDocument] = []

    def documents(self, path: str) -> list[yamlio.YamlDocument]:
        """The YAML documents of a file; none when it cannot be read, which is a finding of the loader."""
        if path != self._path:
            try:
                self._path, self._documents = path, yamlio.load_all(Path(path))
            except ContentError:
                self._documents = []
        return self._documents


class _Marks:
    """Where the parts of a rule stand in its file."""

    def __init__(self, rule: Rule, documents: Sequence[yamlio.YamlDocument]) -> None:
        self._rule = rule
        here = (d for d in documents if d.place("title").line == rule.line)
        self._document = next(here, None)

    def place(self, *at: str | int) -> Place:
        """The place of a part, or of its nearest ancestor that is there."""
        return self._document.place(*at) if self._document else self._rule.place

    def habits(self) -> Iterator[Problem]:
        """What there is to say about how the document is written."""
        from soc.detect.habits import habits

        return iter(()) if self._document is None else habits(self._document)

    def has(self, key: str) -> bool:
        """Whether the rule states this key at its top."""
        return self._document is None or (key,) in self._document.marks

    def value(self, text: str, name: str) -> Place:
        """Where the detection has a value; else where it names the field."""
        for at in self._document.marks if self._document else ():
            if at[:1] == ("detection",) and self._at(at) == text:
                return self.place(*at)
        return self.field(name) if name else self.place("detection")

    def _at(self, at: Sequence[str | int]) -> object:
        found: Any = self._document.data if self._document else None
        for part in at:
            try:
                found = found[part]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def field(self, name: str) -> Place:
        """Where the detection names a field; the detection when it is called otherwise there."""
        for at in self._document.marks if self._document else ():
            if at[:1] == ("detection",) and isinstance(at[-1], str) and at[-1].partition("|")[0] == name:
                return self.place(*at)
        return self.place("detection")


def _warning(kind: str, message: str, place: Place, hint: str = "") -> Problem:
    return Problem(kind, message, place, Severity.WARNING, hint)


# ------------------------------------------------------------------ can it fire?


def _usable(rule: Rule, marks: _Marks) -> Iterator[Problem]:
    if rule.undecidable and rule.correlation is not None:
        return  # what is wrong with a correlation is a finding of the loader
    if rule.undecidable:
        hint = (
            "name its values in lists/NAME.txt beside the rules, or in soc.yml: detect: {placeholders: …}"
            if rule.undecidable.startswith("nobody defines the placeholder")
            else ""
        )
        yield Problem("undecidable", rule.undecidable, marks.place("detection"), hint=hint)
    elif rule.blind:
        yield _warning(
            "blind", rule.blind, marks.place("logsource"), "soc collector list shows what is collected"
        )


def _logic(rule: Rule, marks: _Marks) -> Iterator[Problem]:
    """What is certain about the condition whatever the event, and what it costs."""
    if rule.correlation is not None or rule.undecidable:
        return  # there is no condition; but one of a rule that is not selected is looked at
    own = And(rule.predicate.parts[1:]) if isinstance(rule.predicate, And) else rule.predicate
    at = marks.place("detection", "condition")
    if not rule.blind and logic.never(rule.predicate):
        yield Problem("never", "the condition can never be true", at)
    elif logic.always(own):
        yield _warning("always", "the condition is true of every event of its log source", at)
    for one, other in logic.several_needed(own):
        message = f"only true where {one.field} has several values: {one.operand!r} and {other.operand!r}"
        yield _warning("several_values", message, at, "is `or` meant, or a list of values?")
    for test, why in logic.expensive(own):
        place = marks.value(str(test.operand), test.field or "")
        yield _warning("expensive_regex", f"the expression {str(test.operand)[:60]!r}: {why}", place)
    for test in logic.unfiltered(own):
        place = marks.value(str(test.operand), test.field or "")
        message = f"no text must occur in {str(test.operand)[:60]!r}: it is tried on every value of the field"
        yield _warning("unfiltered_regex", message, place)
    for test, why in logic.unfit_operands(own):
        yield _warning("wrong_type", why, marks.value(str(test.operand), str(test.field)))


def _fields(rule: Rule, marks: _Marks, written: Mapping[str, set[str] | None]) -> Iterator[Problem]:
    """Names that nobody knows, and fields that no collector of the rule's log source writes."""
    if rule.blind:
        return  # whatever its fields are, nobody fills them
    if rule.definition is not None:
        yield from _correlated_fields(rule.definition, marks)
        return
    unknown = [name for name in rule.fields if not ecs.is_known(name)]
    for name in unknown:
        message = f"no field pipeline maps {name}, and it is not a field of ECS"
        yield _warning(
            "unknown_field",
            message,
            marks.field(name),
            "use a name of ECS, or map it in a file below pipelines",
        )
    wanted = datasets(rule.source)
    there = [written[name] for name in wanted if name in written]
    if not there or None in there:
        return
    collected = {name for fields in there if fields for name in fields}
    beside = _beside(rule.predicate)
    for name in rule.fields:
        if name in unknown or name.startswith(ALWAYS_THERE):
            continue
        if not any(_among(other, collected) for other in (name, *beside.get(name, ()))):
            message = f"no collector of its log source ({rule.logsource}) writes {name}"
            yield _warning("uncollected_field", message, marks.field(name))


def _beside(predicate: Predicate) -> dict[str, set[str]]:
    """Field to the fields that may hold the same value: a mapping to several names becomes an `Or`."""
    out: dict[str, set[str]] = {}
    if isinstance(predicate, Not):
        return _beside(predicate.part)
    if isinstance(predicate, Test):
        return out
    for part in predicate.parts:
        for name, others in _beside(part).items():
            out.setdefault(name, set()).update(others)
    if isinstance(predicate, Or):
        same: dict[tuple[object, ...], set[str]] = {}
        for part in predicate.parts:
            if isinstance(part, Test) and part.field:
                same.setdefault((part.op, part.operand, part.cased, part.flags), set()).add(part.field)
        for names in same.values():
            for name in names:
                out.setdefault(name, set()).update(names - {name})
    return out


def _among(name: str, collected: Collection[str]) -> bool:
    """Whether a field, or the part of a record that it lies in, is collected."""
    parts = name.split(".")
    return any(".".join(parts[:n]) in collected for n in range(1, len(parts) + 1))


def _written(collector: Collector) -> dict[str, set[str] | None]:
    """Dataset to the fields that the collector may write into it; None: any."""
    from soc.collect.compiler import targets

    module = collector.datasets[0].partition(".")[0] if collector.datasets else collector.name
    out: dict[str, set[str] | None] = {}
    for stream in collector.spec.streams:
        name = f"{module}.{stream.name}"
        if collector.format in OPEN_FORMATS and (stream.keep or not stream.part.fields):
            out[name] = None
        elif out.get(name, set()) is not None:
            out[name] = (out.get(name) or set()) | set(targets(stream)) | set(stream.keep)
    return out


def _correlated_fields(definition: Definition, marks: _Marks) -> Iterator[Problem]:
    """Names in a correlation that nothing maps and nobody knows."""
    parts = [(names, "group-by") for r in definition.references for names in r.groups.values()]
    parts += [(names, "condition") for r in definition.references for names in r.values.values()]
    unknown = {(name, at) for names, at in parts for fields in names for name in fields}
    for name, at in sorted(unknown):
        if not ecs.is_known(name):
            message = f"no field pipeline maps {name}, and it is not a field of ECS"
            hint = "use a name of ECS, or map it in a file below pipelines"
            yield _warning("unknown_field", message, marks.place("correlation", at), hint)


# ------------------------------------------------------------------ can an analyst work with it?


def _described(rule: Rule, marks: _Marks) -> Iterator[Problem]:
    if not any(tag.startswith("attack.") for tag in rule.tags):
        yield _warning(
            "no_tags", "no ATT&CK tag (attack.t1190 or a tactic) says what it is about", marks.place("tags")
        )
    if not rule.falsepositives:
        yield _warning(
            "no_falsepositives", "`falsepositives` does not say when it fires without harm", marks.place()
        )
    if not rule.description:
        yield _warning(
            "no_description", "`description` does not say what it finds and why that matters", marks.place()
        )
    if not marks.has("level") and rule.correlation is None:
        yield _warning("no_level", f"no `level`; {rule.level} is taken", marks.place())


def _playbooks(rule: Rule, marks: _Marks, known: Collection[str]) -> Iterator[Problem]:
    at = ("custom_attributes", "soc.playbooks")
    if not rule.playbooks:
        message = "no playbook says what to do (custom_attributes: soc.playbooks)"
        yield _warning("no_playbook", message, marks.place(*at), "soc playbook list")
    for number, name in enumerate(rule.playbooks):
        if name not in known:
            yield Problem(
                "unknown_playbook",
                f"there is no playbook {name!r}",
                marks.place(*at, number),
                hint="soc playbook list",
            )


def _samples(path: Path, collectors: Collectors) -> Iterator[Problem]:
    samples = load_samples(path)
    yield from samples.problems
    yield from enough(path, samples)
    for case in samples.cases:
        for name in dict.fromkeys([case.collector, *(given.collector for given in case.given)]):
            if name not in collectors:
                message = f"there is no collector {name!r}"
                yield Problem("unknown_collector", message, case.place, hint="soc collector list")


def _duplicates(rules: Sequence[Rule]) -> Iterator[Problem]:
    """Rules that say the same as an earlier one: its title, or its whole condition."""
    titles: dict[str, Rule] = {}
    meanings: dict[Predicate, Rule] = {}
    for rule in rules:
        first = titles.setdefault(rule.title.lower(), rule)
        if first is not rule:
            yield _warning("duplicate_title", f"the title stands already in {first.place}", rule.place)
        if rule.runnable and not rule.blind and any(True for _ in tests(rule.predicate)):
            first = meanings.setdefault(rule.predicate, rule)
            if first is not rule:
                yield _warning("duplicate", f"the same condition stands already in {first.place}", rule.place)


def orphans(folder: Path) -> list[Problem]:
    """Files of samples below a folder that belong to no rule file."""
    out = []
    for path in sorted(folder.rglob("samples/*.yml")):
        rule = path.parent.parent / path.name
        if not rule.is_file() and samples_path(rule) == path:
            out.append(_warning("orphan_samples", f"there is no rule file {rule}", Place(str(path))))
    return out
