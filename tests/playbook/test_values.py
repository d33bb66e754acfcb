"""Types of variables keep out what could be more than a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.playbook.values import MAX_ITEMS, TYPES, check, check_many, shown
from tests.playbook.conftest import PATIENT

GOOD: dict[str, list[object]] = {
    "string": ["x", "Sở Y tế", "-5 degrees", "a b"],
    "text": ["two\nlines\tand a tab"],
    "integer": ["0", "-7", 12],
    "boolean": ["yes", "no", True],
    "ip": ["192.0.2.7", "2001:DB8::1"],
    "network": ["192.0.2.0/24", "2001:db8::/32"],
    "mac": ["00:00:5e:00:53:01"],
    "host": ["portal-01", "PORTAL-01.vien.example", "192.0.2.7", "_dmarc.vien.example"],
    "domain": ["xn--vin-8cd.example"],
    "user": ["an.nguyen", "VIEN\\an", "NT AUTHORITY\\SYSTEM", "PC-101$", "an@vien.example"],
    "email": ["an.nguyen+tin@vien.example"],
    "url": ["https://portal.example/a?b=c#d"],
    "hash": ["d41d8cd98f00b204e9800998ecf8427e"],
    "sha256": ["A" * 64],
    "path": ["/var/www/a b.php", "C:\\Temp\\x.exe"],
    "uuid": ["{12345678-1234-5678-1234-567812345678}"],
    "time": ["2026-03-02T07:14:09Z", "2026-03-02T14:14:09+07:00"],
}
BAD = {
    "string": ["", "\x1b[31m", "a\nb", "\u202eevil", "x" * 1025],
    "text": ["a\x00b", "x" * 16_385],
    "integer": ["1.5", "0x10", "1" * 30, "--help", "٣"],
    "boolean": ["perhaps"],
    "ip": ["192.0.2.7; rm -rf /", "fe80::1%eth0", "192.0.2.07", "300.1.1.1", "-1"],
    "network": ["192.0.2.0/99", "fe80::%x/10"],
    "mac": ["00:00"],
    "host": ["-oProxyCommand=x", "a b", "$(id)", "a;b", "x" * 64, "a..b"],
    "domain": ["nodot", "a b.example"],
    "user": ["-root", "a'b", 'a"b', "a;b", "$(id)", "a|b", "`id`", "a\nb", "", " x\u200b"],
    "email": ["-a@b.example", "a b@c.example", "a@", "a@b;c"],
    "url": ["javascript:alert(1)", "file:///etc/passwd", "https://a b", "http://", "http://[x", "-http://a"],
    "hash": ["d41d8cd98f00b204e9800998ecf8427", "g" * 32],
    "sha256": ["a" * 63],
    "path": ["-rf", "a\nb"],
    "uuid": ["123"],
    "time": ["yesterday", "2026-03-02"],
}


@pytest.mark.parametrize(("type_", "value"), [(t, v) for t, values in GOOD.items() for v in values])
def test_takes(type_: str, value: object) -> None:
    """What a type is meant for fits it, and its canonical form fits it again."""
    once = check(type_, value)
    assert check(type_, once) == once


@pytest.mark.parametrize(("type_", "value"), [(t, v) for t, values in BAD.items() for v in values])
def test_refuses(type_: str, value: str) -> None:
    """What is not of a type is refused with a reason."""
    with pytest.raises(ValueError, match=r"\w"):
        check(type_, value)


def test_every_type_is_tried() -> None:
    """The two tables above leave no type out."""
    assert set(GOOD) == set(BAD) == set(TYPES)


@PATIENT
@given(st.sampled_from(sorted(name for name, type_ in TYPES.items() if type_.plain)), st.text())
def test_plain_types_hold_nothing_special(type_: str, text: str) -> None:
    """A value of a plain type, whatever text was tried, holds no sign that a shell reads as more."""
    try:
        value = shown(check(type_, text))
    except ValueError:
        return
    assert not set(value) & set(" \t\n'\"`$&|;<>(){}[]*?!\\#~")


@PATIENT
@given(st.sampled_from(sorted(TYPES)), st.text() | st.integers() | st.booleans() | st.floats())
def test_never_fails_otherwise(type_: str, value: object) -> None:
    """Any value either fits or is refused with ValueError; one that fits holds no control character."""
    try:
        good = shown(check(type_, value))
    except ValueError:
        return
    assert not any(ord(c) < 32 for c in good if c not in "\n\t")


def test_lists_are_bounded_and_distinct() -> None:
    """A list keeps distinct good values up to its bound, and says why others are left out."""
    good, reasons = check_many("integer", [1, "1", "x", *range(MAX_ITEMS + 5)])
    assert len(good) == MAX_ITEMS
    assert reasons[0] == "not a whole number"
    assert "more than" in reasons[1]
