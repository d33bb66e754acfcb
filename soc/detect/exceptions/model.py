"""What an exception is, and what its expiry means.

An exception is a Sigma filter document whose `custom_attributes` say who answers for it (`soc.owner`), until
when it holds (`soc.expires`), why (`soc.reason`) and where that was decided (`soc.ticket`). `soc.history` is
who made, extended and ended it.

The expiry is part of what the rule means, not of the moment at which somebody asks: an event whose
`@timestamp` is before the expiry stays hidden for ever, one from the expiry on is not hidden. So nothing that
was hidden comes back when an exception expires, and a replay gives the same verdicts in any year
(docs/decisions/0016).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc.detect.predicate import And, Not, Op, Or, Predicate, Test
from soc.event import moment, timestamp

if TYPE_CHECKING:
    from soc.detect.cache import Record
    from soc.detect.rule import Logsource, Rule

OWNER, EXPIRES, REASON, TICKET, HISTORY = (
    "soc.owner",
    "soc.expires",
    "soc.reason",
    "soc.ticket",
    "soc.history",
)
ATTRIBUTES = (OWNER, EXPIRES, REASON, TICKET, HISTORY)
"""The `custom_attributes` of a filter that make it an exception."""

SHORT = 8
"""Characters of an exception's id that people are shown."""

SOON = timedelta(days=14)
"""How long before its expiry an exception is called expiring."""


@dataclass(frozen=True, slots=True)
class Applied:
    """An exception as it applies to one rule.

    `condition` is what it adds to the rule with *and* (true: the rule may fire); `hides` is its opposite, and
    `expires` its expiry as event time ("" for none).
    """

    id: str
    condition: Predicate
    hides: Predicate
    expires: str = ""


@dataclass(frozen=True, slots=True)
class Exemption:
    """An exception as its file has it. `rules`: ids and names in lower case, None for any of its log source.

    `applies`: ids of the rules that it was added to. `expires` is None where the file gives none, which means
    never. `selections` are the named selections of the filter, `condition` its condition.
    """

    id: str
    name: str
    title: str
    rules: tuple[str, ...] | None
    logsource: Logsource
    path: str
    line: int
    owner: str = ""
    expires: datetime | None = None
    reason: str = ""
    ticket: str = ""
    history: tuple[Mapping[str, Any], ...] = ()
    selections: Mapping[str, Any] = field(default_factory=dict)
    condition: str = ""
    applies: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """The beginning of its id."""
        return self.id[:SHORT]

    @property
    def word(self) -> str:
        """Its name as it may be pasted into a shell; a file may be called anything."""
        return shlex.quote(self.name)

    def state(self, now: datetime) -> str:
        """`active`, `expiring` (within `SOON`), `expired`, or `endless` where no expiry is given."""
        if self.expires is None:
            return "endless"
        if self.expires <= now:
            return "expired"
        return "expiring" if self.expires - now <= SOON else "active"


def is_exception(attributes: Mapping[str, Any]) -> bool:
    """Whether the attributes of a filter make it an exception."""
    return any(name in attributes for name in ATTRIBUTES)


def moment_of(value: object) -> datetime:
    """The moment that `soc.expires` names: a time with its zone, or a date, which is its first moment in UTC.

    Raises ValueError with a sentence.
    """
    text = value if isinstance(value, str) else ""
    try:
        if len(text) == len("2026-12-31"):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        return moment(text)
    except (ValueError, OverflowError):
        message = f"{EXPIRES} must be a date or a time with its zone: 2026-12-31, 2026-12-31T17:00:00Z"
        raise ValueError(message) from None


def check(attributes: Mapping[Any, Any], problem: Callable[..., None]) -> None:
    """Find what is wrong with our own settings of a filter. `problem` takes a sentence and a key."""
    for key, setting in attributes.items():
        if key == EXPIRES:
            try:
                moment_of(setting)
            except ValueError as error:
                problem(str(error), key)
        elif key == HISTORY:
            if not isinstance(setting, list) or not all(isinstance(entry, dict) for entry in setting):
                problem(f"{key} must be a list of mappings", key)
        elif key in ATTRIBUTES:
            if not isinstance(setting, str):
                problem(f"{key} must be text; put it in quotes", key)
        elif str(key).startswith("soc."):
            problem(f"unknown setting {key!r} of a filter; known are {', '.join(ATTRIBUTES)}", str(key))


def expiry_of(attributes: Mapping[str, Any]) -> datetime | None:
    """The expiry that attributes state; None for none, or one that `check` has found wrong."""
    try:
        return moment_of(attributes[EXPIRES]) if EXPIRES in attributes else None
    except ValueError:
        return None


def apply(id_: str, condition: Predicate, expires: datetime | None) -> Applied:
    """An exception with this condition as it is added to a rule: it says nothing about later events."""
    selected = condition.part if isinstance(condition, Not) else Not(condition)
    if expires is None:
        return Applied(id_, condition, selected)
    at = timestamp(expires)
    after = Test("@timestamp", Op.GTE, at)
    parts = condition.parts if isinstance(condition, Or) else (condition,)
    return Applied(id_, Or((*parts, after)), And((selected, Not(after))), at)


def exemption(record: Record, path: str, wanted: Sequence[str] | None) -> Exemption:
    """What a compiled filter record of a file says. `wanted`: as of `soc.detect.filters.wanted_rules`."""
    from soc.detect.rule import Logsource

    said = record.attributes
    part: Mapping[str, Any] = (record.definition or {}).get("filter", {})
    return Exemption(
        id=record.id,
        name=Path(path).stem,
        title=record.title,
        rules=None if wanted is None else tuple(wanted),
        logsource=Logsource(*record.logsource),
        path=path,
        line=record.line,
        owner=str(said.get(OWNER, "")),
        expires=expiry_of(said),
        reason=str(said.get(REASON, "")),
        ticket=str(said.get(TICKET, "")),
        history=tuple(entry for entry in said.get(HISTORY, ()) if isinstance(entry, dict)),
        selections={name: value for name, value in part.items() if name not in {"rules", "condition"}},
        condition=str(part.get("condition", "")),
    )


def bare(rule: Rule) -> Predicate:
    """What a rule means without its exceptions: the last parts of its condition."""
    parts = rule.predicate.parts if isinstance(rule.predicate, And) else (rule.predicate,)
    return And(parts[: len(parts) - len(rule.exceptions)])
