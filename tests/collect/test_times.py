"""Times of logs: every form, zones, years that are not written, and what is no time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.collect.times import FORMATS, TimeReader
from soc.event import timestamp

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("clf", "02/Mar/2026:14:14:09 +0700", "2026-03-02T07:14:09.000000Z"),
        ("clf", "02/Mar/2026:14:14:09", "2026-03-02T14:14:09.000000Z"),
        ("clf", "31/Jan/2015:14:29:44 ", "2015-01-31T14:29:44.000000Z"),
        ("iso", "2026-03-02T14:14:09.123+07:00", "2026-03-02T07:14:09.123000Z"),
        ("iso", "2026-03-02 14:14:09,5", "2026-03-02T14:14:09.500000Z"),
        ("iso", "2026-03-02T14:14:09.123456789Z", "2026-03-02T14:14:09.123456Z"),
        ("iso", "2026-03-02T14:14:09+0700", "2026-03-02T07:14:09.000000Z"),
        ("iso", "2026-03-02T14:14Z", "2026-03-02T14:14:00.000000Z"),
        ("iso", "2026-03-02", "2026-03-02T00:00:00.000000Z"),
        ("utc", "2026-03-02 07:14:09.478", "2026-03-02T07:14:09.478000Z"),
        ("rfc3164", "Mar  2 11:14:09", "2026-03-02T11:14:09.000000Z"),
        ("rfc3164", "Mar 02 11:14:09.25", "2026-03-02T11:14:09.250000Z"),
        ("rfc3164", "Mar 2 2019 11:14:09", "2019-03-02T11:14:09.000000Z"),
        ("ctime", "Mon Mar 02 14:14:09.120000 2026", "2026-03-02T14:14:09.120000Z"),
        ("ctime", "Mon Mar  2 14:14:09 2026", "2026-03-02T14:14:09.000000Z"),
        ("mysql", "2026-03-02  7:14:09", "2026-03-02T07:14:09.000000Z"),
        ("mysql", "260302  7:14:09", "2026-03-02T07:14:09.000000Z"),
        ("mysql", "991231 23:59:60", "1999-12-31T23:59:59.999999Z"),
        ("mysql", "2026-03-02T07:14:09.5Z", "2026-03-02T07:14:09.500000Z"),
        ("pairs", 'x date=2026-03-02 time=07:14:09 a="b" tz="-0700"', "2026-03-02T14:14:09.000000Z"),
        ("pairs", 'date="2026-03-02" time="07:14:09"', "2026-03-02T07:14:09.000000Z"),
        ("slash", "2026/03/02 14:14:09", "2026-03-02T14:14:09.000000Z"),
        ("rfc2822", "Mon, 2 Mar 2026 14:14:09 +0700", "2026-03-02T07:14:09.000000Z"),
        ("us", "03/02/2026-14:14:09.5", "2026-03-02T14:14:09.500000Z"),
        ("epoch", "1772435649.120", "2026-03-02T07:14:09.120000Z"),
        ("epoch", 1772435649, "2026-03-02T07:14:09.000000Z"),
        ("epoch_ms", 1772435649120, "2026-03-02T07:14:09.120000Z"),
        ("auto", 1772435649120, "2026-03-02T07:14:09.120000Z"),
        ("auto", 1772435649.12, "2026-03-02T07:14:09.120000Z"),
        ("auto", 1772435649120000, "2026-03-02T07:14:09.120000Z"),
        ("auto", 1772435649120000000, "2026-03-02T07:14:09.120000Z"),
        ("auto", "1772435649", "2026-03-02T07:14:09.000000Z"),
        ("auto", "Mon, 2 Mar 2026 07:14:09", "2026-03-02T07:14:09.000000Z"),
    ],
)  # fmt: skip
def test_each_form_is_read_twice_alike(kind: str, text: object, expected: str) -> None:
    """The first reading converts, the second copies from memory; both say the same."""
    read = TimeReader(now=NOW).reader(kind)
    assert [read(text), read(text)] == [expected, expected]


@pytest.mark.parametrize("kind", sorted(FORMATS))
@pytest.mark.parametrize(
    "text",
    ["", "-", "no time", "99/Foo/2026:14:14:09 +0700", "2026-13-02T00:00:00Z", "Feb 30 10:00:00",
    "25:61:61", "\0", "9" * 40,
     "02/Mar/2026:14:99:09 +0700", "2026-03-02T14:14:0xZ", "0000-00-00T00:00:00Z", "Mar  2 11:14:6x"],
)  # fmt: skip
def test_what_is_no_time_is_none(kind: str, text: str) -> None:
    """Text that is no time gives None, never an exception."""
    assert TimeReader(now=NOW).reader(kind)(text) is None


@pytest.mark.parametrize("value", [True, None, [], {}, float("inf"), float("nan"), 10**30, -(10**30)])
def test_values_of_documents_that_are_no_time_are_none(value: object) -> None:
    """Whatever JSON holds under a time's name, `auto` answers."""
    assert TimeReader(now=NOW).auto(value) is None


@pytest.mark.parametrize(
    ("now", "text", "year"),
    [
        ("2026-01-01T00:30:00+00:00", "Dec 31 23:59:59", 2025),
        ("2025-12-31T23:50:00+00:00", "Jan  1 00:10:00", 2026),
        ("2025-12-31T23:50:00+00:00", "Jan  2 23:10:00", 2025),
        ("2026-03-02T12:00:00+00:00", "Mar  3 11:59:00", 2026),
        ("2026-03-02T12:00:00+00:00", "Mar  4 12:01:00", 2025),
        ("2026-03-02T12:00:00+00:00", "Feb 29 10:00:00", 2024),
        ("2024-02-29T12:00:00+00:00", "Feb 29 10:00:00", 2024),
        ("2035-06-01T00:00:00+00:00", "May 30 10:00:00", 2035),
    ],
)
def test_the_year_is_the_latest_that_is_not_in_the_future(now: str, text: str, year: int) -> None:
    """A time without a year is this year's if it is at most a day ahead, else last year's; leap days are
    found."""
    assert (TimeReader(now=datetime.fromisoformat(now)).rfc3164(text) or "")[:4] == str(year)


def test_the_year_is_that_of_the_zone() -> None:
    """In Hà Nội it is already New Year when UTC is not."""
    reader = TimeReader("Asia/Ho_Chi_Minh", datetime(2025, 12, 31, 18, 0, tzinfo=UTC))
    assert reader.rfc3164("Jan  1 00:59:00") == "2025-12-31T17:59:00.000000Z"


def test_a_time_that_a_change_of_clocks_repeats_is_the_first() -> None:
    """25 October 2026, 02:30 in Berlin happens twice; the first is meant."""
    assert TimeReader("Europe/Berlin", NOW).iso("2026-10-25T02:30:00") == "2026-10-25T00:30:00.000000Z"


def test_a_time_that_a_change_of_clocks_leaves_out_is_read() -> None:
    """29 March 2026, 02:30 in Berlin does not exist; it is read with the offset from before."""
    assert TimeReader("Europe/Berlin", NOW).iso("2026-03-29T02:30:00") == "2026-03-29T01:30:00.000000Z"


def test_a_leap_second_is_the_end_of_its_minute() -> None:
    """`:60` stays within its minute and after `:59`."""
    read = TimeReader(now=NOW).iso
    assert read("2016-12-31T23:59:59Z") == "2016-12-31T23:59:59.000000Z"
    assert read("2016-12-31T23:59:60Z") == "2016-12-31T23:59:59.999999Z"


_FIRST, _LAST = NOW.replace(year=1971, tzinfo=None), NOW.replace(year=2090, tzinfo=None)


@given(st.datetimes(_FIRST, _LAST), st.integers(-14 * 60, 14 * 60), st.booleans())
def test_iso_and_clf_agree_with_datetime(local: datetime, minutes: int, space: bool) -> None:
    """Any time with any offset is what the standard library says it is, whatever was read before."""
    from datetime import timezone

    aware = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    reader = TimeReader(now=NOW)
    for moment in (aware, aware.replace(second=0, microsecond=0), aware):
        text = moment.isoformat(sep=" " if space else "T")
        assert reader.iso(text) == timestamp(moment)
        assert reader.clf(moment.strftime("%d/%b/%Y:%H:%M:%S %z")) == timestamp(moment.replace(microsecond=0))


@given(st.text(max_size=40))
def test_any_text_gives_a_time_or_none(text: str) -> None:
    """No text makes a reader raise."""
    reader = TimeReader("Asia/Ho_Chi_Minh", NOW)
    for kind in FORMATS:
        out = reader.reader(kind)(text)
        assert out is None or len(out) == 27
