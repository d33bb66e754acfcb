"""The contract of stores: the feed, and several processes at once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from soc.config import StoreSettings
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, matches
from soc.store.contract import (
    Fate,
    FeedBatch,
    Incoming,
    Store,
    StoredEvent,
)
from tests.store.helpers import ROOT, START, fates, ids, incoming, read_on
from tests.store.worker import made

# the feed


def test_the_feed_gives_each_event_once_in_the_order_of_commits(store: Store) -> None:
    """From the beginning, from a position, from the head."""
    beginning = store.beginning()
    assert read_on(store, beginning)[0] == []
    store.append([incoming(n) for n in (9, 8, 7)])
    head = store.head()
    got, position = read_on(store, beginning)
    assert sorted(ids(got)) == sorted(ids([incoming(n) for n in (9, 8, 7)]))
    assert read_on(store, position)[0] == []
    assert read_on(store, head)[0] == []
    store.append([incoming(1), incoming(8)])
    assert ids(read_on(store, position)[0]) == [incoming(1).id]
    assert ids(read_on(store, head)[0]) == [incoming(1).id]
    assert len(read_on(store, store.beginning())[0]) == 4


def test_the_head_of_an_empty_store_is_before_everything(store: Store) -> None:
    """What comes after it is read."""
    head = store.head()
    store.append([incoming(1)])
    assert ids(read_on(store, head)[0]) == [incoming(1).id]


def test_batches_of_the_feed_are_bounded_and_each_position_goes_on(store: Store) -> None:
    """Going on from any batch's position gives exactly what is missing."""
    events = [incoming(n, layer=1 + n % 4) for n in range(95)]
    for first in range(0, 95, 10):
        store.append(events[first : first + 10])
    batches: list[FeedBatch] = list(store.feed(store.beginning(), limit=20))
    assert all(len(batch.events) <= 20 for batch in batches)
    seen: list[str] = []
    for batch in batches:
        seen += ids(batch.events)
        rest = ids(read_on(store, batch.position, limit=7)[0])
        assert sorted(seen + rest) == sorted(ids(events))


WANTED = Test("url.query", Op.CONTAINS, "needle")


def narrowed(store: Store, narrow: Predicate | None, **options: Any) -> tuple[list[StoredEvent], int]:
    """What the feed gives from the beginning, and how many events it has passed over."""
    batches = list(store.feed(store.beginning(), narrow=narrow, **options))
    assert read_on(store, batches[-1].position)[0] == []
    return [e for b in batches for e in b.events], sum(b.passed for b in batches)


@pytest.mark.parametrize(
    "narrow",
    [
        WANTED,
        And((Test("soc.layer", Op.EQUALS, "1"), WANTED)),
        Or((WANTED, Test("my.own", Op.EQUALS, "needle"))),
        Or((WANTED, Not(WANTED))),
        Test("message", Op.CONTAINS, "needle"),
        None,
    ],
    ids=repr,
)
@pytest.mark.parametrize("limit", [7, 10_000])
def test_a_narrowed_feed_gives_all_that_may_match_and_counts_the_rest(
    store: Store, narrow: Predicate | None, limit: int
) -> None:
    """Whatever a store passes over, nothing that is true is missing, and no event is uncounted."""
    fields: dict[int, dict[str, Any]] = {
        3: {"url.query": "a Needle here"},
        40: {"my.own": "NEEDLE"},
        41: {"message": "needle"},
        77: {"url.query": ["x", "needle"]},
    }
    store.append([incoming(n, fields.get(n), layer=1 + n % 2) for n in range(100)])
    events, passed = narrowed(store, narrow, limit=limit)
    assert len(events) + passed == 100
    assert len({e.id for e in events}) == len(events)
    wanted = {
        n for n in range(100) if narrow and matches(narrow, incoming(n, fields.get(n), layer=1 + n % 2).event)
    }
    assert {incoming(n).id for n in wanted} <= set(ids(events))
    if narrow == WANTED:
        assert passed > 90


def test_a_feed_within_times_counts_nothing_else(store: Store) -> None:
    """Bounds of time are taken down to the millisecond; the end is not part of it."""
    store.append([incoming(n, {"url.query": "needle"} if n == 12 else {}) for n in range(30)])
    since, until = START + timedelta(seconds=10, microseconds=400), START + timedelta(seconds=20)
    events, passed = narrowed(store, None, since=since, until=until)
    assert (len(events), passed) == (10, 0)
    events, passed = narrowed(store, WANTED, since=since, until=until)
    assert len(events) + passed == 10
    assert incoming(12).id in ids(events)
    assert narrowed(store, WANTED, since=START + timedelta(days=1)) == ([], 0)


def test_the_feed_ends_with_what_was_there_at_its_start(store: Store) -> None:
    """A busy writer cannot keep a reader for ever; what came meanwhile is next time's."""
    store.append([incoming(n) for n in range(30)])
    feed = store.feed(store.beginning(), limit=10)
    got, position = [], store.beginning()
    for number, batch in enumerate(feed):
        got += ids(batch.events)
        position = batch.position
        store.append([incoming(1000 + number)])
        assert number < 20
    later = ids(read_on(store, position)[0])
    everything = ids(list(store.search()))
    assert sorted(got + later) == sorted(everything)


def test_after_pruning_everything_the_feed_goes_on(store: Store) -> None:
    """Numbers are never used again: what is appended after pruning is after every position."""
    old = [
        Incoming(f"old-{n}", {"@timestamp": f"2024-05-0{1 + n % 9}T00:00:00.000000Z", "soc.layer": 1})
        for n in range(20)
    ]
    store.append(old)
    halfway = next(iter(store.feed(store.beginning(), limit=5))).position
    _, position = read_on(store, store.beginning())
    cutoff = datetime(2030, 1, 1, tzinfo=UTC)
    planned = store.prune(cutoff, dry_run=True)
    assert sum(p.events for p in planned) == 20
    assert len(list(store.search())) == 20
    assert sum(p.events for p in store.prune(cutoff)) == 20
    assert list(store.search()) == []
    assert store.prune(cutoff) == []
    new = [
        Incoming(f"new-{n}", {"@timestamp": "2024-05-01T00:00:00.000000Z", "soc.layer": 1}) for n in range(3)
    ]
    assert fates(store, [*new, old[0]]) == [Fate.STORED] * 4
    for start in (position, halfway, store.beginning()):
        assert sorted(ids(read_on(store, start)[0])) == sorted([*ids(new), old[0].id])


def test_pruning_leaves_what_is_younger(store: Store) -> None:
    """Only events older than the moment go; documents and audit stay."""
    store.append(
        [
            Incoming(f"old-{n}", {"@timestamp": "2024-05-01T00:00:00.000000Z", "soc.layer": n})
            for n in range(1, 5)
        ]
    )
    store.append([incoming(n, layer=n) for n in range(1, 5)])
    store.put("alert", "A", {"x": 1}, expect=0)
    store.audit_create(1, {"what": "x"})
    assert sum(p.events for p in store.prune(datetime(2025, 6, 1, tzinfo=UTC))) == 4
    assert ids(list(store.search())) == ids([incoming(n) for n in range(1, 5)])
    assert store.read("alert", "A") is not None
    assert store.audit_last() is not None


# several processes


def launch(store_settings: StoreSettings, do: str, **job: Any) -> subprocess.Popen[str]:
    """Another process at work on the same store (`tests.store.worker`)."""
    text = json.dumps({"settings": asdict(store_settings), "do": do, **job})
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.worker", text], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def finished(process: subprocess.Popen[str]) -> list[int]:
    """What it said, after it has ended well."""
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return [int(line) for line in out.split()]


def feed_until(store: Store, done: Callable[[], bool]) -> Iterator[list[StoredEvent]]:
    """Read on and on from the beginning; once more after `done`."""
    position = store.beginning()
    while True:
        last = done()
        events, position = read_on(store, position, limit=500)
        yield events
        if last:
            return


@pytest.mark.slow
def test_the_feed_is_exact_while_processes_write(store_settings: StoreSettings, store: Store) -> None:
    """Four writers, one reader: nothing missed, nothing twice, each writer's events in their order."""
    writers = [
        launch(store_settings, "append", generation=f"w{i}", start=0, stop=3_000, batch=30 + 7 * i)
        for i in range(4)
    ]
    try:
        seen: list[StoredEvent] = []
        for events in feed_until(store, lambda: all(w.poll() is not None for w in writers)):
            seen += events
    finally:
        for writer in writers:
            writer.kill()
    assert [finished_code(w) for w in writers] == [0] * 4
    counts = Counter(ids(seen))
    assert max(counts.values()) == 1
    assert len(counts) == 12_000


def finished_code(process: subprocess.Popen[str]) -> int:
    """How it ended; its output is dropped."""
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_acknowledged(store_settings: StoreSettings, store: Store) -> None:
    """SIGKILL at random points, then a replay from before: all that was acknowledged is there, all once."""
    dice = random.Random(3)
    total, done = 4_000, 0
    for _ in range(8 * int(os.environ.get("SOC_TEST_SIZE", "1"))):
        start = max(0, done - dice.randrange(500))
        writer = launch(store_settings, "append", generation="g", start=start, stop=total, batch=50)
        assert writer.stdout is not None
        writer.stdout.readline()  # it is at work
        time.sleep(dice.random() * 0.15)
        writer.kill()
        said = [int(line) for line in writer.stdout.read().split("\n")[:-1] if line]
        writer.wait()
        done = max([done, *said])
        wanted = [made("g", n).id for n in range(done)]
        assert ids(store.events(wanted)) == wanted
        writer.stdout.close()
    finished(launch(store_settings, "append", generation="g", start=max(0, done - 500), stop=total, batch=50))
    got = Counter(ids(read_on(store, store.beginning())[0]))
    assert got == Counter(made("g", n).id for n in range(total))
    assert len(list(store.search())) == total


@pytest.mark.slow
def test_audit_numbers_have_no_gap_under_several_writers(store_settings: StoreSettings, store: Store) -> None:
    """Each number is given to one writer; together they are 1 to n."""
    writers = [launch(store_settings, "audit", name=f"w{i}", count=40) for i in range(3)]
    numbers = [n for writer in writers for n in finished(writer)]
    assert sorted(numbers) == list(range(1, 121))
    records = list(store.audit_read())
    assert [r.number for r in records] == list(range(1, 121))
    assert Counter(r.body["writer"] for r in records) == {"w0": 40, "w1": 40, "w2": 40}


@pytest.mark.slow
def test_no_change_of_a_document_is_lost(store_settings: StoreSettings, store: Store) -> None:
    """Processes that read, add one and write by compare-and-set reach the sum."""
    writers = [launch(store_settings, "increment", count=40) for _ in range(3)]
    for writer in writers:
        finished(writer)
    document = store.read("counter", "one")
    assert document is not None
    assert document.body == {"n": 120}


def test_pruning_one_class_leaves_the_others(store: Store) -> None:
    """An event without a class is of the class standard; counts agree with what is left."""
    classes = {"a": None, "b": "standard", "c": "short", "d": "short"}
    times = {"d": "2026-03-02T00:00:00.000000Z"}
    store.append(
        [
            Incoming(
                id_,
                {
                    "@timestamp": times.get(id_, "2024-05-01T00:00:00.000000Z"),
                    "soc.layer": 1,
                    **({"soc.retention": name} if name else {}),
                },
            )
            for id_, name in classes.items()
        ]
    )
    cutoff = datetime(2025, 6, 1, tzinfo=UTC)
    planned = store.prune(cutoff, retention="short", dry_run=True)
    assert sum(p.events for p in planned) == 1
    assert len(list(store.search())) == 4
    assert sum(p.events for p in store.prune(cutoff, retention="short")) == 1
    assert store.prune(cutoff, retention="none_such") == []
    assert sorted(e.id for e in store.search()) == ["a", "b", "d"]
    assert store.status().events == 3
    assert sum(p.events for p in store.prune(cutoff, retention="standard")) == 2
    assert [e.id for e in store.search()] == ["d"]


# parts of the feed


def test_parts_can_be_read_apart(store: Store) -> None:
    """Each part for itself gives what the whole feed gives of it; what waits is known without reading."""
    store.append([incoming(n, layer=1 + n % 3) for n in range(30)])
    beginning = store.beginning()
    parts = store.parts(beginning)
    assert sum(part.waiting for part in parts) == 30
    seen: list[str] = []
    for part in parts:
        before = len(seen)
        for batch in store.feed(beginning, limit=4, parts=[part.key]):
            assert batch.part == part.key
            assert list(store.split(batch.position)) == [part.key]
            seen += ids(batch.events)
        assert len(seen) - before == part.waiting
    assert sorted(seen) == sorted(ids([incoming(n) for n in range(30)]))
    assert list(store.feed(beginning, parts=[])) == []


def test_positions_split_and_join(store: Store) -> None:
    """A position is its parts; each says how far it has come, and can be made from that."""
    store.append([incoming(n, layer=1 + n % 3) for n in range(12)])
    halfway = next(iter(store.feed(store.beginning(), limit=5))).position
    for position in (halfway, store.head()):
        split = store.split(position)
        assert dict(store.join(split.values())) == dict(position)
        waiting = {part.key: part.waiting for part in store.parts(position)}
        for key, one in split.items():
            again = store.position_at(key, store.reached(one))
            assert store.reached(again) == store.reached(one)
            (found,) = [p for p in store.parts(store.join([again])) if p.key == key]
            assert (found.waiting, found.gone) == (waiting[key], False)
            assert found.end - found.waiting == store.reached(one).number
    assert sum(part.waiting for part in store.parts(store.head())) == 0
    assert store.join([]) == store.beginning()


def test_the_feed_can_end_before_the_head(store: Store) -> None:
    """Reading from one position to another gives exactly what lies between."""
    store.append([incoming(n) for n in range(5)])
    start = store.head()
    store.append([incoming(n) for n in range(5, 12)])
    end = store.head()
    store.append([incoming(n) for n in range(12, 20)])
    got = [e for batch in store.feed(start, limit=3, end=end) for e in batch.events]
    assert ids(got) == ids([incoming(n) for n in range(5, 12)])
    assert [e for batch in store.feed(end, end=start) for e in batch.events] == []
