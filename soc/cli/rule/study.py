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
    from soc.detect.rule import Rule

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
    the events that the alert carries. Of a correlation you see the windows
    that fulfil it, and the hits of its rules. Exit code 0 whether it fires or
    not.

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
    if chosen.correlation is not None:
        return _correlation(s, chosen, event)
    asked = work.events_of(s.config, event, store=lambda: s.store(create=False), rule=chosen.id)
    ruleset = ruleset_for(s.config) if chosen.filters else None
    versions: dict[str, Subject] = {}
    found: list[Explanation] = []
    for item in asked[: work.MAX_EVENTS]:
        if item.version not in versions:
            stored = None
            if item.version and item.version != chosen.version:
                stored = work.stored_version(s.store(create=False), chosen.id, item.version)
            versions[item.version] = work.subject_of(s.config, ruleset, chosen, stored=stored)
        found.append(answer(versions[item.version], item.event, item.where))
    if s.out.format == "json" and s.out.fields is None and len(found) == 1:
        s.out.one(found[0].body())
    else:
        _show(s, found)
    if len(asked) > work.MAX_EVENTS:
        s.say(f"these are the first {work.MAX_EVENTS} events; name one as FILE:RECORD")
    return ExitCode.DONE


def _correlation(s: Session, rule: Rule, event: str) -> int:
    """A correlation: which hits of its rules there are, in which windows they meet its condition."""
    from soc.detect import subject as work
    from soc.detect.correlate.reading import bases_of
    from soc.detect.explain import explain as answer
    from soc.detect.ruleset import ruleset_for

    path, number = work.file_of(event)
    everything = work.events_of(
        s.config, path or event, store=lambda: s.store(create=False), rule="", limit=work.MAX_CORRELATED
    )
    alert = None if path else work.told_by(s.store(create=False), event)
    told = [alert] if alert else work.bursts(rule, everything)
    bases = bases_of(rule)
    ruleset = ruleset_for(s.config) if any(base.filters for base in bases) else None
    subjects = [work.subject_of(s.config, ruleset, base, stored=None) for base in bases]
    shown = [one for one in everything if number is None or one.where == event]
    found = [answer(subject, one.event, one.where) for one in shown for subject in subjects]
    if number is None:
        found = [one for one in found if one.verdict == "true"][: work.MAX_EVENTS]
    if s.out.format in {"json", "jsonl"} and s.out.fields is None:
        facts = {"rule": {"id": rule.id, "title": rule.title}, "verdict": str(bool(told)).lower()}
        s.out.one({**facts, "bursts": told, "hits": [one.body() for one in found]})
        return ExitCode.DONE
    if s.out.is_table:
        names = ", ".join(base.title for base in bases)
        s.out.write(f"{rule.title} is a correlation of: {names}")
        for burst in told:
            group = ", ".join(f"{name} {value}" for name, value in burst.get("group", {}).items())
            s.out.write(f"  fires: {burst['text']} ({group or 'all together'})")
            s.out.write(f"         from {burst['first']} to {burst['last']}")
        if not told:
            s.out.write("  does not fire: no window of these events fulfils its condition")
        s.out.write("")
    _show(s, found)
    return ExitCode.DONE


def _show(s: Session, found: list[Explanation]) -> None:
    from soc.detect.explain import lines

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
