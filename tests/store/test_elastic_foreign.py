"""Indices of others, read as they are: dynamic mapping, Beats, data streams, and what is odd about them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from soc.config import StoreSettings
from soc.detect.plan import Plan
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, Verdict, evaluate
from soc.detect.rule import Rule
from soc.detect.sweep import Start, Sweeper
from soc.errors import UsageError
from soc.event import timestamp
from soc.store.contract import Incoming
from soc.store.elastic import ElasticStore
from soc.store.elastic_foreign import ForeignStore, event_of
from soc.store.elastic_indexed import Family
from soc.store.elastic_layout import layout_of
from soc.store.elastic_query import UPPER, upper
from tests.elastic_node import Node
from tests.store.test_elastic_query import TEXT_OPS, operands
from tests.store.test_elastic_query import WORDS as STRANGE_WORDS

START = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
WORDS = [word for word in STRANGE_WORDS if len(word) < 1_000]

# what a mapping makes certain


def test_a_mapping_says_where_a_field_is_held() -> None:
    """Keyword, text with a sub-field, numbers, addresses, aliases; a missing field is absent."""
    layout = layout_of(
        {
            "properties": {
                "@timestamp": {"type": "date"},
                "event": {"properties": {"code": {"type": "keyword", "ignore_above": 1024}}},
                "message": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}},
                "source.ip": {"type": "ip"},
                "code": {"type": "alias", "path": "event.code"},
            }
        }
    )
    assert [i.path for i in layout("event.code")] == ["event.code"]
    assert [(i.path, i.ignored) for i in layout("message")] == [("message.keyword", ("message.keyword",))]
    assert [i.family for i in layout("source.ip")] == [Family.IP]
    assert layout("code") == layout("event.code")
    assert layout.computed == ("code",)
    assert layout.dated
    assert [i.family for i in layout("process.name")] == [Family.ABSENT]
    assert [i.family for i in layout("event.dataset")] == [Family.ABSENT, Family.ABSENT]


@pytest.mark.parametrize(
    "node",
    [
        {"type": "text"},
        {"type": "wildcard"},
        {"type": "constant_keyword", "value": "x"},
        {"type": "flattened"},
        {"type": "date"},
        {"type": "keyword", "normalizer": "mine"},
        {"type": "keyword", "null_value": "none"},
        {"type": "keyword", "index": False},
        {"type": "keyword", "script": {"source": "emit('x')"}},
        {"type": "long", "null_value": 0},
        {"type": "half_float"},
        {"type": "unsigned_long"},
        {"type": "a type of the future"},
        {"type": "nested", "properties": {"b": {"type": "keyword"}}},
        {"type": "object", "enabled": False},
        {"dynamic": False, "properties": {}},
        {"dynamic": "runtime", "properties": {}},
        {"type": "alias", "path": "gone"},
    ],
    ids=str,
)
def test_what_is_not_plain_is_not_used(node: dict[str, Any]) -> None:
    """Neither the field nor one below it: a query on it could miss an event."""
    layout = layout_of({"properties": {"a": node}})
    assert layout("a") == ()
    assert layout("a.b") == ()


def test_an_index_that_does_not_map_new_fields_has_no_absent_ones() -> None:
    """With `dynamic: false`, a field without a mapping may well be in a document."""
    for dynamic in (False, "false", "runtime"):
        assert layout_of({"dynamic": dynamic, "properties": {}})("process.name") == ()
    assert layout_of({"runtime": {"a": {"type": "keyword"}}})("a") == ()
    assert layout_of({"_source": {"excludes": ["a.*"]}}).hidden == ("a.*",)
    assert layout_of({"_source": {"enabled": False}}).hidden == ("*",)


def test_a_document_becomes_an_event_once() -> None:
    """Nested or dotted names, times in each form, what the index adds, and the dataset of a data stream."""
    hit = {
        "_id": "1",
        "_source": {
            "@timestamp": "2026-03-02T07:14:09.123Z",
            "event": {"code": 4624},
            "winlog.channel": "Security",
            "data_stream": {"dataset": "system.security"},
            "users": [{"name": "a"}, {"name": "b"}],
        },
        "fields": {"alias": ["x"], "event.code": ["other"]},
    }
    found = event_of(hit)
    assert found is not None
    assert found.event["@timestamp"] == "2026-03-02T07:14:09.123000Z"
    assert found.event["event.code"] == 4624
    assert found.event["event.dataset"] == "system.security"
    assert found.event["users.name"] == ["a", "b"]
    assert found.event["alias"] == "x"
    for text in (
        1772435649123,
        "1772435649123",
        "2026-03-02T14:14:09.123+07:00",
        ["2026-03-02T07:14:09.123456789Z"],
    ):
        other = event_of({"_id": "1", "_source": {"@timestamp": text}})
        assert other is not None
        assert other.event["@timestamp"].startswith("2026-03-02T07:14:09.123")
    bad: Any
    for bad in (None, "yesterday", {}, True, 1e300):
        assert event_of({"_id": "1", "_source": {"@timestamp": bad}}) is None


# on a real node

Index = Callable[..., str]


@pytest.fixture
def home(elastic_settings: StoreSettings) -> Iterator[ElasticStore]:
    """Our own store in the cluster."""
    with ElasticStore.connect(elastic_settings) as store:
        store.init()
        yield store


@pytest.fixture
def index(elastic_node: Node, space: str) -> Iterator[Index]:
    """Makes an index of somebody else and fills it; removed afterwards."""
    made = []

    def make(name: str, documents: Sequence[dict[str, Any]], mapping: dict[str, Any] | None = None) -> str:
        full = f"{name}-{space}"
        if full not in made:
            made.append(full)
            elastic_node.request("PUT", f"/{full}", {"mappings": mapping or {}})
        lines = b"".join(
            json.dumps({"index": {"_id": f"{name}{n}"}}).encode()
            + b"\n"
            + json.dumps(document).encode()
            + b"\n"
            for n, document in enumerate(documents)
        )
        answer = elastic_node.request("POST", f"/{full}/_bulk?refresh=true", lines)
        assert not answer["errors"], [item for item in answer["items"] if "error" in item["index"]][:2]
        return full

    yield make
    for name in made:
        elastic_node.request("DELETE", f"/{name}", check=False)


def at(second: float) -> str:
    """A time text."""
    return timestamp(START + timedelta(seconds=second))


BEATS = {
    "date_detection": False,
    "properties": {
        "@timestamp": {"type": "date"},
        "event": {"properties": {"code": {"type": "keyword", "ignore_above": 1024}}},
        "process": {
            "properties": {
                "name": {"type": "keyword", "ignore_above": 20, "fields": {"text": {"type": "text"}}}
            }
        },
        "source": {
            "properties": {
                "ip": {"type": "ip", "ignore_malformed": True},
                "port": {"type": "long", "ignore_malformed": True},
            }
        },
        "event.risk": {"type": "double"},
        "flag": {"type": "boolean"},
    },
}
"""Like the template of a Beat."""

FIELD_OF = {
    Family.KEYWORD: ("process.name", "free.text"),
    Family.LONG: ("source.port",),
    Family.DOUBLE: ("event.risk",),
    Family.IP: ("source.ip",),
    Family.BOOLEAN: ("flag",),
    Family.ABSENT: ("not.there",),
}


def odd_documents() -> list[dict[str, Any]]:
    """Values of all kinds, as shippers write them: nested and dotted, as text, beyond the index."""
    values: list[Any] = [
        *WORDS, "x" * 300, "cafe\u0301", "u\u0308ber",
        "KELVIN", "\u212aelvin", "ta\u017fk", 5, 5.0, 100.0, 1e20,
        True, None,
        "4624", 4624, "-0", ["cmd.exe", "CMD.EXE"], [], "192.0.2.7", "::ffff:192.0.2.7",
    ]  # fmt: skip
    out: list[dict[str, Any]] = [{"process": {"name": value}} for value in values]
    out += [{"process.name": value, "event": {"code": "1"}} for value in values]
    out += [{"free": {"text": value}} for value in values if isinstance(value, (str, type(None)))]
    out += [
        {"source": {"ip": value}}
        for value in ("192.0.2.7", "2001:db8::1", "10.0.0.1", "no address", ["::1", "192.0.2.9"])
    ]
    out += [{"source": {"port": value}} for value in (22, "22", 22.5, " 22 ", "22.9", -1, "none", [0, 22])]
    out += [{"event.risk": value} for value in (0.5, 22.5, "22", -1)]
    out += [{"flag": value} for value in (True, False, "true", "", None)]
    return [{"@timestamp": at(n), **document} for n, document in enumerate(out)]


@pytest.mark.elastic
def test_each_pair_of_the_table_is_certain_on_foreign_mappings(home: ElasticStore, index: Index) -> None:
    """On the mapping of a Beat with dynamic fields, what is fetched holds all that is true, under NOT too."""
    name = index("beats", odd_documents(), BEATS)
    store = ForeignStore.beside(home, name)
    everything = list(store.search())
    assert len(everything) == len(odd_documents())
    layout = store._reading.layout(name)
    assert layout is not None
    for (op, family), fields in [(pair, FIELD_OF[pair[1]]) for pair in UPPER if pair[1] in FIELD_OF]:
        cases = (False, True) if op in {*TEXT_OPS, Op.WILDCARD} else (False,)
        tests = [Test(f, op, o, cased=c) for f in fields for o in operands(op) for c in cases]
        predicates = [p for t in tests for p in (t, Not(t)) if upper(p, layout) is not None]
        narrowed = 0
        for predicate, found in zip(
            predicates, _found(home, name, [upper(p, layout) for p in predicates]), strict=True
        ):
            expected = {e.id for e in everything if evaluate(predicate, e.event) is not Verdict.FALSE}
            assert expected <= found, predicate
            narrowed += len(found) < len(everything)
        assert narrowed, (op, family)


def _found(store: ElasticStore, name: str, queries: Sequence[Any]) -> Iterator[set[str]]:
    from soc.store.elastic_narrow import searches

    bodies = [{"size": 2_000, "_source": False, "query": query} for query in queries]
    for answer in searches(store._connection, name, bodies):
        yield {hit["_id"] for hit in answer["hits"]["hits"]}


def logon(n: int, **more: Any) -> dict[str, Any]:
    """A document as Winlogbeat writes it."""
    return {
        "@timestamp": at(n),
        "event": {
            "code": "4625" if n % 5 == 0 else "4624",
            "provider": "Microsoft-Windows-Security-Auditing",
        },
        "winlog": {
            "channel": "Security",
            "event_data": {"TargetUserName": "Administrator" if n % 10 == 0 else f"u{n}"},
        },
        "host": {"name": f"pc{n % 3}"},
        **more,
    }


def windows(name: str, predicate: Predicate) -> Rule:
    """A rule on the security log."""
    source = Test("winlog.channel", Op.EQUALS, "Security")
    whole = And((source, predicate))
    return Rule(
        name,
        name,
        "high",
        path=f"{name}.yml",
        predicate=whole,
        source=source,
        version="1",
        fields=("event.code",),
    )


RULES = [
    windows(
        "failed",
        And(
            (
                Test("event.code", Op.EQUALS, "4625"),
                Test("winlog.event_data.TargetUserName", Op.EQUALS, "ADMINISTRATOR"),
            )
        ),
    ),
    windows(
        "either",
        Or(
            (
                Test("winlog.event_data.TargetUserName", Op.ENDSWITH, "7"),
                Test("winlog.event_data.Other", Op.EQUALS, "x"),
            )
        ),
    ),
    windows(
        "odd",
        And(
            (
                Test("event.code", Op.EQUALS, "4625"),
                Not(Test("winlog.event_data.TargetUserName", Op.EQUALS, "administrator")),
            )
        ),
    ),
]


@pytest.mark.elastic
@pytest.mark.parametrize("mapping", [None, BEATS], ids=["dynamic", "beats"])
def test_foreign_indices_are_swept_as_they_are(
    home: ElasticStore, index: Index, mapping: dict[str, Any] | None
) -> None:
    """Both plans raise the same alerts from events of others; positions are of the pattern; ids are those of
    the events; what is new afterwards is swept once."""
    name = index("winlogbeat", [logon(n) for n in range(100)], mapping)
    found = {}
    for plan in (Plan.STREAM, Plan.CANDIDATES):
        store = ForeignStore.beside(home, name)
        result = Sweeper(store, RULES, name=f"{plan}:{name}", plan=plan).run(Start())
        assert result.plans == {plan.value: 100}
        found[plan] = (result.events, result.hits, result.by_rule)
        assert Sweeper(store, RULES, name=f"{plan}:{name}", plan=plan).run().events == 0
    assert found[Plan.STREAM] == found[Plan.CANDIDATES]
    assert found[Plan.STREAM][2]["failed"] == [10, 0]
    alerts = list(home.find("alert"))
    assert alerts
    assert all(name not in json.dumps(document.body) for document in alerts)
    samples = [s["id"] for d in home.find("alert_events") for s in d.body["samples"]]
    assert all(id_.startswith("winlogbeat") for id_ in samples)


@pytest.mark.elastic
def test_documents_that_are_no_events_are_left_out_and_noted(home: ElasticStore, index: Index) -> None:
    """Without a time there is no event; both plans count alike, and reading says how many were left out."""
    documents = [logon(n) for n in range(20)] + [
        {"event": {"code": "4625"}, "winlog": {"channel": "Security"}}
    ] * 3
    name = index("winlogbeat", documents, {**BEATS, "_source": {"excludes": ["secret.*"]}})
    for plan in (Plan.STREAM, Plan.CANDIDATES):
        store = ForeignStore.beside(home, name)
        result = Sweeper(store, RULES, name=f"{plan}:{name}", plan=plan).run(Start())
        assert result.events == 20
        notes = " ".join(result.notes)
        assert "keeps secret.* out of its documents" in notes
        assert "3 documents" in notes


@pytest.mark.elastic
def test_aliases_and_data_streams_are_read(
    home: ElasticStore, elastic_node: Node, index: Index, space: str
) -> None:
    """An alias field is seen by rules on its name; a data stream is its backing indices."""
    mapping = {"properties": {**BEATS["properties"], "Channel": {"type": "alias", "path": "event.code"}}}  # type: ignore[dict-item] # nested JSON
    name = index("aliased", [logon(n) for n in range(10)], mapping)
    (first, *_), _ = (list(ForeignStore.beside(home, name).search()), None)
    assert first.event.get("event.code") == "4625"
    batches = list(
        ForeignStore.beside(home, name).feed(
            {"store": "elasticsearch", "shards": {}}, narrow=Test("Channel", Op.EQUALS, "4625")
        )
    )
    assert [e.event["Channel"] for b in batches for e in b.events] == ["4625", "4625"]
    stream = f"logs-x-{space}"
    template = {"index_patterns": [stream], "data_stream": {}, "priority": 700}
    elastic_node.request("PUT", f"/_index_template/{stream}", template)
    try:
        for n in range(6):
            elastic_node.request(
                "POST", f"/{stream}/_doc?refresh=true", logon(n, data_stream={"dataset": "system.security"})
            )
            if n == 3:
                elastic_node.request("POST", f"/{stream}/_rollover")
        store = ForeignStore.beside(home, stream)
        wanted = Test("event.dataset", Op.EQUALS, "system.security")
        batches = list(store.feed(store.beginning(), narrow=wanted))
        assert sum(len(b.events) for b in batches) == 6
        assert {e.event["event.dataset"] for b in batches for e in b.events} == {"system.security"}
        assert len(store.parts(store.beginning())) == 2
    finally:
        elastic_node.request("DELETE", f"/_data_stream/{stream}", check=False)
        elastic_node.request("DELETE", f"/_index_template/{stream}", check=False)


@pytest.mark.elastic
def test_the_indices_of_others_are_not_written_to(home: ElasticStore, index: Index) -> None:
    """Neither events nor retention; our own indices are refused as foreign ones, and so is nothing."""
    name = index("winlogbeat", [logon(1)], BEATS)
    store = ForeignStore.beside(home, name)
    with pytest.raises(UsageError):
        store.append([Incoming("x", {"@timestamp": at(0)})])
    with pytest.raises(UsageError):
        store.prune(START)
    assert store.status().events == 1
    for pattern in ("*", "soc-*", "-x", "a b", "", "no-such-index-*"):
        with pytest.raises(UsageError):
            ForeignStore.beside(home, pattern)


@pytest.mark.elastic
def test_without_the_privilege_events_are_read_by_time(
    secure_settings: StoreSettings, secure_node: Node, space: str
) -> None:
    """Who may only read gets each event once, also one that came in late; the ledger says how."""
    name = f"winlogbeat-{space}"

    def put(n: int, ingested: float | None, second: float) -> None:
        event: dict[str, Any] = logon(0)
        event["@timestamp"] = at(second)
        if ingested is not None:
            event["event"]["ingested"] = at(ingested)
        secure_node.request("PUT", f"/{name}/_doc/{n}?refresh=true", event)

    with ElasticStore.connect(secure_settings) as admin:
        admin.init()
    with ElasticStore.connect(dataclasses.replace(secure_settings, user="guest")) as guest:
        for n in range(8):
            put(n, n if n % 2 else None, n)
        try:
            store = ForeignStore.beside(guest, name)
            sweeper = Sweeper(store, RULES[:1], name=f"sweep:{name}")
            first = sweeper.run(Start())
            assert (first.events, first.hits) == (8, 8)
            assert "for want of the privilege monitor" in " ".join(first.notes)
            assert sweeper.run().events == 0
            put(8, 60, -3600)  # an hour old, but it came in a minute later
            put(9, 4, 4)  # came in before the last one that was read, and was visible only now
            later = sweeper.run()
            assert (later.events, later.hits) == (2, 2)
            assert sweeper.run().events == 0
            alerts = sum(document.body["count"] for document in guest.find("alert"))
            assert alerts == 10
        finally:
            secure_node.request("DELETE", f"/{name}", check=False)
