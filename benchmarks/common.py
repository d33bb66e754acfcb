"""What every benchmark shares: naming the machine, medians, and pairs that run in turn."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence


def machine() -> str:
    """The machine in one line: processor, cores, Python."""
    model = "unknown processor"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - not a path of the project
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        model = names[0] if names else model
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Median, least and most of some measurements."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(*works: Callable[[], object], rounds: int = 5) -> list[list[float]]:
    """Seconds of each piece of work, run A B A B … so that a drift of the machine hits all alike."""
    out: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for times, work in zip(out, works, strict=True):
            times.append(seconds(work))
    return out


def run(*command: str) -> None:
    """Run a program to its end, its output thrown away; a failure of the program is an error here."""
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def peak_memory() -> float:
    """The largest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peak_memory_of_children() -> float:
    """The largest resident size of any finished child, in MiB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
