"""Times as logs write them, read into event text: UTC, six digits of fraction, `Z`.

A log repeats the same minute thousands of times, so the minute is converted once and remembered; the
seconds are copied. Times without a zone are read in the zone of the source. Of a local time that a change
of clocks repeats, the first is meant; one that it leaves out is read with the offset from before the change
(PEP 495, fold 0).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}

FUTURE = timedelta(days=1)
"""How far after `now` a time without a year may lie and still belong to this year: clocks and zones differ.
"""

_CACHE = 8192
"""Most minutes remembered at once by one reader."""

_ZONE = re.compile(r"([+-])(\d{2}):?(\d{2})?\Z")
_ZONE_NAMES = {"Z": UTC, "z": UTC, "UTC": UTC, "GMT": UTC}

_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?"
    r"\s*(Z|z|UTC|GMT|[+-]\d{2}:?\d{0,2})?)?\Z"
)
_CLF = re.compile(
    r"(\d{1,2})/([A-Za-z]{3})/(\d{4})[: ](\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?\s*([+-]\d{4})?\Z"
)
_BSD = re.compile(
    r"(?:(\d{4})\s+)?([A-Za-z]{3})[a-z]*\s+(\d{1,2})\s+(?:(\d{4})\s+)?(\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?"
    r"(?:\s+(\d{4}))?\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})?\Z"
)
_CTIME = re.compile(
    r"[A-Za-z]{3},?\s+([A-Za-z]{3})\s+(\d{1,2})\s+(\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?\s+(?:[A-Z]{3,5}\s+)?(\d{4})\Z"
)
_SLASH = re.compile(
    r"(\d{4})/(\d{2})/(\d{2})[ T-](\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?\s*(Z|[+-]\d{2}:?\d{2})?\Z"
)
_RFC2822 = re.compile(
    r"(?:[A-Za-z]{3},?\s+)?(\d{1,2})[ -]([A-Za-z]{3})[a-z]*[ -](\d{4})\s+"
    r"(\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?\s*(Z|UTC|GMT|[+-]\d{4})?\Z"
)
_MYSQL = re.compile(
    r"(?:(\d{4})-(\d{2})-(\d{2})|(\d{2})(\d{2})(\d{2}))[ T]\s?"
    r"(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?\s*(Z|[+-]\d{2}:\d{2})?\Z"
)
_PAIRS = re.compile(
    r'date="?(\d{4})-(\d{2})-(\d{2})"? time="?(\d{2}):(\d{2}):(\d{2})"?(?:.*? tz="?([+-]\d{2}:?\d{2}))?',
    re.DOTALL,
)
_US = re.compile(r"(\d{2})/(\d{2})/(\d{4})[- ](\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?\Z")


def _offset(text: str | None) -> timezone | None:
    """The zone that a suffix such as `+0700`, `-04:00` or `Z` names; None when there is none."""
    if not text:
        return None
    if text in _ZONE_NAMES:
        return _ZONE_NAMES[text]
    if (found := _ZONE.match(text)) is None:
        return None
    sign, hours, minutes = found.groups()
    delta = timedelta(hours=int(hours), minutes=int(minutes or 0))
    return timezone(delta if sign == "+" else -delta)


def _tail(text: str) -> str:
    """The zone at the end of a time, as `_ISO` reads it; "" for none."""
    found = _ISO.match(text.strip())
    return (found.group(8) or "") if found else ""


def render(moment: datetime, fraction: str = "") -> str:
    """An aware moment with the digits of its fraction, as event text."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    # strftime does not pad years below 1000
    return f"{text.rjust(19, '0')}.{(fraction + '000000')[:6]}Z"


class TimeReader:
    """Reads times of one source: `zone` is that of times without one, `now` decides the year of times
    without one.

    Each method takes what the log wrote and gives event text, or None for text that is no such time.
    """

    def __init__(self, zone: str = "UTC", now: datetime | None = None) -> None:
        self.zone = UTC if zone == "UTC" else ZoneInfo(zone)
        self.now = (now or datetime.now(UTC)).astimezone(self.zone)
        self._minutes: dict[str, str] = {}

    def _local(
        self, parts: tuple[str, str | int, str, str, str, str], fraction: str | None, zone: str | None
    ) -> str:
        """Year, month, day, hour, minute, second as digits, into event text.

        ValueError when there is no such time.
        """
        year, month, day, hour, minute, second = (int(part) for part in parts)
        # a leap second (60) is the last microsecond of its minute: no clock of ours knows it
        if second == 60:
            second, fraction = 59, "999999"
        moment = datetime(year, month, day, hour, minute, second, tzinfo=_offset(zone) or self.zone)
        try:
            return render(moment, fraction or "")
        except OverflowError:
            raise ValueError("beyond the calendar") from None

    def _remember(self, key: str, text: str) -> None:
        """Keep the minute of `text` under `key`, for the seconds to be copied next time."""
        if len(self._minutes) >= _CACHE:
            self._minutes.clear()
        self._minutes[key] = text[:17]

    def clf(self, text: str) -> str | None:
        """`14/Oct/2022:09:55:53 +0200`, the common log format."""
        if len(text) == 26:
            prefix = self._minutes.get(text[:18] + text[20:])
            if prefix is not None and text[18:20].isdigit() and text[18:20] < "60":
                return f"{prefix}{text[18:20]}.000000Z"
        found = _CLF.match(text.strip())
        if found is None:
            return None
        day, month, year, hour, minute, second, fraction, zone = found.groups()
        out = self._checked((year, MONTHS.get(month.lower(), 0), day, hour, minute, second), fraction, zone)
        if out and len(text) == 26 and fraction is None and second < "60":
            self._remember(text[:18] + text[20:], out)
        return out

    def iso(self, text: Any) -> str | None:
        """`2022-10-14T07:55:53.123456+02:00` (RFC 3339, ISO 8601), with `T` or a space, any fraction, any
        zone; a date alone."""
        if type(text) is not str:
            return None
        if len(text) >= 19:
            rest = text[19:]
            fraction = ""
            if rest[:1] in {".", ","}:
                body = rest[1:]
                zone = body.lstrip("0123456789")
                fraction = body[: len(body) - len(zone)]
            else:
                zone = rest
            prefix = self._minutes.get(text[:17] + zone)
            second = text[17:19]
            if prefix is not None and second.isdigit() and second < "60" and (fraction or rest is zone):
                return f"{prefix}{second}.{(fraction + '000000')[:6]}Z"
            key = text[:17] + zone
        else:
            key = ""
        found = _ISO.match(text.strip())
        if found is None:
            return None
        year, month, day, hour, minute, second_, digits, zone_ = found.groups()
        out = self._checked((year, month, day, hour or "0", minute or "0", second_ or "0"), digits, zone_)
        if out and key and second_ is not None and second_ < "60":
            self._remember(key, out)
        return out

    def utc(self, text: Any) -> str | None:
        """As `iso`, but a time without a zone is UTC whatever the source's zone is."""
        if type(text) is not str:
            return None
        return self.iso(text if _offset(_tail(text)) else f"{text.strip()}Z")

    def rfc3164(self, text: str) -> str | None:
        """`Oct 14 09:55:53` (RFC 3164), also with a year before or after, a fraction or a zone."""
        if len(text) == 15:
            prefix = self._minutes.get(text[:13])
            if prefix is not None and text[13:].isdigit() and text[13:] < "60":
                return f"{prefix}{text[13:]}.000000Z"
        found = _BSD.match(text.strip())
        if found is None:
            return None
        before, month, day, between, hour, minute, second, fraction, after, zone = found.groups()
        number = MONTHS.get(month.lower(), 0)
        year = before or between or after
        if year is None:
            year = self._year(number, int(day), int(hour), int(minute))
        out = self._checked((str(year), number, day, hour, minute, second), fraction, zone)
        if out and len(text) == 15 and fraction is None and second < "60":
            self._remember(text[:13], out)
        return out

    def _year(self, month: int, day: int, hour: int, minute: int) -> int:
        """The latest year in which this local time is not more than `FUTURE` after now (29 February
        included)."""
        latest = self.now + FUTURE
        for year in range(latest.year, latest.year - 9, -1):
            try:
                candidate = datetime(year, month, day, hour, minute, tzinfo=self.zone)
            except ValueError:
                continue
            if candidate <= latest:
                return year
        return self.now.year

    def ctime(self, text: str) -> str | None:
        """`Wed Oct 14 09:55:53.123456 2022`, the error log of Apache."""
        found = _CTIME.match(text.strip())
        if found is None:
            return None
        month, day, hour, minute, second, fraction, year = found.groups()
        return self._checked((year, MONTHS.get(month.lower(), 0), day, hour, minute, second), fraction, None)

    def slash(self, text: str) -> str | None:
        """`2022/10/14 09:55:53`, the error log of nginx."""
        found = _SLASH.match(text.strip())
        if found is None:
            return None
        year, month, day, hour, minute, second, fraction, zone = found.groups()
        return self._checked((year, month, day, hour, minute, second), fraction, zone)

    def rfc2822(self, text: str) -> str | None:
        """`Wed, 14 Oct 2022 09:55:53 +0200`, also `14-Oct-2022 09:55:53`."""
        found = _RFC2822.match(text.strip())
        if found is None:
            return None
        day, month, year, hour, minute, second, fraction, zone = found.groups()
        return self._checked((year, MONTHS.get(month.lower(), 0), day, hour, minute, second), fraction, zone)

    def us(self, text: str) -> str | None:
        """`10/14/2022-09:55:53.123456`: month, day, year, as Suricata's fast log writes."""
        found = _US.match(text.strip())
        if found is None:
            return None
        month, day, year, hour, minute, second, fraction = found.groups()
        return self._checked((year, month, day, hour, minute, second), fraction, None)

    def mysql(self, text: str) -> str | None:
        """`2022-05-01  5:13:12`, `220501  5:13:12` (years from 1970 to 2069), as MySQL and MariaDB write."""
        found = _MYSQL.match(text.strip())
        if found is None:
            return None
        year, month, day, short, month_, day_, hour, minute, second, fraction, zone = found.groups()
        if year is None:
            year, month, day = f"{'19' if short >= '70' else '20'}{short}", month_, day_
        return self._checked((year, month, day, hour, minute, second), fraction, zone)

    def pairs(self, text: str) -> str | None:
        """`date=2024-10-14 time=13:46:40 … tz="-0700"`, anywhere in a text, as FortiGate writes."""
        found = _PAIRS.search(text)
        if found is None:
            return None
        year, month, day, hour, minute, second, zone = found.groups()
        return self._checked((year, month, day, hour, minute, second), None, zone)

    def epoch(self, value: Any) -> str | None:
        """Seconds since 1970, as a number or digits, with any fraction; text keeps every digit of it."""
        if isinstance(value, bool):
            return None
        text = value if type(value) is str else f"{value:.6f}" if isinstance(value, float) else str(value)
        whole, _, fraction = text.strip().partition(".")
        try:
            seconds = int(whole)
            minute = seconds - seconds % 60
            key = f"@{minute}"
            prefix = self._minutes.get(key)
            if prefix is None:
                self._remember(key, render(datetime.fromtimestamp(minute, UTC)))
                prefix = self._minutes[key]
        except (ValueError, OverflowError, OSError):
            return None
        if fraction and not fraction.isdecimal():
            fraction = ""
        return f"{prefix}{seconds - minute:02d}.{(fraction + '000000')[:6]}Z"

    def epoch_ms(self, value: Any) -> str | None:
        """Milliseconds since 1970, as a number or digits."""
        if isinstance(value, bool):
            return None
        try:
            number = int(float(value)) if not isinstance(value, int) else value
            return render(datetime.fromtimestamp(number // 1000, UTC), f"{number % 1000:03d}")
        except (ValueError, TypeError, OverflowError, OSError):
            return None

    def auto(self, value: Any) -> str | None:
        """Whatever a JSON document calls a time: text of any form here, or seconds, milli-, micro- or
        nanoseconds."""
        if type(value) is str:
            for read in (self.iso, self.clf, self.rfc3164, self.rfc2822, self.slash, self.ctime, self.us):
                if (out := read(value)) is not None:
                    return out
            if not value.replace(".", "", 1).isdigit():
                return None
            value = float(value) if "." in value else int(value) if len(value) < 30 else None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return None
        magnitude = abs(value)
        if magnitude >= 1e17:
            return self.epoch_ms(int(value) // 1_000_000)
        if magnitude >= 1e14:
            return self.epoch_ms(int(value) // 1_000)
        return self.epoch_ms(value) if magnitude >= 1e11 else self.epoch(value)

    def _checked(
        self, parts: tuple[str, str | int, str, str, str, str], fraction: str | None, zone: str | None
    ) -> str | None:
        try:
            return self._local(parts, fraction, zone)
        except ValueError:
            return None

    def reader(self, name: str) -> Callable[[Any], str | None]:
        """The method for a format's name (see `FORMATS`)."""
        method: Callable[[Any], str | None] = getattr(self, FORMATS[name])
        return method


FORMATS = {
    "clf": "clf",
    "iso": "iso",
    "utc": "utc",
    "rfc3164": "rfc3164",
    "ctime": "ctime",
    "slash": "slash",
    "rfc2822": "rfc2822",
    "us": "us",
    "mysql": "mysql",
    "pairs": "pairs",
    "epoch": "epoch",
    "epoch_ms": "epoch_ms",
    "auto": "auto",
}
"""Names of time formats that a collector may use, and the methods that read them."""
