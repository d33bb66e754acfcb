"""The skeleton: it works as it is, whatever it is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.errors import UsageError
from soc.playbook.lint import lint_text
from soc.playbook.skeleton import text_for
from soc.playbook.trial import perform_all
from tests.playbook.conftest import PATIENT


@PATIENT
@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,30}", fullmatch=True), st.text(max_size=40))
def test_lints_and_passes(name: str, title: str) -> None:
    """Any name and title give a playbook without a problem, whose tests pass and come through every step."""
    playbook, problems = lint_text(text_for(name, title), "new.yml")
    assert problems == []
    assert playbook is not None
    assert playbook.name == name
    results, unseen = perform_all(playbook)
    assert [r.faults for r in results] == [(), ()]
    assert unseen == []


@pytest.mark.parametrize("name", ["", "A", "a b", "../x", "-x", "a" * 65])
def test_refuses(name: str) -> None:
    """What cannot be a name is refused."""
    with pytest.raises(UsageError):
        text_for(name)
