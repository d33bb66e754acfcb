"""Patterns mean what PCRE2 means in both engines: by hand, and against PCRE2 itself where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.detect import pcre
from soc.detect import regex as rx
from soc.detect.pcre.characters import orbit
from soc.detect.text import fold
from tests.detect import pcre2

needs_pcre2 = pytest.mark.skipif(pcre2.library() is None, reason="PCRE2 is not installed")


Finder = Callable[[str], object]


def engines(pattern: str, flags: str) -> list[Finder]:
    """Each engine that can run the pattern, ready to look for it in a text."""
    import re2
    import regex

    expression, ascii_ = pcre.for_regex(pattern, flags)
    out: list[Finder] = [
        regex.compile(expression, regex.VERSION0 | (regex.ASCII if ascii_ else regex.UNICODE)).search
    ]
    options = re2.Options()
    options.log_errors = False
    with suppress(pcre.NotLinearError, re2.error):
        out.append(re2.compile(pcre.for_re2(pattern, flags), options).search)
    return out


TABLE = [
    # pattern, flags, texts in which it is found, texts in which it is not
    (r"a$", "", ["a", "ba", "a\n"], ["a\n\n", "a\r", "ab"]),
    (r"a$", "m", ["a\nb", "a\n\n"], ["ab"]),
    (r"^b", "", ["b"], ["a\nb"]),
    (r"^b", "m", ["a\nb"], ["ab"]),
    (r"^$", "m", ["", "\n", "a\n\nb"], ["a\n", "a"]),
    (r"a$\n", "", ["a\n"], ["a", "a\n\n"]),
    (r"(a$|b)c", "", ["bc"], ["ac"]),
    (r"a\Z", "", ["a", "a\n"], ["a\nb"]),
    (r"a\Z", "m", ["a\n"], ["a\nb"]),
    (r"a\z", "", ["a"], ["a\n"]),
    (r"\Ab", "m", ["b"], ["a\nb"]),
    (r"\Gb", "", ["b"], ["ab"]),
    (r"^.$", "", ["x", "\r", "\x85", "\u2028", "é", "\U0001f600"], ["\n", ""]),
    (r"^.$", "s", ["\n", "x"], [""]),
    (r"^\N$", "s", ["x"], ["\n"]),
    (r"^\d$", "", ["7"], ["٣", "x"]),
    (r"^\D$", "", ["٣", "x", "\n"], ["7"]),
    (r"^\w$", "", ["a", "Z", "_", "0"], ["é", "-", "ſ"]),
    (r"^\w$", "i", ["k"], ["\u212a", "ſ", "é"]),
    (r"^\W$", "", ["é", "-"], ["a"]),
    (r"^\s$", "", [" ", "\t", "\x0b", "\f", "\r"], ["\xa0", "\u2003", "\x85", "x"]),
    (r"^\S$", "", ["\xa0", "x"], ["\x0b"]),
    (r"^\h$", "", [" ", "\t", "\xa0", "\u3000"], ["\n", "x"]),
    (r"^\H$", "", ["x", "\n"], [" "]),
    (r"^\v$", "", ["\n", "\x0b", "\x85", "\u2028"], [" ", "v"]),
    (r"^\V$", "", ["x"], ["\r"]),
    (r"^\R$", "", ["\n", "\r\n", "\r", "\u2028"], ["x"]),
    (r"\R\n", "", ["\n\n", "\r\n\n"], ["\r\n"]),
    (r"^\X$", "", ["e\u0301", "x"], ["xy"]),
    (r"\bé", "", ["aé"], ["é", " é"]),
    (r"a\b", "", ["aé", "a"], ["ab"]),
    (r"\Bé", "", ["é"], ["aé"]),
    (r"a\Bb", "", ["ab"], ["a b"]),
    (r"^[[:alpha:]]$", "", ["a", "Z"], ["1", "é", ":"]),
    (r"^[[:^digit:]]$", "", ["a"], ["1"]),
    (r"^[[:word:][:space:]]$", "", ["_", "\x0b"], ["-"]),
    (r"^[[:upper:]]$", "", ["A"], ["a"]),
    (r"^[[:upper:]]$", "i", ["A", "a"], ["1"]),
    (r"^[[:punct:]]$", "", ["!", "~"], ["a", " "]),
    (r"^[[:xdigit:]]+$", "", ["aF0"], ["g"]),
    (r"^[]a]$", "", ["]", "a"], ["["]),
    (r"^[^]a]$", "", ["b", "\n"], ["]", "a"]),
    (r"^[\w-z]$", "", ["-", "z", "q"], ["é"]),
    (r"^[a\-z]$", "", ["-", "a"], ["b"]),
    (r"^[a&&b]$", "", ["&", "a"], ["|"]),
    (r"^[\b]$", "", ["\b"], ["b"]),
    (r"^[\h\x{e9}]$", "", ["\xa0", "é"], ["e"]),
    (r"[^a]|[^\n]", "", ["\n", "a"], [""]),
    (r"k", "i", ["K", "\u212a"], ["g"]),
    (r"ſ", "i", ["s", "S"], ["f"]),
    (r"σ", "i", ["Σ", "ς"], ["s"]),
    (r"i", "i", ["I"], ["İ", "ı"]),
    (r"É", "i", ["é"], ["e"]),
    (r"straße", "i", ["STRAẞE"], ["STRASSE"]),
    (r"^[a-z]$", "i", ["Q", "\u212a"], ["é"]),
    (r"^[^k]$", "i", ["g"], ["K", "\u212a"]),
    (r"(a)\1", "i", ["aA"], ["ab"]),
    (r"(a)(?-i)\1", "i", ["aa", "AA"], ["aA"]),
    (r"a(?i)b", "", ["aB"], ["AB"]),
    (r"a(?i:b)c", "", ["aBc"], ["aBC"]),
    (r"(a(?i)b|c)d", "", ["aBd", "Cd"], ["aBD"]),
    (r"(?i-s)A.", "s", ["ab"], ["a\n"]),
    (r"(?^)a", "i", ["a"], ["A"]),
    (r"(?x) a \  b # a comment", "", ["a b"], ["ab"]),
    (r"a(?#a comment)+b", "", ["aab"], ["b"]),
    (r"a++b", "", ["aab"], ["aac"]),
    (r"a++ab", "", [], ["aaab"]),
    (r"(?>a|ab)c", "", ["ac"], ["abc"]),
    (r"(?=ab)a", "", ["ab"], ["ac"]),
    (r"a(?!b)", "", ["ac", "a"], ["ab"]),
    (r"(?<=a)b", "", ["ab"], ["cb"]),
    (r"(?<!a)b", "", ["cb", "b"], ["ab"]),
    (r"(?<year>\d{4})-\k<year>", "", ["2026-2026"], ["2026-2025"]),
    (r"(?P<y>\d)(?P=y)", "", ["11"], ["12"]),
    (r"(?'y'a)\g{y}\g{-1}", "", ["aaa"], ["aa"]),
    (r"(?|(a)|(b))\1", "", ["aa", "bb"], ["ab"]),
    (r"^(a)?(?(1)b|c)$", "", ["ab", "c"], ["ac", "b"]),
    (r"(a)|\1b", "", ["a"], ["b"]),
    (r"^\x41\x{42}\103\o{104}\x{1f600}$", "", ["ABCD\U0001f600"], ["abcd\U0001f600"]),
    (r"^\cA\e\a\f$", "", ["\x01\x1b\x07\x0c"], ["A"]),
    (r"^\Qa.b\E+$", "", ["a.b", "a.bb"], ["aXb"]),
    (r"^\.\*\-\_\<\é$", "", [".*-_<é"], ["x"]),
    (r"^\p{Lu}\pL\P{L}$", "", ["Éa1"], ["éa1", "Éaa"]),
    (r"^[\p{Greek}x]$", "", ["Σ", "x"], ["S"]),
    (r"^[^\p{L}]+$", "", ["12"], ["1é"]),
    (r"^\p{L&}$", "", ["é"], ["1"]),
    (r"^a{2}b{1,2}c{1,}d{,2}$", "", ["aabc", "aabbccdd"], ["aac", "aabcddd"]),
    (r"^a{b}{1}$", "", ["a{b}"], ["ab"]),
    (r"^a{$", "", ["a{"], ["a"]),
    (r"^(a|)+b$", "", ["b", "aab"], ["a"]),
    (r"^a|", "", ["", "b"], []),
    (r"^a.{1500}b", "", ["a" + "x" * 1500 + "b"], ["ab"]),
    (r"a\Kb", "", ["ab"], ["b"]),
    (r"(?U)^a+?b", "", ["aab"], ["b"]),
    (r"(?n)^(a)(?<x>b)\1", "", ["abb"], ["aba"]),
]


@pytest.mark.parametrize(
    ("pattern", "flags", "there", "not_there"), TABLE, ids=[f"{p}~{f}" for p, f, *_ in TABLE]
)
def test_what_a_pattern_means(pattern: str, flags: str, there: list[str], not_there: list[str]) -> None:
    """Each construct in which engines differ has PCRE's meaning in both, and as rules use it."""
    finders = engines(pattern, flags)
    for expected, texts in ((True, there), (False, not_there)):
        for text in texts:
            assert {find(text) is not None for find in finders} == {expected}, text
            assert rx.compiled(pattern, flags).search(text) is expected, text


NEWER = {
    r"^a{2}b{1,2}c{1,}d{,2}$": "{,n} is new in 10.43",
    r"^[\w-z]$": "an error since PCRE2, in Perl a dash",
}


@needs_pcre2
@pytest.mark.parametrize(
    ("pattern", "flags", "there", "not_there"), TABLE, ids=[f"{p}~{f}" for p, f, *_ in TABLE]
)
def test_the_table_is_what_pcre2_says(
    pattern: str, flags: str, there: list[str], not_there: list[str]
) -> None:
    """The expectations above are those of PCRE2, but for what it changed lately."""
    if pattern in NEWER:
        pytest.skip(NEWER[pattern])
    assert all(pcre2.found(pattern, flags, text) for text in there)
    assert not any(pcre2.found(pattern, flags, text) for text in not_there)


REFUSED = [
    ("(", 1), (")", 1), ("a)", 2), ("[a", 1), ("[^", 1), ("a**", 3), ("*", 1), ("^*", 2), ("a{2}{3}", 5),
    ("a{3,2}", 2), ("a{65536}", 2), ("\\", 1), (r"\i", 1), (r"\y", 1), (r"a\1", 2), (r"(a)\2", 4),
    (r"\k<n>", 1), ("(?<n>a)(?<n>b)", 8), ("(?<1>a)", 1), ("[b-a]", 3), (r"[a-\d]", 3), ("[[:foo:]]", 2),
    ("[[.a.]]", 2), (r"\x{110000}", 1), (r"\x{zz}", 1), (r"\x{d800}", 1), ("(?R)", 1), ("(?1)", 1),
    ("(*FAIL)", 1), (r"\C", 1), ("(?#", 1), ("(?i", 1), ("(?<n", 1), (r"\p{", 1), (r"\N{U+41}", 1),
    ("(" * 200 + ")" * 200, 101), (r"(?(2)a)", 1), (r"\g<1>(a)", 1),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "column"), REFUSED, ids=[p[:20] for p, _ in REFUSED])
def test_what_is_no_pattern_is_refused_with_its_place(pattern: str, column: int) -> None:
    """Whatever PCRE does not know, or no engine here can do, is an error that names the character."""
    with pytest.raises(rx.PatternError, match=rf"at character {column}\Z"):
        rx.compiled(pattern)


@pytest.mark.parametrize("pattern", [r"\p{foo}", r"\p{IsNothing}"])
def test_an_unknown_property_is_refused(pattern: str) -> None:
    """Names of Unicode properties are the engines' to know."""
    with pytest.raises(rx.PatternError):
        rx.compiled(pattern)


def test_the_cases_of_a_letter_are_those_of_text() -> None:
    """`i` makes equal what the fold of text makes equal, for every code point."""

    def composed(character: str) -> bool:  # NFC replaces others, such as the Kelvin sign, whatever their case
        return normalize("NFC", character) == character

    by_fold: dict[str, set[str]] = {}
    for character in map(chr, range(sys.maxunicode + 1)):
        cased = not character.lower() == character.upper() == character
        if cased and composed(character) and len(folded := fold(character)) == 1:
            by_fold.setdefault(folded, {folded}).add(character)
    several = [characters for characters in by_fold.values() if len(characters) > 1]
    assert len(several) > 1300
    for characters in several:
        assert all(set(filter(composed, orbit(c))) == characters for c in characters), characters


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=a)", "look-ahead"), ("(?<!a)b", "look-behind"), ("a++", "a possessive quantifier"),
        (r"(a)\1", "a back reference"), ("(?>a)", "an atomic group"), (r"a\Bb", "\\B"),
        ("a$b", "something after $"),
        (r"(a)?(?(1)b)", "a condition"), ("a{2000}", "more than 1000 repetitions"), ("^a+$", ""),
    ],
)  # fmt: skip
def test_the_reason_for_backtracking(pattern: str, why: str) -> None:
    """An engineer is told what in a pattern costs the linear engine."""
    assert pcre.backtracks_for(pattern) == why


@pytest.mark.parametrize(
    ("pattern", "nested"),
    [
        ("(a+)+", True),
        ("(?:a*b?)*c", True),
        ("(?>a+)+", False),
        ("a+b+", False),
        ("(a{1,3})+", False),
        ("(a++)+", False),
    ],
)
def test_nested_repeats(pattern: str, nested: bool) -> None:
    """What makes backtracking explode is found."""
    assert pcre.nested_repeat(pattern) is nested


ATOMS = [
    "a", "b", "k", "s", "i", "é", "ς", "1", r"\d", r"\w", r"\s", r"\W", r"\h", r"\v", r"\N", ".", "[ab]",
    "[^a]",
    r"[a-c\s]", r"[^\W_]", "[[:alpha:]]", r"\n", r"\x{e9}", r"\p{L}", r"\R", "[k-t]", "[^k]", r"\.",
    r"\Qa.\E",
]  # fmt: skip
PLACES = ["^", "$", r"\b", r"\B", r"\A", r"\Z", r"\z"]
OPENINGS = ["(", "(?:", "(?i:", "(?s:", "(?m:", "(?>", "(?=", "(?!", "(?<=a)(?:", r"(?<!\n)(?:", "(?-i:"]
QUANTIFIERS = ["*", "+", "?", "{2}", "{1,2}", "*?", "++"]
PATTERNS = st.recursive(
    st.sampled_from(ATOMS + PLACES),
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("{}|{}".format, inner, inner),
        st.builds("{}{})".format, st.sampled_from(OPENINGS), inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(QUANTIFIERS)),
    ),
    max_leaves=8,
)
TEXTS = st.text("abkKsſ\u212aiIİéÉςΣ1 _.\n\r\x0b\xa0A", max_size=6)


@needs_pcre2
@settings(max_examples=300)
@given(PATTERNS, st.sampled_from(["", "i", "m", "s", "im", "ims"]), st.lists(TEXTS, min_size=1, max_size=6))
def test_any_pattern_is_found_where_pcre2_finds_it(pattern: str, flags: str, texts: list[str]) -> None:
    """Generated patterns and texts, in both engines."""
    try:
        expected = [pcre2.found(pattern, flags, text) for text in texts]
    except pcre2.RefusedError:
        with pytest.raises(pcre.PatternSyntaxError):
            pcre.for_regex(pattern, flags)
        return
    for find in engines(pattern, flags):
        for text, wanted in zip(texts, expected, strict=True):
            assert wanted is None or (find(text) is not None) is wanted, (pattern, flags, text)
