"""Comparisons with times: as `evaluate_test` has them, and at a cost that hardly grows with their number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from soc.detect.atoms import Budget, FieldTable
from soc.detect.matcher import REMEMBERED
from soc.detect.predicate import Op, Test, Verdict, evaluate_test
from soc.event import timestamp

START = datetime(2026, 3, 2, tzinfo=UTC)
TIMES = st.integers(0, 6).map(lambda hours: timestamp(START + timedelta(hours=hours)))
VALUES = st.one_of(
    TIMES,
    st.sampled_from(
        [
            "2026-03-02T03:00:00Z",
            "2026-03-02T03:00:00+07:00",
            "2026-03-02T03:00:00",
            "2026-03-02",
            "2026-03-02T03:00:00.5Z",
            "2026-13-45T00:00:00.000000Z",
            "x",
            "",
            5,
            True,
            None,
            "\ud800",
        ]
    ),
)
TESTS = st.lists(
    st.one_of(
        st.builds(Test, st.just("t"), st.sampled_from([Op.LT, Op.LTE, Op.GT, Op.GTE]), TIMES),
        st.builds(Test, st.just("t"), st.sampled_from([Op.LT, Op.GTE]), st.sampled_from(["a", 3])),
        st.builds(Test, st.just("t"), st.sampled_from([Op.EQUALS, Op.STARTSWITH]), TIMES),
        st.sampled_from([Test("t", Op.EXISTS), Test("t", Op.NULL)]),
    ),
    min_size=1,
    max_size=8,
)


@given(tests=TESTS, value=st.one_of(VALUES, st.lists(VALUES, max_size=3)))
def test_as_plain_evaluation(tests: list[Test], value: Any) -> None:
    """For times in any form, what is no time, and several values."""
    numbered = list(enumerate(dict.fromkeys(tests)))
    table = FieldTable(numbered, Budget(REMEMBERED))
    wanted = {n for n, test in numbered if evaluate_test(test, {"t": value}) is Verdict.TRUE}
    assert table.of(value).true == wanted


def test_times_are_not_remembered() -> None:
    """No time comes again: what is known of other values is not forgotten for them."""
    budget = Budget(REMEMBERED)
    table = FieldTable([(0, Test("t", Op.GTE, timestamp(START)))], budget)
    sights = {id(table.of(timestamp(START + timedelta(seconds=n)))) for n in range(-50, 50)}
    assert (len(sights), budget.used) == (2, 0)
