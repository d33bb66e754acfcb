"""Collection into a real Elasticsearch through a bad line: each numbered line once, whatever is cut."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from soc.collect.checkpoint import Checkpoint, describe
from soc.config import StoreSettings
from soc.store import open_store
from tests.collect.test_chaos import SIZE, Generator, started
from tests.collect.world import World, append, line, lines
from tests.elastic_node import Node
from tests.fault_proxy import Fault, FaultProxy, Kind

pytestmark = [pytest.mark.elastic, pytest.mark.slow]

ROUNDS = 4
ALWAYS = 1_000_000
BUSY = {"error": {"type": "es_rejected_execution_exception", "reason": "queue is full"}, "status": 429}


@pytest.fixture
def proxy(elastic_node: Node) -> Iterator[FaultProxy]:
    """The bad line to the node."""
    with FaultProxy(elastic_node.url) as found:
        yield found


@pytest.fixture
def world(tmp_path: Path, proxy: FaultProxy, elastic_settings: StoreSettings) -> World:
    """A world that collects through the bad line into a space of its own, which is set up."""
    world = World(tmp_path, elsewhere=StoreSettings(proxy.url, space=elastic_settings.space))
    with open_store(world.settings) as store:
        store.init()
    return world


def faults(chance: random.Random) -> list[Fault]:
    """A few faults of bulk requests, drawn."""
    kinds = [
        lambda: Fault(Kind.CUT_REQUEST, part=chance.random()),
        lambda: Fault(Kind.CUT_RESPONSE, part=chance.random()),
        lambda: Fault(Kind.ANSWER, status=429, body=BUSY),
        lambda: Fault(Kind.ANSWER, status=503, times=2),
        lambda: Fault(Kind.DELAY, seconds=chance.random()),
        lambda: Fault(Kind.REWRITE, body=BUSY, items=(0, 2)),  # stored, and told that it was not
    ]
    return [chance.choice(kinds)() for _ in range(chance.randrange(4))]


def within(seconds: float, done: Callable[[], bool]) -> bool:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done():
            return True
        time.sleep(0.2)
    return False


def ended(process: subprocess.Popen[bytes]) -> tuple[float, str]:
    """SIGTERM: the seconds until the end, and what was said."""
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    return time.monotonic() - begun, err.decode()


def ledger_balances(world: World) -> bool:
    """Whether each record that was read has a fate."""
    return all(row["balanced"] for row in describe(Checkpoint.look(world.state)))


@pytest.mark.parametrize("seed", range(1, SIZE + 1))
def test_killed_at_random_on_a_bad_line(world: World, proxy: FaultProxy, seed: int) -> None:
    """SIGKILL, rotations, cuts within bulk requests and answers, a busy server: every number once."""
    chance = random.Random(seed)
    with Generator(world, seed) as generator:
        for _ in range(ROUNDS):
            proxy.script(*faults(chance))
            process = world.start("--every", "50ms", "-q")
            started(world, process.pid)
            time.sleep(chance.random() * 2)
            process.kill()
            process.communicate(timeout=10)
    proxy.heal()
    world.once()
    world.once()
    assert world.numbers() == list(range(generator.count))
    assert generator.count > 50
    assert proxy.count(), "something was sent"
    assert ledger_balances(world)


@pytest.mark.parametrize("kind", [Kind.CUT_REQUEST, Kind.CUT_RESPONSE])
def test_cut_in_the_middle_of_a_bulk(world: World, proxy: FaultProxy, kind: Kind) -> None:
    """What a cut bulk had stored is a duplicate the second time, and counted as such."""
    append(world.log, lines(0, 3500))
    proxy.script(Fault(kind, times=2, part=0.6))
    counts = world.once().counts
    assert world.numbers() == list(range(3500))
    assert (counts.read, counts.stored + counts.duplicate, counts.parked) == (3500, 3500, 0)
    assert proxy.count(fault=kind) == 2
    assert ledger_balances(world)


def test_the_node_is_away_for_a_while(world: World, proxy: FaultProxy) -> None:
    """Reading goes on where it was, also in files that were rotated meanwhile; SIGTERM ends it."""
    append(world.log, lines(0, 20))
    process = world.start("--every", "50ms")
    try:
        assert within(20, lambda: len(world.numbers()) == 20)
        proxy.script(Fault(Kind.CUT_REQUEST, path="", times=ALWAYS, part=0))
        append(world.log, lines(20, 40))
        time.sleep(2)
        for number in (2, 1):
            world.log.rename(world.logs / f"app.log.{number}")
            append(world.log, lines(60 - number * 10, 70 - number * 10))
        time.sleep(2)
        proxy.heal()
        assert within(40, lambda: len(world.numbers()) >= 60)
    finally:
        seconds, said = ended(process)
    assert seconds < 5
    assert process.returncode == 0, said
    assert world.numbers() == list(range(60))
    assert "Traceback" not in said
    assert ledger_balances(world)


@pytest.mark.parametrize("kind", [Kind.CUT_REQUEST, Kind.DELAY])
def test_stops_while_the_node_is_away(world: World, proxy: FaultProxy, kind: Kind) -> None:
    """SIGTERM ends a run within five seconds while it tries again, or hangs in a request; nothing is lost."""
    append(world.log, lines(0, 3000))
    proxy.script(Fault(kind, times=ALWAYS, part=0.5, seconds=15))
    process = world.start("--every", "50ms")
    started(world, process.pid)
    assert within(15, lambda: proxy.count() > 0)
    time.sleep(1)
    seconds, said = ended(process)
    assert seconds < 5
    assert "Traceback" not in said
    proxy.heal()
    world.once()
    assert world.numbers() == list(range(3000))
    assert ledger_balances(world)


def test_memory_while_the_node_is_away(world: World, proxy: FaultProxy) -> None:
    """Files are the spool: 200 MB that wait do not come into memory."""
    block = "".join(line(n, " " + "y" * 220) for n in range(4000))
    with world.log.open("w", encoding="utf-8") as file:
        for _ in range(200_000_000 // len(block) + 1):
            file.write(block)
    proxy.script(Fault(Kind.ANSWER, status=503, times=ALWAYS))
    process = world.start("--every", "50ms")
    try:
        assert within(15, lambda: proxy.count() > 0)
        time.sleep(8)
        status = Path(f"/proc/{process.pid}/status").read_text()
    finally:
        seconds, said = ended(process)
    (peak,) = (int(row.split()[1]) for row in status.splitlines() if row.startswith("VmHWM:"))
    assert peak < 300_000, f"{peak} kB"
    assert seconds < 5
    assert "nothing is lost" in said
