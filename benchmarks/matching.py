"""Events matched a second, per core, with all rules of a folder over recorded Windows events; beside rsigma.

    python -m benchmarks.matching RULES_FOLDER EVTX_FOLDER... [--all-rules FOLDER] [--rounds 5] [--seed 1]
                                  [--rsigma PROGRAM]

The events are decoded by the shipped collector into a file of JSON lines, which every contender reads. A
batch of lines at a time is decoded and then matched, as a sweep does it, so nothing is held but the batch.
`match` is the matching alone; `read and match` has the decoding of the JSON too. Each case has a new matcher:

- *first sight*: every event once, in the recorded order; the automata were built beforehand.
- *with building*: the same, building included, which a long-lived process does once.
- *later half*, *last quarter*: of the shuffled stream, after what comes before; no event is repeated.
- *again*: the same events once more: everything is remembered.
- *all distinct*: like first sight, but every text value has a part that no other has: memory never helps.
- *100 rules*, and with `--all-rules` *all rules*: how little the number of rules costs.
- *two processes*: half of the stream each, known values, by the wall clock: only with two idle cores.

rsigma (`cargo install rsigma`) evaluates the same rules over the same file with its own mapping for these
field names (`-p ecs_windows`); what it takes for a single event, which is loading, is taken off. Contenders
take turns within a round; the median of the rounds counts, by processor time.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks.common import machine, peak_memory, spread
from soc import content
from soc.collect.collector import load_collectors
from soc.detect.matcher import Matcher
from soc.detect.pauses import settle
from soc.detect.rule import Rule
from soc.detect.ruleset import Ruleset, load_rules

BATCH = 64
"""Events decoded at a time."""

TIMES = 10
"""How often the two processes go over the events, so that their start counts little."""

KEPT = ("event.code", "event.dataset", "winlog.channel", "winlog.provider_name", "@timestamp")
"""Fields that say what kind of event it is; *all distinct* leaves them as they are."""


class Events:
    """Events as JSON lines in a file, of which only the places of the lines are in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places: list[tuple[int, int]] = []
        at = 0
        with path.open("rb") as file:
            for line in file:
                self.places.append((at, len(line)))
                at += len(line)

    def batches(self, numbers: Sequence[int]) -> Iterator[list[bytes]]:
        """The lines with these numbers, some at a time."""
        with self.path.open("rb") as file:
            for start in range(0, len(numbers), BATCH):
                out = []
                for number in numbers[start : start + BATCH]:
                    at, size = self.places[number]
                    file.seek(at)
                    out.append(file.read(size))
                yield out


def decoded(folder: Path) -> list[dict[str, Any]]:
    """All events of the EVTX files below a folder."""
    return list(_decoded(folder))


def _decoded(folder: Path) -> Iterator[dict[str, Any]]:
    collector = load_collectors([content.shipped("collectors")])["windows-evtx"]
    for path in sorted(folder.rglob("*.evtx")):
        for _, event in collector.decoder().file(path):
            yield event


def decode(folders: Sequence[Path], into: Path) -> None:
    """Write all events of the EVTX files below some folders as JSON lines."""
    with into.open("wb") as file:
        for folder in folders:
            file.writelines(orjson.dumps(event) + b"\n" for event in _decoded(folder))


def distinct(event: dict[str, Any], number: int) -> dict[str, Any]:
    """The same event, each text with a part of its own."""
    return {k: f"{v} {number:x}" if isinstance(v, str) and k not in KEPT else v for k, v in event.items()}


def pass_over(
    matcher: Matcher, events: Events, numbers: Sequence[int], *, novel: bool = False
) -> tuple[float, float]:
    """Processor seconds of matching these events once, and of reading their JSON besides."""
    matching = reading = 0.0
    match = matcher.match
    for number, lines in enumerate(events.batches(numbers)):
        begun = time.process_time()
        batch = [orjson.loads(line) for line in lines]
        reading += time.process_time() - begun
        if novel:
            batch = [distinct(event, number * BATCH + n) for n, event in enumerate(batch)]
        begun = time.process_time()
        for event in batch:
            match(event)
        matching += time.process_time() - begun
    return matching, reading


def prepared(rules: Sequence[Rule]) -> Matcher:
    """A new matcher with everything built."""
    matcher = Matcher(rules)
    matcher.prepare()
    settle()
    return matcher


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of a piece of work, and what it gives."""
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


def loading(folder: Path, rounds: int) -> tuple[Ruleset, list[float], list[float]]:
    """The rules, and the seconds of compiling them and of loading them from the cache."""
    compiled, loaded = [], []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            seconds, _ = timed(lambda: load_rules([folder], cache=Path(cache)))
            if number < 2:  # compiling is slow and varies little
                compiled.append(seconds)
            seconds, ruleset = timed(lambda: load_rules([folder], cache=Path(cache)))
            loaded.append(seconds)
    return ruleset, compiled, loaded


class Rates:
    """Events a second of each case: matching alone, and with reading."""

    def __init__(self) -> None:
        self.match: dict[str, list[float]] = {}
        self.whole: dict[str, list[float]] = {}

    def note(self, name: str, seconds: tuple[float, float], count: int) -> None:
        """Note one pass."""
        matching, reading = seconds
        self.match.setdefault(name, []).append(count / matching)
        self.whole.setdefault(name, []).append(count / (matching + reading))


def one_round(rules: Sequence[Rule], all_rules: Sequence[Rule], events: Events, seed: int, to: Rates) -> None:
    """Every case once."""
    count = len(events.places)
    recorded = range(count)
    stream = random.Random(seed).sample(recorded, count)
    half, quarter = count // 2, count * 3 // 4
    few = random.Random(seed).sample(list(rules), min(100, len(rules)))
    to.note("with building", pass_over(Matcher(rules), events, recorded), count)
    for name, chosen in (("", rules), ("100 rules, ", few), ("all rules, ", all_rules)):
        if not chosen:
            continue
        matcher = prepared(chosen)
        to.note(f"{name}first sight", pass_over(matcher, events, recorded), count)
        if not name:
            to.note("again", pass_over(matcher, events, recorded), count)
        matcher = prepared(chosen)
        pass_over(matcher, events, stream[:half])
        third = pass_over(matcher, events, stream[half:quarter])
        last = pass_over(matcher, events, stream[quarter:])
        to.note(f"{name}later half", (third[0] + last[0], third[1] + last[1]), count - half)
        to.note(f"{name}last quarter", last, count - quarter)
    to.note("all distinct", pass_over(prepared(rules), events, recorded, novel=True), count)


def two_processes(rules: Sequence[Rule], events: Events) -> float:
    """How many times as fast two processes are as one, each with its part of the stream; by the clock."""
    matcher = prepared(rules)
    count = len(events.places)
    pass_over(matcher, events, range(count))
    settle()  # before the fork: looking through all objects in each would copy all memory

    def together(parts: int) -> float:
        begun = time.perf_counter()
        children = []
        for part in range(parts):
            child = os.fork()
            if not child:
                for _ in range(TIMES):
                    pass_over(matcher, events, range(part, count, parts))
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        return time.perf_counter() - begun

    return together(1) / together(2)


def rsigma(program: str, rules: Path, path: Path) -> float:
    """Processor seconds of rsigma over a file of events."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with path.open("rb") as lines:
        command = [program, "engine", "eval", "--quiet", "-p", "ecs_windows", "-r", str(rules)]
        subprocess.run(command, stdin=lines, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Events matched a second with all rules of a folder")
    parser.add_argument("rules", type=Path, help="folder of Sigma rules")
    parser.add_argument("evtx", type=Path, nargs="+", help="folders of EVTX files")
    parser.add_argument("--all-rules", type=Path, help="a folder of many more rules")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rsigma", default=shutil.which("rsigma"), help="the program rsigma")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path, one = Path(folder, "events.jsonl"), Path(folder, "one.jsonl")
        decode(options.evtx, path)
        events = Events(path)
        one.write_bytes(next(events.batches([0]))[0])
        ruleset, compiled, loaded = loading(options.rules, options.rounds)
        rules = ruleset.runnable
        more: list[Rule] = []
        print(f"{len(ruleset.rules)} rules, {len(rules)} runnable, {len(ruleset.blind)} blind")
        print(f"compile            {spread(compiled)} s")
        print(f"load from cache    {spread(loaded)} s")
        if options.all_rules:
            whole, compiled, loaded = loading(options.all_rules, options.rounds)
            more = whole.runnable
            print(
                f"all {len(whole.rules)} rules: compile {spread(compiled)} s, from cache {spread(loaded)} s"
            )
        build, matcher = timed(lambda: Matcher(rules))
        print(f"number the tests   {build:.3f} s")
        print(f"build automata     {timed(matcher.prepare)[0]:.3f} s")
        rates, peer = Rates(), list[float]()
        for number in range(options.rounds):
            one_round(rules, more, events, options.seed + number, rates)
            if options.rsigma:
                alone = rsigma(options.rsigma, options.rules, one)
                peer.append(len(events.places) / (rsigma(options.rsigma, options.rules, path) - alone))
        print(f"{len(events.places)} events; events a second and core: match | read and match")
        for name, values in rates.match.items():
            print(f"  {name:24} {spread(values, 0):32} | {spread(rates.whole[name], 0)}")
        if peer:
            print(f"  {'rsigma':24} {'':32} | {spread(peer, 0)}")
        print(f"two processes: {spread([two_processes(rules, events) for _ in range(3)], 2)} times one")
    print(f"peak memory {peak_memory():.0f} MiB")


if __name__ == "__main__":
    main()
