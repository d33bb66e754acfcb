"""Alerts as analysts work with them: what detection wrote, joined with what people did about it.

An alert is two documents. `alert` belongs to detection (rule, entity, count, times) and is only written by
the sweep; `triage` belongs to the analysts (status, owner, notes, history) and is only written here, through
the audit log. An alert without a `triage` document is open, and its version is 0. Neither side ever
overwrites the other's. The events that an alert carries are documents of kind `alert_events`.

Each change says which version it was made on; if somebody changed the alert since, nothing is written and the
error shows their change and keeps one's own text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from soc.detect.grouping import ABOUT_FIELDS
from soc.detect.predicate import EVERYTHING, And, Op, Or, Predicate, Test, matches, tests
from soc.errors import ConflictError, SocError, UsageError
from soc.event import timestamp
from soc.respond import ids
from soc.store.contract import Document, Store, StoredEvent, VersionConflictError, Write

if TYPE_CHECKING:
    from soc.event import Event

ALERT, TRIAGE, EVENTS = "alert", "triage", "alert_events"
LETTER = "A"
LEVELS = ("critical", "high", "medium", "low", "informational")
MAX_NOTE = 20_000
"""Characters of a note."""
MAX_HISTORY = 1_000
"""Entries of an alert's history; the audit log keeps all of them."""


SHOWN_CHANGES = 5
"""Changes of others that a conflict shows."""


class Status(StrEnum):
    """Where an alert stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


REASONS: dict[str, str] = {
    "true-positive": "the rule was right, and it was dealt with",
    "false-positive": "the rule was wrong about this; a note says why",
    "benign": "the rule was right, but what happened was allowed",
    "duplicate": "another alert or case covers it",
    "exercise": "part of a drill or a test",
    "undetermined": "it could not be found out; a note says what was tried",
}
"""Why an alert is closed."""

NOTE_WANTED = frozenset({"false-positive", "undetermined"})
"""Reasons that need a note: the next analyst and the author of the rule learn from it."""


_NO_FACTS = dict.fromkeys(ABOUT_FIELDS)

FIELDS = (
    "id",
    "level",
    "status",
    "owner",
    "title",
    "entity",
    "count",
    "first",
    "last",
    "created",
    "reason",
    "since_closed",
    "overflow",
    "backfill",
    "rule.id",
    "rule.level",
    "rule.version",
    "rule.path",
    "tags",
    "playbooks",
    "soc.system",
    "soc.system_level",
    "notes",
    "version",
    "@timestamp",
    *ABOUT_FIELDS,
)
"""The names of `AlertView.row`."""


@dataclass(frozen=True)
class AlertView:
    """One alert with what was done about it. `version` is what a change has to name."""

    alert: Document
    triage: Document | None = None

    @property
    def id(self) -> str:
        """Its short id, such as `A-7F3K`."""
        return self.alert.id

    @property
    def version(self) -> int:
        """The version of the analysts' part; 0 while nobody has touched it."""
        return self.triage.version if self.triage else 0

    @property
    def body(self) -> Mapping[str, Any]:
        """What detection says: rule, group, count, first, last, about, previous…"""
        return self.alert.body

    @property
    def work(self) -> Mapping[str, Any]:
        """What analysts say: status, owner, reason, notes, history."""
        return self.triage.body if self.triage else {}

    @property
    def rule(self) -> Mapping[str, Any]:
        """The rule as it was when the alert was raised."""
        found: Mapping[str, Any] = self.body["rule"]
        return found

    @property
    def level(self) -> str:
        """Severity."""
        return str(self.body["level"])

    @property
    def title(self) -> str:
        """The title of its rule."""
        return str(self.body["title"])

    @property
    def count(self) -> int:
        """How many hits it holds."""
        return int(self.body["count"])

    @property
    def status(self) -> Status:
        """Where it stands."""
        return Status(self.work.get("status", Status.OPEN))

    @property
    def owner(self) -> str:
        """Who works on it; "" for nobody."""
        return str(self.work.get("owner", ""))

    @property
    def playbooks(self) -> list[str]:
        """Names of the playbooks that answer it."""
        return list(self.rule.get("playbooks", ()))

    @property
    def since_closed(self) -> int:
        """Hits that came after it was closed."""
        return (
            self.count - int(self.work.get("closed_count", self.count)) if self.status is Status.CLOSED else 0
        )

    @cached_property
    def flat(self) -> dict[str, Any]:
        """Everything that a filter can name; the same names as in `row`, and the group's fields."""
        row, group = self.row, self.body["group"]
        return row if group.keys() <= row.keys() else {**row, **{k: v for k, v in group.items() if v}}

    @cached_property
    def row(self) -> dict[str, Any]:
        """The alert as one row of a listing; every row has the same names."""
        body, rule = self.body, self.rule
        about = body["about"]
        system = body.get("system") or {}
        return {
            "id": self.id,
            "level": body["level"],
            "status": str(self.status),
            "owner": self.owner,
            "title": body["title"],
            "entity": body["entity"],
            "count": body["count"],
            "first": body["first"],
            "last": body["last"],
            "created": body["created"],
            "reason": self.work.get("reason", ""),
            "since_closed": self.since_closed,
            "overflow": body["overflow"],
            "backfill": body.get("backfill", False),
            "rule.id": rule["id"],
            "rule.level": rule["level"],
            "rule.version": rule["version"],
            "rule.path": rule["path"],
            "tags": rule["tags"],
            "playbooks": rule["playbooks"],
            "soc.system": system.get("name"),
            "soc.system_level": system.get("level"),
            "notes": [note["text"] for note in self.work.get("notes", ())],
            "version": self.version,
            "@timestamp": body["last"],
            **_NO_FACTS,
            **{name: values if len(values) > 1 else values[0] for name, values in about.items()},
        }

    def full(self) -> dict[str, Any]:
        """All that both sides say, for `show --output json`."""
        return {
            **{k: v for k, v in self.body.items() if k not in {"full", "revision"}},
            "status": str(self.status),
            "owner": self.owner,
            "reason": self.work.get("reason", ""),
            "since_closed": self.since_closed,
            "notes": self.work.get("notes", []),
            "history": self.work.get("history", []),
            "version": self.version,
        }


# reading


def resolve(store: Store, text: str) -> str:
    """The id that a person means by `text`, an id or a unique prefix. Raises as `soc.respond.ids.resolve`."""

    def beginning_with(prefix: str) -> list[str]:
        where = Test("id", Op.STARTSWITH, prefix)
        return [document.id for document in store.find(ALERT, where, limit=200)]

    return ids.resolve(
        LETTER,
        text,
        exists=lambda id_: store.read(ALERT, id_) is not None,
        beginning_with=beginning_with,
        what="alert",
    )


def get(store: Store, id_or_prefix: str) -> AlertView:
    """One alert. Raises `NotFoundError` or `AmbiguousError` (`soc.respond.ids`)."""
    id_ = resolve(store, id_or_prefix)
    found = store.read(ALERT, id_)
    if found is None:
        raise ids.NotFoundError(f"there is no alert {id_}", hint="soc alert list")
    return AlertView(found, store.read(TRIAGE, id_))


def known(store: Store, texts: Iterable[str]) -> list[str]:
    """The ids that `texts` name; those that name none, or several, are left out."""
    out = []
    for text in texts:
        try:
            out.append(resolve(store, text))
        except UsageError:
            continue
    return out


def versions_now(store: Store, texts: Iterable[str]) -> dict[str, int]:
    """The versions that alerts have now, by id; what names none is left out."""
    return {id_: get(store, id_).version for id_ in known(store, texts)}


def events_of(store: Store, alert: AlertView) -> list[StoredEvent]:
    """The events that an alert carries: the first and the last of its hits, by time. There may be fewer than
    hits, see `count`."""
    document = store.read(EVENTS, alert.id)
    samples = document.body["samples"] if document else []
    found = [StoredEvent(sample["id"], _event(sample["event"])) for sample in samples]
    return sorted(found, key=lambda stored: (str(stored.event.get("@timestamp", "")), stored.id))


def _event(event: Event) -> Event:
    return dict(event)


def list_alerts(
    store: Store,
    where: Predicate = EVERYTHING,
    *,
    limit: int | None = None,
) -> list[AlertView]:
    """Alerts on which the predicate holds (names as in `AlertView.row`), the most severe first, of equal
    severity the oldest first."""
    triage = {document.id: document for document in store.find(TRIAGE)}
    views = (AlertView(document, triage.get(document.id)) for document in store.find(ALERT))
    found = [view for view in views if where == EVERYTHING or matches(where, view.flat)]
    found.sort(key=_urgency)
    return found[:limit]


def _urgency(view: AlertView) -> tuple[int, str, str]:
    level = LEVELS.index(view.level) if view.level in LEVELS else len(LEVELS)
    return level, str(view.body["first"]), view.id


def wanted(
    query: str = "",
    *,
    status: str = "",
    level: str = "",
    owner: str = "",
    rule: str = "",
    since: datetime | None = None,
) -> Predicate:
    """What a listing asks for, as one predicate.

    `query`: the query language over the names of `AlertView.row`. `status`: names separated by commas, `all`,
    or "" for those that are not closed, unless the query asks for a status itself. `level`: names separated
    by commas. `owner`: a user, or `none`. `rule`: an id, or part of the title. `since`: of the last hit.
    Raises `UsageError`.
    """
    parts: list[Predicate] = []
    asked: Predicate = EVERYTHING
    if query:
        from soc.query import parse

        asked = parse(query)
        _check_fields(query, asked)
        parts.append(asked)
    if not status and not any(test.field == "status" for test in tests(asked)):
        status = f"{Status.OPEN},{Status.ACKNOWLEDGED}"
    if status and status != "all":
        parts.append(_one_of("status", status, [s.value for s in Status]))
    if level:
        parts.append(_one_of("level", level, LEVELS))
    if owner:
        parts.append(Test("owner", Op.EQUALS, "" if owner == "none" else owner))
    if rule:
        parts.append(Or((Test("rule.id", Op.EQUALS, rule), Test("title", Op.CONTAINS, rule))))
    if since:
        parts.append(Test("last", Op.GTE, timestamp(since)))
    return And(tuple(parts))


def _check_fields(query: str, asked: Predicate) -> None:
    """Refuse a name that no alert can have: those of `FIELDS`, and of the events that rules group by."""
    from soc import ecs
    from soc.hints import like
    from soc.query import QueryError

    for name in dict.fromkeys(test.field for test in tests(asked)):
        if name is not None and name not in FIELDS and not ecs.is_known(name):
            near = like(name, [*FIELDS, *ecs.fields()])
            column = max(query.find(f"{name}:"), 0) + 1
            raise QueryError(f"an alert has no field {name}{near}", query, column)


def _one_of(name: str, given: str, known: Sequence[str]) -> Predicate:
    names = [part.strip().lower() for part in given.split(",") if part.strip()]
    for part in names:
        if part not in known:
            raise UsageError(f"--{name} {part!r}: one of {', '.join(known)} is expected")
    return Or(tuple(Test(name, Op.EQUALS, part) for part in names))


# changing


@dataclass(frozen=True)
class Change:
    """One thing to do to alerts.

    `apply` gets a copy of the analysts' part, the alert and the user, and edits it or raises `UsageError`.
    `text` is what the user wrote, kept if it cannot be saved. `commutes`: it may be done on any version.
    """

    action: str
    apply: Callable[[dict[str, Any], AlertView, str], None]
    text: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    commutes: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of a change on one alert: `view` after it (as it would be in a dry run), or the `error`."""

    id: str
    view: AlertView | None = None
    error: SocError | None = None
    unchanged: bool = False

    @property
    def ok(self) -> bool:
        """Whether the alert is now as was asked."""
        return self.error is None


def ack(user: str) -> Change:
    """Say that one has seen it and works on it: the owner, unless it has one, becomes `user`."""

    def apply(work: dict[str, Any], view: AlertView, _: str) -> None:
        _must_be_open(view)
        work["status"] = Status.ACKNOWLEDGED.value
        work["owner"] = work.get("owner") or user

    return Change("ack", apply)


def assign(user: str) -> Change:
    """Give it to somebody; `none` for nobody. Raises `UsageError` for a name that cannot be one."""
    name = user.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise UsageError(f"{user[:40]!r} is not a user", hint="soc alert assign A-7F3K huong, or: me, none")
    owner = "" if name == "none" else name

    def apply(work: dict[str, Any], view: AlertView, _: str) -> None:
        _must_be_open(view)
        work["owner"] = owner

    return Change("assign", apply, detail={"owner": owner})


def close(reason: str, note: str = "") -> Change:
    """Close it for a reason (`REASONS`), some of which need a note. Raises `UsageError`."""
    if reason not in REASONS:
        raise UsageError(f"--reason {reason!r}: one of {', '.join(REASONS)} is expected")
    text = _text(note) if note.strip() else ""
    if reason in NOTE_WANTED and not text:
        raise UsageError(f"closing as {reason} wants a note that says why", hint='add --note "…"')

    def apply(work: dict[str, Any], view: AlertView, by: str) -> None:
        _must_be_open(view)
        work |= {"status": Status.CLOSED.value, "reason": reason, "closed_count": view.count}
        if text:
            _add_note(work, text, by)

    return Change("close", apply, text, {"reason": reason, "note": text})


def note(text: str) -> Change:
    """Write a note on it, whatever its status."""
    text = _text(text)
    return Change("note", lambda work, _, by: _add_note(work, text, by), text, {"note": text}, commutes=True)


def reopen(reason: str) -> Change:
    """Open a closed one again; `reason` is a sentence."""
    text = _text(reason)

    def apply(work: dict[str, Any], view: AlertView, by: str) -> None:
        if view.status is not Status.CLOSED:
            raise UsageError(f"{view.id} is {view.status}, not closed")
        work |= {"status": Status.OPEN.value, "reason": ""}
        work.pop("closed_count", None)
        _add_note(work, f"reopened: {text}", by)

    return Change("reopen", apply, text, {"reason": text})


def _must_be_open(view: AlertView) -> None:
    if view.status is Status.CLOSED:
        reason = view.work.get("reason", "")
        raise UsageError(f"{view.id} is closed as {reason}", hint=f'soc alert reopen {view.id} --reason "…"')


def _text(text: str) -> str:
    text = text.strip()
    if not text:
        raise UsageError("an empty text says nothing", hint="write a sentence")
    if len(text) > MAX_NOTE:
        raise UsageError(f"a text of {len(text)} characters; at most {MAX_NOTE} are kept")
    # half of a surrogate pair comes from broken terminals, and no store can hold it
    return text.encode("utf-8", "replace").decode()


def _add_note(work: dict[str, Any], text: str, by: str) -> None:
    work["notes"] = [*work.get("notes", ()), {"at": timestamp(datetime.now(UTC)), "by": by, "text": text}]


def apply(
    store: Store,
    alert_ids: Iterable[str],
    change: Change,
    *,
    expect: Mapping[str, int] | None = None,
    dry_run: bool = False,
    on_behalf_of: str = "",
) -> list[Changed]:
    """Do one change to alerts, as one entry of the audit log; what became of each, in order.

    `alert_ids`: ids or unique prefixes. `expect`: id to the version that the user has seen; where it is
    missing, the change is made on the version found now. A single alert raises nothing: see `Changed.error`.
    """
    by = store.whoami()
    found: dict[str, Changed] = {}
    order: list[str] = []
    planned: list[tuple[AlertView, Write]] = []
    texts = list(alert_ids)
    at_hand = _at_hand(store, texts)
    for text in texts:
        try:
            view = at_hand.get(text) or get(store, text)
        except SocError as error:
            key = text
            found[key] = Changed(text, error=error)
        else:
            key = view.id
            if key not in order:
                _plan(view, change, by, (expect or {}).get(key), found, planned)
        if key not in order:
            order.append(key)
    if dry_run:
        now = timestamp(datetime.now(UTC))
        for view, write in planned:
            after = Document(TRIAGE, view.id, write.expect + 1, dict(write.body or {}), by, now)
            found[view.id] = Changed(view.id, AlertView(view.alert, after))
    else:
        _write(store, planned, change, found, on_behalf_of)
    return [found[key] for key in order]


def _at_hand(store: Store, texts: Sequence[str]) -> dict[str, AlertView]:
    """The alerts that are named by their whole id, read at once."""
    whole = [text for text in texts if text.startswith(f"{LETTER}-")]
    found = store.read_many(ALERT, whole) if len(whole) > 1 else {}
    triage = store.read_many(TRIAGE, list(found)) if found else {}
    return {id_: AlertView(document, triage.get(id_)) for id_, document in found.items()}


def _plan(
    view: AlertView,
    change: Change,
    by: str,
    expect: int | None,
    found: dict[str, Changed],
    planned: list[tuple[AlertView, Write]],
) -> None:
    """Work out the new triage document of one alert, or why there is none."""
    if expect is not None and expect != view.version:
        found[view.id] = Changed(view.id, view, _conflict(view, change, expect))
        return
    work = dict(view.work)
    try:
        change.apply(work, view, by)
    except SocError as error:
        found[view.id] = Changed(view.id, view, error)
        return
    if work == view.work:
        found[view.id] = Changed(view.id, view, unchanged=True)
        return
    entry = {
        "at": timestamp(datetime.now(UTC)),
        "by": by,
        "action": change.action,
        "on": view.version,
        **{name: value for name, value in change.detail.items() if value},
    }
    work["history"] = [*view.work.get("history", ()), entry][-MAX_HISTORY:]
    work.setdefault("status", Status.OPEN.value)
    planned.append((view, Write(TRIAGE, view.id, {"id": view.id, **work}, view.version)))


def _write(
    store: Store,
    planned: Sequence[tuple[AlertView, Write]],
    change: Change,
    found: dict[str, Changed],
    on_behalf_of: str,
) -> None:
    from soc.respond import audit

    subject = planned[0][0].id if len(planned) == 1 else f"{len(planned)} alerts"
    results = audit.change(
        store,
        [write for _, write in planned],
        action=f"alert.{change.action}",
        subject=subject,
        detail=change.detail,
        on_behalf_of=on_behalf_of,
    )
    for (view, _), result in zip(planned, results, strict=True):
        if isinstance(result, VersionConflictError):
            current = AlertView(view.alert, result.current)
            if change.commutes:
                (found[view.id],) = apply(store, [view.id], change, on_behalf_of=on_behalf_of)
            else:
                found[view.id] = Changed(view.id, current, _conflict(current, change, view.version))
        else:
            found[view.id] = Changed(view.id, AlertView(view.alert, result))


def _conflict(current: AlertView, change: Change, seen: int) -> ConflictError:
    return ConflictError(
        f"{current.id} was changed since you looked at it; nothing was saved",
        mine=change.text,
        theirs=changes_since(current, seen),
        hint=f"soc alert show {current.id}, then the same command again",
    )


def changes_since(view: AlertView, version: int) -> str:
    """What was done to an alert after a version of it, in words; the last few where it was much."""
    later = [entry for entry in view.work.get("history", ()) if int(entry.get("on", 0)) >= version]
    return "; ".join(describe(entry) for entry in later[-SHOWN_CHANGES:])


def describe(entry: Mapping[str, Any]) -> str:
    """An entry of the history in words: who, when, what."""
    from soc.timing import local

    what = {
        "ack": "acknowledged it",
        "assign": f"assigned it to {entry.get('owner') or 'nobody'}",
        "close": f"closed it as {entry.get('reason', '')}",
        "note": "wrote a note",
        "reopen": "reopened it",
    }.get(str(entry.get("action")), str(entry.get("action")))
    said = entry.get("note") or (entry.get("reason") if entry.get("action") == "reopen" else "")
    tail = f": {said}" if said else ""
    version = int(entry.get("on", 0)) + 1
    return f"{entry.get('by')} {what}, {local(str(entry.get('at')))} (version {version}){tail}"
