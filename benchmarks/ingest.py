"""Events a second into the stores: the embedded one beside a plain SQLite table, and Elasticsearch if given.

    python -m benchmarks.ingest [--events 100000] [--batch 2000] [--rounds 5] [--stored 0] [--elastic URL]

Events are web log events of about 1 kB with ids as from files. Contenders take turns within one run, and the
median of the rounds counts. The plain table has a unique id and the body as JSON, one transaction a batch,
and keeps to the same `synchronous=FULL`: what SQLite can do at best on this disk. `--stored` puts so many
events into the embedded store first; the table stays small, which favours it. In Elasticsearch a space of its
own is used; its events are removed at the end.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from benchmarks.common import machine, peak_memory, spread
from soc.config import StoreSettings
from soc.event import event_id, timestamp
from soc.store import open_store
from soc.store.contract import Fate, Incoming, Store

START = datetime(2026, 3, 2, tzinfo=UTC)
SOURCES = 8
LINE_BYTES = 230
AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0"

Batch = list[Incoming]


class Feed:
    """An endless source of events: several files that grow in turn, each event new."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.generation = f"{seed:016x}"
        self.count = 0

    def batch(self, size: int) -> Batch:
        """The next events, all of one file, as a collector sends them."""
        source = f"portal-{(self.count // size) % SOURCES}"
        events = [self._event(source, self.count + n) for n in range(size)]
        self.count += size
        return events

    def _event(self, source: str, number: int) -> Incoming:
        dice = self.dice
        address = f"192.0.2.{dice.randrange(256)}"
        path = f"/service/{dice.randrange(10_000)}/form-{dice.randrange(50)}.html"
        at = START + timedelta(milliseconds=number * 3)
        status = dice.choice((200, 200, 200, 304, 404))
        line = (
            f'{address} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET {path} HTTP/1.1" {status} 5120 "-" "{AGENT}"'
        )
        event = {
            "@timestamp": timestamp(at), "soc.layer": 1, "soc.collector": "nginx", "soc.source": source,
            "soc.path": "/var/log/nginx/access.log", "soc.generation": self.generation,
            "soc.offset": number * LINE_BYTES, "event.module": "nginx", "event.dataset": "nginx.access",
            "event.kind": "event", "event.category": "web", "event.type": "access",
            "event.ingested": timestamp(at), "event.outcome": "success", "event.original": line,
            "host.name": source, "source.ip": address,
            "related.ip": [address], "related.hosts": [source], "http.request.method": "GET",
            "http.version": "1.1", "http.response.status_code": status, "http.response.body.bytes": 5120,
            "url.original": path, "url.path": path, "user_agent.original": AGENT,
        }  # fmt: skip
        return Incoming(event_id(source, self.generation, number * LINE_BYTES), event)


def plain_table(path: Path) -> Callable[[Batch], None]:
    """The peer: a table with a unique id, in the same mode of SQLite."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE events (id TEXT NOT NULL UNIQUE, body BLOB NOT NULL)")

    def append(batch: Batch) -> None:
        rows = [(event.id, orjson.dumps(event.event)) for event in batch]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO events VALUES (?, ?) ON CONFLICT DO NOTHING", rows)
        connection.execute("COMMIT")

    return append


def appending(store: Store) -> Callable[[Batch], None]:
    """The store's own way in; every event must be new."""

    def append(batch: Batch) -> None:
        if any(outcome.fate is not Fate.STORED for outcome in store.append(batch)):
            raise SystemExit("an event was not stored")

    return append


def timed(append: Callable[[Batch], None], feed: Feed, events: int, size: int) -> float:
    """Events a second over `events` events; making them is not timed."""
    spent = 0.0
    for _ in range(events // size):
        batch = feed.batch(size)
        started = time.perf_counter()
        append(batch)
        spent += time.perf_counter() - started
    return events / spent


def contenders(folder: Path, elastic: str, stack: ExitStack) -> dict[str, Callable[[Batch], None]]:
    """Who takes part, by name; what they leave behind is cleared when the stack ends."""
    embedded = stack.enter_context(open_store(StoreSettings(str(folder / "store"))))
    named = {"plain SQLite table": plain_table(folder / "plain.db"), "embedded store": appending(embedded)}
    if elastic:
        store = stack.enter_context(open_store(StoreSettings(elastic, space=f"bench{os.getpid()}")))
        store.init()
        stack.callback(store.prune, datetime(2100, 1, 1, tzinfo=UTC))
        named["Elasticsearch"] = appending(store)
    return named


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=100_000, help="events in a round, for each contender")
    parser.add_argument("--batch", type=int, default=2_000, help="events in one append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--stored", type=int, default=0, help="events that are in the store before the first round"
    )
    parser.add_argument("--elastic", default="", metavar="URL", help="an Elasticsearch to measure too")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the files go (default: the temporary folder)"
    )
    arguments = parser.parse_args()

    print(f"{machine()}, SQLite {sqlite3.sqlite_version}, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name, ExitStack() as stack:
        named = contenders(Path(name), arguments.elastic, stack)
        feeds = {label: Feed(number) for number, label in enumerate(named)}
        sample = feeds["embedded store"].batch(arguments.batch)
        size = statistics.mean(len(orjson.dumps(event.event)) for event in sample)
        print(f"{arguments.events} events of {size:.0f} bytes a round, {arguments.batch} in a batch")
        if arguments.stored:
            rate = timed(named["embedded store"], feeds["embedded store"], arguments.stored, 10_000)
            print(f"{rate:,.0f} events/s while the first {arguments.stored:,} were stored", flush=True)
        rates: dict[str, list[float]] = {label: [] for label in named}
        for _ in range(arguments.rounds):
            for label, append in named.items():
                rates[label].append(timed(append, feeds[label], arguments.events, arguments.batch))
        peer = statistics.median(rates["plain SQLite table"])
        for label, found in rates.items():
            ratio = statistics.median(found) / peer
            print(f"{label:20} {spread(found, 0)} events/s, {ratio:.2f} of the plain table")
    print(f"memory at its highest: {peak_memory():.0f} MiB")


if __name__ == "__main__":
    main()
