"""Key-value text: `key=value key="quoted value"`."""

from __future__ import annotations

import re
from typing import Any

# a key begins where a word does, so that a long run of letters is looked at once, not from each letter on
_PAIR = re.compile(
    r"""(?<![\w.\-])([A-Za-z_][\w.\-]*)=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s,;]*))""", re.ASCII
)


def parse(text: str) -> dict[str, Any]:
    """All pairs of a text; of a key given twice the first counts."""
    out: dict[str, Any] = {}
    for key, double, single, bare in _PAIR.findall(text):
        if key not in out:
            out[key] = double or single or bare
    return out


def netfilter(text: str) -> dict[str, Any]:
    """The log of iptables and nftables: upper-case keys; flags without a value (SYN, DF) under `flags`.

    `LEN`, `ID`, and for packets quoted within ICMP errors also addresses and ports, stand twice; the first
    is the packet that was logged.
    """
    out: dict[str, Any] = {}
    flags = []
    # what ICMP errors quote stands in brackets, at the end
    for word in text.partition(" [SRC=")[0].split():
        key, sign, value = word.partition("=")
        if sign:
            if key not in out:
                out[key] = value
        elif out and word.isupper():
            flags.append(word)
    if flags:
        out["flags"] = flags
    return out


def csv(text: str) -> dict[str, Any]:
    """The values of a comma-separated text by their numbers from `0` (RFC 4180: quotes, doubled quotes).

    A syslog header before it belongs to the first. A value too long for the reader is parted at every comma.
    """
    from csv import Error, reader

    try:
        row = next(reader([text.replace("\0", "").replace("\n", " ").replace("\r", " ")]), [])
    except Error:
        row = text.split(",")
    return {str(number): value for number, value in enumerate(row)}
