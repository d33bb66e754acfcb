"""Extensions over Elasticsearch: the same alerts as over the embedded store."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from soc.config import StoreSettings
from soc.detect.beyond.seasons import WEEK
from soc.detect.grouping import time_text
from soc.detect.sweep import Start, Sweeper
from soc.errors import StoreUnavailableError
from soc.store import open_store
from soc.store.contract import Incoming, Store
from tests.detect import world

RULES = [
    world.rule(name, attributes={f"soc.{name}": setting})
    for name, setting in {
        "new_term": {"fields": ["user.name"], "learn": "1d"},
        "rare": {"field": "user.name", "count": 1, "at_least": 100},
        "spike": {"weeks": 2, "at_least": 5, "per": ["host.name"]},
        "silence": {"for": "3h", "per": ["host.name"]},
        "indicator": {"fields": ["source.ip"]},
    }.items()
]


def event(second: int, user: str = "an", ip: str = "192.0.2.7") -> dict[str, Any]:
    """An event that came at its own time."""
    when = time_text(round(world.START.timestamp() * 1e6) + second * 1_000_000)
    return {**world.event(second), "user.name": user, "source.ip": ip, "event.ingested": when}


def alerts(store: Store, *, patient: bool = False) -> list[Any]:
    """What every alert says, but for when it was written. `patient`: goes on after a sweep that failed."""
    indicator = {
        "@timestamp": "2026-03-01T00:00:00.000000Z",
        "event.ingested": "2026-03-01T00:00:00.000000Z",
        "event.kind": "enrichment",
        "event.category": "threat",
        "event.type": "indicator",
        "soc.layer": 4,
        "soc.source": "list",
        "threat.indicator.type": "ipv4-addr",
        "threat.indicator.ip": "203.0.113.66",
    }
    store.append([Incoming("indicator", indicator)])
    usual = {f"u{n:04}": event(n * 3600) for n in range(-1, 2 * WEEK)}
    world.append(store, usual)
    later = 2 * WEEK * 3600
    world.append(store, {f"s{n:02}": event(later + n) for n in range(20)})
    world.append(store, {"odd": event(later + 30, "binh"), "bad": event(later + 31, ip="203.0.113.66")})
    for minutes in (5, 400):
        clock = world.START + timedelta(weeks=2, minutes=minutes)
        for start in (Start(), None):
            try:
                Sweeper(store, RULES, clock=lambda at=clock: at, keep=False, batch=100).run(start)  # type: ignore[misc] # bound now
                break
            except StoreUnavailableError:
                assert patient
    return sorted(
        (
            d.body["rule"]["id"],
            d.body["count"],
            d.body["first"],
            d.body["last"],
            str(d.body.get("text")),
            str(why),
        )
        for d in store.find("alert")
        for why in [d.body["about"].get("soc.why")]
    )


@pytest.mark.elastic
@pytest.mark.slow
def test_same_alerts_on_both_stores(elastic_settings: StoreSettings, tmp_path: Path) -> None:
    """All kinds at once, swept twice from the beginning in small batches: one alert each, the same on
    both.
    """
    found = []
    for settings_ in (elastic_settings, StoreSettings(str(tmp_path / "store"))):
        with open_store(settings_) as store:
            store.init()
            found.append(alerts(store))
    assert found[0] == found[1]
    assert [row[0] for row in found[0]] == ["indicator", "new_term", "rare", "silence", "spike"]
