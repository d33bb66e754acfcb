"""A progress bar for work that lasts: on standard error, only on a terminal, only when it takes a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from soc.cli.session import Session

AFTER = 1.0
"""Seconds of work before a bar is drawn: what is done sooner needs none."""

Tick = Callable[[int, int], None]
"""Called with what is done and how much there is in all."""


@contextmanager
def bar(s: Session, text: str, after: float = AFTER) -> Iterator[Tick]:
    """A bar that the yielded function moves; it vanishes at the end. `after`: seconds until it is drawn."""
    if not s.decorated:
        yield lambda _done, _total: None
        return
    begun = time.monotonic()
    with ExitStack() as stack:
        moved: list[Callable[[int, int], None]] = []

        def tick(done: int, total: int) -> None:
            if not moved and time.monotonic() - begun >= after:
                moved.append(_drawn(stack, text))
            if moved:
                moved[0](done, total)

        yield tick


def _drawn(stack: ExitStack, text: str) -> Tick:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = progress.add_task(text, total=None)
    return lambda done, total: progress.update(task, completed=done, total=total)
