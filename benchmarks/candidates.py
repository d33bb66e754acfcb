"""How selective the candidate queries of rules are, and what they cost, on a million events.

    python -m benchmarks.million EVTX_FOLDER STORE_URL
    python -m benchmarks.candidates RULES_FOLDER STORE_URL

A rule is *selective* when its detection, not only its log source, narrows the query. Printed: the share of
selective rules, which share of all events the median rule fetches, the seconds of all queries (sent as
counts, in the bounded requests of the product), and the seconds that one clause costs on a million events.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from benchmarks.common import machine
from benchmarks.million import settings
from soc.detect.predicate import And, Predicate
from soc.detect.rule import Rule
from soc.detect.ruleset import load_rules
from soc.store.elastic import ElasticStore
from soc.store.elastic_indexed import leaves
from soc.store.elastic_narrow import groups


def detection(rule: Rule) -> Predicate:
    """The predicate of a rule without its log source."""
    whole = rule.predicate
    if isinstance(whole, And) and whole.parts[:1] == (rule.source,):
        return And(whole.parts[1:])
    return whole


def selective(rule: Rule) -> bool:
    """Whether the detection of a rule narrows its query."""
    return groups(detection(rule)) is not None


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rules", type=Path)
    parser.add_argument("url")
    parser.add_argument("--costliest", type=int, default=5, help="how many of the costliest rules to name")
    chosen = parser.parse_args()
    print(machine())
    rules = load_rules([chosen.rules]).runnable
    sharp = [rule for rule in rules if selective(rule)]
    print(f"{len(rules)} rules, {len(sharp)} selective ({len(sharp) / len(rules):.1%})")
    clauses = {rule.id: sum(map(leaves, groups(rule.predicate) or ())) for rule in rules}
    print(
        f"clauses of a rule: median {statistics.median(clauses.values()):.0f}, most {max(clauses.values())}"
    )
    with ElasticStore.connect(settings(chosen.url), timeout=300) as store:
        events = store.status().events
        found: dict[str, int] = {}
        took: dict[str, float] = {}
        for rule in rules:
            begun = time.perf_counter()
            (count,) = store.candidates([rule.predicate])
            took[rule.id] = time.perf_counter() - begun
            found[rule.id] = events if count is None else count
    shares = [found[rule.id] / events for rule in rules]
    mine = [found[rule.id] / events for rule in sharp]
    print(f"{events} events; the median rule fetches {statistics.median(shares):.4%} of them")
    print(f"of selective rules: median {statistics.median(mine):.4%}, mean {statistics.mean(mine):.4%}")
    print(f"rules that fetch under 1 %: {sum(share < 0.01 for share in shares) / len(shares):.1%}")
    total = sum(took.values())
    print(f"all queries: {total:.1f} s, median {statistics.median(took.values()) * 1e3:.1f} ms a rule")
    print(f"a clause on a million events: {total / sum(clauses.values()) * 1e6 / events * 1e3:.2f} ms")
    for rule in sorted(rules, key=lambda r: -took[r.id])[: chosen.costliest]:
        print(f"  {took[rule.id]:.2f} s, {clauses[rule.id]} clauses: {rule.title}")


if __name__ == "__main__":
    main()
