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
    collector that recognises it; where there is none, the file shows how to write them. With --from-store
    the indices of a cluster are looked at as well.

    Examples:

      soc init

      soc init --dry-run

      soc init --from-store --store https://search.example:9200
    """
    from soc import setup

    s = session()
    store = s.store(create=False) if from_store else None
    sources = list(setup.find_sources())
    text = setup.draft(s.config, sources, store)
    if dry_run:
        s.out.write(text.rstrip("\n"))
        return
    setup.write(path, text, force=force)
    if sources:
        names = ", ".join(source["name"] for source in sources)
        s.say(f"wrote {path} with {len(sources)} source{'' if len(sources) == 1 else 's'}: {names}")
        s.say("next: soc config check, then soc collect run --once")
    else:
        s.say(f"wrote {path}, without sources: none of {len(setup.USUAL_PLACES)} usual log files is here")
        s.say(f"and can be read ({', '.join(setup.USUAL_PLACES[:3])} …)")
        s.say("next: soc collector try FILE (which collector reads a log?); then add it to sources: in it")
