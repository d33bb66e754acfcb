"""Event formats of security devices with a header of bars: CEF (ArcSight) and LEEF 1.0 and 2.0 (QRadar).

Both may stand behind a syslog header, whose time and host are given too:

    CEF:0|vendor|product|version|signature|name|severity|key=value key=value with blanks
    LEEF:1.0|vendor|product|version|event|key=value<tab>key=value
    LEEF:2.0|vendor|product|version|event|delimiter|key=value…

In a CEF value line ends and `=` are escaped with a backslash, in the header `|` and the backslash. A key ends
at `=` and begins after a blank, so a value may hold blanks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from soc.collect.formats.syslog import split

_CEF = re.compile(r"CEF:\s?(\d{1,2}(?:\.\d{1,3})?)\|")
_LEEF = re.compile(r"LEEF:\s?([12](?:\.\d{1,3})?)\|")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_KEY = re.compile(r"(?:\A|(?<=\s))([A-Za-z_][\w.\-\[\]]{0,255})=", re.ASCII)
_LINE_ENDS = {"n": "\n", "r": "\r"}
_HEX = re.compile(r"(?:0x|\\?x)([0-9A-Fa-f]{2,4})\Z")
_CEF_NAMES = ("vendor", "product", "version", "code", "name", "severity")
_LEEF_NAMES = ("vendor", "product", "version", "code")


def cef(line: str) -> dict[str, Any]:
    """The parts of a CEF line: those of its header, `ext` with its pairs, and of syslog `time` and `host`.

    Raises ValueError where there is no whole CEF header.
    """
    found, out = _begin(line, _CEF, "CEF")
    rest = _bars(line, found.end(), _CEF_NAMES, out)
    out["ext"] = dict(_pairs(rest))
    return out


def leef(line: str) -> dict[str, Any]:
    """The parts of a LEEF line, as `cef` gives them. Raises ValueError where there is no whole header."""
    found, out = _begin(line, _LEEF, "LEEF")
    rest = _bars(line, found.end(), _LEEF_NAMES, out)
    delimiter = "\t"
    if found[1].startswith("2"):
        word, bar, after = rest.partition("|")
        if bar and len(word) <= 6 and "=" not in word[1:]:
            rest, delimiter = after, _delimiter(word)
    pairs = (item.partition("=") for item in rest.split(delimiter))
    out["ext"] = {key.strip(): value.strip() for key, sign, value in pairs if sign and key.strip()}
    return out


def _begin(line: str, pattern: re.Pattern[str], name: str) -> tuple[re.Match[str], dict[str, Any]]:
    found = pattern.search(line, 0, 1024)
    if found is None:
        raise ValueError(f"not {name}: there is no `{name}:` with its version at the beginning")
    out: dict[str, Any] = {"format_version": found[1]}
    header = split(line[: found.start()].rstrip() + " : ") if found.start() else None
    if header is not None:
        out.update(time=header.time, host=header.host or header.program, priority=header.priority)
    return found, out


def _bars(line: str, at: int, names: tuple[str, ...], out: dict[str, Any]) -> str:
    """Read the header's parts into `out`; what follows the last bar."""
    for name in names:
        end = at
        while True:
            end = line.find("|", end)
            if end < 0:
                if name == names[-1]:
                    out[name] = _plain(line[at:])
                    return ""
                raise ValueError(f"the header ends before its {name}")
            before = end
            while before > at and line[before - 1] == "\\":
                before -= 1
            if (end - before) % 2 == 0:
                break
            end += 1
        out[name] = _plain(line[at:end])
        at = end + 1
    return line[at:]


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    keys = list(_KEY.finditer(text))
    ends = [key.start() for key in keys[1:]] + [len(text)]
    for key, end in zip(keys, ends, strict=False):
        yield key[1], _plain(text[key.end() : end])


def _plain(text: str) -> str:
    if "\\" not in text:
        return text.strip()
    return _ESCAPED.sub(lambda m: _LINE_ENDS.get(m[1], m[1] if m[1] in "\\|=" else m[0]), text).strip()


def _delimiter(word: str) -> str:
    found = _HEX.match(word)
    return chr(int(found[1], 16)) if found else word or "\t"
