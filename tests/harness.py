"""Running the real program in tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of `soc` left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return orjson.loads(self.out)

    @property
    def jsonl(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [orjson.loads(line) for line in self.out.splitlines()]

    def ok(self) -> Result:
        """This result, after asserting that the command succeeded and no traceback was shown."""
        assert self.code == 0, f"exit {self.code}\n{self.out[-2000:]}\n{self.err[-4000:]}"
        return self.failed(0)

    def failed(self, code: int) -> Result:
        """This result, after asserting its exit code and that no traceback was shown."""
        assert "Traceback" not in self.err, self.err[-4000:]
        assert self.code == code, f"exit {self.code}, not {code}\n{self.out[-2000:]}\n{self.err[-4000:]}"
        return self


def soc(
    *args: object,
    stdin: str | bytes | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> Result:
    """Run `python -m soc` with `args` in a process of its own; `timeout` in seconds."""
    done = subprocess.run(
        [sys.executable, "-m", "soc", *map(str, args)],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        timeout=timeout,
        check=False,
    )
    return Result(
        done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )
