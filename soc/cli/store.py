"""`soc store`: set up, look at and prune the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from soc.cli.app import noun
from soc.cli.output import Column
from soc.cli.session import session

if TYPE_CHECKING:
    from soc.store.upkeep import Cut

app = noun("Set up, look at and prune the store")


@app.command("init")
def init(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be made; nothing is changed")
    ] = False,
) -> None:
    """Make what the store needs: a folder and a database, or templates, indices and roles of Elasticsearch.

    What is there already stays; nothing outside of soc-* is touched. The
    JSON output has the whole content of each template, pipeline and role,
    for an administrator to read or to create by hand.

    Examples:

    soc store init --dry-run

    soc store init --store https://search.example:9200 --dry-run --output json
    """
    from soc.store.upkeep import planned_rows

    s = session()
    planned = s.store().init(dry_run=dry_run)
    columns = [Column("kind"), Column("name", style="bold"), Column("state"), Column("note", wide=True)]
    s.out.rows(planned_rows(planned, dry_run=dry_run), columns)
    if dry_run and s.out.is_table:
        s.say("nothing was changed; whole contents: soc store init --dry-run --output json")


@app.command("status")
def status() -> None:
    """Show what the store holds: events, their times and size, documents, and what needs attention.

    Examples:

    soc store status

    soc store status --store https://search.example:9200 --output json
    """
    from soc.store.upkeep import status_row

    s = session()
    found = s.store(create=False).status()
    row = status_row(found)
    if s.out.is_table:
        del row["detail"], row["warnings"]
    s.out.one(row)
    for warning in found.warnings:
        s.say(f"warning: {warning}")


@app.command("prune")
def prune(
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than",
            metavar="TIME",
            help="Remove events of every class before this: 90d, 2026-01-01; else retention: of soc.yml",
        ),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
) -> None:
    """Remove old events for good. Alerts, cases and the audit log stay, with the events they hold.

    Each retention class has its days in `retention:` of soc.yml (standard: 365 where nothing is said); a
    source names the class of its events. With --older-than, the classes do not count.

    On Elasticsearch whole indices are deleted, so the events of a month go together; those that are older
    but share an index with younger ones are counted as kept. The audit log says who removed what.

    Examples:

      soc store prune --dry-run

      soc store prune --yes

      soc store prune --older-than 2026-01-01 --yes
    """
    from soc.store import upkeep
    from soc.timing import parse_when

    s = session()
    columns = [
        Column("name", style="bold", wide=True),
        Column("class"),
        Column("before"),
        Column("events", right=True),
        Column("kept", right=True),
        Column("bytes", right=True),
    ]
    moment = parse_when(older_than) if older_than else None
    store = s.store(create=False)
    cuts = upkeep.plan(store, moment) if moment else upkeep.plan_retention(store, s.config, datetime.now(UTC))
    if not moment:
        for name in upkeep.kept_for_ever(s.config):
            s.say(f"class {name} of a source has no days in retention: of soc.yml; its events are kept")
    count = sum(cut.events for cut in cuts)
    if count and not dry_run:
        s.confirm(_question(cuts), yes=yes)
        cuts = upkeep.prune(store, cuts)
    s.out.rows(upkeep.pruned_rows(cuts), columns, empty="no events are that old")
    if count and dry_run:
        s.say("nothing was changed")


def _question(cuts: Sequence[Cut]) -> str:
    removed = [cut for cut in cuts if cut.events]
    parts = [
        f"{cut.events} events {f'of class {cut.retention} ' if cut.retention else ''}"
        f"from before {cut.before:%Y-%m-%d %H:%M} UTC"
        for cut in removed
    ]
    return f"Remove {' and '.join(parts)} for good?"
