"""The invented institution whose harmless day is written: people, machines, networks, and the clock.

Inside are private addresses (RFC 1918); everything outside is from the ranges kept for documentation
(RFC 5737, RFC 3849) and the names kept for examples (RFC 2606). 198.51.100.0/26 belongs to the institution.
"""

# ruff: noqa: E501 - log lines stand whole, as programs write them

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import accumulate
from random import Random
from typing import TypeVar

T = TypeVar("T")

ZONE = timezone(timedelta(hours=7))
"""The institution's zone; logs without a zone are in it."""

ZONE_NAME = "Asia/Ho_Chi_Minh"

STAFF = (
    "an.nv", "binh.tt", "chi.lk", "dung.pq", "giang.hm", "hoa.pt", "hung.lq", "khanh.vd", "linh.nt", "long.dv",
    "mai.bt", "nam.hv", "nga.dt", "phuc.nh", "quynh.lt", "son.tv", "thuy.dt", "trang.ph", "tuan.na", "yen.ct",
)  # fmt: skip
"""Names of mailboxes and Windows accounts."""

ADMINS = (("lan.nt", "10.20.5.12", 1002), ("minh.tv", "10.20.5.11", 1001), ("duc.hv", "10.20.5.14", 1003))
"""Administrators: name, address of the desk, number of the account on Linux."""

LINUX = ("web01", "web02", "app01", "app02", "db01", "mail01", "vpn01")
WINDOWS = (
    "pc-3101",
    "pc-3102",
    "pc-3104",
    "pc-3108",
    "pc-3110",
    "pc-3115",
    "srv-ad01",
    "srv-file01",
    "srv-app02",
)

BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:123.0) Gecko/20100101 Firefox/123.0",
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/121.0.0.0 Safari/537.36"
        " Edg/121.0.0.0"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.3"
        " Mobile/15E148 Safari/604.1"
    ),
    (
        "Mozilla/5.0 (Linux; Android 14; SM-A546E) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Mobile"
        " Safari/537.36 Zalo/24.02"
    ),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Safari/605.1.15",
)
ROBOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; coccocbot-web/1.0; +http://help.coccoc.com/searchengine)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
)

_HOURS = (2, 1, 1, 1, 1, 2, 4, 9, 14, 15, 14, 10, 6, 11, 14, 14, 12, 8, 5, 4, 4, 4, 3, 2)
"""How much happens in each hour of a working day, local time."""
_UNTIL = list(accumulate(_HOURS))


@dataclass(frozen=True, slots=True)
class World:
    """One day and its dice: the same seed and day give the same lines on every machine."""

    day: date
    dice: Random

    @classmethod
    def rolled(cls, day: date, seed: int, name: str) -> World:
        """The world of one file of the day: files do not depend on each other's dice."""
        return cls(day, Random(f"{seed}/{name}"))  # noqa: S311 - the same day again is wanted, not a secret

    def pick(self, items: Sequence[T]) -> T:
        """One of the items, each as likely as the others."""
        return items[int(self.dice.random() * len(items))]

    def weighted(self, items: Sequence[tuple[int, T]]) -> T:
        """One of (weight, item)."""
        at = self.dice.random() * sum(weight for weight, _ in items)
        for weight, item in items:
            at -= weight
            if at < 0:
                return item
        return items[-1][1]

    def below(self, limit: int, start: int = 0) -> int:
        """A whole number from `start`, less than `limit`."""
        return start + int(self.dice.random() * (limit - start))

    def chance(self, share: float) -> bool:
        """True in this share of the calls."""
        return self.dice.random() < share

    def hex(self, digits: int) -> str:
        """So many hexadecimal digits."""
        return f"{self.dice.getrandbits(4 * digits):0{digits}x}"

    def moment(self) -> datetime:
        """A moment of the day, in the institution's zone, most often in working hours."""
        hour = bisect_left(_UNTIL, self.dice.random() * _UNTIL[-1])
        seconds = hour * 3600 + self.dice.random() * 3600
        return datetime(self.day.year, self.day.month, self.day.day, tzinfo=ZONE) + timedelta(seconds=seconds)

    def moments(self, count: int) -> list[datetime]:
        """So many moments of the day, in order."""
        return sorted(self.moment() for _ in range(count))

    def outside(self) -> str:
        """An address of the Internet, now and then IPv6."""
        if self.chance(0.04):
            return f"2001:db8:{self.below(64):x}::{self.below(4000, 1):x}"
        net = self.pick(("192.0.2", "203.0.113", "198.51.100"))
        return f"{net}.{self.below(250, 70)}"

    def desk(self) -> str:
        """An address of a workplace."""
        return f"10.20.{self.pick((30, 31, 32))}.{self.below(240, 10)}"


def syslog_time(moment: datetime) -> str:
    """A time as RFC 3164 writes it: `Mar  2 07:14:09`."""
    return f"{_MONTHS[moment.month - 1]} {moment.day:2d} {moment:%H:%M:%S}"


def access_time(moment: datetime) -> str:
    """A time as access logs write it: `02/Mar/2026:07:14:09 +0700`, in English whatever the locale is."""
    return f"{moment.day:02d}/{_MONTHS[moment.month - 1]}/{moment:%Y:%H:%M:%S %z}"


def utc_text(moment: datetime) -> str:
    """A time in UTC with three digits: `2026-03-02T00:14:09.120Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
