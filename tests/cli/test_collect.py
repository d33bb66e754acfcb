"""`soc collect`, `soc deadletter`, `soc audit`, `soc register` as a person types them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.collect.world import World, append, line, lines
from tests.harness import soc

NGINX = (
    '192.0.2.7 - - [02/Mar/2026:14:14:{:02d} +0700] "GET /a/{} HTTP/1.1" 200 512 "-" "Mozilla/5.0 (X11)"\n'
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_sources_of_the_configuration(world: World) -> None:
    """A run over soc.yml shows a row for each source, and the ledger balances."""
    append(world.log, lines(0, 20) + "\n" + "rubbish\n")
    config = world.write_config()
    (row,) = soc("collect", "run", "--once", "--config", config, "--output", "json").ok().json
    assert (row["read"], row["stored"], row["format"], row["unparsed"], row["lag"]) == (22, 21, 1, 1, 0)
    (life,) = soc("collect", "ledger", "--config", config, "--output", "json").ok().json
    assert life["balanced"]
    assert life["read"] == 22


def test_a_dry_run_touches_nothing(world: World) -> None:
    """It says what would be read, and makes neither store nor state."""
    append(world.log, lines(0, 20))
    (row,) = (
        soc("collect", "run", "--dry-run", "--config", world.write_config(), "--output", "json").ok().json
    )
    assert (row["state"], row["bytes"]) == ("new", world.log.stat().st_size)
    assert not (world.root / "store").exists()
    assert not (world.root / "state").exists()


def test_files_named_by_hand(tmp_path: Path) -> None:
    """Without a configuration: the last line is taken, and a second run reads nothing."""
    log = tmp_path / "nginx-access.log"
    log.write_text("".join(NGINX.format(n, n) for n in range(30)).rstrip())
    args = ("collect", "run", "--once", log, "--store", tmp_path / "store", "--output", "json")
    (row,) = soc(*args, "--collector", "nginx").ok().json
    assert row["stored"] == 30
    (again,) = soc(*args, "--collector", "nginx").ok().json
    assert again["read"] == 0


@pytest.mark.parametrize("zone", ["nope", "Asia", "../../etc/passwd"])
def test_a_zone_that_is_none(zone: str, tmp_path: Path) -> None:
    """It is a mistake of use, and no store is made for it."""
    log = tmp_path / "nginx-access.log"
    log.write_text(NGINX.format(1, 1))
    store = tmp_path / "store"
    done = soc("collect", "run", "--once", log, "--collector", "nginx", "--timezone", zone, "--store", store)
    assert done.code == 2
    assert "unknown time zone" in done.err
    assert not store.exists()


def test_a_file_of_a_source_is_not_read_a_second_time(world: World, tmp_path: Path) -> None:
    """Named by hand it is read as the source's; with settings of its own it is refused with the next step."""
    append(world.log, lines(0, 20))
    config = ("--config", world.write_config(), "--output", "json")
    (row,) = soc("collect", "run", "--once", *config).ok().json
    assert row["stored"] == 20
    append(world.log, lines(20, 25))
    again = soc("collect", "run", "--once", world.log, *config).ok()
    assert [(row["source"], row["stored"]) for row in again.json] == [("app", 5)]
    assert "is read as the source app" in again.err
    refused = soc("collect", "run", "--once", world.log, "--collector", "numbers", *config).failed(2)
    assert "soc collect run --source app" in refused.err
    other = tmp_path / "other.log"
    other.write_text("x\n")
    assert "stored twice" in soc("collect", "run", "--once", other, world.log, *config).failed(2).err


def test_the_table_balances_and_leaves_out_zeros(world: World) -> None:
    """Format lines have their column where there are some; a source without a file is named."""
    append(world.log, lines(0, 3) + "\n")
    config = world.write_config()
    config.write_text(config.read_text() + "  - {name: gone, collector: nginx, paths: [/none/x.log]}\n")
    done = soc("collect", "run", "--once", "--config", config).ok()
    assert done.out.splitlines()[0].split() == ["SOURCE", "COLLECTOR", "FILES", "READ", "STORED", "FORMAT"]
    assert "gone: no file matches /none/x.log" in done.err
    csv = soc("collect", "run", "--once", "--config", config, "--output", "csv").ok()
    assert "unparsed,lag,problems" in csv.out.splitlines()[0]


def test_following_says_so(world: World) -> None:
    """What is followed, and how to end it, as soon as it is known; the numbers come at the end."""
    append(world.log, lines(0, 3))
    running = world.start("--every", "0.1s")
    assert running.stderr is not None
    try:
        assert running.stderr.readline() == b"following 1 source, 1 file; Ctrl-C ends\n"
    finally:
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=30)
    assert "app" in out.decode()


def test_standard_input(tmp_path: Path) -> None:
    """Lines from a pipe, with or without a last line end."""
    store = tmp_path / "store"
    text = "".join(NGINX.format(n, n) for n in range(5)).rstrip()
    args = ("collect", "run", "-", "--collector", "nginx", "--store", store, "--output", "json")
    (row,) = soc(*args, stdin=text).ok().json
    assert row["stored"] == 5
    assert len(soc("search", "soc.collector:nginx", "--store", store, "--output", "json").ok().json) == 5


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("-",), "cannot be recognised"),
        (("-", "x.log", "--collector", "nginx"), "together"),
        (("none.log",), "no such file"),
        ((".",), "folder"),
        (("binary",), "no collector recognises"),
        (("binary", "--collector", "ngnix"), "did you mean nginx"),
        ((), "no source"),
        (("binary", "--source", "x"), "not both"),
        (("--collector", "nginx"), "for files named"),
    ],
)
def test_wrong_use_is_explained(tmp_path: Path, args: tuple[str, ...], words: str) -> None:
    """Exit code 2 and a sentence, before anything is touched."""
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 50)
    result = soc("collect", "run", "--once", *args, "--store", tmp_path / "store", cwd=tmp_path).failed(2)
    assert words in result.err
    assert not (tmp_path / "store").exists()


def test_some_sources_fail(world: World) -> None:
    """A source that cannot be read gives exit code 5, with the reason; the others are read."""
    append(world.log, line(0))
    config = world.write_config()
    config.write_text(config.read_text() + f"  - {{name: bad, collector: none, paths: ['{world.log}']}}\n")
    result = soc("collect", "run", "--once", "--config", config, "--output", "json").failed(5)
    assert {row["source"]: row["stored"] for row in result.json} == {"app": 1, "bad": 0}
    assert "no collector" in result.out


def test_audit_of_a_new_store(tmp_path: Path) -> None:
    """list, verify and anchor on a store where nothing was done; a missing store is an error."""
    store = tmp_path / "store"
    soc("audit", "verify", "--store", store).failed(1)
    soc("store", "init", "--store", store).ok()
    assert soc("audit", "list", "--store", store, "--output", "json").ok().json == []
    assert soc("audit", "verify", "--store", store, "--output", "json").ok().json["intact"] is True
    anchor = tmp_path / "anchor"
    anchor.write_text(soc("audit", "anchor", "--store", store).ok().out)
    soc("audit", "verify", "--anchor", anchor, "--store", store).ok()


def test_a_broken_audit_log_is_exit_1(tmp_path: Path) -> None:
    """A missing tail is found with the anchor."""
    from soc.config import StoreSettings
    from soc.respond import audit
    from soc.store import open_store

    with open_store(StoreSettings(str(tmp_path / "store"))) as store:
        audit.record(store, action="x", subject="y")
    (tmp_path / "anchor").write_text("9 " + "a" * 64)
    result = soc("audit", "verify", "--anchor", tmp_path / "anchor", "--store", tmp_path / "store").failed(1)
    assert "cut off" in result.err


def test_register(tmp_path: Path) -> None:
    """The register beside soc.yml is listed and asked."""
    (tmp_path / "soc.yml").write_text("timezone: UTC\n")
    assert "register.yml" in soc("register", "list", cwd=tmp_path).ok().err
    (tmp_path / "register.yml").write_text(
        "systems: [{name: portal, level: 4}]\nassets: [{host: web01.example.org, system: portal}]\n"
    )
    (row,) = soc("register", "list", "--output", "json", cwd=tmp_path).ok().json
    assert (row["name"], row["level"]) == ("web01.example.org", 4)
    assert soc("register", "show", "WEB01", "--output", "json", cwd=tmp_path).ok().json["system"] == "portal"
    assert (
        soc("register", "show", "nobody", "--output", "json", cwd=tmp_path).failed(1).json["level"]
        == "unknown"
    )
    (tmp_path / "register.yml").write_text("systems: [{name: portal, level: 9}]\n")
    assert "register.yml:1" in soc("register", "list", cwd=tmp_path).failed(1).err


def test_dead_letters(tmp_path: Path) -> None:
    """list, show, fix, replay and drop, end to end."""
    from soc.collect import deadletters
    from soc.config import StoreSettings
    from soc.store import open_store
    from soc.store.contract import Incoming

    target = tmp_path / "store"
    with open_store(StoreSettings(str(target))) as store:
        bad = [
            Incoming(f"{n}x", {"@timestamp": "never", "soc.layer": 1, "event.original": "o"})
            for n in range(2)
        ]
        deadletters.park(store, [(incoming, "no time") for incoming in bad])
    rows = soc("deadletter", "list", "--store", target, "--output", "json").ok().json
    assert [row["id"] for row in rows] == ["0x", "1x"]
    assert "no time" in soc("deadletter", "show", "0", "--store", target).ok().out
    soc("deadletter", "replay", "0x", "--store", target).failed(1)
    soc("deadletter", "fix", "0x", "--set", "@timestamp=2026-03-02T00:00:00Z", "--store", target).ok()
    soc("deadletter", "replay", "--all", "--store", target).failed(5)
    soc("deadletter", "drop", "1x", "--store", target, "--reason", "test").failed(2)
    soc("deadletter", "drop", "1x", "--store", target, "--reason", "test", "--yes").ok()
    assert soc("deadletter", "list", "--store", target, "--output", "json").ok().json == []
    soc("audit", "verify", "--store", target).ok()
