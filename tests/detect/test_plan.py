"""The choice between reading everything and asking for candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from soc.config import StoreSettings
from soc.detect.plan import Plan, choose, narrowed_to
from soc.detect.predicate import And, Op, Predicate, Test, matches
from soc.detect.rule import Rule
from soc.store.contract import Weight
from soc.store.elastic_narrow import weight
from soc.store.embedded import EmbeddedStore
from tests.detect.world import SOURCE, event, open_at, rule

FEW, MANY = 10_000, 1_000_000


class Priced(EmbeddedStore):
    """A store that narrows as Elasticsearch would, and counts as the test says."""

    counted: int | None = None
    asked = 0

    def weight(self, narrow: Predicate) -> Weight | None:
        """What Elasticsearch would say of one shard."""
        return weight(narrow, 1)

    def candidates(
        self, narrows: Sequence[Predicate], *, since: datetime | None = None, until: datetime | None = None
    ) -> list[int | None]:
        """The same for each."""
        del since, until
        self.asked += 1
        return [self.counted for _ in narrows]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Priced]:
    """A store with prices."""
    with Priced.open(StoreSettings(target=str(tmp_path))) as opened:
        assert isinstance(opened, Priced)
        yield opened


def rules(count: int) -> list[Rule]:
    """As many rules as that, each with a few tests of its own."""
    return [
        rule(
            f"r{n}",
            predicate=And(
                (
                    SOURCE,
                    Test("url.query", Op.CONTAINS, f"word{n}"),
                    Test("url.path", Op.ENDSWITH, f"p{n}"),
                    Test("my.own", Op.EXISTS),
                )
            ),
        )
        for n in range(count)
    ]


def test_one_rule_over_long_history_asks_for_candidates(store: Priced) -> None:
    """A search costs milliseconds, reading a million events a minute."""
    choice = choose(store, rules(1), MANY)
    assert choice.plan is Plan.CANDIDATES
    assert choice.narrow is not None
    assert choice.candidates_seconds is not None
    assert choice.candidates_seconds < choice.stream_seconds


def test_thousands_of_rules_read_everything_once(store: Priced) -> None:
    """As queries, they cost a node minutes however few events are new."""
    for events in (FEW, MANY):
        choice = choose(store, rules(2_400), events)
        assert choice.plan is Plan.STREAM
        assert choice.narrow is None


def test_between_them_the_store_is_asked_how_many_there_are(store: Priced) -> None:
    """Where the search is not cheap, it depends on how much it finds."""
    some = rules(50)
    store.counted = 10
    assert choose(store, some, MANY).plan is Plan.CANDIDATES
    store.counted = MANY
    assert choose(store, some, MANY).plan is Plan.STREAM
    assert store.asked == 2


def test_a_rule_that_must_see_everything_decides(store: Priced) -> None:
    """One rule without a bound means reading all: whatever was asked for, the choice says so."""
    blind = rule("all", predicate=Test("message", Op.CONTAINS, "x"), source=And(()))
    choice = choose(store, [*rules(2), blind], MANY, wanted=Plan.CANDIDATES)
    assert choice.plan is Plan.STREAM
    assert "1 of 3 rules" in choice.reason


def test_what_is_asked_for_is_done(store: Priced) -> None:
    """Both plans can be forced."""
    assert choose(store, rules(1), MANY, wanted=Plan.STREAM).plan is Plan.STREAM
    assert choose(store, rules(2_400), FEW, wanted=Plan.CANDIDATES).plan is Plan.CANDIDATES


def test_the_embedded_store_looks_into_bodies_for_few_rules(tmp_path: Path) -> None:
    """It has no index of texts, and decoding costs more than looking for a word."""
    with open_at(tmp_path) as embedded:
        assert choose(embedded, rules(1), MANY).plan is Plan.CANDIDATES
        assert choose(embedded, rules(2_400), MANY).plan is Plan.STREAM


def test_the_bound_of_many_rules_is_true_whenever_one_is() -> None:
    """It is their disjunction; equal predicates stand once."""
    bound = narrowed_to([rule("a"), rule("b")])
    assert matches(bound, event())
    assert not matches(bound, event(fires=False))
    assert len(bound.parts) == 1  # type: ignore[union-attr] # it is an Or
