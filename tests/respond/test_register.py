"""The register is read strictly, and found by host and by address; what is not listed is unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.errors import ContentError
from soc.respond.register import Criticality, Register, load_register

GOOD = """systems:
  - {name: portal, title: Cổng dịch vụ công, level: 4, owner: Web team}
  - {name: lab}
assets:
  - {host: Web01.example.org, addresses: [192.0.2.10, "2001:db8::10"], system: portal, criticality: high}
  - {hosts: [db01, db01-replica.example.org], address: 192.0.2.0/24, system: portal}
  - {addresses: [198.51.100.0/24], system: lab}
"""


def register(tmp_path: Path, text: str, name: str = "register.yml") -> Register:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return load_register(path)


def problems(tmp_path: Path, text: str, name: str = "register.yml") -> list[str]:
    with pytest.raises(ContentError) as caught:
        register(tmp_path, text, name)
    return [f"{p.place.line}: {p.kind}: {p.message}" for p in caught.value.problems]


@pytest.mark.parametrize(
    "host", ["web01.example.org", "WEB01", "web01.EXAMPLE.org.", "192.0.2.10", "2001:db8::10"]
)
def test_found_in_every_way(tmp_path: Path, host: str) -> None:
    """By name with and without domain, in any case, and by address in a host's place."""
    asset = register(tmp_path, GOOD).asset_for(host=host)
    assert asset is not None
    assert (asset.name, asset.system.level, asset.criticality) == ("web01.example.org", 4, Criticality.HIGH)


def test_a_name_listed_without_domain_is_found_with_it(tmp_path: Path) -> None:
    """`db01` in the register is db01.example.org in a log."""
    asset = register(tmp_path, GOOD).asset_for(host="db01.example.org")
    assert asset is not None
    assert asset.name == "db01"


@pytest.mark.parametrize(
    ("ip", "name"),
    [("192.0.2.10", "web01.example.org"), ("192.0.2.11", "db01"), ("::ffff:192.0.2.10", "web01.example.org"),
     ("198.51.100.7", "198.51.100.0/24"), ("2001:db8::10%eth0", "web01.example.org")],
)  # fmt: skip
def test_the_longest_prefix_wins(tmp_path: Path, ip: str, name: str) -> None:
    """Of several networks that hold an address, the smallest counts."""
    asset = register(tmp_path, GOOD).asset_for(ip=ip)
    assert asset is not None
    assert asset.name == name


@pytest.mark.parametrize("host", ["web02", "web01.example", "", "203.0.113.1", "x" * 5000, "\x00", "..", "%"])
def test_not_listed_is_unknown(tmp_path: Path, host: str) -> None:
    """Nothing is assumed of a host that is not listed: its level is None, never 0."""
    known = register(tmp_path, GOOD)
    if host != "web01.example":
        assert known.asset_for(host=host, ip=host) is None
        assert known.level_of(host=host) is None


def test_a_system_without_level_is_unknown(tmp_path: Path) -> None:
    """A level that is not determined is None."""
    assert register(tmp_path, GOOD).systems["lab"].level is None


def test_a_short_name_of_two_machines_finds_neither(tmp_path: Path) -> None:
    """web01 in two domains: without the domain nobody can tell."""
    text = (
        "systems: [{name: a}]\nassets:\n- {host: web01.a.org, system: a}\n- {host: web01.b.org, system: a}\n"
    )
    known = register(tmp_path, text)
    assert known.asset_for(host="web01") is None
    assert known.asset_for(host="web01.b.org") is not None


def test_no_register_knows_nothing() -> None:
    """Without a register everything is unknown."""
    assert load_register(None).asset_for(host="web01") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("systems:\n  - {name: a, level: 0}\n", "2: level"),
        ("systems:\n  - {name: a, level: 6}\n", "2: level"),
        ("systems:\n  - {name: a, level: high}\n", "2: level"),
        ("systems:\n  - {name: a, levle: 3}\n", "2: unknown_key"),
        ("systems:\n  - {name: a}\n  - {name: a}\n", "3: twice"),
        ("systems: {a: 1}\n", "1: shape"),
        ("- a\n", "1: shape"),
        ("assets:\n  - {host: h, system: nope}\n", "2: unknown_system"),
        ("systems: [{name: a}]\nassets:\n  - {host: 'a b', system: a}\n", "3: host"),
        ("systems: [{name: a}]\nassets:\n  - {host: 192.0.2.1, system: a}\n", "3: host"),
        ("systems: [{name: a}]\nassets:\n  - {address: 192.0.2.1/24, system: a}\n", "3: address"),
        ("systems: [{name: a}]\nassets:\n  - {system: a}\n", "3: nameless"),
        ("systems: [{name: a}]\nassets:\n  - {host: h, system: a, criticality: huge}\n", "3: criticality"),
        ("systems: [{name: a}]\nassets:\n  - {host: h, system: a}\n  - {host: H, system: a}\n", "4: twice"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    """Each mistake is a problem of its own at its line."""
    assert any(found.startswith(expected) for found in problems(tmp_path, text))


def test_all_problems_at_once(tmp_path: Path) -> None:
    """A reader sees every mistake, not only the first."""
    text = (
        "systems:\n  - {name: a, level: 9}\nassets:\n  - {host: 'x y', system: a}\n  - {host: z, system: b}\n"
    )
    assert len(problems(tmp_path, text)) == 3


CSV = """host,addresses,system,level,owner,criticality
web01.example.org,192.0.2.10; 192.0.2.11,portal,4,Web team,high
db01,,portal,,,
"""


class TestCsv:
    def test_one_asset_a_row(self, tmp_path: Path) -> None:
        """A spreadsheet does as well as YAML."""
        known = register(tmp_path, CSV, "register.csv")
        asset = known.asset_for(ip="192.0.2.11")
        assert asset is not None
        assert (asset.name, asset.system.level, asset.system.owner) == ("web01.example.org", 4, "Web team")
        assert known.level_of(host="db01") == 4

    def test_byte_order_mark(self, tmp_path: Path) -> None:
        """As spreadsheets write it."""
        assert register(tmp_path, "\ufeff" + CSV, "register.csv").level_of(host="web01") == 4

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "1: columns"),
            ("host,level\n", "1: columns"),
            ("host,system,colour\nx,a,red\n", "1: columns"),
            ("host,system\nx\n", "2: columns"),
            ("host,system,level\nx,a,7\n", "2: level"),
            ("host,system,level\nx,a,3\ny,a,4\n", "3: disagree"),
            ("host,system\nx,\n", "2: unknown_system"),
            ('host,system\n"x,a\n', "2: csv"),
        ],
    )
    def test_problems(self, tmp_path: Path, text: str, expected: str) -> None:
        """Each mistake has its line."""
        assert any(found.startswith(expected) for found in problems(tmp_path, text, "register.csv"))


def test_a_missing_file(tmp_path: Path) -> None:
    """A register that is named and not there is an error with its path."""
    with pytest.raises(ContentError, match="no such register"):
        load_register(tmp_path / "none.yml")
