"""What an exception would hide, and what exceptions have hidden: in words, rows and data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from soc.cli.output import Column
from soc.cli.text import one_line
from soc.cli.times import brief, narrow
from soc.event import timestamp
from soc.timing import local

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from soc.cli.session import Session
    from soc.detect.exceptions.candidates import Candidate
    from soc.detect.exceptions.draft import Draft
    from soc.detect.exceptions.model import Exemption
    from soc.detect.exceptions.review import Cover, Review
    from soc.detect.exceptions.usage import Usage
    from soc.respond.alerts import Changed

SHOWN_ALERTS = 20
LINE = 200
"""Characters of an event that a sample shows."""

LIST = [
    Column("name", style="bold"),
    Column("state", styles={"expired": "dim", "expiring": "yellow", "endless": "yellow"}),
    Column("expires", "UNTIL"),
    Column("owner"),
    Column("hidden", right=True),
    Column("last", "LAST HIT"),
    Column("rules", wide=True),
]
ALERTS = [
    Column("id", "ALERT", style="bold"),
    Column("status"),
    Column("reason", styles={"true-positive": "bold red"}),
    Column("hidden", "HIDES", right=True),
    Column("count", "OF", right=True),
    Column("extent", "COVERED"),
    Column("last", "LAST HIT"),
    Column("entity", wide=True),
]


def many(number: int, thing: str) -> str:
    """`1 hit`, `12,345 hits`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


# before it is saved


def cover_row(cover: Cover) -> dict[str, Any]:
    """An alert and how much of it an exception covers."""
    view = cover.view
    return {
        "id": view.id,
        "status": str(view.status),
        "reason": view.work.get("reason", ""),
        "hidden": cover.hidden,
        "count": view.count,
        "seen": cover.seen,
        "missing": cover.missing,
        "extent": cover.extent,
        "last": view.body["last"],
        "entity": view.body["entity"],
    }


def data(draft: Draft, reviews: Sequence[Review], doubts: Sequence[str]) -> dict[str, Any]:
    """The exception and what it would have hidden, for programs."""
    return {
        "id": draft.id,
        "name": draft.name,
        "title": draft.title,
        "rules": [rule.id for rule in draft.rules],
        "where": list(draft.where),
        "expires": timestamp(draft.expires),
        "owner": draft.owner,
        "reason": draft.reason,
        "ticket": draft.ticket,
        "text": draft.text,
        "since": timestamp(reviews[0].since),
        "hits": sum(one.hits for one in reviews),
        "hidden": sum(one.hidden for one in reviews),
        "loose": sum(one.loose for one in reviews),
        "alerts": [cover_row(cover) for one in reviews for cover in one.touched],
        "true_positives": [cover.view.id for one in reviews for cover in one.true_positives],
        "samples": [{"id": e.id, "event": e.event} for one in reviews for e in one.samples],
        "doubts": list(doubts),
    }


def show_draft(s: Session, draft: Draft, reviews: Sequence[Review], doubts: Sequence[str]) -> None:
    """The same for a person: what it is, what it hides, and what may be wrong with it."""
    out = s.out
    out.write(f"hides   {' and '.join(one_line(text) for text in draft.where)}")
    out.write(f"of      {', '.join(one_line(rule.title) for rule in draft.rules)}")
    out.write(f"until   {local(timestamp(draft.expires))}, owner {one_line(draft.owner)}")
    for one in reviews:
        out.write("")
        since = brief(timestamp(one.since), narrow=narrow())
        loose = f", {one.loose:,} of them on no alert" if one.loose else ""
        what = f" of {one_line(one.rule.title)}" if len(reviews) > 1 else ""
        out.write(f"since {since}: {many(one.hits, 'hit')}{what}, it hides {one.hidden:,}{loose}")
        for stored in one.samples:
            out.write(f"  {_sample(stored.event)}")
    _show_alerts(s, [cover for one in reviews for cover in one.touched])
    for doubt in doubts:
        s.say(f"warning: {doubt}")


def _sample(event: Mapping[str, Any]) -> str:
    from soc.cli.output import as_text
    from soc.search import summary

    said = one_line(summary(dict(event), raw=True) or as_text(event))
    shown = said if len(said) <= LINE else f"{said[:LINE]}…"
    return f"{local(str(event.get('@timestamp')))}  {shown}"


def _show_alerts(s: Session, covers: Sequence[Cover]) -> None:
    """The alerts that it touches, true positives and open ones first."""
    if not covers:
        return
    ordered = sorted(covers, key=lambda c: (not c.was_true, c.view.status == "closed", c.view.id))
    s.out.write("")
    rows = [cover_row(cover) for cover in ordered[:SHOWN_ALERTS]]
    s.out.rows([{**row, "last": brief(row["last"], narrow=narrow())} for row in rows], ALERTS)
    if len(ordered) > SHOWN_ALERTS:
        s.say(f"and {len(ordered) - SHOWN_ALERTS:,} more alerts; --output json has them all")


def coverage(reviews: Iterable[Review]) -> str:
    """How the open alerts are covered, in a sentence."""
    counts = {"wholly": 0, "partly": 0, "not": 0}
    for one in reviews:
        for cover in one.open:
            counts[cover.extent] += 1
    return "open alerts: " + ", ".join(f"{number} {extent} covered" for extent, number in counts.items())


def why_open(covers: Iterable[Cover]) -> list[str]:
    """Why alerts that are covered in part stay open."""
    out = []
    for cover in covers:
        if cover.extent == "partly":
            rest = cover.seen - cover.hidden
            parts = [f"{many(rest, 'hit')} not covered"] if rest else []
            if cover.missing:
                parts.append(f"{many(cover.missing, 'hit')} no longer in the store")
            if cover.view.body["inexact"]:
                parts.append("its count is inexact")
            out.append(f"{cover.view.id} stays open: {cover.hidden:,} covered, {', '.join(parts)}")
    return out


def closed_row(result: Changed, *, dry_run: bool) -> dict[str, Any]:
    """What became of an alert that was to be closed."""
    state = "would be closed" if dry_run else "closed"
    return {
        "id": result.id,
        "result": state if result.ok else "not closed",
        "message": str(result.error) if result.error else "",
    }


def candidate_rows(found: Iterable[Candidate]) -> list[dict[str, Any]]:
    """Conditions that are suggested, with the option to type."""
    return [
        {
            "field": one.field,
            "value": one.value,
            "events": f"{one.events} of {one.of}",
            "where": one.where,
            "option": one.option,
        }
        for one in found
    ]


# what there is


def list_rows(
    rows: Iterable[dict[str, Any]], titles: Mapping[str, str], *, people: bool
) -> list[dict[str, Any]]:
    """Rows for a list; for people: times in their zone, titles of rules instead of ids."""
    out = list(rows)
    if not people:
        return out
    small = narrow()
    return [
        {
            **row,
            "expires": brief(row["expires"], narrow=small) if row["expires"] else "never",
            "last": brief(row["last"], narrow=small) if row["last"] else "",
            "rules": [titles.get(rule, rule) for rule in row["applies"] or row["rules"]],
        }
        for row in out
    ]


def totals(rows: Sequence[Mapping[str, Any]]) -> str:
    """The report in a line: how many there are, have hidden something, have expired, were never used."""
    if not rows:
        return ""
    states = [row["state"] for row in rows]
    parts = [many(len(rows), "exception")]
    parts.append(f"{sum(not row['unused'] for row in rows)} fired")
    parts.append(f"{sum(bool(row['unused']) for row in rows)} never used")
    parts.append(f"{states.count('expired')} expired")
    if soon := states.count("expiring"):
        parts.append(f"{soon} expiring")
    if endless := states.count("endless"):
        parts.append(f"{endless} without an expiry")
    return f"{parts[0]}: {', '.join(parts[1:])}"


def details(
    one: Exemption, seen: Usage, titles: Mapping[str, str], now: datetime, *, people: bool
) -> dict[str, Any]:
    """All of an exception, for `show`."""
    from soc import yamlio

    def at(text: str | None) -> str | None:
        return local(text) if people and text else text

    expires = timestamp(one.expires) if one.expires else None
    found = {
        "name": one.name,
        "id": one.id,
        "title": one.title,
        "state": one.state(now),
        "expires": at(expires) or ("never" if people else None),
        "owner": one.owner,
        "reason": one.reason,
        "ticket": one.ticket,
        "rules": [titles.get(rule, rule) if people else rule for rule in one.applies],
        "names": list(one.rules) if one.rules is not None else ["any"],
        "logsource": str(one.logsource),
        "filter": yamlio.dump({**one.selections, "condition": one.condition}).rstrip(),
        "hidden": seen.hidden,
        "late": seen.late,
        "last": at(seen.last or None),
        "days": seen.days
        if not people
        else [f"{day}: {number:,}" for day, number in sorted(seen.days.items())],
        "by_rule": seen.rules
        if not people
        else [f"{titles.get(rule, rule)}: {number:,}" for rule, number in seen.rules.items()],
        "history": [dict(entry) for entry in one.history]
        if not people
        else "\n".join(described(entry) for entry in one.history),
        "path": f"{one.path}:{one.line}",
    }
    if people:
        dull = {"names"} if set(one.rules or ("any",)) <= set(one.applies) else set()
        dull |= {"late"} if not seen.late else set()
        found = {k: v for k, v in found.items() if v not in ("", None, [], {}) and k not in dull}
    return found


_DID = {"add": "made it", "extend": "extended it", "end": "ended it"}


def described(entry: Mapping[str, Any]) -> str:
    """An entry of an exception's history in words."""
    said = f": {entry['reason']}" if entry.get("reason") else ""
    did = _DID.get(str(entry.get("action")), str(entry.get("action")))
    until = f", until {local(str(entry['until']))}" if entry.get("until") and did != _DID["end"] else ""
    return f"{local(str(entry.get('at')))} {entry.get('by')} {did}{until}{said}"


def saved(s: Session, path: Path, everything: dict[str, Any]) -> None:
    """Say where it was saved, or give programs all of it."""
    if s.out.is_table and s.out.fields is None:
        s.out.write(str(path))
    else:
        s.out.one(everything)
