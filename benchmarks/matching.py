"""Events matched a second, per core, with all rules of a folder over recorded Windows events.

    python -m benchmarks.matching RULES_FOLDER EVTX_FOLDER [--rounds 5] [--seed 1]

The events are decoded by the shipped collector before the clock runs. Cases, each with a new matcher:

- *cold*: every event once, nothing remembered. `prepared` leaves out the building of the automata, which a
  long-lived process does once; `with building` has it.
- *later*: the second half of the shuffled stream after the first half; no event is repeated.
- *again*: the same events once more: everything is remembered.
- *all distinct*: like cold, but every text value has a part that no other has, so memory never helps.
- *100 rules*: cold with 100 of the rules, to show how little the number of rules costs.

The median of the rounds counts, by the processor time of this process.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import machine, peak_memory, spread
from soc import content
from soc.collect.collector import load_collectors
from soc.detect.matcher import Matcher
from soc.detect.pauses import settle
from soc.detect.rule import Rule
from soc.detect.ruleset import Ruleset, load_rules

Events = list[dict[str, Any]]


def decoded(folder: Path) -> Events:
    """All events of the EVTX files below a folder."""
    collector = load_collectors([content.shipped("collectors")])["windows-evtx"]
    out: Events = []
    for path in sorted(folder.rglob("*.evtx")):
        out += [event for _, event in collector.decoder().file(path)]
    return out


def distinct(events: Events) -> Events:
    """The same events, each text of a rule's field with a part of its own."""
    keep = ("event.code", "event.dataset", "winlog.channel", "winlog.provider_name", "@timestamp")
    return [
        {k: f"{v} {n:x}" if isinstance(v, str) and k not in keep else v for k, v in event.items()}
        for n, event in enumerate(events)
    ]


def pass_over(matcher: Matcher, events: Events) -> float:
    """Processor seconds of matching all events once, as `soc scan` does it."""
    settle()
    begun = time.process_time()
    for event in events:
        matcher.match(event)
    return time.process_time() - begun


def prepared(rules: Sequence[Rule]) -> Matcher:
    """A new matcher with everything built."""
    matcher = Matcher(rules)
    matcher.prepare()
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
            if number < 2:  # compiling is slow and varies little
                compiled.append(timed(lambda: load_rules([folder], cache=Path(cache)))[0])
            else:
                load_rules([folder], cache=Path(cache))
            seconds, ruleset = timed(lambda: load_rules([folder], cache=Path(cache)))
            loaded.append(seconds)
    return ruleset, compiled, loaded


def cases(rules: Sequence[Rule], events: Events, rounds: int, seed: int) -> dict[str, list[float]]:
    """Events a second for each case."""
    rates: dict[str, list[float]] = {}
    few = random.Random(seed).sample(list(rules), min(100, len(rules)))
    novel = distinct(events)

    def note(name: str, seconds: float, count: int) -> None:
        rates.setdefault(name, []).append(count / seconds)

    for number in range(rounds):
        stream = random.Random(seed + number).sample(events, len(events))
        half = len(stream) // 2
        fresh = Matcher(rules)
        note("cold, with building", pass_over(fresh, events), len(events))
        matcher = prepared(rules)
        note("cold, prepared", pass_over(matcher, events), len(events))
        note("again", pass_over(matcher, events), len(events))
        matcher = prepared(rules)
        pass_over(matcher, stream[:half])
        note("later", pass_over(matcher, stream[half:]), len(stream) - half)
        note("all distinct, prepared", pass_over(prepared(rules), novel), len(novel))
        note("100 rules, cold, prepared", pass_over(prepared(few), events), len(events))
    return rates


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Events matched a second with all rules of a folder")
    parser.add_argument("rules", type=Path, help="folder of Sigma rules")
    parser.add_argument("evtx", type=Path, help="folder of EVTX files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(machine())
    ruleset, compiled, loaded = loading(options.rules, options.rounds)
    rules = ruleset.runnable
    print(f"{len(ruleset.rules)} rules, {len(rules)} runnable, {len(ruleset.blind)} blind")
    print(f"compile            {spread(compiled)} s")
    print(f"load from cache    {spread(loaded)} s")
    build, matcher = timed(lambda: Matcher(rules))
    print(f"number the tests   {build:.3f} s")
    print(f"build automata     {timed(matcher.prepare)[0]:.3f} s")
    events = decoded(options.evtx)
    print(f"{len(events)} events; events a second and core:")
    for name, values in cases(rules, events, options.rounds, options.seed).items():
        print(f"  {name:26} {spread(values, 0)}")
    print(f"peak memory {peak_memory():.0f} MiB, of it all events decoded")


if __name__ == "__main__":
    main()
