"""The real world of a run: who is at work, what a command gets to know."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from soc.config import Config, StoreSettings
from soc.errors import ContentError, UsageError
from soc.playbook.model import Command
from soc.playbook.runs import abandoned, playbook_of
from soc.playbook.state import Phase, Run
from soc.playbook.world import RealWorld, parse_given
from soc.store.embedded import EmbeddedStore
from tests.playbook.conftest import ending
from tests.playbook.test_present import entry, fresh


@pytest.fixture
def world(tmp_path: Path) -> RealWorld:
    """A world over an empty store."""
    settings = StoreSettings(str(tmp_path / "store"), space="drill")
    store = EmbeddedStore.open(StoreSettings(str(tmp_path / "store")), create=True)
    return RealWorld(store, Config(tmp_path / "soc.yml", settings, state=tmp_path / "state"))


def acting(world: RealWorld, **worker: object) -> Run:
    """A run whose step was begun by a worker."""
    return replace(entry(fresh(), "act", "intent"), phase=Phase.ACTING, worker={**world.worker(), **worker})


STEP = ending(
    "act: {type: command, run: [x], dry_run: w, read_only: true, next: good, on_failure: bad}"
).steps["act"]


def test_busy(world: RealWorld) -> None:
    """A living process is at work; a dead one, and a new one with its number, are not."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        from soc.playbook.world import _born

        born = _born(process.pid)
        assert str(process.pid) in world.busy(acting(world, pid=process.pid, born=born), STEP)
        assert world.busy(acting(world, pid=process.pid, born="boot/1"), STEP) == ""
        process.communicate(b"\n")
    assert world.busy(acting(world, pid=process.pid, born=born), STEP) == ""
    assert world.busy(replace(acting(world), worker={}), STEP) == ""
    assert abandoned(replace(acting(world, pid=process.pid, born=born), text=fresh().text), world)


def test_environment(world: RealWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command knows its run, step, alert, store, space and state folder, and nothing secret."""
    monkeypatch.setenv("SOC_STORE_API_KEY", "s3cr3t")
    code = (
        "import os; print({k: v for k, v in os.environ.items() if k.startswith('SOC')}); print(os.getcwd())"
    )
    assert isinstance(STEP, Command)
    done = world.execute(fresh(), STEP, [sys.executable, "-c", code], "")
    known, folder = done.stdout.splitlines()
    assert "'SOC_RUN': 'R-7F3K'" in known
    assert "'SOC_SUBJECT': 'A-7F3K'" in known
    assert "'SOC_SPACE': 'drill'" in known
    assert f"'SOC_STATE': '{tmp_path}/state'" in known
    assert "s3cr3t" not in known
    assert folder == f"{tmp_path}/state/runs/R-7F3K"


def test_parse_given() -> None:
    """--var is name=value; the value may hold anything, also `=`."""
    assert parse_given(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for wrong in ("a", "=1", ""):
        with pytest.raises(UsageError):
            parse_given([wrong])


def test_a_run_whose_text_cannot_be_read() -> None:
    """A run whose kept playbook is broken is an error that names the run, not a crash."""
    for text in ("broken: [", "name: t\ntitle: T\nsteps:\n  z: {type: end, outcome: z}\n"):
        with pytest.raises(ContentError):
            playbook_of(replace(fresh(), text=text, step="act"))


def test_this_process_does_not_wait_for_itself(world: RealWorld) -> None:
    """A step that this very process began and left is nobody's work any more."""
    assert world.worker()["pid"] == os.getpid()
    assert world.busy(acting(world), STEP) == ""
