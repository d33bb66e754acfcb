"""The recorded day: the same everywhere, and shifted so that it ends now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from soc import config
from soc.collect.checkpoint import Checkpoint
from soc.collect.collector import collectors_for
from soc.collect.run import Options, Run
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
    settings = config.load(tmp_path / "soc.yml", environ={})
    options = Options(once=True, clock=lambda: end + timedelta(seconds=2))
    with open_store(settings.store) as store, Checkpoint.open(tmp_path / "state") as checkpoint:
        Run(settings.sources, collectors_for(settings), store, checkpoint, options).run()
        events = [stored.event for stored in store.search()]
    assert len(events) == sum(counts.values()) - 1, "each line but the comment in the national list"
    seen = [moment(event["@timestamp"]) for event in events if event["soc.layer"] < 4]
    assert timedelta(0) <= end - seen[-1] < timedelta(minutes=30)
    assert end - seen[0] < timedelta(hours=24)
    assert {event["soc.time_shift"] for event in events} == {int((end - day.ENDS) / timedelta(seconds=1))}
    shell = [event for event in events if "don_de_nghi.php?cmd=id" in event["event.original"]]
    assert all("02/Mar/2026" in e["event.original"] or "2026-03-02" in e["event.original"] for e in shell)
    called = day.ENDS - datetime.fromisoformat("2026-03-02T08:42:31+07:00")
    assert end - moment(shell[0]["@timestamp"]) == called


def test_a_shift_of_a_fraction_does_not_exist(tmp_path: Path) -> None:
    """The settings of the demo are a valid configuration at any moment."""
    path = tmp_path / "soc.yml"
    path.write_text(day.settings(tmp_path, datetime(2030, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)))
    assert {source.shift for source in config.load(path, environ={}).sources} != {0}
