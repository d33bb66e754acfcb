"""From the `correlation` section of a rule to what it means, with every problem at its place.

Reading has two steps. `read` looks at the section alone, when its file is compiled. `resolve` joins the
correlations of a rule set with the rules that they name, when all files have been read. Specification: Sigma
correlation rules 2.1 (github.com/SigmaHQ/sigma-specification), and pySigma for what goes beyond it
(`value_sum` and its kin, extended conditions, `neq`).
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc import yamlio
from soc.detect.correlate.definition import (
    MAX_KEPT,
    NUMERIC,
    OPS,
    TEMPORAL,
    WITH_FIELD,
    Definition,
    Expression,
    Kind,
    Limit,
    Names,
    Reference,
    Watch,
)
from soc.detect.predicate import as_number
from soc.detect.rule import duration
from soc.errors import ContentError, Place, Problem

if TYPE_CHECKING:
    from soc.detect.pipelines import Pipelines
    from soc.detect.rule import Rule

_KEYS = {"type", "rules", "aliases", "group-by", "timespan", "condition", "generate"}
_SPAN = re.compile(r"([0-9]{1,9})([smhdwMy])\Z")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "M": 2_629_746, "y": 31_556_952}
"""Seconds; month and year as pySigma has them."""
_WORD = re.compile(r"\s*(?:(\()|(\))|([^\s()]+))")
MAX_RULES = 60
"""Rules that one correlation may refer to."""
MAX_ORDERS = 32
"""Sequences that one ordered condition may allow."""
MAX_DEPTH = 20
"""Parentheses within each other in an extended condition."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in a section: what, and the keys that lead to it from the top of the rule."""

    kind: str
    message: str
    at: tuple[str | int, ...] = ("correlation",)
    hint: str = ""


@dataclass(slots=True)
class Draft:
    """A section as it is written, not joined with the rules that it names."""

    kind: Kind = Kind.EVENT_COUNT
    rules: list[str] = field(default_factory=list)
    group_by: list[str] = field(default_factory=list)
    timespan: int = 0
    limits: list[Limit] = field(default_factory=list)
    expression: Expression | None = None
    fields: list[str] = field(default_factory=list)
    percentile: Fraction = Fraction(50)
    generate: bool = False
    aliases: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read(section: object) -> Draft:
    """What a section says; what is wrong with it is in `.faults`."""
    return _Reader(section).draft


class _Reader:
    """Reads one section and collects every fault in it."""

    def __init__(self, section: object) -> None:
        self.draft = Draft()
        if not isinstance(section, dict):
            self.fault("correlation", "`correlation` must be a mapping with type, rules and timespan")
            return
        self.section = section
        self.keys()
        self.draft.kind = self.kind()
        self.timespan()
        condition = section.get("condition")
        self.draft.rules = self.rules(condition)
        self.draft.group_by = self.names("group-by")
        self.aliases()
        self.draft.generate = self.generate()
        if isinstance(condition, str):
            self.expression(condition)
        else:
            self.condition(condition)

    def fault(self, kind: str, message: str, *at: str | int, hint: str = "") -> None:
        self.draft.faults.append(Fault(kind, message, ("correlation", *at), hint))

    def keys(self) -> None:
        for key in self.section:
            if key not in _KEYS:
                near = difflib.get_close_matches(str(key), sorted(_KEYS), n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(_KEYS))}"
                self.fault("correlation", f"unknown key {str(key)!r} in a correlation", str(key), hint=hint)

    def kind(self) -> Kind:
        value = self.section.get("type")
        if value in set(Kind):
            return Kind(value)
        known = ", ".join(Kind)
        if value is None:
            self.fault("correlation_type", "the correlation has no `type`", hint=f"one of {known}")
        else:
            self.fault(
                "correlation_type",
                f"unknown type of correlation {value!r}",
                "type",
                hint=f"known are {known}",
            )
        return Kind.EVENT_COUNT

    def timespan(self) -> None:
        value = self.section.get("timespan")
        found = _SPAN.match(value) if isinstance(value, str) else None
        if value is None:
            self.fault("timespan", "the correlation has no `timespan`", hint="such as timespan: 10m")
        elif found is None:
            self.fault("timespan", f"{value!r} is no timespan", "timespan", hint="30s, 10m, 1h, 7d or 1w")
        elif not int(found[1]):
            self.fault("timespan", "a timespan of zero holds no event", "timespan", hint="1s is the shortest")
        else:
            self.draft.timespan = int(found[1]) * _UNITS[found[2]] * 1_000_000

    def names(self, key: str) -> list[str]:
        value = self.section.get(key)
        listed = [value] if isinstance(value, str) else value
        if listed is None:
            return []
        if not isinstance(listed, list) or not all(isinstance(name, str) and name for name in listed):
            self.fault("correlation", f"`{key}` must be a name or a list of names", key)
            return []
        for number, name in enumerate(listed):
            if name in listed[:number]:
                self.fault("correlation", f"{name} stands twice in `{key}`", key, number)
        return listed

    def rules(self, condition: object) -> list[str]:
        named = self.names("rules")
        if not named and "rules" not in self.section:
            if isinstance(condition, str):
                words = (w for _, _, w in _WORD.findall(condition) if w)
                return list(dict.fromkeys(w for w in words if w.lower() not in ("and", "or", "not")))
            self.fault("correlation", "the correlation names no `rules`", hint="rules: [name_or_id]")
        elif not named and not self.draft.faults:
            self.fault("correlation", "the list of `rules` is empty", "rules")
        if len(named) > MAX_RULES:
            self.fault("correlation", f"more than {MAX_RULES} rules", "rules")
        return named

    def aliases(self) -> None:
        value = self.section.get("aliases")
        if value is None:
            return
        if not isinstance(value, dict):
            self.fault("aliases", "`aliases` must be a mapping: alias, then rule: field", "aliases")
            return
        for alias, mapping in value.items():
            sound = isinstance(mapping, dict) and all(
                isinstance(name, str) and isinstance(target, str) for name, target in mapping.items()
            )
            if not isinstance(alias, str) or not sound:
                self.fault("aliases", f"the alias {alias} needs a field for each rule", "aliases", str(alias))
                continue
            self.draft.aliases[alias] = dict(mapping)
            for name in mapping:
                if name not in self.draft.rules:
                    hint = f"its rules are {', '.join(self.draft.rules)}"
                    message = f"the alias {alias} names {name}, which the correlation does not refer to"
                    self.fault("aliases", message, "aliases", alias, name, hint=hint)
            for name in self.draft.rules:
                if name not in mapping:
                    message = f"the alias {alias} has no field for the rule {name}"
                    self.fault("aliases", message, "aliases", alias, hint=f"add {name}: FIELD")

    def generate(self) -> bool:
        value = self.section.get("generate", False)
        if not isinstance(value, bool):
            self.fault("correlation", "`generate` is true or false", "generate")
        return value is True

    # the condition

    def condition(self, condition: object) -> None:
        kind = self.draft.kind
        if condition is None and kind in TEMPORAL:
            self.draft.limits = [Limit("gte", Fraction(len(self.draft.rules)))]
            return
        if not isinstance(condition, dict):
            at = ("condition",) if "condition" in self.section else ()
            self.fault("condition", "`condition` must be a mapping such as {gte: 10}", *at)
            return
        for key, value in condition.items():
            if key in OPS:
                self.limit(key, value)
            elif key not in ("field", "percentile"):
                known = ", ".join([*OPS, "field", "percentile"])
                self.fault(
                    "condition",
                    f"unknown word {key!r} in a condition",
                    "condition",
                    key,
                    hint=f"known are {known}",
                )
        self.field(condition)
        self.percentile(condition)
        if not any(key in OPS for key in condition):
            self.fault("condition", "the condition compares with nothing", "condition", hint="gte: 10")
        elif not self.draft.faults:
            self.possible()

    def limit(self, op: str, value: object) -> None:
        number = None if isinstance(value, bool) else as_number(value)
        if number is None or number - number != 0:
            self.fault("condition", f"{value!r} is not a number", "condition", op)
            return
        self.draft.limits.append(Limit(op, Fraction(str(number))))
        counts = self.draft.kind in (Kind.EVENT_COUNT, Kind.VALUE_COUNT)
        if counts and number > MAX_KEPT:
            self.fault("condition", f"a count is exact up to {MAX_KEPT:,}", "condition", op)

    def field(self, condition: Mapping[str, Any]) -> None:
        kind = self.draft.kind
        value = condition.get("field")
        listed = [value] if isinstance(value, str) else value
        if kind not in WITH_FIELD:
            if "field" in condition:
                self.fault("condition", f"`field` has no meaning for {kind}", "condition", "field")
        elif value is None:
            self.fault("condition", f"{kind} needs a `field`", "condition", hint="field: user.name")
        elif not isinstance(listed, list) or not listed or not all(isinstance(n, str) and n for n in listed):
            self.fault("condition", "`field` must be the name of a field", "condition", "field")
        elif len(listed) > 1 and kind is not Kind.VALUE_COUNT:
            self.fault("condition", f"{kind} computes with one field", "condition", "field")
        else:
            self.draft.fields = listed

    def percentile(self, condition: Mapping[str, Any]) -> None:
        wanted = self.draft.kind is Kind.VALUE_PERCENTILE
        if "percentile" not in condition:
            if wanted:
                hint = "percentile: 95"
                self.fault("condition", "value_percentile needs a `percentile`", "condition", hint=hint)
            return
        value = condition["percentile"]
        number = None if isinstance(value, bool) else as_number(value)
        if not wanted:
            what = f"`percentile` has no meaning for {self.draft.kind}"
            self.fault("condition", what, "condition", "percentile")
        elif number is None or not 0 <= number <= 100:
            self.fault("condition", f"{value!r} is not between 0 and 100", "condition", "percentile")
        else:
            self.draft.percentile = Fraction(str(number))

    def possible(self) -> None:
        """Whether there are values that fulfil the condition, and values that do not."""
        draft = self.draft
        points = {limit.number for limit in draft.limits}
        tried = {Fraction(0), *points, *(p + 1 for p in points), *(p - 1 for p in points)}
        if draft.kind in NUMERIC:
            tried |= {p + Fraction(1, 2) for p in points} | {p - Fraction(1, 2) for p in points}
        else:
            tried = {p.__ceil__() + 0 * p for p in tried if p >= 0}
        if draft.kind in TEMPORAL:
            tried = {p for p in tried if p <= len(draft.rules)} | {Fraction(len(draft.rules))}
        verdicts = {all(limit.holds(value) for limit in draft.limits) for value in tried}
        if verdicts == {False}:
            self.fault("never", "the condition can never be true", "condition")
        if verdicts == {True}:
            self.fault("always", "the condition is always true, also without any event", "condition")

    def expression(self, text: str) -> None:
        if self.draft.kind not in TEMPORAL:
            self.fault(
                "condition",
                f"a condition in words is for temporal correlations, not for {self.draft.kind}",
                "condition",
                hint="condition: {gte: 10}",
            )
            return
        try:
            parsed = _Words(text, self.draft.rules).parse()
        except ValueError as error:
            self.fault("condition", str(error), "condition", hint="rule_a and (rule_b or not rule_c)")
            return
        used = set(_numbers(parsed))
        for number, name in enumerate(self.draft.rules):
            if number not in used:
                self.fault("condition", f"the condition does not use the rule {name}", "rules", number)
        if self.draft.kind is Kind.TEMPORAL_ORDERED:
            if parsed.has_not():
                message = "in an order there is no place for `not`"
                self.fault("condition", message, "condition", hint="use type: temporal")
                return
            if _orders(parsed) > MAX_ORDERS:
                self.fault("condition", f"the condition allows over {MAX_ORDERS} orders", "condition")
                return
        self.draft.expression = parsed


class _Words:
    """Reads an extended condition: names of rules, `and`, `or`, `not`, parentheses; `not` binds closest."""

    def __init__(self, text: str, rules: Sequence[str]) -> None:
        self.rules = rules
        self.words = [a or b or c for a, b, c in _WORD.findall(text)]
        self.at = 0
        self.depth = 0

    def parse(self) -> Expression:
        found = self.either()
        if self.at < len(self.words):
            raise ValueError(f"unexpected {self.words[self.at]!r} in the condition")
        return found

    def next(self) -> str:
        return self.words[self.at].lower() if self.at < len(self.words) else ""

    def either(self) -> Expression:
        parts = [self.each()]
        while self.next() == "or":
            self.at += 1
            parts.append(self.each())
        return parts[0] if len(parts) == 1 else Expression("or", tuple(parts))

    def each(self) -> Expression:
        parts = [self.one()]
        while self.next() == "and":
            self.at += 1
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else Expression("and", tuple(parts))

    def one(self) -> Expression:
        word = self.words[self.at] if self.at < len(self.words) else ""
        self.at += 1
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(f"the condition is nested deeper than {MAX_DEPTH}")
        try:
            return self.named(word)
        finally:
            self.depth -= 1

    def named(self, word: str) -> Expression:
        if word.lower() == "not":
            return Expression("not", (self.one(),))
        if word == "(":
            inner = self.either()
            if self.next() != ")":
                raise ValueError("a parenthesis is not closed in the condition")
            self.at += 1
            return inner
        if word in self.rules:
            return Expression("rule", rule=self.rules.index(word))
        if not word or word == ")" or word.lower() in ("and", "or"):
            raise ValueError("a name of a rule is missing in the condition")
        raise ValueError(f"the condition names {word!r}, which is not among its rules")


def _numbers(expression: Expression) -> Iterator[int]:
    if expression.op == "rule":
        yield expression.rule
    for part in expression.parts:
        yield from _numbers(part)


def _orders(expression: Expression) -> int:
    """How many sequences fulfil an expression without `not`."""
    if expression.op == "rule":
        return 1
    counts = [_orders(part) for part in expression.parts]
    if expression.op == "or":
        return sum(counts)
    total = 1
    for count in counts:
        total *= count
    return total


# ------------------------------------------------------------------ joining with the rules


def resolve(rules: dict[str, Rule], pipelines: Pipelines, problems: list[Problem]) -> None:
    """Give every correlation among `rules` (by id) its definition; what is wrong becomes problems.

    A correlation with a problem stays in the set, as one that cannot be decided.
    """
    if any(rule.correlation is not None for rule in rules.values()):
        _Resolver(rules, pipelines, problems).resolve()


class _Resolver:
    """Joins the correlations of a rule set with the rules that they name."""

    def __init__(self, rules: dict[str, Rule], pipelines: Pipelines, problems: list[Problem]) -> None:
        self.rules = rules
        self.pipelines = pipelines
        self.problems = problems
        self.by_name: dict[str, list[str]] = {}
        for rule in rules.values():
            if rule.name:
                self.by_name.setdefault(rule.name.lower(), []).append(rule.id)
        self.under_way: list[str] = []
        self.done: set[str] = set()

    def resolve(self) -> None:
        for rule in list(self.rules.values()):
            if rule.correlation is not None:
                self.one(rule.id)

    def one(self, id_: str) -> None:
        """Resolve one correlation, those below it first."""
        if id_ in self.done:
            return
        self.under_way.append(id_)
        rule = self.rules[id_]
        draft = read(rule.correlation)
        found = list(draft.faults)
        named = [self.named(rule, name, number, found) for number, name in enumerate(draft.rules)]
        below = [self.rules[ref] for ref in named if ref]
        definition = None if found else self.definition(rule, draft, below, found)
        self.under_way.pop()
        self.done.add(id_)
        if definition is None or found:
            self.problems += [_located(rule, fault) for fault in found]
            self.rules[id_] = replace(rule, undecidable=rule.undecidable or found[0].message)
        else:
            self.rules[id_] = self.joined(rule, definition)

    def named(self, rule: Rule, name: str, number: int, found: list[Fault]) -> str:
        """The id of the rule that a name means, resolved itself; "" when there is none."""
        ids_ = [name.lower()] if name.lower() in self.rules else self.by_name.get(name.lower(), [])
        if len(ids_) > 1:  # a name of its own file comes first
            ids_ = [id_ for id_ in ids_ if self.rules[id_].path == rule.path] or ids_
        at = ("correlation", "rules", number)
        if len(ids_) != 1:
            near = difflib.get_close_matches(name, [*self.by_name], n=1)
            hint = f"did you mean {near[0]}?" if near else "a rule is named by its `name` or its id"
            if ids_:
                hint = f"name one of them by its id: {', '.join(ids_)}"
            message = f"the name {name} means several rules" if ids_ else f"there is no rule {name}"
            found.append(Fault("unknown_rule", message, at, hint))
            return ""
        (id_,) = ids_
        if id_ in self.under_way:
            circle = [self.rules[i].title for i in [*self.under_way[self.under_way.index(id_) :], id_]]
            found.append(Fault("cycle", f"correlations refer to each other: {' → '.join(circle)}", at))
            return ""
        target = self.rules[id_]
        if target.correlation is not None:
            self.one(id_)
            target = self.rules[id_]
            if target.definition is None:
                found.append(Fault("unknown_rule", f"the correlation {name} is broken itself", at))
                return ""
            if target.definition.watch in (Watch.ABSENT, Watch.SETTLED):
                message = f"{name} is decided when time has passed, so nothing can follow from it in order"
                hint = "refer to its rules; conditions with lower bounds, sums and averages can be nested"
                found.append(Fault("nested", message, at, hint))
                return ""
        return id_

    def definition(
        self, rule: Rule, draft: Draft, below: Sequence[Rule], found: list[Fault]
    ) -> Definition | None:
        references = tuple(
            Reference(
                target,
                groups=self.fields(draft, number, target, draft.group_by),
                values=self.fields(draft, number, target, draft.fields),
            )
            for number, target in enumerate(below)
        )
        times = {}
        for name in ("lateness", "lookback"):
            if value := rule.attributes.get(f"soc.{name}"):
                try:
                    times[name] = duration(str(value)) // _MICROSECOND
                except ValueError:
                    return None  # a finding of the loader
        undecidable = next((target for target in below if target.undecidable), None)
        if undecidable is not None:
            message = f"its rule {undecidable.title!r} cannot be decided: {undecidable.undecidable}"
            found.append(Fault("undecidable", message, ("correlation", "rules")))
            return None
        return Definition(
            kind=draft.kind,
            references=references,
            timespan=draft.timespan,
            names=tuple(self.shown(draft, number, references) for number in range(len(draft.group_by))),
            limits=tuple(draft.limits),
            expression=draft.expression,
            percentile=draft.percentile,
            generate=draft.generate,
            **times,
        )

    def fields(self, draft: Draft, number: int, target: Rule, names: Sequence[str]) -> dict[str, Names]:
        """For each rule on single events at the bottom of a reference: the fields that hold what is named."""
        written = [draft.aliases.get(name, {}).get(draft.rules[number], name) for name in names]
        return {
            base.id: tuple(self.pipelines.targets(base.logsource, name) for name in written)
            for base in bases_of(target)
        }

    @staticmethod
    def shown(draft: Draft, number: int, references: Sequence[Reference]) -> str:
        """What a field of `group-by` is called in alerts: its name in the store, where there is one."""
        found = {names[number] for reference in references for names in reference.groups.values()}
        if len(found) == 1:
            (fields,) = found
            return fields[0]
        return draft.group_by[number]

    def joined(self, rule: Rule, definition: Definition) -> Rule:
        bases = [base for reference in definition.references for base in bases_of(reference.rule)]
        above = [(r.rule.id, r.rule.version) for r in definition.references]
        digest = hashlib.blake2b(
            f"{rule.version}\0{definition.shape}\0{definition.limits}\0{above}".encode(), digest_size=12
        )
        blind = [reference.rule for reference in definition.references if reference.rule.blind]
        fatal = bool(blind) if definition.kind in TEMPORAL and not definition.expression else False
        why = f"its rule {blind[0].title!r} is blind: {blind[0].blind}" if blind else ""
        return replace(
            rule,
            definition=definition,
            version=digest.hexdigest(),
            blind=why if fatal or len(blind) == len(definition.references) else "",
            fields=tuple(sorted({name for base in bases for name in base.fields})),
        )


_MICROSECOND = duration("1s") // 1_000_000


def bases_of(rule: Rule) -> list[Rule]:
    """The rules on single events that a rule stands for: itself, or those at the bottom of a correlation."""
    if rule.definition is None:
        return [rule]
    found = [base for reference in rule.definition.references for base in bases_of(reference.rule)]
    return list({base.id: base for base in found}.values())


def with_bases(rules: Sequence[Rule]) -> list[Rule]:
    """The rules, and those that only correlations among them refer to."""
    known = {rule.id: rule for rule in rules}
    for rule in rules:
        waiting = [rule]
        while waiting:
            definition = waiting.pop().definition
            for reference in definition.references if definition else ():
                if reference.rule.id not in known:
                    known[reference.rule.id] = reference.rule
                    waiting.append(reference.rule)
                elif reference.rule.definition:
                    waiting.append(reference.rule)
    return list(known.values())


def _located(rule: Rule, fault: Fault) -> Problem:
    """A fault as a problem, at its line: the file is read once more, since the loader kept no places."""
    place = Place(rule.path, rule.line)
    try:
        for document in yamlio.load_all(Path(rule.path)):
            if document.place("title").line == rule.line:
                place = document.place(*fault.at)
    except ContentError:
        pass
    return Problem(fault.kind, fault.message, place, hint=fault.hint)
