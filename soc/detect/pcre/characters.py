"""Sets of characters: the classes of PCRE, and what a letter is in any case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from soc.detect.pcre.tree import Range

LAST = 0x10FFFF
"""The last code point."""


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same characters in the fewest ranges, in order."""
    out: list[Range] = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    return tuple(out)


def complement(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """All other characters."""
    out: list[Range] = []
    at = 0
    for low, high in merged(ranges):
        if low > at:
            out.append((at, low - 1))
        at = high + 1
    return (*out, (at, LAST)) if at <= LAST else tuple(out)


def _of(*items: str) -> tuple[Range, ...]:
    return merged((ord(item[0]), ord(item[-1])) for item in items)


DIGIT = _of("09")
WORD = _of("09", "AZ", "az", "_")
SPACE = _of("\t\r", " ")
"""With the vertical tab, as in PCRE since 8.34 and Perl since 5.18."""
HORIZONTAL = _of("\t", " ", "\xa0", "\u1680", "\u180e", "\u2000\u200a", "\u202f", "\u205f", "\u3000")
VERTICAL = _of("\n\r", "\x85", "\u2028\u2029")
NEWLINE = _of("\n")
ESCAPED = {"d": DIGIT, "w": WORD, "s": SPACE, "h": HORIZONTAL, "v": VERTICAL}
POSIX = {
    "alpha": _of("AZ", "az"), "digit": DIGIT, "alnum": _of("09", "AZ", "az"), "upper": _of("AZ"),
    "lower": _of("az"), "word": WORD, "space": SPACE, "blank": _of("\t", " "), "cntrl": _of("\0\x1f", "\x7f"),
    "punct": _of("!/", ":@", "[`", "{~"), "graph": _of("!~"), "print": _of(" ~"), "ascii": _of("\0\x7f"),
    "xdigit": _of("09", "AF", "af"),
}  # fmt: skip
"""The POSIX classes within ASCII, as in PCRE without UCP."""

_ASCII_ORBITS = {c: frozenset((c.lower(), c.upper())) for c in map(chr, range(128)) if c.isalpha()}
for _c, _other in (("k", "\u212a"), ("s", "\u017f")):
    _ASCII_ORBITS[_c] = _ASCII_ORBITS[_c.upper()] = _ASCII_ORBITS[_c] | {_other}


@lru_cache(maxsize=1)
def _orbits() -> dict[str, frozenset[str]]:
    """Each letter beyond ASCII that has another case, to all its cases; made when it is first needed."""
    last_cased = 0x1E943  # Adlam; no later script has two cases
    groups: dict[str, set[str]] = {}
    for point in range(last_cased + 1):
        if not 0xD800 <= point <= 0xDFFF and (character := chr(point)) != (simple := _simple(character)):
            groups.setdefault(simple, {simple}).add(character)
    return {c: frozenset(group) for group in groups.values() for c in group}


def _simple(character: str) -> str:
    for candidate in (character.casefold(), character.lower()):
        if len(candidate) == 1:
            return candidate
    return character


def orbit(character: str) -> frozenset[str]:
    """All cases of a character, by Unicode's simple case folding; itself alone when it has no other."""
    known = (_ASCII_ORBITS if character.isascii() else _orbits()).get(character)
    return known or frozenset(character)


def in_any_case(ranges: Sequence[Range]) -> tuple[Range, ...]:
    """The ranges with the other cases of all their characters."""
    out = list(ranges)
    table = _ASCII_ORBITS if all(high < 128 for _, high in ranges) else {**_ASCII_ORBITS, **_orbits()}
    for character, others in table.items():
        point = ord(character)
        if any(low <= point <= high for low, high in ranges):
            out += [(ord(other), ord(other)) for other in others]
    return merged(out)
