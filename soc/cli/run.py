"""`soc run`: see playbook runs, answer them, take them up again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soc.cli.app import noun
from soc.cli.completion import ids_of, recent, remember, words
from soc.cli.output import Column, width
from soc.cli.session import Session, session
from soc.cli.times import brief, narrow, say_zone
from soc.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soc.playbook.engine import Engine
    from soc.playbook.model import Playbook
    from soc.playbook.state import Run

app = noun("Playbook runs: see, resume, answer")


def playbook_names(incomplete: str) -> list[str]:
    """Names of playbooks for the shell: the shipped ones, and what the last listing found."""
    from soc import content

    known = {path.stem for path in content.files(content.shipped("playbooks"))}
    known |= {name for name, _ in recent("playbook")}
    return sorted(name for name in known if name.startswith(incomplete.lower()))


RunId = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Id of a run, or the beginning of one", autocompletion=ids_of("run")),
]
Answers = Annotated[
    Path | None, typer.Option("--answers", metavar="FILE", help="YAML file of answers: step to value")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing")]
COLUMNS = ["id", "status", "playbook", "subject", "step", "outcome", "who", "started_by", "started_at"]

Yes = Annotated[
    bool, typer.Option("--yes", help="Agree to commands that change something and are in no doubt")
]


@app.command("list")
def list_(
    status: Annotated[
        str,
        typer.Option(
            "--status",
            metavar="STATUS",
            help="running, waiting, ended, or all",
            autocompletion=words("running", "waiting", "ended", "all"),
        ),
    ] = "all",
    alert: Annotated[
        str,
        typer.Option("--alert", metavar="ID", help="Runs on one alert", autocompletion=ids_of("alert")),
    ] = "",
    playbook: Annotated[
        str,
        typer.Option(
            "--playbook", metavar="NAME", help="Runs of one playbook", autocompletion=playbook_names
        ),
    ] = "",
) -> None:
    """List playbook runs, the newest first.

    Examples:

      soc run list --status waiting

      soc run list --alert A-7F3K --output json
    """
    from soc.playbook import present
    from soc.playbook.runs import abandoned
    from soc.playbook.world import RealWorld

    s = session()
    store = s.store(create=False)
    world = RealWorld(store, s.config)
    rows = present.listed(
        store,
        status=status,
        alert=alert,
        playbook=playbook,
        abandoned=lambda run: abandoned(run, world),
    )
    remember("run", ((row["id"], f"{row['playbook']} on {row['subject']}, {row['status']}") for row in rows))
    people = s.out.is_table and s.out.fields is None
    shown = [_brief_row(row) for row in rows] if people else rows
    s.out.rows(shown, _columns() if people else COLUMNS, empty="no runs; soc playbook run starts one")
    if people:
        say_zone(s, [row["started_at"] for row in rows])


def _brief_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A run as a line of a table: short times, and the outcome where a run that goes on has its step."""
    where = f"ended: {row['outcome']}" if row["status"] == "ended" else row["step"]
    return {**row, "where": where, "started_at": brief(row["started_at"], narrow=narrow())}


def _columns() -> list[Column]:
    """The columns of the table; in a narrow one what the others also say is left out."""
    wide = [] if narrow() else [Column("status")]
    by = [] if narrow() else [Column("started_by", "STARTED BY")]
    return [
        Column("id", style="bold"),
        *wide,
        Column("playbook", wide=True),
        Column("subject", "ON"),
        Column("where", "STEP", wide=True),
        Column("who", "TURN OF", wide=True),
        *by,
        Column("started_at", "STARTED"),
    ]


@app.command("show")
def show(
    run: RunId,
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="Exit with 8 while it waits for a person")
    ] = False,
) -> int:
    """Show where a run stands: its path so far, whose turn it is, and the exact next command.

    Examples:

      soc run show R-7F3K

      soc run show R-7F3K --output json

      soc run show R-7F3K --exit-status --quiet
    """
    from soc.playbook import journal
    from soc.playbook.runs import playbook_of

    s = session()
    found = journal.get(s.store(create=False), run)
    code = show_run(s, playbook_of(found), found, whole=True)
    return code if exit_status else ExitCode.DONE


@app.command("log")
def log(run: RunId) -> None:
    """Show the journal of a run: every step, command, result and answer, with time and person.

    Examples:

      soc run log R-7F3K

      soc run log R-7F3K --output jsonl
    """
    from soc.playbook import journal, present

    s = session()
    found = journal.get(s.store(create=False), run)
    columns = [
        Column("n", right=True),
        Column("at", "TIME"),
        Column("by"),
        Column("step"),
        Column("event"),
        Column("text", wide=True),
    ]
    rows = list(present.journal_rows(found))
    shown = [{**row, "at": brief(row["at"], seconds=True)} for row in rows] if s.out.is_table else rows
    s.out.rows(shown, columns)
    say_zone(s, [row["at"] for row in rows])


@app.command("resume")
def resume(run: RunId, answers: Answers = None, yes: Yes = False, dry_run: DryRun = False) -> int:
    """Go on with a run from where it stands.

    A command whose outcome nobody wrote down (the machine stopped in the middle) is never run again
    silently: the run asks what became of it. Exits 8 while the run waits for a person.

    Examples:

      soc run resume R-7F3K

      soc run resume R-7F3K --answers answers.yml --yes
    """
    from soc.playbook import journal
    from soc.playbook.runs import playbook_of

    s = session()
    found = journal.get(s.store(create=False), run)
    playbook = playbook_of(found)
    engine = make_engine(s, playbook, answers, yes=yes)
    if dry_run:
        return show_preview(s, playbook, found, engine.answers)
    return carry(s, engine, found)


@app.command("answer")
def answer(
    run: RunId,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step that waits")] = "",
    value: Annotated[
        list[str] | None, typer.Argument(metavar="VALUE…", help="The answer, or name=value for each")
    ] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, for the journal")] = "",
    on_behalf_of: Annotated[
        str, typer.Option("--on-behalf-of", metavar="NAME", help="Who said so, such as on the phone")
    ] = "",
    answers: Answers = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> int:
    """Answer the step that a run waits at, then go on.

    Without step and answer it says what the run waits for, and the words to choose from. If a colleague
    answered first, nothing is changed, their answer is shown, and the exit code is 3.

    Examples:

      soc run answer R-7F3K judge unknown --note "not in the register"

      soc run answer R-7F3K tell done

      soc run answer R-7F3K interview mailbox=huong.tran clicked=yes
    """
    from soc.playbook import journal
    from soc.playbook.answers import from_words, unanswered
    from soc.playbook.runs import playbook_of

    s = session()
    found = journal.get(s.store(create=False), run)
    playbook = playbook_of(found)
    if not step or not value:
        raise unanswered(playbook, found, step, options=_options(s))
    engine = make_engine(s, playbook, answers, yes=yes)
    given = from_words(playbook.steps.get(step), value)
    if dry_run:
        after = engine.preview_answer(found, step, given)
        return show_preview(s, playbook, after, engine.answers)
    found = engine.answer(found, step, given, note=note, on_behalf_of=on_behalf_of)
    return carry(s, engine, found)


# shared with `soc playbook run`


def make_engine(s: Session, playbook: Playbook, answers: Path | None, *, yes: bool) -> Engine:
    """The engine that carries runs in this session's store and tells of each step as it is done."""
    from soc.playbook import present
    from soc.playbook.answers import load_answers
    from soc.playbook.engine import Engine
    from soc.playbook.journal import StoreJournal
    from soc.playbook.world import RealWorld

    prepared = load_answers(answers, playbook) if answers else {}
    store = s.store(create=False)
    return Engine(
        playbook,
        StoreJournal(store),
        RealWorld(store, s.config),
        prepared,
        approve=yes,
        watch=lambda run: s.say(present.progress(run)) if present.progress(run) else None,
    )


def carry(s: Session, engine: Engine, run: Run) -> int:
    """Go on until the run ends or waits; on a terminal ask the person who sits there. The exit code."""
    if not (s.interactive and s.out.is_table):
        return show_run(s, engine.playbook, engine.advance(run))
    try:
        return _converse(s, engine, run)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return _leave(s, run)


def _converse(s: Session, engine: Engine, run: Run) -> int:
    from soc.cli import run_prompts
    from soc.playbook.answers import turn_of
    from soc.playbook.world import RealWorld

    world = RealWorld(s.store(create=False), s.config)

    def doubts(name: str, value: str) -> Sequence[str]:
        return world.doubts_of_value(run, engine.playbook.variables[name].type, value)

    run = engine.advance(run)
    while turn := turn_of(engine.playbook, run):
        given = run_prompts.ask(turn, doubts)
        if given is None:
            return _leave(s, run)
        try:
            run = engine.answer(run, run.step, given)
        except UsageError as error:
            s.say(f"{error.message}")
            continue
        run = engine.advance(run)
    return show_run(s, engine.playbook, run)


def _leave(s: Session, run: Run) -> int:
    """Say how to come back to a run that is left waiting."""
    remember("run", [(run.id, f"{run.playbook} on {run.subject_id}, waiting")])
    s.say(f"{run.id} is waiting; go on with: soc run resume {run.id}{_options(s)}")
    return ExitCode.WAITING


def show_run(s: Session, playbook: Playbook, run: Run, *, whole: bool = False) -> int:
    """Show a run and whose turn it is; 8 while a person has to do something, 0 when it has ended."""
    from soc.playbook import present
    from soc.playbook.state import Phase
    from soc.playbook.world import RealWorld

    busy = ""
    if run.phase is Phase.ACTING:
        busy = RealWorld(s.store(create=False), s.config).busy(run, playbook.steps[run.step])
    described = present.described(playbook, run, busy=busy, options=_options(s))
    remember("run", [(run.id, f"{run.playbook} on {run.subject_id}, {described['status']}")])
    if s.out.is_table and s.out.fields is None:
        s.out.write(present.as_text(described, whole=whole, width=width()))
    else:
        s.out.one(described)
    return ExitCode.DONE if run.phase is Phase.ENDED or busy else ExitCode.WAITING


def show_preview(s: Session, playbook: Playbook, run: Run, answers: Mapping[str, Any]) -> int:
    """Show every step that may still come, with its values; nothing is changed."""
    from dataclasses import asdict

    from soc.playbook import present, preview

    planned = preview.preview(playbook, run, answers)
    if s.out.is_table and s.out.fields is None:
        s.out.write(present.preview_text(planned, width=width()))
    else:
        s.out.rows([asdict(step) for step in planned], ["step", "type", "text", "effect"])
    s.say("dry run: nothing was done")
    return ExitCode.DONE


def _options(s: Session) -> str:
    """The common options of this session, to be part of the next command."""
    import shlex

    given = (("--config", str(s.config_path or "")), ("--store", s.store_target), ("--space", s.space))
    return "".join(f" {name} {shlex.quote(value)}" for name, value in given if value)
