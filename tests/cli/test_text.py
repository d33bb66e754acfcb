"""Text from logs cannot act on a terminal."""

from __future__ import annotations

import pytest

from soc.cli.text import one_line, safe


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b[31mred", "\\x1b[2J\\x1b[31mred"),
        ("a\x9b31mb", "a\\x9b31mb"),
        ("bell\x07 back\x08", "bell\\x07 back\\x08"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("gpj\u202egepj.exe", "gpj\\u202egepj.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("line\u2028sep", "line\\u2028sep"),
        ("nul\x00", "nul\\x00"),
        ("cr\rover", "cr\\x0dover"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_controls_and_overrides_are_shown_not_obeyed(hostile: str, shown: str) -> None:
    """Escapes, direction overrides and invisible characters become visible."""
    assert safe(hostile) == shown


def test_ordinary_text_of_any_script_passes() -> None:
    """Vietnamese, emoji with joiners, line breaks and tabs stay as they are."""
    text = "Cổng thông tin\tđiện tử\n👩‍💻"
    assert safe(text) == text


def test_a_row_stays_a_row() -> None:
    """`one_line` also shows line breaks and tabs."""
    assert one_line("a\nb\tc") == "a\\nb\\tc"
