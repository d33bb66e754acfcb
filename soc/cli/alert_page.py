"""The page of one alert: what, where, when, why, the events behind it, its history, the next commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from soc import ecs
from soc.cli.output import LEVEL_STYLES, Column, as_text
from soc.cli.text import one_line, safe
from soc.cli.times import brief, narrow
from soc.detect.grouping import MAX_ENTITIES
from soc.event import values_of
from soc.respond.alerts import AlertView, Status, describe
from soc.search import summary
from soc.store.contract import StoredEvent
from soc.timing import local

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

SHOWN_EVENTS = 10
SHOWN_VALUE = 300
WHY = "soc.why"
"""Field of a hit that an extension of its rule let count: why it did (`soc.detect.beyond.stage`)."""

_SKIPPED = frozenset(
    {
        *("event.dataset", "soc.layer", WHY, "threat.enrichments.indicator.name"),
        *("threat.enrichments.indicator.provider", "threat.enrichments.indicator.marking.tlp"),
    }
)
"""Fields whose values stand elsewhere on the page, or say nothing that an analyst needs there."""


_SHORT_STATUS = {"acknowledged": "ack"}
"""In a narrow terminal; as the verb is called."""


def shown_row(view: AlertView) -> dict[str, Any]:
    """A row for people: times in their zone, shorter where the terminal is narrow."""
    row = view.row
    small = narrow()
    late = f" (+{view.since_closed} since closed)" if view.since_closed else ""
    return {
        **row,
        "status": _SHORT_STATUS.get(row["status"], row["status"]) if small else row["status"],
        "count": f"{'≥' if view.body['inexact'] else ''}{view.count}{late}",
        **{name: brief(row[name], narrow=small) for name in ("first", "last", "created")},
    }


def columns_for(columns: Sequence[Column], views: Sequence[AlertView]) -> list[Column]:
    """The columns that say something: without owner and status where nobody has touched any of the alerts."""
    dull = set()
    if not any(view.owner for view in views):
        dull.add("owner")
    if all(view.status is Status.OPEN for view in views):
        dull.add("status")
    return [column for column in columns if column.field not in dull]


def page(
    view: AlertView,
    events: Sequence[StoredEvent],
    *,
    exceptions: Sequence[str] = (),
    zone_note: bool = True,
) -> RenderableType:
    """All of an alert, for a terminal. Text from logs is neutralised.

    `exceptions`: lines on those that its rule has got since.
    """
    from rich.console import Group

    parts: list[RenderableType] = [_title(view), _facts(view)]
    for name, lines in (
        ("Why", _why(view, events)),
        ("Made of", [_part(part) for part in view.body.get("parts", ())]),
        ("Events", _events(view, events)),
        ("Earlier alerts of this rule here", _previous(view)),
        ("History", [describe(entry) for entry in view.work.get("history", ())]),
        ("Exceptions of this rule since", exceptions),
        ("False positives known", list(view.rule["falsepositives"])),
        ("Next", list(_next(view))),
    ):
        parts += _section(name, [line for line in lines if line])
    if zone_note:
        parts.append(_text(f"version {view.version}; times in {_zone(view)}", "dim"))
    return Group(*parts)


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(safe(text), style=style)


def _title(view: AlertView) -> Text:
    text = _text("")
    text.append(view.id, "bold")
    text.append("  ")
    text.append(view.level, LEVEL_STYLES.get(view.level, ""))
    text.append("  ")
    text.append(one_line(view.title), "bold")
    return text


def _section(name: str, lines: Sequence[str]) -> list[RenderableType]:
    if not lines:
        return []
    from rich.padding import Padding

    body: list[RenderableType] = [Padding(_text(line), (0, 0, 0, 2)) for line in lines]
    return [_text(""), _text(name, "bold"), *body]


def _facts(view: AlertView) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _pairs(view):
        if value:
            table.add_row(_text(name), _text(one_line(value)))
    return table


def _many_entities(body: Mapping[str, Any]) -> str:
    """How many entities an overflow alert is about."""
    number = int(body.get("entities") or 0)
    least = "at least " if number >= MAX_ENTITIES else ""
    said = f"{least}{number:,} entities" if number else "many entities"
    return f"{said} beside those with an alert of their own: too many to open one for each"


def _pairs(view: AlertView) -> Iterator[tuple[str, str]]:
    body, rule = view.body, view.rule
    owner = f", owner {view.owner}" if view.owner else ", nobody works on it"
    reason = f" as {view.work['reason']}" if view.work.get("reason") else ""
    yield "status", f"{view.status}{reason}{owner}"
    if view.since_closed:
        yield "since closed", f"{view.since_closed} more hits, the last {local(body['last'])}"
    yield "what", " ".join(rule["description"].split())
    yield "found", str(body.get("text", "")) or "; ".join(map(str, body["about"].get(WHY, ())))
    if body.get("merged_into"):
        yield "merged", f"into {body['merged_into']}, which counts its events"
    for name, value in body["group"].items():
        yield "where" if not body["overflow"] else "", f"{name} {value or '(none)'}"
    if body["overflow"]:
        yield "where", _many_entities(body)
    if body.get("backfill"):
        yield "backfill", "opened for the past by soc sweep backfill"
    system = body.get("system")
    if system:
        level = f"level {system['level']}" if system["level"] else "level not determined"
        owner = f", owner {system['owner']}" if system["owner"] else ""
        yield "system", f"{system['name']} ({level}{owner})"
    if raised := body.get("raised"):
        yield "raised", f"from {raised['from']}: {raised['why']}"
    for name, values in body["about"].items():
        if name not in body["group"] and name not in _SKIPPED:
            yield name, as_text(values)
    yield "when", _when(view)
    yield "rule", f"{rule['title']} ({rule['id']}, version {', '.join(body['versions'])})"
    yield "commit", rule.get("commit", "")
    yield "in", f"{rule['path']}:{rule['line']}" if rule["path"] else ""
    yield "tags", as_text(rule["tags"])


def _when(view: AlertView) -> str:
    at_least = "at least " if view.body["inexact"] else ""
    first, last = local(view.body["first"]), local(view.body["last"])
    hits = f"{at_least}{view.count} hit{'' if view.count == 1 else 's'}"
    return f"{hits}, {first}" + (f" to {last}" if first != last else "")


def _why(view: AlertView, events: Sequence[StoredEvent]) -> list[str]:
    """The fields that the rule reads, with what the first event has in them: what it went by."""
    if not events:
        return []
    first = events[0].event
    out = []
    for name in view.rule.get("fields", ()):
        values = values_of(first, name)
        if values:
            out.append(f"{name}: {_short(as_text(values))}")
    return out


def _part(part: Mapping[str, Any]) -> str:
    """What one rule contributed to an alert about several events."""
    return f"{part['count']:>6} × {one_line(part['title'])} ({part['rule']})"


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= SHOWN_VALUE else f"{line[:SHOWN_VALUE]}… ({len(line)} characters)"


def _events(view: AlertView, events: Sequence[StoredEvent]) -> list[str]:
    out = []
    shown = events[:SHOWN_EVENTS]
    if view.body.get("parts") and len(events) > SHOWN_EVENTS:  # how it ended says as much as how it began
        shown = [*events[: SHOWN_EVENTS // 2], *events[-(SHOWN_EVENTS // 2) :]]
    for stored in shown:
        event = stored.event
        said = summary(event, raw=True) or as_text(event)
        out.append(f"{local(str(event.get('@timestamp')))}  {_short(said)}")
    if view.count > len(out):
        out.append(
            f"{len(out)} of {view.count}; those kept with the alert: soc alert show {view.id} --output json"
        )
    return out


def _previous(view: AlertView) -> list[str]:
    out = []
    for earlier in view.body["previous"]:
        end = f"closed as {earlier['reason']} by {earlier['by']}" if earlier["reason"] else earlier["status"]
        out.append(f"{earlier['id']}  {local(earlier['last'])}  {earlier['count']} hits, {end}")
    return out


def _next(view: AlertView) -> Iterator[str]:
    if view.status is Status.CLOSED:
        yield f'soc alert reopen {view.id} --reason "…"'
    else:
        if view.status is Status.OPEN:
            yield f"soc alert ack {view.id}"
        for name in view.playbooks:
            yield f"soc playbook run {shlex.quote(name)} --alert {view.id}"
        yield f'soc alert close {view.id} --reason false-positive --note "…"'
    if "parts" not in view.body:  # what is made of several rules' hits has no events of its own
        yield f"soc exception add --alert {view.id}"
    asked = view.body["group"].items()
    if view.body.get("parts"):
        asked = [(name, value) for name, value in asked if ecs.is_known(name)]  # an alias is no field
    terms = " ".join(f'{name}:"{value}"' for name, value in asked if _plain(value))
    if terms:
        yield f"soc search {shlex.quote(terms)} --since {shlex.quote(view.body['first'])}"


def _plain(value: str) -> bool:
    """Whether a value may stand in a command that people will paste into a shell."""
    return bool(value) and value.isprintable() and not set(value) & set("\"'`$\\!")


def _zone(view: AlertView) -> str:
    return f"your zone ({local(view.body['last'])[-6:]})"
