"""Times as people write and read them: `1h`, `2026-03-02`, `now`; shown in the viewer's zone with its offset.

Stored times are UTC (`soc.event`). What a person types without a zone is meant in the viewer's zone, as what
they see is shown in it: the operating system's (`TZ`), unless a zone is given.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from soc.errors import UsageError
from soc.event import moment

_UNITS = {
    "us": timedelta(microseconds=1),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(us|ms|s|m|h|d|w)", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern}\s*)+", re.ASCII | re.IGNORECASE)
_MAX_TEXT = 64
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)
"""Bounds of the moments accepted here, a day within datetime's own, so that any zone can show them."""


def parse_duration(text: str) -> timedelta:
    """A length of time: `90s`, `15m`, `1h30m`, `7d`, `2w`, `250ms`. Raises `UsageError` for other text.

    A day is 24 hours; there is no sign and no unit above a week, because months differ.
    """
    short = text.strip().lower()
    if len(short) > _MAX_TEXT or not _DURATION.fullmatch(short):
        raise UsageError(f"{_shown(text)} is not a length of time", hint="write it as 90s, 15m, 24h or 7d")
    try:
        return sum((float(n) * _UNITS[unit] for n, unit in _PART.findall(short)), timedelta())
    except OverflowError:
        raise UsageError(
            f"{_shown(text)} is too long a time", hint="write it as 90s, 15m, 24h or 7d"
        ) from None


def is_zone(name: str) -> bool:
    """Whether the time zone database knows a zone of this name; a folder or a path is none."""
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def known_zone(name: str) -> str:
    """The name of a time zone as it is. Raises `UsageError` for a name that is none."""
    if not is_zone(name):
        raise UsageError(f"unknown time zone {_shown(name)}; use a name such as Asia/Ho_Chi_Minh")
    return name


def parse_when(text: str, now: datetime | None = None, *, zone: tzinfo | None = None) -> datetime:
    """The moment that a person means, in UTC.

    `now`; a length of time, which means that long before `now` (`15m`, `7d`); a date (its first moment); or
    a date and time as in ISO 8601. Without an offset it is meant in `zone` (default: the viewer's).
    `now`: aware, default the system clock. Raises `UsageError` for other text.
    """
    now = now or datetime.now(UTC)
    short = text.strip()
    try:
        if short.lower() == "now":
            return now.astimezone(UTC)
        if _DURATION.fullmatch(short[:_MAX_TEXT].lower()):
            return _within(now.astimezone(UTC) - parse_duration(short), text)
        parsed = datetime.fromisoformat(short) if _looks_dated(short) else None
        if parsed is not None:
            return _within(_aware(parsed, zone).astimezone(UTC), text)
    except (ValueError, OverflowError):
        pass
    raise UsageError(
        f"{_shown(text)} is not a time",
        hint="write now, a time ago (15m, 24h, 7d), a date (2026-03-02) or both (2026-03-02T07:30)",
    )


def _looks_dated(text: str) -> bool:
    """Only `2026-03-02…`: fromisoformat would also take `20260302` or a week date, which people mistype."""
    return (
        len(text) <= _MAX_TEXT
        and re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:$|[T ])", text, re.ASCII) is not None
    )


def _aware(parsed: datetime, zone: tzinfo | None) -> datetime:
    if parsed.tzinfo is not None:
        return parsed
    # astimezone() without a zone takes the system's, with the offset that held at that moment
    return parsed.replace(tzinfo=zone) if zone else parsed.astimezone()


def _within(value: datetime, text: str) -> datetime:
    if not EARLIEST <= value <= LATEST:
        raise ValueError(text)
    return value


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…")


def local(text: str, *, zone: tzinfo | None = None) -> str:
    """A stored time as a person reads it: `2026-03-02 14:14:09+07:00`, in `zone` (default: the viewer's).

    Fractions of a second are left out. Text that is not a time comes back as it is: a table must not fail
    on one odd row.
    """
    try:
        shown = moment(text).astimezone(zone)
    except (ValueError, OverflowError):
        return text
    return shown.isoformat(sep=" ", timespec="seconds")


def ago(then: datetime, now: datetime) -> str:
    """How long before `now` something was, in the largest unit that fits: `3m ago`, `2d ago`, `in 5h`."""
    seconds = int((now - then).total_seconds())
    size = abs(seconds)
    for limit, unit, length in ((60, "s", 1), (3600, "m", 60), (172800, "h", 3600)):
        if size < limit:
            words = f"{size // length}{unit}"
            break
    else:
        words = f"{size // 86400}d"
    return f"{words} ago" if seconds >= 0 else f"in {words}"
