"""Rare values: what few of the hits show, counted once however often a batch comes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from soc.detect.beyond.extensions import DAY, Rare
from soc.detect.beyond.rare import RareValues
from soc.detect.beyond.stage import WHY
from soc.detect.grouping import Hit
from soc.detect.sweep import Start, Sweeper
from tests.detect import world
from tests.detect.beyond.test_new_term import MemoryStore
from tests.detect.beyond.test_silence import MONDAY

Row = tuple[int, str, str]
"""Day, value, host."""


def hit(number: int, row: Row) -> Hit:
    """A hit of a day; later numbers come later."""
    day, value, host = row
    event = {"process.name": value, "host.name": host}
    return Hit(world.rule("rare"), f"e{number:05}", event, MONDAY + day * DAY + number * 1000)


def evaluator(store: Any, wanted: Rare) -> RareValues:
    """A fresh evaluator over what the store remembers."""
    made = RareValues(store, world.rule("rare"), wanted)
    made.begin()
    return made


def model(rows: Sequence[Row], wanted: Rare) -> list[int]:
    """The plain way: each hit beside all that were before it, in the days that are looked at."""
    out = []
    days = wanted.over // DAY
    for number, (day, value, host) in enumerate(rows):
        before = [
            r for r in rows[: number + 1] if day - days < r[0] <= day and (not wanted.per or r[2] == host)
        ]
        same = [r for r in before if r[1] == value]
        few = len(same) <= wanted.count if wanted.count else len(same) < wanted.share * len(before)
        if few and len(before) >= wanted.at_least:
            out.append(number)
    return out


rows = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from("aaaabbc"), st.sampled_from(["h1", "h2"])), max_size=50
).map(lambda found: sorted(found, key=lambda r: r[0]))
settings_ = st.builds(
    Rare,
    field=st.just("process.name"),
    per=st.sampled_from([(), ("host.name",)]),
    share=st.just(0.3),
    over=st.integers(1, 10).map(lambda n: n * DAY),
    at_least=st.integers(1, 10),
) | st.builds(
    Rare,
    field=st.just("process.name"),
    per=st.sampled_from([(), ("host.name",)]),
    count=st.integers(1, 3),
    over=st.integers(1, 10).map(lambda n: n * DAY),
    at_least=st.integers(1, 10),
)


@given(rows, settings_, st.lists(st.integers(0, 12), max_size=6))
def test_in_order_it_is_the_plain_model_also_when_batches_come_twice(
    found: list[Row], wanted: Rare, batches: list[int]
) -> None:
    """Any batches, each of them twice, the second time in another process: the same hits, the same
    reasons.
    """
    store = MemoryStore()
    hits = [hit(n, row) for n, row in enumerate(found)]
    reported: list[str] = []
    begin = 0
    for size in [*batches, len(hits)]:
        first = evaluator(store, wanted).take(hits[begin : begin + size], replay=False)
        again = evaluator(store, wanted).take(hits[begin : begin + size], replay=False)
        assert [(h.id, h.event[WHY]) for h in first] == [(h.id, h.event[WHY]) for h in again]
        reported += [h.id for h in first]
        begin += size
    assert reported == [f"e{n:05}" for n in model(found, wanted)]


@given(rows, settings_, st.randoms())
def test_counts_do_not_depend_on_the_order(found: list[Row], wanted: Rare, draw: Any) -> None:
    """In another order others may be reported, but what is known in the end is the same."""
    one, other = MemoryStore(), MemoryStore()
    hits = [hit(n, row) for n, row in enumerate(found)]
    for store, given_ in ((one, hits), (other, draw.sample(hits, len(hits)))):
        for begin in range(0, len(hits), 7):
            evaluator(store, wanted).take(given_[begin : begin + 7], replay=False)

    def known(store: MemoryStore) -> dict[str, Any]:
        newest = max((row[0] for row in found), default=0) + MONDAY // DAY
        return {
            key: {d: n for d, n in w["days"].items() if int(d) > newest - 7}
            for document in store.documents.values()
            for key, w in document.body["worlds"].items()
        }

    assert known(one) == known(other)


def test_why_it_is_rare() -> None:
    """The value, how often, of how many."""
    wanted = Rare("process.name", count=1, at_least=100)
    found = evaluator(MemoryStore(), wanted)
    hits = [hit(n, (0, "usual", "h")) for n in range(1200)] + [hit(1200, (0, "odd.exe", "h"))]
    (rare,) = found.take(hits, replay=False)
    assert rare.event[WHY] == "process.name odd.exe: 1 of 1,201 in 14d"


def test_values_are_bounded() -> None:
    """Beyond the bound those seen longest ago are forgotten, and that is counted."""
    wanted = Rare("process.name", count=1, at_least=10**9, most=100)
    found = evaluator(MemoryStore(), wanted)
    found.take([hit(n, (n // 100, f"p{n}", "h")) for n in range(250)], replay=False)
    (note,) = found.notes()
    assert "the 150 values seen longest ago were forgotten: 100 are remembered" in note
    assert found.notes() == []


def test_through_a_sweep(tmp_path: Path) -> None:
    """A program that never ran among hundreds of usual ones; swept again, nothing is added."""
    odd = world.rule(
        "rare", attributes={"soc.rare": {"field": "process.name", "share": 0.01, "at_least": 100}}
    )
    with world.open_at(tmp_path / "store") as store:
        world.append(store, {f"e{n:03}": world.event(n, process__name="bash") for n in range(300)})
        world.append(store, {"odd": world.event(400, process__name="xmrig")})
        found = Sweeper(store, [odd], batch=50, keep=False).run(Start())
        assert (found.hits, found.by_rule["rare"]) == (1, [1, 0])
        (alert,) = store.find("alert")
        assert alert.body["about"]["soc.why"] == ["process.name xmrig: 1 of 301 in 14d"]
        Sweeper(store, [odd], batch=40, keep=False).run(Start())
        assert [a.body["count"] for a in store.find("alert")] == [1]
