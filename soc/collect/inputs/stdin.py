"""Standard input as a source: a new life for each run, since a pipe cannot be read again.

The guarantee is at least once: whoever sends the same lines again gets them stored again.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from datetime import datetime

from soc.collect.checkpoint import Epoch, Life, new_generation
from soc.collect.inputs.lines import Chunk, LineSplitter
from soc.collect.inputs.tail import BLOCK, encoding_of, separator_of
from soc.collect.stopping import Stop
from soc.config import Source

PATH = "-"
POLL_SECONDS = 0.5


class StdinInput:
    """One run's standard input, or another descriptor."""

    def __init__(self, source: Source, clock: Callable[[], datetime], descriptor: int = 0) -> None:
        self.source = source
        self.descriptor = descriptor
        encoding = encoding_of(b"", source.encoding)
        epoch = Epoch.begin(source, 0, clock(), encoding)
        self.life = Life(
            source=source.name,
            generation=new_generation(),
            collector=source.collector,
            path=PATH,
            epochs=[epoch],
            seen=epoch.now,
        )

    def read(self, stop: Stop) -> Iterator[Chunk | None]:
        """Chunks of lines until the end of the input; None when nothing comes for a moment."""
        splitter = LineSplitter(separator=separator_of(self.life.epoch.encoding))
        while not stop:
            ready, _, _ = select.select([self.descriptor], [], [], POLL_SECONDS)
            if not ready:
                yield None
                continue
            block = os.read(self.descriptor, BLOCK)
            if not block:
                break
            yield from splitter.feed(block)
        last = splitter.finish()
        if last is not None:
            yield last
