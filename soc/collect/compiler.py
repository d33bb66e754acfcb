"""From what a collector file says to one Python function: code is generated, compiled and run.

The function does for one record what the file describes and nothing else: no table is walked, no name is
looked up twice. Everything that comes from the file goes into the code as a constant or by `repr`, never as
code, so a collector file cannot make the program run anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType
from typing import Any

from soc import ecs
from soc.collect import patterns
from soc.collect.filters import FILTERS
from soc.collect.formats import registry
from soc.collect.spec import ALLOWED, Case, Expression, Mapped, Part, Spec, StreamSpec, Test, When
from soc.collect.times import TimeReader
from soc.errors import Problem
from soc.event import Event, normalise
from soc.yamlio import YamlDocument

RELATED: Mapping[str, tuple[str, ...]] = {
    "related.ip": (
        "source.ip", "destination.ip", "client.ip", "server.ip", "host.ip", "source.nat.ip",
        "destination.nat.ip",
        "dns.resolved_ip", "threat.indicator.ip", "observer.ip",
    ),
    "related.user": (
        "user.name", "user.target.name", "user.effective.name", "user.changes.name", "source.user.name",
        "destination.user.name", "client.user.name", "server.user.name",
    ),
    "related.hosts": (
        "host.name", "host.hostname", "source.domain", "destination.domain", "client.domain", "server.domain",
        "url.domain", "tls.client.server_name", "dns.question.name",
    ),
    "related.hash": (
        "file.hash.md5", "file.hash.sha1", "file.hash.sha256", "process.hash.md5", "process.hash.sha1",
        "process.hash.sha256", "dll.hash.md5", "dll.hash.sha1", "dll.hash.sha256", "process.pe.imphash",
        "file.pe.imphash", "dll.pe.imphash", "threat.indicator.file.hash.md5",
        "threat.indicator.file.hash.sha1",
        "threat.indicator.file.hash.sha256",
    ),
}  # fmt: skip
"""Which fields flow into `related.*` (ECS: all addresses, users, hosts and hashes seen in an event)."""


class Converted(dict[str, Any]):
    """Values already converted to one type; within a bound, since a log decides what is looked up here."""

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        super().__init__()
        self.convert = convert

    def __missing__(self, text: str) -> Any:
        value = self.convert(text)
        if len(self) >= 65536:
            self.clear()
        self[text] = value
        return value


_PART = re.compile(r"\[([^\]]*)\]|([^.]+)")


def _parts(name: str) -> list[str]:
    """The keys of a path: `a.b`, and `a.[b.c/d].e` where a key has dots itself."""
    return [bracketed or plain for bracketed, plain in _PART.findall(name)] or [name]


LIMIT = 1 << 63
"""Integers beyond this, either way, do not fit a `long`."""

_ADDRESSES = Converted(ecs.converter("source.ip"))


def spread(document: Mapping[str, Any], base: Event) -> Event:
    """A document's own fields under their own names, conformed; `base` fills what it does not say.

    A document cannot say what only we can know: `soc.*`, and that an event could not be read.
    """
    from soc.event import flatten

    named = {name: value for name, value in flatten(document).items() if name and not name.startswith("soc.")}
    own = ecs.conform(named)
    misfits = own.pop(ecs.MISFIT, ())
    event = {**base, **own}
    for text in misfits:
        _note_misfit(event, text)
    if event["event.kind"] not in ALLOWED["event.kind"] or event["event.kind"] == "pipeline_error":
        event["event.kind"] = "event"
    return event


def misfit(event: Event, name: str, value: Any) -> None:
    """Keep a value that does not fit its field, as `name=value`."""
    _note_misfit(event, f"{name}={value}")


def _note_misfit(event: Event, text: str) -> None:
    text = normalise(text)
    earlier = event.get(ecs.MISFIT)
    event[ecs.MISFIT] = (
        text if earlier is None else [*(earlier if isinstance(earlier, list) else [earlier]), text]
    )


def put(event: Event, name: str, value: Any) -> None:
    """Set a field to any value that a document may hold: converted, lists item by item, mappings by their
    leaves."""
    if value is None or value == "":
        return
    if isinstance(value, dict):
        from soc.event import flatten

        for inner, leaf in flatten(value).items():
            put(event, f"{name}.{inner}", leaf)
        return
    try:
        if type(value) is not list:
            event[name] = ecs.converter(name)(value)
            return
    except (ValueError, TypeError):
        misfit(event, name, value)
        return
    conformed = ecs.conform(_flat_list(name, value))
    for text in conformed.pop(ecs.MISFIT, ()):
        _note_misfit(event, text)
    event.update(conformed)


def _flat_list(name: str, value: list[Any]) -> Event:
    if any(isinstance(item, (dict, list)) for item in value):
        from soc.event import flatten

        return flatten({name: value})
    return {name: [item for item in value if item != ""]}


class Prefixed(dict[str, str]):
    """Names below a prefix; within a bound, since a log decides what is looked up here."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def __missing__(self, name: str) -> str:
        full = f"{self.prefix}.{name}"
        if len(self) < 4096:
            self[name] = full
        return full


_prefixed: dict[str, Prefixed] = {}


def keep(event: Event, target: str, value: Any) -> None:
    """Keep a source's own fields below `target`, as text (numbers and booleans as a log would write them)."""
    if type(value) is not dict:
        return
    names = _prefixed.get(target)
    if names is None:
        names = Prefixed(target)
        if len(_prefixed) < 64:
            _prefixed[target] = names
    for name, leaf in value.items():
        if leaf.__class__ is str:
            if leaf:
                event[names[name]] = leaf if leaf.isascii() else normalise(leaf)
        elif type(leaf) is dict:
            keep(event, names[name], leaf)
        elif type(leaf) is list:
            put(event, names[name], leaf)
        elif leaf is not None:
            event[names[name]] = _as_text(leaf)


def _as_text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def related(event: Event, target: str, names: Sequence[str]) -> None:
    """Gather the values of several fields into one, each once."""
    seen: dict[Any, None] = {}
    for name in names:
        value = event.get(name)
        if value is None:
            continue
        if type(value) is list:
            seen.update(dict.fromkeys(value))
        else:
            seen[value] = None
    if seen:
        event[target] = list(seen) if len(seen) > 1 else next(iter(seen))


def below(value: Any, limit: float) -> bool:
    """Whether a value is a number below the limit; text is read as a number."""
    try:
        return float(value) < limit
    except (TypeError, ValueError):
        return False


def above(value: Any, limit: float) -> bool:
    """Whether a value is a number above the limit; text is read as a number."""
    try:
        return float(value) > limit
    except (TypeError, ValueError):
        return False


_NOTHING: Mapping[str, Any] = {}


def as_plain(value: Any) -> str | None:
    """A scalar as text, to compare it with what a collector file says."""
    if type(value) is str:
        return value
    if value is None or isinstance(value, (dict, list)):
        return None
    return _as_text(value)


@dataclass
class Program:
    """The generated code of one collector and the constants it names."""

    name: str
    source: str
    patterns: Mapping[str, str]
    constants: Mapping[str, Any]
    times: Mapping[str, str]
    parsers: Mapping[str, str]

    @cached_property
    def code(self) -> CodeType:
        """What Python runs; compiled when the first record is to be read."""
        return compile(self.source, f"<collector {self.name}>", "exec")

    def bind(
        self, reader: TimeReader, latest: list[str], *, long: bool = False
    ) -> Callable[..., Event | None]:
        """The function for one decoder; `latest` holds the time of the last record.

        `long`: for long lines.
        """
        space: dict[str, Any] = dict(self.constants)
        space.update({name: patterns.matcher(text, long=long) for name, text in self.patterns.items()})
        space.update({name: reader.reader(kind) for name, kind in self.times.items()})
        space.update({name: registry.parser(kind) for name, kind in self.parsers.items()})
        space.update(_RUNTIME)
        space["LATEST"] = latest
        exec(self.code, space)  # noqa: S102 - the code is generated here, from checked parts
        out: Callable[..., Event | None] = space["decode"]
        return out


_RUNTIME: dict[str, Any] = {
    "IP": _ADDRESSES, "put": put, "spread": spread, "misfit": misfit, "keep": keep, "related": related,
    "below": below, "above": above, "NOTHING": _NOTHING, "plain": as_plain,
    **{f"f_{name}": function for name, function in FILTERS.items()},
}  # fmt: skip


@dataclass
class _Scope:
    """The raw values that can be named at one point of the code: name to (Python expression, whether it is
    text).

    `open` says that other names are paths into the record.
    """

    names: dict[str, tuple[str, bool]]
    open: bool

    def inner(self, more: Mapping[str, tuple[str, bool]]) -> _Scope:
        return _Scope({**self.names, **more}, self.open)


@dataclass
class Compiler:
    """Generates the code of one collector; `problems` has what only shows when names are resolved."""

    spec: Spec
    document: YamlDocument
    problems: list[Problem] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    patterns: dict[str, str] = field(default_factory=dict)
    times: dict[str, str] = field(default_factory=dict)
    parsers: dict[str, str] = field(default_factory=dict)
    depth: int = 0
    counter: int = 0
    opened: dict[tuple[str, ...], str] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)

    # -- small tools

    def emit(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def fresh(self, stem: str) -> str:
        self.counter += 1
        return f"{stem}{self.counter}"

    def constant(self, value: Any) -> str:
        """A Python expression for a constant."""
        if isinstance(value, (str, int, float, bool)) or value is None:
            return repr(value)
        if isinstance(value, list):
            return repr(value)
        name = self.fresh("K")
        self.constants[name] = value
        return name

    def pattern(self, text: str) -> str:
        for name, known in self.patterns.items():
            if known == text:
                return name
        name = f"P{len(self.patterns)}"
        self.patterns[name] = text
        return name

    def problem(self, kind: str, message: str, *at: str | int) -> None:
        self.problems.append(Problem(kind, message, self.document.place(*at)))

    # -- the whole

    def compile(self) -> Program:
        """The program of the collector."""
        file_format = registry.FORMATS[self.spec.format]
        if self.spec.format == "text":
            self.emit("def decode(line):")
            scope = _Scope({"line": ("line", True)}, open=False)
        elif self.spec.format == "syslog":
            self.emit("def decode(line, header):")
            scope = _Scope(
                {"line": ("line", True)} | {n: (n, True) for n in registry.SYSLOG_RAWS}, open=False
            )
        else:
            self.emit("def decode(line, doc):")
            scope = _Scope({"line": ("line", True)}, open=file_format.raws is None)
        self.depth = 1
        if self.spec.format == "syslog":
            self.emit(", ".join(registry.SYSLOG_RAWS) + " = header")
        for stream in self.spec.streams:
            self.stream(stream, scope)
        self.emit("return None")
        source = "\n".join(self.lines) + "\n"
        return Program(self.spec.name, source, self.patterns, self.constants, self.times, self.parsers)

    def stream(self, stream: StreamSpec, scope: _Scope) -> None:
        self.emit("while True:")
        self.depth += 1
        part = stream.part
        for source, kind, target in stream.parse:
            scope = self.parse(source, kind, target, scope, part.at)
        self.opened = {}
        start = len(self.lines)
        if part.when:
            self.emit(f"if not ({self.condition(part.when, scope, part.at)}): break")
        if part.patterns:
            scope = self.match(part, scope, fail="break")
        self.insert(start)
        start = len(self.lines)
        base = {
            "@timestamp": "",
            "event.kind": "event",
            "event.module": self.spec.name,
            "event.dataset": f"{self.spec.name}.{stream.name}",
            "soc.layer": self.spec.layer,
            "soc.collector": self.spec.name,
            **part.values,
        }
        if self.spec.format in {"evtx", "windows-json"}:
            base["event.module"], base["event.dataset"] = "windows", f"windows.{stream.name}"
        if self.spec.spread:
            self.emit(f"e = spread(doc, {base!r})")
        else:
            self.emit(f"e = {base!r}")
        self.time(stream, scope)
        self.emit("e['event.original'] = line")
        for mapped in part.fields:
            self.mapped(mapped, scope, part.at)
        for target, source in stream.keep.items():
            expression, _ = self.raw(source, scope, part.at) if source != "." else ("doc", False)
            self.emit(f"keep(e, {target!r}, {expression})")
        self.cases(part.cases, scope, part.at)
        self.messages(stream, scope)
        self.related(stream)
        self.emit("return e")
        self.insert(start)
        self.depth -= 1

    def parse(self, source: str, kind: str, target: str, scope: _Scope, at: tuple[str | int, ...]) -> _Scope:
        expression, _ = self.raw(source, scope, at)
        function = f"PARSE_{kind}"
        self.parsers[function] = kind
        local = self.fresh("d")
        self.emit(f"{local} = {function}({expression} or '')")
        return scope.inner({f"{target}.": (local, False)})

    def messages(self, stream: StreamSpec, scope: _Scope) -> None:
        if not stream.messages:
            return
        self.emit("while True:")
        self.depth += 1
        for message in stream.messages:
            self.message(message, scope)
        self.emit("break")
        self.depth -= 1

    def message(self, part: Part, scope: _Scope) -> None:
        depth = self.depth
        if part.when:
            self.emit(f"if {self.condition(part.when, scope, part.at)}:")
            self.depth += 1
        if part.patterns:
            scope = self.match(part, scope, fail="")
            self.emit("if m is not None:")
            self.depth += 1
        for target, value in part.values.items():
            self.emit(f"e[{target!r}] = {self.constant(value)}")
        for mapped in part.fields:
            self.mapped(mapped, scope, part.at)
        self.cases(part.cases, scope, part.at)
        self.emit("break")
        self.depth = depth

    # -- patterns and raw values

    def match(self, part: Part, scope: _Scope, *, fail: str) -> _Scope:
        """Match the alternatives of a part; its groups become names. `fail` is the statement for no match."""
        default = "message" if self.spec.format == "syslog" else "line"
        expression, is_text = self.raw(part.within or default, scope, part.at)
        if not is_text:
            local = self.fresh("s")
            self.emit(f"{local} = {expression}")
            self.emit(f"if type({local}) is not str: {local} = ''")
            expression = local
        named = [patterns.groups(text) for text in part.patterns]
        union = list(dict.fromkeys(name for names in named for name in names if name))
        local_of = {name: f"{self.fresh('g')}_{name}" for name in union}
        depth = self.depth
        for i, (text, names) in enumerate(zip(part.patterns, named, strict=True)):
            self.emit(f"m = {self.pattern(text)}({expression})")
            last = i == len(part.patterns) - 1
            if last and fail:
                self.emit(f"if m is None: {fail}")
            else:
                self.emit("if m is not None:")
                self.depth += 1
            if names:
                targets = ", ".join(local_of[name] if name else "_" for name in names)
                self.emit(f"{targets}, = m.groups()" if len(names) == 1 else f"{targets} = m.groups()")
            missing = [local_of[name] for name in union if name not in names]
            if missing:
                self.emit(" = ".join(missing) + " = None")
            if not names and not missing:
                self.emit("pass")
            if not last:
                self.depth -= 1
                self.emit("else:")
                self.depth += 1
        self.depth = depth
        return scope.inner({name: (local, True) for name, local in local_of.items()})

    def raw(self, name: str, scope: _Scope, at: tuple[str | int, ...]) -> tuple[str, bool]:
        """The Python expression for a raw name, and whether it is text (or None) for certain."""
        if name in scope.names:
            return scope.names[name]
        for prefix, (local, _) in scope.names.items():
            if prefix.endswith(".") and name.startswith(prefix):
                return self.path(local, name[len(prefix) :].split(".")), False
        if scope.open:
            return self.path("doc", _parts(name)), False
        known = ", ".join(sorted(n for n in scope.names if not n.endswith(".")))
        self.problem("unknown_raw", f"there is no raw value {name!r} here; there are: {known}", *at)
        return "None", False

    def path(self, local: str, parts: Sequence[str]) -> str:
        """The expression for a path; the mappings on the way are looked up once for each stream."""
        if len(parts) == 1 or local != "doc":
            return f"{local}.get({'.'.join(parts)!r})"
        return f"{self.open(tuple(parts[:-1]))}.get({parts[-1]!r})"

    def open(self, parts: tuple[str, ...]) -> str:
        """The local name of a mapping within the record; an empty one where there is none."""
        if parts not in self.opened:
            local = f"{self.fresh('d')}_"
            outer = self.open(parts[:-1]) if len(parts) > 1 else "doc"
            self.waiting.append(f"{local} = {outer}.get({parts[-1]!r})")
            self.waiting.append(f"if type({local}) is not dict: {local} = NOTHING")
            self.opened[parts] = local
        return self.opened[parts]

    def insert(self, at: int) -> None:
        """Put what `open` needs in front of the code generated since."""
        self.lines[at:at] = ["    " * self.depth + line for line in self.waiting]
        self.waiting = []

    def value(self, expression: Expression, scope: _Scope, at: tuple[str | int, ...]) -> tuple[str, bool]:
        """The Python expression for a raw name with its filters, and whether it is text for certain."""
        code, is_text = self.raw(expression.name, scope, at)
        for name in expression.filters:
            code, is_text = f"f_{name}({code})", False
        return code, is_text

    # -- fields

    def mapped(self, mapped: Mapped, scope: _Scope, at: tuple[str | int, ...]) -> None:
        where = (*at, "fields", mapped.target)
        values = [self.value(expression, scope, where) for expression in mapped.sources]
        if not values:
            return
        name, kind = mapped.target, ecs.type_of(mapped.target)
        code, is_text = values[0]
        plain = is_text and len(values) == 1
        if not plain:
            self.emit(f"v = {code}")
            for other, _ in values[1:]:
                self.emit(f"if {self.lacks('v', text=False)}: v = {other}")
            code = "v"
        has = self.has(code)
        if plain and kind in {"keyword", "text"}:
            self.emit(f"if {has}: e[{name!r}] = {code}")
        elif kind == "long" and plain:
            self.emit(f"if {code} is not None:")
            # 18 digits fit into 64 bits; whatever is not plain digits takes the long way
            self.emit(f"    if {code}.isdecimal() and len({code}) < 19: e[{name!r}] = int({code})")
            self.emit(f"    elif {has}: put(e, {name!r}, {code})")
        elif kind == "long":
            self.emit(f"if v.__class__ is str and v.isdecimal() and len(v) < 19: e[{name!r}] = int(v)")
            self.emit(f"elif v.__class__ is int and -{LIMIT} < v < {LIMIT}: e[{name!r}] = v")
            self.emit(f"elif {has}: put(e, {name!r}, v)")
        elif kind == "ip":
            self.emit(f"if {has}:")
            self.emit(f"    try: e[{name!r}] = IP[{code}]")
            self.emit(f"    except ValueError: misfit(e, {name!r}, {code})")
            self.emit(f"    except TypeError: put(e, {name!r}, {code})")
        elif kind in {"keyword", "text"}:
            self.emit("if v.__class__ is str and v.isascii():")
            self.emit(f"    if {has}: e[{name!r}] = v")
            self.emit(f"elif v is not None: put(e, {name!r}, v)")
        else:
            self.emit(f"if {has}: put(e, {name!r}, {code})")

    def has(self, code: str) -> str:
        """A condition: there is a value, and it is none of those that mean absent."""
        tests = [f"{code} is not None and {code} != ''"] if code == "v" else [code]
        tests += [f"{code} != {text!r}" for text in self.spec.absent]
        return " and ".join(tests)

    def lacks(self, code: str, *, text: bool) -> str:
        tests = [f"not {code}"] if text else [f"{code} is None or {code} == ''"]
        tests += [f"{code} == {word!r}" for word in self.spec.absent]
        return " or ".join(tests)

    def time(self, stream: StreamSpec, scope: _Scope) -> None:
        sources = list(stream.time)
        if not sources and self.spec.format == "syslog":
            self.times.update(T_iso="iso", T_rfc3164="rfc3164")
            self.emit("t = T_iso(time) if iso else T_rfc3164(time)")
        elif not sources:
            self.emit("t = None")
        for i, (expression, kind) in enumerate(sources):
            self.times[f"T_{kind}"] = kind
            code, is_text = self.value(expression, scope, (*stream.part.at, "time"))
            if i:
                self.emit("if t is None:")
                self.depth += 1
            if is_text:
                self.emit(f"t = T_{kind}({code}) if {code} else None")
            elif kind in {"auto", "iso", "epoch", "epoch_ms"}:
                self.emit(f"v = {code}")
                self.emit(f"t = T_{kind}(v) if v is not None else None")
            else:
                self.emit(f"v = {code}")
                self.emit(f"t = T_{kind}(v) if type(v) is str else None")
            if i:
                self.depth -= 1
        self.emit("if t is None: e['@timestamp'] = LATEST[0]; e['soc.time_from'] = LATEST[1]")
        self.emit("else: e['@timestamp'] = LATEST[0] = t; LATEST[1] = 'previous'")

    # -- conditions

    def cases(self, cases: Sequence[Case], scope: _Scope, at: tuple[str | int, ...]) -> None:
        """Cases in order; of those that hold, the first that sets a field decides it."""
        keys: dict[str, list[int]] = {}
        for i, case in enumerate(cases):
            for target in case.values:
                keys.setdefault(target, []).append(i)
        chains: dict[tuple[int, ...], list[str]] = {}
        for target, positions in keys.items():
            chains.setdefault(tuple(positions), []).append(target)
        for used, targets in chains.items():
            word = "if"
            for i in used:
                case = cases[i]
                condition = self.condition(case.when, scope, at) if case.when else "True"
                self.emit(f"{word} {condition}:")
                for target in targets:
                    self.emit(f"    e[{target!r}] = {self.constant(case.values[target])}")
                word = "elif"

    def condition(self, when: When, scope: _Scope, at: tuple[str | int, ...]) -> str:
        if not when:
            return "True"
        alternatives = [" and ".join(self.test(t, scope, at) for t in tests) or "True" for tests in when]
        return alternatives[0] if len(alternatives) == 1 else " or ".join(f"({a})" for a in alternatives)

    def test(self, test: Test, scope: _Scope, at: tuple[str | int, ...]) -> str:
        code, is_text = self.value(test.expression, scope, (*at, "when"))
        out = []
        for kind, operand in test.checks:
            out.append(self.check(kind, operand, code, is_text))
        return " and ".join(out) or "True"

    def check(self, kind: str, operand: Any, code: str, is_text: bool) -> str:
        if kind in {"in", "not"}:
            return self.membership(operand, code, is_text, negated=kind == "not")
        if kind == "exists":
            return f"{code} {'not in' if operand else 'in'} (None, '')"
        if kind in {"above", "below"}:
            return f"{kind}({code}, {operand!r})"
        text = code if is_text else f"plain({code})"
        if kind == "match":
            return f"{self.pattern(operand)}({text} or '') is not None"
        words = repr(operand if len(operand) > 1 else operand[0]) if operand else "()"
        if kind == "prefix":
            return f"({text} or '').startswith({words})"
        if kind == "suffix":
            return f"({text} or '').endswith({words})"
        return "(" + " or ".join(f"{word!r} in ({text} or '')" for word in operand) + ")"

    def membership(self, operands: Sequence[Any], code: str, is_text: bool, *, negated: bool) -> str:
        texts = [str(o) if not isinstance(o, bool) else _as_text(o) for o in operands if o is not None]
        all_text = is_text or all(isinstance(o, str) for o in operands)
        left = code if all_text and (is_text or len(texts) == 1) else f"plain({code})"
        nothing = " or " + f"{left} is None" if None in operands else ""
        if len(texts) == 1:
            test = f"{left} == {texts[0]!r}"
        else:
            test = f"{left} in {self.constant(frozenset(texts))}"
        return f"not ({test}{nothing})" if negated else f"({test}{nothing})" if nothing else test

    # -- related

    def related(self, stream: StreamSpec) -> None:
        possible = set(targets(stream))
        for target, names in RELATED.items():
            if target in possible:
                continue
            used = list(names) if self.spec.spread else [name for name in names if name in possible]
            if len(used) == 1:
                self.emit(f"v = e.get({used[0]!r})")
                self.emit(f"if v is not None: e[{target!r}] = v")
            elif used:
                self.emit(f"related(e, {target!r}, {tuple(used)!r})")


def targets(stream: StreamSpec) -> Iterator[str]:
    """Every field that a stream may write."""
    for part in (stream.part, *stream.messages):
        yield from part.values
        yield from (mapped.target for mapped in part.fields)
        for case in part.cases:
            yield from case.values
