"""`soc store` as a person and a script use it, over both kinds of store."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pexpect
import pytest

from soc.config import StoreSettings
from soc.respond import audit
from soc.store import open_store
from soc.store.contract import Incoming, Store
from tests.elastic_node import Node, free_port
from tests.harness import Result, soc

Run = Callable[..., Result]


@pytest.fixture(params=["embedded", pytest.param("elastic", marks=pytest.mark.elastic)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    """Settings of an empty store of each kind."""
    if request.param == "embedded":
        return StoreSettings(str(tmp_path / "store"))
    found: StoreSettings = request.getfixturevalue("elastic_settings")
    return found


@pytest.fixture
def run(settings: StoreSettings) -> Run:
    """Run `soc store` on that store."""
    where = ["--store", settings.target, *(["--space", settings.space] if settings.space else [])]
    return lambda *args, **options: soc("store", *args, *where, **options)


def filled(settings: StoreSettings) -> Store:
    """The store with an event of January and one of today."""
    store = open_store(settings)
    store.init()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    store.append(
        [
            Incoming("old", {"@timestamp": "2020-01-15T00:00:00.000000Z", "soc.layer": 1}),
            Incoming("new", {"@timestamp": now, "soc.layer": 1}),
        ]
    )
    return store


def test_init_says_what_it_makes(run: Run) -> None:
    """First what is missing, then what was created, then that it exists."""
    rows = run("init", "--dry-run", "--output", "json").ok().json
    assert rows
    assert {row["state"] for row in rows} <= {"missing", "exists"}
    assert any(row["content"] for row in rows)
    assert {row["state"] for row in run("init", "--output", "json").ok().json} <= {"created", "exists"}
    assert {row["state"] for row in run("init", "--output", "json").ok().json} == {"exists"}
    assert "exists" in run("init").ok().out


def test_status_is_for_people_and_programs(run: Run, settings: StoreSettings) -> None:
    """A table below each other; JSON has everything."""
    filled(settings).close()
    shown = run("status").ok()
    assert settings.target in shown.out
    status = run("status", "--output", "json").ok().json
    assert status["events"] == 2
    assert status["oldest"] == "2020-01-15T00:00:00.000000Z"


def test_prune_asks_removes_and_leaves_an_entry(run: Run, settings: StoreSettings) -> None:
    """Without a terminal it needs --yes; the audit log says what was removed."""
    with filled(settings) as store:
        assert (
            run("prune", "--older-than", "90d", "--dry-run", "--output", "json").ok().json[0]["events"] == 1
        )
        refused = run("prune", "--older-than", "90d").failed(2)
        assert "--yes" in refused.err
        assert len(list(store.search())) == 2
        assert audit.anchor(store).number == 0
        run("prune", "--older-than", "90d", "--yes").ok()
        assert [e.id for e in store.search()] == ["new"]
        (entry,) = audit.entries(store)
        assert (entry.action, entry.detail["events"]) == ("store.prune", 1)
        assert audit.verify(store).ok
        assert "no events are that old" in run("prune", "--older-than", "90d", "--yes").ok().err


def test_prune_alone_applies_the_retention_of_the_configuration(tmp_path: Path) -> None:
    """What the comment in soc.yml promises: days by class; a class without days is named and kept."""
    settings = StoreSettings(str(tmp_path / "store"))
    filled(settings).close()
    (tmp_path / "soc.yml").write_text(
        "store: store\nretention: {standard: 36500}\n"
        "sources: [{collector: nginx, paths: [x.log], retention: evidence}]\n"
    )
    kept = soc("store", "prune", "--yes", cwd=tmp_path).ok().err
    assert "no events are that old" in kept
    assert "class evidence of a source has no days" in kept
    (tmp_path / "soc.yml").write_text("store: store\nretention: {standard: 30}\n")
    assert "1 events of class standard" in soc("store", "prune", cwd=tmp_path).failed(2).err
    (row,) = soc("store", "prune", "--yes", "--output", "json", cwd=tmp_path).ok().json
    assert (row["class"], row["events"]) == ("standard", 1)
    with open_store(settings) as store:
        assert [e.id for e in store.search()] == ["new"]


def test_a_person_may_say_no(settings: StoreSettings) -> None:
    """The default of the prompt is No, and nothing is changed."""
    with filled(settings) as store:
        args = ["-m", "soc", "store", "prune", "--older-than", "2021-01-01", "--store", settings.target]
        args += ["--space", settings.space] if settings.space else []
        child = pexpect.spawn(sys.executable, args, timeout=60, encoding="utf-8")
        child.expect("Remove 1 events? .*\\[y/N\\]")
        child.sendline("")
        child.expect("nothing was changed")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 2
        assert len(list(store.search())) == 2


def test_status_of_a_store_that_is_not_there(tmp_path: Path) -> None:
    """An embedded store is not made by looking at it; a cluster that is away is said in seconds."""
    missing = soc("store", "status", "--store", tmp_path / "nowhere").failed(1)
    assert "soc store init" in missing.err
    assert not (tmp_path / "nowhere").exists()
    away = soc("store", "status", "--store", f"http://127.0.0.1:{free_port()}").failed(1)
    assert "refused the connection" in away.err
    assert "soc doctor" in away.err


def test_bad_times_and_addresses_are_usage_errors(tmp_path: Path) -> None:
    """Exit code 2, a sentence, and what to write instead."""
    assert "not a time" in soc("store", "prune", "--older-than", "often", "--store", tmp_path).failed(2).err
    assert "without TLS" in soc("store", "status", "--store", "http://search.example:9200").failed(2).err
    assert (
        "space" in soc("store", "status", "--store", "http://127.0.0.1:9200", "--space", "A B").failed(2).err
    )


@pytest.mark.elastic
def test_a_wrong_password_is_exit_4(secure_node: Node) -> None:
    """And it is not shown."""
    env = {"SOC_STORE_USER": "lan", "SOC_STORE_PASSWORD": "wrong-one", "SOC_STORE_CA": secure_node.ca}
    refused = soc("store", "status", "--store", secure_node.url, env=env).failed(4)
    assert "refused the name or password" in refused.err
    assert "wrong-one" not in refused.err + refused.out


@pytest.mark.elastic
def test_a_secret_file_must_be_private(secure_node: Node, tmp_path: Path) -> None:
    """The hint is the command; with the right mode the same file signs in."""
    from tests.plugins.elastic import ADMIN, PASSWORD

    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o644)
    (tmp_path / "soc.yml").write_text(
        f"store:\n  target: {secure_node.url}\n  user: {ADMIN}\n"
        f"  password_file: password\n  ca: {secure_node.ca}\n  space: filemode\n"
    )
    refused = soc("store", "status", cwd=tmp_path).failed(2)
    assert f"chmod 600 {secret}" in refused.err
    secret.chmod(0o600)
    assert soc("store", "status", "--output", "json", cwd=tmp_path).ok().json["detail"]["user"] == ADMIN


def test_a_space_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The store may well be there: what is missing is the space."""
    soc("store", "init", "--store", tmp_path / "store").ok()
    missing = soc("alert", "list", "--store", tmp_path / "store", "--space", "drill").failed(1)
    assert "there is no space drill here yet" in missing.err
    assert "next: soc store init --space drill" in missing.err
