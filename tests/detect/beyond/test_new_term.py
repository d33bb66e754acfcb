"""New terms: what was not seen before is reported, in whatever order and however often events come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.config import StoreSettings
from soc.detect.beyond import new_term
from soc.detect.beyond.extensions import DAY, HOUR, NewTerm
from soc.detect.beyond.new_term import NewTerms
from soc.detect.beyond.stage import WHY
from soc.detect.grouping import Hit
from soc.detect.sweep import Start, Sweeper
from soc.store import open_store
from soc.store.contract import Store
from tests.detect import world

SETTING = {"fields": ["user.name", "source.ip"], "within": "30d", "learn": "1d"}
NOW = 1_772_434_800_000_000
Sighting = tuple[int, str, str]
"""Hour, term, id."""


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """An empty store."""
    with open_store(StoreSettings(str(tmp_path / "store"))) as opened:
        yield opened


def rule(**setting: Any) -> Any:
    """A rule with the extension."""
    return world.rule("new", attributes={"soc.new_term": {**SETTING, **setting}})


def hit(hour: float, user: str, id_: str, of: Any = None) -> Hit:
    """A hit so many hours after the beginning."""
    event = {"user.name": user, "source.ip": "192.0.2.7"}
    return Hit(of or rule(), id_, event, NOW + int(hour * HOUR))


def evaluator(store: Store, wanted: NewTerm) -> NewTerms:
    """A fresh evaluator over what the store remembers."""
    made = NewTerms(store, rule(), wanted)
    made.begin()
    return made


class MemoryStore:
    """As much of a store as a memory needs, without a disk."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}

    def read_many(self, _kind: str, ids: Sequence[str]) -> dict[str, Any]:
        """Those that there are."""
        return {i: self.documents[i] for i in ids if i in self.documents}

    def write(self, writes: Sequence[Any]) -> list[Any]:
        """All of them; nobody else is there."""
        from soc.store.contract import Document

        out = []
        for w in writes:
            assert w.expect == (self.documents[w.id].version if w.id in self.documents else 0)
            self.documents[w.id] = Document(w.kind, w.id, w.expect + 1, w.body, "", "")
            out.append(self.documents[w.id])
        return out


def model(sightings: Sequence[Sighting], within: int) -> dict[tuple[str, int], int]:
    """The plain way: by term and beginning of each span, the hour of the sighting that must be reported."""
    out = {}
    for hour, term, _ in sightings:
        earlier = [h for h, t, _ in sightings if t == term and h < hour]
        if not any(hour - h < within for h in earlier):
            out[term, hour] = hour
    return out


sightings = st.lists(st.tuples(st.integers(0, 160), st.sampled_from("abc")), min_size=1, max_size=25).map(
    lambda rows: [(h, t, f"e{n}") for n, (h, t) in enumerate(rows)]
)


def spans(rows: Sequence[Sighting], within: int) -> Mapping[str, list[tuple[int, int]]]:
    """The spans of each term, the plain way."""
    out: dict[str, list[tuple[int, int]]] = {}
    for hour, term, _ in sorted(rows):
        known = out.setdefault(term, [])
        if known and hour - known[-1][1] < within:
            known[-1] = (known[-1][0], hour)
        else:
            known.append((hour, hour))
    return out


def run(rows: Sequence[Sighting], batches: Sequence[int], within: int, *, crash: bool) -> list[list[str]]:
    """Ids reported by batch; with `crash` every batch comes twice, the second time with its successor."""
    wanted = NewTerm(("user.name", "source.ip"), within * HOUR, 0)
    store: Any = MemoryStore()
    evaluator(store, wanted).take([hit(-1, "before", "before")], replay=False)  # the rule begins here
    out = []
    at = 0
    for size in [*batches, len(rows)]:
        batch = [hit(h, t, i) for h, t, i in rows[at : at + size]]
        batch.sort(key=lambda h: (h.time, h.id))
        first = [h.id for h in evaluator(store, wanted).take(batch, replay=False)]
        if crash:
            again = evaluator(store, wanted).take(batch, replay=False)
            assert [h.id for h in again] == first, "another verdict when the batch came again"
        out.append(first)
        at += size
    return out


@given(sightings, st.integers(1, 60), st.booleans())
def test_one_batch_is_exact_in_any_order(rows: list[Sighting], within: int, crash: bool) -> None:
    """All events in one batch: exactly the first sighting of each span is reported, as by the plain model."""
    (first, *_) = run(rows, [len(rows)], within, crash=crash)
    reported = sorted((t, h) for h, t, i in rows if i in first)
    assert reported == sorted(model(rows, within))


@given(sightings, st.lists(st.integers(0, 6), max_size=8), st.integers(1, 60), st.booleans())
def test_in_order_batches_are_exact(
    rows: list[Sighting], batches: list[int], within: int, crash: bool
) -> None:
    """Events in order, cut into any batches, each of them coming twice: the same as in one batch."""
    ordered = sorted(rows, key=lambda r: (r[0], r[2]))
    found = [i for batch in run(ordered, batches, within, crash=crash) for i in batch]
    assert sorted((t, h) for h, t, i in rows if i in found) == sorted(model(rows, within))


@given(sightings, st.lists(st.integers(0, 6), max_size=8), st.integers(1, 60), st.booleans())
def test_no_new_term_is_missed_in_any_order(
    rows: list[Sighting], batches: list[int], within: int, crash: bool
) -> None:
    """Late and shuffled events: each span of each term is reported, and no more often than it had parts."""
    found = [i for batch in run(rows, batches, within, crash=crash) for i in batch]
    for term, known in spans(rows, within).items():
        for begin, end in known:
            inside = [i for h, t, i in rows if t == term and begin <= h <= end]
            told = [i for i in inside if i in found]
            assert told, "a new term was missed"
            width = (end - begin) / within
            assert len(told) <= width + 1, "reported more often than its parts could be apart"


def test_learning_is_silent_and_said(store: Store) -> None:
    """In the learning time nothing is reported; that it learns, and what it has learnt, is said."""
    wanted = NewTerm(("user.name", "source.ip"), 30 * DAY, DAY)
    found = evaluator(store, wanted)
    assert found.take([hit(0, "an", "1"), hit(5, "binh", "2")], replay=False) == []
    assert "learning until" in found.notes()[0]
    found = evaluator(store, wanted)
    (new,) = found.take([hit(30, "an", "3"), hit(31, "chi", "4")], replay=False)
    assert new.id == "4"
    assert new.event[WHY] == "not seen in 30d before: user.name chi, source.ip 192.0.2.7"
    assert found.notes() == ["learning is over: 2 combinations are known"]
    assert found.notes() == []


def test_a_term_that_was_away_is_new_again(store: Store) -> None:
    """Not seen for N days: new again. Seen every few days: never."""
    wanted = NewTerm(("user.name", "source.ip"), 30 * DAY, 0)
    found = evaluator(store, wanted)
    assert [h.id for h in found.take([hit(0, "an", "1"), hit(0, "binh", "b1")], replay=False)] == ["1", "b1"]
    assert found.take([hit(24 * 20, "binh", "b2")], replay=False) == []
    late = [hit(24 * 31, "an", "2"), hit(24 * 31, "binh", "b3")]
    assert [h.id for h in found.take(late, replay=False)] == ["2"]


def test_values_compare_without_regard_to_case(store: Store) -> None:
    """Text compares as in rules."""
    found = evaluator(store, NewTerm(("user.name", "source.ip"), 30 * DAY, 0))
    found.take([hit(0, "Straße", "1")], replay=False)
    assert found.take([hit(1, "STRAßE", "2")], replay=False) == []


def test_the_oldest_are_forgotten_and_that_is_counted(store: Store) -> None:
    """Beyond the bound the memory does not grow; how many went is noted once."""
    found = evaluator(store, NewTerm(("user.name", "source.ip"), 30 * DAY, 0, most=100))
    found.take([hit(n / 100, f"user{n}", str(n)) for n in range(400)], replay=False)
    (note,) = found.notes()
    assert "oldest combinations were forgotten: no more than 100 are remembered" in note
    assert found.notes() == []
    assert len(found.take([hit(5, "user0", "x")], replay=False)) == 1
    assert found.take([hit(5, "user399", "y")], replay=False) == []


def test_what_comes_too_late_is_counted(store: Store) -> None:
    """Over a week behind the newest event, what was seen around then may be forgotten: counted."""
    found = evaluator(store, NewTerm(("user.name", "source.ip"), DAY, 0))
    found.take([hit(24 * 30, "an", "1")], replay=False)
    same_shard = hit(24 * 20, "an", "2")
    assert found.take([same_shard], replay=False) == []
    assert "1 hits came too late" in found.notes()[0]


def test_an_event_of_the_future_moves_nothing(store: Store) -> None:
    """A clock set to another century must not make every other event too late."""
    found = evaluator(store, NewTerm(("user.name", "source.ip"), DAY, 0))
    found.take([hit(-1, "an", "0"), hit(24 * 365 * 200, "an", "1")], replay=False)
    assert len(found.take([hit(0, "binh", "2")], replay=False)) == 1
    first = NewTerms(store, rule(), NewTerm(("user.name",), DAY, DAY))
    first.take([hit(24 * 365 * 200, "an", "1")], replay=False)
    (note,) = first.notes()
    assert "learning until 20" in note, "a learning time of centuries"


def test_through_a_sweep(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule with the extension raises its alert for the new value alone, and says why."""
    events = {f"e{n:03}": world.event(n * 60, user__name="an") for n in range(50)}
    events["new"] = world.event(50 * 60, user__name="chi")
    world.append(store, events)
    monkeypatch.setattr(new_term, "LATE", DAY)
    found = Sweeper(store, [rule(learn="10m")], batch=10).run(Start())
    assert (found.hits, found.by_rule["new"]) == (1, [1, 0])
    (alert,) = store.find("alert")
    assert alert.body["count"] == 1
    assert alert.body["about"]["soc.why"] == ["not seen in 30d before: user.name chi, source.ip 192.0.2.7"]
    assert any("learning until" in note for note in found.notes)
    again = Sweeper(store, [rule(learn="10m")], batch=7).run(Start())
    assert [a.body["count"] for a in store.find("alert")] == [1], again


def test_a_dry_run_learns_nothing(store: Store) -> None:
    """With --dry-run the store stays as it is."""
    world.append(store, {f"e{n}": world.event(n, user__name="an") for n in range(5)})
    found = Sweeper(store, [rule(learn="1s")], dry_run=True).run(Start())
    assert found.hits == 0
    assert list(store.find("beyond")) == []


def test_several_sweepers_at_once(store: Store) -> None:
    """Two that read the same state: what one has learnt the other meets as a conflict, and asks again."""
    wanted = NewTerm(("user.name", "source.ip"), 30 * DAY, 0)
    one, other = evaluator(store, wanted), evaluator(store, wanted)
    for each in (one, other):
        each.take([], replay=False)
        each._memory.fetch([str(n) for n in range(16)])  # what the other writes now is a conflict
    assert len(one.take([hit(0, "an", "1")], replay=False)) == 1
    assert other.take([hit(1, "an", "2")], replay=False) == []


def test_times_are_those_of_the_events() -> None:
    """The hours of this module are hours."""
    assert timedelta(microseconds=HOUR) == timedelta(hours=1)
    assert datetime.fromtimestamp(NOW / 1e6, UTC).year == 2026
