"""`soc deadletter`: events that the store refused: see, repair, replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from soc.cli.app import noun
from soc.cli.output import Column
from soc.cli.session import Session, session

if TYPE_CHECKING:
    from soc.collect.deadletters import DeadLetter
    from soc.store.contract import Store

app = noun("Events that the store refused: see, repair, replay")

COLUMNS = [
    Column("id", style="bold"),
    Column("parked"),
    Column("source"),
    Column("reason", wide=True),
]
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Ids or their beginnings; - reads them")
]
All = Annotated[bool, typer.Option("--all", help="All of them")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done")]


def _chosen(store: Store, ids: list[str] | None, *, every: bool) -> list[DeadLetter]:
    from soc.cli.idlist import expand
    from soc.collect import deadletters
    from soc.errors import UsageError

    if every and ids:
        raise UsageError("name ids or give --all, not both")
    if every:
        return list(deadletters.letters(store))
    if not ids:
        raise UsageError("no id was given", hint="soc deadletter list shows them; --all takes all")
    return [deadletters.get(store, id_) for id_ in expand(ids)]


def _shown(s: Session, chosen: list[DeadLetter], text: str) -> int:
    s.out.rows((letter.row for letter in chosen), COLUMNS, empty="there are no dead letters")
    if chosen:
        s.say(text)
    return 0


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many")] = 1000,
) -> None:
    """Show the events that the store refused, and why.

    A small event of kind pipeline_error stands in the store for each, with
    the original line, so rules have seen it.

    Examples:

    soc deadletter list

    soc deadletter list --output json --fields id,reason,original
    """
    from soc.collect import deadletters

    s = session()
    found = deadletters.letters(s.store(create=False), limit=limit)
    s.out.rows((letter.row for letter in found), COLUMNS, empty="there are no dead letters")


@app.command("show")
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="An id, or how it begins")],
) -> None:
    """Show a refused event with all its fields.

    Examples:

    soc deadletter show 3f9c

    soc deadletter show 3f9c --output json
    """
    from soc.collect import deadletters

    s = session()
    letter = deadletters.get(s.store(create=False), id_)
    row = {"id": letter.id, "parked": letter.parked, "reason": letter.reason}
    s.out.one({**row, **letter.event} if s.out.is_table else {**row, "event": letter.event})


@app.command("fix")
def fix(
    id_: Annotated[str, typer.Argument(metavar="ID", help="An id, or how it begins")],
    changes: Annotated[
        list[str], typer.Option("--set", metavar="FIELD=VALUE", help="Repeatable; FIELD= removes the field")
    ],
    dry_run: DryRun = False,
) -> None:
    """Change fields of a refused event, before it is sent again. The audit log keeps who did.

    Examples:

    soc deadletter fix 3f9c --set @timestamp=2026-03-02T07:14:09Z

    soc deadletter fix 3f9c --set process.args= --dry-run
    """
    from soc.collect import deadletters

    s = session()
    store = s.store(create=False)
    fields = deadletters.parse_changes(changes)
    letter = deadletters.fix(store, deadletters.get(store, id_), fields, dry_run=dry_run)
    s.out.one({"id": letter.id, **{name: letter.event.get(name) for name in fields}})
    s.say("nothing was changed" if dry_run else f"next: soc deadletter replay {letter.id}")


@app.command("replay")
def replay(ids: Ids = None, every: All = False, dry_run: DryRun = False) -> int:
    """Send refused events to the store again; those that it takes are dead letters no more.

    Exit code 5 when it refuses some again, 1 when all.

    Examples:

    soc deadletter replay 3f9c

    soc deadletter replay --all
    """
    from soc.collect import deadletters

    s = session()
    store = s.store(create=False)
    chosen = _chosen(store, ids, every=every)
    if dry_run:
        return _shown(s, chosen, "nothing was sent")
    done, still = deadletters.replay(store, chosen)
    s.out.rows((letter.row for letter in still), COLUMNS, empty="")
    s.say(f"{done} stored, {len(still)} refused again")
    return 0 if not still else 5 if done else 1


@app.command("drop")
def drop(
    ids: Ids = None,
    every: All = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit log")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    dry_run: DryRun = False,
) -> int:
    """Give refused events up for good. The audit log keeps who, why, and their original lines.

    Examples:

    soc deadletter drop 3f9c --reason "test traffic of the vendor"

    soc deadletter drop --all --reason "wrong file" --yes
    """
    from soc.collect import deadletters

    s = session()
    store = s.store(create=False)
    chosen = _chosen(store, ids, every=every)
    if dry_run:
        return _shown(s, chosen, "nothing was dropped")
    if chosen and reason:
        s.confirm(f"Give up {len(chosen)} events for good?", yes=yes)
    count = deadletters.drop(store, chosen, reason=reason)
    s.say(f"{count} dropped")
    return 0
