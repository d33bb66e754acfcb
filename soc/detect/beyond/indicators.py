"""Indicators out of the store: events of layer 4 with `threat.indicator.*`, as a set that events are matched
with.

A set is built once from all of them and then follows the store's feed, so a sweep takes in what came since.
It is kept in the platform's cache folder, for each store its own, and can be made anew at any time. What an
indicator says of itself: its type and value, `soc.extra.indicator.valid_from` and `.valid_until` (from and
until when it is valid, by the time of the events that are matched), `.revoked`, `.detects` (MISP's `to_ids`),
who stated it, its marking (TLP) and the confidence in it.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from soc import ecs
from soc.detect.beyond import values
from soc.detect.beyond.indicator_set import (
    NOT_FOR_DETECTION,
    REVOKED,
    TOO_BROAD,
    IndicatorSet,
    Info,
    Row,
    validity,
)
from soc.detect.cache import read_own, write_own
from soc.detect.predicate import And, Op, Test
from soc.detect.text import canonical
from soc.event import Event, values_of
from soc.store.contract import Store, StoredEvent

PREDICATE = And((Test("event.kind", Op.EQUALS, "enrichment"), Test("event.type", Op.EQUALS, "indicator")))
"""Which events are indicators, as ECS marks them."""

REMEMBERED = 100_000
"""Values of each kind of field whose look-up is remembered; beyond it all are forgotten."""

LONGEST = 8_192
"""Characters of a value that is looked up; what is longer is no name, address or hash, and hardly a URL."""

BROADEST = {32: 8, 128: 16}
"""Shortest prefix of a network that is matched, by the bits of an address: half of the Internet is a
mistake.
"""

_CONFIDENCE = {"high": 85, "medium": 50, "low": 15}
"""STIX 2.1, appendix A: the middle of each range, for sources that give the word alone."""

_VALIDITY = ("valid", "not yet", "expired")

Found = tuple[tuple[Row, str], ...]
"""Indicators that a value is, each with what of the value it is about."""


# ------------------------------------------------------------------ from events


def rows_of(stored: StoredEvent) -> Iterator[Row]:
    """The indicators that an event states; none when nothing of it can be looked for."""
    event = stored.event
    said = dict(_said(event))
    who = values.hashed("who", f"{said['source']}\0{said['provider']}\0{said['id']}")
    for type_, key, state in _keys(event):
        info = Info(
            type_, said["source"], said["provider"], said["tlp"], said["confidence"], said["state"] or state
        )
        yield Row(key, said["since"], said["until"], said["stated"], who, stored.id, info)


def _said(event: Event) -> Iterator[tuple[str, Any]]:
    def text(*names: str) -> str:
        return next((canonical(v) for n in names for v in values_of(event, n)), "")

    yield "source", text("soc.source", "event.dataset")
    yield "provider", text("threat.indicator.provider")
    yield "id", text("threat.indicator.id")
    yield "tlp", text("soc.indicator.tlp", "threat.indicator.marking.tlp").upper()
    confidence = text("soc.indicator.confidence")
    word = text("threat.indicator.confidence").lower()
    yield "confidence", min(int(confidence), 100) if confidence.isdigit() else _CONFIDENCE.get(word, 0)
    yield "since", micros_of(text("soc.extra.indicator.valid_from")) // 1_000_000
    yield "until", micros_of(text("soc.extra.indicator.valid_until")) // 1_000_000
    yield "stated", micros_of(text("threat.indicator.modified_at", "event.ingested", "@timestamp"))
    if text("soc.extra.indicator.revoked").lower() == "true":
        yield "state", REVOKED
    elif text("soc.extra.indicator.detects").lower() == "false":
        yield "state", NOT_FOR_DETECTION
    else:
        yield "state", ""


def micros_of(text: str) -> int:
    """A time as lists write it (ISO 8601, a date, seconds since 1970) in microseconds; 0 for none."""
    if text.isdigit() and len(text) <= 11:
        return int(text) * 1_000_000
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return 0
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return max(0, round(found.timestamp() * 1_000_000))


_BY_TYPE: Mapping[str, tuple[str, ...]] = {
    values.DOMAIN: ("threat.indicator.url.domain",),
    values.URL: ("threat.indicator.url.full", "threat.indicator.url.original"),
    values.EMAIL: ("threat.indicator.email.address",),
    values.FILE: tuple(
        f"threat.indicator.file.hash.{kind}" for kind in ("md5", "sha1", "sha256", "sha384", "sha512")
    ),
    values.IPV4: ("threat.indicator.ip", "soc.extra.indicator.cidr"),
    values.IPV6: ("threat.indicator.ip", "soc.extra.indicator.cidr"),
}
_ALIASES = {
    "hostname": values.DOMAIN,
    "ip": values.IPV4,
    "email": values.EMAIL,
    "email-message": values.EMAIL,
}
_NAME = ("threat.indicator.name",)


def _keys(event: Event) -> Iterator[tuple[str, int, str]]:
    """Type, key and state of each value that an event names to be looked for.

    Its type decides: the host of a malicious URL is not itself an indicator. Where the type is not said, all
    values are taken, but for the host of a URL.
    """
    type_ = canonical(next(iter(values_of(event, "threat.indicator.type")), "")).lower()
    type_ = _ALIASES.get(type_, type_)
    for value in values_of(event, "soc.extra.indicator.revoked_value"):
        kind = canonical(event.get("soc.extra.indicator.revoked_type"))
        if kind in _BY_TYPE:
            yield from _key(kind, values.plain(value))
    types = [type_] if type_ in _BY_TYPE else [t for t in _BY_TYPE if t != values.IPV6]
    for kind in types:
        if kind == values.DOMAIN and len(types) > 1 and "threat.indicator.url.full" in event:
            continue
        there = [v for name in _BY_TYPE[kind] for v in values_of(event, name)]
        if not there and len(types) == 1:
            there = values_of(event, _NAME[0])
        for value in there:
            yield from _key(kind, values.plain(value))


def _key(kind: str, value: str) -> Iterator[tuple[str, int, str]]:
    if kind in (values.IPV4, values.IPV6):
        if found := values.network_of(value):
            address, prefix = found
            broad = prefix < BROADEST[len(address) * 8]
            type_ = values.IPV4 if len(address) == 4 else f"{values.IPV6}/{prefix}"
            yield type_, values.network(address, prefix), TOO_BROAD if broad else ""
        return
    reader: Callable[[str], Any] = _READERS[kind]
    normal = reader(value)
    if normal:
        broad = kind == values.DOMAIN and "." not in normal
        yield kind, values.hashed(kind, normal), TOO_BROAD if broad else ""


def _url(text: str) -> str | None:
    found = values.url(text)
    return found[0] if found else None


_READERS: Mapping[str, Callable[[str], str | None]] = {
    values.DOMAIN: values.domain,
    values.URL: _url,
    values.FILE: values.file_hash,
    values.EMAIL: values.email,
}


# ------------------------------------------------------------------ what a field may hold


def look_of(field: str) -> str:
    """What kind of value a field holds: `address`, `host`, `url`, `file`, `email`, or `any`."""
    parts = field.split(".")
    if ecs.type_of(field) == "ip":
        return "address"
    if "hash" in parts:
        return "file"
    if field in ("url.full", "url.original", "http.request.referrer") or parts[-1] == "url":
        return "url"
    if parts[0] == "email" and parts[-1] == "address":
        return "email"
    hosts = ("domain", "registered_domain", "server_name", "hostname", "address")
    return "host" if parts[-1] in hosts or field == "dns.question.name" else "any"


class _Memo(dict[Any, Found]):
    """Value to the indicators that it is, worked out when it is first asked for; within a bound."""

    def __init__(self, look: Callable[[str], Iterable[tuple[Row, str]]]) -> None:
        super().__init__()
        self._look = look

    def __missing__(self, value: Any) -> Found:
        if isinstance(value, str) and len(value) > LONGEST:
            return ()
        found = tuple(pair for pair in self._look(canonical(value)) if not pair[0].info.state)
        if len(self) >= REMEMBERED:
            self.clear()
        self[value] = found
        return found


class Indicators:
    """The indicators of a store, followed through its feed."""

    def __init__(self, store: Store, *, keep: bool = True) -> None:
        """`keep`: between processes, in the platform's cache folder."""
        self.store = store
        self._keep = keep
        self.set = IndicatorSet()
        self._kept: tuple[str, object] = ("", None)
        self._loaded = False
        self._memos: dict[str, _Memo] = {}
        self._details: dict[str, Event] = {}

    # following the store

    def refresh(self) -> int:
        """Take in what came since; how many statements that were."""
        if self._keep and not self._loaded:
            self._load()
        added = self._build() if self.set.position is None else self._follow()
        if added:
            self._memos.clear()
        if self._keep:
            self._save()
        return added

    def _build(self) -> int:
        head = dict(self.store.head())
        added = self.set.add(self._rows(self.store.search(PREDICATE)))
        self.set.position = head
        return added

    def _follow(self) -> int:
        added = 0
        for batch in self.store.feed(self.set.position or {}, narrow=PREDICATE):
            if (
                batch.notes
            ):  # another store under this name, or one that was set back: what it said may be gone
                self.set = IndicatorSet()
                return self._build()
            added += self.set.add(self._rows(batch.events))
            self.set.position = dict(batch.position)
        return added

    @staticmethod
    def _rows(events: Iterable[StoredEvent]) -> Iterator[Row]:
        for stored in events:
            if stored.event.get("event.kind") == "enrichment" and "indicator" in values_of(
                stored.event, "event.type"
            ):
                yield from rows_of(stored)

    def _paths(self) -> tuple[Path, Path]:
        """The file of the set, and that of how far it has read, which changes more often."""
        from soc import config

        folder = config.cache_folder() / "indicators"
        named = f"{self.store.name}\0{self.store.space}"
        key = hashlib.blake2b(named.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        return folder / f"set-{key}.msgpack", folder / f"read-{key}.msgpack"

    def _load(self) -> None:
        """The set as it was kept; nothing when it is not there, not ours or damaged."""
        self._loaded = True
        rows, read = self._paths()
        with suppress(OSError, ValueError):
            self.set = IndicatorSet.load(read_own(rows))
            self._kept = (self.set.generation, self.set.position)
        with suppress(OSError, ValueError, msgspec.MsgspecError):
            generation, position = msgspec.msgpack.decode(read_own(read), type=tuple[str, dict[str, Any]])
            if generation == self.set.generation and self.set.position is not None:
                self.set.position = position
                self._kept = (generation, position)

    def _save(self) -> None:
        """Keep what is new. A cache that cannot be written is only slower next time."""
        rows, read = self._paths()
        now = (self.set.generation, self.set.position)
        with suppress(OSError):
            if now[0] != self._kept[0] or self._kept[1] is None:
                write_own(rows, self.set.dump())
            elif now[1] != self._kept[1]:
                write_own(read, msgspec.msgpack.encode(now))
        self._kept = now

    # what there is

    def overview(self, now: datetime) -> list[dict[str, Any]]:
        """How many indicators of each source and type there are, and how many of them match at a moment."""
        seconds = int(now.timestamp())
        out: dict[tuple[str, str, str], dict[str, Any]] = {}
        for (info, what), number in self.set.count(seconds).items():
            type_ = info.type.partition("/")[0]
            row = out.setdefault(
                (info.source, info.provider, type_),
                {
                    "source": info.source,
                    "provider": info.provider,
                    "type": type_,
                    "valid": 0,
                    "not_yet": 0,
                    "expired": 0,
                    "unused": 0,
                },
            )
            row[what.replace(" ", "_") if what in _VALIDITY else "unused"] += number
        return [out[key] for key in sorted(out)]

    def about(self, value: str, now: datetime) -> list[dict[str, Any]]:
        """The indicators that a value is, or is in; each with what its event says, and whether it matches."""
        looked = values.plain(value)
        address = values.network_of(looked)
        if address is not None:
            bits, prefix = len(address[0]) * 8, address[1]
            rows = self.set.by_address(address[0])
            found = [(row, looked) for row in rows if prefix == bits or _prefix(row) <= prefix]
        else:
            found = self._any(looked)
        return [self._shown(row, about, int(now.timestamp())) for row, about in found]

    def _shown(self, row: Row, about: str, now: int) -> dict[str, Any]:
        details = self.details(row)

        def said(name: str) -> str:
            return ", ".join(canonical(v) for v in values_of(details, name))

        return {
            "indicator": shown_network(row).removesuffix("/32") or about,
            "type": row.info.type.partition("/")[0],
            "state": row.info.state or validity(row.since, row.until, now),
            "source": row.info.source,
            "provider": row.info.provider,
            "tlp": row.info.tlp,
            "confidence": row.info.confidence,
            "first_seen": said("threat.indicator.first_seen"),
            "valid_until": said("soc.extra.indicator.valid_until"),
            "description": said("threat.indicator.description"),
            "reference": said("threat.indicator.reference"),
            "event": row.event,
        }

    # looking up

    def memo(self, field: str) -> _Memo:
        """Value to indicators for the values of a field; to be asked anew after `refresh`."""
        look = look_of(field)
        known = self._memos.get(look)
        if known is None:
            known = self._memos[look] = _Memo(getattr(self, f"_{look}"))
        return known

    def _pairs(self, rows: Iterable[Row], about: str) -> list[tuple[Row, str]]:
        return [(row, about) for row in rows]

    def _address(self, value: str) -> list[tuple[Row, str]]:
        address = values.packed(value)
        return self._pairs(self.set.by_address(address), value) if address else []

    def _host(self, value: str) -> list[tuple[Row, str]]:
        if address := values.packed(value):
            return self._pairs(self.set.by_address(address), value)
        name = values.domain(value)
        out = []
        for key, parent in values.domain_keys(name) if name else ():
            out += self._pairs(self.set.by_key(key), parent)
        return out

    def _of_host(self, value: str) -> list[tuple[Row, str]]:
        """As `_host`, remembered: many URLs have one host."""
        return list(self.memo("url.domain")[value])

    def _url(self, value: str) -> list[tuple[Row, str]]:
        found = values.url(value)
        if found is None:
            return []
        whole, host = found
        return self._pairs(self.set.by_key(values.hashed(values.URL, whole)), whole) + self._of_host(host)

    def _file(self, value: str) -> list[tuple[Row, str]]:
        normal = values.file_hash(value)
        return self._pairs(self.set.by_key(values.hashed(values.FILE, normal)), normal) if normal else []

    def _email(self, value: str) -> list[tuple[Row, str]]:
        normal = values.email(value)
        if normal is None:
            return []
        whole = self._pairs(self.set.by_key(values.hashed(values.EMAIL, normal)), normal)
        return whole + self._of_host(normal.rpartition("@")[2])

    def _any(self, value: str) -> list[tuple[Row, str]]:
        if "://" in value:
            return self._url(value)
        if "@" in value:
            return self._email(value)
        return self._file(value) or self._host(value)

    def details(self, row: Row) -> Event:
        """The event that stated an indicator; empty when it is no longer in the store."""
        if row.event and row.event not in self._details:
            if len(self._details) >= 1_000:
                self._details.clear()
            found = self.store.events([row.event])
            self._details[row.event] = found[0].event if found else {}
        return self._details.get(row.event, {})


def shown_network(row: Row) -> str:
    """The network that a row of IPv4 is about, from its key; "" for any other row."""
    if row.key & values.HASHED:
        return ""
    prefix = row.key >> 32
    return str(ipaddress.IPv4Network(((row.key & 0xFFFFFFFF) << (32 - prefix), prefix)))


def _prefix(row: Row) -> int:
    """The length of the network that a row is about."""
    if row.key & values.HASHED:
        return int(row.info.type.partition("/")[2] or 128)
    return row.key >> 32
