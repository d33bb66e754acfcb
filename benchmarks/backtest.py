"""Seconds of a backtest over a million events in Elasticsearch: of all rules, and of one beside its query.

    python -m benchmarks.million EVTX_FOLDER STORE_URL
    python -m benchmarks.backtest RULES_FOLDER STORE_URL [--rounds 3] [--rule TEXT]

*One rule* is compared with the one query that its candidates are, sent plainly and read page by page: what
nobody can do without. *All rules* read everything once.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks.common import in_turn, machine, peak_memory, spread
from benchmarks.million import settings
from soc.detect.backtest import Backtest, backtest
from soc.detect.pauses import settle
from soc.detect.plan import Plan
from soc.detect.ruleset import load_rules
from soc.store.elastic import ElasticStore
from soc.store.elastic_narrow import groups


def plain_query(store: ElasticStore, query: dict[str, Any]) -> int:
    """The documents that one query finds, read with `search_after`; how many."""
    body: dict[str, Any] = {
        "size": 10_000,
        "query": query,
        "sort": [{"_seq_no": "asc"}],
        "track_total_hits": True,
    }
    count = 0
    while True:
        hits = store._connection.call("POST", f"/{store._names.events}/_search", body=body)["hits"]["hits"]
        count += len(hits)
        if len(hits) < body["size"]:
            return count
        body["search_after"] = hits[-1]["sort"]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rules", type=Path)
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rule", default="Whoami.EXE Execution Anomaly", help="title of the one rule")
    parser.add_argument("--only-one", action="store_true", help="leave out the backtest of all rules")
    chosen = parser.parse_args()
    print(machine())
    rules = load_rules([chosen.rules]).runnable
    one = next(rule for rule in rules if chosen.rule in rule.title)
    settle()
    with ElasticStore.connect(settings(chosen.url), timeout=300) as store:
        found = groups(one.predicate)
        if found is None or len(found) != 1:
            raise SystemExit(f"{one.title} is not one query")
        (query,) = found
        plain, ours = in_turn(
            lambda: plain_query(store, query), lambda: backtest(store, [one]), rounds=chosen.rounds
        )
        ratio = sorted(b / a for a, b in zip(plain, ours, strict=True))[len(plain) // 2]
        print(f"one rule: {spread(ours)} s; its plain query: {spread(plain)} s; {ratio:.2f} of that")
        if not chosen.only_one:
            begun = time.process_time()
            result: Backtest = backtest(store, rules, plan=Plan.STREAM)
            cpu = time.process_time() - begun
            print(
                f"{len(result.outcomes)} rules over {result.events} events: {result.seconds:.1f} s, "
                f"{cpu:.1f} s of this process, {sum(o.hits for o in result.outcomes)} hits, "
                f"{peak_memory():.0f} MiB"
            )


if __name__ == "__main__":
    main()
