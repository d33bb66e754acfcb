"""`soc init`: write a commented `soc.yml`, or a content repository, to start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soc.cli.app import verb
from soc.cli.session import session

if TYPE_CHECKING:
    from soc.cli.session import Session

app = verb()


@app.command("init")
def init(
    path: Annotated[Path, typer.Argument(help="The file to write")] = Path("soc.yml"),
    from_store: Annotated[
        bool, typer.Option("--from-store", help="Look at the store and write what is there already")
    ] = False,
    content: Annotated[
        Path | None,
        typer.Option(
            "--content", metavar="DIR", help="Write a repository for rules, collectors and playbooks instead"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the file instead of writing it")] = False,
) -> None:
    """Write a commented soc.yml to start from.

    The logs that are found in the usual places of this machine are written in as sources, each with the
    collector that recognises it; where there is none, the file shows how to write them. With --from-store
    the indices of a cluster are looked at as well.

    With --content, a content repository is written instead: folders for your own rules, collectors and
    playbooks, selection.yml and overrides.yml, an example of a rule with samples and of an exception, and the
    CI that checks every change (a shell script, and files for GitLab and GitHub that call it).

    Examples:

      soc init

      soc init --dry-run

      soc init --from-store --store https://search.example:9200

      soc init --content ./content
    """
    from soc import setup

    s = session()
    if content is not None:
        _content(s, content, dry_run=dry_run)
        return
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


def _content(s: Session, folder: Path, *, dry_run: bool) -> None:
    from soc.detect.releases import template

    if dry_run:
        for name, _ in template.files():
            s.out.write(str(folder / name))
        s.say("dry run: nothing was written")
        return
    for path in template.write(folder):
        s.out.write(str(path))
    s.say(f"next: cd {folder}; git init; git add -A; git commit -m 'First content'; make check-all")
