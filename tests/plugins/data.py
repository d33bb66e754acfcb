"""Tests over labelled outside data: its folder comes from SOC_TEST_DATA, which only CI sets.

Without it such tests are skipped, and the end of the run names each of them and says how many there are.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLE = "SOC_TEST_DATA"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of labelled data."""
    return Path(os.environ[VARIABLE])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs the data where there is none."""
    if os.environ.get(VARIABLE):
        return
    left_out = [item for item in items if item.get_closest_marker("data")]
    for item in left_out:
        item.add_marker(pytest.mark.skip(reason=f"{VARIABLE} is not set"))
    config.stash[_LEFT_OUT] = [item.nodeid for item in left_out]


_LEFT_OUT = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was left out."""
    names = config.stash.get(_LEFT_OUT, [])
    if names:
        terminalreporter.section(f"{len(names)} tests need {VARIABLE} and were left out")
        for name in names:
            terminalreporter.line(name)
