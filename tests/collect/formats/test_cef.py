"""CEF and LEEF."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.collect.formats.cef import cef, leef


def test_the_header_and_its_escapes() -> None:
    """Bars and backslashes of the header are escaped; a syslog header gives time and host."""
    out = cef(r"<134>Mar  2 14:14:09 gw1 CEF:0|A\|B|C\\|1|9|na\|me|5|src=192.0.2.7")
    assert (out["vendor"], out["product"], out["name"]) == ("A|B", "C\\", "na|me")
    assert (out["time"], out["host"], out["priority"]) == ("Mar  2 14:14:09", "gw1", "134")
    assert out["ext"] == {"src": "192.0.2.7"}


@pytest.mark.parametrize(
    ("text", "ext"),
    [
        ("msg=two words and dpt inside dpt=3", {"msg": "two words and dpt inside", "dpt": "3"}),
        (r"request=https://e.org/?a\=1 act=x", {"request": "https://e.org/?a=1", "act": "x"}),
        (r"msg=a\nb\\c", {"msg": "a\nb\\c"}),
        (r"path=C:\Windows\x", {"path": r"C:\Windows\x"}),
        ("a= b=2", {"a": "", "b": "2"}),
        ("", {}),
        ("no pair at all", {}),
    ],
)
def test_the_extension(text: str, ext: dict[str, str]) -> None:
    """A key begins after a blank; a value may hold blanks; unknown escapes stay."""
    assert cef(f"CEF:0|v|p|1|c|n|5|{text}")["ext"] == ext


@pytest.mark.parametrize(
    "line", ["", "CEF", "CEF:0", "CEF:0|a|b|c", "CEF:x|a|b|c|d|e|f|", "LEEF:1.0|a|b|c|d|"]
)
def test_what_is_no_cef_says_so(line: str) -> None:
    """A line without a whole header is refused with the reason."""
    with pytest.raises(ValueError, match=r"header ends|not CEF"):
        cef(line)


def test_leef_delimiters() -> None:
    """Tabs, a character, a code; without one in version 2 the tab."""
    assert leef("LEEF:1.0|v|p|1|c|a=1\tb=2 3")["ext"] == {"a": "1", "b": "2 3"}
    assert leef("LEEF:2.0|v|p|1|c|^|a=1^b=2")["ext"] == {"a": "1", "b": "2"}
    assert leef("LEEF:2.0|v|p|1|c|0x09|a=1\tb=2")["ext"] == {"a": "1", "b": "2"}
    assert leef("LEEF:2.0|v|p|1|c|a=1\tb=2|3")["ext"] == {"a": "1", "b": "2|3"}
    assert leef("LEEF:1.0|v|p|1|c|")["ext"] == {}


def read(line: str) -> list[dict[str, object]]:
    """What the two readers make of a line; nothing but ValueError may come out of them."""
    out = []
    for parse in (cef, leef):
        with suppress(ValueError):
            out.append(parse(line))
    return out


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever stands behind a whole header is read; anything else is read or refused."""
    assert len(read(f"CEF:0|a|b|c|d|e|f|{text}")) == 1
    assert len(read(f"LEEF:2.0|a|b|c|d|{text}")) == 1
    assert len(read(f"CEF:0|{text}")) <= 1
    assert len(read(text)) <= 2


@pytest.mark.parametrize(
    "filling", ["a=" * 300_000, "\\" * 500_000, "|" * 500_000, " a" * 300_000, "\\|" * 300_000]
)
def test_hostile_text_takes_no_more_than_its_length(filling: str) -> None:
    """Long runs of keys, bars and backslashes are read in a moment."""
    start = time.process_time()
    read(f"CEF:0|a|b|c|d|e|5|{filling}")
    read(f"CEF:0|{filling}|b|c|d|e|5|a=1")
    read(f"LEEF:2.0|a|b|c|d|{filling}")
    assert time.process_time() - start < 3
