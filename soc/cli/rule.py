"""`soc rule`: list, read, write, check and test Sigma rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soc.cli.app import noun
from soc.cli.completion import names_of
from soc.cli.output import Column
from soc.cli.session import session
from soc.errors import ExitCode, Severity, UsageError

app = noun("Sigma rules: list, write, check, test")

Chosen = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ID|NAME|FILE]…",
        help="All of them when none is named",
        autocompletion=names_of("rule"),
    ),
]


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
) -> None:
    """List the rules there are, shipped and your own.

    Your own come from `content.rules` in soc.yml; one with the id of a shipped one takes its place. The state
    says whether a rule can fire here: `blind` when nothing collects what it looks at.

    Examples:

      soc rule list --level high --level critical

      soc rule list --tag attack.t1059 --fields name,tags

      soc rule list --layer 4 --output json
    """
    from soc.cli.progress import bar
    from soc.detect import catalogue
    from soc.detect.rule import LEVELS
    from soc.detect.ruleset import ruleset_for

    s = session()
    if unknown := sorted(set(level or ()) - set(LEVELS)):
        raise UsageError(f"unknown level {unknown[0]!r}; one of {', '.join(LEVELS)}")
    with bar(s, "compiling rules") as progress:
        ruleset = ruleset_for(s.config, progress=progress)
    rules = catalogue.chosen(ruleset.rules, levels=level or (), tags=tag or (), layer=layer)
    columns = [
        Column("name", style="bold"),
        Column("level"),
        Column("layer", right=True),
        Column("title", wide=True),
        Column("state"),
        Column("techniques", wide=True),
    ]
    s.out.rows((catalogue.row(rule) for rule in rules), columns, empty="no such rule")
    if ruleset.errors:
        s.say(f"{len(ruleset.errors)} errors keep rules from being used; see: soc rule lint")


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


@app.command("lint")
def lint(files: Chosen = None) -> int:
    """Check rules and their samples: valid Sigma, fields that are collected, playbooks, tags, duplicates.

    Every finding is shown at once, with file, line and column. Exit code 1 when there is an error; warnings
    alone are exit code 0. As JSON: {"valid": …, "problems": [{"path", "line", "kind", "message", …}]}.

    Examples:

      soc rule lint

      soc rule lint rules/portal_export_at_night.yml

      soc rule lint --output json
    """
    from soc.cli.problems import rows, show_problems
    from soc.detect import checks

    s = session()
    count, problems = checks.lint_chosen(s.config, files or [])
    valid = not any(problem.severity is Severity.ERROR for problem in problems)
    if s.out.format == "json" and s.out.fields is None:
        s.out.one({"valid": valid, "problems": rows(problems)})
    else:
        show_problems(s.out, problems)
    if not count and not problems:
        s.say("there is no rule in it; nothing was checked")
        return ExitCode.FAILED
    s.say(f"{count} rule{'' if count == 1 else 's'}: {checks.tally(problems)}")
    return ExitCode.DONE if valid else ExitCode.FAILED


@app.command("test")
def run_tests(files: Chosen = None) -> int:
    """Take the samples of rules through collector, store and sweep: do they fire where they should?

    The samples of rules/x.yml are in rules/samples/x.yml. A table shows those that failed; with -v, and in
    the other formats, all of them. Exit code 1 when a case goes wrong, when a rule
    cannot be read, and when nothing was tested.

    Examples:

      soc rule test

      soc rule test web_log4shell ssh_root_login

      soc rule test rules/portal_export_at_night.yml --output json
    """
    from soc.cli.progress import bar
    from soc.detect import checks

    s = session()
    with bar(s, "testing rules") as progress:
        outcome = checks.try_chosen(s.config, files or [], progress=progress)
    columns = [
        Column("rule", style="bold"),
        Column("case", wide=True),
        Column("expect"),
        Column("result", styles={"passed": "green", "failed": "bold red"}),
        Column("fault", wide=True),
    ]
    everything = s.verbose or not s.out.is_table
    rows = (row for row in outcome.rows() if everything or row["result"] == "failed")
    s.out.rows(rows, columns, empty="")
    for remark in outcome.remarks():
        s.say(remark)
    return ExitCode.DONE if outcome.passed else ExitCode.FAILED
