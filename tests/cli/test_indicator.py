"""`soc indicator`: what events are matched with, for people and programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import soc

LIST = """\
# botnet addresses
203.0.113.66:8443,botnet control server,85,TLP:AMBER,2026-03-01
198.51.100.0/24,network of a botnet,70
old.example.net,domain,gone,90,2020-01-01,2020-06-01
0.0.0.0/1,everything
"""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with a configuration whose one source was collected."""
    (tmp_path / "botnet.txt").write_text(LIST)
    (tmp_path / "soc.yml").write_text(
        "store: store\nstate: state\nsources: [{name: national, collector: indicators, path: botnet.txt}]\n"
    )
    soc("collect", "run", "--once", cwd=tmp_path).ok()
    return tmp_path


def test_list_counts_by_source_and_type(world: Path) -> None:
    """What matches, what has expired, and what is too broad to be meant."""
    rows = soc("indicator", "list", "--output", "json", cwd=world).ok().json
    assert [(r["type"], r["valid"], r["expired"], r["unused"]) for r in rows] == [
        ("domain-name", 0, 1, 0),
        ("ipv4-addr", 2, 0, 1),
    ]
    assert {r["source"] for r in rows} == {"national"}
    assert soc("indicators", cwd=world).ok().out.count("national") == 2


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("203.0.113[.]66", [("203.0.113.66", "valid")]),
        ("198.51.100.7", [("198.51.100.0/24", "valid")]),
        ("198.51.100.0/28", [("198.51.100.0/24", "valid")]),
        ("hxxp://www.old.example.net/x", [("old.example.net", "expired")]),
        ("example.net", []),
    ],
)
def test_show_says_which(value: str, found: list[tuple[str, str]], world: Path) -> None:
    """A value however it is written, the networks of an address, the names above a name."""
    rows = soc("indicator", "show", value, "--output", "json", cwd=world).ok().json
    assert [(r["indicator"], r["state"]) for r in rows] == found


def test_without_a_store(tmp_path: Path) -> None:
    """No store yet: said, without a trace of the program."""
    done = soc("indicator", "list", "--store", tmp_path / "none")
    assert done.code == 1
    done.failed(1)
