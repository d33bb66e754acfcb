"""Filling templates: a value stays a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.playbook.template import (
    MISSING,
    UnsafeArgumentError,
    UnsetVariableError,
    arguments,
    broken,
    fill,
    names,
)
from tests.playbook.conftest import PATIENT


def test_fills_inside_and_whole() -> None:
    """A variable fills a whole argument or a part of one; numbers, lists and truth values as text."""
    values = {"a": "x y", "n": 3, "l": ["p", "q"], "b": True}
    filled = arguments(["prog", "{{ a }}", "--k={{a}}", "n{{ n }}-{{l}}", "{{ b }}"], values)
    assert filled == ["prog", "x y", "--k=x y", "n3-p,q", "yes"]


@PATIENT
@given(st.text(min_size=1).filter(lambda t: "\0" not in t and not t.startswith("-")))
def test_one_argument_stays_one(value: str) -> None:
    """Spaces, quotes, newlines, `{{ a }}` itself: the value is one argument, as it is."""
    assert arguments(["prog", "{{ a }}", "end"], {"a": value}) == ["prog", value, "end"]


@pytest.mark.parametrize("value", ["-rf", "--output=/etc/passwd", "-", "--"])
def test_a_value_is_no_option(value: str) -> None:
    """A value that begins with a dash is refused, unless a literal `--` stands before it."""
    with pytest.raises(UnsafeArgumentError, match="option"):
        arguments(["rm", "{{ a }}"], {"a": value})
    assert arguments(["rm", "--", "{{ a }}"], {"a": value}) == ["rm", "--", value]
    assert arguments(["rm", "--name={{ a }}"], {"a": value}) == ["rm", f"--name={value}"]


@pytest.mark.parametrize("template", ["--{{ a }}", "-{{ a }}", "--{{ a }}=x"])
def test_a_value_names_no_option(template: str) -> None:
    """A value cannot choose which option it is."""
    with pytest.raises(UnsafeArgumentError, match="name an option"):
        arguments(["prog", template], {"a": "exec"})


@pytest.mark.parametrize("value", ["", [], "a\0b"])
def test_refuses_what_cannot_be_an_argument(value: object) -> None:
    """An empty value, or one with a NUL, is refused."""
    with pytest.raises(UnsafeArgumentError):
        arguments(["prog", "{{ a }}"], {"a": value})


def test_unset() -> None:
    """A command with a variable without a value is not run; for people it is shown as not known."""
    with pytest.raises(UnsetVariableError, match="'a'"):
        arguments(["prog", "{{ a }}"], {})
    assert fill("is {{ a }}", {}) == f"is {MISSING}"


def test_filled_once() -> None:
    """A value that looks like a variable is not filled again."""
    assert fill("{{ a }}", {"a": "{{ b }}", "b": "secret"}) == "{{ b }}"


@pytest.mark.parametrize("text", ["{{ A }}", "{{ a.b }}", "{{", "}}", "{{ a|safe }}", "{{}}", "{{ a }} }}"])
def test_broken(text: str) -> None:
    """What looks like a variable and is none is found."""
    assert broken(text)


def test_names() -> None:
    """Variables are found in order; a text without any has none and is not broken."""
    assert names("{{ a }}{{b}} { c }") == ["a", "b"]
    assert broken("{{ a }} { c } }") == ""
