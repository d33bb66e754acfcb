"""`soc rule check`: the one command for CI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soc.cli.rule import app
from soc.cli.session import session
from soc.errors import ExitCode


@app.command("check")
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]…", help="Folders or files of rules; your own when none is named"),
    ] = None,
    since: Annotated[
        str,
        typer.Option("--changed-since", metavar="REF", help="Only what differs from this commit or branch"),
    ] = "",
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML too")
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option("--events", metavar="FILE", help="Match the rules against these events (repeatable)"),
    ] = None,
    most_hits: Annotated[
        int | None,
        typer.Option("--max-hits", metavar="N", min=0, help="Fail a rule with more hits than this in them"),
    ] = None,
    require_changes: Annotated[
        bool, typer.Option("--require-changes", help="Fail when nothing changed")
    ] = False,
) -> int:
    """Check rules for CI: lint, samples, and a backtest over recorded events. Needs no store.

    With --changed-since, what git says has changed since this branch left REF decides which rules are looked
    at: rules and their samples, a pipeline (every rule that it maps), selection and overrides (every rule
    that a changed entry means), exceptions, collectors, and correlations over such rules. Imported rules that
    did not change are one line. Exit code 0: all is well, or nothing changed, and it says which; 1: a check
    failed, or nothing could be checked; 2: no git repository, or no such commit. What failed is shown; with
    -v, and in the other formats, everything.

    Examples:

      soc rule check

      soc rule check --changed-since origin/main --junit report.xml

      soc rule check rules --changed-since HEAD~1 --events events/ --max-hits 50
    """
    from soc.cli.progress import bar
    from soc.detect.releases import check as work
    from soc.detect.releases import junit as xml
    from soc.errors import UsageError

    s = session()
    if most_hits is not None and not events:
        raise UsageError("--max-hits counts hits in --events, and there are none")
    with bar(s, "checking") as tick:
        report = work.check(
            s.config,
            paths or [],
            since=since,
            events=events or [],
            most_hits=most_hits,
            progress=lambda _what, done, total: tick(done, total),
        )
    if junit:
        xml.write(junit, "soc rule check", report.cases)
    if s.out.is_table and s.fields is None:
        for line in report.lines(everything=bool(s.verbose)):
            s.out.write(line)
    else:
        s.out.rows(report.rows(everything=True), ["check", "rule", "result", "message", "place"], empty="")
    for line in report.summary():
        s.say(line)
    if report.nothing:
        return ExitCode.FAILED if require_changes else ExitCode.DONE
    return ExitCode.FAILED if report.failed or not report.checked else ExitCode.DONE
