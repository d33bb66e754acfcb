"""Documents and audit on Elasticsearch: who wrote it, compare-and-set through a bad line, exact bodies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from soc.config import StoreSettings
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test
from soc.errors import NotAuthorisedError, SocError
from soc.respond import audit
from soc.store.contract import Document, VersionConflictError, Write
from soc.store.elastic import ElasticStore
from soc.store.elastic_documents import TERM_LENGTH, TERMS, _key, _terms, _wanted
from tests.elastic_node import Node
from tests.fault_proxy import Fault, FaultProxy, Kind
from tests.plugins.elastic import PASSWORD


@pytest.fixture
def proxy(elastic_node: Node) -> Iterator[FaultProxy]:
    """A proxy in front of the node."""
    with FaultProxy(elastic_node.url) as found:
        yield found


@pytest.fixture
def store(proxy: FaultProxy, elastic_settings: StoreSettings) -> Iterator[ElasticStore]:
    """A store behind the proxy, set up."""
    with ElasticStore.connect(StoreSettings(proxy.url, space=elastic_settings.space)) as opened:
        opened.init()
        yield opened


@pytest.fixture
def office(secure_settings: StoreSettings) -> Iterator[tuple[ElasticStore, ElasticStore]]:
    """A store with security that an administrator has set up, opened by the analysts lan and minh."""
    with ElasticStore.connect(secure_settings) as admin:
        admin.init()
    target, ca, space = secure_settings.target, secure_settings.ca, secure_settings.space
    lan, minh = (StoreSettings(target, user=user, ca=ca, space=space) for user in ("lan", "minh"))
    with ElasticStore.connect(lan) as one, ElasticStore.connect(minh) as two:
        yield one, two


# what is indexed for find


def test_short_values_are_indexed_folded() -> None:
    """Nested names are joined, as the predicate sees them; numbers as the text that rules compare."""
    body = {"status": "OPEN", "owner": {"name": "Lan"}, "levels": [1, 2.0], "none": None}
    assert _terms(body) == (["status=open", "owner.name=lan", "levels=1", "levels=2"], False)


def test_a_body_that_is_not_indexed_whole_is_marked() -> None:
    """Too long a value, or too many: every query must return such a document."""
    assert _terms({"text": "x" * (TERM_LENGTH + 1)})[1]
    assert _terms({"many": list(range(TERMS + 1))})[1]


@pytest.mark.parametrize(
    ("predicate", "narrowed"),
    [
        (Test("status", Op.EQUALS, "open"), True),
        (Test("status", Op.CONTAINS, "open"), False),
        (Test(None, Op.EQUALS, "open"), False),
        (Not(Test("status", Op.EQUALS, "open")), False),
        (And((Test("a", Op.EQUALS, 1), Test("b", Op.REGEX, "x"))), True),
        (Or((Test("a", Op.EQUALS, 1), Test("b", Op.REGEX, "x"))), False),
        (Or((Test("a", Op.EQUALS, 1), Test("b", Op.EQUALS, 2))), True),
        (Test("a", Op.EQUALS, "x" * 500), False),
    ],
    ids=repr,
)
def test_only_equality_narrows(predicate: Predicate, narrowed: bool) -> None:
    """Everything else is left to the predicate."""
    assert bool(_wanted(predicate)) is narrowed


def test_a_key_has_at_most_512_bytes() -> None:
    """Elasticsearch takes no longer id; long ones are hashed and stay apart."""
    assert _key("alert", "A-7F3K") == "alert:A-7F3K"
    long = {_key("hit", "é" * 400 + end) for end in "ab"}
    assert len(long) == 2
    assert all(len(key.encode()) <= 512 for key in long)


# over the wire


@pytest.mark.elastic
@pytest.mark.parametrize("kind", [Kind.CUT_RESPONSE, Kind.CUT_REQUEST])
def test_a_write_whose_answer_was_lost_is_no_conflict(
    store: ElasticStore, proxy: FaultProxy, kind: Kind
) -> None:
    """The second try finds its own work and says so, for create, change and delete."""
    proxy.script(Fault(kind))
    assert store.put("alert", "A-1", {"n": 1}, expect=0).version == 1
    proxy.script(Fault(kind))
    assert store.put("alert", "A-1", {"n": 2}, expect=1).version == 2
    proxy.script(Fault(kind))
    assert store.write([Write("alert", "A-1", None, 2)])[0] == Document(
        "alert", "A-1", 0, {}, store.whoami(), _at(store, "A-1")
    )
    assert store.read("alert", "A-1") is None
    assert proxy.count("_bulk", kind) == 3


def _at(store: ElasticStore, id_: str) -> str:
    found = store._documents._fetch([("alert", id_)])["alert", id_]
    assert found is not None
    return found.document.changed_at


@pytest.mark.elastic
def test_an_audit_record_whose_answer_was_lost_is_ours(store: ElasticStore, proxy: FaultProxy) -> None:
    """The number is taken, but by this very call; another writer's is refused."""
    proxy.script(Fault(Kind.CUT_RESPONSE, "/_create/"))
    assert store.audit_create(1, {"a": 1})
    assert not store.audit_create(1, {"a": 1})


@pytest.mark.elastic
def test_a_change_in_between_is_a_conflict(store: ElasticStore, proxy: FaultProxy) -> None:
    """The check is the server's: whoever was faster is shown, also when both had read the same."""
    first = store.put("alert", "A-1", {"n": 1}, expect=0)
    busy = {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "full"}}
    proxy.script(Fault(Kind.REWRITE, body=busy, items=(0,)))
    # the first try was stored although the answer says busy: the second meets its own work
    assert store.put("alert", "A-1", {"n": 2}, expect=first.version).version == 2
    with pytest.raises(VersionConflictError) as caught:
        store.put("alert", "A-1", {"n": 3}, expect=first.version)
    assert caught.value.current is not None
    assert caught.value.current.body == {"n": 2}


@pytest.mark.elastic
def test_versions_rise_over_deletions(store: ElasticStore) -> None:
    """Who saw the version before a deletion cannot overwrite what was created after it."""
    store.put("alert", "A-1", {"n": 1}, expect=0)
    store.write([Write("alert", "A-1", None, 1)])
    assert store.put("alert", "A-1", {"n": 2}, expect=0).version == 3
    with pytest.raises(VersionConflictError):
        store.put("alert", "A-1", {"n": 3}, expect=1)


@pytest.mark.elastic
def test_writes_to_one_document_in_one_call_are_done_in_order(store: ElasticStore) -> None:
    """Each sees the one before it."""
    results = store.write(
        [Write("k", "1", {"n": 1}, 0), Write("k", "1", {"n": 2}, 1), Write("k", "1", {"n": 3}, 1)]
    )
    assert isinstance(results[1], Document)
    assert isinstance(results[2], VersionConflictError)


@pytest.mark.elastic
def test_more_documents_than_a_page_are_written_and_found(store: ElasticStore) -> None:
    """In the order of their ids, through several requests, narrowed or not."""
    bodies = {f"A-{n:04d}": {"n": n, "odd": n % 2, "deep": {"list": [{"n": n}]}} for n in range(1_201)}
    store.write([Write("alert", id_, body, 0) for id_, body in bodies.items()])
    assert {d.id: d.body for d in store.find("alert")} == bodies
    odd = [d.id for d in store.find("alert", Test("odd", Op.EQUALS, "1"))]
    assert odd == [id_ for id_, body in bodies.items() if body["odd"]]
    assert [d.id for d in store.find("alert", Test("deep.list.n", Op.EQUALS, 700))] == ["A-0700"]
    assert len(list(store.find("alert", limit=3))) == 3


@pytest.mark.elastic
def test_a_body_with_any_names_and_numbers_comes_back_exactly(store: ElasticStore) -> None:
    """Nothing of a body is interpreted: names that clash, huge numbers, deep nesting."""
    body = {
        "a": 1,
        "a.b": 2,
        "_id": "x",
        "": {"": []},
        "big": 2**90,
        "f": 1.0,
        "deep": {"x": [[[{"y": None}]]]},
    }
    store.put("k", "1", body, expect=0)
    found = store.read("k", "1")
    assert found is not None
    assert found.body == body
    assert [d.body for d in store.find("k", Test("a.b", Op.EQUALS, 2))] == [body]
    with pytest.raises(SocError, match="cannot be stored"):
        store.put("k", "2", {"x": object()}, expect=0)


# who acts


@pytest.mark.elastic
def test_the_server_says_who_changed_what(office: tuple[ElasticStore, ElasticStore]) -> None:
    """Each change carries the authenticated user."""
    lan, minh = office
    assert lan.put("alert", "A-1", {"n": 1}, expect=0).changed_by == "lan"
    assert minh.put("alert", "A-1", {"n": 2}, expect=1).changed_by == "minh"
    found = lan.read("alert", "A-1")
    assert found is not None
    assert found.changed_by == "minh"
    with pytest.raises(VersionConflictError, match="changed by minh"):
        lan.put("alert", "A-1", {"n": 3}, expect=1)


@pytest.mark.elastic
def test_a_forged_user_is_overwritten(office: tuple[ElasticStore, ElasticStore], secure_node: Node) -> None:
    """On create and change, through the plain API, also for one who asks for no pipeline."""
    lan, _ = office
    index = lan._names.documents
    forged = {"kind": "alert", "id": "A-9", "version": 1, "changed_at": "2026-03-02T00:00:00.000000Z"}
    forged_body = {**forged, "stamp": {"username": "director"}, "body": {}}
    for path in ("/_create/alert:A-9", "/_doc/alert:A-9?pipeline=_none", "/_doc/alert:A-9"):
        secure_node.request("PUT", f"/{index}{path}", forged_body, user="lan", password=PASSWORD)
        found = lan.read("alert", "A-9")
        assert found is not None
        assert found.changed_by == "lan"


@pytest.mark.elastic
def test_a_forged_audit_entry_shows(office: tuple[ElasticStore, ElasticStore]) -> None:
    """The chain verifies; an entry that claims another user than the server's stamp is found."""
    lan, minh = office
    audit.record(lan, action="alert.ack", subject="A-1")
    audit.record(minh, action="alert.close", subject="A-1")
    assert audit.verify(lan).ok
    assert [e.user for e in audit.entries(lan)] == ["lan", "minh"]
    last = lan.audit_last()
    assert last is not None
    body = {**last.body, "user": "minh", "prev": last.body["hash"]}
    body["hash"] = audit.entry_hash(body)
    assert lan.audit_create(last.number + 1, body)
    assert {b.kind for b in audit.verify(minh).breaks} >= {"forged_user"}


@pytest.mark.elastic
def test_the_audit_log_cannot_be_changed_by_analysts(
    office: tuple[ElasticStore, ElasticStore], secure_node: Node
) -> None:
    """Their role creates entries; overwriting and deleting are refused by the server."""
    lan, _ = office
    audit.record(lan, action="alert.ack", subject="A-1")
    path = f"/{lan._names.audit}/_doc/{1:019d}"
    for method, body in (("PUT", {"number": 1, "body": {}}), ("DELETE", None)):
        answer = secure_node.request(method, path, body, user="lan", password=PASSWORD, check=False)
        assert answer["status"] == 403
    assert audit.verify(lan).ok


@pytest.mark.elastic
def test_who_may_not_write_documents_is_told(secure_settings: StoreSettings) -> None:
    """A collector's key that leaks closes no alert."""
    with ElasticStore.connect(secure_settings) as admin:
        admin.init()
    mine = StoreSettings(
        secure_settings.target, user="collector", ca=secure_settings.ca, space=secure_settings.space
    )
    with ElasticStore.connect(mine) as collector:
        with pytest.raises(NotAuthorisedError, match="documents") as caught:
            collector.put("alert", "A-1", {}, expect=0)
        assert "soc_analyst" in caught.value.hint
        with pytest.raises(NotAuthorisedError):
            collector.audit_create(1, {})
