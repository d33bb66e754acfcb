"""Syslog headers in all the forms that programs write."""

from __future__ import annotations

import pytest

from soc.collect.formats.syslog import split


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Mar  2 10:00:00 h sshd[12]: text", ("Mar  2 10:00:00", "h", "sshd", "12", "text")),
        ("<38>Mar 12 10:00:00 h sshd[12]: text", ("Mar 12 10:00:00", "h", "sshd", "12", "text")),
        ("Mar  2 10:00:00 sshd[12]: text", ("Mar  2 10:00:00", "", "sshd", "12", "text")),
        ("Mar  2 10:00:00 h postfix/smtpd[1]: a: b", ("Mar  2 10:00:00", "h", "postfix/smtpd", "1", "a: b")),
        ("Mar  2 10:00:00 h kernel: [1.0] x", ("Mar  2 10:00:00", "h", "kernel", "", "[1.0] x")),
        ("Mar  2 10:00:00 h last message repeated 2 times", ("Mar  2 10:00:00", "h", "", "",
        "last message repeated 2 times")),
        ("2026-03-02T10:00:00.5+07:00 h app: x", ("2026-03-02T10:00:00.5+07:00", "h", "app", "", "x")),
        ("<165>1 2026-03-02T10:00:00Z h app 12 ID1 - x", ("2026-03-02T10:00:00Z", "h", "app", "12", "x")),
        ('<165>1 2026-03-02T10:00:00Z h app - - [a b="\\"]"][c d="[x]"] x', ("2026-03-02T10:00:00Z", "h",
        "app", "", "x")),
        ("<165>1 - - - - - - \ufeffx", ("", "", "", "", "x")),
        ("Mar  2 10:00:00 fe80::1 app: x", ("Mar  2 10:00:00", "fe80::1", "app", "", "x")),
    ],
)  # fmt: skip
def test_a_header_is_taken_apart(line: str, expected: tuple[str, ...]) -> None:
    """Time, host, program, pid and message of each form."""
    header = split(line)
    assert header is not None
    assert (header.time, header.host, header.program, header.pid, header.message) == expected


@pytest.mark.parametrize("line", ["", "text", "<999", "10:00:00 h app: x", "Foo", "{}", "<1>1 "])
def test_what_has_no_header_is_none(line: str) -> None:
    """Text without a time at its beginning is no syslog line."""
    assert split(line) is None
