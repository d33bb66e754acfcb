"""Asking a long-running command to end."""

from __future__ import annotations

import os
import signal
import threading
import time

from soc.cli.signals import stop_requests


def test_wait_ends_early_when_asked() -> None:
    """A sleep of a minute ends at once on SIGTERM, and the handlers from before come back."""
    before = signal.getsignal(signal.SIGTERM)
    with stop_requests() as stopping:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        assert stopping.wait(60)
        assert time.monotonic() - began < 10
        assert stopping.asked
        assert signal.getsignal(signal.SIGTERM) == before, "a second one ends the process as usual"
    assert signal.getsignal(signal.SIGTERM) == before


def test_wait_without_asking() -> None:
    """It sleeps as long as it should."""
    with stop_requests() as stopping:
        assert not stopping.wait(0.01)
