"""The wheel carries everything: built, installed in a clean environment, run from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(*args: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a program; its standard output, after asserting that it succeeded."""
    done = subprocess.run(
        [*map(str, args)], cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{args}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_installed_wheel_runs_the_demo(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Content, types and the demo are found from an installed wheel as from a checkout."""
    root = pytestconfig.rootpath
    python = tmp_path / "env" / "bin" / "python"
    home = tmp_path / "home"
    home.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", root, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    constraints = root / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, wheel, cwd=tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out = run(tmp_path / "env" / "bin" / "soc", "demo", cwd=elsewhere, env=env)
    assert "audit" in out
    listed = run(
        python,
        "-m",
        "soc",
        "collector",
        "list",
        "--output",
        "csv",
        "--fields",
        "name",
        cwd=elsewhere,
        env=env,
    )
    assert "nginx" in listed.split()
