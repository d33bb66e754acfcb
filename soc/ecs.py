"""Field types of the Elastic Common Schema, and the conversion of a value to the type of its field.

The name of a field decides its type, so a collector never repeats a conversion. A value that does not
fit moves to `soc.misfit` as `name=value` text, and the rest of the event goes on.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from soc.event import Event, normalise, timestamp

LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
"""Range of a `long` field of Elasticsearch and of an SQLite integer."""

MISFIT = "soc.misfit"
"""Field that collects values which do not fit their fields, as `name=value` text."""

OWN_FIELDS: dict[str, str] = {
    "soc.collector": "keyword",
    "soc.layer": "long",
    "soc.retention": "keyword",
    "soc.source": "keyword",
    "soc.path": "keyword",
    "soc.generation": "keyword",
    "soc.offset": "long",
    "soc.misfit": "keyword",
    "soc.original_base64": "keyword",
    "soc.time_from": "keyword",
    "soc.time_shift": "long",
    "soc.system": "keyword",
    "soc.level": "long",
    "soc.criticality": "keyword",
    "soc.finding.id": "keyword",
    "soc.indicator.confidence": "long",
    "soc.indicator.tlp": "keyword",
    "soc.dead_letter": "text",
}
"""Fields of our own, all under `soc.`: name to type. `soc.time_from` says where @timestamp came from
when not from the record itself (`previous`, `ingest`)."""


@cache
def fields() -> dict[str, str]:
    """All known fields: name to keyword, text, long, double, boolean, date, ip, geo_point or object."""
    out: dict[str, str] = {}
    for line in resources.files("soc").joinpath("ecs_fields.txt").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            kind, _, names = line.partition(": ")
            out.update(dict.fromkeys(names.split(), kind))
    out.update(OWN_FIELDS)
    return out


_OPEN = (
    "labels.",
    "winlog.",
    "powershell.",
    "sysmon.",
    "auditd.log.",
    "suricata.eve.",
    "zeek.",
    "soc.extra.",
)
_OBJECTS = ("object", "flattened")


def type_of(name: str) -> str:
    """The type of a field; `keyword` for names outside ECS."""
    return fields().get(name, "keyword")


def is_known(name: str) -> bool:
    """Whether ECS, a module of Elastic's beats (`winlog.*`, `auditd.log.*`) or this project defines it.

    Any name is allowed below an ECS object (`dns.answers`) and below `_OPEN`, where a source's own go.
    """
    known = fields()
    if name in known or name.startswith(_OPEN):
        return True
    parts = name.split(".")
    return any(known.get(".".join(parts[:n])) in _OBJECTS for n in range(1, len(parts)))


class MisfitError(ValueError):
    """A value that does not fit the type of its field."""


def _text(value: Any) -> Any:
    if type(value) is str:
        return normalise(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _long(value: Any) -> int:
    if type(value) is int:
        number = value
    elif isinstance(value, str):
        text = value.strip()
        number = int(text, 16) if text[:2].lower() == "0x" else int(text)
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    else:
        raise MisfitError
    if not LONG_MIN <= number <= LONG_MAX:
        raise MisfitError
    return number


def _double(value: Any) -> float | int:
    if isinstance(value, bool):
        raise MisfitError
    number = value if isinstance(value, (int, float)) else float(value)
    if not math.isfinite(number):
        raise MisfitError
    return number


_TRUE, _FALSE = {"true", "yes", "1", "on"}, {"false", "no", "0", "off", ""}


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise MisfitError


_ip_cache: dict[str, str] = {}


def _ip(value: Any) -> str:
    if not isinstance(value, str):
        raise MisfitError
    known = _ip_cache.get(value)
    if known is not None:
        return known
    # a zone index (fe80::1%eth0, RFC 4007) names an interface, not an address
    address = ipaddress.ip_address(value.strip().partition("%")[0].strip("[]"))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    text = str(address)
    if len(_ip_cache) > 65536:
        _ip_cache.clear()
    _ip_cache[value] = text
    return text


def _date(value: Any) -> str:
    if isinstance(value, datetime):
        return timestamp(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, str):
        if len(value) == 27 and value[-1] == "Z" and value[10] == "T" and value[19] == ".":
            datetime.fromisoformat(value)
            return value
        parsed = datetime.fromisoformat(value.strip())
        return timestamp(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # epoch: milliseconds as Elasticsearch reads numbers, unless too small to be that
        seconds = value / 1000 if abs(value) >= 1e11 else value
        try:
            return timestamp(datetime.fromtimestamp(seconds, UTC))
        except (OverflowError, OSError):
            raise MisfitError from None
    raise MisfitError


def _any(value: Any) -> Any:
    return normalise(value) if type(value) is str else value


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "keyword": _text,
    "text": _text,
    "long": _long,
    "double": _double,
    "boolean": _boolean,
    "ip": _ip,
    "date": _date,
    "geo_point": _any,
    "object": _any,
}


@cache
def converter(name: str) -> Callable[[Any], Any]:
    """The function that converts one value to the type of the field `name`.

    It raises ValueError (also `MisfitError`) for a value that does not fit. Fields outside ECS keep
    their numbers and booleans: only text is normalised.
    """
    kind = fields().get(name)
    return _any if kind is None else _CONVERTERS[kind]


def _written(value: Any) -> str:
    try:
        return str(value)
    except ValueError:
        return f"{value:#x}"  # an integer of more digits than Python writes in decimal


def conform(event: Event) -> Event:
    """The event with each value in the type of its field, and what does not fit under `soc.misfit`.

    None and empty lists are dropped; the result is a new mapping. Never raises for a value.
    """
    out: Event = {}
    misfits: list[str] = []
    for name, value in event.items():
        if value is None:
            continue
        convert = converter(name)
        if type(value) is list:
            kept = []
            for item in value:
                if item is not None:
                    try:
                        kept.append(convert(item))
                    except (ValueError, TypeError, OverflowError):
                        misfits.append(f"{name}={_written(item)}")
            if kept:
                out[name] = kept if len(kept) > 1 else kept[0]
            continue
        try:
            out[name] = convert(value)
        except (ValueError, TypeError, OverflowError):
            misfits.append(f"{name}={_written(value)}")
    if misfits:
        earlier = out.get(MISFIT, [])
        out[MISFIT] = (earlier if isinstance(earlier, list) else [earlier]) + misfits
    return out
