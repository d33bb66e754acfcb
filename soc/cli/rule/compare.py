"""`soc rule coverage` and `diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soc.cli.output import Column
from soc.cli.rule import Chosen, app
from soc.cli.session import session
from soc.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from soc.cli.session import Session
    from soc.detect.coverage import Coverage
    from soc.detect.ruleset import Ruleset

STATES = {"none": "dim", "rule": "yellow", "tested": "yellow", "seen": "green", "proven": "bold green"}


@app.command("coverage")
def coverage(
    rules: Chosen = None,
    layer: Annotated[
        Path | None,
        typer.Option(
            "--layer", metavar="FILE", help="Write a layer for the ATT&CK Navigator (4.5); - prints it"
        ),
    ] = None,
    tests: Annotated[bool, typer.Option("--tests/--no-tests", help="Run the samples of the rules")] = True,
    by: Annotated[str, typer.Option("--by", metavar="tactic|technique", help="One row for each")] = "tactic",
) -> int:
    """Show which techniques of ATT&CK the rules cover, and how well that is proven.

    Three things are asked of each technique: is there a rule that can run here,
    has the store seen the data that it needs (with a store that is there), and
    did the samples of a rule fire? Gaps are what no running rule names, and what
    is unproven. What no rule names at all is in no list of this program.

    json gives everything; csv and jsonl a row for each technique. Exit code 1
    when no rule names a technique.

    Examples:

      soc rule coverage

      soc rule coverage --layer coverage.json

      soc rule coverage --by technique --no-tests --output csv
    """
    from soc.detect import catalogue
    from soc.detect.coverage import coverage as cover

    s = session()
    if by not in {"tactic", "technique"}:
        raise UsageError(f"--by {by!r}: tactic or technique")
    ruleset = catalogue.ruleset_of(s.config, rules or [])
    found = cover(ruleset.rules, fired=_fired(s, rules) if tests else None, seen=_seen(s, ruleset))
    if layer is not None:
        _write_layer(s, found, layer)
    if layer is None or str(layer) != "-":
        _show(s, found, by)
    if not found.techniques:
        s.say("no rule names a technique (tags: attack.t1059.001)")
        return ExitCode.FAILED
    return ExitCode.DONE


def _fired(s: Session, rules: list[str] | None) -> set[str]:
    from soc.cli.progress import bar
    from soc.detect import checks
    from soc.detect.coverage import fired_in

    with bar(s, "testing rules") as progress:
        return fired_in(checks.try_chosen(s.config, rules or [], progress=progress))


def _seen(s: Session, ruleset: Ruleset) -> set[str] | None:
    """The rules whose data the store has seen; None when no store is there."""
    from soc.detect.coverage import seen_by
    from soc.detect.sight import Sight
    from soc.errors import SocError

    try:
        sight = Sight(s.store(create=False))
        sight.load()
    except SocError as error:
        s.say(f"without the data of a store: {error}")
        return None
    return seen_by(ruleset.rules, sight)


def _show(s: Session, found: Coverage, by: str) -> None:
    gaps = found.gaps()
    if s.out.format == "json" and s.out.fields is None:
        s.out.one(
            {
                "tactics": list(found.by_tactic()),
                "techniques": [technique.row() for technique in found.techniques],
                "gaps": gaps,
            }
        )
        return
    if by == "tactic" and s.out.is_table:
        columns = [
            Column("tactic", style="bold"),
            *(Column(n, right=True) for n in ("techniques", "running", "seen", "fired", "rules")),
            Column("gap", wide=True),
        ]
        s.out.rows(found.by_tactic(), columns)
    else:
        columns = [
            Column("technique", style="bold"),
            Column("state", styles=STATES),
            Column("running", right=True),
            Column("seen", right=True),
            Column("fired", right=True),
            Column("names", wide=True),
        ]
        s.out.rows((technique.row() for technique in found.techniques), columns, empty="")
    for name, words in (
        ("cannot_run", "named only by rules that cannot run here"),
        ("never_seen", "without data in the store"),
        ("never_fired", "without a sample that fired"),
    ):
        if gaps[name]:
            more = f" and {len(gaps[name]) - 8} more" if len(gaps[name]) > 8 else ""
            number = f"{len(gaps[name])} technique{'' if len(gaps[name]) == 1 else 's'}"
            s.say(f"{number} {words}: {', '.join(gaps[name][:8])}{more}")
    if gaps["rules_without_technique"]:
        s.say(f"{len(gaps['rules_without_technique'])} rules name no technique")


def _write_layer(s: Session, found: Coverage, path: Path) -> None:
    import json

    from soc.detect.coverage import layer

    text = json.dumps(layer(found, "soc rules", "Made by soc rule coverage"), indent=2, ensure_ascii=False)
    if str(path) == "-":
        s.out.write(text)
        return
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(error.strerror or str(error), place=path) from None
    number = len(found.techniques)
    where = "https://mitre-attack.github.io/attack-navigator/"
    s.say(f"{path}: {number} technique{'' if number == 1 else 's'}; open it at {where}")


@app.command("diff")
def diff(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="A file, a folder, REV:PATH of git, or a published commit")
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same")],
    events: Annotated[
        list[str], typer.Option("--events", metavar="FILE", help="Files or folders to match (repeatable)")
    ],
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit code 1 when some event matches on one side only")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="List rules without a difference too")] = False,
) -> int:
    """Show what a change of rules changes: recorded events that match only before, or only after.

    Files are what any collector reads, as for `soc scan`. Rules are compared by
    id. json names the events; a table the first of them. Exit code 1 when there
    was no event to look at, and with --exit-code when there is a difference.

    Examples:

      soc rule diff rules/old.yml rules/new.yml --events /evidence

      soc rule diff HEAD:rules rules --events auth.log --exit-code

      soc rule diff published rules --events Security.evtx --output json
    """
    from contextlib import ExitStack

    from soc.cli.progress import bar
    from soc.collect.collector import collectors_for
    from soc.collect.parsing import context_of
    from soc.detect import difference as work
    from soc.detect.recorded import Recording

    s = session()
    recording = Recording(events, collectors_for(s.config), context_of(s.config.timezone, ""))
    with ExitStack() as stack:
        sides = [
            stack.enter_context(work.side(s.config, text, store=lambda: s.store(create=False)))
            for text in (old, new)
        ]
        for ruleset in sides:
            ruleset.require_sound()
        progress = stack.enter_context(bar(s, "files"))
        found = work.difference(
            sides[0].rules,
            sides[1].rules,
            recording,
            tick=lambda: progress(recording.done, len(recording.sources)),
        )
    shown = [c for c in found.changes if everything or c.lost or c.gained or c.undecided]
    columns = [
        Column("name", style="bold"),
        Column("change"),
        Column("before", right=True),
        Column("after", right=True),
        Column("only_before", right=True, style="red"),
        Column("only_after", right=True, style="green"),
        Column("example", wide=True),
    ]
    s.out.rows((change.row() for change in shown), columns, empty="no event matches on one side only")
    for problem in recording.problems:
        s.say(str(problem))
    counts = [sum(c.kind == kind for c in found.changes) for kind in ("changed", "added", "removed")]
    s.say(f"{found.events:,} events; rules: {counts[0]} changed, {counts[1]} added, {counts[2]} removed")
    if not found.events:
        return ExitCode.FAILED
    if recording.problems:
        return ExitCode.PARTLY_DONE
    return ExitCode.FAILED if exit_code and found.differs else ExitCode.DONE
