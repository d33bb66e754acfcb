"""`soc init`: write a commented `soc.yml` to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soc.cli.app import verb
from soc.cli.session import session

app = verb()


@app.command("init")
def init(
    path: Annotated[Path, typer.Argument(help="The file to write")] = Path("soc.yml"),
    from_store: Annotated[
        bool, typer.Option("--from-store", help="Look at the store and write what is there already")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the file instead of writing it")] = False,
) -> None:
    """Write a commented soc.yml to start from.

    The logs that are found in the usual places of this machine are written in as sources, each with the
    collector that recognises it. With --from-store the indices of a cluster are looked at as well.

    Examples:

      soc init

      soc init --dry-run

      soc init --from-store --store https://search.example:9200
    """
    from soc import setup

    s = session()
    store = s.store(create=False) if from_store else None
    text = setup.draft(s.config, store)
    if dry_run:
        s.out.write(text.rstrip("\n"))
        return
    setup.write(path, text, force=force)
    s.say(f"wrote {path}; next: soc config check, then soc collect run --once")
