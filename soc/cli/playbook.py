"""`soc playbook`: list, read, write, check, test and run playbooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soc.cli.app import noun
from soc.cli.completion import ids_of, remember
from soc.cli.output import Column
from soc.cli.run import Answers, DryRun, playbook_names
from soc.cli.session import Session, session
from soc.errors import ExitCode, Severity, UsageError

if TYPE_CHECKING:
    from soc.playbook.library import Entry
    from soc.playbook.subject import Subject

app = noun("Playbooks: list, write, check, test, run")


@app.command("list")
def list_() -> None:
    """List the playbooks there are, shipped and your own.

    Your own come from `content.playbooks` in soc.yml; one with the name of a shipped one takes its place.

    Examples:

      soc playbook list

      soc playbook list --fields name,path --output csv
    """
    from soc.playbook import library

    s = session()
    columns = [
        Column("name", style="bold"),
        Column("title", wide=True),
        Column("level"),
        Column("steps", right=True),
        Column("tests", right=True),
        Column("state"),
    ]
    rows = [library.row(entry) for entry in library.playbooks_for(s.config).values()]
    remember("playbook", ((row["name"], row["title"]) for row in rows))
    s.out.rows(rows, columns)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", autocompletion=playbook_names)],
) -> None:
    """Show one playbook: what it needs, its steps and where each leads.

    Examples:

      soc playbook show web-shell

      soc playbook show web-shell --output json
    """
    from soc.playbook import library, present

    s = session()
    playbook = library.usable(s.config, name)
    if s.out.is_table and s.out.fields is None:
        s.out.write(present.playbook_text(playbook))
    else:
        s.out.one(library.as_data(playbook))


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Its name, of a-z, 0-9 and -")],
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Its title")] = "",
    to: Annotated[
        Path | None, typer.Option("--to", metavar="PATH", help="File or folder to write it to")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Write a new playbook to start from; it lints and its tests pass as it is.

    It goes to --to, else to your first folder of playbooks (`content.playbooks` in soc.yml), else to
    ./playbooks.

    Examples:

      soc playbook new lost-laptop

      soc playbook new lost-laptop --title "A lost laptop" --to playbooks
    """
    from soc.cli.newcontent import announce
    from soc.playbook import skeleton

    s = session()
    text = skeleton.text_for(name, title)
    path = skeleton.target_for(s.config, name, to)
    if dry_run:
        s.out.write(text)
        s.say(f"dry run: would write {path}")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    announce(s, "playbook", {"path": path})


@app.command("lint")
def lint(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME|FILE]…", help="All of them when none is named")
    ] = None,
) -> int:
    """Check playbooks: their form, the graph of steps, variables, commands, queries and tests.

    Exit code 1 when there is an error. As JSON: {"valid": …, "problems": [{"kind", "step", "message", …}]}.

    Examples:

      soc playbook lint

      soc playbook lint playbooks/web-shell.yml --output json
    """
    from soc.cli.problems import rows, show_problems
    from soc.detect.checks import tally

    s = session()
    entries = _chosen(s, files)
    problems = [problem for entry in entries for problem in entry.problems]
    valid = not any(problem.severity is Severity.ERROR for problem in problems)
    if s.out.format == "json" and s.out.fields is None:
        s.out.one({"valid": valid, "problems": rows(problems)})
    else:
        show_problems(s.out, problems)
    s.say(f"{len(entries)} playbook{'' if len(entries) == 1 else 's'}: {tally(problems)}")
    return ExitCode.DONE if valid else ExitCode.FAILED


@app.command("test")
def run_tests(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME|FILE]…", help="All of them when none is named")
    ] = None,
) -> int:
    """Run the tests that stand in playbooks; nothing real is searched or run.

    A playbook with an error, without tests, or with a step that no test comes through, fails too. The table
    shows what failed; with -v, and in every other format, all tests.

    Examples:

      soc playbook test

      soc playbook test playbooks/lost-laptop.yml
    """
    from soc.playbook import library

    s = session()
    rows = [row for entry in _chosen(s, files) for row in library.test_rows(entry)]
    columns = [
        Column("playbook", style="bold"),
        Column("test", wide=True),
        Column("result"),
        Column("fault", wide=True),
    ]
    failed = sum(row["result"] != "passed" for row in rows)
    brief = s.out.is_table and s.out.fields is None and not s.verbose
    s.out.rows([row for row in rows if row["result"] != "passed"] if brief else rows, columns, empty="")
    s.say(f"{len(rows) - failed} passed, {failed} failed")
    return ExitCode.FAILED if failed or not rows else ExitCode.DONE


@app.command("run")
def run(
    playbook: Annotated[
        str,
        typer.Argument(
            metavar="[PLAYBOOK]",
            help="Name or file; without it, those the rule names",
            autocompletion=playbook_names,
        ),
    ] = "",
    alert: Annotated[
        str,
        typer.Option("--alert", metavar="ID", help="The alert to run it on", autocompletion=ids_of("alert")),
    ] = "",
    case: Annotated[
        str, typer.Option("--case", metavar="ID", help="The case to run it on", hidden=True)
    ] = "",
    var: Annotated[
        list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="Set a variable (repeatable)")
    ] = None,
    answers: Answers = None,
    dry_run: DryRun = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Agree to a second run, and to commands in no doubt")
    ] = False,
) -> int:
    """Run a playbook on an alert, step by step.

    On a terminal it asks at each step that is yours. Elsewhere it stops there, says whose turn it is and
    how to answer, and exits 8. --dry-run prints every command with its values and does nothing.

    Examples:

      soc playbook run --alert A-7F3K

      soc playbook run web-shell --alert A-7F3K --dry-run

      soc playbook run web-shell --alert A-7F3K --answers answers.yml --yes
    """
    from soc.cli.run import carry, make_engine, show_preview
    from soc.playbook import journal, library, runs, subject
    from soc.playbook.world import parse_given

    s = session()
    if bool(alert) == bool(case):
        raise UsageError("name the alert to run it on", hint="add --alert ID; soc alert list shows them")
    store = s.store(create=False)
    about = subject.of_alert(store, alert) if alert else subject.of_case(store, case)
    chosen = library.usable(s.config, playbook or _choose(s, about))
    engine = make_engine(s, chosen, answers, yes=yes)
    record = journal.StoreJournal(store)
    draft, resolved = runs.draft(
        chosen,
        about,
        parse_given(var or ()),
        # a dry run has no id: one that was drawn would be looked for in vain
        run_id="R-…" if dry_run else record.draw_id(),
        user=record.user,
        now=engine.world.now(),
    )
    for remark in resolved.remarks:
        s.say(f"note: {remark}")
    if dry_run:
        return show_preview(s, chosen, draft, engine.answers)
    earlier = journal.of_subject(store, about.id, chosen.name)
    if earlier:
        last = earlier[-1]
        what = (
            f"{chosen.name} ran on {about.id} before: {last.id}, {last.status} {last.outcome or last.step}."
        )
        s.say(what)
        s.confirm("Run it a second time?", yes=yes)
    return carry(s, engine, record.save(draft, "run.start"))


def _choose(s: Session, about: Subject) -> str:
    """The playbook for an alert whose rule names some: the person's choice, where there is one to ask."""
    import sys

    if not about.playbooks:
        raise UsageError(f"the rule of {about.id} names no playbook", hint="soc playbook list")
    commands = [f"soc playbook run {name} --{about.kind} {about.id}" for name in about.playbooks]
    if not s.interactive:
        raise UsageError(
            f"the rule of {about.id} names: {', '.join(about.playbooks)}", hint="\n      ".join(commands)
        )
    for number, name in enumerate(about.playbooks, 1):
        s.say(f"{number}  {name}")
    sys.stderr.write(f"Which one? [1-{len(about.playbooks)}, empty: none] ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip()
    if answer in about.playbooks:
        return answer
    if answer.isdigit() and 1 <= int(answer) <= len(about.playbooks):
        return about.playbooks[int(answer) - 1]
    raise UsageError("cancelled; nothing was changed", hint=commands[0])


def _chosen(s: Session, names: list[str] | None) -> list[Entry]:
    """The named playbooks, or all there are. Raises `UsageError` where there is none: nothing was checked."""
    from soc.playbook import library

    entries = [library.find(s.config, name) for name in names or ()]
    entries = entries or list(library.playbooks_for(s.config).values())
    if not entries:
        raise UsageError("there are no playbooks", hint="soc playbook new NAME")
    return entries
