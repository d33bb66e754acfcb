"""Conditions are read as the specification says, and mistakes are named with their place."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.detect.condition import Condition, ConditionError, Either, Every, Named, Never, Of, parse
from soc.detect.predicate import Verdict, evaluate
from tests.detect import rules

A, B, C = Named("a"), Named("b"), Named("c")

TREES: list[tuple[str, Condition]] = [
    ("a", A),
    ("a and b and c", Every((A, B, C))),
    ("a or b and not c", Either((A, Every((B, Never(C)))))),
    ("(a or b) and c", Every((Either((A, B)), C))),
    ("not a and b", Every((Never(A), B))),
    ("not not a", Never(Never(A))),
    ("not (a or b)", Never(Either((A, B)))),
    ("a AND NOT b OR c", Either((Every((A, Never(B))), C))),
    ("1 of a*", Of(False, "a*")),
    ("any of them", Of(False, "them")),
    ("all of sel_*_x", Of(True, "sel_*_x")),
    ("1 of sel-*", Of(False, "sel-*")),
    ("not 1 of f_* and a", Every((Never(Of(False, "f_*")), A))),
    ("((a))", A),
    (" a\n  and b ", Every((A, B))),
    ("notepad and orders or android", Either((Every((Named("notepad"), Named("orders"))), Named("android")))),
    ("all and any or 1", Either((Every((Named("all"), Named("any"))), Named("1")))),
    ("ofen", Named("ofen")),
]


@pytest.mark.parametrize(("text", "tree"), TREES, ids=[t for t, _ in TREES])
def test_a_condition_is_read(text: str, tree: Condition) -> None:
    """not binds before and, and before or; names may begin like operators."""
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1), ("a and", 6), ("and a", 1), ("a b", 3), ("(a", 3), ("a)", 2), ("not", 4), ("a or or b", 6),
        ("()", 2),
        ("2 of a*", 3), ("1 of", 5), ("1 of (a)", 6), ("1 of and", 6), ("a of b", 3), ("a | count() > 5", 3),
        ("a and not", 10), ("not " * 60 + "a", 205), ("(" * 60 + "a" + ")" * 60, 52),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(text: str, column: int) -> None:
    """Whatever cannot be read says at which character."""
    with pytest.raises(ConditionError) as caught:
        parse(text)
    assert caught.value.column == column


NAMES = ["sel_1", "sel_2", "sel-3", "filter_x", "_hidden", "other"]


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("1 of them", ["sel_1", "sel_2", "sel-3", "filter_x", "other"]),
        ("1 of sel*", ["sel_1", "sel_2", "sel-3"]),
        ("1 of *_x", ["filter_x"]),
        ("1 of *", ["sel_1", "sel_2", "sel-3", "filter_x", "other"]),
        ("1 of _*", ["_hidden"]),
        ("1 of other", ["other"]),
        ("1 of sel.1", []),
        ("1 of SEL*", []),
    ],
)
def test_which_detections_a_selector_means(condition: str, names: list[str]) -> None:
    """Names that begin with `_` are for patterns that do, too; only `*` is a wildcard."""
    found = parse(condition)
    assert isinstance(found, Of)
    assert found.names(NAMES) == names


PARTS = ["a", "b", "c", "1 of s*", "all of s*", "all of them", "1 of them"]
CONDITIONS = st.recursive(
    st.sampled_from(PARTS),
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not {}".format, inner),
    ),
    max_leaves=6,
)


@given(CONDITIONS)
def test_any_condition_means_what_python_means(condition: str) -> None:
    """Against Python's own reading of the same words, for every combination of detections."""
    from tempfile import TemporaryDirectory

    detection = "a: {a: 1}\nb: {b: 1}\nc: {c: 1}\ns1: {s1: 1}\ns2: {s2: 1}\n_d: {d: 1}\n"
    with TemporaryDirectory() as folder:
        rule = rules.one(Path(folder), f"{detection}condition: {condition}")
    python = condition.replace("1 of s*", "(s1 or s2)").replace("all of s*", "(s1 and s2)")
    python = python.replace("all of them", "(a and b and c and s1 and s2)")
    python = python.replace("1 of them", "(a or b or c or s1 or s2)")
    for flags in product([False, True], repeat=5):
        true = dict(zip(["a", "b", "c", "s1", "s2"], flags, strict=True))
        expected = bool(eval(python, {}, true))  # noqa: S307 - a condition of this test
        event = {"event.dataset": "test.event", **{name: 1 for name, on in true.items() if on}}
        assert (evaluate(rule.predicate, event) is Verdict.TRUE) is expected


def test_several_conditions_mean_any_of_them(tmp_path: Path) -> None:
    """A list of conditions; `timeframe`, a relic of aggregations, is no detection."""
    rule = rules.one(tmp_path, "a: {f: 1}\nb: {g: 1}\ntimeframe: 5m\ncondition: [a, all of them]")
    for event, expected in (({"f": 1}, True), ({"g": 1}, False), ({"f": 1, "g": 1}, True)):
        verdict = evaluate(rule.predicate, {"event.dataset": "test.event", **event})
        assert (verdict is Verdict.TRUE) is expected
