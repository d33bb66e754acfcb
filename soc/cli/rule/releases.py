"""`soc rule import`, `publish`, `rollback`: rules as releases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soc.cli.output import Column
from soc.cli.rule import app
from soc.cli.session import session
from soc.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soc.cli.session import Session
    from soc.detect.releases.publish import Difference

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, write nothing")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask")]


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="DIR|ZIP", help="A release, or the folder of a checkout")],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="DIR", help="Folder of rules; else the first of content.rules in soc.yml"
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What the set is called")] = "sigmahq",
    discard_edits: Annotated[
        bool, typer.Option("--discard-edits", help="Give up what was changed here in the imported files")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Import a release of rules, such as SigmaHQ's, and say what it changes.

    The set becomes the folder upstream/NAME, apart from your own rules. Do not edit files there: an own rule
    with the same id takes the place of an imported one, overrides.yml changes severity, playbooks, grouping
    and mode, and selection.yml says which rules run. What these say about rules that are gone is listed.
    Files that are no sound Sigma are left out and named (exit code 5); files that were edited here stop the
    import (exit code 3). A crash leaves the set before or the new one.

    Examples:

      soc rule import sigma_all_rules.zip --dry-run

      soc rule import sigma_all_rules.zip

      soc rule import ~/checkouts/sigma --to rules --name sigmahq
    """
    from soc.cli.newcontent import is_used, shown_folder
    from soc.cli.progress import bar
    from soc.detect.releases import importer

    s = session()
    folder = importer.target_folder(s.config, to)
    with bar(s, "reading rules") as progress:
        found = importer.prepare(s.config, source, folder, name=name, progress=progress)
    columns = [
        Column("change", style="bold"),
        Column("title", wide=True),
        Column("path", wide=True),
        Column("note", wide=True),
    ]
    rows = found.rows()
    if found.before is None and s.out.is_table:  # of a first import, that everything is new is no news
        rows = (row for row in rows if row["change"] != "new")
    s.out.rows(rows, columns, empty="")
    s.say(found.summary())
    code = ExitCode.PARTLY_DONE if found.after.left_out else ExitCode.DONE
    if found.edits and (dry_run or not discard_edits):
        raise importer.edited(found)
    if found.same:
        s.say("this release is there already")
        return code
    if dry_run:
        s.say(f"dry run: {found.target} was not written")
        return code
    if found.edits:
        s.confirm(f"Give up the local changes of {len(found.edits)} files?", yes=yes)
    importer.apply(found, discard_edits=discard_edits)
    s.say(f"imported into {found.target}")
    if not is_used(s.config, "rule", folder):
        shown = shown_folder(s.config, folder)
        s.say(f"to use it, name its folder in soc.yml: content: {{rules: [{shown}]}}")
    s.say("next: soc rule list (selection.yml says what runs); then commit it")
    return code


@app.command("publish")
def publish(
    allow_dirty: Annotated[
        bool,
        typer.Option("--allow-dirty", help="Publish files that are in no commit; alerts and status say so"),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Write the rules into the store as one set, for every sweeper to take up at its next sweep.

    The set is everything that decides what is detected: the shipped rules, imported ones and your own,
    pipelines, selection, overrides and exceptions. It carries its git commit, and so does every alert. Rules
    with errors are refused, and files that are in no commit unless --allow-dirty. What changes for the rules
    is shown first. When somebody else published in between, nothing is written (exit code 3). Sweepers that
    run with --published, or with `detect: {rules: published}` in soc.yml, use the set.

    Examples:

      soc rule publish --dry-run

      soc rule publish

      soc rule publish --yes --output json
    """
    from soc.cli.progress import bar
    from soc.config import cache_folder
    from soc.detect.releases import publish as work

    s = session()
    store = s.store()
    with bar(s, "compiling rules") as progress:
        made = work.draft(s.config, store, cache_folder(), allow_dirty=allow_dirty, progress=progress)
    if made.same:
        s.say(f"this is published already: {made.before.release}" if made.before else "")
        return ExitCode.DONE
    _show(s, made.changes, first=made.before is None or bool(made.unknown))
    if made.unknown:
        s.say(f"what is published now cannot be compared with: {made.unknown}")
    if made.before:
        s.say(f"published now: {made.before.release}")
    s.say(f"{len(made.rules.rules):,} rules of {made.summary()}")
    if made.edited:
        s.say(f"in no commit: {', '.join(made.edited[:5])}{' …' if len(made.edited) > 5 else ''}")
    if dry_run:
        s.say("dry run: nothing was published")
        return ExitCode.DONE
    s.confirm("Publish them?", yes=yes)
    with bar(s, "writing rules") as progress:
        release = work.publish(store, made, progress=progress)
    s.say(f"published {release}; sweepers take it up at their next sweep: soc sweep status")
    return ExitCode.DONE


@app.command("rollback")
def rollback(
    commit: Annotated[
        str,
        typer.Argument(
            metavar="[COMMIT|NUMBER]", help="The release to go back to; else the one before the present"
        ),
    ] = "",
    show: Annotated[bool, typer.Option("--list", help="List the releases that are remembered")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Go back to a set of rules that was published before.

    It becomes the published set again, as it was, and sweepers take it up at their next sweep; the audit log
    has who and when. What changes for the rules is shown first. The files in git are not touched: put them
    right as well before the next publish.

    Each further rollback goes further back. A set that a rollback left holds again only when you name it.

    Examples:

      soc rule rollback --list

      soc rule rollback

      soc rule rollback 3f2a9c1 --dry-run
    """
    from dataclasses import asdict

    from soc.config import cache_folder
    from soc.detect.releases import publish as work
    from soc.detect.releases.published import releases

    s = session()
    store = s.store(create=False)
    if show:
        columns = [
            Column("number", "NO", right=True),
            Column("at"),
            Column("by", style="bold"),
            Column("commit", wide=True),
            Column("rules", right=True),
            Column("dirty"),
            Column("back"),
        ]
        rows = (asdict(one) for one in releases(store))
        s.out.rows(rows, columns, empty="no rules are published: soc rule publish")
        return ExitCode.DONE
    back = work.prepare_return(store, cache_folder(), commit)
    _show(s, back.changes)
    s.say(f"published now: {back.before.release}")
    s.say(f"back to:       {back.to}: {work.tally(back.changes)}")
    if dry_run:
        s.say("dry run: nothing was changed")
        return ExitCode.DONE
    s.confirm("Go back?", yes=yes)
    release = work.go_back(store, back)
    s.say(f"published {release}; sweepers take it up at their next sweep: soc sweep status")
    return ExitCode.DONE


def _show(s: Session, changes: Sequence[Difference], *, first: bool = False) -> None:
    """The rules that differ; of a first set, that everything is new is no news to a person."""
    columns = [
        Column("change", style="bold"),
        Column("level"),
        Column("title", wide=True),
        Column("note", wide=True),
    ]
    rows = (change.row() for change in changes if not (first and s.out.is_table))
    s.out.rows(rows, columns, empty="")
