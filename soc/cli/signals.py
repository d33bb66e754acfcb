"""Ending a command that runs for days: SIGTERM and Ctrl-C ask, the command ends at the next good moment."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Stopping:
    """Whether somebody asked this process to end."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def asked(self) -> bool:
        """Whether to end at the next good moment."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, but no longer than until somebody asks; whether somebody has."""
        return self._event.wait(seconds)

    def ask(self) -> None:
        """Ask to end."""
        self._event.set()


@contextlib.contextmanager
def stop_requests() -> Iterator[Stopping]:
    """Within this, SIGTERM and SIGINT ask to end instead of ending; a second one ends at once."""
    stopping = Stopping()

    def asked(number: int, _: Any) -> None:
        stopping.ask()
        signal.signal(number, before[number])

    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, asked)
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
