"""The literals that a regular expression cannot do without: certain, or none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.detect import regex as rx
from soc.detect.literals import longest_part, required
from soc.detect.text import fold

KNOWN = [
    (r"evil\.exe", ("evil.exe",)),
    (r"(?i)Evil", ("evil",)),
    (r"ab*cd", ("cd",)),
    (r"abc?d", ("ab",)),
    (r"abc+d", ("abc",)),
    (r"abc{0,2}de", ("ab",)),
    (r"abc{2}", ("abc",)),
    (r"foo|barr", ("foo", "barr")),
    (r"foo|b.?", ()),
    (r"foo|", ()),
    (r"(foo|bar)bazz", ("bazz",)),
    (r"x(?:foo)?yz", ("yz",)),
    (r"(?:sleep|benchmark)\s*\(", ("sleep", "benchmark")),
    (r"(?i:foo(?:bar|baz)+|quux){2}x", ("foo", "quux")),
    (r"(?P<name>foo|bar)x?", ("foo", "bar")),
    (r"(?:abc|d)e", ()),
    (r"(?:abc|)e", ()),
    (r"(?:abc|def)?\d", ()),
    (r"(?!abc)(?=def)\d", ()),
    (r"[Pp]rogram[Dd]ata", ("programdata",)),
    (r"[pq]rogram", ("rogram",)),
    (r"[abc]def", ("def",)),
    (r"[]a]def", ("def",)),
    (r"[^]\]]def", ("def",)),
    (r"(?<!ab)cdef(?=g)", ("cdef",)),
    (r"\d+\.\d+", ()),
    (r"`.*`", ("`",)),
    (r"caf\u00e9", ()),
    (r"\Qa+b\E", ()),
    (r"(?x) a b c", ()),
    (r"a(?#comment)bc", ()),
    (r"(a(?i)b)cd", ("cd",)),
    (r"abcé", ("abc",)),
    (r"[[:alpha:]]abc", ()),
    (r"\x41bc", ()),
    (r"abc\b", ("abc",)),
    (r"^abc$", ("abc",)),
    (r"a\tb", ("a\tb",)),
    ("", ()),
    ("(", ()),
    ("a{x}", ()),
    ("abc\\", ()),
]


@pytest.mark.parametrize(("pattern", "literals"), KNOWN)
def test_known(pattern: str, literals: tuple[str, ...]) -> None:
    """What is plain is found; what is not plainly understood gives nothing."""
    assert required(pattern) == literals


PATTERNS = st.text(alphabet=r"abAB.*+?|()[]{}^$\d01,-`", max_size=12)
TEXTS = st.text(alphabet="abAB01.-`{}[]\\d|^$,", max_size=12)


@given(PATTERNS, st.lists(TEXTS, max_size=8), st.sampled_from(["", "i", "s", "m"]))
@settings(max_examples=1500, deadline=None)
def test_never_misses(pattern: str, texts: list[str], flags: str) -> None:
    """Wherever a pattern is found, one of its literals occurs; over patterns of every shape."""
    literals = required(pattern)
    if not literals:
        return
    try:
        compiled = rx.compiled(pattern, flags)
    except rx.PatternError:
        return
    for text in texts:
        if compiled.search(text):
            assert any(literal in fold(text) for literal in literals), (pattern, text)


def test_longest_part() -> None:
    """A wildcard is looked for by its longest literal."""
    assert longest_part(("", "ab", None, "ABC", "")) == "abc"
    assert longest_part(("", None, "")) == ""
