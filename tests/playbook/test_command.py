"""Commands run as real processes: no shell, a group of their own, bounded in time and output."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from soc.playbook.command import MAX_OUTPUT, Call, CommandResult, execute, still_running


def run(folder: Path, *argv: str, timeout: float = 20, **more: object) -> CommandResult:
    """Run a command in a folder."""
    return execute(Call(argv=argv, timeout=timeout, folder=folder, **{"env": {}, **more}))  # type: ignore[arg-type] # options of a call


def alive(pid: int) -> bool:
    """Whether a process is still there after two seconds; one that waits to be buried is not."""
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(200):
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        time.sleep(0.01)
    return True


def python(folder: Path, code: str, timeout: float = 20, **more: object) -> CommandResult:
    """Run some Python as a command."""
    return run(folder, sys.executable, "-c", code, timeout=timeout, **more)


def test_output_and_exit_code(tmp_path: Path) -> None:
    """Both outputs and the exit code are kept, in the folder that is made for it."""
    code = "import os, sys; print(os.getcwd()); print('err', file=sys.stderr); sys.exit(3)"
    done = python(tmp_path / "new", code)
    assert (done.exit, done.stdout.strip(), done.stderr.strip()) == (3, str(tmp_path / "new"), "err")


def test_no_shell(tmp_path: Path) -> None:
    """What a shell would read as more is one argument."""
    hostile = "$(touch x); `touch x` && touch x | touch x > x\n*"
    done = python(tmp_path, f"import sys; assert sys.argv[1:] == [{hostile!r}]", timeout=20)
    assert done.exit == 1  # the argument was not given
    done = run(tmp_path, sys.executable, "-c", "import sys; print(sys.argv[1], end='')", hostile)
    assert done.stdout == hostile
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("program", ["/no/such/program", "no-such-program-here", "a\0b", ""])
def test_missing_program(tmp_path: Path, program: str) -> None:
    """A program that is not there is a clear result, not an exception."""
    done = run(tmp_path, program)
    assert done.exit is None
    assert done.error


def test_not_executable(tmp_path: Path) -> None:
    """A file that may not be run is a clear result."""
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o600)
    assert "ermission" in run(tmp_path, str(script)).error


def test_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    """After its time a command and what it started are ended, also when they ignore the polite signal."""
    code = (
        "import os, signal, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    began = time.monotonic()
    done = python(tmp_path, code, timeout=1)
    assert done.timed_out
    assert time.monotonic() - began < 5
    assert not alive(int(done.stdout))


def test_output_is_bounded(tmp_path: Path) -> None:
    """Megabytes of output are counted, not kept; memory stays flat."""
    done = python(tmp_path, "import sys; sys.stdout.write('x' * 5_000_000)")
    assert done.exit == 0
    assert len(done.stdout) == MAX_OUTPUT
    assert done.dropped == 5_000_000 - MAX_OUTPUT


def test_output_is_neutralised(tmp_path: Path) -> None:
    """Escapes and broken bytes in the output do no harm where it is shown."""
    done = python(tmp_path, r"import sys; sys.stdout.buffer.write(b'\x1b[2J\xff\xe2\x80\xae')")
    assert done.stdout == "\\x1b[2J\ufffd\\u202e"


def test_a_child_that_holds_the_output_open(tmp_path: Path) -> None:
    """A command that ended is not waited for because something it left behind keeps its output open."""
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(8)'], start_new_session=True)\n"
        "print('done')\n"
    )
    began = time.monotonic()
    done = python(tmp_path, code)
    assert (done.exit, done.stdout.strip()) == (0, "done")
    assert time.monotonic() - began < 5


def test_input(tmp_path: Path) -> None:
    """Text comes on standard input, whole; a command that does not read it is left alone."""
    text = "xin chào\n" * 50_000
    done = python(tmp_path, "import sys; print(len(sys.stdin.buffer.read()))", input=text)
    assert int(done.stdout) == len(text.encode())
    assert python(tmp_path, "pass", input=text).exit == 0


def test_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a few harmless variables and those that were given reach a command."""
    monkeypatch.setenv("SOC_STORE_PASSWORD", "hunter2")
    monkeypatch.setenv("LD_PRELOAD_X", "1")
    done = python(tmp_path, "import os; print(sorted(os.environ))", env={"SOC_RUN": "R-1"})
    assert "SOC_RUN" in done.stdout
    assert "PASSWORD" not in done.stdout
    assert "LD_PRELOAD_X" not in done.stdout


def test_secrets_are_not_written_down(tmp_path: Path) -> None:
    """The value of a secret that a command prints is starred out."""
    done = python(
        tmp_path, "import os; print('got', os.environ['T'])", env={"T": "s3cr3t"}, secrets=["s3cr3t"]
    )
    assert done.stdout == "got ***\n"


def test_own_programs(tmp_path: Path) -> None:
    """`soc` and `soc-action` are there whatever the PATH; a file of that name changes nothing."""
    (tmp_path / "soc.py").write_text("print('trap')")
    done = run(tmp_path, "soc", "--version", env={"PATH": "/nowhere"})
    assert done.stdout.startswith("soc ")
    done = run(tmp_path, "soc-action", "list", "add", "watch", "192.0.2.7", env={"SOC_STATE": str(tmp_path)})
    assert done.exit == 0, done.stderr
    assert (tmp_path / "lists" / "watch.txt").read_text() == "192.0.2.7\n"


def test_still_running(tmp_path: Path) -> None:
    """A command that outlived its run is found by the marks in its environment, until it ends."""
    env = {**os.environ, "SOC_STORE": str(tmp_path), "SOC_RUN": "R-ALIVE", "SOC_STEP": "slow"}
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"], env=env, stdin=subprocess.PIPE, cwd=tmp_path
    )
    with process:
        assert still_running(str(tmp_path), "R-ALIVE", "slow") == [process.pid]
        assert still_running(str(tmp_path), "R-ALIVE", "other") == []
        process.communicate(b"\n")
        assert still_running(str(tmp_path), "R-ALIVE", "slow") == []
