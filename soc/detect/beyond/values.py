"""Values that indicators are about, in the one form in which they are compared.

The same address, domain or URL is written in many ways: an IPv4 address mapped into IPv6, hashes in upper
case, names with a trailing dot or in Unicode (RFC 5891, IDNA), URLs whose scheme and host differ in case or
that name the default port (RFC 3986, section 6.2), and, in lists made for mail, `hxxp://` and `[.]`. Each
becomes a *key*: a number of 64 bits. Networks of IPv4 have keys that are exact (prefix and network, below
2^63); all others are hashes (above), of which two among a million meet by chance once in 30 million millions
of look-ups.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from hashlib import blake2b
from urllib.parse import unquote_to_bytes

from soc.collect.formats.indicators import refang

IPV4, IPV6, DOMAIN, URL, FILE, EMAIL = "ipv4-addr", "ipv6-addr", "domain-name", "url", "file", "email-addr"
HASHED = 1 << 63
"""The bit that tells hashed keys from exact ones."""

_KINDS = {DOMAIN: b"d", URL: b"u", FILE: b"f", EMAIL: b"e", IPV6: b"6", "who": b"w"}
"""What goes before a value, so that the same text as another kind of value has another key."""

_HASH_LENGTHS = frozenset({32, 40, 64, 96, 128})
_HEX = re.compile(r"[0-9a-f]+\Z")
_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^/?#@]*@)?(?P<host>\[[^\]/]*\]|[^/?#:]*)(?::(?P<port>[0-9]*))?"
    r"(?P<path>[^?#]*)(?P<query>\?[^#]*)?",
    re.IGNORECASE | re.DOTALL,
)
_PORTS = {"http": "80", "https": "443", "ftp": "21", "ws": "80", "wss": "443"}
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_MAPPED = b"\0" * 10 + b"\xff\xff"
MAX_LABELS = 32
"""Labels of a name, from its end, whose parents are looked for; DNS allows no more than 127."""


def hashed(kind: str, value: str | bytes) -> int:
    """The key of a value that is compared as a whole."""
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(_KINDS[kind] + raw, digest_size=8).digest(), "little") | HASHED


def packed(text: str) -> bytes | None:
    """4 bytes of an IPv4 address (also one mapped into IPv6), 16 of an IPv6 address, None for what is
    neither.
    """
    text = text.strip().strip("[]")
    try:
        if ":" not in text:
            return socket.inet_pton(socket.AF_INET, text)
        found = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):  # ValueError: a null character
        return None
    return found[12:] if found.startswith(_MAPPED) else found


def network(address: bytes, prefix: int) -> int:
    """The key of a network, or with the whole length as prefix of an address."""
    bits = len(address) * 8
    number = int.from_bytes(address, "big") >> (bits - prefix)
    if bits == 32:
        return (prefix << 32) | number
    return hashed(IPV6, bytes([prefix]) + number.to_bytes(16, "big"))


def network_of(text: str) -> tuple[bytes, int] | None:
    """Address and prefix of `192.0.2.0/24`, or of an address alone; None for what is neither."""
    address, slash, length = text.strip().partition("/")
    raw = packed(address)
    if raw is None:
        return None
    bits = len(raw) * 8
    if not slash:
        return raw, bits
    if not length.isdigit():
        return None
    prefix = int(length)
    if bits == 32 and ":" in address:
        prefix -= 96  # of a mapped address
    return (raw, prefix) if 0 <= prefix <= bits else None


def domain(text: str) -> str | None:
    """A name in lower case, without trailing dots, in its ASCII form; None for what is no name."""
    name = text.strip().strip(".")
    if not name or len(name) > 1000 or any(c in name for c in " /\\@:"):
        return None
    if not name.isascii():
        name = _ascii_name(name)
    return name.lower() or None


def _ascii_name(name: str) -> str:
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:  # not by IDNA 2003, such as an over-long label: compared as it is written
        return name.casefold()


def domain_keys(name: str) -> Iterator[tuple[int, str]]:
    """The keys of a name and of each of its parents but the last label, with the name that each stands
    for.
    """
    labels = name.split(".")[-MAX_LABELS:]
    for start in range(max(1, len(labels) - 1)):
        parent = ".".join(labels[start:])
        yield hashed(DOMAIN, parent), parent


def url(text: str) -> tuple[str, str] | None:
    """A URL in the form in which it is compared, and its host; None for what is no URL."""
    found = _URL.match(text.strip())
    if found is None or not found["host"]:
        return None
    scheme = found["scheme"].lower()
    host = found["host"].strip("[]")
    raw = packed(host)
    name = _address_text(raw) if raw else domain(host)
    if name is None:
        return None
    port = found["port"] or ""
    shown = "" if not port or port == _PORTS.get(scheme) else f":{port}"
    path = _ESCAPE.sub(_unescaped, found["path"]) or "/"
    query = _ESCAPE.sub(_unescaped, found["query"] or "")
    return f"{scheme}://{name}{shown}{path}{'' if query == '?' else query}", name


def _unescaped(escape: re.Match[str]) -> str:
    """`%7E` is `~`; what must stay escaped is so in upper case."""
    raw = unquote_to_bytes(escape[0])
    return raw.decode() if raw[0] in _UNRESERVED else escape[0].upper()


def _address_text(raw: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def file_hash(text: str) -> str | None:
    """A hash in lower case; None for what has no length of one."""
    value = text.strip().lower()
    return value if len(value) in _HASH_LENGTHS and _HEX.match(value) else None


def email(text: str) -> str | None:
    """A mail address in lower case, its domain in ASCII; None for what is none."""
    local, at, host = text.strip().strip("<>").rpartition("@")
    name = domain(host) if at and local else None
    return f"{local.lower()}@{name}" if name else None


def plain(value: object) -> str:
    """A value as a list may have it, as it was before it was made harmless."""
    return refang(str(value))
