"""Field types, and values in the type of their field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc import ecs
from soc.ecs import MISFIT, conform, converter, fields, is_known, type_of
from soc.event import values_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("@timestamp", "date"),
        ("source.ip", "ip"),
        ("related.ip", "ip"),
        ("source.port", "long"),
        ("user.name", "keyword"),
        ("event.code", "keyword"),
        ("event.original", "keyword"),
        ("dns.answers", "object"),
        ("soc.layer", "long"),
        ("my.own.field", "keyword"),
    ],
)
def test_the_name_decides_the_type(name: str, kind: str) -> None:
    """As ECS says; what it does not know is a keyword."""
    assert type_of(name) == kind


def test_every_type_has_a_converter() -> None:
    """No field of the list is of a type that nobody converts."""
    for name in fields():
        assert callable(converter(name)), name


@pytest.mark.parametrize(
    "name", ["source.ip", "winlog.event_data.X", "labels.a", "dns.answers.data", "soc.extra.x", "soc.path"]
)
def test_known_fields(name: str) -> None:
    """ECS, below its objects, the open prefixes and our own."""
    assert is_known(name)


@pytest.mark.parametrize("name", ["source.ipp", "srcip", "winlogs.x", "labels", "soc.unknown", ""])
def test_unknown_fields(name: str) -> None:
    """Typing errors are found."""
    assert is_known(name) == (name in fields())


@pytest.mark.parametrize(
    ("name", "value", "fitted"),
    [
        ("user.name", "Nguye\u0302\u0303n", "Nguyễn"),
        ("user.id", 0, "0"),
        ("event.code", 4624, "4624"),
        ("user.name", True, "true"),
        ("source.port", "443", 443),
        ("source.port", " 443 ", 443),
        ("source.port", 443.0, 443),
        ("process.pid", "0x1f", 31),
        ("event.severity", -(2**63), -(2**63)),
        ("event.risk_score", "7.5", 7.5),
        ("event.risk_score", 7, 7),
        ("source.ip", "2001:DB8:0::1", "2001:db8::1"),
        ("source.ip", "::ffff:192.0.2.7", "192.0.2.7"),
        ("source.ip", "fe80::1%eth0", "fe80::1"),
        ("source.ip", "[2001:db8::1]", "2001:db8::1"),
        ("@timestamp", "2026-03-02T14:14:09+07:00", "2026-03-02T07:14:09.000000Z"),
        ("@timestamp", "2026-03-02", "2026-03-02T00:00:00.000000Z"),
        ("@timestamp", datetime(2026, 3, 2, tzinfo=UTC), "2026-03-02T00:00:00.000000Z"),
        ("@timestamp", 1772435649000, "2026-03-02T07:14:09.000000Z"),
        ("@timestamp", 1772435649.5, "2026-03-02T07:14:09.500000Z"),
        ("related.ip", ["192.0.2.7", "192.0.2.8"], ["192.0.2.7", "192.0.2.8"]),
        ("related.ip", ["192.0.2.7"], "192.0.2.7"),
        ("my.number", 7, 7),
        ("my.flag", True, True),
    ],
)
def test_a_value_takes_the_type_of_its_field(name: str, value: Any, fitted: Any) -> None:
    """Nothing is left over."""
    found = conform({name: value})
    assert found == {name: fitted}
    assert type(found[name]) is type(fitted)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source.ip", "portal.example.org"),
        ("source.ip", "999.1.1.1"),
        ("source.ip", 3221225991),
        ("source.port", "http"),
        ("source.port", 1.5),
        ("source.port", True),
        ("source.port", 2**63),
        ("source.port", "9" * 5_000),
        ("event.risk_score", "nan"),
        ("event.risk_score", 10**400),
        ("@timestamp", "soon"),
        ("@timestamp", "2026-02-30T00:00:00Z"),
        ("@timestamp", "0001-01-01T00:00:00+14:00"),
        ("@timestamp", "xxxxxxxxxxTxxxxxxxx.xxxxxxZ"),
        ("@timestamp", 1e300),
        ("@timestamp", float("nan")),
        ("@timestamp", [[]]),
    ],
)
def test_a_value_that_does_not_fit_moves_aside(name: str, value: Any) -> None:
    """The rest of the event goes on, and the value is still there as text."""
    found = conform({name: value, "user.name": "lan"})
    shown = value[0] if isinstance(value, list) else value
    assert found == {"user.name": "lan", MISFIT: [f"{name}={shown}"]}


def test_only_the_misfits_of_a_list_move_aside() -> None:
    """What fits stays."""
    found = conform({"related.ip": ["192.0.2.7", "nowhere", None, "192.0.2.8"]})
    assert found == {"related.ip": ["192.0.2.7", "192.0.2.8"], MISFIT: ["related.ip=nowhere"]}


def test_nothing_is_no_value() -> None:
    """None, empty lists and lists of None are dropped; empty text stays."""
    assert conform({"a": None, "b": [], "c": [None], "d": ""}) == {"d": ""}


def test_misfits_gather() -> None:
    """Those that were there before stay."""
    once = conform({"source.port": "x", MISFIT: "old=1"})
    assert sorted(once[MISFIT]) == ["old=1", "source.port=x"]


_names = st.one_of(st.sampled_from(sorted(fields())), st.text(min_size=1, max_size=8))
_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.datetimes(),
    st.just(2**15_000), st.ip_addresses().map(str),
    st.from_regex(r"-?[0-9]{1,20}(\.[0-9]+)?", fullmatch=True),
)  # fmt: skip


@given(st.dictionaries(_names, st.one_of(_scalars, st.lists(_scalars, max_size=3)), max_size=6))
def test_any_event_conforms_and_then_stays(event: dict[str, Any]) -> None:
    """No value raises; conforming again changes nothing; every field has values of its type."""
    once = conform(event)
    assert values_of(conform(once), MISFIT) == values_of(once, MISFIT)
    assert {**conform(once), MISFIT: None} == {**once, MISFIT: None}
    types: dict[str, Any] = {
        "long": int,
        "double": (int, float),
        "boolean": bool,
        "ip": str,
        "date": str,
        "text": str,
        "keyword": str,
    }
    for name, value in once.items():
        expected = types.get(fields().get(name, ""))
        for item in value if isinstance(value, list) else [value]:
            assert item is not None
            if expected:
                assert isinstance(item, expected), (name, item)


def test_the_cache_of_addresses_is_bounded() -> None:
    """Many addresses do not fill the memory."""
    for number in range(70_000):
        conform({"source.ip": f"10.{number >> 16}.{(number >> 8) & 255}.{number & 255}"})
    assert len(ecs._ip_cache) <= 65_537
