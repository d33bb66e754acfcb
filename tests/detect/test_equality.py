"""All executions give the same set of (rule, event): the seeded part of `python -m benchmarks.equality`.

`SOC_TEST_SIZE=10` compares ten times as many rules and events; the whole takes minutes and is that program.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from benchmarks.equality import compare, incoming
from benchmarks.matching import decoded
from soc.config import StoreSettings
from soc.detect.matcher import Matcher
from soc.detect.ruleset import load_rules
from soc.store.elastic import ElasticStore

pytestmark = [pytest.mark.elastic, pytest.mark.data, pytest.mark.slow]

SIZE = float(os.environ.get("SOC_TEST_SIZE", "1"))
RULES, EVENTS, SEED = round(60 * SIZE), round(300 * SIZE), 7


def test_every_execution_finds_the_same(data_folder: Path, elastic_settings: StoreSettings) -> None:
    """Scan, embedded sweep, and Elasticsearch by both plans: the same hits, undecided and events seen. It is
    not bought by asking for everything: nearly all rules narrow, and few events are fetched."""
    rng = random.Random(SEED)
    folder = data_folder / "sigma"
    rules = Matcher(load_rules([folder / "rules"]).runnable).rules
    events = [event for name in ("sigma/regression", "evtx") for event in decoded(data_folder / name)]
    matcher = Matcher(rules)
    hits = [(match.rule.id, n) for n, event in enumerate(events) for match in matcher.match(event)]
    firing = sorted({rule for rule, _ in hits})
    fired = set(rng.sample(firing, min(RULES, len(firing))))
    some_rules = [rule for rule in rules if rule.id in fired]
    some_rules += rng.sample(rules, min(RULES, len(rules)))
    found = [n for rule, n in hits if rule in fired]
    numbers = set(rng.sample(found, min(EVENTS, len(found))))
    numbers |= set(rng.sample(range(len(events)), min(EVENTS, len(events))))
    chosen = incoming([events[n] for n in sorted(numbers)])
    with ElasticStore.connect(elastic_settings) as elastic:
        elastic.init()
        report = compare(list({rule.id: rule for rule in some_rules}.values()), chosen, elastic, seed=SEED)
    assert report.differences == []
    assert report.pairs > EVENTS / 4
    assert report.selective / report.rules >= 0.7
    alone = report.answers["elasticsearch, each rule alone"]
    assert alone.fetched / report.rules / report.events < 0.1
