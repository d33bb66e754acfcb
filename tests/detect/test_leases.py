"""Workers and leases: who is judged to be no more, and three processes that share the work through it all."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soc.config import StoreSettings
from soc.detect import ledger
from soc.detect.leases import Watch, Worker
from soc.detect.ledger import POSITION_PART
from soc.detect.sweep import sweep
from soc.errors import StoreUnavailableError
from soc.store import open_store
from soc.store.contract import Document, Store, Write
from soc.store.embedded import EmbeddedStore
from tests.detect.sweeping import RULES, Sweeping
from tests.detect.world import append, check_whole, counts, event
from tests.elastic_node import Node

LEASE = 1.5


class TestWorker:
    def test_survives_the_store(self) -> None:
        """A worker is itself again out of a document, also beside fields of a later release."""
        one = Worker.here(7)
        assert Worker.load({**one.body(), "later": 1}) == one
        assert str(os.getpid()) in str(one)

    def test_ends_with_its_process(self) -> None:
        """A process that has ended, or whose number another has, is no more; one of elsewhere may live."""
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        assert process.stdin is not None
        here = Worker.here()
        stat = Path(f"/proc/{process.pid}/stat")
        if not stat.exists():
            pytest.skip("only with /proc")
        started = int(stat.read_text().rpartition(")")[2].split()[19])
        other = replace(here, pid=process.pid, started=started)
        assert not other.ended()
        assert replace(other, started=started - 1).ended()
        process.kill()
        time.sleep(0.1)
        assert other.ended(), "a process that waits to be collected is no more"
        process.wait()
        process.stdin.close()
        assert other.ended()
        assert not replace(other, machine="of another").ended()
        assert not replace(other, machine="").ended()
        assert not here.ended()


class TestWatch:
    def elsewhere(self, lease: float = 10) -> Worker:
        """A worker of which nothing can be seen from here."""
        return Worker("w", "far", 1, "another machine", 0, lease)

    def test_only_silence_that_was_seen_counts(self) -> None:
        """Not a time in a document, which another clock has written: the lease runs from the first look."""
        now = [1000.0]
        watch = Watch(lambda: now[0])
        assert not watch.expired("a", 5, self.elsewhere())
        now[0] += 9.9
        assert not watch.expired("a", 5, self.elsewhere())
        now[0] += 0.2
        assert watch.expired("a", 5, self.elsewhere())

    def test_any_change_is_a_sign_of_life(self) -> None:
        """It begins anew with each version, and for each document apart."""
        now = [0.0]
        watch = Watch(lambda: now[0])
        for version in range(5):
            assert not watch.expired("a", version, self.elsewhere())
            now[0] += 9
        assert not watch.expired("b", 4, self.elsewhere())
        now[0] += 2
        assert watch.expired("a", 4, self.elsewhere())
        assert not watch.expired("b", 4, self.elsewhere())


# three processes


class Observer:
    """Looks at where the parts stand, again and again, and finds fault with any that moves back."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._seen: dict[str, tuple[int, int]] = {}
        self.tokens: Counter[str] = Counter()
        self.holders: dict[str, set[int]] = {}

    def look(self) -> list[Document]:
        """The documents of the parts."""
        found = list(self.store.find(POSITION_PART))
        for document in found:
            body = document.body
            position = body["feed"]
            number = self.store.reached(position).number if position else -1
            before = self._seen.get(document.id, (-1, 0))
            assert number >= before[0], f"{document.id} moved back"
            assert body["token"] >= before[1]
            self._seen[document.id] = (number, body["token"])
            self.tokens[document.id] = body["token"]
            if body["holder"]:
                self.holders.setdefault(document.id, set()).add(body["holder"]["pid"])
        return found

    def wait(self, what: str, until: Callable[[list[Document]], Any], seconds: float = 40) -> Any:
        """Look until something is so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := until(self.look()):
                return found
            time.sleep(0.02)
        pytest.fail(f"waited in vain for {what}")


def holding(documents: list[Document], among: list[Sweeping]) -> Sweeping | None:
    """One of these processes that holds a part."""
    pids = {d.body["holder"]["pid"] for d in documents if d.body["holder"]}
    return next((one for one in among if one.pid in pids), None)


def settings_of(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[StoreSettings, int]:
    """An empty store of each kind, of Elasticsearch with an index of several shards; and how many parts."""
    if request.param == "embedded":
        return StoreSettings(str(tmp_path / "store")), 1
    settings: StoreSettings = request.getfixturevalue("elastic_settings")
    node: Node = request.getfixturevalue("elastic_node")
    with open_store(settings) as store:
        store.init()
    shards = {"settings": {"number_of_shards": 4}}
    node.request("PUT", f"/soc-{settings.space}-events-1-standard-2026.03", shards)
    return settings, 4


@pytest.fixture(params=["embedded", pytest.param("elastic", marks=pytest.mark.elastic)])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[StoreSettings, int, Store]]:
    """A store that was swept once, so that all that comes is new."""
    settings, parts = settings_of(request, tmp_path)
    with open_store(settings) as store:
        store.init()
        sweep(store, RULES)
        yield settings, parts, store


class Feeder:
    """Appends events, and knows what must be counted in the end."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.rng = random.Random(seed)
        self.number = 0
        self.expected: Counter[str] = Counter()

    def more(self, events: int) -> None:
        """Store some more."""
        some = {}
        for _ in range(events):
            self.number += 1
            host, fires = f"h{self.rng.randrange(9)}", self.rng.random() < 0.5
            some[f"e{self.number}"] = event(self.rng.randrange(20_000), fires=fires, host=host)
            self.expected[host] += fires
        append(self.store, some)

    def check(self) -> None:
        """Every hit once, no alert twice, the ledger exact."""
        found = counts(self.store)
        total = self.expected.total()
        assert {host: found[host] for host in self.expected} == dict(self.expected)
        assert found["192.0.2.7"] == total
        check_whole(self.store)
        entries = ledger.by_rule(self.store)
        assert [(e.seen, e.matched) for e in entries] == [(self.number, total)] * 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_one_killed_one_stopped_past_its_lease(shared: tuple[StoreSettings, int, Store], seed: int) -> None:
    """Of three processes one is killed at work, one stopped at work until another has its parts, then goes
    on: no alert twice, none missed, counts exact, and positions only move forward."""
    settings, parts, store = shared
    feeder, observer = Feeder(store, seed), Observer(store)
    processes = [Sweeping(settings, lease=LEASE, batch=b, pause=0.05) for b in (50, 70, 90)]
    try:
        for process in processes:
            process.ready()
        feeder.more(1200)
        victim = observer.wait("a process at work", lambda found: holding(found, processes))
        time.sleep(feeder.rng.random() * 0.1)
        victim.kill()
        left = [p for p in processes if p is not victim]
        stopped = stop_at_work(settings, observer, left)
        feeder.more(300)
        (third,) = [p for p in left if p is not stopped]
        observer.wait("its parts to be taken over", lambda found: not holding(found, [stopped]))
        observer.wait("the third at work", lambda found: holding(found, [third]))
        stopped.go_on()
        feeder.more(300)
        observer.wait("everything to be swept", lambda found: at_rest(store, found))
        assert [p.end() for p in (stopped, third)] == [0, 0]
    finally:
        for process in processes:
            if process.process.poll() is None:
                process.go_on()
                process.kill()
    sweep(store, RULES)
    feeder.check()
    assert len(observer.tokens) == parts
    assert all(d.body["holder"] is None for d in observer.look()), "whoever leaves lets go"


def stop_at_work(settings: StoreSettings, observer: Observer, among: list[Sweeping]) -> Sweeping:
    """Stop one of these processes while it holds a part, but not within a commit, which would stop all."""
    for _ in range(200):
        stopped: Sweeping = observer.wait("another at work", lambda found: holding(found, among))
        stopped.halt()
        if writable(settings) and holding(observer.look(), [stopped]):
            return stopped
        stopped.go_on()
        time.sleep(0.03)
    pytest.fail("no process can be stopped at work")


def writable(settings: StoreSettings) -> bool:
    """Whether no process keeps the file of an embedded store to itself."""
    if settings.is_elastic:
        return True
    with EmbeddedStore.open(settings, busy_seconds=0.3) as store:
        try:
            store.write([Write("knock", "knock", {}, 999)])
        except StoreUnavailableError:
            return False
    return True


def at_rest(store: Store, found: list[Document]) -> bool:
    """Whether nothing waits and nobody holds anything."""
    positions = [d.body["feed"] for d in found if d.body["feed"]]
    waiting = sum(part.waiting for part in store.parts(store.join(positions)))
    return not waiting and all(d.body["holder"] is None for d in found)
