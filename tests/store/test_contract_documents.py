"""The contract of stores: documents and the audit log."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from soc.detect.predicate import Not, Op, Predicate, Test
from soc.event import timestamp
from soc.store.contract import (
    Document,
    Store,
    VersionConflictError,
    Write,
)
from tests.store.helpers import same

# documents


def test_a_document_is_created_changed_and_deleted_by_version(store: Store) -> None:
    """Each write needs the version seen and gives the next one."""
    assert store.read("alert", "A-1") is None
    first = store.put("alert", "A-1", {"status": "open", "n": 1}, expect=0)
    assert first.version > 0
    assert (first.kind, first.id, first.body) == ("alert", "A-1", {"status": "open", "n": 1})
    assert store.read("alert", "A-1") == first
    second = store.put("alert", "A-1", {"status": "closed"}, expect=first.version)
    assert second.version > first.version
    assert store.read("alert", "A-1") == second
    (gone,) = store.write([Write("alert", "A-1", None, second.version)])
    assert isinstance(gone, Document)
    assert (gone.version, gone.body) == (0, {})
    assert store.read("alert", "A-1") is None
    assert list(store.find("alert")) == []
    again = store.put("alert", "A-1", {"status": "new"}, expect=0)
    with pytest.raises(VersionConflictError):  # the version of the one deleted is not the new one's
        store.put("alert", "A-1", {"status": "stale"}, expect=first.version)
    assert store.read("alert", "A-1") == again


def test_a_stale_write_is_refused_and_shows_what_is_there(store: Store) -> None:
    """The loser learns who changed what, and nothing is overwritten."""
    with pytest.raises(VersionConflictError) as missing:
        store.put("alert", "A-1", {"n": 1}, expect=5)
    assert missing.value.current is None
    first = store.put("alert", "A-1", {"n": 1}, expect=0)
    with pytest.raises(VersionConflictError):
        store.put("alert", "A-1", {"n": 0}, expect=0)
    second = store.put("alert", "A-1", {"n": 2}, expect=first.version)
    with pytest.raises(VersionConflictError) as caught:
        store.put("alert", "A-1", {"n": 3}, expect=first.version)
    assert caught.value.current == second
    assert store.whoami() in caught.value.message
    assert caught.value.exit_code == 3
    (refused,) = store.write([Write("alert", "A-1", None, first.version)])
    assert isinstance(refused, VersionConflictError)
    assert store.read("alert", "A-1") == second


def test_a_conflict_stops_no_other_write(store: Store) -> None:
    """Many at once: each on its own, answered in order."""
    store.put("alert", "A-1", {"n": 1}, expect=0)
    results = store.write(
        [
            Write("alert", "A-0", {"n": 0}, 0),
            Write("alert", "A-1", {"n": 9}, 0),
            Write("triage", "A-1", {"n": 2}, 0),
        ]
    )
    assert [isinstance(r, VersionConflictError) for r in results] == [False, True, False]
    assert {d.id: d.body for d in store.find("alert")} == {"A-0": {"n": 0}, "A-1": {"n": 1}}
    assert store.write([]) == []


def test_documents_keep_any_json(store: Store) -> None:
    """Nested bodies, large numbers, text of any script; names with dots beside each other."""
    body = {
        "deep": {"er": [{"x": 1}, {"x": [1, "a", None]}]}, "a": 1, "a.b": 2, "f": 1.0, "empty": {},
        "text": "Nguye\u0302\u0303n \0 🛡️", "list": [], "none": None, "big": 2**70, "long": "x" * 99_999,
    }  # fmt: skip
    written = store.put("case", "C-2026-014", body, expect=0)
    read = store.read("case", "C-2026-014")
    assert read is not None
    assert same(read.body, body)
    assert same(written.body, body)


def test_documents_are_found_by_predicate_over_the_flattened_body_by_id(store: Store) -> None:
    """Nested names are dotted; the order is that of ids; the limit counts matches."""
    writes = [
        Write("alert", f"A-{n:03d}", {"rule": {"level": "high" if n % 3 else "low"}, "n": n}, 0)
        for n in range(50)
    ]
    random.Random(2).shuffle(writes)
    store.write([*writes, Write("other", "A-999", {"rule": {"level": "high"}}, 0)])
    everything = [f"A-{n:03d}" for n in range(50)]
    assert [d.id for d in store.find("alert")] == everything
    low = [d.id for d in store.find("alert", Test("rule.level", Op.EQUALS, "LOW"))]
    assert low == [f"A-{n:03d}" for n in range(0, 50, 3)]
    assert [d.id for d in store.find("alert", Test("rule.level", Op.EQUALS, "low"), limit=3)] == low[:3]
    assert [d.id for d in store.find("alert", Test("n", Op.GTE, 45))] == everything[45:]
    assert [d.id for d in store.find("alert", limit=0)] == []
    assert list(store.find("nothing")) == []


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (Test("a.b", Op.EQUALS, "1"), ["dotted", "nested", "spread"]),
        (Test("a.b.c", Op.EQUALS, "2"), ["deep"]),
        (Test("a", Op.EXISTS), ["plain"]),
        (Test("x", Op.FIELDREF, "a.b"), ["nested"]),
        (Test(None, Op.EQUALS, "2"), ["deep", "spread"]),
        (Not(Test("a.b", Op.EXISTS)), ["deep", "plain"]),
    ],
    ids=str,
)
def test_names_in_documents_are_dotted_however_they_are_nested(
    store: Store, where: Predicate, found: list[str]
) -> None:
    """Dotted, nested, mixed and spread over a list."""
    bodies: dict[str, dict[str, Any]] = {
        "deep": {"a": {"b.c": 2}},
        "dotted": {"a.b": 1},
        "nested": {"a": {"b": 1}, "x": "1"},
        "plain": {"a": "v"},
        "spread": {"a": [{"b": 1}, {"b": 2}]},
    }
    store.write([Write("thing", name, body, 0) for name, body in bodies.items()])
    assert [d.id for d in store.find("thing", where)] == found


def test_documents_are_stamped_by_the_store(store: Store) -> None:
    """Who and when come from the store, not from the body."""
    before = timestamp(datetime.now(UTC) - timedelta(minutes=5))
    document = store.put("alert", "A-1", {"changed_by": "somebody", "user": "forged"}, expect=0)
    assert document.changed_by == store.whoami()
    assert before <= document.changed_at <= timestamp(datetime.now(UTC) + timedelta(minutes=5))
    assert document.body == {"changed_by": "somebody", "user": "forged"}


# the audit log


def test_audit_records_are_created_once_and_read_in_order(store: Store) -> None:
    """A taken number is refused and keeps its record."""
    assert store.audit_last() is None
    assert list(store.audit_read()) == []
    for number in range(1, 31):
        assert store.audit_create(number, {"n": number, "text": "đổi"})
    assert not store.audit_create(7, {"n": "forged"})
    records = list(store.audit_read())
    assert [r.number for r in records] == list(range(1, 31))
    assert [r.body for r in records] == [{"n": n, "text": "đổi"} for n in range(1, 31)]
    assert {r.user for r in records} == {store.whoami()}
    assert [r.number for r in store.audit_read(25)] == [26, 27, 28, 29, 30]
    assert [r.number for r in store.audit_read(5, limit=2)] == [6, 7]
    assert list(store.audit_read(30)) == []
    last = store.audit_last()
    assert last is not None
    assert last.number == 30
