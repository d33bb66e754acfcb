"""One meaning, several executions: every rule on every event, compared.

    python -m benchmarks.equality RULES EVENTS_FOLDER… STORE_URL [--rules N] [--events N] [--seed 1]

Four executions decide which rule is true of which event: the matcher on its own, as `soc scan` uses it; a
sweep of an embedded store; a sweep of Elasticsearch that reads everything; and Elasticsearch by candidates,
in two ways: a sweep over all rules, and each rule alone, so that none is covered by what another fetched.
A seeded part of the pairs is decided by the plain evaluation as well. Exit code 1 at the first difference.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.candidates import selective
from benchmarks.common import machine, peak_memory
from benchmarks.matching import decoded
from soc.config import StoreSettings
from soc.detect.grouping import Hit
from soc.detect.matcher import Matcher
from soc.detect.plan import Plan
from soc.detect.predicate import Verdict, evaluate
from soc.detect.rule import Rule
from soc.detect.ruleset import load_rules
from soc.detect.stage import Staged
from soc.detect.sweep import Start, Sweeper
from soc.event import timestamp
from soc.store import open_store
from soc.store.contract import Incoming, Store
from soc.store.elastic import ElasticStore
from soc.store.elastic_narrow import groups, searches

Pairs = set[tuple[str, str]]
PLAIN = 10_000
"""Pairs that are decided by the plain evaluation too."""
WINDOW = 10_000
"""Events at most: a server gives no more on one page."""


class Recorder:
    """A stage that writes down the hits of a sweep and takes them away."""

    def __init__(self) -> None:
        self.pairs: Pairs = set()
        self.times = 0

    def begin(self) -> None:
        """Nothing."""

    def take(self, hits: Sequence[Hit], *, replay: bool) -> Staged:
        """Write down rule and event."""
        del replay
        self.times += len(hits)
        self.pairs.update((hit.rule.id, hit.id) for hit in hits)
        return Staged([])

    def finish(self, watermark: int) -> Staged:
        """Nothing."""
        del watermark
        return Staged([])


@dataclass(slots=True)
class Answer:
    """What one execution has found. `fetched`: events that were read, of candidates."""

    pairs: Pairs
    undecided: int
    events: int
    seconds: float = 0.0
    fetched: int = 0


@dataclass(slots=True)
class Report:
    """What was compared. `differences`: in words, none when all is well."""

    rules: int
    events: int
    selective: int
    pairs: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


def incoming(events: Iterable[dict[str, Any]]) -> list[Incoming]:
    """Events with ids of their own, as a store takes them; all of one day, since every index costs time."""
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    return [
        Incoming(
            f"e{number:07d}",
            {**event, "@timestamp": timestamp(begin + timedelta(seconds=number)), "soc.layer": 1},
        )
        for number, event in enumerate(events)
    ]


def scanned(rules: Sequence[Rule], events: Sequence[Incoming]) -> Answer:
    """By the matcher alone."""
    begun = time.perf_counter()
    matcher = Matcher(rules)
    pairs: Pairs = set()
    undecided = 0
    for id_, event in events:
        for found in matcher.match(event):
            if found.verdict is Verdict.TRUE:
                pairs.add((found.rule.id, id_))
            else:
                undecided += 1
    return Answer(pairs, undecided, len(events), time.perf_counter() - begun)


def swept(store: Store, rules: Sequence[Rule], plan: Plan) -> Answer:
    """By a sweep from the beginning that writes nothing."""
    recorder = Recorder()
    sweeper = Sweeper(store, rules, name=f"equality-{plan}", plan=plan, dry_run=True, stages=[recorder])
    begun = time.perf_counter()
    result = sweeper.run(Start())
    if recorder.times != len(recorder.pairs):
        raise AssertionError(f"{plan}: an event was swept twice")
    return Answer(recorder.pairs, result.undecided, result.events, time.perf_counter() - begun)


def each_alone(store: ElasticStore, rules: Sequence[Rule], events: Sequence[Incoming]) -> Answer:
    """Each rule on nothing but the candidates of its own query."""
    begun = time.perf_counter()
    by_id = {event.id: event.event for event in events}
    pairs: Pairs = set()
    undecided = fetched = 0
    queries = {rule.id: groups(rule.predicate) for rule in rules}
    bodies = [
        {"size": WINDOW, "_source": False, "query": query}
        for found in queries.values()
        for query in found or ()
    ]
    answers = searches(store._connection, store._names.events, bodies)
    for rule in rules:
        found = queries[rule.id]
        candidates = (
            set(by_id)
            if found is None
            else {hit["_id"] for _ in found for hit in next(answers)["hits"]["hits"]}
        )
        fetched += len(candidates)
        matcher = Matcher([rule])
        for id_ in candidates:
            for match in matcher.match(by_id[id_]):
                if match.verdict is Verdict.TRUE:
                    pairs.add((rule.id, id_))
                else:
                    undecided += 1
    return Answer(pairs, undecided, len(events), time.perf_counter() - begun, fetched)


def plainly(rules: Sequence[Rule], events: Sequence[Incoming], expected: Answer, seed: int) -> list[str]:
    """Differences between the matcher and the plain evaluation, on hits and on pairs drawn at random."""
    rng = random.Random(seed)
    drawn = [(rng.choice(rules), rng.choice(events)) for _ in range(PLAIN)]
    by_rule, by_event = {rule.id: rule for rule in rules}, {event.id: event for event in events}
    hits = rng.sample(sorted(expected.pairs), min(len(expected.pairs), PLAIN))
    drawn += [(by_rule[rule], by_event[event]) for rule, event in hits]
    out = []
    for rule, (id_, event) in drawn:
        plain = evaluate(rule.predicate, event) is Verdict.TRUE
        if plain != ((rule.id, id_) in expected.pairs):
            out.append(f"plain evaluation: {rule.title} on {id_} is {plain}")
    return out


def compare(
    rules: Sequence[Rule], events: Sequence[Incoming], elastic: ElasticStore, *, seed: int = 1
) -> Report:
    """All executions over the same rules and events; the stores must be empty."""
    if len(events) > WINDOW:
        raise ValueError(f"more than {WINDOW} events are more than one page of a search")
    rules = Matcher(rules).rules
    report = Report(len(rules), len(events), sum(map(selective, rules)))
    expected = scanned(rules, events)
    report.pairs = len(expected.pairs)
    report.answers["scan"] = expected
    report.differences += plainly(rules, events, expected, seed)
    with tempfile.TemporaryDirectory() as folder, open_store(StoreSettings(folder)) as embedded:
        for store in (embedded, elastic):
            for start in range(0, len(events), 5_000):
                refused = [o for o in store.append(events[start : start + 5_000]) if o.reason]
                report.differences += [f"{store.name}: {o.id} is refused: {o.reason}" for o in refused]
        report.answers["embedded, stream"] = swept(embedded, rules, Plan.STREAM)
        report.answers["embedded, candidates"] = swept(embedded, rules, Plan.CANDIDATES)
    report.answers["elasticsearch, stream"] = swept(elastic, rules, Plan.STREAM)
    report.answers["elasticsearch, candidates"] = swept(elastic, rules, Plan.CANDIDATES)
    report.answers["elasticsearch, each rule alone"] = each_alone(elastic, rules, events)
    for name, answer in report.answers.items():
        report.differences += _difference(name, expected, answer)
    return report


def _difference(name: str, expected: Answer, answer: Answer) -> list[str]:
    out = [f"{name}: misses {pair}" for pair in sorted(expected.pairs - answer.pairs)[:10]]
    out += [f"{name}: has {pair} too much" for pair in sorted(answer.pairs - expected.pairs)[:10]]
    if answer.undecided != expected.undecided:
        out.append(f"{name}: {answer.undecided} undecided, not {expected.undecided}")
    if answer.events != expected.events:
        out.append(f"{name}: {answer.events} events, not {expected.events}")
    return out


def main() -> int:
    """Compare, and print what was compared."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rules", type=Path)
    parser.add_argument("folders", type=Path, nargs="+", help="folders with EVTX files")
    parser.add_argument("url")
    parser.add_argument("--rules", dest="some_rules", type=int, help="so many rules, drawn at random")
    parser.add_argument("--events", type=int, help="so many events, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    rng = random.Random(chosen.seed)
    rules = load_rules([chosen.rules]).runnable
    events = [event for folder in chosen.folders for event in decoded(folder)]
    if chosen.some_rules:
        rules = rng.sample(rules, min(chosen.some_rules, len(rules)))
    if chosen.events:
        events = rng.sample(events, min(chosen.events, len(events)))
    space = f"equality{rng.randrange(10**9)}"
    with ElasticStore.connect(StoreSettings(chosen.url, space=space), timeout=300) as elastic:
        elastic.init()
        report = compare(rules, incoming(events), elastic, seed=chosen.seed)
    print(machine())
    print(f"{report.rules} rules ({report.selective / report.rules:.1%} selective) on {report.events} events")
    print(f"{report.rules * report.events:,} pairs, {report.pairs} of them hits; {peak_memory():.0f} MiB")
    for name, answer in report.answers.items():
        share = f", {answer.fetched / report.rules / report.events:.3%} fetched" if answer.fetched else ""
        print(
            f"  {name}: {len(answer.pairs)} hits, {answer.undecided} undecided, {answer.seconds:.1f} s{share}"
        )
    for difference in report.differences:
        print(f"DIFFERENT  {difference}")
    print("different" if report.differences else "equal")
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
