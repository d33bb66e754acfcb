"""`soc status` says what works and what does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from soc import config, health
from soc.store import open_store
from tests.harness import soc

LINE = '192.0.2.7 - - [02/Mar/2026:08:00:01 +0700] "GET /.git/config HTTP/1.1" 200 512 "-" "sqlmap/1.8"\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with one source that was collected and swept."""
    (tmp_path / "access.log").write_text(LINE)
    (tmp_path / "soc.yml").write_text(
        "store: store\nstate: state\nsources: [{name: web, collector: nginx, paths: [access.log]}]\n"
    )
    soc("collect", "run", "--once", cwd=tmp_path).ok()
    soc("sweep", "--once", "--from", "beginning", cwd=tmp_path).ok()
    return tmp_path


def rows(place: Path, *args: str) -> dict[str, dict[str, str]]:
    """The lines of `soc status` by name."""
    return {row["check"]: row for row in soc("status", "--output", "json", *args, cwd=place).ok().json}


def test_all_is_well(place: Path) -> None:
    """After collecting and sweeping, nothing waits."""
    found = rows(place, "--exit-status")
    assert found["source web"]["state"] == "ok"
    assert found["sweep"]["state"] == "ok"
    assert "1 high" in found["open alerts"]["found"] or "low" in found["open alerts"]["found"]


def test_what_waits_is_said_with_the_command(place: Path) -> None:
    """Bytes that were not collected yet, and a source that was never read."""
    with (place / "access.log").open("a") as file:
        file.write(LINE)
    (place / "soc.yml").write_text(
        (place / "soc.yml").read_text().replace("]}]", "]}, {name: new, collector: sshd, paths: [x]}]")
    )
    found = rows(place)
    assert found["source web"]["state"] == "warning"
    assert found["source web"]["next"] == "soc collect run --once"
    assert "no file matches" in found["source new"]["found"]
    assert "correct `paths`" in found["source new"]["next"]
    (place / "x").write_text("")
    assert rows(place)["source new"]["found"] == "never read"


def test_events_that_no_sweep_looks_at_are_a_failure(place: Path) -> None:
    """When the sweep stopped a while ago and events wait, it does not work."""
    with (place / "access.log").open("a") as file:
        file.write(LINE)
    soc("collect", "run", "--once", cwd=place).ok()
    settings = config.load(place / "soc.yml", environ={})
    with open_store(settings.store) as store:
        now = list(health.check_sweep(store, datetime.now(UTC)))
        later = list(health.check_sweep(store, datetime.now(UTC) + timedelta(hours=1)))
    assert [str(check.state) for check in now][:1] == ["ok"]
    assert [str(check.state) for check in later][:1] == ["failed"]


def test_without_a_store_it_fails_and_creates_none(tmp_path: Path) -> None:
    """Asking for the state must not make a store; `--exit-status` is for scripts."""
    found = soc("status", "--exit-status", "--store", tmp_path / "none", cwd=tmp_path).failed(1)
    assert "soc store init" in found.out
    assert not (tmp_path / "none").exists()
    soc("status", "--store", tmp_path / "none", cwd=tmp_path).ok()


def test_a_broken_rule_is_a_failure(place: Path) -> None:
    """Every sweep stops at it, so detection does not work."""
    (place / "mine").mkdir()
    (place / "mine" / "bad.yml").write_text("title: broken\n")
    with (place / "soc.yml").open("a") as file:
        file.write("content: {rules: [mine]}\n")
    soc("sweep", "--once", cwd=place).failed(1)
    found = rows(place)["rules"]
    assert (found["state"], found["next"]) == ("failed", "soc rule lint")
    assert "bad.yml" in found["found"]


def test_a_sweeper_that_goes_on_with_earlier_rules_is_a_warning(tmp_path: Path) -> None:
    """A set was published, and a sweep after that still used another one; or there is none to use."""
    settings = replace(config.load(None, store=str(tmp_path / "store"), environ={}), published=True)
    with open_store(settings.store) as store:
        assert [str(c.state) for c in health.check_published(settings, store)] == ["failed"]
        assert not list(health.check_published(replace(settings, published=False), store))
        facts = {
            "set": "0" * 64,
            "commit": "b" * 40,
            "dirty": False,
            "rules": 1,
            "by": "huong",
            "back": False,
        }
        body = {"number": 2, "at": "2026-03-02T08:00:00Z", **facts, "history": []}
        store.put("published", "rules", body, expect=0)
        old = {"commit": "a" * 40, "swept_at": "2026-03-02T07:59:00Z"}
        document = store.put("sweeper", "one", old, expect=0)
        assert [str(c.state) for c in health.check_published(settings, store)] == ["ok"]
        store.put("sweeper", "one", {**old, "swept_at": "2026-03-02T08:01:00Z"}, expect=document.version)
        (check,) = health.check_published(settings, store)
        assert (str(check.state), "1 of 1 sweepers" in check.found) == ("warning", True)
        store.put("published", "rules", {"odd": 1}, expect=1)
        assert [str(c.state) for c in health.check_published(settings, store)] == ["failed"]
