"""The hits of a group, in pages, are what a plain list of them would be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.detect.correlate import hits
from soc.detect.correlate.definition import Item
from soc.detect.correlate.hits import Kept, pack, unpack
from soc.store.embedded_codec import encode

ITEMS = st.lists(st.integers(0, 40), max_size=40).map(
    lambda times: [Item(time, f"e{number}", 1) for number, time in enumerate(times)]
)


@given(made=ITEMS, data=st.data())
def test_pages_are_as_a_list(made: list[Item], data: st.DataObject) -> None:
    """Whatever the order in which hits come, are changed, removed and forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hits, "PAGE", 3)
        store: dict[str, list[Item]] = {}
        kept = Kept("k", store.__getitem__)
        there: dict[str, Item] = {}
        for item in made:
            kept.put(item)
            there[item.id] = item
            if data.draw(st.booleans()):
                kept.spill()
            if data.draw(st.integers(0, 9)) == 0:
                store.update(kept.written)
                body = json.loads(json.dumps(kept.body()))
                kept = Kept("k", store.__getitem__)
                kept.restore(body)
        for id_ in data.draw(st.lists(st.sampled_from(sorted(there)), max_size=5)) if there else []:
            if data.draw(st.booleans()):
                there[id_] = there[id_]._replace(refs=3)
                kept.put(there[id_])
            elif there.get(id_):
                kept.remove(there[id_])
                del there[id_]
                break
        if data.draw(st.booleans()):
            cut = data.draw(st.integers(0, 20))
            kept.forget(cut)
            there = {id_: item for id_, item in there.items() if item.time > cut}
        whole = sorted(there.values())
        assert list(kept.between(-1, 50)) == whole
        after, until = data.draw(st.integers(-1, 45)), data.draw(st.integers(-1, 45))
        inside = [item for item in whole if after < item.time <= until]
        assert list(kept.between(after, until)) == inside
        assert kept.count(after, until) == len(inside)
        assert kept.next_after(after) == min((i.time for i in whole if i.time > after), default=None)
        assert kept.last_before(after) == max((i.time for i in whole if i.time < after), default=None)
        assert [i.time for i in kept.newest(until, 4)] == [i.time for i in whole if i.time <= until][-4:]
        assert all(kept.find(item.id, item.time) == item for item in whole)
        assert kept.find("other", 7) is None


@given(made=ITEMS)
def test_packed_hits_come_back(made: list[Item]) -> None:
    """Few as a list, many compressed; with texts and numbers of any size as values."""
    values: list[tuple[object, ...]] = [(), ("a", "ß"), (10**30,), (-1, 2)]
    unsorted = [item._replace(values=values[n % 4]) for n, item in enumerate(made * 3)]
    whole = sorted(unsorted, key=lambda item: item.time)
    for part in (whole, whole[:5], []):
        packed = pack(part)
        assert unpack(json.loads(json.dumps(packed))) == part
        encode({"hits": packed})  # a store takes no integer beyond 64 bits
