"""Dead letters: events that the store refused, kept whole with the reason, to be repaired and sent again.

A dead letter never blocks its batch. Beside it a small event of kind `pipeline_error` goes into the store,
with the original line, so that rules still see it: an attacker gains nothing by a line that cannot be stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from soc import ecs
from soc.detect.predicate import EVERYTHING, Predicate
from soc.errors import ConflictError, SocError, UsageError
from soc.event import Event, timestamp
from soc.respond import audit
from soc.store.contract import Document, Fate, Incoming, Store, VersionConflictError, Write

KIND = "deadletter"

ORIGINAL_KEPT = 8192
"""Characters of the original line in the small event, when the store refuses even that one."""

_KEPT = (
    "event.module",
    "soc.layer",
    "soc.collector",
    "soc.source",
    "soc.path",
    "soc.generation",
    "soc.offset",
    "soc.retention",
    "host.name",
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that the store refused. `id` is the id that the event will have when it is stored."""

    id: str
    reason: str
    parked: str
    event: Event
    version: int

    @property
    def row(self) -> dict[str, Any]:
        """For tables and programs."""
        return {
            "id": self.id,
            "parked": self.parked,
            "source": self.event.get("soc.source", ""),
            "path": self.event.get("soc.path", ""),
            "offset": self.event.get("soc.offset"),
            "reason": self.reason,
            "original": self.event.get("event.original", ""),
        }


# parking


def park(store: Store, refused: Sequence[tuple[Incoming, str]]) -> None:
    """Keep refused events with their reasons, and say so in the feed. Parking one twice changes nothing."""
    now = timestamp(datetime.now(UTC))
    store.write(
        [
            Write(KIND, incoming.id, {"reason": reason, "parked": now, "event": _dump(incoming.event)}, 0)
            for incoming, reason in refused
        ]
    )
    markers = [Incoming(f"d{incoming.id}", _marker(incoming, reason, now)) for incoming, reason in refused]
    again = [
        m for m, outcome in zip(markers, store.append(markers), strict=True) if outcome.fate is Fate.REJECTED
    ]
    if again:
        store.append([Incoming(marker.id, _smallest(marker.event, now)) for marker in again])


def _marker(incoming: Incoming, reason: str, now: str) -> Event:
    event = incoming.event
    marker: Event = {name: event[name] for name in _KEPT if name in event}
    marker["@timestamp"] = event.get("@timestamp", now)
    marker["event.kind"] = "pipeline_error"
    marker["event.dataset"] = f"{event.get('event.module', 'soc')}.refused"
    marker["event.ingested"] = now
    marker["error.message"] = f"the store refused this event: {reason}"[:1000]
    marker["soc.dead_letter"] = incoming.id
    if isinstance(original := event.get("event.original"), str):
        marker["event.original"] = original.encode("utf-8", "replace").decode()
    return ecs.conform(marker)


def _smallest(marker: Event, now: str) -> Event:
    layer = marker.get("soc.layer")
    return {
        "@timestamp": now,
        "event.kind": "pipeline_error",
        "event.ingested": now,
        "soc.layer": layer if isinstance(layer, int) else 1,
        "error.message": marker["error.message"],
        "soc.dead_letter": marker["soc.dead_letter"],
        "event.original": str(marker.get("event.original", ""))[:ORIGINAL_KEPT],
    }


def _dump(event: Mapping[str, Any]) -> str:
    """The event as JSON text: in a document of its own it could clash with the types of other documents.

    The standard library's, because it also takes what made the store refuse: lone surrogates, huge integers.
    """
    return json.dumps(event, default=str)


def _letter(document: Document) -> DeadLetter:
    body = document.body
    try:
        event = json.loads(body.get("event", "{}"))
    except ValueError:
        event = {}
    return DeadLetter(
        document.id, str(body.get("reason", "")), str(body.get("parked", "")), event, document.version
    )


# looking


def letters(store: Store, where: Predicate = EVERYTHING, *, limit: int | None = None) -> Iterator[DeadLetter]:
    """The dead letters, by id; `where` sees the fields `reason`, `parked` and `event` (JSON text)."""
    return map(_letter, store.find(KIND, where, limit=limit))


def get(store: Store, prefix: str) -> DeadLetter:
    """The dead letter whose id begins with `prefix`. Raises `UsageError` for none, or several."""
    if exact := store.read(KIND, prefix):
        return _letter(exact)
    found = [letter for letter in letters(store) if letter.id.startswith(prefix)] if prefix else []
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"there is no dead letter {prefix!r}", hint="soc deadletter list")
    names = ", ".join(letter.id for letter in found[:5])
    raise UsageError(f"{prefix!r} begins {len(found)} ids: {names}…", hint="type more of it")


# repairing


def fix(
    store: Store, letter: DeadLetter, changes: Mapping[str, str | None], *, dry_run: bool = False
) -> DeadLetter:
    """The letter with fields of its event set, or removed (None); saved, and noted in the audit log.

    Raises `UsageError` for a value that does not fit the field, `ConflictError` when it was changed since.
    """
    event = dict(letter.event)
    for name, text in changes.items():
        if text is None:
            event.pop(name, None)
            continue
        try:
            event[name] = ecs.converter(name)(text)
        except (ValueError, TypeError):
            kind = ecs.type_of(name)
            raise UsageError(f"{text!r} does not fit the field {name}, which is of type {kind}") from None
    if dry_run:
        return DeadLetter(letter.id, letter.reason, letter.parked, event, letter.version)
    audit.record(store, action="deadletter.fix", subject=letter.id, detail={"changes": dict(changes)})
    body = {"reason": letter.reason, "parked": letter.parked, "event": _dump(event)}
    return _letter(store.put(KIND, letter.id, body, expect=letter.version))


def replay(store: Store, chosen: Sequence[DeadLetter]) -> tuple[int, list[DeadLetter]]:
    """Send events again: how many are in the store now, and those that it refused again, with the reason."""
    if not chosen:
        return 0, []
    audit.record(
        store, action="deadletter.replay", subject=_subject(chosen), detail={"ids": [x.id for x in chosen]}
    )
    outcomes = store.append([Incoming(letter.id, letter.event) for letter in chosen])
    done: list[Write] = []
    still: list[DeadLetter] = []
    for letter, outcome in zip(chosen, outcomes, strict=True):
        if outcome.fate is Fate.REJECTED:
            still.append(DeadLetter(letter.id, outcome.reason, letter.parked, letter.event, letter.version))
        else:
            done.append(Write(KIND, letter.id, None, letter.version))
    _written(store, done)
    return len(done), still


def drop(store: Store, chosen: Sequence[DeadLetter], *, reason: str) -> int:
    """Give events up; the audit log keeps the reason and the original lines. Gives how many."""
    if not chosen:
        return 0
    if not reason.strip():
        raise UsageError("why these events are given up must be said", hint="add --reason TEXT")
    originals = {x.id: str(x.event.get("event.original", ""))[:1000] for x in chosen}
    audit.record(
        store,
        action="deadletter.drop",
        subject=_subject(chosen),
        detail={"reason": reason, "originals": originals},
    )
    _written(store, [Write(KIND, letter.id, None, letter.version) for letter in chosen])
    return len(chosen)


def _subject(chosen: Sequence[DeadLetter]) -> str:
    return chosen[0].id if len(chosen) == 1 else f"{len(chosen)} dead letters"


def _written(store: Store, writes: list[Write]) -> None:
    results = store.write(writes) if writes else []
    changed = [r for r in results if isinstance(r, VersionConflictError) and r.current is not None]
    if changed:
        raise ConflictError(
            f"{len(changed)} dead letters were changed in the meantime", hint="soc deadletter list"
        )


def parse_changes(texts: Sequence[str]) -> dict[str, str | None]:
    """`field=value` texts as a mapping; `field=` removes the field. Raises `UsageError`."""
    out: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{text!r} is not field=value", hint="--set source.ip=192.0.2.7")
        out[name.strip()] = value or None
    if not out:
        raise SocError("nothing to change", hint="add --set field=value")
    return out
