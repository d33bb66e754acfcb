"""`soc rule import`: bring in the rules that others release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soc.cli.output import Column
from soc.cli.rule import app
from soc.cli.session import session
from soc.errors import ExitCode

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
