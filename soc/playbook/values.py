"""Types of variables: what a value must look like before a playbook uses it.

Values come from alerts, and so from whoever wrote the log: a type is the first line of defence, the
template (`soc.playbook.template`) the second. A value that does not fit its type is never used.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from soc.event import moment, normalise, timestamp

MAX_LINE = 1024
"""Longest value of a single line, in characters."""
MAX_TEXT = 16_384
"""Longest value of type `text`, in characters."""
MAX_ITEMS = 100
"""Most items that a variable with `list: true` holds."""

Scalar = str | int | bool
VariableValue = Scalar | list[Scalar]


@dataclass(frozen=True, slots=True)
class Type:
    """A type of variable: its name, what it is in a few words, its CACAO 2.0 name and its check.

    `check` gives the value in its canonical form and raises ValueError with the reason.
    `plain` types can never hold a space, a quote or a sign that a shell or remote program reads as more.
    """

    name: str
    title: str
    cacao: str
    check: Callable[[str], Scalar]
    plain: bool = False


def _printable(text: str, *, lines: bool = False) -> str:
    for character in text:
        if lines and character in "\n\t":
            continue
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
            raise ValueError(f"holds the control character U+{ord(character):04X}")
    return normalise(text)


def _line(text: str) -> str:
    if len(text) > MAX_LINE:
        raise ValueError(f"longer than {MAX_LINE} characters")
    return _printable(text)


def _text(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise ValueError(f"longer than {MAX_TEXT} characters")
    return _printable(text.replace("\r\n", "\n"), lines=True)


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError("not a whole number")
    return int(text)


def _boolean(text: str) -> bool:
    word = text.lower()
    if word in {"true", "yes", "y"}:
        return True
    if word in {"false", "no", "n"}:
        return False
    raise ValueError("neither yes nor no")


def _ip(text: str) -> str:
    if "%" in text:
        raise ValueError("an address with a zone")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("not an IP address") from None


def _network(text: str) -> str:
    if "%" in text:
        raise ValueError("a network with a zone")
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError("not a network") from None


_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+\.?")


def _host(text: str) -> str:
    if len(text) <= 253 and _HOST.fullmatch(text):
        return text
    try:
        return _ip(text)
    except ValueError:
        raise ValueError("not a host name or address") from None


def _domain(text: str) -> str:
    if len(text) > 253 or not _DOMAIN.fullmatch(text):
        raise ValueError("not a domain name (international names as xn--…)")
    return text


def _pattern(expression: str, reason: str) -> Callable[[str], Scalar]:
    compiled = re.compile(expression)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(reason)
        return normalise(text)

    return check


def _url(text: str) -> str:
    if len(text) > 2048 or not re.fullmatch(r"[^\s\x00-\x20\x7f\"<>\\^`{|}]+", text):
        raise ValueError("not a URL")
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        raise ValueError("not a URL") from None
    if parts.scheme not in {"http", "https", "ftp"} or not host:
        raise ValueError("not an http, https or ftp URL")
    return _printable(text)


def _path(text: str) -> str:
    if not text or text.startswith("-"):
        raise ValueError("not a path")
    return _line(text)


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text.strip("{}")))
    except ValueError:
        raise ValueError("not a UUID") from None


def _hash(*lengths: int) -> Callable[[str], Scalar]:
    def check(text: str) -> str:
        if len(text) not in lengths or not re.fullmatch(r"[0-9A-Fa-f]+", text):
            raise ValueError(f"not a hash of {' or '.join(str(n) for n in lengths)} hexadecimal digits")
        return text.lower()

    return check


def _time(text: str) -> str:
    try:
        return timestamp(moment(text))
    except ValueError:
        raise ValueError("not a time as in RFC 3339") from None


_USER = r"[\w.@$+\\/][\w.@$+\\/ -]{0,254}"
_EMAIL = rf"[A-Za-z0-9_+&=.][A-Za-z0-9_+&=.-]{{0,63}}@{_LABEL}(?:\.{_LABEL})*"

TYPES: dict[str, Type] = {
    type_.name: type_
    for type_ in (
        Type("string", "one line of text", "string", _line),
        Type("text", "text of several lines", "string", _text),
        Type("integer", "a whole number", "integer", _integer, plain=True),
        Type("boolean", "yes or no", "bool", _boolean, plain=True),
        Type("ip", "an IPv4 or IPv6 address", "ipv4-addr", _ip, plain=True),
        Type("network", "a network such as 192.0.2.0/24", "ipv4-addr", _network, plain=True),
        Type(
            "mac",
            "a MAC address",
            "mac-addr",
            _pattern(r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}", "not a MAC address"),
            plain=True,
        ),
        Type("host", "a host name or address", "string", _host, plain=True),
        Type("domain", "a domain name", "string", _domain, plain=True),
        Type("user", "an account name", "string", _pattern(_USER, "not an account name")),
        Type("email", "an e-mail address", "string", _pattern(_EMAIL, "not an e-mail address")),
        Type("url", "an http, https or ftp URL", "uri", _url),
        Type("hash", "an MD5, SHA-1 or SHA-2 hash", "hash", _hash(32, 40, 56, 64, 96, 128), plain=True),
        Type("sha256", "a SHA-256 hash", "sha256-hash", _hash(64), plain=True),
        Type("path", "a file path", "string", _path),
        Type("uuid", "a UUID", "uuid", _uuid, plain=True),
        Type("time", "a moment as in RFC 3339", "string", _time, plain=True),
    )
}
"""Every type of variable, by name."""


def check(type_name: str, value: Any) -> Scalar:
    """The canonical form of one value. Raises ValueError with the reason when it does not fit its type."""
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, (str, int, float)):
        raise ValueError("not a single value")
    text = str(value)
    if type_name not in {"string", "text"}:
        text = text.strip()
    if not text:
        raise ValueError("empty")
    return TYPES[type_name].check(text)


def check_many(type_name: str, values: list[Any]) -> tuple[list[Scalar], list[str]]:
    """Distinct values that fit their type, in order, at most `MAX_ITEMS`; and why the others do not."""
    good: dict[Scalar, None] = {}
    reasons: list[str] = []
    for value in values:
        try:
            good[check(type_name, value)] = None
        except ValueError as error:
            reasons.append(str(error))
    if len(good) > MAX_ITEMS:
        reasons.append(f"{len(good) - MAX_ITEMS} more than {MAX_ITEMS} values")
    return list(good)[:MAX_ITEMS], reasons


def shown(value: Any) -> str:
    """A value as people and programs read it: items of a list joined by commas."""
    if isinstance(value, list):
        return ",".join(shown(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
