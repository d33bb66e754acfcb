"""Alerts are written once, under an id of their own, by any number of writers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from soc.config import StoreSettings
from soc.detect import alert_writer
from soc.detect.alert_writer import AlertWriter, Written
from soc.detect.grouping import Hit, micros
from soc.errors import ConflictError
from soc.respond import ids
from soc.respond.register import load_register
from soc.store.contract import Document, Store, VersionConflictError, Write
from soc.store.embedded import EmbeddedStore
from tests.detect.world import append, check_whole, counts, event, open_at, rule


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with open_at(tmp_path / "store") as opened:
        yield opened


def hits(*seconds: float, host: str = "web01", **fields: Any) -> list[Hit]:
    """Hits of one rule on one host."""
    made = [event(s, host=host, **fields) for s in seconds]
    return [
        Hit(rule(), f"{host}-{s}", e, micros(e["@timestamp"])) for s, e in zip(seconds, made, strict=True)
    ]


class Rival(EmbeddedStore):
    """A store in which somebody else acts just before each of the first writes."""

    acts = 0
    act: Callable[[], object] = staticmethod(lambda: None)

    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        """As usual, after the other one."""
        if self.acts > 0 and writes and writes[0].kind == alert_writer.GROUP:
            self.acts -= 1
            self.act()
        return super().write(writes)


def rival(store: Store) -> Rival:
    """The same store with a rival in it."""
    found = Rival.open(StoreSettings(target=store.name))
    assert isinstance(found, Rival)
    return found


def test_short_id_that_is_taken_grows(store: Store) -> None:
    """Two alerts never share an id: the later one is a letter longer, and both are found."""
    with open_at(f"{store.name}-other") as other:
        (first,) = AlertWriter(other).write(hits(0)).opened
    store.put("alert", first, {"id": first, "full": "something else", "revision": 1}, expect=0)
    (id_,) = AlertWriter(store).write(hits(0)).opened
    assert len(id_) == len(first) + 1
    assert id_.startswith(first)
    document = store.read("alert", id_)
    assert document is not None
    assert document.body["full"].startswith(id_.removeprefix("A-"))


def test_two_in_one_batch_with_one_short_id(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when neither is stored yet."""
    real = ids.digest
    monkeypatch.setattr(ids, "digest", lambda *parts: "7F3K" + real(*parts)[4:])
    written = AlertWriter(store).write([*hits(0, host="a"), *hits(0, host="b"), *hits(0, host="c")])
    assert len(set(written.opened)) == 3
    assert all(i.startswith("A-7F3K") for i in written.opened)
    check_whole(store)


def test_short_id_taken_between_planning_and_writing(store: Store) -> None:
    """Another sweeper takes the short id for another alert: this one gets a longer one, and says so."""
    with open_at(f"{store.name}-other") as other:
        (first,) = AlertWriter(other).write(hits(0)).opened
    with rival(store) as contested:
        contested.acts = 1
        body = {"id": first, "full": "something else", "revision": 1}
        contested.act = lambda: store.put("alert", first, body, expect=0)
        (id_,) = AlertWriter(contested).write(hits(0)).opened
    assert id_ != first
    (group,) = store.find("alert_group")
    assert [b["id"] for b in group.body["bursts"]] == [id_]


def test_writer_that_comes_second_counts_what_is_left(store: Store) -> None:
    """Both write the same group at once; every hit counts once."""
    with rival(store) as contested:
        contested.acts = 3
        contested.act = lambda: AlertWriter(store).write(hits(0, 1))
        written = AlertWriter(contested).write(hits(0, 1, 2))
    assert counts(store) == {"web01": 3}
    assert written.counted == 1
    check_whole(store)


def test_never_faster_is_a_conflict(store: Store) -> None:
    """Somebody who always writes first cannot hold this one forever."""
    number = iter(range(10_000))
    with rival(store) as contested:
        contested.acts = 10_000
        contested.act = lambda: AlertWriter(store).write(hits(next(number) / 1000))
        with pytest.raises(ConflictError, match="all the time"):
            AlertWriter(contested).write(hits(5000))


def test_sample_events_come_from_the_store_where_the_batch_lacks_them(store: Store) -> None:
    """A repeated batch that is cut elsewhere still copies the events that the alert names."""
    batch = hits(0, 1, 2)
    append(store, {h.id: h.event for h in batch})
    AlertWriter(store).write(batch)
    (document,) = store.find("alert_events")
    store.write([Write("alert_events", document.id, None, document.version)])
    (alert,) = store.find("alert")
    store.put("alert", alert.id, {**alert.body, "count": 1}, expect=alert.version)
    AlertWriter(store).write(batch[:1])
    check_whole(store)


def test_memory_between_batches_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups that are forgotten are read again, and count as before."""
    monkeypatch.setattr(alert_writer, "CACHED", 5)
    monkeypatch.setattr(alert_writer, "CACHED_HITS", 8)
    writer = AlertWriter(store)
    for start in range(0, 30, 3):
        for host in "abcdefgh":
            writer.write(hits(start, start + 1, start + 2, host=host))
            writer.write(hits(start, host=host))
    assert counts(store) == dict.fromkeys("abcdefgh", 30)
    assert len(writer._states) <= 5


def test_register(store: Store, tmp_path: Path) -> None:
    """The system of an alert comes from host or address, also when it is listed only later."""
    path = tmp_path / "register.yml"
    path.write_text(
        "systems: [{name: portal, level: 4}, {name: mail}]\n"
        "assets:\n- {host: web01, system: portal}\n- {addresses: [192.0.2.0/24], system: mail}\n"
    )
    AlertWriter(store).write(hits(0, host="web01"))
    register = load_register(path)
    writer = AlertWriter(store, register=register)
    writer.write(
        [*hits(1, host="web01"), *hits(1, host="unlisted"), *hits(1, host="no", source__ip="198.51.100.1")]
    )
    found = {d.body["entity"]: d.body["system"] for d in store.find("alert")}
    assert (found["web01"]["name"], found["web01"]["level"]) == ("portal", 4)
    assert (found["unlisted"]["name"], found["unlisted"]["level"]) == ("mail", None)
    assert found["no"] is None


def test_sum_of_batches() -> None:
    """An alert that one batch opened and the next extended is new, once."""
    total = Written()
    total.add(Written())
    assert (total.opened, total.extended, total.counted) == ([], [], 0)
