"""Which hit belongs to which group of which correlation, and what is said of a burst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from soc.detect.correlate.alerts import Part, Raised, samples_of
from soc.detect.correlate.definition import TEMPORAL, Definition, Item, Kind, Watch, span
from soc.detect.correlate.reading import bases_of
from soc.detect.correlate.state import Burst, GroupState
from soc.detect.correlate.windows import bits
from soc.detect.grouping import Hit, bounded, time_text
from soc.detect.text import fold
from soc.respond import ids

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.event import Event


class Found(NamedTuple):
    """A hit on its way to the correlations. `rule`: the rule or correlation that is true; `base`: the id of
    the rule on single events that the event is a hit of; with `there` False it is a hit no longer."""

    rule: str
    base: str
    id: str
    event: Event
    time: int
    there: bool = True


@dataclass(slots=True)
class Pending:
    """What came for one group of a correlation."""

    rule: Rule
    definition: Definition
    group: dict[str, str]
    items: list[tuple[Item, bool]] = field(default_factory=list)


class Router:
    """The correlations of a set of rules, and where hits go in them."""

    def __init__(self, rules: Sequence[Rule], listed: Iterable[str] | None = None) -> None:
        """`rules`: detections and correlations; `listed`: ids of those that may raise alerts of their own
        (None: all); the others are there for the correlations that refer to them."""
        running = [rule for rule in rules if rule.definition and not rule.off and not rule.undecidable]
        self.levels = _levels(running)
        self.correlations = {rule.id: rule for level in self.levels for rule in level}
        self.referenced: set[str] = set()
        self._shapes = {rule.id: _definition(rule).shape for rule in self.correlations.values()}
        self._wanted: dict[str, list[tuple[Rule, int]]] = {}
        allowed = {rule.id for rule in rules} if listed is None else set(listed)
        self.quiet = {rule.id for rule in rules} - allowed
        for rule in self.correlations.values():
            for number, reference in enumerate(_definition(rule).references):
                self._wanted.setdefault(reference.rule.id, []).append((rule, number))
                self.referenced.add(reference.rule.id)
                if not _definition(rule).generate and rule.mode != "shadow" and rule.id in allowed:
                    self.quiet.add(reference.rule.id)

    def route(self, found: Iterable[Found], pending: dict[str, Pending], homeless: Counter[str]) -> None:
        """Put hits into the groups of the correlations that ask for them. `homeless` counts, by correlation,
        the hits without a value for a field of its `group-by`."""
        for hit in found:
            for rule, number in self._wanted.get(hit.rule, ()):
                self._enter(rule, number, hit, pending, homeless)

    def _enter(
        self, rule: Rule, number: int, hit: Found, out: dict[str, Pending], homeless: Counter[str]
    ) -> None:
        definition = _definition(rule)
        groups = definition.groups_of(number, hit.base, hit.event)
        if not groups:
            homeless[rule.id] += 1
            return
        item = Item(hit.time, hit.id, 1 << number, definition.values_of(number, hit.base, hit.event))
        for values in groups:
            key = ids.digest(rule.id, self._shapes[rule.id], *map(fold, values))  # as rules compare values
            pending = out.get(key)
            if pending is None:
                shown = [str(bounded(value)) for value in values]
                group = dict(zip(definition.names, shown, strict=True))
                pending = out[key] = Pending(rule, definition, group)
            pending.items.append((item, hit.there))


def _definition(rule: Rule) -> Definition:
    if rule.definition is None:
        raise ValueError(f"{rule.id} is no correlation that can be evaluated")
    return rule.definition


def _levels(rules: Sequence[Rule]) -> list[list[Rule]]:
    """Correlations in the order of their dependence: those on a level refer to none but those before."""
    wanted = {rule.id: rule for rule in rules}
    for rule in rules:
        wanted |= {below.id: below for below in _below(rule)}
    depths: dict[int, list[Rule]] = {}
    for rule in wanted.values():
        depths.setdefault(_depth(rule), []).append(rule)
    return [depths[depth] for depth in sorted(depths)]


def _below(rule: Rule) -> list[Rule]:
    out = []
    for reference in _definition(rule).references:
        if reference.rule.definition:
            out += [reference.rule, *_below(reference.rule)]
    return out


def _depth(rule: Rule) -> int:
    below = [r.rule for r in _definition(rule).references if r.rule.definition]
    return 1 + max((_depth(inner) for inner in below), default=0)


def found_of(hits: Iterable[Hit]) -> list[Found]:
    """Hits of rules on single events, as correlations take them."""
    return [Found(hit.rule.id, hit.rule.id, hit.id, hit.event, hit.time) for hit in hits]


def verdict_found(
    rule: Rule, verdicts: Iterable[tuple[Item, bool]], events: Mapping[str, Event]
) -> list[Found]:
    """At which events a correlation holds, as hits for those that refer to it."""
    below = [bases_of(reference.rule)[0].id for reference in _definition(rule).references]
    return [
        Found(rule.id, below[next(bits(item.refs))], item.id, events[item.id], item.time, there)
        for item, there in verdicts
        if item.id in events
    ]


# ------------------------------------------------------------------ what is said


def raised_of(rule: Rule, state: GroupState, burst: Burst, revision: int) -> Raised:
    """A burst as its alert tells it."""
    definition = state.definition
    facts = state.facts(burst)
    parts = [
        Part(reference.rule.id, reference.rule.title, count)
        for reference, count in zip(definition.references, facts.parts, strict=True)
    ]
    before = [b.seed for b in state.bursts if b.first < burst.first]
    return Raised(
        rule=rule,
        group=state.group,
        seed=burst.seed,
        first=burst.first,
        last=burst.last,
        count=facts.count,
        revision=revision,
        events=samples_of(facts.first, facts.last),
        text=sentence(rule, definition, burst),
        parts=parts,
        facts=told(rule, definition, burst),
        earlier=[*before[::-1], *state.earlier],
        inexact=state.inexact,
    )


def told(rule: Rule, definition: Definition, burst: Burst) -> dict[str, Any]:
    """What a machine wants to know of a burst beside its numbers."""
    return {
        "correlation": str(definition.kind),
        "timespan": span(definition.timespan),
        "condition": _condition(rule),
        "value": _number(burst.value),
        "lasting": burst.open,
    }


def sentence(rule: Rule, definition: Definition, burst: Burst) -> str:
    """Why there is an alert, in a sentence."""
    value = _number(burst.value)
    within = f"within {span(definition.timespan)}"
    wanted = f"asked for: {_condition(rule)}"
    if definition.watch is Watch.ABSENT:
        still = ", and it lasts" if burst.open else f", until {time_text(burst.last)}"
        return f"only {value} {_what(rule, definition)} {within} ({wanted}){still}"
    if definition.kind in TEMPORAL:
        order = " in this order" if definition.kind is Kind.TEMPORAL_ORDERED else ""
        names = ", ".join(reference.rule.title for reference in definition.references)
        asked = f" ({wanted})" if "condition" in (rule.correlation or {}) else ""
        return f"{within}{order}: {names}{asked}"
    most = "up to " if definition.watch is not Watch.SETTLED else ""
    return f"{most}{value} {_what(rule, definition)} {within} ({wanted})"


def _what(rule: Rule, definition: Definition) -> str:
    """What a value is a number of."""
    condition = (rule.correlation or {}).get("condition")
    fields = condition.get("field", "") if isinstance(condition, dict) else ""
    name = " and ".join(fields) if isinstance(fields, list) else str(fields)
    match definition.kind:
        case Kind.VALUE_COUNT:
            return f"different values of {name}"
        case Kind.VALUE_SUM:
            return f"as the sum of {name}"
        case Kind.VALUE_AVG:
            return f"as the average of {name}"
        case Kind.VALUE_MEDIAN:
            return f"as the median of {name}"
        case Kind.VALUE_PERCENTILE:
            return f"as percentile {_number(definition.percentile)} of {name}"
        case Kind.EVENT_COUNT:
            return "events"
    return "rules with events"


def _condition(rule: Rule) -> str:
    condition = (rule.correlation or {}).get("condition")
    if isinstance(condition, dict):
        words = {"gte": "≥", "gt": ">", "lte": "≤", "lt": "<", "eq": "=", "neq": "≠"}
        return ", ".join(f"{words[op]} {number}" for op, number in condition.items() if op in words)
    return str(condition or "all of its rules")


def _number(value: Fraction | int | None) -> int | float | None:
    """A value as plain data: whole where it is, else to six digits."""
    if value is None:
        return None
    whole = Fraction(value)
    if whole.denominator == 1 and abs(whole) < 1 << 53:
        return int(whole)
    return round(float(whole), 6)
