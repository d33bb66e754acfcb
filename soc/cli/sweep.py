"""`soc sweep`: match the rules against new events and raise alerts."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soc.cli.app import noun
from soc.cli.output import Column
from soc.cli.session import Session, session
from soc.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from soc.detect.backfill import Window
    from soc.detect.sweep import Start, SweepResult
    from soc.detect.sweep_job import SweepJob
    from soc.store.contract import Store

app = noun(
    "Match the rules against new events and raise alerts\n\n"
    "The word `run` may be left out: soc sweep --once is soc sweep run --once."
)

_RARE = ("undecided", "hidden", "late", "unseen", "blind", "version")
"""Columns of the ledger that a table has only where they say something."""

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, write nothing")]


@app.command("run")
def run(
    once: Annotated[bool, typer.Option("--once", help="Sweep what is new, then leave")] = False,
    every: Annotated[
        str, typer.Option("--every", metavar="TIME", help="Sweep again and again: 60s, 5m")
    ] = "",
    rules: Annotated[
        list[Path] | None,
        typer.Option("--rules", metavar="DIR", help="Rules to use instead of the configured ones"),
    ] = None,
    published: Annotated[
        bool,
        typer.Option("--published", help="Use the rules that are published in the store (soc rule publish)"),
    ] = False,
    begin: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Read old events too: beginning, 7d, 2026-03-02")
    ] = "",
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Leave broken rules out instead of stopping")
    ] = False,
    plan: Annotated[
        str, typer.Option("--plan", metavar="PLAN", help="auto, stream (read everything) or candidates")
    ] = "auto",
    index: Annotated[
        str,
        typer.Option("--index", metavar="PATTERN", help="Sweep indices of others: 'winlogbeat-*', 'logs-*'"),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Read old events without asking")] = False,
    dry_run: DryRun = False,
) -> int:
    """Match all rules against the events that are new in the store, and raise alerts.

    The first sweep of a store starts from now; --from reads what is there already, and asks first where
    that means many events or alerts. Nothing is missed and nothing counted twice, also when a sweep is
    killed. Any number of sweeps, also on several machines, share the work; what another is still at work
    on after ten seconds is left to it, with exit code 5. A new or changed rule begins with the next event;
    --from lets it see earlier ones. With --rules, another set of rules is swept, which keeps its own place in
    the store. With --published, or `detect: {rules: published}` in soc.yml, the rules are those of
    `soc rule publish`; a new set is taken up whole at the next sweep. --index sweeps the indices of
    others in the same cluster as they are, with a place of its own for each pattern. The word `run` may be
    left out.

    Examples:

    soc sweep --once

    soc sweep --once --from beginning

    soc sweep --every 60s

    soc sweep --once --rules ./my-rules --dry-run

    soc sweep --every 60s --index 'winlogbeat-*'
    """
    from soc.cli.sweep_report import at_work
    from soc.detect.plan import plan_of
    from soc.detect.sweep_job import SweepJob

    if once == bool(every):
        raise UsageError("say --once or --every TIME, one of them", hint="soc sweep --once")
    seconds = _interval(every) if every else 0.0
    s = session()
    folders = _existing(rules or [])
    if folders and published:
        raise UsageError("say --rules or --published, one of them")
    job = SweepJob(
        s.config,
        _store(s),
        folders=folders,
        published=published or None,
        keep_going=keep_going,
        dry_run=dry_run,
        plan=plan_of(plan),
        index=index,
        say=s.say,
    )
    for problem in job.rules.errors:
        s.say(str(problem))
    start, expected = _start(s, job, begin, yes=yes or dry_run)
    if every:
        return _again_and_again(s, job, start, seconds)
    with _progress(s, expected) as progress:
        result = job.run(start, progress=progress, waiting=lambda places: s.say(at_work(places)))
    _report(s, job, result)
    return ExitCode.PARTLY_DONE if job.broken or result.left else ExitCode.DONE


@app.command("status")
def status() -> None:
    """Say where sweeps stand: when the last one was, by whom, and how many events wait.

    TODAY and HITS count the events and hits of this day (UTC), BLIND the rules that lack a field they need.
    COMMIT is that of the published rules that the sweepers have (`files`: they read files). Below stands each
    sweeper, and each part of the feed (of Elasticsearch, a shard) that somebody reads now or that waits.
    Several sweepers share the parts; one that is silent for its lease loses them to the next.

    Examples:

    soc sweep status

    soc sweep status --output json
    """
    from soc.cli.sweep_report import status_details, status_rows
    from soc.cli.times import say_zone
    from soc.detect import sweep

    s = session()
    columns = [
        Column("name", style="bold"),
        Column("swept_at", "LAST SWEEP"),
        Column("by", wide=True),
        Column("rules", right=True),
        Column("waiting", right=True),
        Column("events_today", "TODAY", right=True),
        Column("hits_today", "HITS", right=True),
        Column("blind", right=True),
    ]
    found = sweep.status(s.store(create=False))
    if any(worker.commit for position in found for worker in position.workers):
        columns.insert(4, Column("commit"))
    s.out.rows(
        status_rows(found, people=s.out.is_table), columns, empty="nothing was swept yet: soc sweep --once"
    )
    if s.out.is_table:
        say_zone(s, [position.swept_at for position in found])
        for position in found:
            details = list(status_details(position))
            if details:
                s.say("\n".join([f"{position.name}:", *details]))
            for note in position.notes[-5:]:
                s.say(f"{position.name}: {note}")


@app.command("ledger")
def show_ledger(
    rule: Annotated[str, typer.Option("--rule", help="Only rules with this id, or this in their title")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Also earlier versions of rules")] = False,
) -> None:
    """Show what each rule has seen, matched, could not decide, and what it is blind to.

    A rule that is blind reads fields that were never filled here: that it is silent says nothing. HIDDEN
    counts the hits that exceptions hid, LATE those that came too late for a correlation. UNSEEN is how many
    events of the store this version of the rule has not seen, because it is newer, or was not among the
    rules for a while; `soc sweep backfill RULE --gaps` fills that in.

    Examples:

    soc sweep ledger

    soc sweep ledger --rule brute --all --output json
    """
    from soc.cli.sweep_report import ledger_rows
    from soc.detect import ledger
    from soc.detect.gaps import Gaps

    s = session()
    store = s.store(create=False)
    rows = list(ledger_rows(ledger.by_rule(store), rule, Gaps(store), everything=everything))
    columns = [
        Column("title", wide=True),
        Column("level"),
        Column("version"),
        Column("seen", right=True),
        Column("matched", right=True),
        Column("undecided", right=True),
        Column("hidden", right=True),
        Column("late", right=True),
        Column("unseen", right=True),
        Column("blind", wide=True),
    ]
    if s.out.is_table:  # what is nowhere needs no room
        there = {name for row in rows for name in _RARE if row[name]}
        if not everything:
            there.discard("version")
        columns = [column for column in columns if column.field in there or column.field not in _RARE]
    s.out.rows(rows, columns, empty="the ledger has nothing on this: soc sweep --once")
    if s.out.is_table and rule and any(row["unseen"] and row["current"] for row in rows):
        s.say(f"to fill in what was not seen: soc sweep backfill {rows[0]['rule']} --gaps --dry-run")


@app.command("backfill")
def backfill(
    rules: Annotated[
        list[str], typer.Argument(metavar="RULE...", help="Id, its beginning, or name of a rule")
    ],
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Events from then on: 7d, 2026-03-02, beginning")
    ] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Only events before then")] = "",
    folders: Annotated[
        list[Path] | None,
        typer.Option("--rules", metavar="DIR", help="Rules to use instead of the configured ones"),
    ] = None,
    gaps: Annotated[bool, typer.Option("--gaps", help="All that they have not seen, of any time")] = False,
    notify: Annotated[
        bool, typer.Option("--notify", help="Note on new alerts that people are to be notified")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Open many alerts without asking")] = False,
    dry_run: DryRun = False,
) -> int:
    """Raise the alerts that rules would have raised in the past, had they been there.

    Only events that the present version of a rule has not seen are read, so doing it twice adds nothing, and
    the running sweep goes on undisturbed. Hits in the window of an alert that is there are counted on it.
    New alerts are marked (`soc alert list backfill:true`), and nobody is notified unless --notify.
    Exceptions hold as they do for new events, each up to its expiry. When it is interrupted, the same command
    goes on from there.

    Examples:

    soc sweep backfill web_log4shell --since 7d --dry-run

    soc sweep backfill web_log4shell web_shell_upload --since 2026-03-02 --until 2026-03-09

    soc sweep backfill 5f2c --gaps --yes
    """
    from soc.cli.progress import bar
    from soc.cli.signals import stop_requests
    from soc.cli.sweep_report import backfill_line, forecast, summary
    from soc.detect import catalogue
    from soc.detect.backfill import Backfill
    from soc.detect.sweep_job import ASK_ALERTS, ASK_EVENTS, SweepJob

    window = _window(since, until, gaps=gaps)
    s = session()
    places = _existing(folders or [])
    job = SweepJob(s.config, s.store(create=False), folders=places, dry_run=dry_run, say=s.say)
    chosen = {rule.id: rule for rule in (catalogue.find(job.rules.rules, name) for name in rules)}
    work = Backfill(
        job.store,
        list(chosen.values()),
        window,
        name=job.name,
        register=job.register,
        dry_run=dry_run,
        notify=notify,
        commit=job.rules.commit,
    )
    expected = work.estimate()
    if work.numbers:
        s.say(forecast(expected))
    else:
        s.say("nothing to fill in: the present versions of these rules have seen all of it")
    if not dry_run and (expected.events > ASK_EVENTS or expected.expected_alerts > ASK_ALERTS):
        s.confirm("Open these alerts?", yes=yes)
    done = 0
    with stop_requests() as stopping, bar(s, "events") as tick:

        def progress(more: int) -> None:
            nonlocal done
            done += more
            tick(done, work.numbers)

        result = work.run(stop=lambda: stopping.asked, progress=progress)
    if s.out.is_table and s.fields is None:
        s.say(backfill_line(result, dry_run=dry_run))
    else:
        s.out.one(summary(result))
    return ExitCode.PARTLY_DONE if result.stopped or result.left else ExitCode.DONE


def _window(since: str, until: str, *, gaps: bool) -> Window:
    from soc.detect.backfill import Window
    from soc.timing import parse_when

    if gaps == bool(since or until):
        raise UsageError(
            "say from when on, or --gaps for all that was not seen", hint="soc sweep backfill RULE --since 7d"
        )
    if until and not since:
        raise UsageError("--until goes with --since", hint="--since beginning --until 2026-03-02")
    begin = None if gaps or since == "beginning" else parse_when(since)
    if begin and begin > datetime.now(UTC):
        raise UsageError(
            f"--since {since} is in the future: there is nothing to fill in yet",
            hint="--since beginning, 7d, 2026-03-02",
        )
    end = parse_when(until) if until else None
    if begin and end and begin >= end:
        raise UsageError("--since is not before --until: no event lies between them")
    return Window(begin, end)


def _existing(folders: list[Path]) -> list[Path]:
    for folder in folders:
        if not folder.exists():
            raise UsageError("there is no such folder or file of rules", place=folder, hint="soc rule new")
    return folders


def _start(s: Session, job: SweepJob, begin: str, *, yes: bool) -> tuple[Start | None, int | None]:
    """Where to begin, after saying what that means, and how many events there are to read (None: unknown)."""
    from soc.cli.sweep_report import forecast
    from soc.detect.sweep import Start
    from soc.detect.sweep_job import ASK_ALERTS, ASK_EVENTS
    from soc.timing import parse_when

    if not begin:
        return None, None
    start = Start(None if begin == "beginning" else parse_when(begin))
    if start.since and start.since > datetime.now(UTC):
        raise UsageError(
            f"--from {begin} is in the future: nothing would ever be swept",
            hint="--from beginning, 7d, 2026-03-02; without --from a sweep takes up what is new",
        )
    expected = job.estimate(start)
    s.say(forecast(expected))
    if expected.events > ASK_EVENTS or expected.expected_alerts > ASK_ALERTS:
        s.confirm("Sweep them?", yes=yes)
    return start, expected.events


def _store(s: Session) -> Store:
    """The store to sweep. One that had to be made is told of.

    A mistyped --store must not look like a quiet night.
    """
    from soc.errors import StoreUnavailableError

    try:
        return s.store(create=False)
    except StoreUnavailableError:
        if s.config.store.is_elastic:
            raise
    store = s.store()
    s.say(f"there was no store at {store.name}; a new one was made, and is empty: soc collect run fills it")
    return store


def _report(s: Session, job: SweepJob, result: SweepResult) -> None:
    from soc.cli.sweep_report import remarks, summary

    _remember(s, result)
    if s.out.is_table and s.fields is None:
        s.say(remarks(job, result, dry_run=job.dry_run))
    else:
        s.out.one(summary(result))


def _remember(s: Session, result: SweepResult) -> None:
    from soc.cli import completion

    if result.alerts.opened:
        opened = s.store().read_many("alert", result.alerts.opened[: completion.KEPT])
        found = [(d.id, f"{d.body['level']} {d.body['title']}") for d in opened.values()]
        completion.remember("alert", found)


@contextlib.contextmanager
def _progress(s: Session, total: int | None) -> Iterator[Callable[[int], None]]:
    if not s.decorated:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("sweeping"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("sweep", total=total)
        yield lambda done: bar.advance(task, done)


def _interval(every: str) -> float:
    from soc.timing import parse_duration

    seconds = parse_duration(every).total_seconds()
    if seconds < 1:
        raise UsageError("--every is at least 1s")
    return seconds


def _again_and_again(s: Session, job: SweepJob, start: Start | None, seconds: float) -> int:
    from soc.cli.signals import stop_requests
    from soc.cli.sweep_report import line, remarks, summary, undecidable
    from soc.detect.sweep import keep_sweeping

    if s.out.format == "json":
        s.out.format = "jsonl"  # a line for each sweep, since there is no end

    starts = [start]

    def turn() -> None:
        job.refresh()
        result = job.run(starts[0], stop=lambda: stopping.asked, patience=0)
        starts[0] = None
        _remember(s, result)
        if not s.out.is_table:
            s.out.one(summary(result))
            sys.stdout.flush()
        elif result.skipped:
            s.say(remarks(job, result, dry_run=job.dry_run))
        elif result.events or result.notes:
            s.say("\n".join([line(result), *result.notes]))

    with stop_requests() as stopping:
        s.say(f"sweeping with {len(job.sweeper.rules)} rules every {seconds:g} s; Ctrl-C or SIGTERM ends it")
        for remark in undecidable(job):
            s.say(remark)
        keep_sweeping(turn, every=seconds, stop=stopping.wait, trouble=lambda error: s.say(f"error: {error}"))
    s.say("ended")
    return ExitCode.PARTLY_DONE if job.broken else ExitCode.DONE
