"""`soc alert list --watch`: redraw on a terminal, elsewhere write each alert again when it changed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from soc.cli.alert_page import columns_for, shown_row
from soc.cli.output import Column
from soc.cli.session import Session
from soc.cli.signals import Stopping, stop_requests
from soc.errors import StoreUnavailableError, UsageError
from soc.event import timestamp
from soc.respond.alerts import AlertView
from soc.timing import local, parse_duration

SHORTEST = 0.2
"""Seconds; asking the store more often helps nobody."""

Look = Callable[[], Sequence[AlertView]]


def follow(s: Session, look: Look, columns: Sequence[Column], interval: str) -> None:
    """Show what `look` gives, again and again, until Ctrl-C or SIGTERM."""
    seconds = parse_duration(interval).total_seconds()
    if seconds < SHORTEST:
        raise UsageError(f"--interval is at least {SHORTEST} seconds")
    with stop_requests() as stopping:
        if sys.stdout.isatty() and s.out.is_table:
            _redraw(s, look, columns, seconds, stopping)
        else:
            _stream(s, look, columns, seconds, stopping)


def _redraw(s: Session, look: Look, columns: Sequence[Column], seconds: float, stopping: Stopping) -> None:
    console = s.out.console()
    with console.screen(hide_cursor=True):
        while True:
            trouble = ""
            try:
                found = look()
            except StoreUnavailableError as error:
                found, trouble = [], str(error)
            console.clear()
            shown = found[: max(1, console.height - 4)]
            s.out.rows([shown_row(view) for view in shown], columns_for(columns, shown), empty="")
            hidden = f", {len(found) - len(shown)} more" if len(found) > len(shown) else ""
            now = local(timestamp(datetime.now(UTC)))
            s.out.write(trouble or f"{len(found)} alerts{hidden} · {now} · every {seconds:g} s · Ctrl-C ends")
            sys.stdout.flush()
            if stopping.wait(seconds):
                return


def _stream(s: Session, look: Look, columns: Sequence[Column], seconds: float, stopping: Stopping) -> None:
    known: dict[str, tuple[Any, ...]] = {}
    first = True
    while True:
        changed = []
        try:
            found = look()
        except StoreUnavailableError as error:
            s.say(f"error: {error}")
            found = []
        for view in found:
            state = (view.version, view.count, view.body["revision"])
            if known.get(view.id) != state:
                known[view.id] = state
                changed.append(view)
        _write(s, changed, columns, first)
        first = False
        if stopping.wait(seconds):
            return


def _write(s: Session, changed: Sequence[AlertView], columns: Sequence[Column], first: bool) -> None:
    """JSON lines whatever kind of JSON was asked for: a list never ends while it is watched."""
    if s.out.format == "json":
        s.out.format = "jsonl"
    if s.out.is_table:
        for view in changed:
            row = shown_row(view)
            s.out.write("  ".join(str(row[column.field]) for column in columns if row[column.field] != ""))
    elif s.out.format == "csv":
        _csv(s, changed, columns, header=first)
    elif changed:
        s.out.rows([view.row for view in changed], columns, empty="")
    sys.stdout.flush()


def _csv(s: Session, changed: Sequence[AlertView], columns: Sequence[Column], *, header: bool) -> None:
    import contextlib
    import io

    buffer = io.StringIO()
    with contextlib.redirect_stdout(buffer):
        s.out.rows([view.row for view in changed], columns, empty="")
    lines = buffer.getvalue().splitlines(keepends=True)
    sys.stdout.writelines(lines if header else lines[1:])
