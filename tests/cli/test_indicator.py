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


def test_an_alert_says_which_indicator(world: Path) -> None:
    """From a list and a firewall's log to the page of the alert: what was found, and who says so."""
    line = (
        "Mar  2 04:10:02 fw01 kernel: [1.1] [UFW ALLOW] IN=lan0 OUT=wan0 SRC=10.20.31.77 DST=203.0.113.66 "
        "LEN=60 TTL=127 ID=1 DF PROTO=TCP SPT=50112 DPT=8443 WINDOW=64240 RES=0x00 SYN URGP=0\n"
    )
    (world / "fw.log").write_text(line)
    with (world / "soc.yml").open("a") as file:
        file.write("  - {name: fw, collector: iptables, path: fw.log}\n")
    settings = (world / "soc.yml").read_text().replace("sources: [{", "sources:\n  - {").replace("}]", "}")
    (world / "soc.yml").write_text(settings)
    soc("collect", "run", "--once", cwd=world).ok()
    soc("sweep", "--once", "--from", "beginning", cwd=world).ok()
    listed = soc("alert", "list", "--output", "json", cwd=world).ok().json
    (alert,) = [a for a in listed if a["title"] == "Address of an indicator called"]
    page = " ".join(soc("alert", "show", alert["id"], cwd=world).ok().out.split())
    assert "found destination.ip: 203.0.113.66 is an indicator of national, botnet control server" in page
    assert "TLP:AMBER, confidence 85, first seen 2026-03-01" in page
