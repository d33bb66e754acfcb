"""Exceptions that a rule has got since one of its alerts was opened: read from their files alone, for a page
that must come up at once."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc import yamlio
from soc.detect.exceptions import model
from soc.detect.exceptions.files import FOLDER
from soc.errors import ContentError
from soc.event import moment, timestamp

if TYPE_CHECKING:
    from soc.respond.alerts import AlertView


_SECOND = len("2026-03-02T07:14:09")


@dataclass(frozen=True, slots=True)
class Since:
    """An exception that came after an alert; `made` and `expires` are event times, "" where not stated."""

    name: str
    id: str
    made: str
    expires: str
    reason: str
    owner: str

    def row(self) -> dict[str, str]:
        """As plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


def exceptions_since(folders: Sequence[Path], view: AlertView) -> list[Since]:
    """The exceptions in `exceptions/` below folders of rules that name the alert's rule by its id and were
    made after the alert was opened, by time. What cannot be read is left out: lint says so."""
    rule, opened = str(view.rule["id"]).lower(), str(view.body["created"])
    found = [one for folder in folders for one in _of_folder(folder / FOLDER, rule)]
    # files have whole seconds, or a date alone, which counts as after on the day itself too
    later = (one for one in found if one.made[:_SECOND] >= opened[: min(len(one.made), _SECOND)])
    return sorted(later, key=lambda one: one.made)


def _of_folder(folder: Path, rule: str) -> Iterator[Since]:
    for path in sorted(folder.glob("*.y*ml")) if folder.is_dir() else ():
        try:
            if rule.encode() not in path.read_bytes().lower():
                continue
            documents = yamlio.load_all(path)
        except (OSError, ContentError):
            continue
        for document in documents:
            one = _of_document(document.data, rule, path.stem)
            if one:
                yield one


def _of_document(data: Any, rule: str, name: str) -> Since | None:
    part = data.get("filter") if isinstance(data, dict) else None
    said = data.get("custom_attributes") if isinstance(data, dict) else None
    if not isinstance(part, dict) or not isinstance(said, dict) or not model.is_exception(said):
        return None
    rules = part.get("rules")
    if rule not in [str(one).lower() for one in (rules if isinstance(rules, list) else [rules])]:
        return None
    expires = model.expiry_of(said)
    return Since(
        name=name,
        id=str(data.get("id") or ""),
        made=_when(said.get(model.HISTORY), str(data.get("date") or "")),
        expires=timestamp(expires) if expires else "",
        reason=str(said.get(model.REASON) or ""),
        owner=str(said.get(model.OWNER) or ""),
    )


def _when(history: Any, date: str) -> str:
    """When it was made: to the microsecond by its history, else its date."""
    first = history[0] if isinstance(history, list) and history else None
    try:
        return timestamp(moment(str(first["at"]))) if isinstance(first, dict) else date
    except (KeyError, ValueError, OverflowError):
        return date


def described(one: Since, now: datetime) -> str:
    """An exception in a line."""
    over = one.expires and one.expires <= timestamp(now.astimezone(UTC))
    until = f"{'expired' if over else 'until'} {one.expires[:10]}" if one.expires else "without an expiry"
    said = f": {one.reason}" if one.reason else ""
    return f"{one.name}, {until}{said} (soc exception show {shlex.quote(one.name)})"
