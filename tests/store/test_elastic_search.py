"""Searching by time on the real node: order within a millisecond, bounds, pages, points in time."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from soc.config import StoreSettings
from soc.detect.predicate import Op, Test
from soc.errors import SocError
from soc.event import timestamp
from soc.store.contract import Incoming
from soc.store.elastic import ElasticStore
from soc.store.elastic_search import FIRST_PAGE, PAGE
from tests.elastic_node import Node
from tests.fault_proxy import Fault, FaultProxy, Kind

pytestmark = pytest.mark.elastic
START = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def store(elastic_settings: StoreSettings) -> Iterator[ElasticStore]:
    """An empty store, set up."""
    with ElasticStore.connect(elastic_settings) as opened:
        opened.init()
        yield opened


def event(id_: str, micros: int, layer: int = 1, name: str = "x") -> Incoming:
    """An event of a process, so many microseconds after the start."""
    time = timestamp(START + timedelta(microseconds=micros))
    return Incoming(id_, {"@timestamp": time, "soc.layer": layer, "process.name": name})


def test_events_of_one_millisecond_are_in_order(store: ElasticStore) -> None:
    """The server sorts by milliseconds; order and bounds here are of microseconds, over all indices."""
    rng = random.Random(3)
    events = [event(f"e{n:04d}", rng.randrange(5_000), 1 + n % 4) for n in range(600)]
    store.append(events)
    ordered = [e.id for e in sorted(events, key=lambda e: (e.event["@timestamp"], e.id))]
    assert [e.id for e in store.search()] == ordered
    assert [e.id for e in store.search(newest_first=True)] == ordered[::-1]
    assert [e.id for e in store.search(limit=7)] == ordered[:7]
    assert [e.id for e in store.search(limit=7, newest_first=True)] == ordered[:-8:-1]
    low, high = START + timedelta(microseconds=1_234), START + timedelta(microseconds=3_456)
    within = [
        e.id
        for e in sorted(events, key=lambda e: (e.event["@timestamp"], e.id))
        if timestamp(low) <= e.event["@timestamp"] < timestamp(high)
    ]
    assert [e.id for e in store.search(since=low, until=high)] == within


def test_many_pages_hold_every_event_once(store: ElasticStore) -> None:
    """More than the first page and one more."""
    count = FIRST_PAGE + PAGE + 10
    store.append([event(f"e{n:05d}", n * 1000 // 7) for n in range(count)])
    found = [e.id for e in store.search()]
    assert len(found) == len(set(found)) == count


def test_no_point_in_time_is_left_open(store: ElasticStore, elastic_node: Node) -> None:
    """Also when the reader leaves early, or nothing was found."""
    store.append([event(f"e{n}", n) for n in range(10)])

    def opened() -> int:
        path = "/_nodes/stats/indices/search?filter_path=nodes.*.indices.search.open_contexts"
        nodes = elastic_node.request("GET", path)["nodes"]
        return sum(node["indices"]["search"]["open_contexts"] for node in nodes.values())

    before = opened()
    for _ in range(5):
        reader = store.search()
        next(reader)
        reader.close()  # type: ignore[attr-defined] # what leaving a loop does to a generator
        assert list(store.search(Test("soc.layer", Op.EQUALS, 4))) == []
    # tests beside this one search on the same node: theirs come and go, one left open by us would stay
    until = time.monotonic() + 30
    while opened() > before and time.monotonic() < until:
        time.sleep(0.1)
    assert opened() <= before


def test_a_query_that_the_cluster_refuses_is_asked_without(store: ElasticStore, elastic_node: Node) -> None:
    """A cluster may forbid wildcards or many clauses; the predicate decides then on every event."""
    store.append([event("a", 1, name="cmd.exe"), event("b", 2)])
    with FaultProxy(elastic_node.url) as proxy:
        hurt = ElasticStore.connect(StoreSettings(proxy.url, space=store._names.space))
        proxy.script(Fault(Kind.ANSWER, "/_search", status=400))
        assert [e.id for e in hurt.search(Test("process.name", Op.ENDSWITH, ".EXE"))] == ["a"]
        assert proxy.count("/_search") == 2
        hurt.close()


def test_a_search_on_which_a_shard_fails_is_an_error(store: ElasticStore, elastic_node: Node) -> None:
    """Part of the events is not an answer."""
    store.append([event("a", 1)])
    part = {"timed_out": False, "_shards": {"failed": 1}, "hits": {"hits": []}}
    with FaultProxy(elastic_node.url) as proxy:
        hurt = ElasticStore.connect(StoreSettings(proxy.url, space=store._names.space))
        proxy.script(Fault(Kind.ANSWER, "/_search", status=200, body=part))
        with pytest.raises(SocError, match="cannot be read now"):
            list(hurt.search())
        hurt.close()


def test_events_are_read_by_id(store: ElasticStore) -> None:
    """In the order asked for, more than one page of them; what cannot be an id is not there."""
    events = [event(f"e{n:05d}", n, 1 + n % 4) for n in range(2_500)]
    store.append(events)
    wanted = [e.id for e in reversed(events)]
    assert [e.id for e in store.events([*wanted, "", "ü", "x" * 600, "nowhere"])] == wanted
