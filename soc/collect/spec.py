"""What a collector file says, checked and in a form to compile: the grammar of `collectors/**.yml`.

Every key is known here; an unknown one is an error with its line. All problems of a file are collected.
See docs/writing-collectors.md for the grammar in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soc import ecs, yamlio
from soc.collect.filters import FILTERS
from soc.collect.formats import registry
from soc.collect.times import FORMATS as TIMES
from soc.errors import Problem, Severity

Step = str | int

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*\Z")
_STREAM = re.compile(r"[a-z][a-z0-9_]*\Z")
_EXPRESSION = re.compile(r"\s*([^|\s][^|]*?)\s*((?:\|\s*[a-z_0-9]+\s*)*)\Z")

_TOP = {
    "extends", "name", "title", "description", "layer", "references", "recognise", "format", "options",
    "fallback",
    "absent", "time", "fields", "set", "cases", "keep", "spread", "streams", "logsources", "samples",
}  # fmt: skip
_STREAM_KEYS = {
    "name",
    "when",
    "pattern",
    "patterns",
    "in",
    "parse",
    "time",
    "fields",
    "set",
    "cases",
    "keep",
    "messages",
}
_MESSAGE_KEYS = {"when", "pattern", "patterns", "in", "fields", "set", "cases"}
_CASE_KEYS = {"when", "set"}
_TEST_KEYS = {"match", "not", "exists", "prefix", "suffix", "contains", "above", "below"}
_RECOGNISE_KEYS = {"names", "first"}
_SAMPLE_KEYS = {
    "name",
    "line",
    "lines",
    "text",
    "file",
    "record",
    "expect",
    "absent",
    "count",
    "timezone",
    "now",
}
_LOGSOURCE_KEYS = {"category", "product", "service", "dataset", "where"}


@dataclass(frozen=True, slots=True)
class Expression:
    """Where a value comes from: a raw name, then filters in order."""

    name: str
    filters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on one raw value: all of `checks` (kind, operand) must hold."""

    expression: Expression
    checks: tuple[tuple[str, Any], ...]


When = tuple[tuple[Test, ...], ...]
"""Alternatives, each a conjunction of tests; empty holds always."""


@dataclass(frozen=True, slots=True)
class Case:
    """Fields to set when a condition holds."""

    when: When
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mapped:
    """An ECS field and the expressions that may give its value; the first that gives one counts."""

    target: str
    sources: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """What a stream and a message of it have in common: condition, patterns, and what they write."""

    when: When = ()
    patterns: tuple[str, ...] = ()
    within: str = ""
    fields: tuple[Mapped, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    cases: tuple[Case, ...] = ()
    at: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One kind of record: `dataset` is `<collector>.<name>`."""

    name: str
    part: Part
    messages: tuple[Part, ...] = ()
    time: tuple[tuple[Expression, str], ...] = ()
    parse: tuple[tuple[str, str, str], ...] = ()
    keep: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Logsource:
    """A Sigma log source that events of `dataset` satisfy, all of them or those where the fields hold."""

    dataset: str
    category: str | None = None
    product: str | None = None
    service: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """An example: input, and the events expected of it (only the named fields are compared)."""

    name: str
    lines: tuple[str, ...]
    text: str
    file: str
    record: Any
    expect: tuple[Mapping[str, Any], ...]
    absent: tuple[str, ...]
    count: int | None
    timezone: str
    now: str
    index: int


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole collector file."""

    name: str
    title: str
    description: str
    layer: int
    format: str
    options: Mapping[str, Any]
    fallback: bool
    spread: bool
    absent: tuple[str, ...]
    names: tuple[str, ...]
    first: tuple[str, ...]
    streams: tuple[StreamSpec, ...]
    logsources: tuple[Logsource, ...]
    samples: tuple[Sample, ...]


_OWN = {"name", "title", "description", "recognise", "samples", "extends", "references", "logsources"}
"""Keys that a collector does not take over from the one that it extends."""


class SpecReader:
    """Reads one document; `problems` has everything that is wrong with it."""

    def __init__(self, document: yamlio.YamlDocument) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def problem(
        self, kind: str, message: str, *at: Step, hint: str = "", severity: Severity = Severity.ERROR
    ) -> None:
        """Note a finding at a place in the document."""
        self.problems.append(Problem(kind, message, self.document.place(*at), severity, hint))

    def mapping(self, value: Any, known: set[str] | None, *at: Step) -> dict[str, Any]:
        """A mapping with known keys; None is an empty one."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.problem("type", "a mapping is expected here", *at)
            return {}
        for key in value:
            if known is not None and key not in known:
                words = ", ".join(sorted(known))
                self.problem("unknown_key", f"unknown key {key!r}; known here: {words}", *at, key)
        return value

    def text(self, value: Any, *at: Step, default: str = "") -> str:
        """A text; None is the default."""
        if value is None:
            return default
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value)
        self.problem("type", "text is expected here", *at)
        return default

    def texts(self, value: Any, *at: Step) -> tuple[str, ...]:
        """A text or a list of texts."""
        if value is None:
            return ()
        items = value if isinstance(value, list) else [value]
        return tuple(
            self.text(item, *at, i) if isinstance(value, list) else self.text(item, *at)
            for i, item in enumerate(items)
        )

    def boolean(self, value: Any, *at: Step) -> bool:
        """true or false; None is false."""
        if value is None or isinstance(value, bool):
            return bool(value)
        self.problem("type", "true or false is expected here", *at)
        return False

    def items(self, value: Any, *at: Step) -> list[Any]:
        """A list; None is empty."""
        if value is None:
            return []
        if isinstance(value, list):
            return value
        self.problem("type", "a list is expected here", *at)
        return []

    # -- the whole

    def extended(self, data: dict[str, Any]) -> dict[str, Any]:
        """The mapping with what it does not say itself taken from the collector that it `extends`, beside
        it."""
        base = self.text(data.get("extends"), "extends")
        if not base:
            return data
        path = Path(self.document.path).parent / f"{base}.yml"
        if not _NAME.match(base) or not path.is_file():
            self.problem("extends", f"there is no {base}.yml beside this file", "extends")
            return data
        other = yamlio.load(path).data
        if not isinstance(other, dict) or "extends" in other:
            self.problem("extends", f"{base}.yml is no collector, or itself extends another", "extends")
            return data
        return {**{k: v for k, v in other.items() if k not in _OWN}, **data}

    def read(self) -> Spec | None:
        """The collector, or None when there is too little to go on."""
        data = self.extended(self.mapping(self.document.data, _TOP))
        if not data:
            if not self.problems:
                self.problem("empty", "the file is empty; soc collector new NAME writes one to start from")
            return None
        name = self.text(data.get("name"), "name")
        if not _NAME.match(name):
            self.problem("name", "`name` must be small letters, digits and hyphens", "name")
            return None
        layer = data.get("layer")
        if layer not in (1, 2, 3, 4) or isinstance(layer, bool):
            self.problem("layer", "`layer` must be 1, 2, 3 or 4", "layer")
            layer = 1
        format_name = self.text(data.get("format"), "format", default="text")
        if format_name not in registry.FORMATS:
            words = ", ".join(sorted(registry.FORMATS))
            self.problem("format", f"unknown format {format_name!r}; one of {words}", "format")
            return None
        if not data.get("title"):
            self.problem("title", "`title` is missing: one line that says what this collector reads")
        options = self.mapping(data.get("options"), set(registry.FORMATS[format_name].options), "options")
        recognise = self.mapping(data.get("recognise"), _RECOGNISE_KEYS, "recognise")
        fallback, spread = (
            self.boolean(data.get("fallback"), "fallback"),
            self.boolean(data.get("spread"), "spread"),
        )
        if spread and registry.FORMATS[format_name].raws is not None:
            self.problem("spread", f"`spread` is for documents; the format {format_name} has none", "spread")
            spread = False
        return Spec(
            name=name,
            title=self.text(data.get("title"), "title"),
            description=self.text(data.get("description"), "description"),
            layer=layer,
            format=format_name,
            options=options,
            fallback=fallback,
            spread=spread,
            absent=self.texts(data.get("absent"), "absent"),
            names=self.texts(recognise.get("names"), "recognise", "names"),
            first=self._patterns(recognise.get("first"), "recognise", "first"),
            streams=self._streams(data),
            logsources=self._logsources(data.get("logsources"), name),
            samples=self._samples(data.get("samples"), checked=not spread),
        )

    def _streams(self, data: Mapping[str, Any]) -> tuple[StreamSpec, ...]:
        """The streams, each with what the top of the file says for all of them put in front."""
        common = self._part({k: data.get(k) for k in ("fields", "set", "cases")}, ())
        time = self._time(data.get("time"), "time")
        keep = self._keep(data.get("keep"), "keep")
        out = []
        listed = self.items(data.get("streams"), "streams")
        if not listed:
            self.problem("streams", "a collector needs at least one stream", "streams")
        seen: set[str] = set()
        for i, item in enumerate(listed):
            at = ("streams", i)
            entry = self.mapping(item, _STREAM_KEYS, *at)
            name = self.text(entry.get("name"), *at, "name")
            if not _STREAM.match(name):
                self.problem("name", "a stream needs a `name` of small letters, digits and _", *at)
                continue
            if (
                name in seen
                and not entry.get("when")
                and not entry.get("pattern")
                and not entry.get("patterns")
            ):
                self.problem("unreachable", f"the stream {name!r} stands twice without a condition", *at)
            seen.add(name)
            part = self._part(entry, at)
            merged = Part(
                when=part.when,
                patterns=part.patterns,
                within=part.within,
                fields=_override(common.fields, part.fields),
                values={**common.values, **part.values},
                cases=(*part.cases, *common.cases),
                at=at,
            )
            messages = tuple(
                self._part(self.mapping(m, _MESSAGE_KEYS, *at, "messages", j), (*at, "messages", j))
                for j, m in enumerate(self.items(entry.get("messages"), *at, "messages"))
            )
            out.append(
                StreamSpec(
                    name=name,
                    part=merged,
                    messages=messages,
                    time=self._time(entry.get("time"), *at, "time") or time,
                    parse=self._parse(entry.get("parse"), *at, "parse"),
                    keep={**keep, **self._keep(entry.get("keep"), *at, "keep")},
                )
            )
        return tuple(out)

    def _part(self, entry: Mapping[str, Any], at: tuple[Step, ...]) -> Part:
        patterns = self._patterns(entry.get("pattern"), *at, "pattern")
        patterns += self._patterns(entry.get("patterns"), *at, "patterns")
        return Part(
            when=self._when(entry.get("when"), *at, "when"),
            patterns=patterns,
            within=self.text(entry.get("in"), *at, "in"),
            fields=self._fields(entry.get("fields"), *at, "fields"),
            values=self._values(entry.get("set"), *at, "set"),
            cases=self._cases(entry.get("cases"), *at, "cases"),
            at=at,
        )

    def _patterns(self, value: Any, *at: Step) -> tuple[str, ...]:
        from soc.collect.patterns import PatternError, check

        out = []
        for text in self.texts(value, *at):
            pattern = text.strip("\n")
            try:
                check(pattern)
            except PatternError as error:
                self.problem("pattern", str(error), *at)
                continue
            out.append(pattern)
        return tuple(out)

    def _field_name(self, name: Any, *at: Step) -> bool:
        if not isinstance(name, str):
            self.problem("unknown_field", f"a field name is expected, not {name!r}", *at)
            return False
        if not ecs.is_known(name):
            self.problem(
                "unknown_field",
                f"{name} is not a field of ECS",
                *at,
                hint="use an ECS name, or labels.… or soc.extra.… for a field of the source's own",
            )
        return True

    def expression(self, value: Any, *at: Step) -> Expression | None:
        """`name | filter | filter`."""
        found = _EXPRESSION.match(value) if isinstance(value, str) else None
        if found is None:
            self.problem(
                "expression", "a raw name is expected here, such as `client` or `target | path`", *at
            )
            return None
        filters = tuple(f.strip() for f in found.group(2).split("|")[1:])
        for name in filters:
            if name not in FILTERS:
                words = ", ".join(sorted(FILTERS))
                self.problem("unknown_filter", f"unknown filter {name!r}; known: {words}", *at)
                return None
        return Expression(found.group(1), filters)

    def _fields(self, value: Any, *at: Step) -> tuple[Mapped, ...]:
        out = []
        for target, source in self.mapping(value, None, *at).items():
            if not self._field_name(target, *at, target):
                continue
            items = source if isinstance(source, list) else [source]
            expressions = [self.expression(item, *at, target) for item in items]
            out.append(Mapped(target, tuple(e for e in expressions if e is not None)))
        return tuple(out)

    def _values(self, value: Any, *at: Step) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for target, constant in self.mapping(value, None, *at).items():
            if not self._field_name(target, *at, target):
                continue
            conformed = ecs.conform({target: constant})
            if ecs.MISFIT in conformed or target not in conformed:
                self.problem(
                    "value",
                    f"{constant!r} does not fit the field {target} ({ecs.type_of(target)})",
                    *at,
                    target,
                )
                continue
            if (bad := _not_allowed(target, conformed[target])) is not None:
                self.problem("value", f"{bad!r} is not a value that ECS allows for {target}", *at, target)
            out[target] = conformed[target]
        return out

    def _cases(self, value: Any, *at: Step) -> tuple[Case, ...]:
        out = []
        for i, item in enumerate(self.items(value, *at)):
            entry = self.mapping(item, _CASE_KEYS, *at, i)
            out.append(
                Case(
                    self._when(entry.get("when"), *at, i, "when"),
                    self._values(entry.get("set"), *at, i, "set"),
                )
            )
        return tuple(out)

    def _when(self, value: Any, *at: Step) -> When:
        if value is None:
            return ()
        alternatives = value if isinstance(value, list) else [value]
        out = []
        for i, item in enumerate(alternatives):
            where = (*at, i) if isinstance(value, list) else at
            tests = []
            for name, condition in self.mapping(item, None, *where).items():
                expression = self.expression(name, *where, name)
                if expression is not None:
                    tests.append(Test(expression, self._checks(condition, *where, name)))
            out.append(tuple(tests))
        return tuple(out)

    def _checks(self, condition: Any, *at: Step) -> tuple[tuple[str, Any], ...]:
        if not isinstance(condition, dict):
            return (("in", self._operands(condition, *at)),)
        out: list[tuple[str, Any]] = []
        for kind, operand in self.mapping(condition, _TEST_KEYS, *at).items():
            if kind == "match":
                out += [("match", pattern) for pattern in self._patterns(operand, *at, kind)]
            elif kind == "not":
                out.append(("not", self._operands(operand, *at, kind)))
            elif kind == "exists":
                out.append(("exists", bool(operand)))
            elif kind in {"prefix", "suffix", "contains"}:
                out.append((kind, self.texts(operand, *at, kind)))
            elif kind in {"above", "below"}:
                if isinstance(operand, (int, float)) and not isinstance(operand, bool):
                    out.append((kind, operand))
                else:
                    self.problem("type", "a number is expected here", *at, kind)
        return tuple(out)

    def _operands(self, value: Any, *at: Step) -> tuple[Any, ...]:
        items = value if isinstance(value, list) else [value]
        for item in items:
            if isinstance(item, (dict, list)):
                self.problem("type", "a value or a list of values is expected here", *at)
                return ()
        return tuple(items)

    def _time(self, value: Any, *at: Step) -> tuple[tuple[Expression, str], ...]:
        out = []
        for i, item in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
            where = (*at, i) if isinstance(value, list) else at
            entry = self.mapping(item, {"from", "format"}, *where)
            expression = self.expression(entry.get("from"), *where, "from")
            name = self.text(entry.get("format"), *where, "format", default="auto")
            if name not in TIMES:
                words = ", ".join(sorted(TIMES))
                self.problem("time", f"unknown time format {name!r}; one of {words}", *where, "format")
            elif expression is not None:
                out.append((expression, name))
        return tuple(out)

    def _parse(self, value: Any, *at: Step) -> tuple[tuple[str, str, str], ...]:
        out = []
        for i, item in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
            where = (*at, i) if isinstance(value, list) else at
            entry = self.mapping(item, {"from", "as", "to"}, *where)
            kind = self.text(entry.get("as"), *where, "as")
            if kind not in registry.PARSERS:
                words = ", ".join(sorted(registry.PARSERS))
                self.problem("parse", f"unknown `as: {kind}`; one of {words}", *where)
                continue
            source = self.text(entry.get("from"), *where, "from", default="message")
            out.append((source, kind, self.text(entry.get("to"), *where, "to", default=kind)))
        return tuple(out)

    def _keep(self, value: Any, *at: Step) -> dict[str, str]:
        out = {}
        for target, source in self.mapping(value, None, *at).items():
            if ecs.is_known(f"{target}.x"):
                out[target] = self.text(source, *at, target)
            else:
                self.problem(
                    "unknown_field", f"{target}.* is not open for a source's own fields", *at, target
                )
        return out

    def _logsources(self, value: Any, name: str) -> tuple[Logsource, ...]:
        out = []
        for i, item in enumerate(self.items(value, "logsources")):
            at = ("logsources", i)
            entry = self.mapping(item, _LOGSOURCE_KEYS, *at)
            named = {k: self.text(entry.get(k), *at, k) or None for k in ("category", "product", "service")}
            if not any(named.values()):
                self.problem("logsource", "a log source needs a category, product or service", *at)
            for dataset in self.texts(entry.get("dataset"), *at, "dataset") or ("",):
                if dataset.partition(".")[0] != name and not dataset.startswith("windows."):
                    self.problem("logsource", f"the dataset {dataset!r} is not one of this collector", *at)
                where = dict(self.mapping(entry.get("where"), None, *at, "where"))
                out.append(Logsource(dataset, named["category"], named["product"], named["service"], where))
        return tuple(out)

    def _samples(self, value: Any, *, checked: bool) -> tuple[Sample, ...]:
        """The samples; `checked`: their expected fields must be of ECS."""
        out = []
        for i, item in enumerate(self.items(value, "samples")):
            at = ("samples", i)
            entry = self.mapping(item, _SAMPLE_KEYS, *at)
            given = [k for k in ("line", "lines", "text", "file", "record") if k in entry]
            if len(given) != 1:
                self.problem("sample", "a sample has exactly one of line, lines, text, file, record", *at)
                continue
            expect = entry.get("expect")
            listed = expect if isinstance(expect, list) else [expect]
            if expect is None and "count" not in entry:
                self.problem("sample", "a sample says in `expect` which fields its event must have", *at)
            lines = (entry["line"],) if "line" in entry else tuple(entry.get("lines") or ())
            if not all(isinstance(line, str) for line in lines):
                self.problem("sample", "a line of a sample must be text; quote it", *at)
                continue
            expected = tuple(self.mapping(e, None, *at, "expect") for e in listed if e is not None)
            for event in expected:
                for target in event if checked else ():
                    self._field_name(target, *at, "expect", target)
            count = entry.get("count")
            out.append(
                Sample(
                    name=self.text(entry.get("name"), *at, "name", default=f"sample {i + 1}"),
                    lines=lines,
                    text=self.text(entry.get("text"), *at, "text"),
                    file=self.text(entry.get("file"), *at, "file"),
                    record=entry.get("record"),
                    expect=expected,
                    absent=self.texts(entry.get("absent"), *at, "absent"),
                    count=count if isinstance(count, int) else None,
                    timezone=self.text(entry.get("timezone"), *at, "timezone", default="UTC"),
                    now=self.text(entry.get("now"), *at, "now", default="2026-06-30T12:00:00Z"),
                    index=i,
                )
            )
        return tuple(out)


ALLOWED: Mapping[str, frozenset[str]] = {
    "event.kind": frozenset(
        ["alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"]
    ),
    "event.category": frozenset(
        [
            "api",
            "authentication",
            "configuration",
            "database",
            "driver",
            "email",
            "file",
            "host",
            "iam",
            "intrusion_detection",
            "library",
            "malware",
            "network",
            "package",
            "process",
            "registry",
            "session",
            "threat",
            "vulnerability",
            "web",
        ]
    ),
    "event.type": frozenset(
        [
            "access",
            "admin",
            "allowed",
            "change",
            "connection",
            "creation",
            "deletion",
            "denied",
            "device",
            "end",
            "error",
            "group",
            "indicator",
            "info",
            "installation",
            "protocol",
            "start",
            "user",
        ]
    ),
    "event.outcome": frozenset({"success", "failure", "unknown"}),
}
"""Allowed values of the four categorisation fields (ECS, "Using the Categorization Fields")."""


def _not_allowed(target: str, value: Any) -> Any:
    allowed = ALLOWED.get(target)
    if allowed is None:
        return None
    return next((v for v in (value if isinstance(value, list) else [value]) if v not in allowed), None)


def _override(first: Sequence[Mapped], second: Sequence[Mapped]) -> tuple[Mapped, ...]:
    """The mapped fields of both; where both map a field, the second counts, at the first's place."""
    table = {m.target: m for m in first}
    table.update({m.target: m for m in second})
    return tuple(table.values())


def read(path: Path) -> tuple[Spec | None, list[Problem], yamlio.YamlDocument]:
    """The collector in a file and all problems found; raises `ContentError` when it is no YAML at all."""
    document = yamlio.load(path)
    reader = SpecReader(document)
    return reader.read(), reader.problems, document
