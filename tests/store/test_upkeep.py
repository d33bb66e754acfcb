"""Rows about a store, and retention with its entry in the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from soc.config import Config, Source, StoreSettings
from soc.respond import audit
from soc.store import open_store
from soc.store.contract import Incoming, Planned, Store
from soc.store.upkeep import kept_for_ever, plan, plan_retention, planned_rows, prune, pruned_rows, status_row


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
    removed = prune(store, plan(store, moment))
    assert [row["events"] for row in pruned_rows(removed)] == [1]
    assert [e.id for e in store.search()] == ["e2"]
    (entry,) = audit.entries(store)
    assert entry.action == "store.prune"
    assert entry.detail["older_than"] == "2020-01-02T00:00:00.000000Z"


def test_retention_counts_by_class(store: Store) -> None:
    """Each class has its own days; an entry for each class that loses something, none for the others."""
    config = Config(
        path=None,
        store=StoreSettings(""),
        retention={"short": 10, "standard": 365, "long": 5000},
        sources=(Source("portal", "nginx", ("/x",), retention="evidence"),),
    )
    now = datetime(2020, 3, 1, tzinfo=UTC)
    store.append(
        [
            Incoming(f"{name}-{day}", {"@timestamp": f"2020-{day}T00:00:00.000000Z", "soc.layer": 1, **more})
            for name, more in (("short", {"soc.retention": "short"}), ("long", {"soc.retention": "long"}))
            for day in ("01-01", "02-25")
        ]
    )
    cuts = plan_retention(store, config, now)
    assert {cut.retention: cut.events for cut in cuts} == {"short": 1, "standard": 0, "long": 0}
    assert len(list(store.search())) == 6
    removed = list(pruned_rows(prune(store, cuts)))
    assert [(row["class"], row["before"], row["events"]) for row in removed] == [
        ("short", "2020-02-20T00:00:00.000000Z", 1)
    ]
    assert {e.id for e in store.search()} == {"e1", "e2", "short-02-25", "long-01-01", "long-02-25"}
    (entry,) = audit.entries(store)
    assert (entry.detail["class"], entry.detail["events"]) == ("short", 1)
    assert audit.verify(store).ok
    assert prune(store, plan_retention(store, config, now)) == plan_retention(store, config, now)
    assert kept_for_ever(config) == ["evidence"]
