"""Events matched a second by other programs that evaluate Sigma rules in Python, from the package index.

    python -m venv /tmp/peers
    /tmp/peers/bin/pip install sigma-rule-matcher zargunlite pysigma-backend-sqlite
    python -m benchmarks.peers RULES_FOLDER EVTX_FOLDER --python /tmp/peers/bin/python [--events 50]

They get the events flat, with the names of Windows, which is what the rules ask for. Each says how many of
the rules it takes, and its processor seconds for loading them and for the events.

- sigma-rule-matcher looks at one rule after the other for each event; it gets only so many `--events`.
- zargunlite loads events into a table of SQLite and asks it one query for each rule, as Zircolite does; it
  gets all events at once, and the rules as pySigma's SQLite backend writes them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PEERS = ("sigma-rule-matcher", "zargunlite")

Events = list[dict[str, Any]]
Match = Callable[[Events], object]


def one_by_one(rules: list[Path]) -> tuple[int, Match]:
    """sigma-rule-matcher: how many rules it takes, and how it matches."""
    from sigma.collection import SigmaCollection
    from sigma_rule_matcher.matcher import RuleMatcher  # type: ignore[import-not-found] # only in its own place

    matchers = []
    for path in rules:
        try:
            found = SigmaCollection.from_yaml(path.read_text(encoding="utf-8")).rules
            matchers += [RuleMatcher(rule) for rule in found]
        except Exception:  # noqa: BLE001, S112 - what it cannot take is counted by its absence
            continue

    def match(events: Events) -> None:
        for event in events:
            for matcher in matchers:
                try:
                    matcher.match(event)
                except Exception:  # noqa: BLE001, S112 - as above
                    continue

    return len(matchers), match


def by_queries(rules: list[Path]) -> tuple[int, Match]:
    """zargunlite: how many rules it takes, and how it matches."""
    from sigma.backends.sqlite import sqliteBackend
    from sigma.collection import SigmaCollection
    from zargunlite.core import ZargunCore  # type: ignore[import-not-found] # only in its own place

    backend = sqliteBackend()
    queries: list[str] = []
    for path in rules:
        try:
            queries += backend.convert(SigmaCollection.from_yaml(path.read_text(encoding="utf-8")))
        except Exception:  # noqa: BLE001, S112 - what it cannot take is counted by its absence
            continue
    queries = [query.replace("<TABLE_NAME>", "logs") for query in queries]

    def match(events: Events) -> None:
        with ZargunCore() as core:
            core.load_data(events, strict_field_name=False)
            for query in queries:
                core.execute_sqlite_query(query)

    return len(queries), match


def inside(peer: str, rules: Path, path: Path, limit: int) -> None:
    """In the other interpreter: measure one peer and print it."""
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if peer == "sigma-rule-matcher":
        events = events[:: max(1, len(events) // limit)]
    begun = time.process_time()
    load = one_by_one if peer == "sigma-rule-matcher" else by_queries
    taken, match = load(sorted(rules.rglob("*.yml")))
    loaded = time.process_time()
    match(events)
    spent = time.process_time() - loaded
    rate = f"{len(events) / spent:,.0f} events/s"
    print(
        f"  {peer:20} {taken} rules in {loaded - begun:.1f} s; {len(events)} events in {spent:.1f} s, {rate}"
    )


def flat(folder: Path, into: Path) -> None:
    """The events of EVTX files as flat JSON lines with the names of Windows."""
    from benchmarks.matching import decoded
    from soc.collect.formats.windows import record

    with into.open("w", encoding="utf-8") as file:
        for event in decoded(folder):
            if event["event.kind"] == "pipeline_error":
                continue
            raw = record(json.loads(event["event.original"]))
            names = {"EventID": raw["id"], "Channel": raw["channel"], "Provider_Name": raw["provider"]}
            data = {k: v if isinstance(v, str) else json.dumps(v) for k, v in raw["data"].items()}
            file.write(json.dumps({**names, **data}) + "\n")


def main() -> None:
    """Measure each peer in an interpreter that has it."""
    parser = argparse.ArgumentParser(description="Other evaluators of Sigma rules in Python")
    parser.add_argument("rules", type=Path, help="folder of Sigma rules")
    parser.add_argument("evtx", type=Path, help="folder of EVTX files")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--events", type=int, default=50)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.inside, options.rules, options.evtx, options.events)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "flat.jsonl")
        flat(options.evtx, path)
        for peer in PEERS:
            command = [options.python, __file__, str(options.rules), str(path), "--inside", peer]
            subprocess.run([*command, "--events", str(options.events)], check=False)


if __name__ == "__main__":
    main()
