"""Searching events for people: a period as they write it, a limit that tells of more, rows for a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from soc import ecs
from soc.detect.predicate import Predicate
from soc.errors import UsageError
from soc.event import Event, values_of
from soc.store.contract import Store, StoredEvent
from soc.timing import parse_when

MESSAGE_LENGTH = 200
"""Characters of an event's message that a table shows."""


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` on and before `until`; None is no bound."""

    since: datetime | None = None
    until: datetime | None = None


def period(since: str, until: str, now: datetime | None = None) -> Period:
    """The period that a person means (see `soc.timing.parse_when`); raises `UsageError`."""
    now = now or datetime.now(UTC)
    found = Period(parse_when(since, now) if since else None, parse_when(until, now) if until else None)
    if found.since and found.until and found.since >= found.until:
        raise UsageError(f"--since {since} is not before --until {until}", hint="exchange them")
    return found


@dataclass
class Found:
    """Events found, to be gone through once; then `more` says whether the limit left some out."""

    events: Iterator[StoredEvent]
    limit: int
    more: bool = field(default=False, init=False)

    def __iter__(self) -> Iterator[StoredEvent]:
        if not self.limit:
            yield from self.events
            return
        yield from islice(self.events, self.limit)
        self.more = next(self.events, None) is not None


def find(
    store: Store, where: Predicate, when: Period, *, limit: int = 0, oldest_first: bool = False
) -> Found:
    """At most `limit` events (0: all) of a period on which the predicate is true, the newest first."""
    events = store.search(
        where,
        since=when.since,
        until=when.until,
        limit=limit + 1 if limit else None,
        newest_first=not oldest_first,
    )
    return Found(events, limit)


def rows(
    found: Found, *, whole: bool, fields: str | None, shown_time: Callable[[str], str] = str
) -> Iterator[Mapping[str, Any]]:
    """Rows for output: whole events with their `_id`, or what a table shows of them, with `shown_time` of
    their times (default: UTC, as they are stored).

    `fields`: the names chosen, separated by commas; each row then has them all, since events differ in
    theirs. A name that neither ECS nor the first event knows is left to the output to refuse.
    """
    chosen: list[str] | None = None
    for number, stored in enumerate(found):
        full = {"_id": stored.id, **stored.event}
        if fields is not None and not number:
            names = [name.strip() for name in fields.split(",") if name.strip()]
            chosen = names if names and all(n in full or ecs.is_known(n) for n in names) else None
        if chosen is not None:
            yield {name: full.get(name) for name in chosen}
        else:
            yield full if whole or fields is not None else table_row(stored.event, shown_time)


def table_row(event: Event, shown_time: Callable[[str], str] = str) -> dict[str, Any]:
    """What a table shows of an event: time, host or else the sensor that saw it, and what happened."""
    return {
        "time": shown_time(str(event.get("@timestamp", ""))),
        "layer": event.get("soc.layer"),
        "host": _first(event, "host.name", "host.hostname", "observer.name"),
        "dataset": event.get("event.dataset"),
        "message": _short(summary(event)),
    }


SUMMARY_FIELDS = (
    "rule.name",
    "event.action",
    "event.code",
    "event.outcome",
    "user.name",
    "user.target.name",
    "process.command_line",
    "process.executable",
    "process.parent.executable",
    "source.ip",
    "destination.ip",
    "destination.port",
    "dns.question.name",
    "url.original",
    "url.domain",
    "http.request.method",
    "http.response.status_code",
    "file.path",
    "file.hash.sha256",
    "registry.path",
    "email.from.address",
    "email.subject",
    "threat.indicator.name",
    "vulnerability.id",
    "service.name",
)
"""What an analyst asks of an event that brings no sentence of its own, in the order of `summary`."""

_STRUCTURED = ("{", "[{", "<")


def summary(event: Event, *, raw: bool = False) -> str:
    """What happened, in a line: the message of an event, or (`raw`, or without one) its original line.

    The original of a structured record (JSON, XML) would be cut before it says anything: its main fields
    stand in its place, after the message if there is one.
    """
    message = str(event.get("message") or "").strip()
    original = str(event.get("event.original") or "").strip()
    structured = original.startswith(_STRUCTURED)
    message = "" if message.startswith(_STRUCTURED) else message
    if not structured and (message or original):
        return original if original and (raw or not message) else message
    fields = {name: ", ".join(map(str, values_of(event, name))) for name in SUMMARY_FIELDS}
    said = " ".join(f"{name}={value}" for name, value in fields.items() if value not in ("", message))
    return "  ".join(part for part in (message, said) if part) or original or str(event.get("message", ""))


def _first(event: Event, *names: str) -> Any:
    return next((event[name] for name in names if event.get(name)), None)


def _short(text: str) -> str:
    line = text.strip()
    return line if len(line) <= MESSAGE_LENGTH else line[: MESSAGE_LENGTH - 1] + "…"
