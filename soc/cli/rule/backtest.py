"""`soc rule backtest`: what rules would have found, and what that would have cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from soc.cli.output import Column
from soc.cli.rule import Chosen, app
from soc.cli.session import Session, session
from soc.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from soc.detect.backtest import Backtest
    from soc.detect.plan import Plan
    from soc.detect.ruleset import Ruleset


@app.command("backtest")
def backtest(
    rules: Chosen = None,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="From then on: 30d, 2026-03-02, beginning")
    ] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Only before then")] = "",
    plan: Annotated[
        str, typer.Option("--plan", metavar="PLAN", help="auto, stream (read everything) or candidates")
    ] = "auto",
    events: Annotated[
        list[str] | None,
        typer.Option("--events", metavar="FILE", help="Files or folders instead of the store (repeatable)"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List rules without a hit too")] = False,
) -> int:
    """Try rules on what is there: hits a day, the alerts they would have raised, and what those would cost.

    It looks at the last 30 days of the store, or with --events at the whole of files that any collector
    reads. Nothing is written. Hits become alerts as in a sweep. The minutes are those of `minutes_per_alert`
    in soc.yml, else what closed alerts took here. Exit code 1 when there was no event to look at.

    Examples:

      soc rule backtest web_log4shell

      soc rule backtest rules/portal_export_at_night.yml --since 90d

      soc rule backtest --since 7d --until 1d --output json

      soc rule backtest rules/new.yml --events /evidence
    """
    from soc.detect import catalogue
    from soc.detect.plan import plan_of

    s = session()
    chosen = plan_of(plan)
    ruleset = catalogue.ruleset_of(s.config, rules or [])
    ruleset.require_sound()
    bounds = _bounds(since or ("beginning" if events else "30d"), until)
    result = _files(s, ruleset, events, bounds) if events else _store(s, ruleset, chosen, bounds)
    _show(s, result, alone=len(result.outcomes) == 1, everything=everything)
    return ExitCode.DONE if result.events else ExitCode.FAILED


def _bounds(since: str, until: str) -> tuple[datetime | None, datetime | None]:
    from soc.timing import parse_when

    begin = None if since == "beginning" else parse_when(since)
    end = parse_when(until) if until else None
    if begin and end and begin >= end:
        raise UsageError("--since is not before --until: no event lies between them")
    return begin, end


def _store(
    s: Session, ruleset: Ruleset, plan: Plan, bounds: tuple[datetime | None, datetime | None]
) -> Backtest:
    from soc.cli.progress import bar
    from soc.detect import backtest as work

    store = s.store(create=False)
    effort = work.effort_of(store, s.config.minutes_per_alert)
    with bar(s, "events") as tick:
        return work.backtest(
            store,
            ruleset.rules,
            since=bounds[0],
            until=bounds[1],
            plan=plan,
            effort=effort,
            progress=tick,
        )


def _files(
    s: Session, ruleset: Ruleset, files: list[str], bounds: tuple[datetime | None, datetime | None]
) -> Backtest:
    from soc.cli.progress import bar
    from soc.collect.collector import collectors_for
    from soc.collect.parsing import context_of
    from soc.detect import backtest as work

    with bar(s, "files") as tick:
        return work.backtest_files(
            files,
            ruleset.rules,
            collectors_for(s.config),
            context_of(s.config.timezone, ""),
            since=bounds[0],
            until=bounds[1],
            effort=work.effort_of(None, s.config.minutes_per_alert),
            progress=tick,
        )


def _show(s: Session, result: Backtest, *, alone: bool, everything: bool) -> None:
    from soc.detect.backtest import page

    for problem in result.problems:
        s.say(str(problem))
    rows = result.rows()
    if s.out.format == "json" and s.fields is None:
        s.out.one(result.body())
    elif s.out.is_table and alone and s.fields is None:
        s.out.one(page(rows[0]))
    else:
        shown = rows if everything or not s.out.is_table else [row for row in rows if row["hits"]]
        columns = [
            Column("title", "RULE", wide=True),
            Column("level"),
            Column("hits", right=True),
            Column("alerts", right=True),
            Column("alerts_per_day", "A DAY", right=True),
            Column("minutes", right=True),
            Column("undecided", right=True),
            Column("blind", wide=True),
        ]
        s.out.rows(shown, columns, empty="no rule found anything")
    for remark in result.remarks():
        s.say(remark)
