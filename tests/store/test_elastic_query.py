"""Narrowing queries: certain to return every event on which the predicate is true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.config import StoreSettings
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, matches
from soc.event import Event
from soc.store.contract import Incoming
from soc.store.elastic import ElasticStore
from soc.store.elastic_query import MAX_OPERAND, narrowing

NAME, CODE, ADDRESS, PORT, OPEN = "process.name", "event.code", "source.ip", "source.port", "my.own.field"


def query(predicate: Predicate) -> dict[str, Any] | None:
    """The narrowing query without the part for events that are not indexed."""
    found = narrowing(predicate)
    return None if found is None else found["bool"]["should"][0]


@pytest.mark.parametrize(
    "predicate",
    [
        Test(None, Op.CONTAINS, "word"),
        Test(OPEN, Op.EQUALS, "x"),
        Test("message", Op.CONTAINS, "x"),
        Test(NAME, Op.REGEX, "a.*b"),
        Test(NAME, Op.EXISTS),
        Test(NAME, Op.NULL),
        Test(NAME, Op.EQUALS, "ünïcode"),
        Test(NAME, Op.CONTAINS, "s"),
        Test(NAME, Op.CONTAINS, ""),
        Test(ADDRESS, Op.EQUALS, "not an address"),
        Test(ADDRESS, Op.CIDR, "not a network"),
        Test(ADDRESS, Op.CONTAINS, "192"),
        Test(PORT, Op.EQUALS, "22.5"),
        Test(PORT, Op.GTE, 22),
        Test(CODE, Op.CONTAINS, "46"),
        Not(Test(NAME, Op.EQUALS, "cmd.exe")),
        Or((Test(NAME, Op.EQUALS, "cmd.exe"), Test(OPEN, Op.EQUALS, "x"))),
        And(()),
        And((Test(OPEN, Op.EQUALS, "x"), Test(OPEN, Op.EQUALS, "y"))),
    ],
    ids=repr,
)
def test_what_is_not_proven_is_not_narrowed(predicate: Predicate) -> None:
    """A test whose query could miss an event asks for all events."""
    assert narrowing(predicate) is None


def test_an_and_uses_the_parts_that_narrow() -> None:
    """One useful part is enough; the others are left to the predicate."""
    useful = Test(PORT, Op.EQUALS, "22")
    assert query(And((useful, Test(OPEN, Op.EQUALS, "x")))) == {"term": {PORT: 22}}
    assert query(And((useful, Not(useful)))) == {"term": {PORT: 22}}


def test_letters_that_fold_differently_match_any_character() -> None:
    """`paſſword` and the Kelvin sign fold to ASCII here, not on the server; wildcards are taken literally."""
    found = query(Test(NAME, Op.CONTAINS, "Task*?\\"))
    assert found is not None
    wildcard = found["bool"]["should"][0]["wildcard"]
    assert wildcard == {"process.name.lower": {"value": r"*ta??\*\?\\*"}}


def test_nothing_matches_an_empty_or() -> None:
    """An OR without parts is false on every event."""
    assert query(Or(())) == {"match_none": {}}


def test_a_long_literal_is_cut() -> None:
    """A part of a literal is an upper bound as well, and the server limits the length of a pattern."""
    for op in (Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH):
        found = query(Test(NAME, op, "ab" * 5_000))
        assert found is not None
        assert len(found["bool"]["should"][0]["wildcard"]["process.name.lower"]["value"]) <= MAX_OPERAND + 2


# the proof, on the real node

WORDS = [
    "cmd.exe",
    "CMD.EXE",
    "paſſword",
    "password",
    "Kelvin",
    "kelvin",
    "ſ",
    "İd",
    "id",
    "straße",
    "a*b?c",
    "a\\b",
]
WORDS += [
    "ünïcode",
    "u\u0308ber",
    "über",
    ";",
    "\u037e",
    "`",
    "\u1fef",
    "",
    " ",
    "x" * 9_000,
    "x" * 200 + "tail",
    "4624",
]
OPERANDS: dict[str, st.SearchStrategy[Any]] = {
    NAME: st.one_of(st.sampled_from(WORDS), st.text(max_size=3), st.integers(-5, 5)),
    CODE: st.sampled_from([*WORDS, "4624", "04624", 4624, "true"]),
    ADDRESS: st.sampled_from(["192.0.2.7", "2001:db8::1", "192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0"]),
    PORT: st.sampled_from([22, "22", "022", "0", "-1"]),
    OPEN: st.sampled_from(WORDS),
}
TEXT_OPS = [Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH]


@st.composite
def leaf(draw: st.DrawFn) -> Test:
    """A test on one of the fields."""
    field = draw(st.sampled_from(sorted(OPERANDS)))
    operand = draw(OPERANDS[field])
    if field == ADDRESS and "/" in str(operand):
        return Test(field, Op.CIDR, operand)
    if draw(st.integers(0, 4)) == 0:
        parts = tuple(
            draw(
                st.lists(
                    st.one_of(st.none(), st.sampled_from(["", "c", "s", "exe", "p"])), min_size=2, max_size=4
                )
            )
        )
        return Test(field, Op.WILDCARD, parts)
    return Test(field, draw(st.sampled_from(TEXT_OPS)), operand, cased=draw(st.booleans()))


PREDICATES = st.recursive(
    leaf(),
    lambda inner: st.one_of(
        st.builds(lambda p: And(tuple(p)), st.lists(inner, max_size=3)),
        st.builds(lambda p: Or(tuple(p)), st.lists(inner, max_size=3)),
        st.builds(Not, inner),
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def corpus() -> list[Event]:
    """Events with every value of every field, alone and in lists, and some at random (seeded)."""
    import random

    rng = random.Random(7)
    strange: list[Any] = [
        *WORDS,
        5,
        5.0,
        True,
        "4624",
        4624,
        4624.0,
        "04624",
        "Ⅻ",
        "K",
        "\u212a",
        "TASK",
        "ta\u017fk",
    ]
    events: list[Event] = [{NAME: word} for word in strange]
    events += [{CODE: word} for word in strange]
    events += [{OPEN: word} for word in strange]
    for _ in range(150):
        events.append(
            {
                NAME: rng.choice(strange),
                CODE: [rng.choice(strange), rng.choice(strange)],
                PORT: rng.choice([22, "022", 0]),
            }
        )
    for address in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "2001:DB8:0::1"):
        events += [{ADDRESS: address}, {ADDRESS: [address, "198.51.100.1"], PORT: "22"}]
    events.append({NAME: "odd\ud800", OPEN: 2**70})
    return events


@pytest.fixture
def filled(elastic_settings: StoreSettings, corpus: list[Event]) -> Iterator[ElasticStore]:
    """A store with the corpus."""
    head = {"@timestamp": "2026-03-02T07:14:09.120000Z", "soc.layer": 1}
    with ElasticStore.connect(elastic_settings) as store:
        outcomes = store.append([Incoming(f"e{n}", {**head, **event}) for n, event in enumerate(corpus)])
        assert [o for o in outcomes if o.reason] == []
        yield store


@pytest.mark.elastic
@pytest.mark.slow
def test_a_search_finds_what_the_predicate_says(filled: ElasticStore) -> None:
    """For predicates of all shapes, narrowed or not, the search gives what evaluating every event gives."""
    everything = list(filled.search())
    narrowed = 0

    @settings(
        max_examples=250,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(PREDICATES)
    def check(predicate: Predicate) -> None:
        nonlocal narrowed
        narrowed += narrowing(predicate) is not None
        expected = [e.id for e in everything if matches(predicate, e.event)]
        assert [e.id for e in filled.search(predicate)] == expected

    check()
    assert narrowed > 50


@pytest.mark.elastic
@pytest.mark.slow
@pytest.mark.parametrize("op", TEXT_OPS)
def test_every_word_is_found_by_every_operator(filled: ElasticStore, op: Op) -> None:
    """Case, long s, Kelvin sign, decomposed letters, wildcards, values beyond the index: none is missed."""
    everything = list(filled.search())
    for field in (NAME, CODE):
        for word in [*WORDS, "task", "k", "5", "true"]:
            for cased in (False, True):
                predicate = Test(field, op, word, cased=cased)
                expected = [e.id for e in everything if matches(predicate, e.event)]
                assert [e.id for e in filled.search(predicate)] == expected, predicate


@pytest.mark.elastic
def test_a_narrowed_search_fetches_few(filled: ElasticStore) -> None:
    """The upper bound is worth something: an address is asked for by its index."""
    found = list(
        filled._search.candidates(
            Test(ADDRESS, Op.CIDR, "2001:db8::/32"), None, None, newest_first=False, first_page=None
        )
    )
    # the four events with that network, and those that the index does not hold
    assert len(found) < 60
