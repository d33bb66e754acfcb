"""Times in tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from soc.cli.times import brief, zone_note


@pytest.fixture(params=["Asia/Ho_Chi_Minh"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The viewer's zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_in_the_zone_of_the_viewer_without_its_offset() -> None:
    """The offset is said once, below the table."""
    assert brief("2026-03-02T20:14:09.120000Z") == "2026-03-03 03:14"
    assert brief("2026-03-02T20:14:09.120000Z", seconds=True) == "2026-03-03 03:14:09"
    assert zone_note(["2026-03-02T20:14:09Z", None, "x"]) == "times in your zone (+07:00)"


@pytest.mark.usefixtures("zone")
def test_narrow() -> None:
    """With the name of the month, which nobody takes for a day; the year in place of the clock when it
    is another one."""
    year = datetime.now(UTC).astimezone().year
    assert brief(f"{year}-03-02T20:14:09Z", narrow=True) == "03 Mar 03:14"
    assert brief("2001-03-02T20:14:09Z", narrow=True) == "03 Mar 2001"


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("zone", ["Europe/Berlin"], indirect=True)
def test_summer_time_within_a_table() -> None:
    """Both offsets."""
    assert zone_note(["2026-01-02T00:00:00Z", "2026-07-02T00:00:00Z"]).endswith("(+01:00, +02:00)")


def test_what_is_no_time_stays() -> None:
    """A table does not fail on one odd row."""
    assert brief("never") == "never"
    assert zone_note(["never", ""]) == ""
