"""Narrowing queries: certain to return every event on which the predicate is true."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.config import StoreSettings
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, Verdict, evaluate, matches
from soc.event import Event
from soc.store.contract import Incoming
from soc.store.elastic import ElasticStore
from soc.store.elastic_events import pack
from soc.store.elastic_indexed import Family, leaves, size
from soc.store.elastic_query import LOWER_BOUNDS, MAX_BYTES, MAX_CLAUSES, UPPER, narrowing

NAME, CODE, ADDRESS, PORT, OPEN = "process.name", "event.code", "source.ip", "source.port", "my.own.field"
SCORE, FLAG = "event.risk_score", "process.interactive"


def query(predicate: Predicate) -> dict[str, Any] | None:
    """The narrowing query without the part for events that are not indexed."""
    found = narrowing(predicate)
    return None if found is None else found["bool"]["should"][0]


@pytest.mark.parametrize(
    "predicate",
    [
        Test(None, Op.CONTAINS, "word"),
        Test("message", Op.CONTAINS, "x"),
        Test("event.original", Op.EXISTS),
        Test("@timestamp", Op.GTE, "2026-03-02T07:14:09.120000Z"),
        Test("@timestamp", Op.TIMEPART, 7, flags="hour"),
        Test(NAME, Op.FIELDREF, CODE),
        Test(NAME, Op.REGEX, "a.*b"),
        Test(NAME, Op.REGEX, "(?<!x)password"),
        Test(NAME, Op.EQUALS, "ü"),
        Test(NAME, Op.CONTAINS, "s"),
        Test(NAME, Op.CONTAINS, ""),
        Test(NAME, Op.GTE, 22),
        Test(ADDRESS, Op.EQUALS, "not an address"),
        Test(ADDRESS, Op.CIDR, "not a network"),
        Test(ADDRESS, Op.CONTAINS, "192"),
        Test(ADDRESS, Op.STARTSWITH, "192.1"),
        Test(PORT, Op.EQUALS, "22.5"),
        Test(PORT, Op.CONTAINS, "22"),
        Test("my own field", Op.EQUALS, "x"),
        Not(Test(NAME, Op.CONTAINS, "cmd.exe")),
        Not(Test(NAME, Op.EQUALS, "ünïcode")),
        Not(Test(OPEN, Op.EQUALS, "5.0")),
        Not(Test(ADDRESS, Op.EQUALS, "192.0.2.7")),
        Not(Test(ADDRESS, Op.CIDR, "::/0")),
        Or((Test(NAME, Op.EQUALS, "cmd.exe"), Test("message", Op.EQUALS, "x"))),
        And(()),
        Not(And((Test(CODE, Op.EQUALS, "1"), Test("message", Op.EQUALS, "x")))),
        And((Test("message", Op.EQUALS, "x"), Test("message", Op.EQUALS, "y"))),
    ],
    ids=repr,
)
def test_what_is_not_proven_is_not_narrowed(predicate: Predicate) -> None:
    """A test whose query could miss an event asks for all events."""
    assert narrowing(predicate) is None


def test_an_and_uses_the_parts_that_narrow() -> None:
    """One useful part is enough; the others are left to the predicate."""
    useful = Test(PORT, Op.EQUALS, "22")
    assert query(And((useful, Test("message", Op.EQUALS, "x")))) == {"term": {PORT: 22}}
    assert query(And((useful, Not(useful)))) == {"term": {PORT: 22}}


def test_letters_that_fold_differently_have_both_forms() -> None:
    """`paſſword` and the Kelvin sign fold to ASCII here, not on the server; signs are taken literally."""
    found = query(Test(NAME, Op.CONTAINS, "Task*?\\"))
    assert found is not None
    expression = found["bool"]["should"][0]["regexp"]["process.name.lower"]["value"]
    assert expression == ".*ta[sſ][k\u212a]\\*\\?\\\\.*"


def test_nothing_matches_an_empty_or() -> None:
    """An OR without parts is false on every event."""
    assert query(Or(())) == {"match_none": {}}


@pytest.mark.parametrize("op", [Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH])
@pytest.mark.parametrize("text", ["ab", "ss", "ii", "\\\\"])
def test_a_long_literal_is_cut(op: Op, text: str) -> None:
    """A part of a literal is an upper bound as well, and the server limits the length of an expression."""
    for test in (Test(NAME, op, "x" + text * 5_000 + "x"), Test(NAME, Op.REGEX, "xy" + text * 500 + "xy")):
        found = query(test)
        assert found is not None
        expression = found["bool"]["should"][0]["regexp"]["process.name.lower"]["value"]
        assert 1 < len(expression) < 1_000


def test_many_values_of_one_field_are_few_clauses() -> None:
    """A list of a hundred file names is one question to each field, not a hundred."""
    names = [Test(NAME, Op.ENDSWITH, f"\\tool{n}.exe") for n in range(100)]
    found = query(Or(tuple(names)))
    assert found is not None
    assert leaves(found) < 6
    codes = query(Or(tuple(Test(CODE, Op.EQUALS, n) for n in range(100))))
    assert codes is not None
    assert leaves(codes) < 4
    ports = query(Or(tuple(Test(PORT, Op.EQUALS, n) for n in range(100))))
    assert ports == {"terms": {PORT: list(range(100))}}


def test_a_huge_list_is_cut_or_left_out() -> None:
    """The size of a query is bounded, whatever a rule says: thousands of hashes are cut to their ends."""
    hashes = Or(tuple(Test(NAME, Op.CONTAINS, f"md5={n:032x}") for n in range(3_000)))
    code = Test(CODE, Op.EQUALS, "1")
    for predicate in (hashes, And((code, hashes))):
        found = narrowing(predicate)
        assert found is None or (leaves(found) <= MAX_CLAUSES and size(found) <= MAX_BYTES)
    assert narrowing(And((code, hashes))) is not None
    odd = Or(tuple(Test(f"field{n}", Op.EQUALS, "x") for n in range(MAX_CLAUSES + 1)))
    assert narrowing(odd) is None
    assert query(And((code, odd))) == query(code)


def test_a_value_beyond_the_flattened_index_is_marked() -> None:
    """The server counts UTF-16 units, and does not say what it left out."""
    value: Any
    for value in ("x" * 1_025, ["a", "x" * 1_025], "\U0001f600" * 600):
        assert pack({OPEN: value}).get("soc.overlong") is True
    for value in ("x" * 1_024, ["a", 5], "é" * 500, 10**18):
        assert "soc.overlong" not in pack({OPEN: value})


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
TEXT_OPS = [Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH]
NUMBERS: list[Any] = [5, "5", "5.0", 0, "0", "-0", "100", "1e+20", "0.5", "true", "46", ".5", 22, "022", "-1"]
ADDRESSES = ["192.0.2.7", "192.0.2.", "192.", "2001:db8::1", "::ffff:192.0.2.7", "10.0.0.1"]
NETWORKS = [
    "192.0.2.0/24",
    "192.0.0.0/14",
    "2001:db8::/32",
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/8",
    "192.0.2.7/32",
]
REGEXES = [
    "cmd\\.exe",
    "(?i)ta[a-z]k",
    "pa[sſ]+word",
    "kelvin|task",
    "id$",
    "x{3,}tail",
    "(?i)power(shell)?",
    "über",
]
FIELDS = (NAME, CODE, ADDRESS, PORT, OPEN, SCORE, FLAG)


def operands(op: Op) -> list[Any]:
    """Operands worth trying with a test."""
    if op is Op.CIDR:
        return NETWORKS
    if op in {Op.LT, Op.LTE, Op.GT, Op.GTE}:
        return [22, 22.5, -1, 0.5, 2**70]
    if op is Op.REGEX:
        return REGEXES
    if op in {Op.EXISTS, Op.NULL}:
        return [None]
    if op is Op.WILDCARD:
        return [
            ("c", ".exe"),
            ("", "ta", None, ""),
            ("u", None, "ber"),
            ("p", "w", "rd"),
            ("", "46", ""),
            ("", "x"),
        ]
    return [*WORDS, *NUMBERS, *ADDRESSES]


OPS = sorted({op for op, _ in UPPER}, key=str)


@st.composite
def leaf(draw: st.DrawFn) -> Test:
    """A test on one of the fields."""
    op = draw(st.sampled_from(OPS))
    field = draw(st.sampled_from(FIELDS))
    operand = draw(st.sampled_from(operands(op)))
    if op is Op.WILDCARD and draw(st.booleans()):
        pieces = st.lists(
            st.one_of(st.none(), st.sampled_from(["", "c", "s", "exe", "p"])), min_size=2, max_size=4
        )
        operand = tuple(draw(pieces))
    elif op in TEXT_OPS and draw(st.integers(0, 3)) == 0:
        operand = draw(st.text(max_size=3))
    cased = op in {*TEXT_OPS, Op.WILDCARD} and draw(st.booleans())
    return Test(field, op, operand, cased=cased)


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
    strange += [0.5, -0.0, 1e20, 1e-7, 2**63 - 1, False, "5.0", "-0", "cafe\u0301", "ae\u0301b", "u\u0308ber"]
    strange += ["KELVIN", "192.0.2.7", "::ffff:192.0.2.7", "::FFFF:c000:207", " 10.0.0.1 ", "pa\u017fsword"]
    events: list[Event] = [{field: value} for field in (NAME, CODE, OPEN) for value in strange]
    events += [
        {field: value} for field in (NAME, CODE, OPEN) for value in ([], [None, ""], None, "y" * 1_025)
    ]
    for _ in range(150):
        events.append(
            {
                NAME: rng.choice(strange),
                CODE: [rng.choice(strange), rng.choice(strange)],
                OPEN: [rng.choice(strange), rng.choice(strange)],
                PORT: rng.choice([22, "022", 0]),
            }
        )
    for address in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "2001:DB8:0::1", "10.0.0.1"):
        events += [{ADDRESS: address}, {ADDRESS: [address, "198.51.100.1"], PORT: "22"}]
    events += [{PORT: value} for value in (22.5, "22.9", -1, [0, 22], None, [])]
    events += [{SCORE: value} for value in (0.5, 22.5, "22", -1, 2**53 + 1, [0.1, 30])]
    events += [{FLAG: value} for value in (True, False, "true", "false", [True, False], None)]
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
        max_examples=400,
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


def fetched(store: ElasticStore, predicates: Sequence[Predicate]) -> list[set[str]]:
    """For each predicate: the ids of the events that its narrowing query finds."""
    pattern, out = store._names.events, []
    for start in range(0, len(predicates), 100):
        lines = []
        for predicate in predicates[start : start + 100]:
            body = {"size": 2_000, "_source": False, "query": narrowing(predicate)}
            lines += [b"{}", json.dumps(body).encode()]
        answer = store._connection.call(
            "POST", f"/{pattern}/_msearch", body=b"\n".join(lines) + b"\n", lines=True
        )
        refused = [
            (b, a["error"]) for b, a in zip(lines[1::2], answer["responses"], strict=True) if "error" in a
        ]
        assert not refused, str(refused[0])[:3000]
        out += [{hit["_id"] for hit in found["hits"]["hits"]} for found in answer["responses"]]
    return out


FIELD_OF = {
    Family.KEYWORD: (NAME, CODE),
    Family.FLATTENED: (OPEN,),
    Family.LONG: (PORT,),
    Family.DOUBLE: (SCORE,),
    Family.IP: (ADDRESS,),
    Family.BOOLEAN: (FLAG,),
}


@pytest.mark.elastic
def test_each_pair_of_the_tables_is_certain(filled: ElasticStore) -> None:
    """What is fetched holds all that is true, under NOT as well; and each pair narrows something down."""
    everything = list(filled.search())
    for (op, family), fields in [(pair, FIELD_OF[pair[1]]) for pair in UPPER if pair[1] in FIELD_OF]:
        cases = (False, True) if op in {*TEXT_OPS, Op.WILDCARD} else (False,)
        tests = [Test(f, op, o, cased=c) for f in fields for o in operands(op) for c in cases]
        predicates = [p for t in tests for p in (t, Not(t)) if narrowing(p) is not None]
        narrowed = 0
        for predicate, found in zip(predicates, fetched(filled, predicates), strict=True):
            expected = {e.id for e in everything if evaluate(predicate, e.event) is not Verdict.FALSE}
            assert expected <= found, predicate
            narrowed += len(found) < len(everything)
        assert narrowed, (op, family)
    for op, family in LOWER_BOUNDS:
        negations = [Not(Test(f, op, o)) for f in FIELD_OF[family] for o in operands(op)]
        assert any(narrowing(negation) is not None for negation in negations), (op, family)


@pytest.mark.elastic
def test_a_narrowed_search_fetches_few(filled: ElasticStore) -> None:
    """The upper bound is worth something: an address is asked for by its index."""
    found = list(
        filled._search.candidates(
            Test(ADDRESS, Op.CIDR, "2001:db8::/32"), None, None, newest_first=False, first_page=None
        )
    )
    # the four events with that network, and those that the index does not hold as they are
    widened = sum("soc.widen" in pack(e.event) or "odd\ud800" in e.event.values() for e in filled.search())
    assert len(found) == 4 + widened
