"""Lines come out whole, in order, with true offsets, however the bytes arrive."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from soc.collect.inputs.identity import SPAN, digest
from soc.collect.inputs.lines import KEPT_BYTES, LineSplitter

PIECES = st.sampled_from(["a", "\n", "\r\n", "Ầ", "ਊ", "Ā", "\n\n\n", "x" * 300, "y" * 5000])


@given(
    st.lists(PIECES, max_size=60),
    st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]),
    st.lists(st.integers(1, 6000)),
)
def test_any_text_in_any_blocks(pieces: list[str], encoding: str, cuts: list[int]) -> None:
    """The lines are those of the text, and each chunk begins where the last one ended."""
    text = "".join(pieces)
    data = text.encode(encoding)
    splitter = LineSplitter(separator="\n".encode(encoding))
    out: list[bytes] = []
    at = end = 0
    for size in [*cuts, len(data)]:
        for chunk in splitter.feed(data[at : at + size]):
            assert chunk.start == end
            assert chunk.end == chunk.start + sum(chunk.sizes)
            assert chunk.print.tail == digest(data[max(0, chunk.end - SPAN) : chunk.end])
            end = chunk.end
            out += chunk.lines
        at += size
    if (last := splitter.finish()) is not None:
        out += last.lines
    expected = [line.encode(encoding) for line in text.split("\n")]
    assert out == (expected if expected[-1] else expected[:-1])


def test_a_giant_line_is_cut_and_its_length_kept() -> None:
    """Only the beginning of a giant line is kept; its neighbours are whole; memory stays bounded."""
    splitter = LineSplitter()
    for _ in range(200):
        assert not list(splitter.feed(b"y" * 262_144))
    (chunk,) = splitter.feed(b"\nabc\n")
    assert chunk.clipped == {0: 200 * 262_144}
    assert (len(chunk.lines[0]), chunk.lines[1]) == (KEPT_BYTES, b"abc")
    assert chunk.end == 200 * 262_144 + 5


def test_goes_on_in_the_middle() -> None:
    """A splitter that begins at an offset counts from there."""
    splitter = LineSplitter(100, b"h" * 100, b"r" * 100)
    (chunk,) = splitter.feed(b"one\ntwo\nthr")
    assert (chunk.lines, chunk.start, chunk.end) == ([b"one", b"two"], 100, 108)
    assert splitter.position == 111
