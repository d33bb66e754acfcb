"""Start-up: how long a person waits for `soc --help` and `soc alert list`, beside a bare interpreter.

python benchmarks/startup.py [--alerts 2000] [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.common import in_turn, machine, peak_memory_of_children, run, spread


def fill(store: Path, alerts: int) -> None:
    """Put alerts into an embedded store."""
    from soc.config import StoreSettings
    from soc.store import open_store
    from soc.store.contract import Write

    with open_store(StoreSettings(target=str(store))) as opened:
        opened.init()
        batch = [Write("alert", f"A-{i:06X}", alert_body(i), 0) for i in range(alerts)]
        opened.write(batch)


def alert_body(number: int) -> dict[str, object]:
    """An alert as a sweep writes it."""
    from soc.respond.alerts import sample_body

    return sample_body(number)


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
        works = [lambda command=command: run(*command) for command in commands.values()]
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
