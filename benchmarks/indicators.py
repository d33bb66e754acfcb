"""What it costs to match events with indicators: a sweep with none of them, and with a million.

    python -m benchmarks.indicators [--indicators 1000000] [--lines 50000] [--rounds 5] [--rules FOLDER]

The events are those of an invented institution's harmless day over all layers (`soc.demo.benign`), read by
the shipped collectors into an embedded store. All shipped rules are swept over them from the beginning:

- *without*: the rules that match indicators are left out;
- *none*: they are there, and the store holds no indicator but the few of the day;
- *million*: the same, with so many indicators: addresses, networks, names, URLs and hashes in equal parts;
- *broad*: a rule more that looks at six fields of every event of every source, with so many indicators.

Looking for new indicators among the new events is measured apart. They are swept in turn, each with a new
sweeper that remembers nothing of the events; processor time of this process. The set is built once, written
to disk and read again as every process of a sweep does; that, its size and the memory are measured in a
process of its own.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.common import machine, peak_memory, spread
from soc import content
from soc.collect.checkpoint import Checkpoint
from soc.collect.collector import load_collectors
from soc.collect.run import Options, Run
from soc.config import Source, StoreSettings
from soc.demo.benign import write_day
from soc.detect.beyond import values
from soc.detect.beyond.extensions import Indicator
from soc.detect.beyond.indicator_set import IndicatorSet, Info, Row
from soc.detect.beyond.indicators import PREDICATE
from soc.detect.beyond.stage import BeyondStage
from soc.detect.cache import read_own, write_own
from soc.detect.pauses import settle
from soc.detect.predicate import EVERYTHING
from soc.detect.rule import Rule
from soc.detect.ruleset import load_rules
from soc.detect.sweep import Start, Sweeper
from soc.store import open_store
from soc.store.contract import Store


def rows(number: int, seed: int) -> Iterator[Row]:
    """Indicators as twenty sources would state them."""
    draw = random.Random(seed)
    infos = {
        kind: [Info(kind, f"list-{n}", f"provider {n}", "AMBER", 60) for n in range(20)]
        for kind in ("ipv4-addr", "domain-name", "url", "file")
    }
    for n in range(number):
        kind, key = _drawn(draw, n)
        until = 0 if n % 2 else 1_900_000_000
        yield Row(key, 0, until, 1_772_434_800_000_000 + n, n, f"{n % 97:016x}-{n:012x}", infos[kind][n % 20])


def _drawn(draw: random.Random, n: int) -> tuple[str, int]:
    if n % 5 == 0:
        return "ipv4-addr", values.network(draw.getrandbits(32).to_bytes(4, "big"), 32)
    if n % 5 == 1:
        prefix = draw.choice((16, 20, 22, 23, 24, 24, 24, 25, 26, 27, 28, 29))
        # of what is reserved, so that no event is in it
        return "ipv4-addr", values.network((0xF0000000 | draw.getrandbits(28)).to_bytes(4, "big"), prefix)
    if n % 5 == 2:
        return "domain-name", values.hashed("domain-name", f"{draw.getrandbits(40):x}.d{n % 997}.example")
    if n % 5 == 3:
        return "url", values.hashed("url", f"http://{draw.getrandbits(40):x}.example/{n}")
    return "file", values.hashed("file", f"{draw.getrandbits(256):064x}")


def fill(store: Store, folder: Path, lines: int) -> int:
    """Collect the day into the store; the number of its events."""
    files = write_day(folder / "day", lines=lines)
    sources = [Source(f.path.name, f.collector, (str(f.path),), f.timezone) for f in files]
    options = Options(once=True, by_hand=True, clock=lambda: datetime(2026, 3, 3, 1, tzinfo=UTC))
    with Checkpoint.open(folder / "state") as checkpoint:
        for _ in Run(
            sources, load_collectors([content.shipped("collectors")]), store, checkpoint, options
        ).run():
            pass
    return store.status().events


def sweep(store: Store, rules: list[Rule], more: IndicatorSet | None) -> float:
    """Processor seconds of one sweep of everything; nothing is written."""
    sweeper = Sweeper(store, rules, dry_run=True, keep=False)
    for stage in sweeper.stages:
        if isinstance(stage, BeyondStage):
            found = stage.indicators
            found.refresh()
            if more is not None:
                more.position = found.set.position
                found.set = more
    settle()
    begun = time.process_time()
    sweeper.run(Start())
    return time.process_time() - begun


FIELDS = ("source.ip", "destination.ip", "dns.question.name", "url.domain", "url.full", "file.hash.sha256")


def broad() -> Rule:
    """A rule that looks at every event."""
    setting = {"fields": [*FIELDS]}
    asked = Indicator(FIELDS).requirement
    return Rule("broad", "Broad", predicate=asked, source=EVERYTHING, attributes={"soc.indicator": setting})


def peak() -> float:
    """The largest resident size of this process in MiB, without what its parent had (Linux)."""
    with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123 - not a path of the project
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def loading(path: Path) -> None:
    """Print how long it takes to read a set, and the memory for it; for a process of its own."""
    before = peak()
    begun = time.process_time()
    found = IndicatorSet.load(read_own(path))
    seconds = time.process_time() - begun
    print(f"{seconds:.3f} {peak() - before:.0f} {peak():.0f} {len(found)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The cost of a million indicators")
    parser.add_argument("--indicators", type=int, default=1_000_000)
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rules", type=Path, help="a folder of rules beside the shipped ones")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        loading(options.load)
        return
    print(machine())
    begun = time.process_time()
    many = IndicatorSet()
    many.add(rows(options.indicators, options.seed))
    print(f"{len(many):,} indicators built in {time.process_time() - begun:.1f} s, {peak_memory():.0f} MiB")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        kept = folder / "cache" / "set.msgpack"
        raw = many.dump()
        write_own(kept, raw)
        command = [sys.executable, "-m", "benchmarks.indicators", "--load", str(kept)]
        print(f"{len(raw) / 1e6:.1f} MB on disk; read (s), memory for it, of the process (MiB), rows:")
        print("  " + subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
        del raw
        with open_store(StoreSettings(str(folder / "store"))) as store:
            events = fill(store, folder, options.lines)
            folders = [content.shipped("rules"), *([options.rules] if options.rules else [])]
            rules = load_rules(folders).runnable
            plain = [rule for rule in rules if rule.beyond != "soc.indicator"]
            print(
                f"{events:,} events, {len(rules)} rules, {len(rules) - len(plain)} of them match indicators"
            )
            cases: dict[str, tuple[list[Rule], IndicatorSet | None]]
            cases = {"without": (plain, None), "none": (rules, None), "million": (rules, many)}
            cases["broad"] = ([*rules, broad()], many)
            costs: dict[str, list[float]] = {name: [] for name in cases}
            for _ in range(options.rounds):
                for name, (chosen, more) in cases.items():
                    costs[name].append(sweep(store, chosen, more) / events * 1e6)
            begun = time.process_time()
            read = sum(len(batch.events) for batch in store.feed(store.beginning(), narrow=PREDICATE))
            follow = (time.process_time() - begun) / events * 1e6
    print(f"looking for new indicators among new events: {follow:.1f} µs an event ({read:,} were)")
    print("microseconds of processor time an event, from the store to the verdict:")
    for name, found in costs.items():
        ratios = [one / base for one, base in zip(found, costs["without"], strict=True)]
        print(f"  {name:8} {spread(found, 1)}   of without: {spread(ratios, 2)}")
    print(f"peak memory {peak_memory():.0f} MiB")


if __name__ == "__main__":
    main()
