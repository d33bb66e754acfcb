"""`soc rule health`: how rules are doing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from soc.cli.output import Column
from soc.cli.rule import Chosen, app
from soc.cli.session import session
from soc.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soc.detect.health import Health

STYLES = {
    "blind": "magenta",
    "undecidable": "bold red",
    "undecided": "yellow",
    "noisy": "bold red",
    "switch on": "bold green",
    "fine": "green",
    "off": "dim",
}
COLUMNS = (
    Column("name", style="bold"),
    Column("health", styles=STYLES),
    Column("matched", right=True),
    Column("last"),
    Column("alerts", right=True),
    Column("false", right=True),
    Column("why", wide=True),
)
SORTS = ("health", "name", "matched", "hits_a_day", "alerts", "false_share", "last", "cost_ms", "hidden")


@app.command("health")
def health(
    rules: Chosen = None,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="From then on: 30d, 2026-03-02")
    ] = "30d",
    state: Annotated[
        list[str] | None,
        typer.Option("--health", metavar="STATE", help="Only rules in this state (repeatable)"),
    ] = None,
    sort: Annotated[
        str, typer.Option("--sort", metavar="FIELD", help="By which field, the most first")
    ] = "health",
    measure: Annotated[
        int, typer.Option("--measure", metavar="N", min=0, help="Time each rule on the last N events")
    ] = 0,
    fail_on: Annotated[
        list[str] | None,
        typer.Option("--fail-on", metavar="STATE", help="Exit code 1 when a rule is so (repeatable)"),
    ] = None,
) -> int:
    """Show how rules are doing: seen, matched, blind, undecided, noisy, silent, and what to do about it.

    From the ledger of sweeps, the alerts and how they were closed, and what exceptions have hidden. In turn:
    undecidable, blind (nothing here that it could see), undecided (an expression ran out of time), noisy,
    switch on (a shadow rule that is quiet enough), unseen, silent, fine.

    Noisy: 5 alerts a day, 200 hits a day, or half of 4 and more closed alerts false positives. Quiet enough:
    7 days of sweeps, at most 1 hit a day and 5 on the worst. Exit code 1 when no sweep has run yet, and with
    --fail-on when a rule is in one of these states (blind, noisy, undecided, undecidable, unseen).

    Examples:

      soc rule health

      soc rule health --since 7d --sort matched

      soc rule health --fail-on blind --fail-on undecided --output json

      soc rule health web_log4shell --measure 2000
    """
    from datetime import UTC, datetime

    from soc.detect import catalogue
    from soc.detect import health as work
    from soc.detect.ledger import LEDGER
    from soc.timing import parse_when

    s = session()
    _check(work.STATES, state, "--health")
    _check(work.CHECKS, fail_on, "--fail-on")
    if sort not in SORTS:
        raise UsageError(f"--sort {sort!r}: one of {', '.join(SORTS)}")
    ruleset = catalogue.ruleset_of(s.config, rules or [])
    store = s.store(create=False)
    now = datetime.now(UTC)
    found = work.health(store, ruleset, ruleset.rules, since=parse_when(since), now=now)
    if measure:
        recent = store.search(limit=measure, newest_first=True)
        work.measure(found, [stored.event for stored in recent])
    shown = _sorted([one for one in found if not state or one.state in state], sort)
    columns = [*COLUMNS[:6], Column("cost_ms", right=True), *COLUMNS[6:]] if measure else COLUMNS
    people = s.out.is_table and s.fields is None
    rows = [one.row() for one in shown]
    if people:
        rows = [{**row, "false": _share(one)} for row, one in zip(rows, shown, strict=True)]
    s.out.rows(rows, columns, empty="no rule is so" if state else "there is no rule")
    bad = work.failing(found, fail_on or ())
    if bad:
        names = ", ".join(catalogue.short_name(one.rule) for one in bad[:5])
        verb = "rule is" if len(bad) == 1 else "rules are"
        s.say(f"{len(bad)} {verb} {' or '.join(fail_on or ())}: {names}{', …' if len(bad) > 5 else ''}")
    swept = next(store.find(LEDGER, limit=1), None) is not None
    if not swept:
        s.say("no sweep has run on this store yet: soc sweep --once")
    return ExitCode.DONE if found and swept and not bad else ExitCode.FAILED


def _share(one: Health) -> str:
    return f"{one.false}/{one.closed}" if one.closed else ""


def _check(known: Sequence[str], given: list[str] | None, option: str) -> None:
    if unknown := [value for value in given or () if value not in known]:
        raise UsageError(f"{option} {unknown[0]!r}: one of {', '.join(known)}")


def _sorted(found: list[Health], name: str) -> list[Health]:
    from soc.detect.health import STATES

    if name == "health":
        return sorted(found, key=lambda one: (STATES.index(one.state), -one.matched, one.rule.title))
    if name == "name":
        return sorted(found, key=lambda one: str(one.row()["name"]))
    return sorted(found, key=lambda one: (one.row()[name] is not None, one.row()[name]), reverse=True)
