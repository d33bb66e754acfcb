"""`soc rule list`, `show`, `new`: the rules that there are, and one more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soc.cli.completion import names_of, words
from soc.cli.output import Column
from soc.cli.rule import app
from soc.cli.session import session
from soc.errors import UsageError


@app.command("list")
def list_(
    level: Annotated[
        list[str] | None, typer.Option("--level", metavar="LEVEL", help="Only of this level (repeatable)")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only with this tag, such as attack.t1190 (repeatable)"),
    ] = None,
    layer: Annotated[int | None, typer.Option("--layer", min=1, max=4, help="Only of this layer")] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="Only in this state, such as shadow or blind (repeatable)",
            autocompletion=words("ready", "shadow", "not-selected", "undecidable", "blind"),
        ),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            "--origin", metavar="NAME", help="Only of own, shipped, or an imported set (repeatable)"
        ),
    ] = None,
) -> None:
    """List the rules there are, shipped, imported, and your own.

    Your own come from `content.rules` in soc.yml; one with the id of another takes its place. What is shown
    is in force, after overrides.yml. The state says whether a rule can fire here: `blind` when nothing
    collects what it looks at, `not selected` when selection.yml leaves it out, `shadow` when its hits are
    counted and raise no alerts.

    Examples:

      soc rule list --level high --level critical

      soc rule list --tag attack.t1059 --fields name,tags

      soc rule list --layer 4 --output json

      soc rule list --state not-selected --fields id,title,decided
    """
    from soc.cli.progress import bar
    from soc.cli.times import narrow
    from soc.detect import catalogue
    from soc.detect.releases.selection import left_out
    from soc.detect.rule import LEVELS
    from soc.detect.ruleset import ruleset_for

    s = session()
    states = [one.replace("-", " ") for one in state or ()]
    if wrong := sorted(set(states) - set(catalogue.STATES)):
        raise UsageError(f"unknown state {wrong[0]!r}; one of {', '.join(catalogue.STATES)}")
    if unknown := sorted(set(level or ()) - set(LEVELS)):
        raise UsageError(f"unknown level {unknown[0]!r}; one of {', '.join(LEVELS)}")
    with bar(s, "compiling rules") as progress:
        ruleset = ruleset_for(s.config, progress=progress)
    rules = catalogue.chosen(
        ruleset.rules,
        levels=level or (),
        tags=tag or (),
        layer=layer,
        states=states,
        origins=origin or (),
    )
    roomy = [Column("layer", right=True), Column("techniques", wide=True)]
    if s.out.is_table and narrow():
        roomy = []  # a name that is cut short cannot be given to another command
    columns = [
        Column("name", style="bold"),
        Column("level"),
        *roomy[:1],
        Column("title", wide=True),
        Column("state"),
        *roomy[1:],
    ]
    s.out.rows((catalogue.row(rule) for rule in rules), columns, empty="no such rule")
    if text := left_out(ruleset.rules):
        s.say(text)
    if ruleset.shadow:
        s.say(f"{len(ruleset.shadow)} in shadow: hits are counted and raise no alerts")
    if ruleset.errors:
        count = len(ruleset.errors)
        errors = "1 error keeps a rule" if count == 1 else f"{count:,} errors keep rules"
        s.say(f"{errors} from being used; see: soc rule lint")


@app.command("show")
def show(
    rule: Annotated[
        str,
        typer.Argument(
            metavar="ID|NAME|FILE",
            help="A beginning of the id is enough",
            autocompletion=names_of("rule"),
        ),
    ],
) -> None:
    """Show one rule: what it finds, how, what it cannot see, and what to do about its alerts.

    Examples:

      soc rule show web_log4shell

      soc rule show web_log4shell --output json
    """
    from soc.detect import catalogue

    s = session()
    s.out.one(catalogue.details(catalogue.one_of(s.config, rule)))


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Its short name, of a-z, 0-9, _ and -")],
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Its title")] = "",
    to: Annotated[
        Path | None, typer.Option("--to", metavar="PATH", help="File or folder to write it to")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be written")] = False,
) -> None:
    """Write a new rule with samples to start from; it lints and its samples pass as it is.

    It goes to --to, else to your first folder of rules (`content.rules` in soc.yml), else to ./rules.

    Examples:

      soc rule new portal_export_at_night

      soc rule new portal_export_at_night --title "Export at night" --to rules
    """
    from soc.cli.newcontent import announce
    from soc.detect import skeleton

    s = session()
    made = skeleton.draft(s.config, name, title=title, to=to)
    if dry_run:
        s.out.write(made.rule)
        s.out.write(made.samples)
        s.say(f"dry run: would write {made.rule_path} and {made.samples_path}")
        return
    skeleton.write(made)
    announce(s, "rule", {"path": made.rule_path, "samples": made.samples_path})
