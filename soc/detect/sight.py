"""What a rule could see: whether the fields that it reads were ever filled in the data it is about.

A rule that finds nothing because nothing happened and a rule that finds nothing because its field is never
there look alike from outside. So the sweep remembers which fields occurred in each stream (documents of kind
`fields`), and asks of each rule whether it could be true on any event of a stream with these fields. A stream
is a dataset; of Windows, a channel and event id within it, since these are what log sources name there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from soc.detect.predicate import And, Not, Op, Or, Predicate, Verdict, evaluate_test
from soc.store.contract import Store, VersionConflictError, Write

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.event import Event

KIND = "fields"
MAX_FIELDS = 3_000
"""Field names remembered of one stream."""
MAX_STREAMS = 2_000
"""Streams remembered; whoever writes logs could invent more."""
ENOUGH = 200
"""Events of a stream that must have been seen before a missing field says anything."""

_NAMED = ("event.dataset", "winlog.channel", "event.code")
"""Fields whose values name a stream, and so are known for all of its events."""

Facts = Mapping[str, Any]


@dataclass(slots=True)
class _Stream:
    facts: dict[str, Any]
    fields: set[str] = field(default_factory=set)
    events: int = 0

    def merge(self, body: Mapping[str, Any]) -> None:
        self.fields.update(body["fields"])
        self.events = max(self.events, body["events"])

    def body(self) -> dict[str, Any]:
        return {"facts": self.facts, "fields": sorted(self.fields)[:MAX_FIELDS], "events": self.events}


class Sight:
    """The fields seen in each stream, kept in the store; without one, nothing is kept."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._streams: dict[str, _Stream] = {}
        self._by_facts: dict[tuple[Any, ...], _Stream | None] = {}
        self._grown: set[str] = set()

    def load(self) -> None:
        """Take in what the store remembers."""
        for document in self._store.find(KIND) if self._store else ():
            known = self._streams.setdefault(document.id, _Stream(document.body["facts"]))
            known.merge(document.body)

    def note(self, event: Event) -> None:
        """Take in the fields of an event."""
        channel = event.get("winlog.channel")
        facts = (event.get("event.dataset"), channel, event.get("event.code") if channel else None)
        try:
            known = self._by_facts[facts]
        except (KeyError, TypeError):
            known = self._stream(facts)
        if known is None:
            return
        if known.events < ENOUGH:
            known.events += 1
            self._grown.add(_id(known.facts))
        if not event.keys() <= known.fields and len(known.fields) < MAX_FIELDS:
            known.fields.update(event)
            self._grown.add(_id(known.facts))

    def _stream(self, facts: tuple[Any, ...]) -> _Stream | None:
        named = {n: str(v) for n, v in zip(_NAMED, facts, strict=True) if v is not None}
        id_ = _id(named)
        if id_ not in self._streams and len(self._streams) < MAX_STREAMS:
            self._streams[id_] = _Stream(named)
        found = self._streams.get(id_)
        if (
            all(isinstance(v, (str, int, type(None))) for v in facts)
            and len(self._by_facts) < MAX_STREAMS * 2
        ):
            self._by_facts[facts] = found
        return found

    def save(self) -> None:
        """Keep what is new; what another sweeper saw in the meantime is kept too."""
        waiting = sorted(self._grown) if self._store else []
        self._grown.clear()
        for _ in range(10):
            if self._store is None or not waiting:
                return
            there = self._store.read_many(KIND, waiting)
            writes = []
            for id_ in waiting:
                known, document = self._streams[id_], there.get(id_)
                if document:
                    known.merge(document.body)
                writes.append(Write(KIND, id_, known.body(), document.version if document else 0))
            results = self._store.write(writes)
            waiting = [r.write.id for r in results if isinstance(r, VersionConflictError)]

    def streams(self) -> list[tuple[Facts, set[str]]]:
        """What is known of each stream: the facts that name it, and its fields."""
        return [(stream.facts, stream.fields) for stream in self._streams.values()]

    def blind(self, rules: Iterable[Rule]) -> dict[str, str]:
        """The rules that nothing here could fire, by id, and why; without those whose source is not here.

        A stream counts from its first `ENOUGH` events on.
        """
        streams = [s for s in self._streams.values() if s.events >= ENOUGH]
        served: dict[Predicate, list[_Stream]] = {}  # thousands of rules have a hundred log sources
        out = {}
        for rule in rules:
            if rule.blind or not rule.runnable:
                continue
            mine = served.get(rule.source)
            if mine is None:
                mine = served[rule.source] = [s for s in streams if could(rule.source, s.facts, s.fields)]
            if mine and not any(could(rule.predicate, s.facts, s.fields) for s in mine):
                absent = sorted(set(rule.fields).difference(*(s.fields for s in mine)))
                where = sorted({str(s.facts.get("event.dataset", "events without a dataset")) for s in mine})
                out[rule.id] = f"{', '.join(absent) or 'its fields'} never filled in {', '.join(where)}"
        return out


def _id(facts: Facts) -> str:
    return "|".join(str(facts.get(name, "")) for name in _NAMED).rstrip("|") or "none"


def could(predicate: Predicate, facts: Facts, fields: set[str]) -> bool:
    """Whether an event with these facts could satisfy the predicate, if it has no other fields than these.

    An upper bound: True where in doubt.
    """
    if isinstance(predicate, And):
        return all(could(part, facts, fields) for part in predicate.parts)
    if isinstance(predicate, Or):
        return any(could(part, facts, fields) for part in predicate.parts)
    if isinstance(predicate, Not):
        return not _certain(predicate.part, facts, fields)
    if predicate.field in facts:
        return evaluate_test(predicate, facts) is not Verdict.FALSE
    if predicate.field is None or predicate.op is Op.NULL:
        return True
    if predicate.op is Op.FIELDREF and predicate.operand not in fields:
        return False
    return predicate.field in fields


def _certain(predicate: Predicate, facts: Facts, fields: set[str]) -> bool:
    """Whether every event with these facts satisfies the predicate (a lower bound)."""
    if isinstance(predicate, And):
        return all(_certain(part, facts, fields) for part in predicate.parts)
    if isinstance(predicate, Or):
        return any(_certain(part, facts, fields) for part in predicate.parts)
    if isinstance(predicate, Not):
        return not could(predicate.part, facts, fields)
    if predicate.op is Op.FIELDREF:
        return False
    return predicate.field in facts and evaluate_test(predicate, facts) is Verdict.TRUE
