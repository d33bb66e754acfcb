"""The main job from log files to a closed alert: the same commands on both stores, one setting changed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from soc.config import StoreSettings
from soc.demo import tour
from tests.harness import Result, soc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STORES = ["embedded", pytest.param("elastic", marks=pytest.mark.elastic)]


class Place:
    """A folder with the recorded day, and the store to bring it into."""

    def __init__(self, folder: Path, store: StoreSettings | None) -> None:
        self.folder = folder
        tour.prepare(folder, datetime.now(UTC))
        self.store = ["--store", store.target, "--space", store.space] if store else []

    def soc(self, *args: object, **options: Any) -> Result:
        """Run a command in the folder, on the store."""
        return soc(*args, *self.store, cwd=self.folder, **options)

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts, also closed ones."""
        rows: list[dict[str, Any]] = (
            self.soc("alert", "list", "--status", "all", "--limit", "0", "--output", "json").ok().json
        )
        return rows


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The recorded day and an empty store of each kind."""
    store = request.getfixturevalue("elastic_settings") if request.param == "elastic" else None
    return Place(tmp_path / "day", store)


def test_from_log_files_to_a_closed_alert(place: Place) -> None:
    """Collect, sweep, triage, respond, prove; a second pass of each changes nothing."""
    place.soc("store", "init").ok()
    first = {
        row["source"]: row for row in place.soc("collect", "run", "--once", "--output", "json").ok().json
    }
    assert sum(row["stored"] for row in first.values()) == sum(
        row["read"] - row["format"] for row in first.values()
    )
    place.soc("collect", "run", "--once").ok()
    place.soc("sweep", "--once", "--from", "beginning").ok()
    alerts = place.alerts()
    assert len({alert["id"] for alert in alerts}) == len(alerts) > 20
    place.soc("sweep", "--once").ok()
    assert place.alerts() == alerts
    shell = next(alert for alert in alerts if alert["title"] == "Script called in an upload folder")
    assert shell["count"] == 5
    place.soc("alert", "ack", shell["id"]).ok()
    place.soc("playbook", "run", "web-shell", "--alert", shell["id"]).failed(8)
    run = place.soc("run", "list", "--output", "json").ok().json[0]
    for step, value in (
        ("look-at-file", "file_sha256=" + "a" * 64),
        ("whose", "foreign"),
        ("shut", "done"),
        ("notify", "done"),
    ):
        place.soc("run", "answer", run["id"], step, value, "--yes").failed(8)
    place.soc("run", "answer", run["id"], "recover", "done").ok()
    place.soc("alert", "close", shell["id"], "--reason", "true-positive", "--note", "contained").ok()
    assert next(alert for alert in place.alerts() if alert["id"] == shell["id"])["status"] == "closed"
    assert place.soc("audit", "verify", "--output", "json").ok().json["intact"] is True


@pytest.mark.elastic
def test_both_stores_give_the_same_alerts(tmp_path: Path, elastic_settings: StoreSettings) -> None:
    """The same day gives the same rules, entities, counts and levels on both stores."""
    seen = []
    for name, store in (("embedded", None), ("elastic", elastic_settings)):
        place = Place(tmp_path / name, store)
        place.soc("collect", "run", "--once").ok()
        place.soc("sweep", "--once", "--from", "beginning").ok()
        seen.append(
            sorted(
                (a["title"], str(a["entity"]), a["count"], a["level"], a["status"]) for a in place.alerts()
            )
        )
    assert seen[0] == seen[1]
