"""From a Sigma document to what it means: pySigma reads, this module compiles.

pySigma parses values, modifiers and conditions (Sigma specification 2.1); the result becomes a
`soc.detect.predicate`. Whatever cannot be expressed is a `Problem` with its place, or, where only a value
from the environment is missing (a placeholder), an *undecidable* rule; nothing is left out silently.
This is the only module that imports pySigma; it is imported only when something must be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigma import types as st
from sigma.conditions import (
    ConditionAND,
    ConditionIdentifier,
    ConditionNOT,
    ConditionOR,
    ConditionSelector,
)
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.modifiers import modifier_mapping
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections, SigmaRule

from soc.detect import regex as rx
from soc.detect.pipelines import Pipelines
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test
from soc.detect.rule import Logsource
from soc.detect.text import canonical
from soc.errors import ContentError, Problem
from soc.yamlio import YamlDocument

ALIASES = {"utf16le": "wide"}
"""Modifiers of the specification that pySigma knows only under another name."""

MALFORMED = (SigmaError, ValueError, TypeError, AttributeError, KeyError, IndexError)
"""What pySigma raises over documents that are not what it expects."""

_HINTS = {
    "unknown_modifier": "the modifiers are: " + ", ".join(sorted({*modifier_mapping, *ALIASES})),
    "deprecated": "Sigma has correlation rules instead, which are not evaluated yet; a rule on single events "
    "counts its hits in one alert",
}


class UndecidableError(Exception):
    """The condition depends on something that is not known here; the text says on what."""


class CompileError(Exception):
    """The condition cannot be expressed: `kind` for machines, a sentence, and the keys that lead to it."""

    def __init__(self, kind: str, message: str, *at: str | int, hint: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.at, self.hint = kind, message, at, hint


@dataclass(frozen=True, slots=True)
class Compiled:
    """The meaning of a detection, without its log source; `undecidable` says why there is none."""

    predicate: Predicate
    undecidable: str = ""


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
    data = _plain_keys(document, data, problems)
    if len(problems) > before:
        return None
    reader: Any = {"correlation": SigmaCorrelationRule, "filter": SigmaFilter}.get(kind_of(data), SigmaRule)
    try:
        rule = reader.from_dict(data, collect_errors=True)
    except MALFORMED as error:
        problems.append(_problem(document, error))
        return None
    problems += [_problem(document, error) for error in rule.errors]
    return rule if len(problems) == before else None


def _plain_keys(document: YamlDocument, data: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The document with aliases of modifiers replaced; unknown modifiers become problems with their line."""
    part = "filter" if "filter" in data else "detection"
    detection = data.get(part)
    if not isinstance(detection, dict):
        return data

    def walk(value: Any, at: tuple[str | int, ...]) -> Any:
        if isinstance(value, list):
            return [walk(v, (*at, i)) for i, v in enumerate(value)]
        if not isinstance(value, dict):
            # pySigma keeps numbers as floats, which are exact only up to here
            return (
                str(value) if type(value) is int and abs(value) > 2**53 and "|" not in str(at[-1]) else value
            )
        out = {}
        for key, inner in value.items():
            if not isinstance(key, str):
                problems.append(Problem("sigma", f"the field name {key!r} must be text", document.place(*at)))
                continue
            name, *modifiers = key.split("|")
            for modifier in modifiers:
                if modifier not in modifier_mapping and modifier not in ALIASES:
                    message = f"unknown modifier {modifier!r} of the field {name!r}"
                    problems.append(_located(document, "unknown_modifier", message, *at, key))
            out["|".join([name, *(ALIASES.get(m, m) for m in modifiers)])] = walk(inner, (*at, key))
        return out

    return {
        **data,
        part: {k: v if k in {"condition", "rules"} else walk(v, (part, k)) for k, v in detection.items()},
    }


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
    return compile_detections(document, rule.detection, logsource_of(rule), pipelines)


def compile_filter(
    document: YamlDocument, found: SigmaFilter, target: Logsource, pipelines: Pipelines
) -> Compiled:
    """The condition that a filter adds to a rule with the log source `target`."""
    return compile_detections(document, found.filter, target, pipelines, part="filter")


def compile_detections(
    document: YamlDocument,
    detections: SigmaDetections,
    logsource: Logsource,
    pipelines: Pipelines,
    part: str = "detection",
) -> Compiled:
    """The meaning of named detections and their conditions (several conditions: any of them)."""
    compiler = _Compiler(detections, logsource, pipelines)
    try:
        conditions = tuple(compiler.condition(c) for c in detections.parsed_condition)
    except UndecidableError as why:
        return Compiled(Or(()), str(why))
    except CompileError as error:
        place_ = document.place(part, *error.at)
        raise ContentError([Problem(error.kind, error.message, place_, hint=error.hint)]) from None
    except MALFORMED as error:
        raise ContentError([_problem(document, error)]) from None
    return Compiled(simplify(conditions[0] if len(conditions) == 1 else Or(conditions)))


class _Compiler:
    """Compiles the detections of one document."""

    def __init__(self, detections: SigmaDetections, logsource: Logsource, pipelines: Pipelines) -> None:
        self.detections = detections
        self.logsource = logsource
        self.pipelines = pipelines
        self._named: dict[str, Predicate] = {}

    def condition(self, condition: Any) -> Predicate:
        return self.node(condition.parse(postprocess=False))

    def node(self, node: Any) -> Predicate:
        if isinstance(node, ConditionIdentifier):
            return self.named(node.identifier)
        if isinstance(node, ConditionSelector):
            return self.selected(node)
        parts = tuple(self.node(arg) for arg in node.args)
        if isinstance(node, ConditionNOT):
            return Not(parts[0])
        if isinstance(node, ConditionAND):
            return And(parts)
        if isinstance(node, ConditionOR):
            return Or(parts)
        raise CompileError("condition", f"unsupported in a condition: {type(node).__name__}", "condition")

    def selected(self, node: ConditionSelector) -> Predicate:
        names = [ref.identifier for ref in node.resolve_referenced_detections(self.detections)]
        if not names:
            message = f"the condition names {node.pattern!r}, and no detection is called so"
            raise CompileError(
                "condition", message, "condition", hint="correct the name, or add the detection"
            )
        parts = tuple(self.named(name) for name in names)
        return And(parts) if node.cond_class is ConditionAND else Or(parts)

    def named(self, name: str) -> Predicate:
        known = self._named.get(name)
        if known is None:
            detection = self.detections.detections.get(name)
            if detection is None:
                message = f"the condition names {name!r}, and no detection is called so"
                raise CompileError(
                    "condition", message, "condition", hint="correct the name, or add the detection"
                )
            try:
                known = self.detection(detection)
            except CompileError as error:
                raise CompileError(error.kind, error.message, name, *error.at, hint=error.hint) from None
            self._named[name] = known
        return known

    def detection(self, detection: SigmaDetection) -> Predicate:
        parts = tuple(
            self.detection(item) if isinstance(item, SigmaDetection) else self.item(item)
            for item in detection.detection_items
        )
        return And(parts) if detection.item_linking is ConditionAND else Or(parts)

    def item(self, item: SigmaDetectionItem) -> Predicate:
        if not item.value:
            if item.field is None:
                raise CompileError("keywords", "an empty list of keywords")
            parts: tuple[Predicate, ...] = (self.value(item.field, st.SigmaNull()),)
        else:
            parts = tuple(self.value(item.field, value) for value in item.value)
        whole: Predicate = And(parts) if item.value_linking is ConditionAND else Or(parts)
        return Not(whole) if item.negated else whole

    def value(self, name: str | None, value: st.SigmaType) -> Predicate:
        """One value of a field; with a name that has several targets: of any of them (null: of all)."""
        if isinstance(value, st.SigmaExpansion):
            return Or(tuple(self.value(name, inner) for inner in value.values))
        if name is None:
            return keyword(self.expanded(value))
        values = self.expanded(value)
        targets = self.pipelines.targets(self.logsource, name)
        parts = tuple(self.test(target, inner) for target in targets for inner in values)
        absent = isinstance(value, st.SigmaNull) or (isinstance(value, st.SigmaExists) and not value.exists)
        return And(parts) if absent else Or(parts)

    def expanded(self, value: st.SigmaType) -> Sequence[st.SigmaType]:
        """The value with its placeholders filled in: one value or several."""
        if (
            not isinstance(value, (st.SigmaString, st.SigmaRegularExpression))
            or not value.contains_placeholder()
        ):
            return (value,)

        def fill(placeholder: st.Placeholder) -> Iterator[str]:
            values = self.pipelines.placeholder(placeholder.name)
            if values is None:
                raise UndecidableError(f"nobody defines the placeholder %{placeholder.name}%")
            yield from values

        return value.replace_placeholders(fill)

    def test(self, target: str, value: st.SigmaType) -> Predicate:
        compiler = next((c for kind, c in _VALUES if isinstance(value, kind)), None)
        if compiler is None:
            raise CompileError("value", f"unsupported kind of value: {type(value).__name__}")
        if isinstance(value, st.SigmaFieldReference):
            others = self.pipelines.targets(self.logsource, value.field)
            return Or(tuple(field_reference(target, other, value) for other in others))
        return compiler(target, value)


def keyword(values: Sequence[st.SigmaType]) -> Predicate:
    """A value without a field: found somewhere in any field of the event."""
    return Or(tuple(_keyword(value) for value in values))


def _keyword(value: st.SigmaType) -> Predicate:
    if isinstance(value, st.SigmaString):
        multi = st.SpecialChars.WILDCARD_MULTI
        parts = [multi, *value.s, multi]
        return string_test(None, parts, cased=isinstance(value, st.SigmaCasedString))
    if isinstance(value, (st.SigmaBool, st.SigmaNumber)) and not isinstance(value, st.SigmaTimestampPart):
        return Test(None, Op.CONTAINS, plain(value))
    if isinstance(value, st.SigmaRegularExpression):
        return regex_test(None, value)
    raise CompileError("keywords", f"a keyword cannot be a {type(value).__name__}; name a field")


def plain(value: st.SigmaBool | st.SigmaNumber) -> str:
    """A number or a boolean as the text that is compared."""
    return canonical(value.boolean if isinstance(value, st.SigmaBool) else value.number)


def string_test(name: str | None, parts: Sequence[Any], *, cased: bool = False) -> Predicate:
    """A string of literals and wildcards as the simplest test that means the same."""
    pieces: list[str | None] = [""]
    for part in parts:
        if isinstance(part, str):
            pieces[-1] = (pieces[-1] or "") + part
        elif part is st.SpecialChars.WILDCARD_SINGLE:
            pieces += [None, ""]
        elif part is st.SpecialChars.WILDCARD_MULTI:
            if not (len(pieces) > 1 and pieces[-1] == "" and pieces[-2] is not None):
                pieces.append("")
        else:
            raise CompileError("value", f"unsupported in a value: {part!r}")
    if len(pieces) == 1:
        return Test(name, Op.EQUALS, pieces[0], cased)
    if None not in pieces:
        first, last, inner = pieces[0], pieces[-1], pieces[1:-1]
        if not first and not last and not inner:
            return Test(name, Op.EXISTS)
        if len(pieces) == 2 and not last:
            return Test(name, Op.STARTSWITH, first, cased)
        if len(pieces) == 2 and not first:
            return Test(name, Op.ENDSWITH, last, cased)
        if len(pieces) == 3 and not first and not last:
            return Test(name, Op.CONTAINS, inner[0], cased)
    return Test(name, Op.WILDCARD, tuple(pieces), cased)


_FLAGS = {
    st.SigmaRegularExpressionFlag.IGNORECASE: "i",
    st.SigmaRegularExpressionFlag.MULTILINE: "m",
    st.SigmaRegularExpressionFlag.DOTALL: "s",
}


def regex_test(name: str | None, value: st.SigmaRegularExpression) -> Predicate:
    """A regular expression, checked to be one that an engine here accepts."""
    pattern = str(value.regexp)
    flags = "".join(sorted(_FLAGS[flag] for flag in value.flags))
    try:
        rx.compiled(pattern, flags)
    except rx.PatternError as error:
        raise CompileError("regex", f"invalid regular expression {pattern!r}: {error}") from None
    return Test(name, Op.REGEX, pattern, flags=flags)


def field_reference(name: str, other: str, value: st.SigmaFieldReference) -> Predicate:
    """A comparison with another field of the same event."""
    words = {(True, True): "contains", (True, False): "startswith", (False, True): "endswith"}
    return Test(name, Op.FIELDREF, other, flags=words.get((value.starts_with, value.ends_with), ""))


_COMPARE = {
    st.CompareOperators.LT: Op.LT,
    st.CompareOperators.LTE: Op.LTE,
    st.CompareOperators.GT: Op.GT,
    st.CompareOperators.GTE: Op.GTE,
}


def _compare(name: str, value: st.SigmaCompareExpression) -> Predicate:
    if value.op is st.CompareOperators.NEQ:
        return Not(Test(name, Op.EQUALS, plain(value.number)))
    return Test(name, _COMPARE[value.op], value.number.number)


def _part(name: str, value: st.SigmaTimestampPart) -> Predicate:
    return Test(name, Op.TIMEPART, int(value.number), flags=value.timestamp_part.name.lower())


def _exists(name: str, value: st.SigmaExists) -> Predicate:
    return Test(name, Op.EXISTS if value.exists else Op.NULL)


_VALUES: Sequence[tuple[type[st.SigmaType], Callable[[str, Any], Predicate]]] = (
    # a subclass stands before its base
    (st.SigmaString, lambda n, v: string_test(n, v.s, cased=isinstance(v, st.SigmaCasedString))),
    (st.SigmaTimestampPart, _part),
    (st.SigmaNumber, lambda n, v: Test(n, Op.EQUALS, plain(v))),
    (st.SigmaBool, lambda n, v: Test(n, Op.EQUALS, plain(v))),
    (st.SigmaNull, lambda n, _: Test(n, Op.NULL)),
    (st.SigmaExists, _exists),
    (st.SigmaRegularExpression, regex_test),
    (st.SigmaCIDRExpression, lambda n, v: Test(n, Op.CIDR, str(v.network))),
    (st.SigmaCompareExpression, _compare),
    (st.SigmaFieldReference, lambda n, v: field_reference(n, v.field, v)),
)


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
