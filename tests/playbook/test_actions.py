"""The simple actions that playbooks take: repeatable, undoable, whole or not at all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from tests.playbook.conftest import Scene


def action(state: Path, *argv: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run `soc-action` in a process of its own."""
    import os

    return subprocess.run(
        [sys.executable, "-m", "soc.playbook.actions", *argv],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=state,
        env={**os.environ, "SOC_STATE": str(state), "SOC_RUN": "R-7F3K", "SOC_STEP": "block", **env},
    )


def test_list(tmp_path: Path) -> None:
    """A value goes on a list once and comes off again; who did it and why is kept beside it."""
    path = tmp_path / "lists" / "blocked.txt"
    assert action(tmp_path, "list", "add", "blocked", "192.0.2.7", "--note", "vì sao").returncode == 0
    assert action(tmp_path, "list", "add", "blocked", "192.0.2.7").returncode == 3
    assert action(tmp_path, "list", "add", "blocked", "192.0.2.8").returncode == 0
    assert path.read_text() == "192.0.2.7\n192.0.2.8\n"
    assert action(tmp_path, "list", "remove", "blocked", "192.0.2.7").returncode == 0
    assert action(tmp_path, "list", "remove", "blocked", "192.0.2.7").returncode == 3
    assert path.read_text() == "192.0.2.8\n"
    log = [orjson.loads(line) for line in (tmp_path / "lists/blocked.log.jsonl").read_text().splitlines()]
    assert [(e["action"], e["value"]) for e in log] == [
        ("add", "192.0.2.7"),
        ("add", "192.0.2.8"),
        ("remove", "192.0.2.7"),
    ]
    assert (log[0]["note"], log[0]["run"], log[0]["step"]) == ("vì sao", "R-7F3K", "block")


@pytest.mark.parametrize("argv", [("add", "../../etc/x", "v"), ("add", "a", "x\ny"), ("add", "a", " ")])
def test_refuses(tmp_path: Path, argv: tuple[str, str, str]) -> None:
    """A list is no path and a value is one line."""
    assert action(tmp_path, "list", *argv).returncode == 2
    assert not (tmp_path / "lists").exists()


@pytest.mark.slow
def test_many_at_once(tmp_path: Path) -> None:
    """Runs that write one list at the same time lose nothing."""
    values = [f"192.0.2.{n}" for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda v: action(tmp_path, "list", "add", "blocked", v).returncode, values))
    assert codes == [0] * 12
    assert sorted((tmp_path / "lists/blocked.txt").read_text().split()) == sorted(values)


def test_ticket(tmp_path: Path) -> None:
    """A step opens one ticket, however often it runs, and it can be withdrawn once."""
    opened = action(tmp_path, "ticket", "open", "Repair x", "--for", "operator", stdin="line one\n")
    again = action(tmp_path, "ticket", "open", "Repair x", stdin="other\n")
    assert (opened.returncode, again.returncode) == (0, 3)
    path = Path(opened.stdout.strip())
    assert path == tmp_path / "tickets" / "R-7F3K-block.md"
    assert path.read_text().startswith("# Repair x\n\nFor: operator\nRun: R-7F3K\n")
    assert "line one" in path.read_text()
    assert action(tmp_path, "ticket", "withdraw", "R-7F3K-block").returncode == 0
    assert action(tmp_path, "ticket", "withdraw", "R-7F3K-block").returncode == 3
    assert action(tmp_path, "ticket", "withdraw", "R-0000-none").returncode == 1


def test_evidence(scene: Scene) -> None:
    """Events are copied whole, with their ids, and the printed SHA-256 is that of the file."""
    folder = scene.folder / "run"
    folder.mkdir()
    done = action(
        folder,
        *("evidence", "source.ip", "203.0.113.66", "--before", "1h"),
        SOC_STORE=str(scene.folder / "store"),
        SOC_FIRST_EVENT="2026-03-02T07:14:00.000000Z",
    )
    assert done.returncode == 0, done.stderr
    raw = (folder / "block.jsonl").read_bytes()
    assert hashlib.sha256(raw).hexdigest() in done.stdout
    assert [orjson.loads(line)["_id"] for line in raw.splitlines()] == [f"event-{n}" for n in range(5)]


def test_evidence_without_a_store(tmp_path: Path) -> None:
    """A store that is not there is a clear message and exit code 1."""
    done = action(tmp_path, "evidence", "source.ip", "192.0.2.1", SOC_STORE=str(tmp_path / "none"))
    assert done.returncode == 1
    assert done.stderr.startswith("soc-action: ")
    assert "Traceback" not in done.stderr


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A state folder that is a file is a clear message and exit code 1."""
    (tmp_path / "lists").write_text("in the way")
    done = action(tmp_path, "list", "add", "blocked", "192.0.2.7")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_no_evidence_is_not_done(scene: Scene) -> None:
    """Evidence of a host that no event names is exit code 4, and no empty file pretends to be evidence."""
    where = {"SOC_STORE": str(scene.folder / "store"), "SOC_FIRST_EVENT": "2026-03-02T07:14:00.000000Z"}
    done = action(scene.folder, "evidence", "host.name", "portal-o1", **where)
    assert done.returncode == 4, done.stderr
    assert "no event has host.name portal-o1" in done.stdout
    assert not list(scene.folder.glob("block.*"))
