"""How the settings of an extension are read: a table of parameters for each, checked with their places.

A reader takes a value as it stands in YAML and gives what the extension works with, or raises ValueError with
a sentence. So an extension declares what it knows, and every mistake is found where it stands.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from soc.detect.rule import duration

Reader = Callable[[Any], Any]
Complain = Callable[..., None]
"""Called with a sentence and the keys that lead to what is wrong, below the setting."""

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter: how it is read, and whether it must be there (else the extension's default holds).

    `to`: the name that the extension has for it, where it is another.
    """

    read: Reader
    required: bool = False
    to: str = ""


Schema = Mapping[str, Param]


def read(schema: Schema, value: Any, complain: Complain) -> dict[str, Any] | None:
    """The parameters of a mapping as the readers give them; None when something is wrong, which is complained
    of.
    """
    if not isinstance(value, dict):
        complain(f"a mapping is expected here, with {', '.join(schema)}")
        return None
    sound = True
    out: dict[str, Any] = {}
    for key, given in value.items():
        param = schema.get(key) if isinstance(key, str) else None
        if param is None:
            near = difflib.get_close_matches(str(key), [*schema], n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            complain(f"unknown setting {key!r}{meant} (known here: {', '.join(schema)})", str(key))
            sound = False
            continue
        try:
            out[param.to or key] = param.read(given)
        except ValueError as error:
            complain(f"{key}: {error}", key)
            sound = False
    for key, param in schema.items():
        if param.required and key not in value:
            complain(f"`{key}` is missing")
            sound = False
    return out if sound else None


def span(value: Any) -> int:
    """A length of time such as `30d`, in microseconds."""
    return duration(str(value)) // _MICROSECOND


def names(value: Any) -> tuple[str, ...]:
    """One field name or a list of them, each once."""
    listed = [value] if isinstance(value, str) else value
    if (
        not isinstance(listed, list)
        or not listed
        or not all(isinstance(v, str) and v.strip() for v in listed)
    ):
        raise ValueError("a field name, or a list of field names, is expected")
    if len(set(listed)) != len(listed):
        raise ValueError("a field stands twice")
    return tuple(listed)


def name(value: Any) -> str:
    """One field name."""
    if not isinstance(value, str) or not value:
        raise ValueError("a field name is expected")
    return value


def whole(least: int, most: int = 10**12) -> Reader:
    """A whole number between bounds."""

    def reader(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"a whole number from {least:,} to {most:,} is expected")
        return value

    return reader


def number(above: float, most: float) -> Reader:
    """A number above one bound, at most the other."""

    def reader(value: Any) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not above < value <= most:
            raise ValueError(f"a number above {above:g}, at most {most:g}, is expected")
        return float(value)

    return reader


def flag(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false is expected")
    return value


def choices(*known: str) -> Reader:
    """One or more of some words."""

    def reader(value: Any) -> tuple[str, ...]:
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not listed or not all(v in known for v in listed):
            raise ValueError(f"one or more of these are expected: {', '.join(known)}")
        return tuple(dict.fromkeys(listed))

    return reader
