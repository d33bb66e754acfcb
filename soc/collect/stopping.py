"""Ending a long run cleanly: a signal asks, waits are cut short, and what hangs is interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_SECONDS = 2.5
"""How long a run may go on after it was asked to end, before what it does is interrupted."""


class Interrupted(BaseException):
    """The time to end cleanly is over."""


class Stop:
    """Whether the run was asked to end."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def ask(self) -> None:
        """Ask the run to end."""
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Wait, but no longer than until asked to end; whether that is so."""
        return self._event.wait(seconds)


@contextmanager
def on_signals(stop: Stop) -> Iterator[None]:
    """SIGTERM and the first SIGINT ask to end; after `GRACE_SECONDS`, or a second SIGINT, it is interrupted.

    In other threads than the main one, which get no signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(_number: int, _frame: FrameType | None) -> None:
        if stop and _number == signal.SIGINT:
            raise Interrupted
        stop.ask()
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGALRM, interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
