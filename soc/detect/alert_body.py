"""What an alert says: drawn from its group's state, the rule, the register and how earlier ones ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from soc.detect.grouping import Burst, GroupState, time_text
from soc.detect.releases.published import shown_path
from soc.event import timestamp
from soc.respond.severity import LEVELS
from soc.store.contract import Document, Store

if TYPE_CHECKING:
    from soc.detect.rule import Rule
    from soc.event import Event
    from soc.respond.register import Asset, Register

TRIAGE = "triage"
MAX_TEXT = 65_536
"""Characters of one text in the events that an alert carries."""
PREVIOUS = 3
"""How many earlier alerts of the group a new one tells of."""


def alert_body(
    state: GroupState, burst: Burst, rule: Rule, revision: int, *, store: Store, register: Register | None
) -> dict[str, Any]:
    """A new alert. `revision` is the version of the group's document that it is drawn from."""
    return {
        "id": burst.id,
        "full": burst.full,
        "rule": rule_body(rule),
        "title": f"{rule.title} (many more)" if state.overflow else rule.title,
        "group": state.group,
        "entity": ", ".join(value for value in state.group.values() if value),
        "overflow": state.overflow,
        "backfill": burst.backfill is not None,
        "notify": burst.backfill is None or burst.backfill["notify"],
        "created": timestamp(datetime.now(UTC)),
        "previous": _previous(store, state, burst),
        **_counted(burst, revision, register),
        **_level(rule.level, burst.about, register),
    }


def extended(
    body: Mapping[str, Any], burst: Burst, revision: int, *, register: Register | None
) -> dict[str, Any]:
    """An alert with what was counted since; what it said of rule and group stays."""
    drawn = {**body, **_counted(burst, revision, register)}
    level = _level(str(body["rule"]["level"]), burst.about, register)
    # what was raised stays raised, also when the register does not list the machine any more
    if level["raised"] and LEVELS.index(level["level"]) > LEVELS.index(str(body["level"])):
        drawn.update(level)
    return drawn


def is_drawn(body: Mapping[str, Any], burst: Burst, revision: int) -> bool:
    """Whether an alert already says what its group knows, or what the group came to know later."""
    if body["revision"] > revision:
        return True
    said = (body["count"], body["first"], body["last"], body["inexact"])
    return said == (burst.count, time_text(burst.first), time_text(burst.last), burst.inexact)


def sample_of(event: Event) -> Event:
    """An event as an alert carries it: whole, but for texts beyond `MAX_TEXT`, which are cut and named.

    The event itself stays whole in the store, as long as it is kept there.
    """
    cut = [name for name, value in event.items() if isinstance(value, str) and len(value) > MAX_TEXT]
    if not cut:
        return event
    return {**event, **{name: event[name][:MAX_TEXT] for name in cut}, "soc.shortened": sorted(cut)}


def _counted(burst: Burst, revision: int, register: Register | None) -> dict[str, Any]:
    return {
        "count": burst.count,
        "first": time_text(burst.first),
        "last": time_text(burst.last),
        "about": burst.about,
        "versions": burst.versions,
        "inexact": burst.inexact,
        "entities": len(burst.entities),
        "revision": revision,
        "updated": timestamp(datetime.now(UTC)),
        "system": _system(burst.about, register),
    }


def _previous(store: Store, state: GroupState, burst: Burst) -> list[dict[str, Any]]:
    """How the last alerts of the group ended."""
    out = []
    for earlier in state.before(burst, PREVIOUS):
        triage: Document | None = store.read(TRIAGE, earlier.id)
        facts = triage.body if triage else {}
        out.append(
            {
                "id": earlier.id,
                "count": earlier.count,
                "last": time_text(earlier.last),
                "status": facts.get("status", "open"),
                "reason": facts.get("reason", ""),
                "by": triage.changed_by if triage else "",
                "at": triage.changed_at if triage else "",
            }
        )
    return out


def _level(level: str, about: Mapping[str, list[Any]], register: Register | None) -> dict[str, Any]:
    """The level of an alert of a rule, and from which and why it was raised (None: it was not)."""
    raised = register.severity.raised(level, _assets(about, register)) if register else None
    if raised is None:
        return {"level": level, "raised": None}
    return {"level": raised.level, "raised": {"from": level, "why": raised.why}}


def _assets(about: Mapping[str, list[Any]], register: Register) -> list[Asset]:
    """The assets that an alert is about: by host, else by the addresses it went to, came from."""
    found = [register.asset_for(host=str(host)) for host in about.get("host.name", ())]
    for name in ("destination.ip", "source.ip"):
        found += [register.asset_for(ip=str(ip)) for ip in about.get(name, ())]
    return [asset for asset in found if asset]


def _system(about: Mapping[str, list[Any]], register: Register | None) -> dict[str, Any] | None:
    """The system that the alert's machines belong to, by the register; None where it is not listed."""
    asset = next(iter(_assets(about, register)), None) if register else None
    if asset is None:
        return None
    return {
        "name": asset.system.name,
        "level": asset.system.level,
        "owner": asset.system.owner,
        "asset": asset.name,
        "criticality": str(asset.criticality) if asset.criticality else None,
    }


def rule_body(rule: Rule) -> dict[str, Any]:
    """What an alert keeps of its rule, so that it can be read after the rule changed."""
    return {
        "id": rule.id,
        "title": rule.title,
        "level": rule.level,
        "status": rule.status,
        "version": rule.version,
        "commit": rule.commit,
        "path": shown_path(rule.path),
        "line": rule.line,
        "description": rule.description,
        "tags": list(rule.tags),
        "references": list(rule.references),
        "falsepositives": list(rule.falsepositives),
        "playbooks": list(rule.playbooks),
        "fields": list(rule.fields),
    }
