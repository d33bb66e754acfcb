"""`soc rule explain`: why a rule fires on an event, or does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from soc.cli.completion import names_of
from soc.cli.output import Column
from soc.cli.rule import app
from soc.cli.session import session
from soc.errors import ExitCode

if TYPE_CHECKING:
    from soc.cli.session import Session
    from soc.detect.explain import Explanation, Subject
    from soc.detect.subject import Asked

VERDICTS = {"true": "bold green", "false": "red", "undecided": "yellow", "blind": "magenta"}


@app.command("explain")
def explain(
    rule: Annotated[
        str, typer.Argument(metavar="RULE", help="Its id, name or file", autocompletion=names_of("rule"))
    ],
    event: Annotated[
        str,
        typer.Argument(
            metavar="EVENT", help="An event id, an alert id, a file or FILE:RECORD; - for standard input"
        ),
    ],
) -> int:
    """Show why a rule fires on an event, or why not: each part of its condition, and the value it saw.

    A part is true, false, undecided (an expression ran out of time), or blind:
    false because the field that it asks for is not there. For a false part that
    nearly fitted, the last column says what is otherwise. Of long lists only
    what decides is shown; -v and json show everything.

    With an alert id the version of the rule that raised it is explained, on
    the events that the alert carries. Exit code 0 whether it fires or not.

    Examples:

      soc rule explain ssh_root_login A-7F3K

      soc rule explain ssh_root_login /var/log/auth.log:17

      soc rule explain proc_creation_win_whoami Sysmon.evtx:2481 --output json

      zcat auth.log.gz | soc rule explain ssh_root_login -
    """
    from soc.detect import catalogue
    from soc.detect import subject as work
    from soc.detect.explain import explain as answer
    from soc.detect.ruleset import ruleset_for

    s = session()
    chosen = catalogue.one_of(s.config, rule)
    ruleset = ruleset_for(s.config) if chosen.correlation is not None or chosen.filters else None
    asked = work.events_of(s.config, event, store=lambda: s.store(create=False), rule=chosen.id)
    rules = [chosen] if chosen.correlation is None or ruleset is None else work.base_rules(ruleset, chosen)
    found: list[Explanation] = []
    for one in rules:
        versions: dict[str, Subject] = {}
        for item in asked[: work.MAX_EVENTS]:
            if item.version not in versions:
                version = item.version if one is chosen else ""
                stored = None
                if version and version != one.version:
                    stored = work.stored_version(s.store(create=False), one.id, version)
                versions[item.version] = work.subject_of(s.config, ruleset, one, stored=stored)
            found.append(answer(versions[item.version], item.event, item.where))
    _show(s, found, asked)
    if chosen.correlation is not None:
        of = "this rule" if len(rules) == 1 else f"these {len(rules)} rules"
        s.say(f"{chosen.title} is a correlation: it is about hits of {of}")
    return ExitCode.DONE


def _show(s: Session, found: list[Explanation], asked: list[Asked]) -> None:
    from soc.detect.explain import lines
    from soc.detect.subject import MAX_EVENTS

    if s.out.format == "json" and s.out.fields is None:
        if len(found) == 1:
            s.out.one(found[0].body())
        else:
            s.out.rows((one.body() for one in found), [])
        return
    if s.out.format in {"json", "jsonl"}:
        s.out.rows((one.body() for one in found), [])
        return
    columns = [
        Column("verdict", styles=VERDICTS),
        Column("part", wide=True),
        Column("saw", wide=True),
        Column("hint", wide=True),
    ]
    for number, one in enumerate(found):
        if s.out.is_table:
            if number:
                s.out.write("")
            s.out.write(_headline(one))
            for note in one.subject.notes:
                s.out.write(f"  note: {note}")
        rows = (line.row() for line in lines(one.steps, everything=s.verbose > 0 or not s.out.is_table))
        s.out.rows(rows, columns)
    if len(asked) > MAX_EVENTS:
        s.say(f"these are the first {MAX_EVENTS} events; name one as FILE:RECORD")


_SAID = {
    "true": "fires on",
    "false": "does not fire on",
    "undecided": "cannot be decided in time on",
    "blind": "could not see what it asks for in",
}


def _headline(one: Explanation) -> str:
    from soc.cli.text import one_line

    subject = one.subject
    return one_line(f"{subject.title} {_SAID[one.verdict]} {one.where}")
