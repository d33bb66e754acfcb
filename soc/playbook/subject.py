"""What a playbook is run on: an alert, or a case, as flat fields from which variables take their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from soc.errors import UsageError
from soc.event import flatten, values_of
from soc.playbook.model import Playbook
from soc.playbook.values import TYPES, check_many
from soc.store.contract import Store


@dataclass(frozen=True, slots=True)
class Subject:
    """An alert or a case.

    `fields` holds `alert.…`, `rule.…` (and `case.…`); `events` are its sample events, flat, whose fields are
    reached as `event.…`. `first` and `last` are times of events; `playbooks` those that its rule names.
    """

    kind: str
    id: str
    title: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] = ()
    first: str = ""
    last: str = ""
    playbooks: tuple[str, ...] = ()

    def values(self, name: str) -> list[Any]:
        """The values of a field: `alert.entity`, `rule.title`, `event.source.ip`; distinct, in order.

        `event.action` means the event's field of that name, where no event has a field `action`.
        """
        if name.startswith("event."):
            inner = name.removeprefix("event.")
            found = [v for event in self.events for v in values_of(event, inner)]
            found = found or [v for event in self.events for v in values_of(event, name)]
        else:
            found = values_of(self.fields, name)
        return list(dict.fromkeys(v for v in found if isinstance(v, (str, int, float, bool))))


@dataclass(frozen=True, slots=True)
class Resolved:
    """Values of variables at the start of a run, where each came from, and what was left out and why."""

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    remarks: tuple[str, ...]


def resolve(playbook: Playbook, subject: Subject, given: Mapping[str, Any]) -> Resolved:
    """The variables of a new run: what the person gave, else the alert's fields, else the default.

    Raises `UsageError` that names every variable that is unknown, does not fit its type, or is required
    and has no value.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    remarks: list[str] = []
    faults = [
        f"{name!r} is not a variable of {playbook.name}" for name in given if name not in playbook.variables
    ]
    for name, variable in playbook.variables.items():
        candidates: list[tuple[str, list[Any]]] = []
        if name in given:
            raw = given[name]
            candidates.append(("given", raw if isinstance(raw, list) else [raw]))
        else:
            candidates += [(source, subject.values(source)) for source in variable.sources]
        for origin, raw_values in candidates:
            good, reasons = check_many(variable.type, raw_values)
            if reasons and origin == "given":
                faults.append(f"{name} is {reasons[0]}; it must be {TYPES[variable.type].title}")
            remarks += [
                f"{name} from {origin}: a value is left out, {r}" for r in reasons if origin != "given"
            ]
            if good:
                values[name] = good if variable.many else good[0]
                origins[name] = origin
                if len(good) > 1 and not variable.many:
                    remarks.append(f"{name} from {origin}: the first of {len(good)} values")
                break
        if name not in values and variable.default is not None:
            values[name], origins[name] = variable.default, "default"
        if name not in values and variable.required:
            where = f" (the alert has no {' or '.join(variable.sources)})" if variable.sources else ""
            faults.append(f"{name} is needed{where}: {variable.description or TYPES[variable.type].title}")
    if faults:
        missing = [n for n, v in playbook.variables.items() if v.required and n not in values]
        hint = " ".join(f"--var {name}=…" for name in missing) or f"soc playbook show {playbook.name}"
        raise UsageError("; ".join(faults), hint=f"add {hint}" if missing else hint)
    return Resolved(values, origins, tuple(remarks))


def of_alert(store: Store, text: str) -> Subject:
    """The alert that an id or prefix names. Raises as `soc.respond.alerts.get`."""
    from soc.respond import alerts

    view = alerts.get(store, text)
    fields = {f"alert.{name}": value for name, value in view.flat.items()}
    fields |= {name: value for name, value in view.flat.items() if name.startswith(("rule.", "soc."))}
    fields |= flatten({"rule": dict(view.rule), "alert": {"group": dict(view.body.get("group") or {})}})
    samples = [stored.event for stored in alerts.events_of(store, view)]
    return Subject(
        kind="alert",
        id=view.id,
        title=view.title,
        fields=fields,
        # what the alert says of all its hits comes after the samples, which are complete events
        events=(*samples, flatten(dict(view.body.get("about") or {}))),
        first=str(view.body["first"]),
        last=str(view.body["last"]),
        playbooks=tuple(view.playbooks),
    )


def of_case(store: Store, case: str) -> Subject:
    """The case with this id. Raises `UsageError` when there is none."""
    found = store.read("case", case)
    if found is None:
        raise UsageError(f"there is no case {case}", hint="soc playbook run PLAYBOOK --alert ID")
    fields = flatten({"case": found.body})
    return Subject(kind="case", id=found.id, title=str(found.body.get("title", "")), fields=fields)
