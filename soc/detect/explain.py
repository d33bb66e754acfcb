"""Why a rule fires on an event, or does not: its condition as its author wrote it, with what each part saw.

The tree is made from the text of the rule (`soc.detect.sigma.Part`), so it has the names of detections and
the fields as they stand there, also for a version that has changed since. Each part is decided by the one
evaluation (`soc.detect.predicate.evaluate`), so the answer is that of every sweep, on every store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from soc.detect.near import near_miss
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, Verdict, evaluate, tests
from soc.detect.text import canonical
from soc.event import values_of

if TYPE_CHECKING:
    from soc.detect.sigma import Part

BLIND = "blind"
"""The verdict of a part that is false because no field that it asks for is there."""

MAX_SEEN = 500
"""Characters of a value that are shown."""

MAX_VALUES = 20
"""Values of one field that are shown."""

_PRESENCE = (Op.NULL, Op.EXISTS)


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a rule on one event.

    `verdict`: true, false, undecided or blind. `kind` and `label` as in `soc.detect.sigma.Part`, besides
    `source` (log source), `filter` and `exception`. `fields` are the names in the event, `seen` their values,
    shortened; `hint` is what nearly fitted.
    """

    kind: str
    label: str
    verdict: str
    fields: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    hint: str = ""
    parts: tuple[Step, ...] = ()

    def body(self) -> dict[str, Any]:
        """For machines."""
        return {
            "kind": self.kind,
            "label": self.label,
            "verdict": self.verdict,
            "fields": list(self.fields),
            "seen": list(self.seen),
            "hint": self.hint,
            "parts": [part.body() for part in self.parts],
        }


@dataclass(frozen=True, slots=True)
class Subject:
    """What is explained: a version of a rule, ready to be asked.

    `filters`: id, name and whether it is an exception, with the parts of each filter that applies.
    `notes` are facts about the rule that the tree does not show.
    """

    id: str
    title: str
    version: str
    place: str
    source: Predicate
    logsource: str
    conditions: tuple[Part, ...]
    filters: tuple[Filter, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter or exception on the rule; `condition` is what it demands of an event that may fire."""

    id: str
    title: str
    condition: Predicate
    parts: tuple[Part, ...] = ()
    exception: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer for one event. `verdict` is that of the whole rule."""

    subject: Subject
    event: Mapping[str, Any]
    where: str
    verdict: str
    steps: tuple[Step, ...] = field(default=())

    def body(self) -> dict[str, Any]:
        """For machines."""
        subject = self.subject
        return {
            "rule": {
                "id": subject.id,
                "title": subject.title,
                "version": subject.version,
                "path": subject.place,
            },
            "event": {
                "id": self.event.get("_id") or self.where,
                "@timestamp": self.event.get("@timestamp"),
                "event.dataset": self.event.get("event.dataset"),
            },
            "verdict": self.verdict,
            "notes": list(subject.notes),
            "steps": [step.body() for step in self.steps],
        }


def explain(subject: Subject, event: Mapping[str, Any], where: str = "") -> Explanation:
    """Why the rule fires on the event, or does not. `where` names the event for people."""
    source = _leaf("source", f"log source: {subject.logsource}", subject.source, event)
    conditions = tuple(_step(part, event) for part in subject.conditions)
    filters = tuple(_filter(one, event) for one in subject.filters)
    whole = And(
        (
            subject.source,
            Or(tuple(part.predicate for part in subject.conditions)),
            *(one.condition for one in subject.filters),
        )
    )
    verdict = str(evaluate(whole, event))
    if verdict == Verdict.FALSE and not _decided_false([source, *conditions], filters):
        verdict = BLIND
    return Explanation(subject, event, where, verdict, (source, *conditions, *filters))


def _decided_false(steps: Sequence[Step], filters: Sequence[Step]) -> bool:
    """Whether something that was seen speaks against the rule, and not only what was not there."""
    several = [step for step in steps if step.kind == "condition"]
    rest = [step for step in steps if step.kind != "condition"]
    if any(step.verdict == Verdict.FALSE for step in [*rest, *filters]):
        return True
    return bool(several) and all(step.verdict == Verdict.FALSE for step in several)


def _filter(one: Filter, event: Mapping[str, Any]) -> Step:
    kind = "exception" if one.exception else "filter"
    step = _leaf(kind, one.title or one.id, one.condition, event)
    return Step(
        step.kind,
        step.label,
        str(evaluate(one.condition, event)),
        parts=tuple(_step(p, event) for p in one.parts),
    )


def _step(part: Part, event: Mapping[str, Any]) -> Step:
    """A part with all that is below it."""
    if part.kind == "value" or not part.parts:
        return _leaf(part.kind, part.label, part.predicate, event)
    parts = tuple(_step(inner, event) for inner in part.parts)
    verdict = str(evaluate(part.predicate, event))
    if part.kind == "field":
        step = _leaf(part.kind, part.label, part.predicate, event)
        hint = step.hint if step.verdict == BLIND else ""
        return Step(part.kind, part.label, step.verdict, step.fields, step.seen, hint, parts)
    if verdict == Verdict.FALSE and _blind(part, parts):
        verdict = BLIND
    return Step(part.kind, part.label, verdict, parts=parts)


def _blind(part: Part, parts: Sequence[Step]) -> bool:
    """Whether a false part is false only for what could not be seen."""
    if part.kind == "not":
        return False
    against = [step for step in parts if step.verdict == Verdict.FALSE]
    unseen = [step for step in parts if step.verdict == BLIND]
    if isinstance(part.predicate, And) and len(parts) > 1:
        return bool(unseen) and not against
    return bool(unseen) and (not against or len(parts) == 1)


def _leaf(kind: str, label: str, predicate: Predicate, event: Mapping[str, Any]) -> Step:
    found = list(tests(predicate))
    names = tuple(dict.fromkeys(name for test in found for name in _names(test)))
    verdict = str(evaluate(predicate, event))
    seen = tuple(_seen(event, names)) or tuple(_seen_anywhere(predicate, found, event, verdict))
    asks = [test for test in found if test.op not in _PRESENCE and test.field is not None]
    hint = ""
    if verdict == Verdict.FALSE and not isinstance(predicate, Not):
        if asks and not any(values_of(event, str(test.field)) for test in asks):
            if kind != "source":
                verdict, hint = BLIND, _elsewhere(names, label, event)
        elif kind == "value":
            hint = next((h for test in asks if (h := near_miss(test, event))), "")
    return Step(kind, label, verdict, names, seen, hint)


def _names(test: Test) -> Iterator[str]:
    if test.field is not None:
        yield test.field
    if test.op is Op.FIELDREF:
        yield str(test.operand)


def _seen(event: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    several = len(names) > 1
    for name in names:
        for value in values_of(event, name)[:MAX_VALUES]:
            yield f"{name}: {shortened(value)}" if several else shortened(value)


def _seen_anywhere(
    predicate: Predicate, found: Sequence[Test], event: Mapping[str, Any], verdict: str
) -> Iterator[str]:
    """For keywords that are true: the fields in which they were found."""
    if verdict != Verdict.TRUE or isinstance(predicate, Not):
        return
    for test in found:
        if test.field is None:
            for name in event:
                here = Test(name, test.op, test.operand, test.cased, test.flags)
                if evaluate(here, event) is Verdict.TRUE:
                    yield f"{name}: {shortened(' | '.join(canonical(v) for v in values_of(event, name)))}"
                    break


def _elsewhere(names: Sequence[str], label: str, event: Mapping[str, Any]) -> str:
    """Where the event may have what an absent field was to hold: fields whose last name is the same."""
    wanted = {name.rpartition(".")[2].lower() for name in (*names, label.partition("|")[0])}
    near = [name for name in event if name.rpartition(".")[2].lower() in wanted and name not in names]
    return f"the event has {', '.join(near[:3])}" if near else ""


def shortened(value: Any, limit: int = MAX_SEEN) -> str:
    """A value as text of at most so many characters, and how many more there are."""
    text = canonical(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"


# ------------------------------------------------------------------ for people


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the tree: as many spaces as it is deep, then what it is."""

    depth: int
    step: Step
    left_out: int = 0

    @property
    def text(self) -> str:
        """The part, indented."""
        step = self.step
        if self.left_out:
            return f"{'  ' * self.depth}… {self.left_out} more, all {step.verdict}"
        name = step.label
        if step.kind in {"filter", "exception"}:
            name = f"{step.kind}: {step.label}"
        elif step.kind == "entry":
            name = "entry"
        elif step.kind == "field" and step.fields and step.fields != (step.label.partition("|")[0],):
            name = f"{step.label} → {', '.join(step.fields)}"
        return f"{'  ' * self.depth}{name}"

    def row(self) -> dict[str, Any]:
        """As a row of a table."""
        step = self.step
        value = step.kind == "value"
        return {
            "verdict": step.verdict,
            "part": self.text,
            "saw": "" if self.left_out or value else " | ".join(step.seen),
            "hint": "" if self.left_out else step.hint,
            "kind": step.kind,
            "depth": self.depth,
            "fields": list(step.fields),
        }


SHOWN = 3
"""Values of a list that are shown when none of them decides."""


def lines(steps: Sequence[Step], *, everything: bool = False) -> Iterator[Line]:
    """The tree, line by line; of long lists only what decides or nearly did, unless `everything`."""
    for step in steps:
        yield from _lines(step, 0, everything)


def _lines(step: Step, depth: int, everything: bool) -> Iterator[Line]:
    if step.kind == "entry" and len(step.parts) == 1:
        yield from _lines(step.parts[0], depth, everything)
        return
    if step.kind == "condition" and len(step.parts) == 1 and step.parts[0].label == step.label:
        yield from _lines(step.parts[0], depth, everything)
        return
    yield Line(depth, step)
    if step.kind == "condition" and len(step.parts) == 1 and step.parts[0].kind in {"and", "or"}:
        step = step.parts[0]  # the condition's text says it
    if step.kind == "field":
        yield from _values(step, depth + 1, everything)
        return
    for part in step.parts:
        yield from _lines(part, depth + 1, everything)


def _values(step: Step, depth: int, everything: bool) -> Iterator[Line]:
    """The values of a field: those that are true or nearly so, and some of the others."""
    parts = step.parts
    telling = [part for part in parts if part.verdict in {Verdict.TRUE, Verdict.UNDECIDED} or part.hint]
    if everything or len(parts) <= SHOWN:
        telling = list(parts)
    elif not telling:
        telling = list(parts[:SHOWN])
    for part in telling:
        yield Line(depth, part)
    rest = [part for part in parts if part not in telling]
    if rest:
        yield Line(depth, rest[0], left_out=len(rest))
