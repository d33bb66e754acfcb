"""What a person may have meant."""

from __future__ import annotations

import pytest

from soc import ecs
from soc.hints import OTHER_NAMES, doubts, like
from soc.query import parse


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("source.ipp", "source.ip"),
        ("src_ip", "source.ip"),
        ("EventID", "event.code"),
        ("Source.IP", "source.ip"),
        ("user.nmae", "user.name"),
    ],
)
def test_the_field_that_is_meant(name: str, meant: str) -> None:
    """By what other tools call it, else the nearest."""
    assert like(name, ecs.fields()) == f"; did you mean {meant}?"


def test_far_from_all() -> None:
    """Nothing is better than a wild guess."""
    assert like("qqqqzzzz", ecs.fields()) == ""


def test_other_names_lead_to_known_fields() -> None:
    """A hint to a field that is not there would help nobody."""
    assert {name for name in OTHER_NAMES.values() if name not in ecs.fields()} == set()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("source.ipp:1", ["no field source.ipp"]),
        (r"process.executable:C:\Users\*", ["real asterisk"]),
        (r"process.executable:C:\Users\\*", []),
        (r'"C:\*"', []),
        ("source.ip:192.0.2.1 soc.extra.x:1 labels.y:2 _id:3 word", []),
    ],
)
def test_doubts(query: str, said: list[str]) -> None:
    """About unknown fields and asterisks that stand for themselves; none about what is right."""
    found = list(doubts(query, parse(query)))
    assert len(found) == len(said)
    assert all(part in whole for part, whole in zip(said, found, strict=True))
