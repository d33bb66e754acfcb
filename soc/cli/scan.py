"""`soc scan`: match Sigma rules against files, without a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soc.cli.app import verb
from soc.cli.output import Column
from soc.cli.progress import bar
from soc.cli.session import Session, session
from soc.errors import ContentError

if TYPE_CHECKING:
    from soc.detect.correlate.offline import Correlated, Offline
    from soc.detect.scan import Hit, Input, Scanner

app = verb()

COLUMNS = (
    Column("level"),
    Column("hits", right=True),
    Column("rule", wide=True),
    Column("path", wide=True),
    Column("first"),
    Column("last"),
)
CSV_COLUMNS = ("level", "rule", "path", "record", "@timestamp", "rule.id", "event")


@app.command()
def scan(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE…", help="Files or folders; - for standard input")
    ],
    rules: Annotated[
        list[Path] | None,
        typer.Option("--rules", metavar="DIR", help="Rules instead of the shipped and your own"),
    ] = None,
    level: Annotated[
        str, typer.Option("--level", metavar="LEVEL", help="Only rules of this level or above")
    ] = "",
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="Zone of times without one")
    ] = "",
    now: Annotated[
        str, typer.Option("--now", metavar="TIME", help="Decides the year of times without one")
    ] = "",
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="Processes; 0: as many as are worthwhile")] = 0,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Leave broken rules and files out")
    ] = False,
) -> int:
    """Match Sigma rules against files, without a store.

    Windows event logs (EVTX), JSON lines and everything that a collector
    reads are recognised by content. json and jsonl give one object for each
    rule and event, csv a row, in UTC; a table counts them by rule and file.
    Correlations are evaluated over all files together: one object, with the
    key correlation, for each burst of events that belong together.

    A broken rule or a missing file stops the scan before it begins, unless
    --keep-going leaves it out (exit code 5). Rules that cannot be decided,
    and records that cannot be read, are named on standard error.

    Examples:

    soc scan Security.evtx Sysmon.evtx

    soc scan /evidence --rules ~/sigma/rules --level high --output jsonl

    zcat access.log.gz | soc scan - --output csv
    """
    from soc.collect.collector import collectors_for
    from soc.collect.parsing import context_of
    from soc.detect import scan as work
    from soc.detect.correlate.offline import Offline
    from soc.detect.matcher import Matcher
    from soc.detect.pauses import settle

    s = session()
    context = context_of(timezone or s.config.timezone, now)
    collectors = collectors_for(s.config)
    sources, problems = work.inputs(files)
    with bar(s, "Compiling rules") as tick:
        ruleset = work.rules_for(s.config, rules, level, tick)
    problems = [*ruleset.errors, *problems]
    if problems and not keep_going:
        raise ContentError(problems, hint="correct this, or leave it out with --keep-going")
    offline = Offline(ruleset.rules)
    scanner = work.Scanner(Matcher(work.alone(offline.rules)), collectors, context)
    settle()
    hits = _scanned(s, scanner, sources, jobs, offline)
    if s.out.is_table:
        _show_summary(s, hits)
    elif s.out.format == "csv":
        s.out.rows((hit.flat() for hit in hits), CSV_COLUMNS, empty="")
    else:
        s.out.rows((hit.row() for hit in hits), [], empty="")
    problems += scanner.tally.problems
    for problem in problems:
        s.say(str(problem))
    for remark in work.remarks(ruleset, scanner.tally):
        s.say(remark)
    return work.exit_code(scanner.tally, problems)


def _show_summary(s: Session, hits: Iterator[Hit | Correlated]) -> None:
    from soc.cli.times import brief, say_zone
    from soc.detect.scan import Summary

    summary = Summary()
    for hit in hits:
        summary.add(hit)
    rows = summary.rows()
    times = [row[name] for row in rows for name in ("first", "last")]
    shown = [{**row, **{name: brief(str(row[name] or "")) for name in ("first", "last")}} for row in rows]
    s.out.rows(shown, COLUMNS, empty="no rule fired")
    say_zone(s, times)


def _scanned(
    s: Session, scanner: Scanner, sources: list[Input], jobs: int, offline: Offline
) -> Iterator[Hit | Correlated]:
    from soc.detect.parallel import scan_all

    with bar(s, "Scanning") as tick:
        yield from offline.through(scan_all(scanner, sources, jobs, tick))
        yield from offline.bursts(scanner.tally.newest)
