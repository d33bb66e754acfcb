"""`soc exception`: Sigma filters with an owner and an expiry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soc.cli.app import noun
from soc.cli.completion import exception_names, ids_of, names_of, words
from soc.cli.session import Session, session
from soc.errors import ExitCode, StoreUnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soc.detect.exceptions.actions import Renewal
    from soc.detect.ruleset import Ruleset

app = noun("Exceptions: what a rule is not to alert about, until when, and who says so")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, write nothing")]
Which = Annotated[
    str,
    typer.Argument(metavar="NAME|ID", help="A beginning of the id is enough", autocompletion=exception_names),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in a sentence; needed")]


@app.command("add")
def add(
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            metavar="ID|NAME",
            help="Whose hits to hide (repeatable)",
            autocompletion=names_of("rule"),
        ),
    ] = None,
    alert: Annotated[
        str,
        typer.Option(
            "--alert",
            metavar="ID",
            help="The alert that it is about: its rule, and its values to choose from",
            autocompletion=ids_of("alert"),
        ),
    ] = "",
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="FIELD=VALUE|QUERY",
            help="What to hide: a field and its exact value, FIELD|contains=VALUE, or a query (repeatable: "
            "all must hold)",
        ),
    ] = None,
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="How long it holds: 30d, 12h, 2026-12-31; needed")
    ] = "",
    reason: Reason = "",
    owner: Annotated[
        str, typer.Option("--owner", metavar="USER", help="Who answers for it; else yourself")
    ] = "",
    ticket: Annotated[str, typer.Option("--ticket", metavar="TEXT", help="Where it was decided")] = "",
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Name of its file; else made from rule and value")
    ] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="From when on to look what it would have hidden")
    ] = "30d",
    close_matching: Annotated[
        bool, typer.Option("--close-matching", help="Close the open alerts that it covers wholly")
    ] = False,
    close_as: Annotated[
        str,
        typer.Option(
            "--close-as",
            metavar="WORD",
            help="What --close-matching closes them as: benign, false-positive",
            autocompletion=words("benign", "false-positive"),
        ),
    ] = "benign",
    yes: Annotated[
        bool, typer.Option("--yes", help="Save without asking, also if it hides true positives")
    ] = False,
    dry_run: DryRun = False,
) -> int:
    """Hide hits of rules until a date, as a Sigma filter in your content folder.

    Before anything is saved you see which hits of the last 30 days it would have hidden, on which alerts, and
    which of these were closed as true positive; those it hides only with --yes. Each hit that it hides from
    then on is counted (soc exception list). At its expiry new events alert again; what it hid stays hidden.

    VALUE means exactly itself, whatever signs are in it; in a query, * and ? are wildcards. With --alert and
    without --where, what the alert's events have in common is offered. --close-matching closes open alerts of
    which every hit is covered, and says of the others what is not.

    Examples:

    soc exception add --alert A-7F3K

    soc exception add --rule web_log4shell --where 'source.ip=192.0.2.10' --expires 30d --reason "Own scanner"

    soc exception add --rule web_log4shell --where 'url.path|startswith=/health' --where host.name=web01
    --expires 2026-12-31 --reason "Monitoring" --ticket T-17 --close-matching

    soc exception add --rule 5f1e --where 'user.name:(backup or restore)' --expires 12h --reason "Test"
    --dry-run
    """
    from soc.cli.exception_steps import agree, choose, prepare, save, warn
    from soc.detect.exceptions.actions import CLOSE_AS
    from soc.detect.exceptions.draft import expiry, sentence
    from soc.detect.exceptions.files import folder_of, free
    from soc.timing import parse_when

    s = session()
    now = datetime.now(UTC)
    if bool(rule) == bool(alert):
        raise UsageError("say --rule or --alert, one of them", hint="soc exception add --help")
    if close_as not in CLOSE_AS:
        raise UsageError(f"--close-as {close_as!r}: one of {', '.join(CLOSE_AS)} is expected")
    first = parse_when(since, now)
    if alert and not where:
        where = choose(s, alert, ready=bool(expires and reason))
    if not expires:
        raise UsageError("--expires is missing", hint="--expires 30d: every exception ends")
    until, why = expiry(expires, now), sentence(reason, "--reason")
    folder = folder_of(s.config)
    draft, reviews = prepare(
        s, rule or [], alert, where or [], now, since=first, expires=until, reason=why,
        owner=owner.strip(), ticket=ticket.strip(), name=name,
    )  # fmt: skip
    doubts = warn(s, draft, reviews, alert)
    agree(s, reviews, free(folder, draft.name), yes=yes, dry_run=dry_run)
    return save(s, draft, reviews, doubts, folder, close_as if close_matching else "", dry_run=dry_run)


@app.command("list")
def list_(
    expiring: Annotated[
        str, typer.Option("--expiring", metavar="TIME", help="Only those that expire within: 14d")
    ] = "",
    expired: Annotated[bool, typer.Option("--expired", help="Only those that have expired")] = False,
    unused: Annotated[bool, typer.Option("--unused", help="Only those that have hidden nothing")] = False,
    rule: Annotated[
        str,
        typer.Option(
            "--rule", metavar="ID|NAME", help="Only those of this rule", autocompletion=names_of("rule")
        ),
    ] = "",
) -> int:
    """List exceptions: until when they hold, who answers for them, and how many hits they have hidden.

    HIDDEN counts the hits that sweeps have met and an exception has hidden, each once, also after its expiry.
    An exception that has never hidden anything may be one that nobody needs, or one with a mistake in it.

    Examples:

    soc exception list

    soc exception list --expiring 14d

    soc exception list --unused --fields name,owner,reason --output csv
    """
    from soc.cli import exception_report as report
    from soc.cli.exception_steps import loaded
    from soc.cli.times import say_zone
    from soc.detect.exceptions.usage import row, usage
    from soc.timing import parse_duration

    s = session()
    now = datetime.now(UTC)
    within = now + parse_duration(expiring) if expiring else None
    ruleset = loaded(s)
    used = _used(s, usage)
    found = [
        one
        for one in ruleset.exemptions
        if (within is None or (one.expires is not None and now < one.expires <= within))
        and (not expired or one.state(now) == "expired")
        and (not unused or not (one.id in used and used[one.id].hidden))
        and (not rule or _is_of(ruleset, one, rule))
    ]
    _remember(s, [one.path for one in found])
    found.sort(key=lambda one: (one.expires or datetime.max.replace(tzinfo=UTC), one.name))
    rows = [row(one, used, now) for one in found]
    titles = {r.id: r.title for r in ruleset.rules}
    people = s.out.is_table and s.out.fields is None
    s.out.rows(
        report.list_rows(rows, titles, people=people),
        report.LIST,
        empty="no exception" + (" like that" if expiring or expired or unused or rule else ""),
    )
    if s.out.is_table:
        if rows:
            s.say(report.totals(rows))
        say_zone(s, [r["expires"] for r in rows if r["expires"]])
    return ExitCode.DONE


_FILES = "files"
"""What versions of exceptions are kept under, in `soc.cli.seen`: they are files, whatever the store is."""


def _remember(s: Session, paths: Sequence[str]) -> None:
    """Keep what was shown, to notice later what a colleague changed since."""
    from pathlib import Path

    from soc.cli import seen
    from soc.detect.exceptions.files import version

    if s.interactive or s.out.is_table:
        seen.remember("exception", _FILES, {path: version(Path(path)) for path in paths})


def _used(s: Session, usage: Any) -> Any:
    """What exceptions have hidden; nothing where there is no store yet."""
    try:
        return usage(s.store(create=False))
    except StoreUnavailableError as error:
        if s.config.store.is_elastic:
            raise
        s.say(f"nothing is counted: {error.message}")
        return {}


def _is_of(ruleset: Ruleset, one: Any, wanted: str) -> bool:
    from soc.detect import catalogue

    try:
        return catalogue.find(ruleset.rules, wanted).id in one.applies
    except UsageError:
        if wanted.lower() in (one.rules or ()):
            return True  # a rule that is gone
        if not any(wanted.lower() in (other.rules or ()) for other in ruleset.exemptions):
            raise
        return False


@app.command("show")
def show(exception: Which) -> None:
    """Show one exception: what it hides, until when, why, who said so, and what it has hidden, by day.

    `late` counts hits that came after the expiry and say that they happened before it: logs that came late,
    or a clock that was set back.

    Examples:

    soc exception show web_log4shell-192-0-2-10

    soc exception show 3f2a --output json
    """
    from soc.cli import exception_report as report
    from soc.cli.exception_steps import loaded
    from soc.detect.exceptions.actions import find
    from soc.detect.exceptions.usage import Usage, usage

    s = session()
    ruleset = loaded(s)
    one = find(ruleset.exemptions, exception)
    _remember(s, [one.path])
    seen = _used(s, usage).get(one.id, Usage())
    titles = {rule.id: rule.title for rule in ruleset.rules}
    people = s.out.is_table and s.out.fields is None
    s.out.one(report.details(one, seen, titles, datetime.now(UTC), people=people))


@app.command("extend")
def extend(
    exception: Which,
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="How long it holds from now on: 30d, 2026-12-31")
    ] = "",
    reason: Reason = "",
    dry_run: DryRun = False,
) -> int:
    """Let an exception hold for longer. Who did it, when and why is kept in its file and in the audit log.

    Examples:

    soc exception extend web_log4shell-192-0-2-10 --expires 30d --reason "The scanner stays until June"
    """
    from soc.cli.exception_steps import loaded
    from soc.detect.exceptions import actions
    from soc.detect.exceptions.draft import expiry

    s = session()
    now = datetime.now(UTC)
    if not expires:
        raise UsageError("--expires is missing", hint="--expires 30d: from now on, or a date")
    one = actions.find(loaded(s).exemptions, exception)
    return _renew(s, actions.extend(one, expiry(expires, now), reason), now, dry_run=dry_run)


@app.command("end")
def end(exception: Which, reason: Reason = "", dry_run: DryRun = False) -> int:
    """End an exception now: new events alert again, what it hid stays hidden.

    Its file stays, with who ended it and why.

    Examples:

    soc exception end web_log4shell-192-0-2-10 --reason "The scanner was removed"
    """
    from soc.cli.exception_steps import loaded
    from soc.detect.exceptions import actions

    s = session()
    now = datetime.now(UTC)
    one = actions.find(loaded(s).exemptions, exception)
    return _renew(s, actions.end(one, reason, now), now, dry_run=dry_run)


def _renew(s: Session, renewal: Renewal, now: datetime, *, dry_run: bool) -> int:
    from soc.cli import seen
    from soc.cli.exception_steps import taken_up
    from soc.detect.exceptions import actions
    from soc.event import timestamp
    from soc.timing import local

    one = renewal.exemption
    if s.interactive:
        actions.unchanged_since(one, seen.versions("exception", _FILES, [one.path]))
    if not dry_run:
        actions.renew(s.store(create=False), renewal, now)
        _remember(s, [one.path])
    after = timestamp(renewal.after)
    if s.out.is_table and s.out.fields is None:
        did = {"extend": "holds until", "end": "ended at"}[renewal.action]
        would = "dry run: " if dry_run else ""
        s.out.write(f"{would}{one.name} {did} {local(after)} ({one.path})")
    else:
        before = timestamp(renewal.before) if renewal.before else None
        s.out.one(
            {
                "id": one.id,
                "name": one.name,
                "from": before,
                "expires": after,
                "path": one.path,
                "saved": not dry_run,
            }
        )
    if not dry_run:
        s.say(taken_up(s))
    if renewal.action == "extend" and renewal.before and renewal.before <= now:
        s.say(f"it had expired at {local(timestamp(renewal.before))}; what has alerted since stays an alert")
    return ExitCode.DONE
