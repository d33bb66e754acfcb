"""Events: flattening, nesting, times, identity."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.event import (
    MAX_DEPTH,
    event_id,
    flatten,
    merge_values,
    moment,
    nest,
    normalise,
    record_id,
    source_key,
    timestamp,
    values_of,
)


@pytest.mark.parametrize(
    ("document", "flat"),
    [
        ({}, {}),
        ({"a": 1}, {"a": 1}),
        ({"a": {"b": {"c": 1}}}, {"a.b.c": 1}),
        ({"a": {}}, {}),
        ({"a": []}, {"a": []}),
        ({"a": [1, None, "x"]}, {"a": [1, None, "x"]}),
        ({"x": [{"a": 1}, {"a": 2}]}, {"x.a": [1, 2]}),
        ({"x": [{"a": [1, 2]}, {"a": 3}]}, {"x.a": [1, 2, 3]}),
        ({"x": [{"a": 1}, "plain"]}, {"x.a": [1], "x": ["plain"]}),
        ({"x": [[1, 2], [3]]}, {"x": [1, 2, 3]}),
        ({"a.b": 1, "a": {"b": 2}}, {"a.b": [1, 2]}),
        ({"a": None}, {"a": None}),
    ],
)
def test_a_document_is_flattened(document: dict[str, Any], flat: dict[str, Any]) -> None:
    """Dotted names; lists of mappings are spread over their keys."""
    assert flatten(document) == flat


def test_flattening_does_not_share_lists() -> None:
    """Changing the event leaves the document as it was."""
    document = {"a": [1]}
    flatten(document)["a"].append(2)
    assert document == {"a": [1]}


def test_deep_nesting_is_kept_as_text() -> None:
    """A hostile document of any depth neither fails nor loses what lies deep."""
    document: Any = "deep"
    for _ in range(500):
        document = {"a": document}
    ((name, value),) = flatten(document).items()
    assert name.count(".") == MAX_DEPTH
    assert "deep" in value
    document = ["deep", 2**70, "\ud800"]
    for _ in range(500):
        document = [document]
    ((_, value),) = flatten({"a": document}).items()
    assert "deep" in str(value)


_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text("ab.", min_size=1, max_size=3), inner, max_size=3),
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), _json, max_size=4))
def test_a_flat_event_holds_scalars_and_lists_of_scalars(document: dict[str, Any]) -> None:
    """And flattening it again changes nothing."""
    event = flatten(document)
    for value in event.values():
        for item in value if isinstance(value, list) else [value]:
            assert not isinstance(item, (dict, list))
    assert flatten(event) == event


@pytest.mark.parametrize(
    ("flat", "document"),
    [
        ({"a.b": 1, "a.c": 2}, {"a": {"b": 1, "c": 2}}),
        ({"a": 1, "a.b": 2}, {"a": 1, "a.b": 2}),
        ({"x": 0, "a.b": 1, "a.b.c": 2}, {"x": 0, "a": {"b": 1, "b.c": 2}}),
    ],
)
def test_an_event_is_nested(flat: dict[str, Any], document: dict[str, Any]) -> None:
    """Where a name is both a value and a prefix, the longer one stays dotted."""
    assert nest(flat) == document


_flat = st.dictionaries(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(".".join), st.integers(), max_size=8
)


@given(_flat)
def test_nesting_and_flattening_are_inverse(event: dict[str, Any]) -> None:
    """Nothing is lost on the way."""
    assert flatten(nest(event)) == event


@pytest.mark.parametrize(
    ("value", "values"),
    [(None, []), ([], []), ([None], []), ("", [""]), (0, [0]), (False, [False]), (["a", None, 1], ["a", 1])],
)
def test_values_of_a_field(value: Any, values: list[Any]) -> None:
    """Absent, null and empty lists have none; false and empty text are values."""
    assert values_of({"f": value}, "f") == values
    assert values_of({}, "f") == []


@pytest.mark.parametrize(
    ("values", "merged"), [([], None), ([None], None), ([1, 1], 1), (["a", "b", "a"], ["a", "b"])]
)
def test_values_are_merged(values: list[Any], merged: Any) -> None:
    """Distinct, in order; one alone is a scalar."""
    assert merge_values(values) == merged


def test_times_are_utc_text_with_six_digits() -> None:
    """From any zone, also before 1970 and in early years; text order is time order."""
    east = datetime(2026, 3, 2, 14, 14, 9, 120000, tzinfo=timezone(timedelta(hours=7)))
    assert timestamp(east) == "2026-03-02T07:14:09.120000Z"
    assert timestamp(datetime(1969, 12, 31, tzinfo=UTC)) == "1969-12-31T00:00:00.000000Z"
    assert timestamp(datetime(987, 1, 1, tzinfo=UTC)) == "0987-01-01T00:00:00.000000Z"
    with pytest.raises(ValueError, match="without a zone"):
        timestamp(datetime(2026, 3, 2))  # noqa: DTZ001 - a naive time is what is tested


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_times_come_back_and_keep_their_order(one: datetime, other: datetime) -> None:
    """For all of datetime's range."""
    assert moment(timestamp(one)) == one
    assert (timestamp(one) < timestamp(other)) == (one < other)


@pytest.mark.parametrize(
    "text", ["", "2026-03-02", "2026-03-02T07:14:09", "yesterday", "2026-02-30T00:00:00Z"]
)
def test_text_that_is_no_moment(text: str) -> None:
    """A time without a zone is none."""
    with pytest.raises(ValueError, match=r"without a zone|isoformat|day is out of range"):
        moment(text)


def test_text_is_normalised_to_form_c() -> None:
    """Decomposed Vietnamese becomes composed."""
    assert normalise("Nguye\u0302\u0303n") == "Nguyễn"
    assert normalise("plain") == "plain"


@given(st.text())
def test_normalised_text_is_in_form_c(text: str) -> None:
    """For any text."""
    assert unicodedata.is_normalized("NFC", normalise(text))


def test_ids_of_one_file_grow_together() -> None:
    """The same beginning, and in order of offsets up to large ones."""
    ids = [event_id("nginx", "g1", offset) for offset in (0, 1, 15, 16, 4096, 10**9, 2**47)]
    assert ids == sorted(ids)
    assert {i[:16] for i in ids} == {source_key("nginx", "g1")}
    assert all(re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{12}", i) for i in ids)


def test_ids_tell_sources_generations_and_records_apart() -> None:
    """No boundary between source and generation can be shifted."""
    ids = {
        event_id("a", "bc", 1),
        event_id("ab", "c", 1),
        event_id("a", "b", 1),
        record_id("a", "1"),
        record_id("a1", ""),
    }
    assert len(ids) == 5
    assert event_id("a", "b", 1) == event_id("a", "b", 1)
    assert re.fullmatch(r"r[0-9a-f]{30}", record_id("journal", "s=1;i=2"))
