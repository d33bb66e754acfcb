"""The header of a syslog line: RFC 3164, RFC 5424, and the forms that rsyslog, syslog-ng and journald
write."""

from __future__ import annotations

import re
from typing import NamedTuple

_BSD_TIME = r"[A-Z][a-z]{2} [ 0-9]?\d(?: \d{4})? \d\d:\d\d:\d\d(?:\.\d{1,9})?"
_ISO_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"

# The tag ends at `[pid]` or at a colon; some programs (named, Apache's logger) leave the colon out after
# the pid.
# A header without a host (`Nov 23 21:50:37 sshd[8148]: …`, `dmesg`-like) is told by its tag with a pid.
_HEADER = re.compile(
    r"(?:<(\d{1,3})>)?"
    rf"(?:({_BSD_TIME})|({_ISO_TIME})) +"
    r"(?:([^\s\[\]]+[^\s\[\]:]|[^\s\[\]:]|\[[0-9a-fA-F:.]+\])(?= ) +)?"
    r"(?:([^\s:\[\]]+(?::[^\s:\[\]]+)*)(?:\[(\d{1,10})\](?::|(?= ))|:)(?: |\Z))?"
    r"(.*)",
    re.ASCII | re.DOTALL,
)

_RFC5424 = re.compile(
    r"<(\d{1,3})>(\d{1,2}) (\S+) (\S+) (\S+) (\S+) (\S+) ",
    re.ASCII,
)


class Header(NamedTuple):
    """What a header says. `modern` tells RFC 5424; `pid` is text; "" stands for what is not there."""

    time: str
    iso: bool
    host: str
    program: str
    pid: str
    message: str
    priority: str
    msgid: str
    structured: str


def split(line: str) -> Header | None:
    """The parts of a syslog line, or None when it has no syslog header."""
    if line[:1] == "<" and (found := _RFC5424.match(line)) is not None:
        return _modern(line, found)
    found = _HEADER.match(line)
    if found is None:
        return None
    priority, bsd, iso, host, program, pid, message = found.groups("")
    return Header(bsd or iso, not bsd, host, program, pid, message, priority, "", "")


def _modern(line: str, found: re.Match[str]) -> Header | None:
    priority, _version, time, host, program, pid, msgid = ("" if g == "-" else g for g in found.groups())
    structured, message = _structured(line, found.end())
    # a byte order mark says that the message is UTF-8 (RFC 5424, section 6.4)
    return Header(time, True, host, program, pid, message.removeprefix("\ufeff"), priority, msgid, structured)


def _structured(line: str, start: int) -> tuple[str, str]:
    """Structured data and message of RFC 5424; brackets within quoted values do not end an element."""
    if line[start : start + 1] == "-":
        return "", line[start + 2 :]
    at, end, quoted = start, len(line), False
    while at < end:
        character = line[at]
        if quoted:
            if character == "\\":
                at += 1
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character == "]" and line[at + 1 : at + 2] != "[":
            return line[start : at + 1], line[at + 1 :].removeprefix(" ")
        elif at == start and character != "[":
            break
        at += 1
    return "", line[start:]
