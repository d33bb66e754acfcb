"""The contract of stores, over each kind of store. Nothing here knows how one of them works."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.config import StoreSettings
from soc.detect.predicate import And, Not, Op, Predicate, Test
from soc.event import Event, event_id, timestamp
from soc.store.contract import (
    Document,
    Fate,
    FeedBatch,
    Incoming,
    Position,
    Store,
    StoredEvent,
    VersionConflictError,
    Write,
)
from tests.store.worker import made

START = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]

StoreFactory = Callable[[], Store]


def incoming(
    number: int, fields: Mapping[str, Any] | None = None, *, layer: int = 1, generation: str = "g"
) -> Incoming:
    """An event one second after the one before it."""
    at = timestamp(START + timedelta(seconds=number))
    event: Event = {
        "@timestamp": at,
        "soc.layer": layer,
        "event.original": f"line {number}",
        **(fields or {}),
    }
    return Incoming(event_id("test", generation, number), event)


def fates(store: Store, events: list[Incoming]) -> list[Fate]:
    """What became of each, with ids in the order given."""
    outcomes = store.append(events)
    assert [o.id for o in outcomes] == [e.id for e in events]
    assert all(bool(o.reason) == (o.fate is Fate.REJECTED) for o in outcomes)
    return [o.fate for o in outcomes]


def read_on(store: Store, position: Position, **options: Any) -> tuple[list[StoredEvent], Position]:
    """All that the feed has after a position, and where it stands then. Positions survive JSON."""
    events: list[StoredEvent] = []
    for batch in store.feed(json.loads(json.dumps(position)), **options):
        events += batch.events
        position = batch.position
    return events, position


def ids(events: list[StoredEvent] | list[Incoming]) -> list[str]:
    """Only the ids."""
    return [e.id for e in events]


def same(left: Any, right: Any) -> bool:
    """Equal in value and type, also inside lists; NaN is itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(v, right[k]) for k, v in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and math.isnan(left):
        return math.isnan(right)
    if isinstance(left, float) and math.copysign(1, left) != math.copysign(1, right):
        return False
    return bool(left == right)


# appending


def test_appending_nothing_is_fine(store: Store) -> None:
    """No events, no outcomes."""
    assert store.append([]) == []


def test_an_id_is_stored_once(store: Store) -> None:
    """Also within one call, and the first one stays."""
    first, second = incoming(1), incoming(2)
    other = Incoming(first.id, {**first.event, "event.original": "something else"})
    assert fates(store, [first, second, other]) == [Fate.STORED, Fate.STORED, Fate.DUPLICATE]
    assert fates(store, [second, incoming(3), other]) == [Fate.DUPLICATE, Fate.STORED, Fate.DUPLICATE]
    assert store.events([first.id]) == [StoredEvent(first.id, first.event)]
    assert len(list(store.search())) == 3


def test_a_rejected_event_harms_no_neighbour(store: Store) -> None:
    """Each bad one is rejected with a reason; the good ones around it are stored."""
    bad: list[Incoming] = [
        Incoming("no-time", {"soc.layer": 1}),
        Incoming("no-layer", {"@timestamp": timestamp(START)}),
        Incoming("bad-time", {"@timestamp": "yesterday", "soc.layer": 1}),
        Incoming("naive-time", {"@timestamp": "2026-03-02T07:00:00", "soc.layer": 1}),
        Incoming("bad-layer", {"@timestamp": timestamp(START), "soc.layer": "x"}),
        Incoming("layer-9", {"@timestamp": timestamp(START), "soc.layer": 9}),
        Incoming("not-json", {"@timestamp": timestamp(START), "soc.layer": 1, "x": object()}),
        Incoming("a-date", {"@timestamp": timestamp(START), "soc.layer": 1, "x": START}),
        Incoming("", {"@timestamp": timestamp(START), "soc.layer": 1}),
    ]
    events = [x for i, item in enumerate(bad) for x in (incoming(i), item)] + [incoming(99)]
    outcomes = store.append(events)
    for event, outcome in zip(events, outcomes, strict=True):
        assert outcome.fate is (Fate.REJECTED if event in bad else Fate.STORED), outcome
        assert bool(outcome.reason) == (event in bad)
    assert len(list(store.search())) == len(bad) + 1
    assert store.events([b.id for b in bad if b.id]) == []


def test_a_rejected_event_may_come_again_repaired(store: Store) -> None:
    """The id of a rejected event is not taken."""
    good = incoming(1)
    assert fates(store, [Incoming(good.id, {})]) == [Fate.REJECTED]
    assert fates(store, [good]) == [Fate.STORED]


FITTING: dict[str, Event] = {
    "types": {"i": 1, "f": 1.5, "whole": 1.0, "t": True, "n": False, "s": "1", "negative": -0.0},
    "lists": {"l": [1, "a", True, 1.5, None], "one": ["x"], "none": [], "nulls": [None]},
    "nothing": {"null": None, "empty": "", "space": " "},
    "names": {"a": "x", "a.b": 1, "a.b.c": [True], "A": 1, "with space": 1, "đ.ữ": "liệu", "_id": "mine"},
    "known-misfits": {
        "source.ip": "not an address",
        "destination.port": "http",
        "event.created": "soon",
        "process.pid": 2**70,
        "event.severity": [1, "two"],
        "source.geo.location": "nowhere",
    },
    "host": {"host": "web01", "host.name": "web01"},
    "text": {"composed": "Nguyễn", "decomposed": "Nguye\u0302\u0303n", "emoji": "🛡️"},
    "control": {"nul": "a\0b", "escape": "\x1b[31m\x7f\r\n", "x:y": "\u2028"},
    "keyword-too-long": {"user.name": "n" * 40_000, "url.path": "/đ" * 20_000},
    "integers": {"long": 2**63 - 1, "x": 2**64, "y": -(2**63) - 1, "z": 10**30},
    "fractions": {"tiny": 5e-324, "large": 1.7976931348623157e308, "third": 1 / 3},
    "many": {f"labels.f{i}": i for i in range(1_500)},
}  # fmt: skip


@pytest.mark.parametrize("name", list(FITTING))
def test_names_and_types_come_back_exactly(store: Store, name: str) -> None:
    """Whatever an event holds is read back as it was, by every way of reading."""
    event = incoming(1, FITTING[name])
    assert fates(store, [event]) == [Fate.STORED]
    for found in (store.events([event.id]), list(store.search()), read_on(store, store.beginning())[0]):
        (stored,) = found
        assert stored.id == event.id
        assert same(stored.event, event.event), stored.event


def test_one_name_may_hold_different_types(store: Store) -> None:
    """A text here, a number there, a longer name elsewhere: each event is stored as it is."""
    values: list[Event] = [
        {"zone": "dmz"}, {"zone": 7}, {"zone": True}, {"zone": [1, "x"]}, {"zone.name": "dmz"}, {"zone": 1.5},
        {"zone": "2026-03-02T07:00:00.000000Z"}, {"zone": "192.0.2.7"}, {"zone.name.long": 1}, {"zone": None},
    ]  # fmt: skip
    events = [incoming(i, v) for i, v in enumerate(values)]
    assert set(fates(store, events)) == {Fate.STORED}
    for event, stored in zip(events, store.search(), strict=True):
        assert same(stored.event, event.event)


def test_a_large_event_is_kept_whole(store: Store) -> None:
    """A megabyte of original, beside small ones; still found by what stands at its end."""
    large = incoming(2, {"event.original": "đường " * 170_000 + "the end"})
    assert set(fates(store, [incoming(1), large, incoming(3)])) == {Fate.STORED}
    (found,) = store.search(Test("event.original", Op.ENDSWITH, "THE END"))
    assert same(found.event, large.event)


_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30))
_names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
_events = st.dictionaries(_names, st.one_of(_scalars, st.lists(_scalars, max_size=4)), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(_events, min_size=1, max_size=5))
def test_any_event_comes_back_exactly_or_is_rejected(store: Store, bodies: list[Event]) -> None:
    """There is no third way: nothing is stored otherwise than it came."""
    generation = uuid4().hex
    sent = [
        incoming(
            i,
            {k: v for k, v in body.items() if k not in ("@timestamp", "soc.layer", "soc.retention")},
            generation=generation,
        )
        for i, body in enumerate(bodies)
    ]
    stored = {e.id: e.event for e in store.events(ids(sent))}
    assert stored == {}
    outcomes = store.append(sent)
    stored = {e.id: e.event for e in store.events(ids(sent))}
    for event, outcome in zip(sent, outcomes, strict=True):
        assert (event.id in stored) == (outcome.fate is Fate.STORED), outcome
        if outcome.fate is Fate.STORED:
            assert same(stored[event.id], event.event)
        else:
            assert outcome.reason


# searching


def test_search_is_ordered_by_time_then_id(store: Store) -> None:
    """Whatever the order of appending; several events may share a time."""
    at = timestamp(START)
    events = [Incoming(f"id-{i:02d}", {"@timestamp": at, "soc.layer": 1 + i % 4}) for i in range(20)]
    events += [incoming(n) for n in (5, 3, 4)]
    random.Random(1).shuffle(events)
    store.append(events)
    expected = sorted(events, key=lambda e: (e.event["@timestamp"], e.id))
    assert ids(list(store.search())) == ids(expected)
    assert ids(list(store.search(newest_first=True))) == ids(expected)[::-1]
    assert ids(list(store.search(limit=7))) == ids(expected)[:7]
    assert ids(list(store.search(limit=7, newest_first=True))) == ids(expected)[::-1][:7]
    assert list(store.search(limit=0)) == []


def test_search_bounds_are_from_and_before(store: Store) -> None:
    """`since` is in, `until` is out, to the microsecond and in any zone."""
    moments = [START + timedelta(microseconds=n) for n in range(5)]
    events = [Incoming(f"m{n}", {"@timestamp": timestamp(m), "soc.layer": 2}) for n, m in enumerate(moments)]
    store.append(events)
    assert ids(list(store.search(since=moments[1], until=moments[3]))) == ["m1", "m2"]
    east = moments[3].astimezone(tz=datetime.now().astimezone().tzinfo)
    assert ids(list(store.search(since=east))) == ["m3", "m4"]
    assert ids(list(store.search(until=moments[0]))) == []
    assert ids(list(store.search(since=moments[3], until=moments[1]))) == []


SEARCHES: list[tuple[Predicate, set[int]]] = [
    (Test("user.name", Op.EQUALS, "NGUYỄN"), {1}),
    (Test("user.name", Op.CONTAINS, "uye\u0302\u0303n"), {1}),
    (Test("user.name", Op.EQUALS, "σίσυφος"), {2}),
    (Test("user.name", Op.STARTSWITH, "pass"), {3}),
    (Test("user.name", Op.EQUALS, "kelvin"), {4}),
    (Test("destination.port", Op.EQUALS, "443"), {1}),
    (Test("destination.port", Op.GTE, 443), {1, 2}),
    (Test("source.ip", Op.CIDR, "192.0.2.0/24"), {1, 2}),
    (Test("source.ip", Op.EXISTS), {1, 2, 3}),
    (Test("source.ip", Op.NULL), {4, 5}),
    (Test("unmapped.field", Op.EQUALS, "7"), {2, 3}),
    (Test("unmapped.field", Op.WILDCARD, ("/a", None, "c")), {4}),
    (Test("tags", Op.EQUALS, "b"), {1}),
    (Test("event.original", Op.REGEX, "line [1-3]$"), {1, 2, 3}),
    (Test("event.original", Op.EQUALS, "quote\" back\\slash"), {5}),
    (Test(None, Op.CONTAINS, "LINE 4"), {4}),
    (Test(None, Op.EQUALS, "true"), {5}),
    (And((Test("soc.layer", Op.EQUALS, "1"), Not(Test("tags", Op.EXISTS)))), {2, 3, 4, 5}),
    (Test("user.name", Op.EQUALS, "PASSWORD", cased=True), set()),
]  # fmt: skip


@pytest.mark.parametrize(("where", "expected"), SEARCHES, ids=lambda v: str(v)[:60])
def test_search_means_what_the_predicate_means(store: Store, where: Predicate, expected: set[int]) -> None:
    """The store may be asked anything; it never leaves out an event on which the predicate is true."""
    store.append(
        [
            incoming(
                1,
                {
                    "user.name": "Nguyễn",
                    "destination.port": 443,
                    "source.ip": "192.0.2.7",
                    "tags": ["a", "B"],
                },
            ),
            incoming(
                2,
                {
                    "user.name": "ΣΊΣΥΦΟΣ",
                    "destination.port": 8443,
                    "source.ip": "192.0.2.8",
                    "unmapped.field": 7,
                },
            ),
            incoming(3, {"user.name": "paſſword", "source.ip": "2001:db8::1", "unmapped.field": "7"}),
            incoming(
                4,
                {
                    "user.name": "\u212aelvin",
                    "destination.port": 80,
                    "source.ip": [],
                    "unmapped.field": "/aBc",
                },
            ),
            incoming(
                5, {"event.original": 'quote" back\\slash', "flag": True, "unmapped.field": ["x", None]}
            ),
        ]
    )
    found = {stored.event["@timestamp"] for stored in store.search(where)}
    assert found == {incoming(n).event["@timestamp"] for n in expected}


def test_search_reads_through_many_pages(store: Store) -> None:
    """More events than one page of any store, many at the same moment; none missed and none twice."""
    at = timestamp(START)
    times = [at if n % 2 else timestamp(START + timedelta(seconds=n)) for n in range(12_000)]
    events = [Incoming(f"p{n:05d}", {"@timestamp": t, "soc.layer": 1}) for n, t in enumerate(times)]
    for first in range(0, len(events), 3_000):
        store.append(events[first : first + 3_000])
    expected = ids(sorted(events, key=lambda e: (e.event["@timestamp"], e.id)))
    assert ids(list(store.search())) == expected
    assert ids(list(store.search(newest_first=True, limit=11_000))) == expected[::-1][:11_000]


def test_a_search_may_be_left_and_written_beside(store: Store) -> None:
    """Stopping early is fine, and so is appending and writing documents while one reads."""
    store.append([incoming(n) for n in range(50)])
    running = store.search()
    first = next(running)
    store.append([incoming(n) for n in range(100, 110)])
    store.put("thing", "one", {"of": first.id}, expect=0)
    assert next(running).id == incoming(1).id
    del running
    assert len(list(store.search())) == 60


def test_events_come_in_the_order_asked_for(store: Store) -> None:
    """Unknown ids are left out, also of another form; many at once are fine."""
    events = [incoming(n) for n in range(1_200)]
    store.append(events)
    wanted = [events[7].id, "unknown", events[3].id, "", "ü"]
    assert ids(store.events(wanted)) == [events[7].id, events[3].id]
    assert ids(store.events(ids(events)[::-1])) == ids(events)[::-1]
    assert store.events([]) == []


# the feed


def test_the_feed_gives_each_event_once_in_the_order_of_commits(store: Store) -> None:
    """From the beginning, from a position, from the head."""
    beginning = store.beginning()
    assert read_on(store, beginning)[0] == []
    store.append([incoming(n) for n in (9, 8, 7)])
    head = store.head()
    got, position = read_on(store, beginning)
    assert sorted(ids(got)) == sorted(ids([incoming(n) for n in (9, 8, 7)]))
    assert read_on(store, position)[0] == []
    assert read_on(store, head)[0] == []
    store.append([incoming(1), incoming(8)])
    assert ids(read_on(store, position)[0]) == [incoming(1).id]
    assert ids(read_on(store, head)[0]) == [incoming(1).id]
    assert len(read_on(store, store.beginning())[0]) == 4


def test_the_head_of_an_empty_store_is_before_everything(store: Store) -> None:
    """What comes after it is read."""
    head = store.head()
    store.append([incoming(1)])
    assert ids(read_on(store, head)[0]) == [incoming(1).id]


def test_batches_of_the_feed_are_bounded_and_each_position_goes_on(store: Store) -> None:
    """Going on from any batch's position gives exactly what is missing."""
    events = [incoming(n, layer=1 + n % 4) for n in range(95)]
    for first in range(0, 95, 10):
        store.append(events[first : first + 10])
    batches: list[FeedBatch] = list(store.feed(store.beginning(), limit=20))
    assert all(len(batch.events) <= 20 for batch in batches)
    seen: list[str] = []
    for batch in batches:
        seen += ids(batch.events)
        rest = ids(read_on(store, batch.position, limit=7)[0])
        assert sorted(seen + rest) == sorted(ids(events))


def test_the_feed_ends_with_what_was_there_at_its_start(store: Store) -> None:
    """A busy writer cannot keep a reader for ever; what came meanwhile is next time's."""
    store.append([incoming(n) for n in range(30)])
    feed = store.feed(store.beginning(), limit=10)
    got, position = [], store.beginning()
    for number, batch in enumerate(feed):
        got += ids(batch.events)
        position = batch.position
        store.append([incoming(1000 + number)])
        assert number < 20
    later = ids(read_on(store, position)[0])
    everything = ids(list(store.search()))
    assert sorted(got + later) == sorted(everything)


def test_after_pruning_everything_the_feed_goes_on(store: Store) -> None:
    """Numbers are never used again: what is appended after pruning is after every position."""
    old = [
        Incoming(f"old-{n}", {"@timestamp": f"2024-05-0{1 + n % 9}T00:00:00.000000Z", "soc.layer": 1})
        for n in range(20)
    ]
    store.append(old)
    halfway = next(iter(store.feed(store.beginning(), limit=5))).position
    _, position = read_on(store, store.beginning())
    cutoff = datetime(2030, 1, 1, tzinfo=UTC)
    planned = store.prune(cutoff, dry_run=True)
    assert sum(p.events for p in planned) == 20
    assert len(list(store.search())) == 20
    assert sum(p.events for p in store.prune(cutoff)) == 20
    assert list(store.search()) == []
    assert store.prune(cutoff) == []
    new = [
        Incoming(f"new-{n}", {"@timestamp": "2024-05-01T00:00:00.000000Z", "soc.layer": 1}) for n in range(3)
    ]
    assert fates(store, [*new, old[0]]) == [Fate.STORED] * 4
    for start in (position, halfway, store.beginning()):
        assert sorted(ids(read_on(store, start)[0])) == sorted([*ids(new), old[0].id])


def test_pruning_leaves_what_is_younger(store: Store) -> None:
    """Only events older than the moment go; documents and audit stay."""
    store.append(
        [
            Incoming(f"old-{n}", {"@timestamp": "2024-05-01T00:00:00.000000Z", "soc.layer": n})
            for n in range(1, 5)
        ]
    )
    store.append([incoming(n, layer=n) for n in range(1, 5)])
    store.put("alert", "A", {"x": 1}, expect=0)
    store.audit_create(1, {"what": "x"})
    assert sum(p.events for p in store.prune(datetime(2025, 6, 1, tzinfo=UTC))) == 4
    assert ids(list(store.search())) == ids([incoming(n) for n in range(1, 5)])
    assert store.read("alert", "A") is not None
    assert store.audit_last() is not None


# documents


def test_a_document_is_created_changed_and_deleted_by_version(store: Store) -> None:
    """Each write needs the version seen and gives the next one."""
    assert store.read("alert", "A-1") is None
    first = store.put("alert", "A-1", {"status": "open", "n": 1}, expect=0)
    assert first.version > 0
    assert (first.kind, first.id, first.body) == ("alert", "A-1", {"status": "open", "n": 1})
    assert store.read("alert", "A-1") == first
    second = store.put("alert", "A-1", {"status": "closed"}, expect=first.version)
    assert second.version > first.version
    assert store.read("alert", "A-1") == second
    (gone,) = store.write([Write("alert", "A-1", None, second.version)])
    assert isinstance(gone, Document)
    assert (gone.version, gone.body) == (0, {})
    assert store.read("alert", "A-1") is None
    assert list(store.find("alert")) == []
    again = store.put("alert", "A-1", {"status": "new"}, expect=0)
    with pytest.raises(VersionConflictError):  # the version of the one deleted is not the new one's
        store.put("alert", "A-1", {"status": "stale"}, expect=first.version)
    assert store.read("alert", "A-1") == again


def test_a_stale_write_is_refused_and_shows_what_is_there(store: Store) -> None:
    """The loser learns who changed what, and nothing is overwritten."""
    with pytest.raises(VersionConflictError) as missing:
        store.put("alert", "A-1", {"n": 1}, expect=5)
    assert missing.value.current is None
    first = store.put("alert", "A-1", {"n": 1}, expect=0)
    with pytest.raises(VersionConflictError):
        store.put("alert", "A-1", {"n": 0}, expect=0)
    second = store.put("alert", "A-1", {"n": 2}, expect=first.version)
    with pytest.raises(VersionConflictError) as caught:
        store.put("alert", "A-1", {"n": 3}, expect=first.version)
    assert caught.value.current == second
    assert store.whoami() in caught.value.message
    assert caught.value.exit_code == 3
    (refused,) = store.write([Write("alert", "A-1", None, first.version)])
    assert isinstance(refused, VersionConflictError)
    assert store.read("alert", "A-1") == second


def test_a_conflict_stops_no_other_write(store: Store) -> None:
    """Many at once: each on its own, answered in order."""
    store.put("alert", "A-1", {"n": 1}, expect=0)
    results = store.write(
        [
            Write("alert", "A-0", {"n": 0}, 0),
            Write("alert", "A-1", {"n": 9}, 0),
            Write("triage", "A-1", {"n": 2}, 0),
        ]
    )
    assert [isinstance(r, VersionConflictError) for r in results] == [False, True, False]
    assert {d.id: d.body for d in store.find("alert")} == {"A-0": {"n": 0}, "A-1": {"n": 1}}
    assert store.write([]) == []


def test_documents_keep_any_json(store: Store) -> None:
    """Nested bodies, large numbers, text of any script; names with dots beside each other."""
    body = {
        "deep": {"er": [{"x": 1}, {"x": [1, "a", None]}]}, "a": 1, "a.b": 2, "f": 1.0, "empty": {},
        "text": "Nguye\u0302\u0303n \0 🛡️", "list": [], "none": None, "big": 2**70, "long": "x" * 99_999,
    }  # fmt: skip
    written = store.put("case", "C-2026-014", body, expect=0)
    read = store.read("case", "C-2026-014")
    assert read is not None
    assert same(read.body, body)
    assert same(written.body, body)


def test_documents_are_found_by_predicate_over_the_flattened_body_by_id(store: Store) -> None:
    """Nested names are dotted; the order is that of ids; the limit counts matches."""
    writes = [
        Write("alert", f"A-{n:03d}", {"rule": {"level": "high" if n % 3 else "low"}, "n": n}, 0)
        for n in range(50)
    ]
    random.Random(2).shuffle(writes)
    store.write([*writes, Write("other", "A-999", {"rule": {"level": "high"}}, 0)])
    everything = [f"A-{n:03d}" for n in range(50)]
    assert [d.id for d in store.find("alert")] == everything
    low = [d.id for d in store.find("alert", Test("rule.level", Op.EQUALS, "LOW"))]
    assert low == [f"A-{n:03d}" for n in range(0, 50, 3)]
    assert [d.id for d in store.find("alert", Test("rule.level", Op.EQUALS, "low"), limit=3)] == low[:3]
    assert [d.id for d in store.find("alert", Test("n", Op.GTE, 45))] == everything[45:]
    assert [d.id for d in store.find("alert", limit=0)] == []
    assert list(store.find("nothing")) == []


def test_documents_are_stamped_by_the_store(store: Store) -> None:
    """Who and when come from the store, not from the body."""
    before = timestamp(datetime.now(UTC) - timedelta(minutes=5))
    document = store.put("alert", "A-1", {"changed_by": "somebody", "user": "forged"}, expect=0)
    assert document.changed_by == store.whoami()
    assert before <= document.changed_at <= timestamp(datetime.now(UTC) + timedelta(minutes=5))
    assert document.body == {"changed_by": "somebody", "user": "forged"}


# the audit log


def test_audit_records_are_created_once_and_read_in_order(store: Store) -> None:
    """A taken number is refused and keeps its record."""
    assert store.audit_last() is None
    assert list(store.audit_read()) == []
    for number in range(1, 31):
        assert store.audit_create(number, {"n": number, "text": "đổi"})
    assert not store.audit_create(7, {"n": "forged"})
    records = list(store.audit_read())
    assert [r.number for r in records] == list(range(1, 31))
    assert [r.body for r in records] == [{"n": n, "text": "đổi"} for n in range(1, 31)]
    assert {r.user for r in records} == {store.whoami()}
    assert [r.number for r in store.audit_read(25)] == [26, 27, 28, 29, 30]
    assert [r.number for r in store.audit_read(5, limit=2)] == [6, 7]
    assert list(store.audit_read(30)) == []
    last = store.audit_last()
    assert last is not None
    assert last.number == 30


# several processes


def launch(store_settings: StoreSettings, do: str, **job: Any) -> subprocess.Popen[str]:
    """Another process at work on the same store (`tests.store.worker`)."""
    text = json.dumps({"settings": asdict(store_settings), "do": do, **job})
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.worker", text], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def finished(process: subprocess.Popen[str]) -> list[int]:
    """What it said, after it has ended well."""
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return [int(line) for line in out.split()]


def feed_until(store: Store, done: Callable[[], bool]) -> Iterator[list[StoredEvent]]:
    """Read on and on from the beginning; once more after `done`."""
    position = store.beginning()
    while True:
        last = done()
        events, position = read_on(store, position, limit=500)
        yield events
        if last:
            return


@pytest.mark.slow
def test_the_feed_is_exact_while_processes_write(store_settings: StoreSettings, store: Store) -> None:
    """Four writers, one reader: nothing missed, nothing twice, each writer's events in their order."""
    writers = [
        launch(store_settings, "append", generation=f"w{i}", start=0, stop=3_000, batch=30 + 7 * i)
        for i in range(4)
    ]
    try:
        seen: list[StoredEvent] = []
        for events in feed_until(store, lambda: all(w.poll() is not None for w in writers)):
            seen += events
    finally:
        for writer in writers:
            writer.kill()
    assert [finished_code(w) for w in writers] == [0] * 4
    counts = Counter(ids(seen))
    assert max(counts.values()) == 1
    assert len(counts) == 12_000


def finished_code(process: subprocess.Popen[str]) -> int:
    """How it ended; its output is dropped."""
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_acknowledged(store_settings: StoreSettings, store: Store) -> None:
    """SIGKILL at random points, then a replay from before: all that was acknowledged is there, all once."""
    dice = random.Random(3)
    total, done = 4_000, 0
    for _ in range(8):
        start = max(0, done - dice.randrange(500))
        writer = launch(store_settings, "append", generation="g", start=start, stop=total, batch=50)
        assert writer.stdout is not None
        writer.stdout.readline()  # it is at work
        time.sleep(dice.random() * 0.15)
        writer.kill()
        said = [int(line) for line in writer.stdout.read().split("\n")[:-1] if line]
        writer.wait()
        done = max([done, *said])
        wanted = [made("g", n).id for n in range(done)]
        assert ids(store.events(wanted)) == wanted
        writer.stdout.close()
    finished(launch(store_settings, "append", generation="g", start=max(0, done - 500), stop=total, batch=50))
    got = Counter(ids(read_on(store, store.beginning())[0]))
    assert got == Counter(made("g", n).id for n in range(total))
    assert len(list(store.search())) == total


@pytest.mark.slow
def test_audit_numbers_have_no_gap_under_several_writers(store_settings: StoreSettings, store: Store) -> None:
    """Each number is given to one writer; together they are 1 to n."""
    writers = [launch(store_settings, "audit", name=f"w{i}", count=40) for i in range(3)]
    numbers = [n for writer in writers for n in finished(writer)]
    assert sorted(numbers) == list(range(1, 121))
    records = list(store.audit_read())
    assert [r.number for r in records] == list(range(1, 121))
    assert Counter(r.body["writer"] for r in records) == {"w0": 40, "w1": 40, "w2": 40}


@pytest.mark.slow
def test_no_change_of_a_document_is_lost(store_settings: StoreSettings, store: Store) -> None:
    """Processes that read, add one and write by compare-and-set reach the sum."""
    writers = [launch(store_settings, "increment", count=40) for _ in range(3)]
    for writer in writers:
        finished(writer)
    document = store.read("counter", "one")
    assert document is not None
    assert document.body == {"n": 120}


# the store itself


def test_a_second_opening_sees_the_same(store: Store, store_factory: StoreFactory) -> None:
    """What one process wrote, another reads."""
    store.append([incoming(1)])
    position = store.head()
    other = store_factory()
    assert ids(list(other.search())) == [incoming(1).id]
    assert read_on(other, position)[0] == []
    other.append([incoming(2)])
    assert ids(read_on(store, position)[0]) == [incoming(2).id]


def test_init_says_what_it_makes_and_is_harmless_again(store_factory: StoreFactory) -> None:
    """Dry first, then for real; then all is there, with what was stored."""
    store = store_factory()
    planned = store.init(dry_run=True)
    assert planned
    assert not all(p.exists for p in planned)
    store.init()
    store.append([incoming(1)])
    assert all(p.exists for p in store.init())
    assert all(p.exists for p in store_factory().init(dry_run=True))
    assert len(list(store.search())) == 1


def test_status_counts(store: Store) -> None:
    """Events, documents and the span of time, without secrets in the name."""
    empty = store.status()
    assert (empty.events, empty.oldest, empty.newest) == (0, None, None)
    store.append([incoming(n) for n in (3, 1, 2, 2)])
    store.append([incoming(3), incoming(4)])
    store.write([Write("alert", f"A-{n}", {"n": n}, 0) for n in range(3)])
    store.put("case", "C-1", {}, expect=0)
    status = store.status()
    assert status.events == 4
    assert status.oldest == incoming(1).event["@timestamp"]
    assert status.newest == incoming(4).event["@timestamp"]
    assert status.documents == {"alert": 3, "case": 1}
    assert status.bytes > 0
    assert store.name


def test_the_user_is_not_what_the_environment_says(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """USER and LOGNAME name nobody."""
    before = store.whoami()
    monkeypatch.setenv("USER", "forged")
    monkeypatch.setenv("LOGNAME", "forged")
    assert store.whoami() == before
    assert before
    assert "forged" not in before
