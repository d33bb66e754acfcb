"""What an exception from an alert could be about: its entity, and what its events have in common."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soc.detect.text import canonical
from soc.event import values_of

if TYPE_CHECKING:
    from soc.respond.alerts import AlertView
    from soc.store.contract import StoredEvent

SHOWN = 12
MAX_VALUE = 200
"""Characters of a value that is suggested; a longer one is better said by a part of it."""
_DULL = frozenset({"event.dataset", "soc.layer", "@timestamp", "event.original", "message"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A condition that may be meant, and in how many of the events that the alert carries it holds."""

    field: str
    value: str
    events: int
    of: int

    @property
    def where(self) -> str:
        """As `--where` takes it."""
        return f"{self.field}={self.value}"

    @property
    def option(self) -> str:
        """As it is typed."""
        return f"--where {shlex.quote(self.where)}"


def candidates(view: AlertView, events: Sequence[StoredEvent]) -> list[Candidate]:
    """Conditions for an exception from an alert: first its entity, then what its rule reads, then what else
    is known of it; those that hold in more of its events first."""
    group = [name for name, value in view.body["group"].items() if value]
    read = [name for name in view.rule.get("fields", ()) if name not in group]
    about = [name for name in view.body["about"] if name not in group and name not in read]
    out: list[Candidate] = []
    for names in (group, read, about):
        found: list[Candidate] = []
        for name in names:
            if name not in _DULL:
                found += _of(name, events)
        out += sorted(found, key=lambda one: -one.events)
    return out[:SHOWN]


def _of(name: str, events: Sequence[StoredEvent]) -> list[Candidate]:
    counts: Counter[str] = Counter()
    for stored in events:
        counts.update({canonical(value) for value in values_of(stored.event, name)})
    return [
        Candidate(name, value, number, len(events))
        for value, number in counts.most_common(3)
        if value and value.isprintable() and len(value) <= MAX_VALUE
    ]
