"""Regular expressions mean what PCRE means, whichever engine runs them, and cannot hang."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.detect import regex as rx

LOOK = "(?!\\x00\\x00)"
"""Holds anywhere in these texts, and sends a pattern to the backtracking engine."""

MEANING = [
    # pattern, flags, text, found
    ("a.c", "", "xabcx", True),
    ("a.c", "", "a\nc", False),
    ("a.c", "s", "a\nc", True),
    ("ABC", "", "abc", False),
    ("ABC", "i", "abc", True),
    ("É", "i", "é", True),
    ("^b$", "", "a\nb\nc", False),
    ("^b$", "m", "a\nb\nc", True),
    ("a$", "", "a\n", True),
    ("a$", "", "a\n\n", False),
    ("a$|b$", "", "xb\n", True),
    (r"a\$", "", "a$\n", True),
    (r"^\w$", "", "é", False),
    (r"^\d$", "", "٣", False),
    (r"^\S$", "", "\u00a0", True),
    (r"^.$", "", "\r", True),
    (r"^.$", "", "\u2028", True),
    (r"[^a]", "", "\n", True),
    ("(?i)abc", "", "ABC", True),
    (r"a{2,3}b", "", "xaab", True),
    (r"\\evil\.exe$", "", "C:\\evil.exe", True),
    ("", "", "", True),
]


@pytest.mark.parametrize("engine", ["re2", "regex"])
@pytest.mark.parametrize(("pattern", "flags", "text", "found"), MEANING)
def test_both_engines_mean_the_same(pattern: str, flags: str, text: str, found: bool, engine: str) -> None:
    """Each construct has the same result in the linear and in the backtracking engine."""
    if engine == "regex":
        head = "(?i)" if pattern.startswith("(?i)") else ""
        pattern = f"{head}(?:{pattern.removeprefix(head)}){LOOK}"
    compiled = rx.compiled(pattern, flags)
    assert compiled.engine == engine
    assert compiled.search(text) is found


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"(?<!a)b", "xb", True),
        (r"(?<!a)b", "ab", False),
        (r"(a)\1", "aa", True),
        (r"a(?=c)", "ab", False),
        (r"(?>a+)b", "aab", True),
        (r"a++b", "aab", True),
    ],
)
def test_what_only_backtracking_can(pattern: str, text: str, found: bool) -> None:
    """Look-around, references and possessive quantifiers work."""
    compiled = rx.compiled(pattern)
    assert compiled.engine == "regex"
    assert compiled.search(text) is found


def test_catastrophe_is_undecided_and_soon_over() -> None:
    """An exponential search ends near its time limit with no verdict; the linear engine decides at once."""
    begun = time.monotonic()
    assert rx.compiled(r"(?=a)^(a|aa)+$").search("a" * 60 + "b") is None
    assert time.monotonic() - begun < 20 * rx.TIMEOUT
    assert rx.compiled(r"^(a|aa)+$").search("a" * 60 + "b") is False


@pytest.mark.parametrize("pattern", ["(", "[", "a**", "(?P<x", "*", "(?<=a+)b("])
def test_invalid_patterns(pattern: str) -> None:
    """What no engine accepts is an error, not a pattern that never matches."""
    with pytest.raises(rx.PatternError):
        rx.compiled(pattern)


def test_text_of_any_kind() -> None:
    """NUL, lone surrogates and long texts are searched like others."""
    assert rx.compiled("b$").search("a\x00b") is True
    assert rx.compiled("x").search("a" * 1_000_000 + "x") is True
    assert rx.compiled("b$").search("\ud800b") is True


JOINED = ("a", "b+c", r"\s-[FTd]\s", "^é$", "[a-z]{3}", r"x\z", "(?i)k", "a|b", ".*", r"\bfoo\b")


@given(st.one_of(st.text(max_size=12), st.sampled_from(["é\n", "\ud800b", "-F ", "K", "foo", ""])))
@settings(deadline=None)
def test_several_at_once_are_found_as_each_by_itself(text: str) -> None:
    """One pass over a text finds the same expressions as a search for each of them."""
    patterns = [rx.compiled(pattern) for pattern in JOINED]
    assert all(pattern.joinable for pattern in patterns)
    found = rx.Several(patterns).search(text)
    assert sorted(found) == [n for n, pattern in enumerate(patterns) if pattern.search(text)]


@pytest.mark.parametrize("pattern", ["(?=a)b", "[^x]{200,}", "(?:ab){2,40}"])
def test_what_is_not_joined(pattern: str) -> None:
    """Look-around takes the other engine, and a repetition that counts far makes a joint search slow."""
    assert not rx.compiled(pattern).joinable
