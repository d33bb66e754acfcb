"""Text for a terminal: whatever a log holds, it cannot move the cursor, recolour or reorder the screen."""

from __future__ import annotations

import unicodedata


class _SafeTable(dict[int, str]):
    """A translation table that fills itself: harmful code points become a visible escape."""

    def __missing__(self, point: int) -> str:
        character = chr(point)
        harmful = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        # the joiners belong to words of several scripts and to emoji; alone they are harmless
        if harmful and character not in "\n\t\u200c\u200d":
            shown = (
                f"\\x{point:02x}"
                if point < 0x100
                else f"\\u{point:04x}"
                if point < 0x10000
                else f"\\U{point:08x}"
            )
        else:
            shown = character
        self[point] = shown
        return shown


_TABLE = _SafeTable()


def safe(text: str) -> str:
    """Text in which control characters, escapes and direction overrides are shown, not obeyed.

    Line breaks and tabs stay; use `one_line` where a row must stay a row.
    """
    if text.isascii() and text.isprintable():
        return text
    return text.translate(_TABLE)


def one_line(text: str) -> str:
    """`safe` text on one line: line breaks and tabs are shown as `\\n` and `\\t` too."""
    return safe(text).replace("\n", "\\n").replace("\t", "\\t")
