"""Rows about a store, and retention with its entry in the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from soc.config import StoreSettings
from soc.respond import audit
from soc.store import open_store
from soc.store.contract import Incoming, Planned, Store
from soc.store.upkeep import planned_rows, prune, pruned_rows, status_row


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with two events of 2020."""
    with open_store(StoreSettings(str(tmp_path / "store"))) as opened:
        for n in (1, 2):
            opened.append(
                [Incoming(f"e{n}", {"@timestamp": f"2020-01-0{n}T00:00:00.000000Z", "soc.layer": 1})]
            )
        yield opened


@pytest.mark.parametrize(
    ("exists", "note", "dry_run", "state"),
    [
        (True, "", True, "exists"),
        (True, "", False, "exists"),
        (False, "", True, "missing"),
        (False, "", False, "created"),
        (False, "not here", False, "not created"),
        (False, "not here", True, "missing"),
    ],
)
def test_a_planned_thing_has_a_state(exists: bool, note: str, dry_run: bool, state: str) -> None:
    """What is there, what would be made, what was made, and what could not be."""
    (row,) = planned_rows([Planned("role", "soc_analyst", {"a": 1}, exists, note)], dry_run=dry_run)
    assert row == {"kind": "role", "name": "soc_analyst", "state": state, "note": note, "content": {"a": 1}}


def test_a_status_is_plain_data(store: Store) -> None:
    """Every part can be written as JSON."""
    import json

    row = json.loads(json.dumps(status_row(store.status())))
    assert (row["events"], row["newest"]) == (2, "2020-01-02T00:00:00.000000Z")


def test_pruning_is_announced_before_it_is_done(store: Store) -> None:
    """The entry holds what was decided; the rows hold what was removed."""
    moment = datetime(2020, 1, 2, tzinfo=UTC)
    removed = prune(store, moment, store.prune(moment, dry_run=True))
    assert [row["events"] for row in pruned_rows(removed)] == [1]
    assert [e.id for e in store.search()] == ["e2"]
    (entry,) = audit.entries(store)
    assert entry.action == "store.prune"
    assert entry.detail["older_than"] == "2020-01-02T00:00:00.000000Z"
