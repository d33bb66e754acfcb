"""From a Sigma document to what it means.

pySigma checks what a document says about itself (title, id, tags, dates, log source). Detections and
conditions are read here (`soc.detect.values`, `soc.detect.modifiers`, `soc.detect.condition`), and
correlations in `soc.detect.correlate.reading`, because their meaning must be exact and every mistake must
have its place; docs/decisions/0015-reading-sigma.md says why.
Whatever cannot be expressed is a `Problem`, or, where only a value from the environment is missing (a
placeholder), an *undecidable* rule; nothing is left out silently. This is the only module that imports
pySigma; it is imported only when something must be compiled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule

from soc.detect import condition as conditions
from soc.detect import modifiers, values
from soc.detect.correlate import reading as correlations
from soc.detect.modifiers import UndecidableError
from soc.detect.pipelines import Pipelines
from soc.detect.predicate import And, Not, Or, Predicate, Test
from soc.detect.rule import Logsource
from soc.detect.text import canonical
from soc.detect.values import ValueProblem
from soc.errors import ContentError, Problem
from soc.yamlio import YamlDocument

MALFORMED = (SigmaError, ValueError, TypeError, AttributeError, KeyError, IndexError)
"""What pySigma raises over documents that are not what it expects."""

_HINTS = {
    "unknown_modifier": "the modifiers are: " + ", ".join(sorted(modifiers.KNOWN)),
    "deprecated": "Sigma has correlation rules instead",
}

NOT_DETECTIONS = frozenset({"condition", "rules", "timeframe"})
"""Keys beside the detections: `rules` of filters, and `timeframe`, a relic of aggregations."""


class CompileError(Exception):
    """The condition cannot be expressed: `kind` for machines, a sentence, and the keys that lead to it."""

    def __init__(self, kind: str, message: str, *at: str | int, hint: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.at, self.hint = kind, message, at, hint


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a rule as its author named it, and what it means.

    `kind`: `condition`, `and`, `or`, `not`, `of` (such as `1 of filter_*`), `detection` (named), `entry` (one
    of a list of detections), `field` (with its modifiers), `value`. The predicate of a part is made of those
    of its `parts`; a value has none, but tests.
    """

    kind: str
    label: str
    predicate: Predicate
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """The meaning of a detection, without its log source; `undecidable` says why there is none.

    `parts` are the conditions (of which one is enough) with the names that the rule gives them.
    """

    predicate: Predicate
    undecidable: str = ""
    parts: tuple[Part, ...] = ()


def kind_of(data: Mapping[str, Any]) -> str:
    """`correlation`, `filter` or `rule`."""
    return next((kind for kind in ("correlation", "filter") if kind in data), "rule")


def check(document: YamlDocument, problems: list[Problem]) -> Any:
    """The document as pySigma reads it: a SigmaRule, SigmaCorrelationRule or SigmaFilter.

    None when it has problems, which are appended with their places.
    """
    before = len(problems)
    data = document.data
    if not isinstance(data, dict):
        problems.append(
            Problem("sigma", "a rule is expected here: a mapping with title and detection", document.place())
        )
        return None
    if "action" in data:
        message = "collections with `action` are no longer part of Sigma; write the rules out"
        problems.append(Problem("deprecated", message, document.place("action")))
        return None
    problems += [
        Problem(name, f"{name} must be text; put it in quotes", document.place(name))
        for name in ("id", "title", "level", "status", "name")
        if not isinstance(data.get(name, ""), str)
    ]
    if "correlation" in data:
        problems += [
            _located(document, fault.kind, fault.message, *fault.at, hint=fault.hint)
            for fault in correlations.read(data["correlation"]).faults
        ]
    if len(problems) > before:
        return None
    reader: Any = {"correlation": SigmaCorrelationRule, "filter": SigmaFilter}.get(kind_of(data), SigmaRule)
    try:
        rule = reader.from_dict(_without_detections(data), collect_errors=True)
    except MALFORMED as error:
        problems.append(_problem(document, error))
        return None
    problems += [_problem(document, error) for error in rule.errors]
    return rule if len(problems) == before else None


_STAND_IN = {"stand_in": {"field": "value"}, "condition": "stand_in"}
_STAND_IN_CORRELATION = {
    "type": "event_count",
    "rules": ["any"],
    "timespan": "1m",
    "condition": {"gte": 1},
}


def _without_detections(data: Mapping[str, Any]) -> dict[str, Any]:
    """The document for pySigma, which is not asked about detections and correlations."""
    out = dict(data)
    if "correlation" in data:
        out["correlation"] = _STAND_IN_CORRELATION
    if isinstance(data.get("detection"), dict):
        out["detection"] = _STAND_IN
    if isinstance(found := data.get("filter"), dict):
        out["filter"] = {**_STAND_IN, **({"rules": found["rules"]} if "rules" in found else {})}
    return out


def _located(document: YamlDocument, kind: str, message: str, *at: str | int, hint: str = "") -> Problem:
    return Problem(kind, message, document.place(*at), hint=hint or _HINTS.get(kind, ""))


_TOPICS = (
    ("Modifier", "modifier", ("detection",)),
    ("Condition", "condition", ("detection", "condition")),
    ("Logsource", "logsource", ("logsource",)),
    ("Detection", "detection", ("detection",)),
    ("RegularExpression", "regex", ("detection",)),
    ("Identifier", "id", ("id",)),
    ("Level", "level", ("level",)),
    ("Status", "status", ("status",)),
    ("Tag", "tags", ("tags",)),
    ("Date", "date", ("date",)),
    ("Modified", "modified", ("modified",)),
    ("Title", "title", ("title",)),
    ("Related", "related", ("related",)),
    ("References", "references", ("references",)),
    ("FalsePositives", "falsepositives", ("falsepositives",)),
    ("Author", "author", ("author",)),
    ("Description", "description", ("description",)),
    ("Correlation", "correlation", ("correlation",)),
    ("Timespan", "timespan", ("correlation", "timespan")),
    ("Filter", "filter", ("filter",)),
)


def _problem(document: YamlDocument, error: Exception) -> Problem:
    """An error of pySigma as a finding, at the line of what it is about as nearly as that can be told."""
    message = str(error.args[0]) if error.args else type(error).__name__
    if not isinstance(error, SigmaError):
        return Problem("sigma", f"not a valid Sigma document: {message}", document.place())
    kind, at = next(((k, where) for word, k, where in _TOPICS if word in type(error).__name__), ("sigma", ()))
    return _located(document, kind, message, *_narrow(document, at, message))


def _narrow(document: YamlDocument, at: tuple[str, ...], message: str) -> tuple[str | int, ...]:
    """The path of the key or value below `at` that a message quotes, else `at` itself."""
    if at != ("detection",):
        return at
    for path in document.marks:
        if path[:1] == at and len(path) > 1:
            quoted = (path[-1], _value_at(document.data, path))
            if any(isinstance(q, str) and q and f"'{q}'" in message for q in quoted):
                return path
    return at


def _value_at(data: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def logsource_of(rule: SigmaRule | SigmaFilter) -> Logsource:
    """The log source that a document states, in lower case as Sigma writes it."""
    source = rule.logsource
    return Logsource(*(str(part or "").lower() for part in (source.category, source.product, source.service)))


def compile_rule(document: YamlDocument, rule: SigmaRule, pipelines: Pipelines) -> Compiled:
    """The meaning of a rule's detection. Raises `ContentError` for what cannot be expressed."""
    return compile_detections(document, logsource_of(rule), pipelines)


def compile_filter(
    document: YamlDocument, _found: SigmaFilter, target: Logsource, pipelines: Pipelines
) -> Compiled:
    """The condition that a filter adds to a rule with the log source `target`."""
    return compile_detections(document, target, pipelines, part="filter")


def compile_detections(
    document: YamlDocument, logsource: Logsource, pipelines: Pipelines, part: str = "detection"
) -> Compiled:
    """The meaning of named detections and their conditions (several conditions: any of them)."""
    try:
        parts = _Compiler(document.data[part], logsource, pipelines).compiled()
    except UndecidableError as why:
        return Compiled(Or(()), str(why))
    except CompileError as error:
        place_ = document.place(part, *error.at)
        hint = error.hint or _HINTS.get(error.kind, "")
        raise ContentError([Problem(error.kind, error.message, place_, hint=hint)]) from None
    return Compiled(simplify(values.any_of([p.predicate for p in parts])), parts=parts)


class _Compiler:
    """Compiles the detections of one document."""

    def __init__(self, detections: Mapping[str, Any], logsource: Logsource, pipelines: Pipelines) -> None:
        self.detections = {k: v for k, v in detections.items() if k not in NOT_DETECTIONS}
        self.stated = detections.get("condition")
        self.logsource = logsource
        self.pipelines = pipelines
        self._named: dict[str, Part] = {}

    def compiled(self) -> tuple[Part, ...]:
        """Each condition of the document. Raises `CompileError`, `UndecidableError`."""
        if not self.detections:
            raise CompileError("detection", "there is no detection in it")
        if self.stated is None:
            raise CompileError("condition", "there is no `condition`", hint="such as `condition: selection`")
        listed = self.stated if isinstance(self.stated, list) else [self.stated]
        if not listed or not all(isinstance(text, str) for text in listed):
            raise CompileError("condition", "a condition is text, or a list of texts", "condition")
        return tuple(self.condition(text) for text in listed)

    def condition(self, text: str) -> Part:
        try:
            tree = conditions.parse(text)
        except conditions.ConditionError as error:
            raise CompileError("condition", str(error), "condition") from None
        inner = self.node(tree)
        return Part("condition", text, inner.predicate, (inner,))

    def node(self, node: conditions.Condition) -> Part:
        if isinstance(node, conditions.Named):
            return self.named(node.name)
        if isinstance(node, conditions.Of):
            names = node.names(self.detections)
            if not names:
                raise self.unknown(node.pattern)
            return _joined("of", str(node), [self.named(name) for name in names], every=node.every)
        if isinstance(node, conditions.Never):
            inner = self.node(node.part)
            return Part("not", "not", Not(inner.predicate), (inner,))
        every = isinstance(node, conditions.Every)
        word = "and" if every else "or"
        return _joined(word, word, [self.node(part) for part in node.parts], every=every)

    def unknown(self, name: str) -> CompileError:
        message = f"the condition names {name!r}, and no detection is called so"
        return CompileError("condition", message, "condition", hint="correct the name, or add the detection")

    def named(self, name: str) -> Part:
        known = self._named.get(name)
        if known is None:
            if name not in self.detections:
                raise self.unknown(name)
            inner = self.detection(self.detections[name], name)
            known = self._named[name] = Part("detection", name, inner.predicate, inner.parts or (inner,))
        return known

    def detection(self, found: Any, *at: str | int) -> Part:
        """A detection: a mapping (all of it), a list (one of it), or a keyword."""
        if isinstance(found, dict):
            if not found:
                raise CompileError("detection", "the detection is empty", *at)
            return _joined("entry", "", list(self.fields(found, at)), every=True)
        listed = found if isinstance(found, list) else [found]
        if not listed:
            raise CompileError("keywords", "an empty list of keywords", *at)
        if any(isinstance(inner, (dict, list)) for inner in listed):
            parts = [self.detection(inner, *at, number) for number, inner in enumerate(listed)]
            return _joined("entry", "", parts, every=False)
        return self.field("", found, *at)

    def fields(self, found: Mapping[Any, Any], at: Sequence[str | int]) -> Iterator[Part]:
        for key, raw in found.items():
            if not isinstance(key, str):
                raise CompileError("sigma", f"the field name {key!r} must be text", *at)
            yield self.field(key, raw, *at, key)

    def field(self, key: str, raw: Any, *at: str | int) -> Part:
        """A field with its modifiers and values, or keywords."""
        name, *chain = key.split("|")
        for modifier in chain:
            if modifier not in modifiers.KNOWN:
                message = f"unknown modifier {modifier!r} of the field {name!r}"
                raise CompileError("unknown_modifier", message, *at)
        listed = raw if isinstance(raw, list) else [raw]
        if not listed and not name:
            raise CompileError("keywords", "an empty list of keywords", *at)
        places = [(*at, n) for n in range(len(listed))] if isinstance(raw, list) else [at]
        parts = [
            self.value(name, chain, one, place)
            for one, place in zip(listed or [None], places or [at], strict=True)
        ]
        whole = values.linked([part.predicate for part in parts], chain)
        return Part("field", key or "keywords", whole, tuple(parts))

    def value(self, name: str, chain: Sequence[str], raw: Any, at: Sequence[str | int]) -> Part:
        """One value of a field; with a name that has several targets: of any of them (absent: of all)."""
        try:
            found = modifiers.modified(raw, chain, self.pipelines.placeholder)
            if not name:
                tests = [values.keyword_test(value, chain) for value in found]
            else:
                targets = self.pipelines.targets(self.logsource, name)
                tests = [values.tests_of(target, found, self.others) for target in targets]
        except ValueProblem as error:
            raise CompileError(error.kind, error.message, *at, hint=error.hint) from None
        gone = all(isinstance(v, values.Absent) or v == values.Presence(False) for v in found)
        predicate = And(tuple(tests)) if name and gone and len(tests) > 1 else values.any_of(tests)
        return Part("value", canonical(raw) if raw is not None else "null", predicate)

    def others(self, name: str) -> Sequence[str]:
        return self.pipelines.targets(self.logsource, name)


def _joined(kind: str, label: str, parts: Sequence[Part], *, every: bool) -> Part:
    if len(parts) == 1 and kind == "entry":
        return Part(kind, label, parts[0].predicate, tuple(parts))
    predicates = tuple(part.predicate for part in parts)
    whole = predicates[0] if len(parts) == 1 else And(predicates) if every else Or(predicates)
    return Part(kind, label, whole, tuple(parts))


def simplify(predicate: Predicate) -> Predicate:
    """The same meaning without nesting that says nothing: single parts, And in And, Or in Or, doubles."""
    if isinstance(predicate, Test):
        return predicate
    if isinstance(predicate, Not):
        return Not(simplify(predicate.part))
    kind = type(predicate)
    parts: list[Predicate] = []
    for part in map(simplify, predicate.parts):
        parts += part.parts if isinstance(part, kind) else [part]
    distinct = tuple(dict.fromkeys(parts))
    return distinct[0] if len(distinct) == 1 else kind(distinct)
