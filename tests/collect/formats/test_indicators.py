"""Indicators: what a value is, what the cells beside it mean, what other programs export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from soc.collect.formats.indicators import classify, misp, parse_line, stix
from soc.collect.formats.registry import Broken


@pytest.mark.parametrize(
    ("value", "kind", "field", "expected"),
    [
        ("192.0.2.7", "ipv4-addr", "ip", "192.0.2.7"),
        ("192.0.2.7:8080", "ipv4-addr", "port", "8080"),
        ("198.51.100.0/24", "ipv4-addr", "cidr", "198.51.100.0/24"),
        ("2001:DB8::1", "ipv6-addr", "ip", "2001:db8::1"),
        ("[2001:db8::1]:443", "ipv6-addr", "port", "443"),
        ("C2[.]example[.]net", "domain-name", "domain", "c2.example.net"),
        ("xn--c1yn36f.example.", "domain-name", "domain", "xn--c1yn36f.example"),
        ("hxxps://c2.example.net/a?b=1", "url", "url", "https://c2.example.net/a?b=1"),
        ("hxxp://203.0.113[.]7/x", "url", "host", "203.0.113.7"),
        ("d41d8cd98f00b204e9800998ecf8427e", "file", "md5", "d41d8cd98f00b204e9800998ecf8427e"),
        (
            "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709",
            "file",
            "sha1",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        ),
        ("an@example.org", "email-addr", "email", "an@example.org"),
    ],
)
def test_a_value_says_what_it_is(value: str, kind: str, field: str, expected: str) -> None:
    """Addresses, networks, names, URLs, hashes and mail addresses, also when made harmless."""
    found = classify(value)
    assert found is not None
    assert (found["type"], found[field]) == (kind, expected)


@pytest.mark.parametrize(
    "value",
    ["", "x", "hello world", "1.2.3", "999.1.1.1", "a:b:c", "..", "-", "/", "http://", "a" * 5000, "\0"],
)
def test_what_cannot_be_looked_for_is_nothing(value: str) -> None:
    """Words and broken addresses are no indicators."""
    assert classify(value) is None


def test_cells_may_stand_in_any_order() -> None:
    """Dates, confidence, marking and reference are told by what they hold."""
    one = parse_line("192.0.2.7,botnet,80,tlp:red,2026-01-01,2026-02-01,https://example.org/r")
    two = parse_line("2026-01-01;TLP:RED;192.0.2.7;80;https://example.org/r;2026-02-01;botnet")
    assert one == two
    assert one is not None
    assert (one["confidence"], one["tlp"], one["first"], one["valid_until"]) == (
        80,
        "RED",
        "2026-01-01",
        "2026-02-01",
    )


@pytest.mark.parametrize("line", ["# x", "; x", "// x", "ip,port,first_seen", '"first_seen_utc","dst_ip"'])
def test_comments_and_headers_are_no_records(line: str) -> None:
    """They give nothing, and are no errors."""
    assert parse_line(line) is None


def test_a_line_without_a_value_is_an_error() -> None:
    """It is reported, not passed over."""
    with pytest.raises(ValueError, match="no address"):
        parse_line("some words, more words")


@pytest.mark.parametrize(
    "raw",
    [
        *("", "{", "[]", "{}", "null", '{"Event": 1}', '{"objects": 1}'),
        '{"Event": {"Attribute": [1, {"type": "ip-src"}]}}',
        '{"type":"bundle","objects":[1,{"type":"indicator"}]}',
    ],
)
def test_strange_documents_are_broken_not_crashes(raw: str, tmp_path: Path) -> None:
    """Whatever a file holds, a reader gives indicators or `Broken`."""
    file = tmp_path / "x.json"
    file.write_text(raw)
    for reader in (misp, stix):
        assert all(isinstance(item, Broken) for item in reader(file, {}))


def test_answers_of_a_search_are_read(tmp_path: Path) -> None:
    """`{"response": [{"Event": …}]}` and objects within an event."""
    attribute = {"type": "domain|ip", "value": "c2.example.net|203.0.113.7", "to_ids": True}
    event: dict[str, Any] = {
        "info": "i",
        "Attribute": [],
        "Object": [{"Attribute": [attribute, {**attribute, "deleted": True}]}],
    }
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"response": [{"Event": event}]}))
    found, deleted = misp(file, {})
    assert not isinstance(found, Broken)
    assert found[1]["domain"] == "c2.example.net"
    assert not isinstance(deleted, Broken)
    assert (deleted[1]["revoked_type"], deleted[1]["revoked_value"]) == ("domain-name", "c2.example.net")
    assert not {"type", "value", "domain"}.intersection(deleted[1])


def _bundle(**parts: Any) -> str:
    base = {
        "type": "indicator",
        "id": "indicator--1",
        "pattern_type": "stix",
        "pattern": "[ipv4-addr:value = '203.0.113.7']",
    }
    return json.dumps({"type": "bundle", "objects": [{**base, **parts}]})


@pytest.mark.parametrize(
    ("pattern", "values"),
    [
        ("[ipv4-addr:value = '203.0.113.7']", ["203.0.113.7"]),
        ("[ipv4-addr:value ISSUBSET '198.51.100.0/24']", ["198.51.100.0/24"]),
        ("[file:hashes.'SHA-256' = '" + "a" * 64 + "' AND file:name = 'x.exe']", ["a" * 64]),
        (
            "[domain-name:value = 'a.example'] OR [url:value = 'http://a.example/\\'x']",
            ["a.example", "http://a.example/'x"],
        ),
        ("[network-traffic:dst_ref.value = '203.0.113.7']", ["203.0.113.7"]),
    ],
)
def test_values_of_patterns_are_read(pattern: str, values: list[str], tmp_path: Path) -> None:
    """Each compared value is an indicator."""
    file = tmp_path / "b.json"
    file.write_text(_bundle(pattern=pattern))
    found = list(stix(file, {}))
    assert [item[1]["value"] for item in found if not isinstance(item, Broken)] == values


def test_a_revoked_indicator_is_none(tmp_path: Path) -> None:
    """What its author took back is not looked for: it says so, and has no value where rules look for one."""
    file = tmp_path / "b.json"
    file.write_text(_bundle(revoked=True))
    (found,) = stix(file, {})
    assert not isinstance(found, Broken)
    assert (found[1]["revoked"], found[1]["revoked_value"]) == (True, "203.0.113.7")
    assert not {"type", "value", "ip"}.intersection(found[1])
    for unread in ({"pattern_type": "yara", "pattern": "rule x {}"}, {"pattern": "[process:pid = 1]"}):
        file.write_text(_bundle(revoked=True, **unread))
        assert list(stix(file, {})) == []


def test_a_pattern_of_another_language_is_reported(tmp_path: Path) -> None:
    """A YARA pattern cannot be looked for, which is said."""
    file = tmp_path / "b.json"
    file.write_text(_bundle(pattern_type="yara", pattern="rule x {}"))
    (found,) = stix(file, {})
    assert isinstance(found, Broken)
