"""A node with little memory survives whatever rules are asked of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.matching import decoded
from benchmarks.million import fill, varied
from soc.config import StoreSettings
from soc.detect.matcher import Matcher
from soc.detect.plan import narrowed_to
from soc.detect.ruleset import load_rules
from soc.store.elastic import ElasticStore
from tests.elastic_node import Node

# all rules at once are minutes of a node's work, more on a busy machine
pytestmark = [pytest.mark.elastic, pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(1_800)]
EVENTS = 20_000


def test_a_node_with_512_mb_survives_all_rules(small_node: Node, space: str, data_folder: Path) -> None:
    """All rules of SigmaHQ in one narrowed feed: the node lives, and has found every hit of the matcher."""
    rules = Matcher(load_rules([data_folder / "sigma" / "rules"]).runnable).rules
    events = list(varied(decoded(data_folder / "evtx"), EVENTS, 3))
    matcher = Matcher(rules)
    hits = {event.id for event in events if matcher.match(event.event)}
    settings = StoreSettings(small_node.url, space=space)
    with ElasticStore.connect(settings, timeout=300) as store:
        store.init()
        assert fill(store, iter(events)) == EVENTS
        batches = list(store.feed(store.beginning(), narrow=narrowed_to(rules)))
        found = {event.id for batch in batches for event in batch.events}
        assert hits <= found
        assert len(found) + sum(batch.passed for batch in batches) == EVENTS
    stats = small_node.request("GET", "/_nodes/stats/jvm,breaker")
    (node,) = stats["nodes"].values()
    assert node["jvm"]["mem"]["heap_max_in_bytes"] <= 540_000_000
    assert small_node.request("GET", "/_cluster/health")["status"] in {"green", "yellow"}
