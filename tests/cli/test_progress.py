"""Progress bars: only on a terminal, only when work lasts, never in the way of results."""

from __future__ import annotations

import sys

import pexpect
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


WORK = """
import sys, time
from soc.cli.progress import bar
from soc.cli.session import session
with bar(session(), "Working", after=0) as tick:
    for done in (1, 2):
        tick(done, 2)
        time.sleep(0.3)
print("result")
"""


def test_drawn_on_a_terminal_and_gone_at_the_end() -> None:
    """On a terminal a bar says what is done and how much there is; it leaves only the results behind."""
    terminal = pexpect.spawn(sys.executable, ["-c", WORK], encoding="utf-8", timeout=20)
    terminal.expect("Working.*1/2")
    terminal.expect("2/2")
    terminal.expect("result\r\n")
    terminal.expect(pexpect.EOF)
