"""Start-up: how long a person waits for `soc --help` and `soc alert list`, beside a bare interpreter.

python -m benchmarks.startup [--alerts 2000] [--rounds 15]
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.common import in_turn, machine, peak_memory_of_children, run, spread

RULE = "web_scanner_user_agent"
AT_ONCE = 200
"""Alerts of one rule: more of them in an hour would be counted on one overflow alert, so there are copies."""


def fill(store: Path, alerts: int) -> None:
    """Raise alerts in an embedded store, each by a sweep over an event from an address of its own."""
    from soc.config import StoreSettings
    from soc.content import shipped
    from soc.detect.ruleset import load_rules
    from soc.detect.sweep import Start, sweep
    from soc.store import open_store
    from soc.store.contract import Incoming

    line = '{ip} - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 512 "-" "sqlmap/1.8"'
    events = [
        Incoming(
            f"benchmark-{i:012x}",
            {
                "@timestamp": f"2026-03-02T08:{i // 60 % 60:02}:{i % 60:02}.000000Z",
                "soc.layer": 1,
                "event.kind": "event",
                "event.dataset": "nginx.access",
                "event.original": line.format(ip=f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"),
                "source.ip": f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}",
                "http.request.method": "GET",
                "http.response.status_code": 200,
                "url.path": "/",
                "user_agent.original": "sqlmap/1.8",
            },
        )
        for i in range(AT_ONCE)
    ]
    scanner = next(r for r in load_rules([shipped("rules")]).runnable if Path(r.path).stem == RULE)
    rules = [dataclasses.replace(scanner, id=f"{scanner.id}-{i}") for i in range(alerts // AT_ONCE)]
    with open_store(StoreSettings(target=str(store))) as opened:
        opened.append(events)
        raised = len(sweep(opened, rules, start=Start()).alerts.opened)
        print(f"{raised} alerts in the store")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--alerts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        fill(store, options.alerts)
        python = sys.executable
        commands = {
            "python -c pass": [python, "-c", "pass"],
            "soc --help": [python, "-m", "soc", "--help"],
            f"soc alert list ({options.alerts} alerts)": [
                python,
                "-m",
                "soc",
                "alert",
                "list",
                "--store",
                str(store),
            ],
        }
        works = [partial(run, *command) for command in commands.values()]
        for work in works:
            work()
        times = in_turn(*works, rounds=options.rounds)
    print(machine())
    base = statistics.median(times[0])
    for name, values in zip(commands, times, strict=True):
        print(f"{name:34} {spread(values)} s   {statistics.median(values) / base:.1f}x a bare interpreter")
    print(f"largest process: {peak_memory_of_children():.0f} MiB")


if __name__ == "__main__":
    main()
