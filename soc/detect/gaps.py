"""What each version of a rule has not seen of the feed, out of the ranges in the ledger.

A version sees what is swept while it is among the rules, and what is filled in afterwards
(`soc.detect.backfill`). What lies before, between and beside is missing, and can be filled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from soc.detect import ledger
from soc.detect.leases import Worker
from soc.detect.places import POSITION, Places
from soc.detect.ranges import Span, missing
from soc.store.contract import WHOLE, Store

BACKFILL = "backfill"
"""Whose tallies hold what was filled in."""


class Gap(NamedTuple):
    """Events of a part of the feed that were not seen."""

    part: str
    name: str
    span: Span


class Gaps:
    """What was swept of a store's feed, and by which rule sets."""

    def __init__(self, store: Store, name: str = "") -> None:
        """`name`: of the sweep that the feed is looked at beside; "": as far as any sweep has come."""
        names = [name] if name else [d.id for d in store.find(POSITION) if "feed" in d.body]
        self._extents: dict[str, tuple[str, Span]] = {}
        for one in names:
            for part, (label, span) in _extents(store, one).items():
                known = self._extents.get(part)
                if known is None or known[1].upto < span.upto:
                    self._extents[part] = (label, span)
        self._seen: dict[str, dict[str, list[Span]]] = defaultdict(lambda: defaultdict(list))
        self._sets: dict[tuple[str, str], set[str]] = defaultdict(set)
        for tally in ledger.entries(store):
            if tally.part != ledger.RUN:
                spans = [Span(*one) for one in tally.ranges]  # type: ignore[arg-type]  # plain data
                self._seen[tally.ruleset][tally.part or WHOLE] += spans
        for ruleset in self._seen:
            document = store.read(ledger.RULESET, ruleset)
            for rule, version in document.body["rules"].items() if document else ():
                self._sets[rule, version].add(ruleset)
        self._sizes: dict[frozenset[str], int] = {}

    def of(self, version: tuple[str, str], since: str = "", until: str = "") -> list[Gap]:
        """What a version of a rule (id, version) has not seen, of these times of event."""
        found = self._missing(frozenset(self._sets.get(version, ())), since, until)
        return [Gap(part, self._extents[part][0], span) for part in sorted(found) for span in found[part]]

    def size(self, rule: str, version: str) -> int:
        """How many events a version of a rule has not seen; there may be fewer, never more."""
        sets = frozenset(self._sets.get((rule, version), ()))
        if sets not in self._sizes:
            gaps = self._missing(sets, "", "")
            self._sizes[sets] = sum(span.size for spans in gaps.values() for span in spans)
        return self._sizes[sets]

    def _missing(self, sets: frozenset[str], since: str, until: str) -> Mapping[str, list[Span]]:
        return {
            part: missing(
                whole._replace(since=since, until=until),
                [span for ruleset in sets for span in self._seen[ruleset].get(part, ())],
            )
            for part, (_, whole) in self._extents.items()
        }


def _extents(store: Store, name: str) -> dict[str, tuple[str, Span]]:
    """Each part's name, and all of it that was swept or passed by."""
    places = Places(store, name, Worker.here(), dry_run=True)
    places.open(None, "")
    first = store.reached(store.beginning()).number
    out = {}
    for place in places.survey():
        if place.position and not place.part.gone:
            history, number = store.reached(place.position)
            out[place.part.key] = (place.part.name, Span(history, first, number))
    return out
