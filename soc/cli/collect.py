"""`soc collect`: bring logs into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from soc.cli.app import noun
from soc.cli.output import Column
from soc.cli.session import Session, session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from soc.cli.progress import Tick
    from soc.collect.run import SourceReport
    from soc.config import Source

app = noun("Bring logs into the store")

COLUMNS = [
    Column("source", style="bold"),
    Column("collector"),
    Column("files", right=True),
    Column("read", right=True),
    Column("stored", right=True),
    Column("duplicate", right=True),
    Column("parked", right=True),
    Column("format", right=True),
    Column("unparsed", right=True),
    Column("lag", right=True),
    Column("problems", wide=True),
]
ALWAYS = {"source", "collector", "files", "read", "stored"}
"""Columns that a table always has; the others only where one of their values is not 0 or nothing."""

DUE_COLUMNS = [
    Column("source", style="bold"),
    Column("collector"),
    Column("state"),
    Column("bytes", right=True),
    Column("path", wide=True),
]


@app.command("run")
def run(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Files to read instead of the sources; - is stdin"),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Read what is there and end; else follow")] = False,
    every: Annotated[str, typer.Option("--every", metavar="TIME", help="How often to look for more")] = "1s",
    collector: Annotated[
        str, typer.Option("--collector", metavar="NAME", help="Of the files; else recognised")
    ] = "",
    timezone: Annotated[str, typer.Option("--timezone", metavar="ZONE", help="Of times without a zone")] = "",
    host: Annotated[str, typer.Option("--host", metavar="NAME", help="Of records that name no host")] = "",
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="NAME", help="Only this source of soc.yml; repeatable"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be read")] = False,
) -> int:
    """Read the sources of soc.yml, or the files named here, into the store, and follow them.

    Each file is read once, however often this runs, and through every rotation: renamed, copied and
    truncated, compressed. A file that a source of soc.yml reads is read as that source's. Positions are
    saved when the store has acknowledged, so nothing is lost or stored twice when this is killed; when the
    store is away it waits and goes on. Standard input cannot be read again: lines sent twice are stored
    twice.

    With --once, the last line of a file named here counts as complete when the file has rested for a
    second; a source's waits for its line end.

    READ = STORED + DUPLICATE + PARKED + FORMAT (headers and blank lines); a table leaves out columns of
    zeros. Parked records: soc deadletter list. LAG is in bytes.

    Exit codes: 0 all read, 1 nothing could be read or the store is away, 3 another run uses the same
    state, 5 some sources could not be read.

    Examples:

    soc collect run

    soc collect run --once --output json

    soc collect run --once /var/log/nginx/access.log --collector nginx

    journalctl -o short-iso --since today | soc collect run - --collector syslog
    """
    from soc.cli.progress import bar
    from soc.collect import checkpoint as state
    from soc.collect.collector import collectors_for
    from soc.collect.preview import preview
    from soc.collect.run import Options, Run, exit_code, open_store
    from soc.collect.stopping import Stop, on_signals
    from soc.timing import parse_duration

    s = session()
    folder = state.state_folder(s.config.state, s.config.store.target, s.config.store.space)
    named = files or []
    if own := _configured(s, named, folder, own_settings=bool(collector or timezone or host)):
        source, named = [*(source or []), *own], []
    sources = _sources(s, named, source or [], collector, timezone, host)
    if dry_run:
        s.out.rows(
            (due.row for due in preview(sources, state.Checkpoint.look(folder))),
            DUE_COLUMNS,
            empty="no file matches the sources",
        )
        return 0
    seconds = max(0.05, parse_duration(every).total_seconds())
    stop = Stop()
    with (
        state.Checkpoint.open(folder) as checkpoint,
        on_signals(stop),
        open_store(s.config.store) as store,
        bar(s, "collecting bytes") as tick,
    ):
        options = Options(once, seconds, bool(named), s.say, _ticker(tick) if once else None)
        reports = Run(sources, collectors_for(s.config), store, checkpoint, options, stop).run()
    rows = [report.row for report in reports]
    shown = [c for c in COLUMNS if c.field in ALWAYS or any(row[c.field] for row in rows)]
    s.out.rows(rows, shown if s.out.is_table else COLUMNS, empty="no source is configured")
    _next(s, reports)
    return exit_code(reports)


LEDGER_COLUMNS = [
    Column("source", style="bold"),
    Column("generation"),
    Column("read", right=True),
    Column("stored", right=True),
    Column("duplicate", right=True),
    Column("parked", right=True),
    Column("format", right=True),
    Column("balanced"),
    Column("path", wide=True),
]


@app.command("ledger")
def ledger(
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="Only this source")] = "",
) -> int:
    """Account for every record read: read = stored + duplicate + parked + format lines.

    One row for each life (generation) of each file, since this state began. Exit code 1 when a row does
    not balance.

    Examples:

    soc collect ledger

    soc collect ledger --source portal --output json
    """
    from soc.collect import checkpoint as state

    s = session()
    folder = state.state_folder(s.config.state, s.config.store.target, s.config.store.space)
    known = state.Checkpoint.look(folder)
    rows = [row for row in state.describe(known) if not source or row["source"] == source]
    s.out.rows(rows, LEDGER_COLUMNS, empty="nothing was collected into this store from here")
    return 0 if all(row["balanced"] for row in rows) else 1


def _configured(s: Session, files: list[str], state: Path, *, own_settings: bool) -> list[str]:
    """The configured sources that read these files; none where no source reads any of them.

    What a source reads is not read a second time under another name: that would store it twice.
    """
    from soc.collect.checkpoint import Checkpoint
    from soc.collect.run import covering
    from soc.errors import UsageError

    if not files or not s.config.sources:
        return []
    known = Checkpoint.look(state)
    found = {file: one.name for file in files if (one := covering(file, s.config.sources, known)) is not None}
    names = list(dict.fromkeys(found.values()))
    if found and (own_settings or len(found) < len(files)):
        file, name = next(iter(found.items()))
        raise UsageError(
            f"the source {name} of soc.yml reads this file; read again, it would be stored twice",
            place=file,
            hint=f"soc collect run --source {name}",
        )
    for file, name in found.items():
        s.say(f"{file} is read as the source {name} of soc.yml")
    return names


def _sources(
    s: Session, files: list[str], names: list[str], collector: str, timezone: str, host: str
) -> list[Source]:
    """The sources to read: those of the configuration, or the files named by hand."""
    from soc.collect.collector import collectors_for
    from soc.collect.run import by_hand
    from soc.errors import UsageError
    from soc.timing import known_zone

    if files:
        if names:
            raise UsageError("name either files or --source, not both")
        return by_hand(
            files,
            collectors_for(s.config),
            collector=collector,
            timezone=known_zone(timezone or s.config.timezone),
            host=host,
        )
    if collector or timezone or host:
        raise UsageError(
            "--collector, --timezone and --host are for files named here; sources have their own"
        )
    from soc.setup import next_source

    known = {source.name: source for source in s.config.sources}
    if not known:
        raise UsageError("no source is configured", hint=next_source(s.config.path))
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"there is no source {unknown[0]!r}; there are: {', '.join(known)}")
    return [known[name] for name in names] if names else list(known.values())


def _ticker(tick: Tick) -> Callable[[int], None]:
    """What is left, as the bar wants it: done, of all."""
    whole = [0]

    def left(count: int) -> None:
        whole[0] = max(whole[0], count)
        tick(whole[0] - count, whole[0])

    return left


def _next(s: Session, reports: list[SourceReport]) -> None:
    """Say what to look at, where there is something."""
    if sum(report.counts.parked for report in reports):
        s.say("some records were refused by the store and are parked; see: soc deadletter list")
    if sum(report.counts.unparsed for report in reports):
        s.say("some records could not be parsed; see: soc search event.kind:pipeline_error --limit 5")
