"""Keeping the garbage collector from looking, again and again, at what stays anyway."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """No garbage collection within: building many objects that all stay only makes it look for nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def settle() -> None:
    """Take all that is there now for lasting: the garbage collector no longer goes through it.

    For a process that has loaded its rules and now works through a stream; a third faster, measured with
    2,400 rules. What was settled before and is garbage by now is collected first.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
