"""Names, mappings, templates and roles."""

from __future__ import annotations

import pytest

from soc import ecs
from soc.errors import UsageError
from soc.store.elastic_schema import (
    EXACT,
    OTHER,
    WIDEN,
    Names,
    event_fields,
    event_mappings,
    period_end,
    roles,
    stamp_pipeline,
    templates,
)


def test_the_index_of_an_event_follows_from_its_fields() -> None:
    """Layer, retention class and month; years that no log has share an index."""
    names = Names()
    assert names.event_index("2026-03-02T07:14:09.120000Z", 1, "standard") == "soc-events-1-standard-2026.03"
    assert names.event_index("2026-12-31T23:59:59.999999Z", 4, "long_3y") == "soc-events-4-long_3y-2026.12"
    assert names.event_index("1601-01-01T00:00:00.000000Z", 1, "standard") == "soc-events-1-standard-early"
    assert names.event_index("9999-01-01T00:00:00.000000Z", 1, "standard") == "soc-events-1-standard-late"
    assert Names("drill-7").event_index("2026-03", 2, "standard") == "soc-drill-7-events-2-standard-2026.03"


def test_absurd_times_cannot_make_many_indices() -> None:
    """All months of all years that a time can name are 100 years of indices and two more."""
    names = Names()
    made = {
        names.event_index(f"{y:04d}-{m:02d}", 1, "standard") for y in range(1, 10_000) for m in range(1, 13)
    }
    assert len(made) == 1_202


@pytest.mark.parametrize("retention", ["", "A", "a b", "a-b", "../x", "*", "ü", "x" * 41])
def test_a_retention_class_is_a_plain_word(retention: str) -> None:
    """It becomes a part of an index name."""
    with pytest.raises(ValueError, match="not a class"):
        Names().event_index("2026-03", 1, retention)


@pytest.mark.parametrize(
    "space", ["Drill", "a_b", "-a", "a-", "a--b", "events", "x-events", "audit", "a*", "x" * 61]
)
def test_a_space_cannot_reach_into_another(space: str) -> None:
    """Its patterns must not match the indices of another space, nor the reverse."""
    with pytest.raises(UsageError, match="space"):
        Names(space)


def test_patterns_of_spaces_do_not_meet() -> None:
    """Also where one name is the beginning of another."""
    from fnmatch import fnmatch

    all_names = [Names(s) for s in ("", "a", "a-b", "a-b-c", "b", "drill-2026")]
    for one in all_names:
        own = [one.event_index("2026-03", 1, "standard"), one.documents, one.audit]
        for other in all_names:
            hits = [i for i in own for p in (other.events, other.documents, other.audit) if fnmatch(i, p)]
            assert bool(hits) is (one is other)


@pytest.mark.parametrize(
    ("index", "end"),
    [
        ("soc-events-1-standard-2026.03", "2026-04-01T00:00:00.000000Z"),
        ("soc-x-events-1-standard-2026.12", "2027-01-01T00:00:00.000000Z"),
        ("soc-events-1-standard-early", "2000-01-01T00:00:00.000000Z"),
        ("soc-events-1-standard-late", None),
        ("soc-events-foreign", None),
    ],
)
def test_a_period_ends(index: str, end: str | None) -> None:
    """An index whose end is not known is never pruned."""
    assert period_end(index) == end


def test_the_mapping_is_bounded_and_keeps_the_types_of_ecs() -> None:
    """Far below the server's limit of 1,000 fields, sub-fields counted; types are those of ECS."""
    fields = event_fields()
    properties = event_mappings()["properties"]
    assert sum(1 + len(p.get("fields", {})) for p in properties.values()) < 600
    for name, kind in fields.items():
        assert ecs.type_of(name) == ("keyword" if kind == "lowered" else kind) or kind in {
            "lowered",
            "keyword",
        }
    assert properties["source.ip"] == {"type": "ip"}
    assert properties["@timestamp"] == {"type": "date"}
    assert properties[OTHER]["type"] == "flattened"
    assert {EXACT, WIDEN, OTHER}.isdisjoint(fields)


def test_nothing_outside_of_soc_is_named() -> None:
    """Templates match, and roles reach, only what begins with soc-."""
    for names in (Names(), Names("drill")):
        for name, content in templates(names, stamped=True).items():
            assert name.startswith(names.prefix)
            assert all(pattern.startswith(names.prefix) for pattern in content["index_patterns"])
        for name, role in roles(names).items():
            assert name.startswith("soc_")
            assert all(n.startswith(names.prefix) for part in role["indices"] for n in part["names"])


def test_nobody_may_rewrite_the_audit_log() -> None:
    """No role but the engineer's has more than create on it."""
    for name, role in roles(Names()).items():
        for part in role["indices"]:
            if "soc-audit" in part["names"] and "engineer" not in name:
                assert not {"write", "index", "delete", "all", "manage"}.intersection(part["privileges"])


def test_the_stamp_is_the_last_pipeline_where_the_server_knows_users() -> None:
    """`final_pipeline` cannot be left out by a request; without security there is nobody to stamp."""
    for stamped in (True, False):
        made = templates(Names(), stamped=stamped)
        for what in ("soc-documents", "soc-audit"):
            assert ("index.final_pipeline" in made[what]["template"]["settings"]) is stamped
        assert "index.final_pipeline" not in made["soc-events"]["template"]["settings"]
    assert stamp_pipeline()["processors"][0]["set_security_user"]["properties"] == ["username"]
