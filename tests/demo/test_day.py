"""The recorded day: the same everywhere, and shifted so that it ends now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from soc import config
from soc.cli.app import invoke
from soc.demo import day
from soc.event import moment
from soc.store import open_store


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    """The demo is the same on every machine and at every time."""
    assert day.write(tmp_path / "a") == day.write(tmp_path / "b")
    for name in day.FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("now", ["2024-02-29T10:00:00Z", "2026-11-23T09:00:00Z", "2035-07-01T00:00:00Z"])
def test_every_event_is_shifted_and_keeps_its_text(tmp_path: Path, now: str) -> None:
    """Whatever the clock says, the day ends there, and each original line names the day it was recorded."""
    end = datetime.fromisoformat(now)
    counts = day.write(tmp_path / "logs")
    (tmp_path / "soc.yml").write_text(day.settings(tmp_path, end))
    assert invoke(["collect", "run", "--once", "-q", "--config", str(tmp_path / "soc.yml")]) == 0
    with open_store(config.load(tmp_path / "soc.yml", environ={}).store) as store:
        events = [stored.event for stored in store.search()]
    assert len(events) == sum(counts.values()) - 1, "each line but the comment in the national list"
    last = moment(events[-1]["@timestamp"])
    assert timedelta(0) <= end - last < timedelta(minutes=30)
    assert moment(events[0]["@timestamp"]) > end - timedelta(hours=24)
    assert {event["soc.time_shift"] for event in events} == {int((end - day.ENDS) / timedelta(seconds=1))}
    shell = [event for event in events if "don_de_nghi.php?cmd=id" in event.get("event.original", "")]
    assert all("02/Mar/2026" in e["event.original"] or "2026-03-02" in e["event.original"] for e in shell)
    assert end - moment(shell[0]["@timestamp"]) == day.ENDS - datetime.fromisoformat(
        "2026-03-02T08:42:31+07:00"
    )


def test_a_shift_of_a_fraction_does_not_exist(tmp_path: Path) -> None:
    """The settings of the demo are a valid configuration at any moment."""
    path = tmp_path / "soc.yml"
    path.write_text(day.settings(tmp_path, datetime(2030, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)))
    assert {source.shift for source in config.load(path, environ={}).sources} != {0}
