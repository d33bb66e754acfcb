"""Running one command of a playbook: no shell, a group of its own, bounded in time and output."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import soc
from soc.cli.text import safe

MAX_OUTPUT = 16_384
"""Bytes of each of standard output and standard error that are kept; the rest is counted."""
GRACE = 5.0
"""Seconds between the polite and the final signal to a command that ran out of time."""
AFTERMATH = 0.5
"""Seconds to read on after the command ended, when what it started still holds its output open."""

_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR", "LANG", "LC_ALL")
_OWN = ("SOC_CONFIG", "SOC_STORE_USER", "SOC_STORE_PASSWORD", "SOC_STORE_API_KEY", "SOC_STORE_CA")
_OWN_FOLDERS = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")

PROGRAMS = {"soc": "soc", "soc-action": "soc.playbook.actions"}
"""Programs that are always there, whatever the PATH: this one, and its helper for simple actions."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be run. `env` is added to a minimal environment; `secrets` are values that must not be
    written down; `timeout` in seconds."""

    argv: Sequence[str]
    timeout: float
    folder: Path
    env: Mapping[str, str]
    secrets: Sequence[str] = ()
    input: str = ""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended. `exit` None: it did not start (`error` says why) or was ended from outside.

    `stdout` and `stderr` are neutralised text, within `MAX_OUTPUT`; `dropped` counts the bytes beyond.
    """

    exit: int | None
    stdout: str = ""
    stderr: str = ""
    error: str = ""
    timed_out: bool = False
    dropped: int = 0
    milliseconds: int = 0


def environment(extra: Mapping[str, str], *, own: bool) -> dict[str, str]:
    """The environment of a command: a few harmless variables, and for this program's own what it needs."""
    names = _PASSED_ON + (_OWN + _OWN_FOLDERS if own else ())
    kept = {name: os.environ[name] for name in names if name in os.environ}
    kept.setdefault("PATH", os.defpath)
    if own:
        kept["PYTHONPATH"] = str(Path(soc.__file__).resolve().parent.parent)
    return kept | dict(extra)


def resolved(argv: Sequence[str]) -> tuple[list[str], bool]:
    """The argument list with this program's own names made whole; whether it is one of them."""
    module = PROGRAMS.get(argv[0])
    if module is None:
        return list(argv), False
    # -P: a file of the same name in the run's folder must not be imported in its place
    return [sys.executable, "-P", "-m", module, *argv[1:]], True


def execute(call: Call) -> CommandResult:
    """Run a command to its end or its timeout.

    A KeyboardInterrupt ends the command's group and is raised again: its outcome is then unknown.
    """
    argv, own = resolved(call.argv)
    began = time.monotonic()
    try:
        call.folder.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if call.input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=call.folder,
            env=environment(call.env, own=own),
            start_new_session=True,
        )
    except OSError as error:
        return CommandResult(None, error=f"{call.argv[0]}: {error.strerror or error}")
    except ValueError as error:
        return CommandResult(None, error=f"{call.argv[0]}: {error}")
    with process:
        try:
            return _attend(process, call, began)
        except BaseException:
            _end(process)
            raise


class _Capture:
    """One stream of output, kept within a bound."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.dropped = 0

    def add(self, chunk: bytes) -> None:
        room = max(MAX_OUTPUT - len(self.kept), 0)
        self.kept += chunk[:room]
        self.dropped += len(chunk[room:])

    def text(self, secrets: Sequence[str]) -> str:
        text = bytes(self.kept).decode("utf-8", "replace")
        for secret in secrets:
            if secret:
                text = text.replace(secret, "***")
        return safe(text)


def _attend(process: subprocess.Popen[bytes], call: Call, began: float) -> CommandResult:
    captured = {1: _Capture(), 2: _Capture()}
    timed_out = not _pump(process, call.input.encode(), captured, began + call.timeout)
    if timed_out:
        _end(process)
    else:
        process.wait()
    return CommandResult(
        exit=None if timed_out else process.returncode,
        stdout=captured[1].text(call.secrets),
        stderr=captured[2].text(call.secrets),
        timed_out=timed_out,
        dropped=captured[1].dropped + captured[2].dropped,
        milliseconds=int((time.monotonic() - began) * 1000),
    )


def _pump(
    process: subprocess.Popen[bytes], waiting: bytes, captured: Mapping[int, _Capture], deadline: float
) -> bool:
    """Feed and read the command until it has ended; False when the deadline came first."""
    with selectors.DefaultSelector() as selector:
        for number, stream in ((1, process.stdout), (2, process.stderr)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ, number)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, 0)
        ended = 0.0
        while True:
            now = time.monotonic()
            if process.poll() is not None:
                ended = ended or now
                if not selector.get_map() or now - ended > AFTERMATH:
                    return True
            elif now >= deadline:
                return False
            if not selector.get_map():
                time.sleep(0.01)
            for key, _ in selector.select(0.05 if selector.get_map() else 0):
                if key.data == 0:
                    waiting = _feed(selector, process, waiting)
                else:
                    _take(selector, key, captured[key.data])


def _feed(selector: selectors.BaseSelector, process: subprocess.Popen[bytes], waiting: bytes) -> bytes:
    stdin = process.stdin
    if stdin is None:
        return b""
    try:
        waiting = waiting[os.write(stdin.fileno(), waiting[:65536]) :] if waiting else waiting
    except BlockingIOError:
        return waiting
    except OSError:
        waiting = b""  # the command does not read its input; that is its right
    if not waiting:
        selector.unregister(stdin)
        with contextlib.suppress(OSError):
            stdin.close()
    return waiting


def _take(selector: selectors.BaseSelector, key: selectors.SelectorKey, capture: _Capture) -> None:
    try:
        chunk = os.read(key.fd, 65536)
    except BlockingIOError:
        return
    if chunk:
        capture.add(chunk)
    else:
        selector.unregister(key.fileobj)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and everything in its group, politely first."""
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
    # what the command started may have outlived it
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def still_running(store: str, run: str, step: str) -> list[int]:
    """Process ids of this user's commands that belong to a step of a run of a store and have not ended.

    Known from the marks in their environment, which Linux shows in /proc; elsewhere the answer is empty.
    """
    marks = {f"SOC_STORE={store}".encode(), f"SOC_RUN={run}".encode(), f"SOC_STEP={step}".encode()}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = set((folder / "environ").read_bytes().split(b"\0"))
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            continue
        if marks <= variables and state != "Z":
            found.append(int(folder.name))
    return sorted(found)
