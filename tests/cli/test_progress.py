"""Progress bars: only on a terminal, only when work lasts, never in the way of results."""

from __future__ import annotations

import pytest

from soc.cli.progress import bar
from soc.cli.session import Session


class Decorated(Session):
    """A session on a terminal."""

    @property
    def decorated(self) -> bool:
        """Always."""
        return True


def test_none_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Where standard error is no terminal nothing is drawn."""
    with bar(Session(), "Working", after=0) as tick:
        tick(1, 2)
    assert capsys.readouterr() == ("", "")


def test_none_for_quick_work(capsys: pytest.CaptureFixture[str]) -> None:
    """What is done at once needs no bar."""
    with bar(Decorated(), "Working", after=60) as tick:
        tick(1, 2)
    assert capsys.readouterr() == ("", "")


def test_drawn_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar says what is done and how far it is, and standard output stays clean."""
    with bar(Decorated(), "Working", after=0) as tick:
        tick(1, 2)
        tick(2, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Working" in err
    assert "2/2" in err
