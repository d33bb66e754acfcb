"""The stores that the contract is tested on, and helpers to fill them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from soc.config import StoreSettings
from soc.store import open_store
from soc.store.contract import Store

StoreFactory = Callable[[], Store]


@pytest.fixture(params=["embedded", pytest.param("elastic", marks=pytest.mark.elastic)])
def store_settings(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    """Settings of an empty store of each kind."""
    if request.param == "embedded":
        return StoreSettings(str(tmp_path / "store"))
    settings: StoreSettings = request.getfixturevalue("elastic_settings")
    return settings


@pytest.fixture
def store_factory(store_settings: StoreSettings) -> Iterator[StoreFactory]:
    """Opens the same store again and again, as other processes would; all are closed at the end."""
    opened: list[Store] = []

    def factory() -> Store:
        opened.append(open_store(store_settings))
        return opened[-1]

    yield factory
    for store in opened:
        store.close()


@pytest.fixture
def store(store_factory: StoreFactory) -> Store:
    """An empty store, set up."""
    opened = store_factory()
    opened.init()
    return opened
