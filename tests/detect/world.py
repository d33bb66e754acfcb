"""A small world for tests of sweeps: events that a rule fires on, the rule, a process that can be killed."""

from __future__ import annotations

import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from soc.config import StoreSettings
from soc.detect.leases import Worker
from soc.detect.predicate import And, Op, Test
from soc.detect.rule import Rule
from soc.detect.sweep import Start, Sweeper
from soc.errors import ConflictError
from soc.event import Event, timestamp
from soc.store import open_store
from soc.store.contract import Incoming, Store

LEASE = 2.0
"""Seconds, of the sweeps in processes of their own."""
START = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
FIRES = Test("url.query", Op.CONTAINS, "cmd=")
SOURCE = Test("event.dataset", Op.EQUALS, "nginx.access")
BY_ADDRESS = {"soc.group_by": ["source.ip"]}


def rule(name: str = "shell", *, version: str = "v1", **fields: Any) -> Rule:
    """A rule that fires on events made with `fires=True`."""
    made: dict[str, Any] = {
        "id": name,
        "title": f"Rule {name}",
        "level": "high",
        "path": f"rules/{name}.yml",
        "line": 1,
        "predicate": And((SOURCE, FIRES)),
        "source": SOURCE,
        "fields": ("url.query",),
        "version": version,
    }
    return Rule(**{**made, **fields})


def event(seconds: float = 0.0, *, fires: bool = True, host: str = "web01", **fields: Any) -> Event:
    """An event so many seconds after `START`; `fields` with `__` for the dots of names."""
    return {
        "@timestamp": timestamp(START + timedelta(seconds=seconds)),
        "soc.layer": 1,
        "event.dataset": "nginx.access",
        "host.name": host,
        "source.ip": "192.0.2.7",
        "url.query": "cmd=id" if fires else "q=1",
        "event.original": f"GET /?{'cmd=id' if fires else 'q=1'} {seconds}",
        **{name.replace("__", "."): value for name, value in fields.items()},
    }


def append(store: Store, events: dict[str, Event]) -> None:
    """Store events by id."""
    store.append([Incoming(id_, e) for id_, e in events.items()])


def open_at(path: Path | str) -> Store:
    """The embedded store in a folder."""
    return open_store(StoreSettings(target=str(path)))


def counts(store: Store) -> Counter[str]:
    """Hits counted on all alerts, by entity."""
    found: Counter[str] = Counter()
    for document in store.find("alert"):
        found[document.body["entity"]] += document.body["count"]
    return found


def check_whole(store: Store) -> None:
    """Assert that alerts, their events and their groups agree with each other."""
    alerts = {d.id: d.body for d in store.find("alert")}
    bursts = {b["id"]: b for d in store.find("alert_group") for b in d.body["bursts"]}
    assert alerts.keys() >= bursts.keys()
    assert len({a["full"] for a in alerts.values()}) == len(alerts), "an alert stands twice"
    for id_, burst in bursts.items():
        assert alerts[id_]["count"] == burst["count"]
        samples = store.read("alert_events", id_)
        assert samples is not None
        assert [s["id"] for s in samples.body["samples"]] == [*burst["head"], *burst["tail"]]


def main(arguments: list[str]) -> None:
    """`python -m tests.detect.world STORE BATCH [PAUSE]`: sweep from the beginning; others may be faster."""
    path, batch, *pause = arguments
    with open_at(path) as store:
        rules = [rule("shell"), rule("wide", attributes=BY_ADDRESS)]
        sweeper = Sweeper(store, rules, batch=int(batch), worker=Worker.here(LEASE))
        fresh = store.read("position", "sweep") is None
        print("ready", flush=True)  # noqa: T201 - tells the test that the sweep begins
        for _ in range(1000):
            try:
                sweeper.run(
                    Start() if fresh else None, progress=lambda _: time.sleep(float(pause[0]) if pause else 0)
                )
                return
            except ConflictError:
                fresh = False


if __name__ == "__main__":
    main(sys.argv[1:])
