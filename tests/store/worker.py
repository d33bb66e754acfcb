"""Another process that uses a store: `python -m tests.store.worker JSON`; says what it did.

append      events `start` to `stop` of a generation, in batches; says how far after each was acknowledged
audit       creates `count` audit records, each at the next free number; says the numbers
increment   adds one to a document `count` times by compare-and-set; says how many conflicts it met
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from soc.config import StoreSettings
from soc.event import event_id, timestamp
from soc.store import open_store
from soc.store.contract import Fate, Incoming, Store, VersionConflictError

START = datetime(2026, 3, 2, tzinfo=UTC)


def made(generation: str, number: int) -> Incoming:
    """Event `number` of a generation; always the same for the same arguments."""
    at = timestamp(START + timedelta(milliseconds=number))
    event = {"@timestamp": at, "soc.layer": 1, "soc.source": generation, "event.original": f"line {number}"}
    return Incoming(event_id("worker", generation, number), event)


def append(store: Store, generation: str, start: int, stop: int, batch: int) -> None:
    """See the module."""
    for first in range(start, stop, batch):
        last = min(first + batch, stop)
        outcomes = store.append([made(generation, n) for n in range(first, last)])
        if any(o.fate is Fate.REJECTED for o in outcomes):
            raise SystemExit(f"rejected: {outcomes}")
        say(last)


def audit(store: Store, name: str, count: int) -> None:
    """See the module."""
    for i in range(count):
        while True:
            last = store.audit_last()
            number = last.number + 1 if last else 1
            if store.audit_create(number, {"writer": name, "n": i}):
                say(number)
                break


def increment(store: Store, count: int) -> None:
    """See the module."""
    conflicts = done = 0
    while done < count:
        current = store.read("counter", "one")
        body = {"n": current.body["n"] + 1 if current else 1}
        try:
            store.put("counter", "one", body, expect=current.version if current else 0)
        except VersionConflictError:
            conflicts += 1
        else:
            done += 1
    say(conflicts)


def say(value: int) -> None:
    """One line, out at once."""
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


def main(job: dict[str, Any]) -> None:
    """Do what the job says."""
    jobs: dict[str, Callable[..., None]] = {"append": append, "audit": audit, "increment": increment}
    with open_store(StoreSettings(**job.pop("settings"))) as store:
        jobs[job.pop("do")](store, **job)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
