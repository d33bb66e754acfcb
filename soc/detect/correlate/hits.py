"""The hits that a group keeps, by time: the newest in its own document, older ones in pages.

A page is written once and never changed; its name comes from its content. So all that changes about a group
is its one document, however many hits it has, and whatever a crash leaves behind is either named there or of
no account.
"""

from __future__ import annotations

import base64
import heapq
import json
import zlib
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import accumulate, islice, pairwise
from operator import attrgetter, itemgetter
from typing import Any

from soc.detect.correlate.definition import Item
from soc.respond import ids

PAGE = 2_000
"""Hits in a page: about 40 kB."""

_TIME = itemgetter(0)
_FIRST, _LAST = attrgetter("first"), attrgetter("last")
_LARGEST = 1 << 62
_PLAIN = 50
"""So few hits are not worth compressing."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page as its group knows it: the times of its first and last hit, and how many it holds."""

    id: str
    first: int
    last: int
    count: int


Loader = Callable[[str], list[Item]]
"""Reads the hits of a page by its id."""


def no_pages(page: str) -> list[Item]:
    """A loader for groups that have none in a store. Raises LookupError."""
    raise LookupError(page)


class Kept:
    """The hits of one group (`soc.detect.correlate.windows.Hits`), without those up to `cut`."""

    def __init__(self, key: str, loader: Loader = no_pages) -> None:
        self.key = key
        self.cut = -1
        self.pages: list[Page] = []
        self.written: dict[str, list[Item]] = {}
        """Pages that are not in the store yet."""
        self.dropped: list[str] = []
        """Pages that nobody needs any more."""
        self._reach = -1
        """The time of the last hit in a page."""
        self._before: list[int] = [0]
        """How many hits there are in the pages before each; only where no two pages overlap."""
        self._items: list[Item] = []
        self._ids: dict[str, Item] = {}
        self._loader = loader

    def __len__(self) -> int:
        return len(self._items) + sum(page.count for page in self.pages)

    @property
    def in_memory(self) -> int:
        """How many hits are at hand without reading a page."""
        return len(self._items)

    # changing

    def find(self, id_: str, time: int) -> Item | None:
        """The hit of this event, when it is there."""
        if id_ in self._ids:
            return self._ids[id_]
        for page in self._touched(time - 1, time):
            if page.first <= time <= page.last:
                for item in self._slice(self._load(page), time - 1, time):
                    if item.id == id_:
                        return item
        return None

    def put(self, item: Item) -> None:
        """Add a hit, or put it in the place of the one that this event had."""
        if item.id in self._ids:
            self._items.remove(self._ids[item.id])
        elif item.time <= self._reach:
            self._take_from_page(item)
        self._ids[item.id] = item
        if self._items and item < self._items[-1]:
            insort(self._items, item)
        else:
            self._items.append(item)

    def remove(self, item: Item) -> None:
        """Forget a hit that is there."""
        if self._ids.pop(item.id, None) is not None:
            self._items.remove(item)
        else:
            self._take_from_page(item)

    def _take_from_page(self, item: Item) -> None:
        """A page does not change: another one takes its place, without this event."""
        for page in self._touched(item.time - 1, item.time):
            if page.first <= item.time <= page.last:
                items = self._load(page)
                rest = [known for known in items if known.id != item.id]
                if len(rest) < len(items):
                    self._drop(page)
                    self._add_page(rest)
                    return

    def spill(self) -> None:
        """Put the oldest hits into pages where the group's own document would become too large."""
        while len(self._items) > 2 * PAGE:
            page, self._items = self._items[:PAGE], self._items[PAGE:]
            for item in page:
                del self._ids[item.id]
            self._add_page(page)

    def forget(self, until: int) -> None:
        """Drop the hits up to a time."""
        if until <= self.cut:
            return
        self.cut = until
        gone = bisect_right(self._items, until, key=_TIME)
        for item in self._items[:gone]:
            del self._ids[item.id]
        del self._items[:gone]
        for page in [page for page in self.pages if page.last <= until]:
            self._drop(page)

    def _add_page(self, items: list[Item]) -> None:
        if items:
            packed = pack(items)
            id_ = f"{self.key}-{ids.digest(json.dumps(packed))}"
            self.written[id_] = items
            self.pages.append(Page(id_, items[0].time, items[-1].time, len(items)))
            self._index()

    def _index(self) -> None:
        """Put the pages in order, and know where hits are in them."""
        self.pages.sort(key=lambda page: page.first)
        self._reach = max((page.last for page in self.pages), default=-1)
        overlap = any(later.first <= page.last for page, later in pairwise(self.pages))
        self._before = [] if overlap else [0, *accumulate(page.count for page in self.pages)]

    def _touched(self, after: int, until: int) -> Sequence[Page]:
        """The pages with hits in (after, until]; others may be among them where pages overlap."""
        if self._reach <= after:
            return ()
        end = bisect_right(self.pages, until, key=_FIRST)
        return self.pages[bisect_right(self.pages, after, key=_LAST) if self._before else 0 : end]

    def _drop(self, page: Page) -> None:
        self.pages.remove(page)
        self._index()
        if self.written.pop(page.id, None) is None:
            self.dropped.append(page.id)

    # reading

    def between(self, after: int, until: int) -> Iterator[Item]:
        """The hits in (after, until], by time, then id."""
        after = max(after, self.cut)
        here = self._slice(self._items, after, until)
        pages = [page for page in self._touched(after, until) if page.last > after]
        if not pages:
            return here
        return heapq.merge(*(self._slice(self._load(page), after, until) for page in pages), here)

    def count(self, after: int, until: int) -> int:
        """How many there are in (after, until]."""
        after = max(after, self.cut)
        if until <= after:
            return 0
        found = _upto(self._items, until) - _upto(self._items, after)
        pages = self._touched(after, until)
        if self._before and len(pages) > 2:  # only the first and the last can be cut
            first = bisect_right(self.pages, after, key=_LAST)
            found += self._before[first + len(pages) - 1] - self._before[first + 1]
            pages = (pages[0], pages[-1])
        for page in pages:
            if after < page.first and page.last <= until:
                found += page.count
            elif page.last > after and page.first <= until:
                items = self._load(page)
                found += _upto(items, until) - _upto(items, after)
        return found

    def next_after(self, time: int) -> int | None:
        """The time of the first hit after `time`."""
        time = max(time, self.cut)
        later = bisect_right(self.pages, time, key=_FIRST)
        found = [self.pages[later].first] if later < len(self.pages) else []
        for page in self._touched(time, time):
            if page.first <= time < page.last:
                items = self._load(page)
                found.append(items[_upto(items, time)].time)
        if (here := _upto(self._items, time)) < len(self._items):
            found.append(self._items[here].time)
        return min(found, default=None)

    def last_before(self, time: int) -> int | None:
        """The time of the last hit before `time`."""
        found = [page.last for page in self.pages if page.last < time]
        for page in self.pages:
            if page.first < time <= page.last:
                items = self._load(page)
                found.append(items[_upto(items, time - 1) - 1].time)
        if here := _upto(self._items, time - 1):
            found.append(self._items[here - 1].time)
        return max((t for t in found if t > self.cut), default=None)

    def newest(self, until: int, limit: int) -> list[Item]:
        """The last hits up to a time, at most `limit`, by time."""
        here = self._items[max(0, _upto(self._items, until) - limit) : _upto(self._items, until)]
        pages = sorted((p for p in self.pages if p.first <= until), key=lambda page: -page.last)
        found = list(here)
        for page in pages:
            if len(found) >= limit and page.last < found[0].time:
                break
            items = self._load(page)
            end = _upto(items, until)
            found = sorted([*items[max(0, end - limit) : end], *found])[-limit:]
        return [item for item in found if item.time > self.cut]

    def _slice(self, items: Sequence[Item], after: int, until: int) -> Iterator[Item]:
        return islice(items, _upto(items, after), _upto(items, until))

    def _load(self, page: Page) -> list[Item]:
        return self.written[page.id] if page.id in self.written else self._loader(page.id)

    # as plain data

    def body(self) -> dict[str, Any]:
        """As part of the group's document."""
        return {
            "cut": self.cut,
            "pages": [list(astuple(page)) for page in self.pages],
            "hits": pack(self._items),
        }

    def restore(self, body: dict[str, Any]) -> None:
        """Out of the group's document."""
        self.cut = body["cut"]
        self.pages = [Page(*page) for page in body["pages"]]
        self._index()
        self._items = unpack(body["hits"])
        self._ids = {item.id: item for item in self._items}


def _upto(items: Sequence[Item], time: int) -> int:
    return bisect_right(items, time, key=_TIME)


def pack(items: Sequence[Item]) -> str | list[Any]:
    """Hits as plain data: a list while there are few, else compressed text."""
    if len(items) <= _PLAIN and all(map(_fits, items)):
        return [[item.time, item.id, item.refs, *item.values] for item in items]
    times = [item.time for item in items]
    steps = [times[0], *(later - earlier for earlier, later in pairwise(times))]
    values = [item.values for item in items] if any(item.values for item in items) else []
    columns = [steps, [item.id for item in items], [item.refs for item in items], values]
    text = json.dumps(columns, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode("utf-8", "surrogatepass"), 3)).decode()


def _fits(item: Item) -> bool:
    """Whether a store can keep the values as they are: integers within 64 bits."""
    return all(isinstance(value, str) or -_LARGEST <= value <= _LARGEST for value in item.values)


def unpack(packed: str | list[Any]) -> list[Item]:
    """The opposite of `pack`."""
    if isinstance(packed, list):
        return [Item(time, id_, refs, tuple(values)) for time, id_, refs, *values in packed]
    steps, names, refs, values = json.loads(zlib.decompress(base64.b64decode(packed)))
    out, time = [], 0
    for number, step in enumerate(steps):
        time += step
        out.append(Item(time, names[number], refs[number], tuple(values[number]) if values else ()))
    return out
