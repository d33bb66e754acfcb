"""Windows event log files (EVTX), record by record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from soc.collect.formats.registry import Broken
from soc.collect.formats.windows import record

MAGIC = b"ElfFile\0"


def records(path: Path, options: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]] | Broken]:  # noqa: ARG001 - the signature of every file format
    """The records of a file in its order; what is damaged or cut off is `Broken`, and reading goes on
    behind it."""
    import evtx

    with path.open("rb") as stream:
        head = stream.read(len(MAGIC))
    if head != MAGIC:
        yield Broken("not a Windows event log: it does not begin with ElfFile")
        return
    try:
        parser = evtx.PyEvtxParser(str(path), number_of_threads=1)
        found = iter(parser.records_json())
    except (RuntimeError, OSError, ValueError) as error:
        yield Broken(f"the event log cannot be read: {_brief(error)}")
        return
    while True:
        try:
            raw: Any = next(found)
        except StopIteration:
            break
        except (RuntimeError, OSError, ValueError) as error:
            yield Broken(f"a damaged record or chunk: {_brief(error)}")
            continue
        text = raw["data"]
        try:
            yield text, record(orjson.loads(text))
        except ValueError as error:
            yield Broken(f"a record that is no Windows event: {error}", text)
    if missing := _missing(path):
        yield Broken(missing)


def _missing(path: Path) -> str:
    """What the file's header promises and the file does not have; "" when it is whole.

    The header block has 4,096 bytes, with the number of chunks at offset 42; a chunk has 65,536 bytes.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(128)
    promised = int.from_bytes(head[42:44], "little")
    there = max(size - 4096, 0) // 65536
    # the count has 16 bits and wraps in files of 4 GiB; a file cut within a chunk shows by its length
    # the count has 16 bits and wraps in files of 4 GiB; a file cut within a chunk shows by its length
    if there < promised:
        return f"the file ends early: {there} of {promised} chunks are whole"
    if (size - 4096) % 65536:
        return "the file ends early, within a chunk"
    return ""


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
