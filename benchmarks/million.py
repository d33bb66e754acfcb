"""Many realistic events in a store: recorded Windows events, repeated with times and hosts of their own.

    python -m benchmarks.million EVTX_FOLDER STORE_URL [--events 1000000] [--seed 1]

fills a store (a space of its own, `SPACE`) that `benchmarks.candidates` and `benchmarks.backtest` then ask.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.matching import decoded
from soc.config import StoreSettings
from soc.event import event_id, timestamp
from soc.store.contract import Incoming
from soc.store.elastic import ElasticStore

SPACE = "bench"
START = datetime(2026, 2, 1, tzinfo=UTC)
DAYS = 28
HOSTS = 200


def settings(url: str) -> StoreSettings:
    """Settings of the store that the benchmarks share."""
    return StoreSettings(target=url, space=SPACE)


def varied(
    events: Sequence[dict[str, Any]], count: int, seed: int, span: timedelta = timedelta(days=DAYS)
) -> Iterator[Incoming]:
    """So many events over a span of time on `HOSTS` machines, no two the same."""
    rng = random.Random(seed)
    step = span / count
    for number in range(count):
        event = dict(events[rng.randrange(len(events))])
        host = f"PC{rng.randrange(HOSTS):03d}"
        event["@timestamp"] = timestamp(START + step * number)
        event["soc.layer"] = 1
        event["host.name"] = event["winlog.computer_name"] = host
        event["winlog.record_id"] = number
        event["process.pid"] = rng.randrange(65_536)
        event.pop("event.original", None)  # as collectors keep it, it would be half of the disk
        command = event.get("process.command_line")
        if isinstance(command, str):
            event["process.command_line"] = f"{command} /id:{rng.randrange(16**6):x}"
        yield Incoming(event_id("bench", str(seed), number), event)


def fill(store: ElasticStore, events: Iterator[Incoming], say: Any = lambda _: None) -> int:
    """Append events in batches; how many there are then."""
    batch: list[Incoming] = []
    done = 0
    for event in events:
        batch.append(event)
        if len(batch) == 10_000:
            done += len(store.append(batch))
            batch = []
            say(done)
    return done + len(store.append(batch))


def main() -> None:
    """Fill a store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("evtx", type=Path)
    parser.add_argument("url")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    begun = time.monotonic()
    with ElasticStore.connect(settings(chosen.url)) as store:
        store.init()
        recorded = decoded(chosen.evtx)
        print(f"{len(recorded)} recorded events")
        done = fill(
            store, varied(recorded, chosen.events, chosen.seed), lambda n: print(f"\r{n}", end="", flush=True)
        )
        print(f"\r{done} events in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
