"""Who may read a part of the feed: workers, and how one judges that another is no more.

A lease is a holder written into a document. It holds as long as the document goes on changing: its holder
writes it with every batch, and in between when a third of the lease has passed (`soc.detect.places`). Another
worker takes it over once it has itself seen the document unchanged for the whole lease, by its own monotonic
clock. So no two clocks are ever compared. On one machine it need not wait: a process that has ended is seen.

Being wrong about a holder costs time, never results: every write of a holder is refused once another has the
part, because the version of the document is the fence.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

LEASE_SECONDS = 30.0
"""How long a holder may be silent before its parts are taken over; more than a slow write takes."""
BEATS = 3
"""How often in a lease its holder shows that it is alive."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One sweeping process, or one sweeper in it.

    `machine`: the boot and the process namespace that `pid` is a number of, "" where these are not known;
    `started`: when the process started, in ticks since the boot; `lease`: in seconds.
    """

    id: str
    host: str
    pid: int
    machine: str = ""
    started: int = 0
    lease: float = LEASE_SECONDS

    @classmethod
    def here(cls, lease: float = LEASE_SECONDS) -> Worker:
        """A new worker in this process."""
        pid, host = os.getpid(), socket.gethostname()
        stat = _stat(pid)
        started = stat[1] if stat else 0
        return cls(f"{host}-{pid}-{secrets.token_hex(3)}", host, pid, _machine(), started, lease)

    @classmethod
    def load(cls, body: Mapping[str, Any]) -> Worker:
        """Out of a document."""
        return cls(**{f.name: body[f.name] for f in fields(cls) if f.name in body})

    def body(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.host} process {self.pid}"

    def ended(self) -> bool:
        """Whether this worker's process is known to have ended: only on its own machine can that be seen."""
        if not self.machine or self.machine != _machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # it is there, and somebody else's
        except OverflowError:
            return False
        stat = _stat(self.pid)
        return stat is not None and (stat[0] in "ZX" or stat[1] != self.started)


class Watch:
    """Judges by what this process sees whether the holders of documents still live."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}

    def expired(self, key: str, version: int, holder: Worker) -> bool:
        """Whether the holder of this document, now at this version, has lost its lease."""
        now = self._clock()
        known = self._seen.get(key)
        if known is None or known[0] != version:
            known = self._seen[key] = (version, now)
        return now - known[1] >= holder.lease or holder.ended()


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, int] | None:
    """The state of a process and when it started, in ticks since the boot (proc(5)); None: not known."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    after = text.rpartition(")")[2].split()
    return after[0], int(after[19])
