"""Events into Elasticsearch while requests are cut, refused and answered busily."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from soc.config import StoreSettings
from soc.errors import NotAuthorisedError, StoreUnavailableError
from soc.event import Event
from soc.store.contract import Fate, Incoming
from soc.store.elastic import ElasticStore
from soc.store.elastic_events import bulk_line, pack, raise_if_not_the_event, reason_of, unpack
from soc.store.elastic_schema import EXACT, OTHER, WIDEN, Names
from soc.store.embedded_codec import UnfitError
from tests.elastic_node import Node
from tests.fault_proxy import Fault, FaultProxy, Kind
from tests.store.worker import made


def many(count: int, generation: str = "g", size: int = 0) -> list[Incoming]:
    """Events of one generation, with `size` bytes more each."""
    events = [made(generation, number) for number in range(count)]
    return [Incoming(e.id, {**e.event, "message": "x" * size}) for e in events] if size else events


@pytest.fixture
def proxy(elastic_node: Node) -> Iterator[FaultProxy]:
    """A proxy in front of the node."""
    with FaultProxy(elastic_node.url) as found:
        yield found


@pytest.fixture
def store(proxy: FaultProxy, elastic_settings: StoreSettings) -> Iterator[ElasticStore]:
    """A store behind the proxy, set up."""
    settings = StoreSettings(target=proxy.url, space=elastic_settings.space)
    with ElasticStore.connect(settings, patience=10) as opened:
        opened.init()
        yield opened


def held(store: ElasticStore) -> Counter[str]:
    """How often each id is in the store, as the feed tells."""
    return Counter(event.id for batch in store.feed(store.beginning()) for event in batch.events)


# layout


def test_only_mapped_fields_stand_at_the_top() -> None:
    """All others lie in one field, so that no event adds to the mapping; the way back is exact."""
    event: Event = {
        "@timestamp": "t",
        "soc.layer": 1,
        "host": "a",
        "host.name": "b",
        "my.own": [1, None],
        "": "",
    }
    packed = pack(event)
    assert packed[OTHER] == {"host": "a", "my.own": [1, None], "": ""}
    assert unpack(orjson.loads(orjson.dumps(packed))) == event


def test_a_float_in_a_keyword_field_is_marked() -> None:
    """The server indexes 5.0 as "5.0" where rules compare "5": such an event is in every narrowed search."""
    event: Event = {"@timestamp": "t", "process.name": 5.0, "process.title": ["a", 1.5]}
    assert pack(event)[WIDEN] is True
    assert unpack(pack(event)) == event
    assert WIDEN not in pack({"process.name": "5", "event.duration": 5.5})


def test_what_json_cannot_say_is_kept_as_text() -> None:
    """Integers beyond 64 bits and lone surrogates come back as they were."""
    event: Event = {
        "@timestamp": "2026-03-02T07:14:09.120000Z",
        "soc.layer": 1,
        "big": 2**80,
        "odd": "\ud800",
    }
    action, document = bulk_line(Names(), "id", event).splitlines()
    assert orjson.loads(action)["create"] == {"_index": "soc-events-1-standard-2026.03", "_id": "id"}
    source = orjson.loads(document)
    assert source[WIDEN] is True
    assert EXACT in source
    assert unpack(source) == event


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"soc.layer": 1}, "no @timestamp"),
        ({"@timestamp": "yesterday", "soc.layer": 1}, "not a time"),
        ({"@timestamp": "2026-03-02T07:14:09", "soc.layer": 1}, "not a time with a zone"),
        ({"@timestamp": 1772435649, "soc.layer": 1}, "not a time"),
        ({"@timestamp": "2026-03-02T07:14:09Z"}, "no soc.layer"),
        ({"@timestamp": "2026-03-02T07:14:09Z", "soc.layer": True}, "1 to 4"),
        ({"@timestamp": "2026-03-02T07:14:09Z", "soc.layer": 5}, "1 to 4"),
        ({"@timestamp": "2026-03-02T07:14:09Z", "soc.layer": 1, "soc.retention": "../x"}, "not a class"),
        ({"@timestamp": "2026-03-02T07:14:09Z", "soc.layer": 1, "x": object()}, "object"),
    ],
)
def test_an_event_that_cannot_be_placed_is_refused_here(event: Event, reason: str) -> None:
    """Nothing is sent, and the reason is for people."""
    with pytest.raises(UnfitError, match=reason):
        bulk_line(Names(), "id", event)


def test_the_index_follows_utc_whatever_the_offset_says() -> None:
    """The last hour of a month in Hanoi is the month before in UTC."""
    line = bulk_line(Names(), "id", {"@timestamp": "2026-04-01T06:59:59+07:00", "soc.layer": 2})
    assert b"soc-events-2-standard-2026.03" in line


def test_an_id_cannot_break_out_of_its_line() -> None:
    """Quotes and backslashes in an id stay in the id."""
    action = bulk_line(
        Names(), 'a"}}\\', {"@timestamp": "2026-04-01T00:00:00Z", "soc.layer": 2}
    ).splitlines()[0]
    assert orjson.loads(action)["create"]["_id"] == 'a"}}\\'


# refusals that are not the event's fault


@pytest.mark.parametrize(
    ("kind", "status", "reason", "raised"),
    [
        ("security_exception", 403, "action [x] is unauthorized for user [u]", NotAuthorisedError),
        ("cluster_block_exception", 403, "index read-only", StoreUnavailableError),
        ("validation_exception", 400, "this action would add [2] shards, maximum", StoreUnavailableError),
        ("index_not_found_exception", 404, "no such index", StoreUnavailableError),
    ],
)
def test_a_refusal_that_the_next_event_would_meet_too_is_an_error(
    kind: str, status: int, reason: str, raised: type[Exception]
) -> None:
    """Such events must wait in the spool, not fill the dead letters."""
    with pytest.raises(raised):
        raise_if_not_the_event("store", status, kind, reason)
    raise_if_not_the_event("store", 400, "document_parsing_exception", "failed to parse")


def test_the_reason_of_an_item_holds_its_cause() -> None:
    """What was wrong, not only that something was."""
    error = {
        "type": "t",
        "reason": "failed",
        "caused_by": {"reason": "because", "caused_by": {"reason": "of this"}},
    }
    assert reason_of(error) == ("t", "failed: because: of this", "failed")


# over the wire


@pytest.mark.elastic
def test_a_bulk_cut_on_its_way_is_sent_again(store: ElasticStore, proxy: FaultProxy) -> None:
    """The server got half of it; all events are stored once."""
    proxy.script(Fault(Kind.CUT_REQUEST, times=2))
    events = many(500)
    assert {o.fate for o in store.append(events)} == {Fate.STORED}
    assert proxy.count("_bulk", Kind.CUT_REQUEST) == 2
    assert held(store) == Counter(e.id for e in events)


@pytest.mark.elastic
def test_an_answer_cut_on_its_way_stores_nothing_twice(store: ElasticStore, proxy: FaultProxy) -> None:
    """The server had stored all of it; the second try meets its own events as duplicates."""
    proxy.script(Fault(Kind.CUT_RESPONSE))
    events = many(500)
    assert {o.fate for o in store.append(events)} == {Fate.DUPLICATE}
    assert held(store) == Counter(e.id for e in events)


@pytest.mark.elastic
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_loses_nothing(store: ElasticStore, proxy: FaultProxy, status: int) -> None:
    """The whole bulk is refused a few times, then taken."""
    proxy.script(Fault(Kind.ANSWER, times=3, status=status))
    assert {o.fate for o in store.append(many(100))} == {Fate.STORED}
    assert proxy.count() == 4


@pytest.mark.elastic
def test_events_refused_as_too_many_are_sent_again_alone(store: ElasticStore, proxy: FaultProxy) -> None:
    """429 for single items within HTTP 200: only these are sent again."""
    busy = {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "queue is full"}}
    proxy.script(Fault(Kind.REWRITE, body=busy, items=(3, 7)))
    outcomes = store.append(many(10))
    # the server had in truth stored the two, so that the second try is told so
    assert [o.fate for o in outcomes].count(Fate.STORED) == 8
    assert [i for i, o in enumerate(outcomes) if o.fate is Fate.DUPLICATE] == [3, 7]
    first, second = [seen.size for seen in proxy.requests if "_bulk" in seen.path]
    assert second < first / 4


@pytest.mark.elastic
def test_a_bulk_that_is_too_large_is_split(store: ElasticStore, proxy: FaultProxy) -> None:
    """413 halves the bulk until it fits; a single event that does not fit is rejected alone."""
    proxy.script(Fault(Kind.ANSWER, times=10_000, status=413, above=20_000))
    events = many(64, size=1_000)
    giant = Incoming("giant", {**events[0].event, "message": "x" * 30_000})
    outcomes = store.append([*events[:32], giant, *events[32:]])
    assert [o.id for o in outcomes if o.fate is Fate.REJECTED] == ["giant"]
    assert "larger than the store takes" in next(o.reason for o in outcomes if o.id == "giant")
    assert held(store) == Counter(e.id for e in events)


@pytest.mark.elastic
def test_one_poison_document_stands_alone(store: ElasticStore, proxy: FaultProxy) -> None:
    """The server refuses a bulk as a whole because of one document: the others are stored."""
    poison: dict[str, Any] = {"error": {"type": "illegal_argument_exception", "reason": "malformed"}}
    proxy.script(Fault(Kind.ANSWER, times=10_000, status=400, body=poison, above=20_000))
    events = many(40)
    bad = Incoming("bad", {**events[0].event, "message": "x" * 30_000})
    outcomes = store.append([*events[:13], bad, *events[13:]])
    assert [(o.id, o.reason) for o in outcomes if o.fate is Fate.REJECTED] == [("bad", "malformed")]
    assert held(store) == Counter(e.id for e in events)


@pytest.mark.elastic
def test_values_that_do_not_fit_are_rejected_with_the_reason(store: ElasticStore) -> None:
    """The mapping is strict about types; the message names field and value."""
    events = many(3)
    outcomes = store.append(
        [events[0], Incoming("bad", {**events[1].event, "source.ip": "not-an-address"}), events[2]]
    )
    assert [o.fate for o in outcomes] == [Fate.STORED, Fate.REJECTED, Fate.STORED]
    assert "source.ip" in outcomes[1].reason
    assert "not-an-address" in outcomes[1].reason


@pytest.mark.elastic
@pytest.mark.slow
def test_a_large_append_through_a_bad_line_is_exact(store: ElasticStore, proxy: FaultProxy) -> None:
    """Several connections at once, each fault several times: nothing is lost, nothing is twice."""
    proxy.script(
        Fault(Kind.CUT_RESPONSE, times=2),
        Fault(Kind.ANSWER, times=2, status=429),
        Fault(Kind.CUT_REQUEST, times=2),
        Fault(Kind.DELAY, times=1, seconds=1),
        Fault(Kind.ANSWER, times=1, status=503),
    )
    events = many(20_000, size=500)
    outcomes = store.append(events)
    assert [o.id for o in outcomes] == [e.id for e in events]
    assert {o.fate for o in outcomes} <= {Fate.STORED, Fate.DUPLICATE}
    assert held(store) == Counter(e.id for e in events)


@pytest.mark.elastic
@pytest.mark.slow
def test_when_patience_ends_a_repeated_append_completes(store: ElasticStore, proxy: FaultProxy) -> None:
    """An error may leave some events stored; the caller appends again and each is there once."""
    events = many(5_000, size=1_000)
    proxy.script(Fault(Kind.CUT_RESPONSE, times=1), Fault(Kind.ANSWER, times=60, status=429))
    impatient = ElasticStore.connect(StoreSettings(proxy.url, space=store._names.space), patience=1)
    with impatient, pytest.raises(StoreUnavailableError) as caught:
        impatient.append(events)
    assert caught.value.hint
    proxy.heal()
    store.append(events)
    assert held(store) == Counter(e.id for e in events)


@pytest.mark.elastic
def test_the_first_append_sets_the_store_up(elastic_settings: StoreSettings, elastic_node: Node) -> None:
    """Mappings exist before the first document, also when nobody said `soc store init`."""
    with ElasticStore.connect(elastic_settings) as fresh:
        fresh.append(many(1))
    pattern = f"/soc-{elastic_settings.space}-events-*/_mapping"
    (index,) = elastic_node.request("GET", pattern).values()
    assert index["mappings"]["properties"]["source.ip"] == {"type": "ip"}
    assert index["mappings"]["dynamic"] == "false"


@pytest.mark.elastic
def test_hostile_field_names_never_grow_the_mapping(store: ElasticStore, elastic_node: Node) -> None:
    """A thousand names from one attacker are stored and change nothing for others."""
    base = made("g", 0).event
    events = [Incoming(f"n{i}", {**base, f"attack.{i}.{'x' * 50}": i, "a": 1, "a.b": 2}) for i in range(1000)]
    before = elastic_node.request("GET", f"/_index_template/soc-{store._names.space}-events")
    assert {o.fate for o in store.append(events)} == {Fate.STORED}
    (index,) = elastic_node.request("GET", f"/soc-{store._names.space}-events-*/_mapping").values()
    template = before["index_templates"][0]["index_template"]["template"]
    assert len(index["mappings"]["properties"]) == len(template["mappings"]["properties"])
    assert [e.event for e in store.events(["n7"])] == [events[7].event]


# least privilege


@pytest.mark.elastic
def test_a_collector_may_write_events_and_nothing_else(secure_settings: StoreSettings) -> None:
    """With `create_index` and `create_doc` it appends; it cannot read, and a repeat is a duplicate."""
    with ElasticStore.connect(secure_settings) as admin:
        admin.init()
    mine = StoreSettings(
        secure_settings.target, user="collector", ca=secure_settings.ca, space=secure_settings.space
    )
    with ElasticStore.connect(mine) as collector:
        assert {o.fate for o in collector.append(many(10))} == {Fate.STORED}
        assert {o.fate for o in collector.append(many(10))} == {Fate.DUPLICATE}
        with pytest.raises(NotAuthorisedError, match="'read'") as caught:
            list(collector.search())
        assert "collector" in caught.value.message
        with pytest.raises(NotAuthorisedError):
            collector.put("alert", "A-1", {}, expect=0)


@pytest.mark.elastic
def test_who_may_only_read_cannot_append(secure_settings: StoreSettings) -> None:
    """The server refuses each item within HTTP 200; that is an error, not a dead letter."""
    with ElasticStore.connect(secure_settings) as admin:
        admin.init()
        admin.append(many(1))
    mine = StoreSettings(
        secure_settings.target, user="sweeper", ca=secure_settings.ca, space=secure_settings.space
    )
    with ElasticStore.connect(mine) as sweeper:
        with pytest.raises(NotAuthorisedError, match=r"create_doc|create|index") as caught:
            sweeper.append(many(3))
        assert "soc_collector" in caught.value.hint
        assert len(list(sweeper.feed(sweeper.beginning()))) == 1
        assert sweeper.status().events == 1
