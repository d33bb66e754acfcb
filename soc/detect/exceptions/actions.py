"""Making, extending and ending exceptions, and closing the alerts that one covers; all in the audit log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc.detect.exceptions import files, model
from soc.detect.exceptions.draft import Draft, sentence, stamp
from soc.detect.exceptions.review import Cover, Review
from soc.errors import ConflictError, SocError, UsageError
from soc.respond import alerts, audit

if TYPE_CHECKING:
    from soc.detect.exceptions.model import Exemption
    from soc.respond.alerts import AlertView, Changed
    from soc.store.contract import Store

CLOSE_AS = ("benign", "false-positive")
"""Reasons that alerts may be closed with because an exception covers them."""


def find(exemptions: Iterable[Exemption], wanted: str) -> Exemption:
    """The exception with this name, id, or unique beginning of an id (four characters at least).

    Raises `UsageError` that lists the candidates of an ambiguous one, or near names of an unknown one.
    """
    import difflib

    exemptions = list(exemptions)
    key = wanted.strip().lower()
    exact = [one for one in exemptions if key in (one.id, one.name.lower())]
    found = exact or [one for one in exemptions if len(key) >= 4 and one.id.startswith(key)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"{one.id} ({one.name}, {one.path})" for one in found[:10])
        raise UsageError(f"{wanted!r} means several exceptions: {names}", hint="name one by its whole id")
    near = difflib.get_close_matches(key, [one.name for one in exemptions], n=3)
    tail = f"; did you mean {', '.join(near)}?" if near else ""
    raise UsageError(f"there is no exception {wanted[:80]!r}{tail}", hint="soc exception list")


def add(store: Store, folder: Path, draft: Draft, reviews: Sequence[Review]) -> Path:
    """Save a new exception in a folder; the file's path. Raises `SocError` where it cannot be written."""
    announced: list[audit.AuditEntry] = []

    def announce(path: Path) -> None:
        detail = {
            "file": str(path),
            "rules": [rule.id for rule in draft.rules],
            "where": list(draft.where),
            "expires": stamp(draft.expires),
            "owner": draft.owner,
            "reason": draft.reason,
            "ticket": draft.ticket,
            "hides": sum(one.hidden for one in reviews),
            "hides_true_positives": [c.view.id for one in reviews for c in one.true_positives],
        }
        announced.append(audit.record(store, action="exception.add", subject=draft.id, detail=detail))

    with _refused(store, draft.id, announced):
        return files.create(folder, draft.name, draft.text, announce)


class _refused:  # noqa: N801 - a context manager, used as a function
    """Write into the log that what an entry announced was not done, when it was not."""

    def __init__(self, store: Store, subject: str, announced: Sequence[audit.AuditEntry]) -> None:
        self.store, self.subject, self.announced = store, subject, announced

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, SocError) and self.announced:
            entry = self.announced[-1]
            detail = {"entry": entry.number, "action": entry.action, "why": str(error)}
            audit.record(self.store, action="refused", subject=self.subject, detail=detail)


@dataclass(frozen=True, slots=True)
class Renewal:
    """A change of an expiry: `action` is extend or end, `before` is None where there was no expiry."""

    exemption: Exemption
    read: files.Read
    action: str
    before: datetime | None
    after: datetime
    reason: str


def unchanged_since(one: Exemption, seen: Mapping[str, int]) -> None:
    """Raises `ConflictError` when the file is not at the version that the user has seen, where that is known.

    `seen`: path to `files.version`.
    """
    if one.path in seen and seen[one.path] != files.version(Path(one.path)):
        raise ConflictError(
            f"{one.path} was changed since you looked at it; nothing was saved",
            hint=f"soc exception show {one.word}, then the same command again",
        )


def extend(one: Exemption, until: datetime, reason: str) -> Renewal:
    """Let an exception hold for longer, or give an expiry to one that has none.

    Raises `UsageError` for an expiry that is not later than the one it has: what was hidden must stay hidden.
    """
    if one.expires is not None and until <= one.expires:
        raise UsageError(
            f"{one.name} holds until {stamp(one.expires)} already, which is later",
            hint=f'soc exception end {one.word} --reason "…" ends it now',
        )
    return Renewal(one, _read(one), "extend", one.expires, until, sentence(reason, "--reason"))


def end(one: Exemption, reason: str, now: datetime) -> Renewal:
    """Let an exception end now; what it hid stays hidden. Raises `UsageError` for one that has ended."""
    if one.expires is not None and one.expires <= now:
        raise UsageError(f"{one.name} has expired already, at {stamp(one.expires)}")
    return Renewal(
        one, _read(one), "end", one.expires, now.replace(microsecond=0), sentence(reason, "--reason")
    )


def _read(one: Exemption) -> files.Read:
    read = files.read(Path(one.path), one.line)
    if str(read.document.data.get("id", "")).lower() not in ("", one.id):
        raise ConflictError(f"{one.path} was changed since it was read", hint="soc exception list")
    return read


def renew(store: Store, renewal: Renewal, now: datetime) -> None:
    """Write another expiry into an exception's file, with who did it and why.

    Raises `ConflictError` when the file was changed meanwhile, `SocError` when it cannot be written.
    """
    one = renewal.exemption
    by = store.whoami()
    entry = {
        "at": stamp(now),
        "by": by,
        "action": renewal.action,
        "until": stamp(renewal.after),
        "reason": renewal.reason,
    }
    attributes = dict(renewal.read.attributes)
    attributes[model.EXPIRES] = stamp(renewal.after)
    attributes[model.HISTORY] = [*attributes.get(model.HISTORY, ()), entry]
    announced: list[audit.AuditEntry] = []

    def announce() -> None:
        detail = {
            "file": one.path,
            "from": stamp(renewal.before) if renewal.before else None,
            "until": stamp(renewal.after),
            "reason": renewal.reason,
        }
        action = f"exception.{renewal.action}"
        announced.append(audit.record(store, action=action, subject=one.id, detail=detail))

    with _refused(store, one.id, announced):
        files.rewrite(renewal.read, attributes, announce)


# ------------------------------------------------------------------ closing what is covered


def close_covered(
    store: Store, covers: Iterable[Cover], *, reason: str, note: str, dry_run: bool = False
) -> list[Changed]:
    """Close the alerts that are wholly covered, as they were looked at; what became of each.

    An alert that somebody changed since, or that has got further hits, is left as it is, with a conflict.
    """
    wholly = {cover.view.id: cover.view for cover in covers if cover.extent == "wholly"}
    change = alerts.close(reason, note)

    def apply(work: dict[str, Any], view: AlertView, by: str) -> None:
        if view.count != wholly[view.id].count:
            more = view.count - wholly[view.id].count
            raise ConflictError(
                f"{view.id} has got {more} more hits since it was looked at; it was not closed",
                hint=f"soc alert show {view.id}",
            )
        change.apply(work, view, by)

    guarded = alerts.Change(change.action, apply, change.text, change.detail)
    expect: Mapping[str, int] = {id_: view.version for id_, view in wholly.items()}
    return alerts.apply(store, list(wholly), guarded, expect=expect, dry_run=dry_run) if wholly else []
