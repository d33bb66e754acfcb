"""Stores: one contract, an embedded SQLite store and Elasticsearch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soc.config import StoreSettings
    from soc.store.contract import Store


def open_store(settings: StoreSettings, *, create: bool = True) -> Store:
    """The store that the settings name: Elasticsearch for an address, else an embedded one in a folder.

    `create` False refuses an embedded store that is not there yet (`StoreUnavailableError`).
    """
    if settings.is_elastic:
        from soc.store.elastic import ElasticStore

        return ElasticStore.connect(settings)
    from soc.store.embedded import EmbeddedStore

    return EmbeddedStore.open(settings, create=create)
