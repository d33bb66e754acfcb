"""A million indicators in memory and on disk: sorted keys, searched by halving, beside what is known of each.

An indicator is a row over columns of numbers: its key (`soc.detect.beyond.values`), from when and until when
it is valid, when it was stated, by whom, the id of the event that stated it, and the number of an `Info` that
many share. A million rows take 52 MB, are read from disk as they lie there, and a look-up of a value that is
no indicator costs about a microsecond. New rows are a second, small set beside the large one until it has
grown.

Of several statements of one source about one value the latest holds, so an indicator can be changed, expire
earlier, or be revoked.
"""

from __future__ import annotations

import secrets
import sys
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from soc.detect.beyond import values

FORMAT = 1
"""Version of the form on disk; another one is not read."""
FOLD_SHARE = 0.05
"""The small set is folded into the large one when it has more than this share of its rows."""
FOLD_LEAST = 2_000

REVOKED, NOT_FOR_DETECTION, TOO_BROAD = "revoked", "not for detection", "too broad"
"""Why an indicator is known and does not match."""

_ID = 16


class Info(NamedTuple):
    """What many indicators share. `type`: as in STIX, of IPv6 with the length of the network
    (`ipv6-addr/48`). `state`: "" for one that matches, else why not.
    """

    type: str
    source: str
    provider: str
    tlp: str
    confidence: int
    state: str = ""


class Row(NamedTuple):
    """One indicator. Times in seconds since 1970, 0 for none; `stated` in microseconds; `event`: the id of
    the event that stated it; `who`: a number that stands for whose statement it is.
    """

    key: int
    since: int
    until: int
    stated: int
    who: int
    event: str
    info: Info


class _Columns(msgspec.Struct, array_like=True):
    """A set as it lies on disk: numbers of the machine's own order, one column after the other."""

    order: str
    keys: memoryview
    since: memoryview
    until: memoryview
    stated: memoryview
    who: memoryview
    info: memoryview
    ids: memoryview


class _File(msgspec.Struct, array_like=True):
    format: int
    generation: str
    position: dict[str, object] | None
    infos: list[tuple[str, str, str, str, int, str]]
    segments: list[_Columns]


@dataclass(slots=True)
class Segment:
    """Rows by key. The columns are arrays, or views of what was read."""

    keys: Sequence[int]
    since: Sequence[int]
    until: Sequence[int]
    stated: Sequence[int]
    who: Sequence[int]
    info: Sequence[int]
    ids: bytes | memoryview

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, key: int, low: int = 0, high: int | None = None) -> Sequence[int]:
        """The rows of a key."""
        keys = self.keys
        end = len(keys) if high is None else high
        at = bisect_left(keys, key, low, end)
        if at == end or keys[at] != key:
            return ()
        last = at + 1
        while last < end and keys[last] == key:
            last += 1
        return range(at, last)


class _Building:
    """Columns that grow, in any order."""

    def __init__(self) -> None:
        self.keys, self.stated, self.who = array("Q"), array("Q"), array("Q")
        self.since, self.until, self.info = array("I"), array("I"), array("I")
        self.ids = bytearray()

    def extend(self, segment: Segment) -> None:
        """Take in all rows of a segment."""
        for name in ("keys", "stated", "who", "since", "until", "info"):
            column: array[int] = getattr(self, name)
            column.frombytes(_raw(getattr(segment, name)))
        self.ids += segment.ids

    def sorted(self) -> Segment:
        """The rows by key; of several by one source about one key, the latest."""
        keys, stated, who = self.keys, self.stated, self.who
        order = sorted(range(len(keys)), key=keys.__getitem__)
        kept = array("I")
        start = 0
        for end in range(1, len(order) + 1):
            if end < len(order) and keys[order[end]] == keys[order[start]]:
                continue
            if end - start == 1:
                kept.append(order[start])
            else:
                latest: dict[int, int] = {}
                for row in order[start:end]:
                    known = latest.get(who[row])
                    if known is None or (stated[row], self._id(row)) >= (stated[known], self._id(known)):
                        latest[who[row]] = row
                kept.extend(latest.values())
            start = end
        del order
        ids = bytearray(len(kept) * _ID)
        for at, row in enumerate(kept):
            ids[at * _ID : at * _ID + _ID] = self.ids[row * _ID : row * _ID + _ID]

        def column(found: array[int]) -> array[int]:
            return array(found.typecode, map(found.__getitem__, kept))

        return Segment(
            column(self.keys),
            column(self.since),
            column(self.until),
            column(self.stated),
            column(self.who),
            column(self.info),
            bytes(ids),
        )

    def _id(self, row: int) -> bytes:
        return bytes(self.ids[row * _ID : row * _ID + _ID])


class IndicatorSet:
    """Indicators, to be looked up by key.

    `position`: where in the store's feed it stands, None for nowhere; `generation`: another after each
    change.
    """

    def __init__(self) -> None:
        self.position: dict[str, object] | None = None
        self.generation = ""
        self._infos: list[Info] = []
        self._numbers: dict[Info, int] = {}
        self._segments: list[Segment] = [_empty(), _empty()]
        self._prefixes: list[tuple[list[tuple[int, int, int]], list[int]]] = []
        self._index()

    def __len__(self) -> int:
        return sum(map(len, self._segments))

    # changing

    def add(self, rows: Iterable[Row]) -> int:
        """Take in statements, in any order, also such as are there already; how many there were."""
        building = _Building()
        for row in rows:
            building.keys.append(row.key)
            building.since.append(_seconds(row.since))
            building.until.append(_seconds(row.until))
            building.stated.append(max(0, row.stated))
            building.who.append(row.who)
            building.info.append(self._number(row.info))
            building.ids += pack_id(row.event)
        added = len(building.keys)
        if not added:
            return 0
        large, small = self._segments
        building.extend(small)
        if len(building.keys) > max(FOLD_LEAST, FOLD_SHARE * len(large)):
            building.extend(large)
            large = small = _empty()
            self._segments = [building.sorted(), small]
        else:
            self._segments = [large, building.sorted()]
        self.generation = secrets.token_hex(8)
        self._index()
        return added

    def _number(self, info: Info) -> int:
        known = self._numbers.get(info)
        if known is None:
            known = self._numbers[info] = len(self._infos)
            self._infos.append(info)
        return known

    def _index(self) -> None:
        """Which lengths of networks there are, and where in the keys those of IPv4 lie."""
        self._prefixes = []
        for segment in self._segments:
            four = []
            low = 0
            for prefix in range(33):
                high = bisect_left(segment.keys, (prefix + 1) << 32, low)
                if high > low:
                    four.append((prefix, low, high))
                low = high
            six = sorted({_prefix_of(self._infos[n]) for n in set(segment.info)} - {-1})
            self._prefixes.append((four, six))

    # looking up

    def by_key(self, key: int) -> list[Row]:
        """The statements about a key that hold: the latest of each source."""
        found = [(segment, row) for segment in self._segments for row in segment.find(key)]
        return self._latest(found) if found else []

    def by_address(self, address: bytes) -> list[Row]:
        """The statements about an address, and about the networks that it is in."""
        found: list[tuple[Segment, int]] = []
        for segment, (four, six) in zip(self._segments, self._prefixes, strict=True):
            if len(address) == 4:
                number = int.from_bytes(address, "big")
                for prefix, low, high in four:
                    key = (prefix << 32) | (number >> (32 - prefix))
                    found += [(segment, r) for r in segment.find(key, low, high)]
            else:
                for prefix in six:
                    found += [(segment, r) for r in segment.find(values.network(address, prefix))]
        return self._latest(found) if found else []

    def _latest(self, found: Sequence[tuple[Segment, int]]) -> list[Row]:
        latest: dict[tuple[int, int], Row] = {}
        for segment, at in found:
            row = self._row(segment, at)
            known = latest.get((row.key, row.who))
            if known is None or (row.stated, row.event) >= (known.stated, known.event):
                latest[row.key, row.who] = row
        return list(latest.values())

    def _row(self, segment: Segment, at: int) -> Row:
        return Row(
            segment.keys[at],
            segment.since[at],
            segment.until[at],
            segment.stated[at],
            segment.who[at],
            unpack_id(bytes(segment.ids[at * _ID : at * _ID + _ID])),
            self._infos[segment.info[at]],
        )

    def rows(self) -> Iterator[Row]:
        """Every statement; one that a later one took the place of may be among them."""
        for segment in self._segments:
            for at in range(len(segment)):
                yield self._row(segment, at)

    def count(self, now: int) -> Counter[tuple[Info, str]]:
        """How many indicators there are by what they share, and `valid`, `expired`, `not yet` at `now`
        (seconds), or why they do not match."""
        out: Counter[tuple[Info, str]] = Counter()
        for segment in self._segments:
            for number, since, until in zip(segment.info, segment.since, segment.until, strict=True):
                info = self._infos[number]
                out[info, info.state or validity(since, until, now)] += 1
        return out

    # on disk

    def dump(self) -> bytes:
        """The set as bytes."""
        segments = [
            _Columns(
                sys.byteorder,
                memoryview(_raw(s.keys)),
                memoryview(_raw(s.since)),
                memoryview(_raw(s.until)),
                memoryview(_raw(s.stated)),
                memoryview(_raw(s.who)),
                memoryview(_raw(s.info)),
                memoryview(s.ids),
            )
            for s in self._segments
        ]
        infos = [(i.type, i.source, i.provider, i.tlp, i.confidence, i.state) for i in self._infos]
        return msgspec.msgpack.encode(_File(FORMAT, self.generation, self.position, infos, segments))

    @classmethod
    def load(cls, raw: bytes) -> IndicatorSet:
        """A set out of bytes, which it then holds on to. Raises ValueError for what is none."""
        try:
            found = msgspec.msgpack.decode(raw, type=_File)
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)) from None
        if found.format != FORMAT or len(found.segments) != 2:
            raise ValueError("another format")
        out = cls()
        out.position, out.generation = found.position, found.generation
        out._infos = [Info(*info) for info in found.infos]
        out._numbers = {info: number for number, info in enumerate(out._infos)}
        out._segments = []
        for c in found.segments:
            if c.order != sys.byteorder:
                raise ValueError("of another machine")
            segment = Segment(
                c.keys.cast("Q"),
                c.since.cast("I"),
                c.until.cast("I"),
                c.stated.cast("Q"),
                c.who.cast("Q"),
                c.info.cast("I"),
                c.ids,
            )
            columns = (segment.since, segment.until, segment.stated, segment.who, segment.info)
            if {len(x) for x in columns} != {len(segment)} or len(c.ids) != _ID * len(segment):
                raise ValueError("damaged")
            if len(segment) and max(segment.info) >= len(out._infos):
                raise ValueError("damaged")
            out._segments.append(segment)
        out._index()
        return out


def validity(since: int, until: int, at: int) -> str:
    """`valid`, `not yet` or `expired` at a moment; all in seconds, 0 for no bound."""
    if since and at < since:
        return "not yet"
    return "expired" if until and at >= until else "valid"


def _empty() -> Segment:
    return Segment(array("Q"), array("I"), array("I"), array("Q"), array("Q"), array("I"), b"")


def _seconds(value: int) -> int:
    return min(max(0, value), 0xFFFFFFFF)


def _raw(column: Sequence[int]) -> bytes:
    return column.tobytes()  # type: ignore[attr-defined, no-any-return] # an array or a view: both have it


def _prefix_of(info: Info) -> int:
    """The length of the networks of IPv6 that an info is about; -1 when it is about something else."""
    kind, _, prefix = info.type.partition("/")
    return int(prefix) if kind == values.IPV6 else -1


def pack_id(event: str) -> bytes:
    """An event's id in 16 bytes; of an id of another form nothing is kept."""
    try:
        if len(event) == 29 and event[16] == "-":
            return b"\1" + bytes.fromhex(event[:16] + event[17:]) + b"\0"
        if len(event) == 31 and event[0] == "r":
            return b"\2" + bytes.fromhex(event[1:])
    except ValueError:
        pass
    return bytes(_ID)


def unpack_id(raw: bytes) -> str:
    """The opposite of `pack_id`; "" for an id that was not kept."""
    if raw[0] == 1:
        return f"{raw[1:9].hex()}-{raw[9:15].hex()}"
    return f"r{raw[1:].hex()}" if raw[0] == 2 else ""
