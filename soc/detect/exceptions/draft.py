"""An exception to be: its Sigma filter document, and what it does to the rules that it names."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from soc import yamlio
from soc.detect.exceptions import conditions, model
from soc.detect.exceptions.conditions import Condition
from soc.detect.exceptions.model import Applied
from soc.errors import ContentError, UsageError
from soc.timing import parse_duration, parse_when

if TYPE_CHECKING:
    from soc.detect.pipelines import Pipelines
    from soc.detect.rule import Rule

LONGEST = timedelta(days=3 * 365)
"""An exception that holds for longer is a change of the rule."""
MAX_TEXT = 2_000
"""Characters of a reason."""
_WORD = re.compile(r"[^a-z0-9_]+")
_NAME = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*\Z")
_TITLE = 200


@dataclass(frozen=True, slots=True)
class Draft:
    """An exception that is not saved yet. `name` is that of its file, `applied` rule id to what it does."""

    id: str
    name: str
    title: str
    rules: tuple[Rule, ...]
    where: tuple[str, ...]
    condition: Condition
    expires: datetime
    owner: str
    reason: str
    ticket: str
    document: Mapping[str, Any]
    applied: Mapping[str, Applied]

    @property
    def text(self) -> str:
        """The file's text."""
        return yamlio.dump(self.document)


def expiry(text: str, now: datetime) -> datetime:
    """When an exception ends: so long from `now` (`30d`), or a date or time. In UTC, to the second.

    Raises `UsageError` for a moment that is past or more than `LONGEST` away.
    """
    hint = "write how long it holds (30d, 12h), or until when (2026-12-31)"
    try:
        ends = now + parse_duration(text)
    except (UsageError, OverflowError):
        try:
            ends = parse_when(text, now)
        except UsageError as error:  # its hint is about times that are past
            raise UsageError(f"--expires: {error}", hint=hint) from None
    ends = ends.astimezone(UTC).replace(microsecond=0)
    if ends <= now:
        raise UsageError(f"--expires {text}: that is past already", hint=hint)
    if ends - now > LONGEST:
        raise UsageError(
            f"--expires {text}: at most {LONGEST.days} days; what is always right belongs into the rule",
            hint=hint,
        )
    return ends


def stamp(at: datetime) -> str:
    """A moment as files have it: `2026-12-31T17:00:00Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sentence(text: str, what: str) -> str:
    """A text that a person gave. Raises `UsageError` for an empty or overlong one."""
    words = text.strip()
    if not words:
        raise UsageError(f"{what} is missing", hint=f'{what} "…", so that the next analyst knows')
    if len(words) > MAX_TEXT:
        raise UsageError(f"{what}: {len(words)} characters; at most {MAX_TEXT} are kept")
    return words.encode("utf-8", "replace").decode()  # half of a surrogate pair: no file can hold it


def draft(
    rules: Sequence[Rule],
    where: Sequence[str],
    *,
    expires: datetime,
    reason: str,
    owner: str,
    ticket: str,
    by: str,
    name: str,
    pipelines: Pipelines,
    now: datetime,
) -> Draft:
    """An exception for rules. Raises `UsageError` or `ContentError` for what cannot be one.

    `by`: the user who makes it; `name`: of its file, "" to make one.
    """
    scope = _scope(rules)
    condition = conditions.read(where)
    short = "; ".join(" ".join(text.split()) for text in where)
    title = f"{rules[0].title}, except {short}"
    id_ = str(uuid.uuid4())
    document = {
        "title": title if len(title) <= _TITLE else title[: _TITLE - 1] + "…",
        "id": id_,
        "description": sentence(reason, "--reason"),
        "author": owner,
        "date": now.date().isoformat(),
        "logsource": scope,
        "filter": {
            "rules": [rule.id for rule in rules],
            **condition.selections,
            "condition": condition.negated,
        },
        "custom_attributes": {
            model.OWNER: owner,
            model.EXPIRES: stamp(expires),
            model.REASON: sentence(reason, "--reason"),
            **({model.TICKET: ticket} if ticket else {}),
            model.HISTORY: [{"at": stamp(now), "by": by, "action": "add", "until": stamp(expires)}],
        },
    }
    return Draft(
        id=id_,
        name=_named(name, rules[0], condition),
        title=str(document["title"]),
        rules=tuple(rules),
        where=tuple(where),
        condition=condition,
        expires=expires,
        owner=owner,
        reason=sentence(reason, "--reason"),
        ticket=ticket,
        document=document,
        applied={rule.id: _applied(document, rule, expires, pipelines) for rule in rules},
    )


def _scope(rules: Sequence[Rule]) -> dict[str, str]:
    """The log source of the filter: what those of all rules have in common."""
    for rule in rules:
        if rule.correlation is not None:
            raise UsageError(
                f"{rule.title} is a correlation; an exception is about the single events that it counts",
                hint="name one of its rules: soc rule show " + rule.id,
            )
        if rule.undecidable:
            raise UsageError(f"{rule.title} cannot be evaluated: {rule.undecidable}")
    stated = [rule.logsource.stated for rule in rules]
    common = {k: v for k, v in stated[0].items() if all(other.get(k) == v for other in stated)}
    if not common:
        raise UsageError(
            "these rules have no log source in common", hint="make an exception for each of them"
        )
    return common


def _named(name: str, rule: Rule, condition: Condition) -> str:
    from soc.detect.catalogue import short_name

    if name:
        if not _NAME.match(name) or len(name) > 100:
            raise UsageError(f"--name {name[:60]!r}: use a-z, 0-9, - and _, such as backup-of-web01")
        return name
    values = [str(item.value) for item in condition.items[:1] if not isinstance(item.value, bool)]
    words = [
        _WORD.sub("-", text.lower()).strip("-_")[:32].strip("-_") for text in (short_name(rule), *values)
    ]
    return "-".join(word for word in words if word) or "exception"


def _applied(document: Mapping[str, Any], rule: Rule, expires: datetime, pipelines: Pipelines) -> Applied:
    """What the document does to a rule: the way that it will be loaded, from its text."""
    from soc.detect import sigma

    # as it will be read: a value that YAML would give back as another thing must show here
    loaded = yamlio.parse(yamlio.dump(document), "the exception")
    problems: list[Any] = []
    found = sigma.check(loaded, problems)
    if found is None:
        raise ContentError(problems, hint="correct --where")
    try:
        compiled = sigma.compile_filter(loaded, found, rule.logsource, pipelines)
    except ContentError as error:  # its place is one in a text that nobody has seen
        raise UsageError(f"--where: {error.message}", hint=error.hint or "correct --where") from None
    if compiled.undecidable:
        raise UsageError(f"the exception cannot be decided: {compiled.undecidable}")
    return model.apply(str(document["id"]), compiled.predicate, expires)
