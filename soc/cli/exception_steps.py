"""The steps of `soc exception add`: offer, look, show, ask, save, close."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from soc.cli.session import Session
from soc.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from soc.detect.exceptions.draft import Draft
    from soc.detect.exceptions.review import Review
    from soc.detect.rule import Rule
    from soc.detect.ruleset import Ruleset
    from soc.respond.alerts import AlertView, Changed


def choose(s: Session, alert: str, *, ready: bool) -> list[str]:
    """Offer conditions from an alert; at a terminal some may be chosen. Raises `UsageError` otherwise.

    `ready`: nothing else is missing, so that a choice leads on.
    """
    from soc.cli.alert_prompts import ask
    from soc.cli.exception_report import candidate_rows
    from soc.cli.output import Column
    from soc.detect.exceptions.candidates import candidates
    from soc.respond import alerts

    store = s.store(create=False)
    view = alerts.get(store, alert)
    found = candidates(view, alerts.events_of(store, view))
    rows = [{"number": n, **row} for n, row in enumerate(candidate_rows(found), 1)]
    columns = [
        Column("number", "", right=True),
        Column("option", "CONDITION", style="bold", wide=True),
        Column("events", "IN EVENTS"),
    ]
    s.out.rows(rows, columns, empty="the alert's events have nothing in common that could be offered")
    if not found or not ready or not s.interactive or not s.out.is_table:
        raise UsageError(
            "which hits? --where is missing; these are values of the alert",
            hint=f"soc exception add --alert {view.id} {found[0].option if found else '--where FIELD=VALUE'} "
            '--expires 30d --reason "…"',
        )
    answer = ask("Numbers of the conditions that must all hold").replace(",", " ").split()
    if not all(part.isdecimal() and 1 <= int(part) <= len(found) for part in answer):
        raise UsageError(f"numbers from 1 to {len(found)} are expected; nothing was changed")
    return [found[int(part) - 1].where for part in answer]


def prepare(
    s: Session,
    rule: list[str],
    alert: str,
    where: list[str],
    now: datetime,
    *,
    since: datetime,
    owner: str,
    **given: Any,
) -> tuple[Draft, list[Review]]:
    """The exception, and what it would have hidden of each of its rules."""
    from soc import content
    from soc.cli.progress import bar
    from soc.detect.exceptions.draft import draft
    from soc.detect.exceptions.review import review
    from soc.detect.pipelines import load_pipelines

    store = s.store(create=False)
    rules = _rules(s, rule, alert)
    by = store.whoami()
    made = draft(
        rules,
        where,
        by=by,
        owner=owner or by,
        now=now,
        pipelines=load_pipelines([content.shipped("rules"), *s.config.rules], s.config.placeholders),
        **given,
    )
    reviews = []
    for one in made.rules:
        with bar(s, "looking for its hits") as progress:
            reviews.append(review(store, one, made.applied[one.id], since=since, now=now, progress=progress))
    return made, reviews


def _rules(s: Session, wanted: list[str], alert: str) -> list[Rule]:
    from soc.detect import catalogue
    from soc.respond import alerts

    ruleset = loaded(s)
    if not alert:
        return list({r.id: r for r in (catalogue.find(ruleset.rules, one) for one in wanted)}.values())
    view = alerts.get(s.store(create=False), alert)
    rule = ruleset.by_id.get(view.rule["id"])
    if rule is None:
        raise UsageError(f"the rule of {view.id}, {view.title}, is not there any more", hint="soc rule list")
    return [rule]


def loaded(s: Session) -> Ruleset:
    """The rules as configured, with their exceptions."""
    from soc.cli.progress import bar
    from soc.detect.ruleset import ruleset_for

    with bar(s, "compiling rules") as progress:
        return ruleset_for(s.config, progress=progress)


def warn(s: Session, draft: Draft, reviews: Sequence[Review], alert: str) -> list[str]:
    """Show the exception, what it would have hidden, and what may be wrong with it (which is returned)."""
    from soc.cli import exception_report as report
    from soc.detect.exceptions.doubts import doubts

    found = doubts(draft, reviews, alert=_alert(s, alert))
    if s.out.is_table and s.out.fields is None:
        report.show_draft(s, draft, reviews, found)
    return found


def _alert(s: Session, alert: str) -> AlertView | None:
    from soc.respond import alerts

    return alerts.get(s.store(create=False), alert) if alert else None


def agree(s: Session, reviews: Sequence[Review], path: Any, *, yes: bool, dry_run: bool) -> None:
    """Ask before it is saved; what hides a true positive wants --yes."""
    from soc.cli.exception_report import many

    true = [cover for one in reviews for cover in one.true_positives]
    if true and not yes:
        hits = sum(cover.hidden for cover in true)
        names = ", ".join(cover.view.id for cover in true[:10])
        message = f"it would have hidden {many(hits, 'hit')} of alerts closed as true positive: {names}"
        if not dry_run:
            raise UsageError(message, hint="narrow --where; --yes saves it all the same")
        s.say(f"warning: {message}; --yes would be needed")
    if not dry_run:
        hidden, hits = sum(one.hidden for one in reviews), sum(one.hits for one in reviews)
        s.confirm(f"It hides {hidden:,} of {many(hits, 'hit')}. Save it as {path}?", yes=yes)


def save(
    s: Session,
    draft: Draft,
    reviews: Sequence[Review],
    doubts: Sequence[str],
    folder: Any,
    close_as: str,
    *,
    dry_run: bool,
) -> int:
    from soc.cli import exception_report as report
    from soc.detect.exceptions import actions, files

    store = s.store(create=False)
    path = files.free(folder, draft.name) if dry_run else actions.add(store, folder, draft, reviews)
    if path.stem != draft.name:
        s.say(f"there is an exception {draft.name} already; this one is called {path.stem}")
    results: list[Changed] = []
    if close_as:
        covers = [cover for one in reviews for cover in one.open]
        note = f"exception {draft.id} ({path.stem}): {draft.reason}"
        results = actions.close_covered(store, covers, reason=close_as, note=note, dry_run=dry_run)
    rows = [report.closed_row(result, dry_run=dry_run) for result in results]
    everything = report.data(draft, reviews, doubts)
    everything |= {"name": path.stem, "path": str(path), "saved": not dry_run}
    if close_as:
        everything |= {"closed": rows, "coverage": _coverage(reviews)}
    if dry_run and s.out.is_table:
        s.out.write("")
        s.out.write(draft.text)
        s.say(f"dry run: would write {path}")
    else:
        report.saved(s, path, everything)
    if close_as and s.out.is_table:
        _say_closed(s, reviews, rows)
    if not dry_run:
        s.say(f"{taken_up(s)}; soc exception list counts what it hides")
    failed = [result for result in results if not result.ok]
    return ExitCode.PARTLY_DONE if failed else ExitCode.DONE


def taken_up(s: Session) -> str:
    """When sweeps come to know of a change."""
    return "soc rule publish brings it to the sweeps" if s.config.published else "the next sweep takes it up"


def _coverage(reviews: Sequence[Review]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"wholly": [], "partly": [], "not": []}
    for one in reviews:
        for cover in one.open:
            found[cover.extent].append(cover.view.id)
    return found


def _say_closed(s: Session, reviews: Sequence[Review], rows: Sequence[dict[str, Any]]) -> None:
    from soc.cli import exception_report as report
    from soc.cli.output import Column

    if rows:
        s.out.rows(rows, [Column("id", style="bold"), Column("result"), Column("message", wide=True)])
    s.say(report.coverage(reviews))
    for line in report.why_open(cover for one in reviews for cover in one.open):
        s.say(line)
