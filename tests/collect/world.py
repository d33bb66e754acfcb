"""A small world for tests of collection: a folder of logs, a collector for numbered lines, a real store."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from soc.collect.checkpoint import Checkpoint, state_folder
from soc.collect.collector import Collectors, load_collectors
from soc.collect.run import Options, Run, SourceReport
from soc.collect.stopping import Stop
from soc.config import Source, StoreSettings
from soc.event import Event
from soc.store import open_store
from soc.store.contract import Store

NUMBERS = r"""name: numbers
title: numbered lines of tests
layer: 1
streams:
  - name: line
    pattern: '(?P<time>\S+) n=(?P<n>\d+)(?P<rest>.*)'
    time: {from: time, format: iso}
    fields:
      event.sequence: n
    set: {event.category: process, event.type: info}
samples:
  - name: a number
    line: '2026-03-02T07:14:09Z n=7'
    expect: {event.sequence: 7}
"""


def line(number: int, rest: str = "") -> str:
    """A line that carries a number."""
    return f"2026-03-02T07:{number // 60 % 60:02d}:{number % 60:02d}Z n={number}{rest}\n"


def lines(first: int, end: int) -> str:
    """Lines with the numbers from `first` up to, not including, `end`."""
    return "".join(map(line, range(first, end)))


def append(path: Path, text: str) -> None:
    """Write more into a file, as a program that logs does."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def age(path: Path, seconds: float = 60) -> None:
    """Make a file look as if nobody had written to it for a while."""
    then = time.time() - seconds
    os.utime(path, (then, then))


@dataclass
class World:
    """Logs in `logs`, state in `state`, events in `store`; `clock` is what collection takes for now.

    `elsewhere`: another store to collect into than the embedded one in `store`.
    """

    root: Path
    patterns: tuple[str, ...] = ("app.log*",)
    source: Source = field(init=False)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    elsewhere: StoreSettings | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.logs.mkdir(exist_ok=True)
        content = self.root / "collectors"
        content.mkdir(exist_ok=True)
        (content / "numbers.yml").write_text(NUMBERS)
        self.source = Source("app", "numbers", tuple(str(self.logs / p) for p in self.patterns))

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def log(self) -> Path:
        return self.logs / "app.log"

    @property
    def settings(self) -> StoreSettings:
        return self.elsewhere or StoreSettings(str(self.root / "store"))

    @property
    def state(self) -> Path:
        return state_folder(self.root / "state", self.settings.target, self.settings.space)

    def collectors(self) -> Collectors:
        return load_collectors([self.root / "collectors"])

    @contextmanager
    def open(self) -> Iterator[Store]:
        with open_store(self.settings) as store:
            yield store

    def once(
        self, *sources: Source, by_hand: bool = False, collectors: Collectors | None = None
    ) -> SourceReport:
        """Collect what is there and give the report of the first source."""
        with self.open() as store, Checkpoint.open(self.state) as checkpoint:
            options = Options(once=True, by_hand=by_hand, note=self.notes.append, clock=self.clock)
            run = Run(sources or [self.source], collectors or self.collectors(), store, checkpoint, options)
            return run.run()[0]

    def events(self) -> list[Event]:
        with self.open() as store:
            return [stored.event for stored in store.search()]

    def numbers(self) -> list[int]:
        """The numbers in the store, sorted; each as often as it is there."""
        return sorted(e["event.sequence"] for e in self.events() if "event.sequence" in e)

    def write_config(self) -> Path:
        """A soc.yml for real processes."""
        path = self.root / "soc.yml"
        paths = ", ".join(f"'{p}'" for p in self.source.paths)
        path.write_text(
            f"store: {{target: {self.settings.target}, space: '{self.settings.space}'}}\n"
            f"state: {self.root / 'state'}\n"
            f"content: {{collectors: {self.root / 'collectors'}}}\n"
            f"sources:\n  - {{name: app, collector: numbers, paths: [{paths}]}}\n"
        )
        return path

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """A real `soc collect run` over this world's sources."""
        return subprocess.Popen(
            [sys.executable, "-m", "soc", "collect", "run", "--config", str(self.write_config()), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.root,
        )

    @contextmanager
    def following(self) -> Iterator[Follower]:
        """Follow in this process, in a thread, until the block ends."""
        follower = Follower(self)
        try:
            yield follower
        finally:
            follower.end()


class Follower:
    """A run that follows in a thread of its own, with a store connection of its own."""

    def __init__(self, world: World) -> None:
        import threading

        self.world = world
        self.stop = Stop()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        world = self.world
        try:
            with world.open() as store, Checkpoint.open(world.state) as checkpoint:
                options = Options(every=0.05, note=world.notes.append, clock=world.clock)
                Run([world.source], world.collectors(), store, checkpoint, options, self.stop).run()
        except BaseException as error:  # noqa: BLE001 - handed to the test, which raises it
            self.failure = error

    def until(self, count: int, seconds: float = 8) -> None:
        """Wait until the store has `count` numbers."""
        end = time.monotonic() + seconds
        while len(self.world.numbers()) < count and time.monotonic() < end and self._thread.is_alive():
            time.sleep(0.05)
        assert len(self.world.numbers()) >= count, (self.world.numbers()[-5:], self.world.notes, self.failure)

    def end(self) -> None:
        self.stop.ask()
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure
