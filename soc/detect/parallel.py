"""A scan by several processes: small files are shared out, the hits come back in the order of the files."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from soc.detect.scan import STDIN, Hit, Input, Scanner, Tally
from soc.errors import SocError

LARGE = 16 << 20
"""A file of more bytes is scanned by the first process itself, which gives its hits on one by one."""

WORTHWHILE = 8 << 20
"""Fewer bytes in all are scanned by one process: starting others would take longer."""

AHEAD = 4
"""How many files for each process are under way or wait to be taken."""

Done = Callable[[int, int], None]
Reply = tuple[list[tuple[int, int, dict[str, Any]]], Tally]


def processes(jobs: int, sources: Sequence[Input]) -> int:
    """How many processes to use: `jobs`, or for 0 as many as processors where that is worthwhile."""
    small = [source for source in sources if _small(source)]
    if not jobs:
        enough = sum(source.size for source in small) >= WORTHWHILE
        jobs = len(os.sched_getaffinity(0)) if enough else 1
    return max(1, min(jobs, len(small)))


def _small(source: Input) -> bool:
    return source.path != STDIN and source.size <= LARGE


def scan_all(scanner: Scanner, sources: Sequence[Input], jobs: int, done: Done) -> Iterator[Hit]:
    """The hits of all files, in the order of the files. `done` is called after each file.

    Raises `SocError` when one of the processes dies.
    """
    if processes(jobs, sources) == 1:
        for number, source in enumerate(sources, 1):
            yield from scanner.scan(source)
            done(number, len(sources))
        return
    try:
        yield from _shared(scanner, sources, processes(jobs, sources), done)
    except BrokenProcessPool:
        raise SocError(
            "one of the processes of this scan was killed; what came before is not the whole",
            hint="look for a lack of memory, and try again with --jobs 1",
        ) from None


def _shared(scanner: Scanner, sources: Sequence[Input], jobs: int, done: Done) -> Iterator[Hit]:
    rules = scanner.matcher.rules
    waiting: deque[tuple[Input, Future[Reply] | None]] = deque()
    remaining = iter(sources)
    # forked, so that rules and what is prepared are not loaded again in each
    pool = ProcessPoolExecutor(jobs, get_context("fork"), _begin, (scanner,))
    try:
        for number in range(1, len(sources) + 1):
            while len(waiting) < AHEAD * jobs and (source := next(remaining, None)):
                waiting.append((source, pool.submit(_one, source) if _small(source) else None))
            source, reply = waiting.popleft()
            if reply is None:
                yield from scanner.scan(source)
            else:
                hits, tally = reply.result()
                scanner.tally.add(tally)
                yield from (Hit(rules[n], source.path, record, event) for n, record, event in hits)
            done(number, len(sources))
    finally:
        pool.shutdown(cancel_futures=True)


_mine: list[Scanner] = []


def _begin(scanner: Scanner) -> None:
    """In a new process: take over the scanner that was there when it was forked."""
    _mine[:] = [scanner]


def _one(source: Input) -> Reply:
    scanner = _mine[0]
    scanner.tally = Tally()
    numbers = {rule.id: number for number, rule in enumerate(scanner.matcher.rules)}
    hits = [(numbers[hit.rule.id], hit.record, hit.event) for hit in scanner.scan(source)]
    return hits, scanner.tally
