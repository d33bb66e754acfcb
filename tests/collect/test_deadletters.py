"""An event that the store refuses is kept, seen by rules, and can be repaired; it never blocks its batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soc.collect import deadletters
from soc.config import StoreSettings
from soc.errors import UsageError
from soc.event import Event
from soc.respond import audit
from soc.store import open_store
from soc.store.contract import Fate, Incoming, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(StoreSettings(str(tmp_path / "store"))) as opened:
        yield opened


def refused(name: str = "x1", **changes: object) -> Incoming:
    """An event without a usable time, which every store refuses."""
    event: Event = {
        "@timestamp": "yesterday",
        "soc.layer": 1,
        "soc.source": "app",
        "event.original": "the line ✓",
        **changes,
    }
    return Incoming(name, event)


def parked(store: Store, *incoming: Incoming) -> list[deadletters.DeadLetter]:
    outcomes = store.append(incoming)
    assert {o.fate for o in outcomes} == {Fate.REJECTED}
    deadletters.park(store, [(i, o.reason) for i, o in zip(incoming, outcomes, strict=True)])
    return list(deadletters.letters(store))


def test_parked_with_its_reason(store: Store) -> None:
    """The event is kept whole with the reason of the store."""
    (letter,) = parked(store, refused())
    assert letter.event["event.original"] == "the line ✓"
    assert letter.reason


def test_rules_see_the_line(store: Store) -> None:
    """A small event with the original line is in the store, and leads to the dead letter."""
    parked(store, refused())
    (event,) = [stored.event for stored in store.search()]
    assert event["event.kind"] == "pipeline_error"
    assert event["event.original"] == "the line ✓"
    assert event["soc.dead_letter"] == "x1"
    assert event["error.message"]


def test_parking_twice_changes_nothing(store: Store) -> None:
    """A replay after a crash parks the same events again, once."""
    parked(store, refused())
    assert len(parked(store, refused())) == 1
    assert len(list(store.search())) == 1


@pytest.mark.parametrize("original", ["\ud800 lone", "x" * 3_000_000, "\x00\x01", ""])
def test_hostile_originals(store: Store, original: str) -> None:
    """Whatever the line holds, parking works."""
    assert len(parked(store, refused(**{"event.original": original}))) == 1
    assert len(list(store.search())) == 1


def test_repaired_and_replayed(store: Store) -> None:
    """A corrected event is stored under the id that it always had; the letter is gone; the log knows who."""
    (letter,) = parked(store, refused())
    assert deadletters.replay(store, [letter])[0] == 0
    fixed = deadletters.fix(store, letter, {"@timestamp": "2026-03-02T07:14:09Z"})
    assert deadletters.replay(store, [fixed]) == (1, [])
    assert [s.id for s in store.events(["x1"])] == ["x1"]
    assert list(deadletters.letters(store)) == []
    assert [e.action for e in audit.entries(store)] == [
        "deadletter.replay",
        "deadletter.fix",
        "deadletter.replay",
    ]
    assert audit.verify(store).ok


def test_a_value_that_does_not_fit_is_refused(store: Store) -> None:
    """A repair must fit the field's type."""
    (letter,) = parked(store, refused())
    with pytest.raises(UsageError, match="type ip"):
        deadletters.fix(store, letter, {"source.ip": "nowhere"})


def test_dropped_with_a_reason(store: Store) -> None:
    """Giving up an event needs a reason, and the audit log keeps its line."""
    (letter,) = parked(store, refused())
    with pytest.raises(UsageError, match="why"):
        deadletters.drop(store, [letter], reason=" ")
    assert deadletters.drop(store, [letter], reason="noise") == 1
    (entry,) = audit.entries(store)
    assert entry.detail == {"reason": "noise", "originals": {"x1": "the line ✓"}}
    assert list(deadletters.letters(store)) == []


def test_found_by_the_beginning_of_the_id(store: Store) -> None:
    """A unique beginning is enough; an ambiguous one lists candidates."""
    parked(store, refused("ab1"), refused("ab2"))
    assert deadletters.get(store, "ab1").id == "ab1"
    with pytest.raises(UsageError, match="begins 2 ids"):
        deadletters.get(store, "ab")
    with pytest.raises(UsageError, match="no dead letter"):
        deadletters.get(store, "zz")


@pytest.mark.parametrize("text", ["", "=", "name", "=value"])
def test_changes_that_are_none(text: str) -> None:
    """`field=value` is what is expected."""
    with pytest.raises(UsageError):
        deadletters.parse_changes([text])
