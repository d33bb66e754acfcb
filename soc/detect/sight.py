"""What a rule could see: whether the fields that it reads were ever filled in the data it is about.

A rule that finds nothing because nothing happened and a rule that finds nothing because its field is never
there look alike from outside. So the sweep remembers which fields occurred in each dataset (documents of kind
`fields`), and asks of each rule whether it could be true on any event of a dataset with these fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, Verdict, evaluate_test
from soc.store.contract import Store, VersionConflictError, Write

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.event import Event

KIND = "fields"
MAX_FIELDS = 3_000
"""Field names remembered for one dataset."""
ENOUGH = 200
"""Events of a dataset that must have been seen before a missing field says anything."""

_DATASET = "event.dataset"


@dataclass(slots=True)
class _Dataset:
    fields: set[str] = field(default_factory=set)
    events: int = 0
    saved: int = -1


class Sight:
    """The fields seen in each dataset, kept in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._datasets: dict[str, _Dataset] = {}
        self._grown: set[str] = set()

    def load(self) -> None:
        """Take in what the store remembers."""
        for document in self._store.find(KIND):
            known = self._datasets.setdefault(document.id, _Dataset())
            known.fields.update(document.body["fields"])
            known.events = max(known.events, document.body["events"])

    def note(self, event: Event) -> None:
        """Take in the fields of an event."""
        name = str(event.get(_DATASET) or "unknown")
        known = self._datasets.get(name)
        if known is None:
            known = self._datasets[name] = _Dataset()
        if known.events < ENOUGH:
            known.events += 1
            self._grown.add(name)
        if not event.keys() <= known.fields and len(known.fields) < MAX_FIELDS:
            known.fields.update(event)
            self._grown.add(name)

    def save(self) -> None:
        """Keep what is new; what another sweeper saw in the meantime is kept too."""
        for name in sorted(self._grown):
            for _ in range(10):
                known, document = self._datasets[name], self._store.read(KIND, name)
                if document:
                    known.fields.update(document.body["fields"])
                    known.events = max(known.events, document.body["events"])
                body = {"dataset": name, "fields": sorted(known.fields)[:MAX_FIELDS], "events": known.events}
                (result,) = self._store.write([Write(KIND, name, body, document.version if document else 0)])
                if not isinstance(result, VersionConflictError):
                    break
        self._grown.clear()

    def blind(self, rules: Iterable[Rule]) -> dict[str, str]:
        """The rules that nothing here could fire, by id, and why; without those whose source is not here.

        A dataset counts from its first `ENOUGH` events on.
        """
        out = {}
        for rule in rules:
            if rule.blind or not rule.runnable:
                continue
            mine = [
                n for n, d in self._datasets.items() if d.events >= ENOUGH and could(rule.source, n, None)
            ]
            if mine and not any(could(rule.predicate, n, self._datasets[n].fields) for n in mine):
                absent = sorted(set(rule.fields) - set().union(*(self._datasets[n].fields for n in mine)))
                out[rule.id] = (
                    f"{', '.join(absent) or 'its fields'} never filled in {', '.join(sorted(mine))}"
                )
        return out


def could(predicate: Predicate, dataset: str, fields: set[str] | None) -> bool:
    """Whether an event of the dataset could satisfy the predicate, if it has no other fields than these.

    `fields` None: any. An upper bound: True where in doubt.
    """
    if isinstance(predicate, And):
        return all(could(part, dataset, fields) for part in predicate.parts)
    if isinstance(predicate, Or):
        return any(could(part, dataset, fields) for part in predicate.parts)
    if isinstance(predicate, Not):
        return not _certain(predicate.part, dataset)
    if predicate.field == _DATASET:
        return evaluate_test(predicate, {_DATASET: dataset}) is not Verdict.FALSE
    return _may_be_true(predicate, fields)


def _may_be_true(test: Test, fields: set[str] | None) -> bool:
    if test.field is None or test.op is Op.NULL or fields is None:
        return True
    if test.op is Op.FIELDREF and test.operand not in fields:
        return False
    return test.field in fields


def _certain(predicate: Predicate, dataset: str) -> bool:
    """Whether every event of the dataset satisfies the predicate (a lower bound)."""
    if isinstance(predicate, And):
        return all(_certain(part, dataset) for part in predicate.parts)
    if isinstance(predicate, Or):
        return any(_certain(part, dataset) for part in predicate.parts)
    if isinstance(predicate, Not):
        return not could(predicate.part, dataset, None)
    event: Mapping[str, str] = {_DATASET: dataset}
    return predicate.field == _DATASET and evaluate_test(predicate, event) is Verdict.TRUE
