"""The stores that exceptions are tested on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soc.config import StoreSettings
from soc.store import open_store
from soc.store.contract import Store


@pytest.fixture(params=["embedded", pytest.param("elastic", marks=pytest.mark.elastic)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    if request.param == "embedded":
        settings = StoreSettings(str(tmp_path / "store"))
    else:
        settings = request.getfixturevalue("elastic_settings")
    with open_store(settings) as opened:
        opened.init()
        yield opened
