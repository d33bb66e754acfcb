"""The contract of stores, over each kind of store: events, searching, the store itself. Knows no kind."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.detect.predicate import And, Not, Op, Predicate, Test
from soc.event import Event, timestamp
from soc.store.contract import (
    Fate,
    Incoming,
    Store,
    StoredEvent,
    Write,
)
from tests.store.helpers import START, StoreFactory, fates, ids, incoming, read_on, same

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
