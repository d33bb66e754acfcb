"""Times as people write and read them."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.errors import UsageError
from soc.timing import ago, known_zone, local, parse_duration, parse_when

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 3, 2, 7, 14, 9, tzinfo=UTC)
HANOI = ZoneInfo("Asia/Ho_Chi_Minh")


@pytest.fixture
def in_hanoi(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The viewer sits in UTC+7."""
    monkeypatch.setenv("TZ", "Asia/Ho_Chi_Minh")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("24h", 86400),
        ("7d", 604800),
        ("2w", 1209600),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        (" 5M ", 300),
        ("0s", 0),
    ],
)
def test_a_length_of_time_is_read(text: str, seconds: float) -> None:
    """Numbers with units add up."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "h", "1", "-1h", "1y", "1h30", "1e9d", "٣h", "9" * 40 + "d", "1h" * 200]
)
def test_another_text_is_no_length_of_time(text: str) -> None:
    """The error says how to write one."""
    with pytest.raises(UsageError) as caught:
        parse_duration(text)
    assert "15m" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("15m", NOW - timedelta(minutes=15)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-03-02T07:14:09Z", NOW),
        ("2026-03-02T14:14:09+07:00", NOW),
        ("2026-03-02T07:14:09.120000Z", NOW.replace(microsecond=120000)),
        ("2026-03-02", datetime(2026, 3, 1, 17, tzinfo=UTC)),
        ("2026-03-02 14:14", datetime(2026, 3, 2, 7, 14, tzinfo=UTC)),
    ],
)
@pytest.mark.usefixtures("in_hanoi")
def test_a_moment_is_read_in_the_zone_of_the_viewer(text: str, expected: datetime) -> None:
    """What has no offset is meant in the viewer's zone; what has one is not."""
    assert parse_when(text, NOW) == expected


def test_a_zone_may_be_given() -> None:
    """The zone given is used in place of the viewer's."""
    assert parse_when("2026-03-02", NOW, zone=HANOI) == datetime(2026, 3, 1, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-02",
        "20260302",
        "2026-W10-1",
        "1",
        "0001-01-01",
        "9e9d",
        "99999w" * 3,
        "2026-03-02T25:00",
    ],
)
def test_another_text_is_no_moment(text: str) -> None:
    """The error says how to write one."""
    with pytest.raises(UsageError) as caught:
        parse_when(text, NOW)
    assert "2026-03-02" in caught.value.hint


@given(st.text(max_size=80))
def test_no_text_breaks_the_reading(text: str) -> None:
    """Whatever is typed, the result is a UTC time or a usage error."""
    with contextlib.suppress(UsageError):
        assert parse_when(text, NOW).tzinfo is UTC


@pytest.mark.usefixtures("in_hanoi")
def test_a_stored_time_is_shown_with_its_offset() -> None:
    """In the viewer's zone, or the one given."""
    assert local("2026-03-02T07:14:09.120000Z") == "2026-03-02 14:14:09+07:00"
    assert local("2026-03-02T07:14:09.120000Z", zone=UTC) == "2026-03-02 07:14:09+00:00"


@pytest.mark.parametrize("text", ["", "soon", "2026-03-02", "9999-12-31T23:59:59.999999Z"])
def test_text_that_is_no_time_is_shown_as_it_is(text: str) -> None:
    """A table does not fail on an odd row."""
    assert local(text, zone=HANOI) == text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s ago"),
        (59, "59s ago"),
        (180, "3m ago"),
        (7200, "2h ago"),
        (172800, "2d ago"),
        (-18000, "in 5h"),
    ],
)
def test_a_distance_is_told_in_one_unit(seconds: int, words: str) -> None:
    """The largest unit that fits."""
    assert ago(NOW - timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(
    "name", ["", ".", "Asia", "nope", "../../etc/passwd", "/etc/localtime", "zone.tab", "a\0b", "a" * 5000]
)
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    """A folder of the zone database, a path, and any other text; never an error of the file system."""
    with pytest.raises(UsageError, match="unknown time zone"):
        known_zone(name)
    assert known_zone("Asia/Ho_Chi_Minh") == "Asia/Ho_Chi_Minh"
