"""`soc scan` from start to end over a folder of EVTX files: seconds, processor seconds, memory.

    python -m benchmarks.scan RULES_FOLDER EVTX_FOLDER [--copies 1] [--rounds 5]

`first` is the first run on a machine: the rules are compiled. In all others they come from the cache, as on
every later day; `one process` is `--jobs 1`, otherwise the command decides. `--copies 3` also scans a folder
with every file three times under other names. Repeated events cost less than new ones to match, so this
flatters, by what `benchmarks.matching` calls *again*; reading them costs the same.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import machine, spread


def copies(folder: Path, count: int, into: Path) -> None:
    """Every EVTX file below a folder, so many times under names of their own."""
    for number, path in enumerate(sorted(folder.rglob("*.evtx"))):
        for copy in range(count):
            shutil.copyfile(path, into / f"{number:04}-{copy}.evtx")


class Runs:
    """Runs of `soc scan`: seconds by the clock, processor seconds, and the highest memory of a process."""

    def __init__(self, rules: Path, cache: Path) -> None:
        self.command = [sys.executable, "-m", "soc", "scan", "--rules", str(rules), "--output", "jsonl"]
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}

    def once(self, folder: Path, *options: str) -> tuple[float, float, float, str]:
        """One run: seconds, processor seconds, MiB, and its last remark."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.perf_counter()
        done = subprocess.run(
            [*self.command, str(folder), *options],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=True,
        )
        seconds = time.perf_counter() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        remark = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return seconds, processor, after.ru_maxrss / 1024, remark


def show(name: str, runs: Sequence[tuple[float, float, float, str]]) -> None:
    """Print what some runs took."""
    seconds, processor, memory, remarks = zip(*runs, strict=True)
    print(f"  {name:24} {spread(seconds, 2):24} {spread(processor, 2):24} {max(memory):5.0f}  {remarks[0]}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="soc scan from start to end over EVTX files")
    parser.add_argument("rules", type=Path, help="folder of Sigma rules")
    parser.add_argument("evtx", type=Path, help="folder of EVTX files")
    parser.add_argument("--copies", type=int, default=1, help="scan each file so many times as well")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(options.rules, Path(folder, "cache"))
        plain, many = Path(folder, "plain"), Path(folder, "many")
        plain.mkdir()
        many.mkdir()
        copies(options.evtx, 1, plain)
        copies(options.evtx, options.copies, many)
        print(f"  {'':24} {'seconds':24} {'processor seconds':24} {'MiB':5}")
        show("first", [runs.once(plain)])
        show("warm", [runs.once(plain) for _ in range(options.rounds)])
        show("warm, one process", [runs.once(plain, "--jobs", "1") for _ in range(options.rounds)])
        if options.copies > 1:
            show(f"warm, {options.copies} copies", [runs.once(many) for _ in range(options.rounds)])


if __name__ == "__main__":
    main()
