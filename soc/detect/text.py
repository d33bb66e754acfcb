"""How text compares: one documented fold, the same for rules, queries and both stores.

Two texts are equal when they are equal after Unicode normal form C and *simple* case folding (Unicode
`CaseFolding.txt`, status C and S): one code point stays one code point. So `ΣΊΣΥΦΟΣ` equals
`σίσυφος`, `paſſword` equals `password` and the Kelvin sign equals `k`; but `straße` is not `STRASSE`,
and `İ` equals only itself, because their full folding changes the length.
"""

from __future__ import annotations

import re
import unicodedata


def _fold_point(character: str) -> str:
    for candidate in (character.casefold(), character.lower()):
        if len(candidate) == 1:
            return candidate
    return character


class _FoldTable(dict[int, str]):
    """A translation table that fills itself: code point to its folded character."""

    def __missing__(self, point: int) -> str:
        folded = _fold_point(chr(point))
        self[point] = folded
        return folded


_TABLE = _FoldTable()
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")


def _fold_run(run: re.Match[str]) -> str:
    return run[0].translate(_TABLE)


def fold(text: str) -> str:
    """`text` as it is compared when case does not matter.

    The result has as many code points as the text in normal form C, and `fold(fold(x)) == fold(x)`.
    """
    if text.isascii():
        return text.lower()
    composed = unicodedata.normalize("NFC", text)
    # bytes.lower() touches ASCII alone, at the speed of C: a long line with one letter beyond it stays quick
    lowered = composed.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
    return _BEYOND_ASCII.sub(_fold_run, lowered)


def canonical(value: object) -> str:
    """A value as the text that rules compare: `4624` and `"4624"` are one, `true` is the boolean True."""
    if type(value) is str:
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    try:
        return str(value)
    except ValueError:
        return f"{value:#x}"  # an integer of more digits than Python writes in decimal
