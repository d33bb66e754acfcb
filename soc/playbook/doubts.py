"""Doubts about the values that a command is going to act upon: a mistyped name must not be cut off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from soc.config import Config
from soc.detect.predicate import Op, Or, Test
from soc.errors import SocError
from soc.playbook.model import Command, Playbook
from soc.playbook.template import names
from soc.store.contract import Store

WHERE_SEEN = {
    "host": ("host.name", "host.hostname", "related.hosts"),
    "ip": ("source.ip", "destination.ip", "host.ip", "related.ip"),
    "user": ("user.name", "source.user.name", "related.user"),
}
"""Types of variables that can be looked up, and the fields of events that would name such a value."""

LOOK_BACK = timedelta(days=30)
"""How long before the alert events are looked at."""


def about_command(
    store: Store,
    config: Config,
    playbook: Playbook,
    step: Command,
    values: Mapping[str, Any],
    since: datetime,
) -> Iterator[str]:
    """What is doubtful about the values in a command, in words. `since`: as in `about_value`."""
    for name in dict.fromkeys(n for argument in step.run for n in names(argument)):
        variable = playbook.variables.get(name)
        if variable is None or variable.constant or name not in values:
            continue
        items = values[name] if isinstance(values[name], list) else [values[name]]
        for item in items:
            yield from about_value(store, config, variable.type, str(item), since)


def about_value(store: Store, config: Config, type_: str, value: str, since: datetime) -> Iterator[str]:
    """A sentence if neither the register nor any event since a moment knows a host, address or account."""
    fields = WHERE_SEEN.get(type_)
    if fields is None:
        return
    try:
        known = _registered(config, type_, value) or _seen(store, fields, value, since)
    except SocError as error:
        yield f"whether {value} exists could not be looked up: {error.message}"
        return
    if not known:
        places = "in no event" if type_ == "user" else "neither in the register nor in any event"
        yield f"{value} is {places} since {since:%Y-%m-%d}: is the name right?"


def _registered(config: Config, type_: str, value: str) -> bool:
    from soc.respond.register import load_register

    if type_ == "user":
        return False
    register = load_register(config.register)
    asset = register.asset_for(host=value) if type_ == "host" else register.asset_for(ip=value)
    return asset is not None


def _seen(store: Store, fields: Sequence[str], value: str, since: datetime) -> bool:
    where = Or(tuple(Test(field, Op.EQUALS, value) for field in fields))
    return next(iter(store.search(where, since=since, limit=1)), None) is not None
