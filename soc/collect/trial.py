"""Trying a file: which collector recognises it, what its first events are, what the collector leaves
unread."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from soc.collect.check import leftovers
from soc.collect.collector import Collector, collectors_for
from soc.collect.parsing import ReadError, Run, context_of, lines, opened
from soc.collect.recognise import Recognised, claims
from soc.config import Config
from soc.errors import UsageError
from soc.event import Event

EVENTS = 3
"""How many events are shown."""

RECORDS = 200
"""How many events are counted."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of trying a file; `collector` None: nothing recognises it.

    Of the first `count` records, `untimed` have no time that can be read; `equals` claim the file as well as
    the collector does.
    """

    collector: Collector | None
    why: str
    others: tuple[Recognised, ...]
    events: tuple[Event, ...]
    leftovers: tuple[str, ...]
    count: int = 0
    untimed: int = 0
    equals: tuple[str, ...] = ()

    def as_row(self) -> dict[str, Any]:
        """As data for JSON."""
        return {
            "collector": self.collector.name if self.collector else None,
            "why": self.why,
            "others": [{"collector": o.collector.name, "why": o.why} for o in self.others],
            "events": list(self.events),
            "leftovers": list(self.leftovers),
            "records": self.count,
            "without_time": self.untimed,
            "reads_it_as_well": list(self.equals),
        }


def attempt(config: Config, file: Path, *, name: str = "", timezone: str = "") -> Attempt:
    """Try a file with the collector `name`, or with the one that recognises it."""
    if file.is_dir():
        raise UsageError(
            "this is a folder", place=file, hint=f"name a file in it: soc collector try {file}/FILE"
        )
    if not file.is_file():
        raise UsageError("there is no such file", place=file)
    collectors = collectors_for(config)
    found = claims(file, collectors)
    if name:
        collector: Collector | None = collectors.find(name)
        why = next((c.why for c in found if c.collector is collector), "chosen with --with")
    else:
        collector, why = (found[0].collector, found[0].why) if found else (None, "")
    if collector is None:
        return Attempt(None, "", (), (), ())
    run = Run(collector, context_of(timezone or config.timezone, ""))
    events = list(islice(run.events(str(file)), RECORDS))
    others = tuple(c for c in found if c.collector is not collector)[:3]
    mine = next((c.score for c in found if c.collector is collector), 0.0)
    return Attempt(
        collector,
        why,
        others,
        tuple(events[:EVENTS]),
        tuple(leftovers(collector, _first(file, collector))),
        count=len(events),
        untimed=sum("soc.time_from" in event for event in events),
        equals=tuple(c.collector.name for c in others if c.score == mine),
    )


def _first(file: Path, collector: Collector) -> list[bytes]:
    if collector.framing == "file":
        return []
    try:
        with opened(str(file)) as stream:
            return [raw for raw, _ in islice(lines(stream), 200)]
    except ReadError:
        return []
