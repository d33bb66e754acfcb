"""Ids from the command line and from standard input."""

from __future__ import annotations

import io

import pytest

from soc.cli import idlist
from soc.errors import UsageError


def from_stdin(monkeypatch: pytest.MonkeyPatch, text: str, given: list[str]) -> list[str]:
    """Expand with this on standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    return idlist.expand(given)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A-7F3K\nA-Q2M0\n", ["A-7F3K", "A-Q2M0"]),
        ("id\nA-7F3K\n", ["A-7F3K"]),
        ('level,id,title\nhigh,A-7F3K,"a, b"\nlow,A-Q2M0,c\n', ["A-7F3K", "A-Q2M0"]),
        ("ID,title\r\nA-7F3K,x\r\n", ["A-7F3K"]),
        ("A-7F3K  high  open\n\n  A-Q2M0 low\n", ["A-7F3K", "A-Q2M0"]),
        ("A-7F3K\nA-7F3K\n", ["A-7F3K"]),
        ("title,id\nx\n,A-7F3K\n", ["A-7F3K"]),
    ],
)
def test_lines_and_tables(monkeypatch: pytest.MonkeyPatch, text: str, expected: list[str]) -> None:
    """One in a line, or the column `id` of a CSV; repeated ones count once."""
    assert from_stdin(monkeypatch, text, ["-"]) == expected


def test_both_ways_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands on the command line and what comes by pipe."""
    assert from_stdin(monkeypatch, "A-1\n", ["A-0", "-", "A-2"]) == ["A-0", "A-1", "A-2"]


@pytest.mark.parametrize("text", ["", "\n\n", "id\n"])
def test_none_at_all(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """An empty listing is not a success in silence."""
    with pytest.raises(UsageError, match="no id"):
        from_stdin(monkeypatch, text, ["-"])


def test_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was not meant is refused early."""
    with pytest.raises(UsageError, match="more than"):
        from_stdin(monkeypatch, "\n".join(str(i) for i in range(20_000)), ["-"])


def test_not_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field larger than a CSV reader takes is an error that names the right command."""
    with pytest.raises(UsageError, match="not a list of ids"):
        from_stdin(monkeypatch, '"' + "x" * 200_000, ["-"])
