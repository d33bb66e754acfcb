"""Setting up, status and retention on the real node."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from soc.config import StoreSettings
from soc.errors import NotAuthorisedError, SocError
from soc.store.contract import Incoming
from soc.store.elastic import ElasticStore
from soc.store.elastic_schema import STAMP_PIPELINE
from tests.elastic_node import Node

pytestmark = pytest.mark.elastic


@pytest.fixture
def store(elastic_settings: StoreSettings) -> Iterator[ElasticStore]:
    """A store that is not set up yet."""
    with ElasticStore.connect(elastic_settings) as opened:
        yield opened


def event(id_: str, time: str, layer: int = 1) -> Incoming:
    """A small event."""
    return Incoming(id_, {"@timestamp": time, "soc.layer": layer})


def template(node: Node, path: str) -> Any:
    """An index template as it can be put back."""
    content = node.request("GET", path)["index_templates"][0]["index_template"]
    return {k: v for k, v in content.items() if "_date" not in k}


def of_cluster(node: Node) -> Any:
    """Every template, pipeline and index that is not ours."""
    templates = node.request("GET", "/_index_template")["index_templates"]
    indices = node.request("GET", "/_settings?expand_wildcards=all&filter_path=*.settings.index.uuid")
    names = (
        {t["name"] for t in templates}
        | set(indices)
        | set(node.request("GET", "/_ingest/pipeline", check=False))
    )
    return {name for name in names if not name.startswith("soc-")}


def test_a_dry_run_changes_nothing(store: ElasticStore, elastic_node: Node) -> None:
    """It says what would be made, with its content; the cluster is as before."""
    planned = store.init(dry_run=True)
    assert not any(thing.exists for thing in planned)
    assert {thing.kind for thing in planned} == {"index template", "index"}
    assert all(thing.content for thing in planned if thing.kind == "index template")
    answer = elastic_node.request("GET", f"/_index_template/{store._names.prefix}*", check=False)
    assert not answer.get("index_templates")
    assert elastic_node.request("GET", f"/{store._names.prefix}*/_settings") == {}


def test_init_is_harmless_again_and_touches_only_its_own(store: ElasticStore, elastic_node: Node) -> None:
    """The second time everything exists; nothing of others changed."""
    before = of_cluster(elastic_node)
    store.init()
    assert all(thing.exists for thing in store.init())
    assert of_cluster(elastic_node) == before


def test_an_outdated_template_is_brought_up_to_date(store: ElasticStore, elastic_node: Node) -> None:
    """A template of ours with other content is replaced."""
    store.init()
    path = f"/_index_template/{store._names.template('events')}"
    content = template(elastic_node, path)
    content["_meta"]["soc"]["hash"] = "old"
    elastic_node.request("PUT", path, content)
    missing = [thing.name for thing in store.init(dry_run=True) if not thing.exists]
    assert missing == [store._names.template("events")]
    store.init()
    assert all(thing.exists for thing in store.init(dry_run=True))


def test_a_template_of_somebody_else_is_not_replaced(store: ElasticStore, elastic_node: Node) -> None:
    """Neither by init nor by the first append."""
    path = f"/_index_template/{store._names.template('events')}"
    elastic_node.request("PUT", path, {"index_patterns": [store._names.events], "priority": 7})
    for act in (store.init, lambda: store.append([event("a", "2026-03-02T00:00:00Z")])):
        with pytest.raises(SocError, match="not of this program"):
            act()
    assert elastic_node.request("GET", path)["index_templates"][0]["index_template"]["priority"] == 7


def test_a_newer_store_is_refused(store: ElasticStore, elastic_node: Node) -> None:
    """An older program must not write what a newer one has laid out."""
    store.init()
    path = f"/_index_template/{store._names.template('documents')}"
    content = template(elastic_node, path)
    content["_meta"]["soc"]["schema"] = 99
    elastic_node.request("PUT", path, content)
    with ElasticStore.connect(StoreSettings(store.name, space=store._names.space)) as other:
        with pytest.raises(SocError, match="schema 99") as caught:
            other.put("k", "1", {}, expect=0)
        assert "update soc" in caught.value.hint


def test_security_adds_stamp_and_roles(secure_settings: StoreSettings) -> None:
    """The pipeline exists after init; roles that the cluster cannot create are left to an administrator."""
    with ElasticStore.connect(secure_settings) as store:
        store.init()
        planned = store.init()
    by_kind = {kind: [t for t in planned if t.kind == kind] for kind in {t.kind for t in planned}}
    assert [t.name for t in by_kind["ingest pipeline"]] == [STAMP_PIPELINE]
    assert by_kind["ingest pipeline"][0].exists
    assert {t.name.removesuffix(f"_{secure_settings.space}") for t in by_kind["role"]} >= {
        "soc_collector",
        "soc_sweeper",
        "soc_analyst",
    }
    assert all(role.exists or "not created" in role.note for role in by_kind["role"])
    assert all(index.exists for index in by_kind["index"])


def test_indices_from_before_security_get_the_stamp(
    secure_settings: StoreSettings, secure_node: Node
) -> None:
    """Init sees that the final pipeline is missing and adds it."""
    with ElasticStore.connect(secure_settings) as store:
        store.init()
        secure_node.request("PUT", f"/{store._names.documents}/_settings", {"index.final_pipeline": None})
        assert [t.name for t in store.init(dry_run=True) if not t.exists and t.kind == "index"] == [
            store._names.documents
        ]
        store.init()
        assert all(t.exists for t in store.init(dry_run=True) if t.kind == "index")


def test_who_may_not_set_up_is_told(secure_settings: StoreSettings) -> None:
    """An analyst's init names the privilege and the role."""
    mine = StoreSettings(
        secure_settings.target, user="lan", ca=secure_settings.ca, space=secure_settings.space
    )
    with (
        ElasticStore.connect(mine) as store,
        pytest.raises(NotAuthorisedError, match="'lan' lacks") as caught,
    ):
        store.init()
    assert "soc_engineer" in caught.value.hint


def test_status_tells_what_is_there_and_what_is_wrong(store: ElasticStore) -> None:
    """Counts, times, documents; a cluster without security is a warning."""
    assert store.status().events == 0
    assert any("soc store init" in w for w in store.status().warnings)
    store.append([event("a", "2026-03-02T07:14:09.120000Z"), event("b", "2026-05-01T00:00:00.000000Z", 2)])
    store.put("alert", "A-1", {}, expect=0)
    found = store.status()
    assert (found.events, found.documents) == (2, {"alert": 1})
    assert (found.oldest, found.newest) == ("2026-03-02T07:14:09.120000Z", "2026-05-01T00:00:00.000000Z")
    assert found.bytes > 0
    assert any("security is off" in w for w in found.warnings)
    assert found.detail["version"]


def test_prune_deletes_whole_periods_and_tells_what_stays(store: ElasticStore, elastic_node: Node) -> None:
    """January goes; the first half of March stays with the rest of March and is counted; absurd times too."""
    store.append(
        [
            event("old", "2026-01-15T00:00:00.000000Z"),
            event("early", "1999-01-15T00:00:00.000000Z"),
            event("kept", "2026-03-02T00:00:00.000000Z"),
            event("young", "2026-03-20T00:00:00.000000Z"),
            event("late", "2150-01-01T00:00:00.000000Z"),
        ]
    )
    elastic_node.request("PUT", f"/{store._names.prefix}events-foreign")
    moment = datetime(2026, 3, 10, tzinfo=UTC)
    planned = store.prune(moment, dry_run=True)
    assert {(p.name.rpartition("-")[2], p.events, p.kept) for p in planned} == {
        ("2026.01", 1, 0),
        ("early", 1, 0),
        ("2026.03", 0, 1),
    }
    assert store.status().events == 5
    assert store.prune(moment) == planned
    assert [e.id for e in store.search()] == ["kept", "young", "late"]
    assert store.prune(moment) == [p for p in planned if p.kept]
