"""Bytes into lines, with the offset of each, bounded memory, and what is needed to find the place again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from soc.collect.inputs.identity import SPAN, Fingerprint, digest

KEPT_BYTES = 1024 * 1024
"""How much of one line is kept; the rest of a longer one is left out and its length noted."""

CHUNK_LINES = 1000
"""Lines that are handed on at once, at most."""


@dataclass(slots=True)
class Chunk:
    """Consecutive lines, without their ends, and the fingerprint of everything up to `end`.

    `clipped` gives the true length in bytes of lines of which only the beginning was kept.
    """

    lines: list[bytes]
    start: int
    end: int
    print: Fingerprint
    sizes: list[int]
    clipped: dict[int, int] = field(default_factory=dict)


class LineSplitter:
    """Splits a stream of bytes that begins at `offset` of its file into chunks of lines.

    `head` and `recent` are the first bytes of the file and those before `offset`, up to `SPAN` of each.
    `separator` is the line end in the file's encoding.
    """

    def __init__(
        self, offset: int = 0, head: bytes = b"", recent: bytes = b"", *, separator: bytes = b"\n"
    ) -> None:
        self.offset = offset
        self.separator = separator
        self._head = head[:SPAN]
        self._head_hash = digest(self._head)
        self._recent = recent[-SPAN:]
        self._partial = b""
        self._dropped = 0
        self._half = b""  # the first byte of a unit of two

    @property
    def waiting(self) -> int:
        """Bytes of the last line, whose end has not come yet."""
        return len(self._partial) + self._dropped

    @property
    def head(self) -> bytes:
        """The first bytes of the file, up to `SPAN` of those that were fed."""
        return self._head

    @property
    def recent(self) -> bytes:
        """The bytes before `position`, up to `SPAN` of them, half lines included."""
        return (self._recent + self._half)[-SPAN:]

    @property
    def position(self) -> int:
        """The offset of the next byte to feed."""
        return self.offset + self.waiting + len(self._half)

    def feed(self, block: bytes) -> Iterator[Chunk]:
        """The lines that the block completes."""
        width, base = len(self.separator), self.offset + self.waiting
        if width > 1:
            block = self._half + block
            whole = len(block) - len(block) % width
            block, self._half = block[:whole], block[whole:]
        if len(self._head) < SPAN and base == len(self._head):
            self._head += block[: SPAN - len(self._head)]
            self._head_hash = digest(self._head)
        before, self._recent = self._recent, (self._recent + block[-SPAN:])[-SPAN:]
        lines = self._split(block)
        rest = lines.pop()
        if lines:
            # offsets within the block at which lines end
            first, lines[0] = len(lines[0]), self._whole(lines[0])
            clipped = {0: self._dropped + KEPT_BYTES} if self._dropped else {}
            self._partial, self._dropped = b"", 0
            at = 0
            for begin in range(0, len(lines), CHUNK_LINES):
                part = lines[begin : begin + CHUNK_LINES]
                sizes = [len(line) + width for line in part]
                length = sum(sizes) if begin else first + width + sum(sizes[1:])
                if begin == 0:
                    sizes[0] = base + first + width - self.offset
                at += length
                print_ = self._print(base + at, block, at, before)
                yield Chunk(part, self.offset, base + at, print_, sizes, clipped if begin == 0 else {})
                self.offset = base + at
        self._keep(rest)

    def finish(self) -> Chunk | None:
        """The last line of a file that will not grow any more, if it has no line end."""
        if not self.waiting:
            return None
        end = self.position
        clipped = {0: self.waiting} if self._dropped else {}
        line = self._partial
        chunk = Chunk(
            [line], self.offset, end, self._fingerprint(self._recent, end), [end - self.offset], clipped
        )
        self.offset, self._partial, self._dropped = end, b"", 0
        return chunk

    def _split(self, block: bytes) -> list[bytes]:
        pieces = block.split(self.separator)
        width = len(self.separator)
        if width == 1:
            return pieces
        # in UTF-16 the two bytes of a line end may also be halves of two neighbours: only whole units count
        out: list[bytes] = []
        held: list[bytes] = []
        for piece in pieces:
            held.append(piece)
            whole = self.separator.join(held)
            if len(whole) % width == 0:
                out.append(whole)
                held = []
        return out if not held else [*out, self.separator.join(held)]

    def _whole(self, end: bytes) -> bytes:
        """The first line of a block, with what came of it before; no more of it than is kept."""
        if self._dropped:
            self._dropped += len(end)
            return self._partial
        whole = self._partial + end
        self._dropped = max(len(whole) - KEPT_BYTES, 0)
        return whole[:KEPT_BYTES] if self._dropped else whole

    def _keep(self, rest: bytes) -> None:
        self._partial = self._whole(rest)

    def _print(self, end: int, block: bytes, at: int, before: bytes) -> Fingerprint:
        tail = block[at - SPAN : at] if at >= SPAN else (before + block[:at])[-SPAN:]
        return self._fingerprint(tail, end)

    def _fingerprint(self, tail: bytes, end: int) -> Fingerprint:
        return Fingerprint(len(self._head), self._head_hash, len(tail), digest(tail), end)
