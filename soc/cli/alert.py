"""`soc alert`: triage alerts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soc.cli.app import noun
from soc.cli.completion import ids_of, words
from soc.cli.output import Column
from soc.cli.session import Session, session
from soc.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soc.respond.alerts import AlertView, Change

app = noun("Triage alerts")

REASON_WORDS = ("true-positive", "false-positive", "benign", "duplicate", "exercise", "undetermined")

Ids = Annotated[
    list[str],
    typer.Argument(
        metavar="ID…",
        help="Ids or unique prefixes; - reads them from standard input",
        autocompletion=ids_of("alert"),
    ),
]
IdsThen = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID…",
        help="Ids or unique prefixes; - reads them from standard input",
        autocompletion=ids_of("alert"),
    ),
]
"""As `Ids`, before an argument of another kind: what is missing is then said by `_both`."""
Query = Annotated[
    list[str] | None,
    typer.Argument(metavar="[QUERY]", help="A query, as in soc search: level:high host.name:web01"),
]
Level = Annotated[
    str,
    typer.Option(
        "--level",
        metavar="A,B",
        help="critical, high, medium, low, informational",
        autocompletion=words("critical", "high", "medium", "low", "informational"),
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, write nothing")]
Expect = Annotated[
    int | None,
    typer.Option(
        "--expect", metavar="VERSION", help="Only if the alert is still at this version (soc alert show)"
    ),
]
Behalf = Annotated[
    str,
    typer.Option(
        "--on-behalf-of", metavar="NAME", help="Who asked for it, such as on the phone; kept in the log"
    ),
]

TABLE_ROWS = 50
"""Alerts in a table, unless --limit says otherwise; how many more there are is said."""

COLUMNS = [
    Column("id", style="bold"),
    Column("level"),
    Column("status", styles={"acknowledged": "green", "ack": "green", "closed": "dim"}),
    Column("owner"),
    Column("title", wide=True),
    Column("entity", wide=True),
    Column("count", "HITS", right=True),
    Column("last", "LAST HIT"),
]


@app.command("list")
def list_(
    query: Query = None,
    status: Annotated[
        str,
        typer.Option(
            "--status",
            metavar="A,B",
            help="open, acknowledged, closed, or all; without it, all that are not closed",
            autocompletion=words("open", "acknowledged", "closed", "all"),
        ),
    ] = "",
    level: Level = "",
    owner: Annotated[str, typer.Option("--owner", metavar="USER", help="Whose; none: nobody's")] = "",
    mine: Annotated[bool, typer.Option("--mine", help="My own")] = False,
    rule: Annotated[
        str, typer.Option("--rule", metavar="TEXT", help="Id of the rule, or part of its title")
    ] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="With a hit since: 24h, 2026-03-02")
    ] = "",
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", help="At most so many, 0 for all; a table shows 50", min=0),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing, as alerts come and change")] = False,
    interval: Annotated[
        str, typer.Option("--interval", metavar="TIME", help="How often --watch looks")
    ] = "2s",
) -> None:
    """List alerts, the most severe first, of equal severity the oldest first; closed ones are left out.

    A query may name every field of an alert (--fields '' lists them) and of its entity. --watch redraws on
    a terminal; elsewhere it writes each alert again when it changes. Ctrl-C ends it.

    Examples:

    soc alert list

    soc alert list level:critical or soc.system_level:5

    soc alert list --mine --watch

    soc alert list --rule "Port scan" --fields id --output csv | soc alert close - --reason benign
    """
    from soc.respond import alerts
    from soc.timing import parse_when

    s = session()
    store = s.store(create=False)
    if mine and owner:
        raise UsageError("--mine and --owner: one of them")
    where = alerts.wanted(
        " ".join(query or ()),
        status=status,
        level=level,
        owner=store.whoami() if mine else owner,
        rule=rule,
        since=parse_when(since) if since else None,
    )

    def look() -> Sequence[AlertView]:
        return alerts.list_alerts(store, where)[: limit or None]

    if watch:
        from soc.cli.alert_watch import follow

        follow(s, look, COLUMNS, interval)
        return
    found = look()
    shown = found[:TABLE_ROWS] if s.out.is_table and limit is None else found
    _remember(s, shown)
    _show_rows(s, shown)
    if len(shown) < len(found):
        s.say(f"{len(found) - len(shown):,} more alerts; --limit 0 shows all, a query narrows them down")


@app.command("show")
def show(alert: Ids) -> None:
    """Show alerts: what, where, when and why, the events behind them, their history, and what to do next.

    json gives one object for one alert, a list for several.

    Examples:

    soc alert show A-7F3K

    soc alert show 7f3 --output json

    soc alert list level:critical --fields id --output csv | soc alert show -
    """
    from soc.cli.idlist import expand
    from soc.respond import alerts

    s = session()
    store = s.store(create=False)
    views = [alerts.get(store, id_) for id_ in expand(alert)]
    if len(views) > 1 and not _is_page(s):
        _remember(s, views)
        s.out.rows((_full(s, view) for view in views), ["id", "level", "status", "title"])
        return
    for number, view in enumerate(views):
        if number:
            s.out.write("")
        _show(s, view)


@app.command("next")
def next_(query: Query = None, level: Level = "") -> int:
    """Show the most urgent alert that nobody works on, of all or of those that a query asks for.

    Examples:

    soc alert next

    soc alert next --level critical,high soc.system_level:5
    """
    from soc.respond import alerts

    s = session()
    where = alerts.wanted(" ".join(query or ()), status="open", owner="none", level=level)
    found = alerts.list_alerts(s.store(create=False), where, limit=1)
    if not found:
        s.say("no open alert without an owner" + (" among these" if query or level else ""))
        return ExitCode.DONE
    _show(s, found[0])
    return ExitCode.DONE


@app.command("ack")
def ack(alert: Ids, expect: Expect = None, on_behalf_of: Behalf = "", dry_run: DryRun = False) -> int:
    """Acknowledge alerts: say that you have seen them and work on them.

    An alert that has no owner becomes yours.

    Examples:

    soc alert ack A-7F3K

    soc alert list level:low --fields id --output csv | soc alert ack -
    """
    from soc.respond import alerts

    s = session()
    change = alerts.ack(s.store(create=False).whoami())
    return _change(s, alert, change, expect=expect, on_behalf_of=on_behalf_of, dry_run=dry_run)


@app.command("assign")
def assign(
    alert: IdsThen = None,
    user: Annotated[str, typer.Argument(metavar="USER|me|none", help="Who is to work on it")] = "",
    expect: Expect = None,
    on_behalf_of: Behalf = "",
    dry_run: DryRun = False,
) -> int:
    """Give alerts to somebody, take them yourself (me), or give them back (none).

    Examples:

    soc alert assign A-7F3K me

    soc alert assign A-7F3K A-Q2M0 huong
    """
    from soc.respond import alerts

    s = session()
    given, user = _both(alert, user, "USER", f"soc alert assign {_first(alert, user)} me")
    change = alerts.assign(s.store(create=False).whoami() if user == "me" else user)
    return _change(s, given, change, expect=expect, on_behalf_of=on_behalf_of, dry_run=dry_run)


@app.command("note")
def note(
    alert: IdsThen = None,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to write down")] = "",
    expect: Expect = None,
    on_behalf_of: Behalf = "",
    dry_run: DryRun = False,
) -> int:
    """Write a note on alerts.

    Examples:

    soc alert note A-7F3K "Owner of web01 says: a restore test, until noon"
    """
    from soc.respond import alerts

    given, text = _both(alert, text, "TEXT", f'soc alert note {_first(alert, text)} "…"')
    change = alerts.note(text)
    return _change(session(), given, change, expect=expect, on_behalf_of=on_behalf_of, dry_run=dry_run)


@app.command("close")
def close(
    alert: Ids,
    reason: Annotated[
        str,
        typer.Option(
            "--reason", metavar="WORD", help=", ".join(REASON_WORDS), autocompletion=words(*REASON_WORDS)
        ),
    ] = "",
    text: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why; needed for false-positive")] = "",
    expect: Expect = None,
    on_behalf_of: Behalf = "",
    dry_run: DryRun = False,
) -> int:
    """Close alerts for a reason.

    Further hits in its window are counted on a closed alert and shown there; the first hit after it opens a
    new alert, which says how this one was closed.

    Examples:

    soc alert close A-7F3K --reason true-positive --note "Account locked, see R-0QW2"

    soc alert close A-7F3K A-Q2M0 --reason false-positive --note "Backup job of db02"
    """
    from soc.cli.alert_prompts import closing
    from soc.respond import alerts

    s = session()
    wanted = alerts.versions_now(s.store(create=False), alert) if s.interactive and "-" not in alert else {}
    reason, text = closing(s, reason, text)
    change = alerts.close(reason, text)
    return _change(
        s, alert, change, expect=expect, on_behalf_of=on_behalf_of, dry_run=dry_run, read_before=wanted
    )


@app.command("reopen")
def reopen(
    alert: Ids,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in a sentence")],
    expect: Expect = None,
    on_behalf_of: Behalf = "",
    dry_run: DryRun = False,
) -> int:
    """Open closed alerts again.

    Examples:

    soc alert reopen A-7F3K --reason "The account was used again this morning"
    """
    from soc.respond import alerts

    change = alerts.reopen(reason)
    return _change(session(), alert, change, expect=expect, on_behalf_of=on_behalf_of, dry_run=dry_run)


def _both(alert: list[str] | None, last: str, what: str, example: str) -> tuple[list[str], str]:
    """Ids, and the argument after them. Raises `UsageError` that says which of the two is missing."""
    from soc.respond import alerts, ids

    if alert and last:
        return alert, last
    only = (alert or [last])[0]
    try:
        ids.normal(alerts.LETTER, only)
        is_id = only == "-" or only.upper().startswith(f"{alerts.LETTER}-") or any(map(str.isdigit, only))
    except UsageError:
        is_id = only == "-"
    if only and not is_id:
        raise UsageError("which alert? ID is missing", hint=example)
    raise UsageError(f"{what} is missing" if only else f"ID and {what} are missing", hint=example)


def _first(alert: list[str] | None, last: str) -> str:
    """The id for an example: the one that was given, if any."""
    given = [word for word in (*(alert or ()), last) if word.upper().startswith("A-")]
    return given[0] if given else "A-7F3K"


def _change(
    s: Session,
    given: Sequence[str],
    change: Change,
    *,
    expect: int | None,
    on_behalf_of: str,
    dry_run: bool,
    read_before: dict[str, int] | None = None,
) -> int:
    from soc.cli import seen
    from soc.cli.alert_results import report
    from soc.cli.idlist import expand
    from soc.respond import alerts

    store = s.store(create=False)
    wanted = expand(given)
    if expect is not None and len(wanted) != 1:
        raise UsageError("--expect goes with one alert", hint="a version belongs to one alert")
    known: dict[str, int] = {}
    if expect is not None:
        known = {alerts.resolve(store, wanted[0]): expect}
    elif s.interactive and not change.commutes:
        known = {**(read_before or {}), **seen.versions("alert", _place(s), alerts.known(store, wanted))}
    results = alerts.apply(store, wanted, change, expect=known, dry_run=dry_run, on_behalf_of=on_behalf_of)
    if not dry_run:
        _remember(s, [r.view for r in results if r.view])
    return report(s, results, change, dry_run=dry_run)


def _show(s: Session, view: AlertView) -> None:
    from soc.detect.exceptions.since import described, exceptions_since
    from soc.respond import alerts

    _remember(s, [view])
    if _is_page(s):
        from soc.cli.alert_page import page

        events = alerts.events_of(s.store(create=False), view)
        now = datetime.now(UTC)
        later = [described(one, now) for one in exceptions_since(s.config.rules, view)]
        s.out.markup(page(view, events, exceptions=later, zone_note=True))
    else:
        s.out.one(_full(s, view))


def _is_page(s: Session) -> bool:
    return s.out.is_table and s.fields is None


def _full(s: Session, view: AlertView) -> dict[str, Any]:
    from soc.detect.exceptions.since import exceptions_since
    from soc.respond import alerts

    events = alerts.events_of(s.store(create=False), view)
    later = [one.row() for one in exceptions_since(s.config.rules, view)]
    return {
        **view.full(),
        "exceptions_since": later,
        "events": [{"id": e.id, "event": e.event} for e in events],
    }


def _show_rows(s: Session, found: Sequence[AlertView]) -> None:
    from soc.cli.alert_page import columns_for, shown_row
    from soc.cli.times import say_zone

    people = s.out.is_table and s.fields is None
    rows = [shown_row(view) if s.out.is_table else view.row for view in found]
    s.out.rows(
        rows,
        columns_for(COLUMNS, found) if people else COLUMNS,
        empty="no alert (soc alert list --status all shows closed ones too)",
    )
    say_zone(s, [view.row["last"] for view in found])


def _remember(s: Session, views: Sequence[AlertView]) -> None:
    """Keep what was shown: for shell completion, and to notice later what a colleague changed since."""
    from soc.cli import completion, seen

    completion.remember(
        "alert", [(v.id, f"{v.level} {v.status} {v.title}") for v in views[: completion.KEPT]]
    )
    if s.interactive or s.out.is_table:
        seen.remember("alert", _place(s), {v.id: v.version for v in views[: seen.KEPT]})


def _place(s: Session) -> str:
    """One space of one store: each has alerts of its own."""
    return f"{s.config.store.target}\0{s.config.store.space}"
