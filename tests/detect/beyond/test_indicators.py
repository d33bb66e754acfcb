"""Indicators of the store, matched with events: which values, when, and what the alert says."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.config import StoreSettings, cache_folder
from soc.detect.beyond import values
from soc.detect.beyond.indicator_set import IndicatorSet, Info, Row, pack_id, unpack_id
from soc.detect.beyond.indicators import Indicators, look_of
from soc.detect.sweep import Start, Sweeper
from soc.event import event_id, record_id
from soc.store import open_store
from soc.store.contract import Incoming, Store
from tests.detect import world

FIELDS = ["destination.ip", "source.ip", "dns.question.name", "url.full", "url.domain", "file.hash.sha256"]
SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with open_store(StoreSettings(str(tmp_path / "store"))) as opened:
        yield opened


_numbers = iter(range(10**9))


def state(store: Store, type_: str, field: str, value: str, **more: Any) -> str:
    """Put an indicator into the store as a collector does; its id."""
    id_ = event_id("list", "1", next(_numbers))
    event = {
        "@timestamp": "2026-03-01T00:00:00.000000Z",
        "event.ingested": "2026-03-01T00:00:00.000000Z",
        "event.kind": "enrichment",
        "event.category": "threat",
        "event.type": "indicator",
        "soc.layer": 4,
        "soc.source": "national-list",
        "threat.indicator.type": type_,
        "threat.indicator.name": value,
        f"threat.indicator.{field}": value,
        "soc.indicator.confidence": 85,
        "soc.indicator.tlp": "AMBER",
        "threat.indicator.provider": "NCSC",
        "threat.indicator.description": "botnet control server",
        "threat.indicator.first_seen": "2026-02-01T00:00:00.000000Z",
        **{name.replace("__", "."): v for name, v in more.items()},
    }
    (outcome,) = store.append([Incoming(id_, event)])
    assert not outcome.reason, outcome
    return id_


def rule(**setting: Any) -> Any:
    """A rule with the extension, over all events of the world."""
    return world.rule(
        "ioc", predicate=world.SOURCE, attributes={"soc.indicator": {"fields": FIELDS, **setting}}
    )


def caught(store: Store, events: dict[str, Any], **setting: Any) -> list[str]:
    """Ids of the events that alerts carry after they were swept."""
    Sweeper(store, [rule(**setting)], name="s").run()
    world.append(store, events)
    Sweeper(store, [rule(**setting)], name="s").run()
    return sorted(s["id"] for d in store.find("alert_events") for s in d.body["samples"])


@pytest.mark.parametrize(
    ("indicator", "event", "hit"),
    [
        (("ipv4-addr", "ip", "203.0.113.66"), {"destination__ip": "203.0.113.66"}, True),
        (("ipv4-addr", "ip", "203.0.113.66"), {"destination__ip": ["192.0.2.1", "203.0.113.66"]}, True),
        (("ipv4-addr", "ip", "203.0.113.66"), {"destination__ip": "::ffff:203.0.113.66"}, True),
        (("ipv4-addr", "ip", "203.0.113.66"), {"destination__ip": "203.0.113.67"}, False),
        (("ipv4-addr", "ip", "203.0.113.66"), {"url__full": "http://203.0.113.66:8080/x"}, True),
        (("ipv6-addr", "ip", "2001:db8::1"), {"destination__ip": "2001:DB8:0:0::1"}, True),
        (("domain-name", "url.domain", "evil.example"), {"dns__question__name": "a.b.EVIL.example."}, True),
        (("domain-name", "url.domain", "evil.example"), {"dns__question__name": "notevil.example"}, False),
        (("domain-name", "url.domain", "evil.example"), {"url__full": "https://www.evil.example/x"}, True),
        (("domain-name", "url.domain", "xn--bcher-kva.example"), {"url__domain": "bücher.example"}, True),
        (("url", "url.full", "hxxp://Evil[.]example:80/a"), {"url__full": "http://evil.example/a"}, True),
        (("url", "url.full", "http://evil.example/a"), {"url__full": "http://evil.example/b"}, False),
        (("url", "url.full", "http://drive.example/a"), {"url__domain": "drive.example"}, False),
        (("file", "file.hash.sha256", SHA.upper()), {"file__hash__sha256": SHA}, True),
    ],
)
def test_what_matches(
    indicator: tuple[str, str, str], event: dict[str, Any], hit: bool, store: Store
) -> None:
    """Addresses, networks, names with what is below them, URLs and hashes, however they are written."""
    more = {"threat__indicator__url__domain": "drive.example"} if indicator[0] == "url" else {}
    state(store, *indicator, **more)
    assert caught(store, {"e1": world.event(1, **event)}) == (["e1"] if hit else [])


def test_networks_match_what_is_in_them(store: Store) -> None:
    """Networks of several lengths, of both families; half of the Internet is a mistake and matches
    nothing.
    """
    for network in ("203.0.113.0/24", "198.51.100.128/25", "2001:db8:5::/48", "0.0.0.0/1"):
        name, where = "soc__extra__indicator__cidr", "name"
        state(store, "ipv6-addr" if ":" in network else "ipv4-addr", where, network, **{name: network})
    events = {
        "in1": world.event(1, destination__ip="203.0.113.9"),
        "in2": world.event(2, destination__ip="198.51.100.200"),
        "in3": world.event(3, destination__ip="2001:db8:5::9"),
        "out1": world.event(4, destination__ip="198.51.100.1"),
        "out2": world.event(5, destination__ip="2001:db8:6::9"),
        "out3": world.event(6, destination__ip="10.0.0.1"),
    }
    assert caught(store, events) == ["in1", "in2", "in3"]


def test_validity_is_that_of_the_event(store: Store) -> None:
    """Valid from and until hold against the event's time, not against the clock of whoever looks."""
    state(
        store,
        *("ipv4-addr", "ip", "203.0.113.66"),
        soc__extra__indicator__valid_from="2026-03-02T07:00:10Z",
        soc__extra__indicator__valid_until="2026-03-02T07:01:00Z",
    )
    events = {f"e{s}": world.event(s, destination__ip="203.0.113.66") for s in (5, 10, 59, 60)}
    assert caught(store, events) == ["e10", "e59"]


def test_what_was_taken_back_does_not_match(store: Store) -> None:
    """Revoked by its source, expired earlier by a later statement, not for detection; another's still
    holds.
    """
    facts = {"threat__indicator__id": "indicator--1"}
    state(store, "ipv4-addr", "ip", "203.0.113.66", **facts)
    state(
        store,
        *("", "name", ""),
        **facts,
        soc__extra__indicator__revoked="true",
        soc__extra__indicator__revoked_type="ipv4-addr",
        soc__extra__indicator__revoked_value="203.0.113.66",
        threat__indicator__modified_at="2026-03-02T00:00:00Z",
    )
    state(store, "ipv4-addr", "ip", "203.0.113.67", soc__extra__indicator__detects="false")
    state(store, "ipv4-addr", "ip", "203.0.113.68", threat__indicator__id="a")
    later = {"event__ingested": "2026-03-01T12:00:00Z", "soc__extra__indicator__valid_until": "2026-03-02"}
    state(store, "ipv4-addr", "ip", "203.0.113.68", threat__indicator__id="a", **later)
    events = {f"e{n}": world.event(n, destination__ip=f"203.0.113.{n}") for n in (66, 67, 68)}
    assert caught(store, events) == []
    state(store, "ipv4-addr", "ip", "203.0.113.66", threat__indicator__provider="another")
    assert caught(store, {"again": world.event(100, destination__ip="203.0.113.66")}) == ["again"]


@pytest.mark.parametrize(
    ("setting", "hit"),
    [
        ({"types": ["domain-name"]}, False),
        ({"types": ["ipv4-addr"]}, True),
        ({"confidence": 85}, True),
        ({"confidence": 86}, False),
        ({"max_age": "2d"}, True),
        ({"max_age": "1d"}, False),
        ({"fields": ["source.ip"]}, False),
    ],
)
def test_a_rule_chooses(setting: dict[str, Any], hit: bool, store: Store) -> None:
    """By type, confidence, age and field."""
    state(store, "ipv4-addr", "ip", "203.0.113.66")
    found = caught(store, {"e": world.event(1, destination__ip="203.0.113.66")}, **setting)
    assert found == (["e"] if hit else [])


def test_the_alert_says_which_indicator(store: Store) -> None:
    """Source, marking, confidence and first sight, in a sentence and in the fields of ECS."""
    id_ = state(store, "domain-name", "url.domain", "evil.example")
    caught(store, {"e": world.event(1, dns__question__name="c2.evil.example")})
    (alert,) = store.find("alert")
    about = alert.body["about"]
    (why,) = about["soc.why"]
    assert why == (
        "dns.question.name: evil.example is an indicator of NCSC, botnet control server, TLP:AMBER, "
        "confidence 85, first seen 2026-02-01"
    )
    assert about["threat.enrichments.indicator.marking.tlp"] == ["AMBER"]
    (events,) = store.find("alert_events")
    event = events.body["samples"][0]["event"]
    assert event["threat.enrichments.matched.id"] == id_
    assert event["threat.enrichments.matched.atomic"] == "c2.evil.example"
    assert event["threat.enrichments.indicator.first_seen"] == "2026-02-01T00:00:00.000000Z"


def test_two_rules_on_one_event_keep_their_own(store: Store) -> None:
    """What one rule adds to an event is not on the alert of another."""
    state(store, "ipv4-addr", "ip", "203.0.113.66")
    world.append(store, {"e": world.event(1, destination__ip="203.0.113.66")})
    Sweeper(store, [rule(), world.rule("plain")]).run(Start())
    told = {d.body["samples"][0]["event"].get("soc.why", "") for d in store.find("alert_events")}
    assert len(told) == 2
    assert "" in told


def test_new_indicators_are_taken_up_and_kept(store: Store) -> None:
    """A process that runs on follows the store; a new one begins with what is kept, and reads on from
    there.
    """
    first = Indicators(store)
    assert first.refresh() == 0
    state(store, "ipv4-addr", "ip", "203.0.113.66")
    assert first.refresh() == 1
    assert first.memo("source.ip")["203.0.113.66"]
    assert not first.memo("source.ip")["203.0.113.67"]
    state(store, "ipv4-addr", "ip", "203.0.113.67")
    assert first.refresh() == 1
    assert first.memo("source.ip")["203.0.113.67"], "a look-up was remembered from before"
    other = Indicators(store)
    assert other.refresh() == 0, "it was all kept"
    assert len(other.set) == 2
    (kept,) = (cache_folder() / "indicators").glob("set-*")
    kept.write_bytes(b"nonsense")
    assert Indicators(store).refresh() == 2, "a damaged cache is made anew"


def test_another_store_under_the_same_name(tmp_path: Path) -> None:
    """A store that was removed and made anew: indicators of the old one are gone."""
    for value in ("203.0.113.66", "203.0.113.67"):
        with open_store(StoreSettings(str(tmp_path / value))) as store:
            store.name = "the same"
            state(store, "ipv4-addr", "ip", value)
            found = Indicators(store)
            found.refresh()
            assert len(found.set) == 1
            assert found.memo("source.ip")[value]


def test_events_that_state_nothing_usable(store: Store) -> None:
    """Odd values, types and times cost nothing but themselves."""
    state(store, "ipv4-addr", "name", "not an address")
    state(store, "mutex", "name", "Global\\x")
    state(store, "url", "url.full", "no url")
    state(store, "file", "file.hash.sha256", "xyz")
    until = {"soc__extra__indicator__valid_until": "tomorrow"}
    state(store, "ipv4-addr", "ip", "203.0.113.9", **until, soc__indicator__confidence="much")
    found = Indicators(store)
    assert found.refresh() == 1


def test_fields_and_what_they_hold() -> None:
    """ECS says what a field may hold."""
    looks = {
        "source.ip": "address",
        "related.ip": "address",
        "file.hash.md5": "file",
        "process.hash.sha256": "file",
        "url.full": "url",
        "url.domain": "host",
        "dns.question.name": "host",
        "tls.client.server_name": "host",
        "email.from.address": "email",
        "winlog.event_data.Hashes": "any",
    }
    assert {name: look_of(name) for name in looks} == looks


# ------------------------------------------------------------------ the set


@given(st.binary(min_size=8, max_size=8), st.integers(0, 2**48 - 1), st.text(max_size=40))
def test_ids_are_kept(source: bytes, offset: int, other: str) -> None:
    """Ids of both forms come back; of another form nothing is kept, and nothing raised."""
    for id_ in (f"{source.hex()}-{offset:012x}", record_id("s", other)):
        assert unpack_id(pack_id(id_)) == id_
    assert unpack_id(pack_id(other)) in ("", other)


statements = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 2), st.integers(0, 4), st.integers(1, 9)), max_size=40
)


@given(statements, st.integers(1, 6))
def test_the_latest_statement_of_each_source_holds(rows: list[tuple[int, int, int, int]], parts: int) -> None:
    """Whatever the order and the parts in which they come, as by the plain model; also from disk."""
    made = [
        Row(
            values.hashed("file", str(key)),
            0,
            until,
            stated,
            who,
            event_id("s", "1", n),
            Info("file", "s", "", "", 0),
        )
        for n, (key, who, stated, until) in enumerate(rows)
    ]
    model: dict[tuple[int, int], Row] = {}
    for row in made:
        known = model.get((row.key, row.who))
        if known is None or (row.stated, row.event) > (known.stated, known.event):
            model[row.key, row.who] = row
    found = IndicatorSet()
    for part in range(parts):
        found.add(made[part::parts])
    found.add(made[:3])
    for each in (found, IndicatorSet.load(found.dump())):
        for key in {row.key for row in made}:
            assert sorted(each.by_key(key)) == sorted(r for (k, _), r in model.items() if k == key)


def test_a_large_set_is_quick_and_small() -> None:
    """A hundred thousand: found in both parts of the set, and a look-up in vain takes microseconds."""
    draw = random.Random(1)
    info = Info("ipv4-addr", "s", "", "", 50)
    keys = [values.network(draw.getrandbits(32).to_bytes(4, "big"), 32) for _ in range(100_000)]
    found = IndicatorSet()
    found.add(Row(key, 0, 0, 1, n, "", info) for n, key in enumerate(keys))
    found.add([Row(values.network(bytes([10, 1, 2, 0]), 24), 0, 0, 1, 1, "", info)])
    assert found.by_address(bytes([10, 1, 2, 200]))
    assert all(found.by_key(key) for key in keys[:1000])
    assert len(found.dump()) < 60 * 100_001
    begun = time.process_time()
    for n in range(20_000):
        found.by_address(n.to_bytes(4, "little"))
    assert (time.process_time() - begun) / 20_000 < 50e-6


@pytest.mark.parametrize("cut", [0, 1, 20, 100, -1, -9])
def test_a_damaged_set_is_refused(cut: int) -> None:
    """A cut or foreign file is a ValueError, never something half."""
    found = IndicatorSet()
    found.add([Row(1, 0, 0, 1, 1, "", Info("ipv4-addr", "s", "", "", 50))])
    with pytest.raises(ValueError, match=r".+"):
        IndicatorSet.load(found.dump()[:cut])


@pytest.mark.parametrize(
    ("parts", "hit"),
    [
        ({"url__domain": "evil.example", "url__path": "/a", "destination__port": 80}, True),
        ({"url__domain": "evil.example:80", "url__original": "/a"}, True),
        ({"url__domain": "evil.example", "url__original": "http://evil.example/a"}, True),
        ({"url__domain": "evil.example", "url__path": "/a", "url__query": "x=1"}, False),
        ({"url__domain": "evil.example", "url__path": "/a", "destination__port": 8080}, False),
        ({"url__domain": "evil.example", "url__path": "/a", "destination__port": 443}, False),
        ({"url__domain": "evil.example"}, False),
    ],
)
def test_urls_in_parts(parts: dict[str, Any], hit: bool, store: Store) -> None:
    """Where an event has no whole URL, it is put together from host, port, path and query."""
    state(store, "url", "url.full", "http://evil.example/a")
    plain = world.event(1, **parts)
    del plain["url.query"]
    if "url__query" in parts:
        plain["url.query"] = parts["url__query"]
    assert caught(store, {"e": plain}) == (["e"] if hit else [])


def test_values_without_end_are_not_remembered(store: Store) -> None:
    """Megabytes in a field cost a look at their length, and no memory."""
    found = Indicators(store)
    memo = found.memo("url.full")
    for n in range(100):
        assert memo["http://evil.example/" + "a" * 1_000_000 + str(n)] == ()
    assert len(memo) == 0
