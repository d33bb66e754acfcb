"""A sweep in a process of its own, on any store: `python -m tests.detect.sweeping JSON`.

It says "ready", then sweeps again and again, a moment after each batch, until its standard input ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from soc.config import StoreSettings
from soc.detect.leases import Worker
from soc.detect.sweep import Sweeper
from soc.errors import ConflictError, StoreUnavailableError
from soc.store import open_store
from tests.detect.world import BY_ADDRESS, rule

ROOT = Path(__file__).parents[2]
RULES = (rule("shell"), rule("wide", attributes=BY_ADDRESS))


class Sweeping:
    """A process that sweeps."""

    def __init__(self, settings: StoreSettings, *, lease: float, batch: int, pause: float) -> None:
        job = {"settings": asdict(settings), "lease": lease, "batch": batch, "pause": pause}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.detect.sweeping", json.dumps(job)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    def ready(self) -> None:
        """Wait until it sweeps."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()
        self._close()

    def halt(self) -> None:
        """SIGSTOP: it does nothing until it goes on."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> int:
        """Let it leave; how it ended."""
        if self.process.stdin:
            self.process.stdin.close()
        code = self.process.wait(timeout=30)
        self._close()
        return code

    def _close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


def main(text: str) -> None:
    """See the module."""
    job = json.loads(text)

    def stopping(_: object = None) -> bool:
        return bool(select.select([sys.stdin], [], [], 0)[0])

    with open_store(StoreSettings(**job["settings"])) as store:
        sweeper = Sweeper(store, RULES, batch=job["batch"], worker=Worker.here(job["lease"]))
        print("ready", flush=True)  # noqa: T201 - tells the test that the sweep begins
        while not stopping():
            # a store that a stopped process keeps locked is tried again
            with contextlib.suppress(ConflictError, StoreUnavailableError):
                sweeper.run(progress=lambda _: time.sleep(job["pause"]), patience=0)
            time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1])
