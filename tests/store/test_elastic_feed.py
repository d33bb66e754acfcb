"""The feed of Elasticsearch over everything that may happen to an index between two readings."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import pytest

from soc.config import StoreSettings
from soc.detect.predicate import And, Op, Or, Test
from soc.errors import NotAuthorisedError, SocError
from soc.store import elastic_shard
from soc.store.contract import Fate, FeedBatch, Incoming, Position
from soc.store.elastic import ElasticStore
from soc.store.elastic_feed import _start
from soc.store.elastic_indexed import leaves
from soc.store.elastic_narrow import GROUP_CLAUSES, REQUEST_CLAUSES, groups, packed_bodies
from soc.store.elastic_shard import Shard
from tests.elastic_node import Node
from tests.fault_proxy import Fault, FaultProxy, Kind
from tests.store.helpers import incoming
from tests.store.worker import made

pytestmark = pytest.mark.elastic


@pytest.fixture
def store(elastic_settings: StoreSettings) -> Iterator[ElasticStore]:
    """An empty store, set up."""
    with ElasticStore.connect(elastic_settings) as opened:
        opened.init()
        yield opened


def append(store: ElasticStore, start: int, stop: int, generation: str = "g") -> list[str]:
    """Append numbered events; their ids."""
    events = [made(generation, number) for number in range(start, stop)]
    assert {o.fate for o in store.append(events)} <= {Fate.STORED, Fate.DUPLICATE}
    return [e.id for e in events]


def read(
    store: ElasticStore, position: Position, limit: int = 10_000
) -> tuple[list[str], Position, list[str]]:
    """Ids, the position after them, and notes of one reading; the position has been through JSON."""
    batches: list[FeedBatch] = list(store.feed(json.loads(json.dumps(position)), limit=limit))
    after = batches[-1].position if batches else position
    return [e.id for b in batches for e in b.events], after, [note for b in batches for note in b.notes]


def index_of(elastic_settings: StoreSettings) -> str:
    """The only event index of a test."""
    return f"soc-{elastic_settings.space}-events-1-standard-2026.03"


def test_where_to_go_on_in_a_shard() -> None:
    """A new shard and a new history begin at the start; a lower checkpoint too, and both are noted."""
    shard = Shard("i", "u", "0", "h", checkpoint=10, newest=10, closed=False)
    assert _start(None, shard) == (-1, "")
    assert _start(["h", 7, "i"], shard) == (7, "")
    assert _start(["h", 10, "i"], shard) == (10, "")
    again, note = _start(["other", 7, "i"], shard)
    assert again == -1
    assert "new history" in note
    again, note = _start(["h", 11, "i"], shard)
    assert again == -1
    assert "below the position" in note


def test_a_position_of_another_store_is_refused(store: ElasticStore) -> None:
    """It would name nothing here; reading everything again must be said, not done silently."""
    with pytest.raises(SocError, match="another kind of store"):
        list(store.feed({"seq": 5}))


def test_several_indices_and_shards_are_read_once_each(store: ElasticStore, elastic_node: Node) -> None:
    """Layers, months and shards each have a place in the position."""
    space = store._names.space
    body = {"settings": {"number_of_shards": 3}}
    elastic_node.request("PUT", f"/soc-{space}-events-2-standard-2026.03", body)
    events = []
    for layer, month in ((1, "03"), (2, "03"), (2, "04"), (3, "01")):
        for n in range(50):
            time = f"2026-{month}-02T00:00:00.{n:06d}Z"
            events.append(Incoming(f"{layer}-{month}-{n}", {"@timestamp": time, "soc.layer": layer}))
    assert {o.fate for o in store.append(events)} == {Fate.STORED}
    ids, position, notes = read(store, store.beginning(), limit=7)
    assert Counter(ids) == Counter(e.id for e in events)
    assert notes == []
    assert len(position["shards"]) == 6
    assert read(store, position) == ([], position, [])


@pytest.mark.slow
def test_eight_writers_at_once_are_read_exactly(store: ElasticStore, elastic_settings: StoreSettings) -> None:
    """Nothing missed, nothing twice, while eight writers append."""
    written: list[str] = []
    lock = threading.Lock()

    def writer(number: int) -> None:
        with ElasticStore.connect(elastic_settings) as mine:
            for start in range(0, 2_000, 100):
                ids = append(mine, start, start + 100, f"w{number}")
                with lock:
                    written.extend(ids)

    threads = [threading.Thread(target=writer, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    seen: list[str] = []
    position = store.beginning()
    while any(thread.is_alive() for thread in threads):
        ids, position, _ = read(store, position, limit=777)
        seen += ids
    ids, position, _ = read(store, position)
    assert Counter(seen + ids) == Counter(written)
    assert len(written) == 16_000


def test_the_feed_reaches_what_was_acknowledged_before_it(store: ElasticStore) -> None:
    """Right after append, without waiting for a refresh; the head is behind it."""
    for round_ in range(10):
        head = store.head()
        ids = append(store, round_ * 10, round_ * 10 + 10)
        assert sorted(read(store, head)[0]) == sorted(ids)
        assert read(store, store.head())[0] == []


def test_a_closed_index_keeps_its_position(
    store: ElasticStore, elastic_node: Node, elastic_settings: StoreSettings
) -> None:
    """Closed with everything read, it is silent; unread events are noted and come when it is opened."""
    index = index_of(elastic_settings)
    first = append(store, 0, 10)
    ids, position, _ = read(store, store.beginning())
    assert ids == first
    elastic_node.request("POST", f"/{index}/_close")
    ids, again, notes = read(store, position)
    assert (ids, notes) == ([], [])
    assert again["shards"] == position["shards"]
    assert store.head()["shards"] == position["shards"]
    elastic_node.request("POST", f"/{index}/_open?wait_for_active_shards=1")
    second = append(store, 10, 20)
    elastic_node.request("POST", f"/{index}/_close")
    ids, position, notes = read(store, position)
    assert ids == []
    assert "closed" in notes[0]
    elastic_node.request("POST", f"/{index}/_open?wait_for_active_shards=1")
    assert read(store, position)[0] == second


def test_a_deleted_index_loses_its_position(
    store: ElasticStore, elastic_node: Node, elastic_settings: StoreSettings
) -> None:
    """One of the same name that comes later is another index and is read from its start."""
    append(store, 0, 10)
    _, position, _ = read(store, store.beginning())
    elastic_node.request("DELETE", f"/{index_of(elastic_settings)}")
    ids, position, notes = read(store, position)
    assert ids == []
    assert "gone" in notes[0]
    assert position["shards"] == {}
    ids = append(store, 0, 5)
    assert read(store, position)[0] == ids


@pytest.mark.parametrize("more", [0, 5], ids=["rolled back", "rolled back and grown past the position"])
def test_a_restore_over_a_closed_index_is_read_again(
    store: ElasticStore, elastic_node: Node, elastic_settings: StoreSettings, more: int
) -> None:
    """It keeps the uuid and begins a new history: that index alone is read again, with a note."""
    if not elastic_node.repository:
        pytest.skip("the node is not ours: it has no folder for snapshots")
    index, name = index_of(elastic_settings), f"s{uuid4().hex[:8]}"
    other = Incoming("other", {"@timestamp": "2026-03-02T00:00:00.000000Z", "soc.layer": 4})
    store.append([other])
    before = append(store, 0, 10)
    settings = {"location": f"{elastic_node.repository}/{name}"}
    elastic_node.request("PUT", f"/_snapshot/{name}", {"type": "fs", "settings": settings})
    elastic_node.request("PUT", f"/_snapshot/{name}/one?wait_for_completion=true", {"indices": index})
    append(store, 10, 30)
    ids, position, _ = read(store, store.beginning())
    assert len(ids) == 31
    elastic_node.request("POST", f"/{index}/_close")
    restore = {"indices": index, "include_global_state": False}
    elastic_node.request("POST", f"/_snapshot/{name}/one/_restore?wait_for_completion=true", restore)
    after = append(store, 100, 100 + more * 10) if more else []
    ids, position, notes = read(store, position)
    assert Counter(ids) == Counter(before + after)
    assert "read again from its start" in notes[0]
    assert read(store, position)[0] == []
    # a replay of what the restore lost is stored again and comes through the feed
    lost = append(store, 10, 30)
    assert sorted(read(store, position)[0]) == sorted(lost)
    elastic_node.request("DELETE", f"/_snapshot/{name}/one")
    elastic_node.request("DELETE", f"/_snapshot/{name}")


def test_a_failed_refresh_moves_nothing(
    store: ElasticStore, elastic_node: Node, elastic_settings: StoreSettings
) -> None:
    """A copy that could not refresh might lack events below the checkpoint: the position stays."""
    ids = append(store, 0, 10)
    index = index_of(elastic_settings)
    failed = {"_shards": {"total": 1, "successful": 0, "failed": 1, "failures": [{"index": index}]}}
    with FaultProxy(elastic_node.url) as proxy:
        hurt = ElasticStore.connect(StoreSettings(proxy.url, space=elastic_settings.space))
        proxy.script(Fault(Kind.ANSWER, "_refresh", status=200, body=failed))
        found, position, notes = read(hurt, hurt.beginning())
        assert found == []
        assert "not moved" in notes[0]
        assert position["shards"] == {}
        assert read(hurt, position)[0] == ids
        hurt.close()


@pytest.mark.parametrize(
    "answer",
    [
        {"timed_out": True, "_shards": {"successful": 1, "failed": 0}, "hits": {"hits": []}},
        {"timed_out": False, "_shards": {"successful": 0, "failed": 1}, "hits": {"hits": []}},
        {"timed_out": False, "_shards": {"successful": 0, "failed": 0}, "hits": {"hits": []}},
    ],
    ids=["timed out", "failed", "no shard answered"],
)
def test_a_failed_search_moves_nothing(
    store: ElasticStore, elastic_node: Node, elastic_settings: StoreSettings, answer: dict[str, object]
) -> None:
    """An empty page from a search that did not work is not the end of the shard."""
    ids = append(store, 0, 10)
    with FaultProxy(elastic_node.url) as proxy:
        hurt = ElasticStore.connect(StoreSettings(proxy.url, space=elastic_settings.space))
        proxy.script(Fault(Kind.ANSWER, "_search", status=200, body=answer))
        found, position, notes = read(hurt, hurt.beginning())
        assert found == []
        assert "cannot be read now" in notes[0]
        assert read(hurt, position)[0] == ids
        hurt.close()


def test_a_reader_without_the_privileges_is_told(secure_settings: StoreSettings) -> None:
    """An analyst may search, but the feed needs more; the error names it."""
    with ElasticStore.connect(secure_settings) as admin:
        admin.init()
        append(admin, 0, 3)
    mine = StoreSettings(
        secure_settings.target, user="lan", ca=secure_settings.ca, space=secure_settings.space
    )
    with ElasticStore.connect(mine) as analyst:
        assert len(list(analyst.search())) == 3
        with pytest.raises(NotAuthorisedError, match="'monitor'"):
            analyst.head()


# narrowed


def many_rules(count: int) -> Or:
    """As many predicates as that, of which number 7 is true of the marked events."""
    return Or(
        tuple(
            And(
                (
                    Test("event.code", Op.EQUALS, str(n)),
                    Test("process.command_line", Op.CONTAINS, f"tool {n} -x"),
                )
            )
            for n in range(count)
        )
    )


def test_many_predicates_are_asked_in_bounded_searches(store: ElasticStore) -> None:
    """Hundreds of rules are several searches in several requests, and what they find comes once, in order."""
    rules = many_rules(700)
    found = groups(rules)
    assert found is not None
    assert len(found) > 2
    assert all(leaves(query) <= GROUP_CLAUSES + 1 for query in found)
    requests = list(packed_bodies([{"query": query} for query in found]))
    assert all(sum(leaves(body["query"]) for body in some) <= REQUEST_CLAUSES for some in requests)
    fields = {n: {"event.code": str(n), "process.command_line": f"C:\\tool {n} -x"} for n in (7, 8, 650)}
    store.append([incoming(n, fields.get(n, {"event.code": "7"})) for n in range(1_000)])
    for limit in (2, 10_000):
        batches = list(store.feed(store.beginning(), narrow=rules, limit=limit))
        assert [e.id for b in batches for e in b.events] == [incoming(n).id for n in (7, 8, 650)]
        assert sum(b.passed for b in batches) == 997
        assert all(len(b.events) <= limit for b in batches)


def test_a_narrowed_feed_goes_on_from_any_batch(store: ElasticStore) -> None:
    """Each position counts what lies before it, found or passed over, exactly once."""
    store.append([incoming(n, {"event.code": str(n % 10)}) for n in range(200)])
    wanted = Test("event.code", Op.EQUALS, "3")
    batches = list(store.feed(store.beginning(), narrow=wanted, limit=6))
    assert len(batches) > 3
    for number, batch in enumerate(batches):
        rest = list(store.feed(batch.position, narrow=wanted, limit=6))
        left = batches[number + 1 :]
        assert [e.id for b in rest for e in b.events] == [e.id for b in left for e in b.events]
        assert sum(b.passed for b in rest) == sum(b.passed for b in left)


def test_a_query_that_the_server_refuses_costs_no_event(store: ElasticStore, elastic_node: Node) -> None:
    """Expensive queries may be switched off, or an index take shorter expressions: then all is read."""
    store.append([incoming(n, {"process.name": f"tool{n}.exe"}) for n in range(20)])
    (index,) = elastic_node.request("GET", f"/{store._names.events}/_settings")
    elastic_node.request("PUT", f"/{index}/_settings", {"index.max_regex_length": 5})
    for rules in (Test("process.name", Op.CONTAINS, "ool7.exe"), many_rules(400)):
        batches = list(store.feed(store.beginning(), narrow=rules))
        assert sum(b.passed for b in batches) == 0
        assert sum(len(b.events) for b in batches) == 20


def test_what_several_searches_find_is_put_together_page_by_page(
    store: ElasticStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More hits than one page, in several searches, over several windows: each event comes once, in order;
    where they are most of the events, all are read instead."""
    monkeypatch.setattr(elastic_shard, "MOST_PAGE", 7)
    monkeypatch.setattr(elastic_shard, "WINDOW", 60)
    rules = many_rules(400)
    rare = {
        n: {"event.code": str(n % 3), "process.command_line": f"tool {n % 3} -x"} for n in range(0, 200, 5)
    }
    store.append([incoming(n, rare.get(n, {})) for n in range(200)])
    batches = list(store.feed(store.beginning(), narrow=rules))
    assert [e.id for b in batches for e in b.events] == [incoming(n).id for n in rare]
    assert sum(b.passed for b in batches) == 160
    many = {n: {"event.code": "1", "process.command_line": "tool 1 -x"} for n in range(200, 320)}
    position = batches[-1].position
    store.append([incoming(n, fields) for n, fields in many.items()])
    batches = list(store.feed(position, narrow=rules))
    assert sum(len(b.events) for b in batches) == 120
    assert sum(b.passed for b in batches) == 0
