"""One `soc sweep --once` as a whole command: start, rules from the cache, feed, match, alerts, position.

    python -m benchmarks.sweep RULES_FOLDER EVTX_FOLDER [--events 100000] [--new 10000] [--rounds 3]
                               [--web 300000] [--elastic URL]

Windows events, recorded ones with times, hosts and command lines of their own (`benchmarks.million`), are put
into an embedded store (and, with `--elastic`, into a space of its own on a cluster) and count as swept. In
each round so many *new* ones come within an hour, and a sweep takes them: first with `--dry-run`, which reads
and matches as any other but writes nothing, then in earnest. They are events of an ordinary day
(`soc.demo.benign`), or attacks like the stored ones, where every few open an alert.
`web` is another embedded store, of events of an nginx log, swept from its beginning with the shipped rules.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.common import machine, spread
from benchmarks.ingest import Feed
from benchmarks.matching import decoded
from benchmarks.million import varied
from soc import content
from soc.collect.collector import load_collectors
from soc.config import StoreSettings
from soc.demo.benign import write_day
from soc.store import open_store
from soc.store.contract import Incoming, Store

SPACE = "benchsweep"
BATCH = 5_000
SEED = 1000


def fill(store: Store, events: Iterable[Incoming]) -> None:
    """Append events in batches."""
    batch: list[Incoming] = []
    for event in events:
        batch.append(event)
        if len(batch) == BATCH:
            store.append(batch)
            batch = []
    if batch:
        store.append(batch)


def ordinary(count: int) -> list[dict[str, Any]]:
    """Windows events of an ordinary day, so many or a few more."""
    collector = load_collectors([content.shipped("collectors")])["windows-json"]
    with tempfile.TemporaryDirectory() as name:
        files = write_day(Path(name), lines=count * 13)
        (path,) = (file.path for file in files if file.collector == collector.name)
        decoder = collector.decoder()
        return [event for line in path.read_bytes().splitlines() if (event := decoder.line(line))]


class Command:
    """`soc sweep --once` on one store, with a rule cache that lasts."""

    def __init__(self, settings: StoreSettings, cache: Path, *options: str) -> None:
        where = ["--store", settings.target, *(["--space", settings.space] if settings.space else [])]
        self.command = [sys.executable, "-m", "soc", *where, "sweep", "--once", "--yes", *options]
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}

    def once(self, *options: str) -> tuple[float, float, float]:
        """One run: seconds, processor seconds of this command, MiB."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.perf_counter()
        done = subprocess.run(
            [*self.command, *options], env=self.environment, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"the sweep ended with {done.returncode}: {done.stderr or done.stdout}")
        print("   ", (done.stderr or done.stdout).strip().splitlines()[-1])
        processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return seconds, processor, after.ru_maxrss / 1024


def show(name: str, runs: list[tuple[float, float, float]]) -> None:
    """Print what some runs took."""
    seconds, processor, memory = zip(*runs, strict=True)
    print(f"{name}: {spread(seconds, 2)} s, processor {spread(processor, 2)} s, {max(memory):.0f} MiB")


def windows(settings: StoreSettings, options: argparse.Namespace, cache: Path) -> None:
    """Sweeps of new Windows events in a store that holds many."""
    recorded = decoded(options.evtx)
    command = Command(settings, cache, "--rules", str(options.rules))
    with open_store(settings) as store:
        store.init()
        fill(store, varied(recorded, options.events, SEED))
    command.once()  # what is there counts as swept, and the cache is warm
    for kind, source in (("of an ordinary day", ordinary(options.new)), ("of attacks", recorded)):
        dry, runs = [], []
        for number in range(1, options.rounds + 1):
            with open_store(settings) as store:
                new = varied(source, options.new, SEED + number + len(kind), span=timedelta(hours=1))
                fill(store, new)
            dry.append(command.once("--dry-run"))
            runs.append(command.once())
        show(f"{options.new} new events {kind} among {options.events}, --dry-run", dry)
        show(f"{options.new} new events {kind} among {options.events}", runs)


def web(folder: Path, options: argparse.Namespace, cache: Path) -> None:
    """A sweep over all events of a web log with the shipped rules."""
    settings = StoreSettings(str(folder))
    feed = Feed(SEED)
    with open_store(settings) as store:
        store.init()
        for _ in range(options.web // BATCH):
            store.append(feed.batch(BATCH))
    show(f"{options.web} web events", [Command(settings, cache).once("--from", "beginning")])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="soc sweep --once as a whole command")
    parser.add_argument("rules", type=Path, help="folder of Sigma rules")
    parser.add_argument("evtx", type=Path, help="folder of EVTX files")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--new", type=int, default=10_000)
    parser.add_argument("--web", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--elastic", default="", help="address of an Elasticsearch node as well")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("embedded store")
        windows(StoreSettings(str(folder / "store")), options, folder / "cache")
        web(folder / "web", options, folder / "cache")
        if options.elastic:
            print("Elasticsearch")
            windows(StoreSettings(options.elastic, space=SPACE), options, folder / "cache")


if __name__ == "__main__":
    main()
