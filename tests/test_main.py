"""The program as a process: its standard streams, and errors of the operating system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOC = f"'{sys.executable}' -m soc"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, in which SOC is the program."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SOC_")}
    env |= {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("DATA", "CONFIG", "CACHE")}
    return subprocess.run(
        ["bash", "-c", "set -o pipefail; " + line.replace("SOC", SOC)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=env,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["SOC store init", "SOC store status", "SOC --version", "SOC alert list"])
@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_closed_input_and_remarks_do_not_matter(command: str, closed: str, tmp_path: Path) -> None:
    """A command that needs neither works; the store's file never takes their place."""
    shell("SOC store init", tmp_path)
    done = shell(f"{command} {closed}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert not done.stderr or done.stderr.startswith("no alert")


@pytest.mark.parametrize("command", ["store status", "store status --output json", "--version", "--help"])
@pytest.mark.parametrize("target", [">&-", ">/dev/full", ">&- <&-"])
def test_results_that_cannot_be_written_are_an_error(command: str, target: str, tmp_path: Path) -> None:
    """Exit code 1, and standard output is named; a closed stream and a full disk alike."""
    shell("SOC store init", tmp_path)
    done = shell(f"SOC {command} {target}", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output: ")
    assert "next: " in done.stderr
    assert "Exception" not in done.stderr


def test_with_no_stream_at_all_the_exit_code_speaks(tmp_path: Path) -> None:
    """Nothing can be said, nothing hangs."""
    assert shell("SOC store init >&- 2>&- <&-", tmp_path).returncode == 1
    assert shell("SOC store init >/dev/null 2>&- <&-", tmp_path).returncode == 0
    assert shell("SOC store status >/dev/full 2>/dev/full", tmp_path).returncode == 1


@pytest.mark.parametrize("how", ["", "--output json", "--output csv"])
def test_a_reader_that_leaves_early_is_no_failure(how: str, tmp_path: Path) -> None:
    """`soc … | head` ends with 0 and says nothing, whatever writes the results."""
    (tmp_path / "a.log").write_text("192.0.2.7 something happened\n" * 20_000)
    done = shell(f"SOC parse syslog a.log {how} | head -c 10", tmp_path)
    assert done.returncode == 0
    assert "error" not in done.stderr
