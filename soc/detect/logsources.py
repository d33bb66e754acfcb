"""From the log source of a rule to a condition on events.

Two parties say which events belong to a log source: a collector's `logsources:` (its dataset is one), and
the `sources:` of a field pipeline (for Windows: channel and event id). A log source that neither names is
*blind*: the rule is loaded and shown, and cannot see anything here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from soc import __version__, content
from soc.detect.cache import read_own, write_own
from soc.detect.pipelines import Pipelines, any_of
from soc.detect.predicate import EVERYTHING, NOTHING, And, Op, Or, Predicate, Test
from soc.detect.rule import Logsource
from soc.detect.text import canonical


@dataclass(frozen=True, slots=True)
class Declared:
    """A collector's word that the events of a dataset belong to a log source.

    `where` narrows it: each field must have one of its values.
    """

    logsource: Logsource
    dataset: str
    collector: str = ""
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def predicate(self) -> Predicate:
        """The condition on an event."""
        dataset = Test("event.dataset", Op.EQUALS, self.dataset)
        narrowed = tuple(any_of(name, values) for name, values in self.where)
        return And((dataset, *narrowed)) if narrowed else dataset


class Logsources:
    """Everything that is known about which events belong to which log source."""

    def __init__(self, declared: Iterable[Declared] = (), pipelines: Pipelines | None = None) -> None:
        self.declared = tuple(declared)
        self.pipelines = pipelines or Pipelines(())
        self._known: dict[Logsource, tuple[Predicate, str]] = {}

    def condition(self, wanted: Logsource) -> tuple[Predicate, str]:
        """The condition on an event, and why there is none ("" when there is one)."""
        found = self._known.get(wanted)
        if found is None:
            found = self._known[wanted] = self._condition(wanted)
        return found

    def _condition(self, wanted: Logsource) -> tuple[Predicate, str]:
        if not wanted.stated:
            return EVERYTHING, ""
        found = [d.predicate() for d in self.declared if satisfies(d.logsource, wanted)]
        parts = list(dict.fromkeys([*found, *self.pipelines.sources(wanted)]))
        if not parts:
            return NOTHING, f"no collector and no pipeline provides the log source {wanted}"
        return (parts[0] if len(parts) == 1 else Or(tuple(parts))), ""


def satisfies(declared: Logsource, wanted: Logsource) -> bool:
    """Whether events of a declared log source are what a rule wants: all that it states is declared."""
    there = declared.stated
    return all(there.get(name) == value for name, value in wanted.stated.items())


def declared_by(collectors: Mapping[str, object]) -> list[Declared]:
    """The declarations of all collectors."""
    out = []
    for name, collector in collectors.items():
        for entry in getattr(collector, "logsources", ()):
            logsource = Logsource(entry.category or "", entry.product or "", entry.service or "")
            where = tuple((str(k), _values(v)) for k, v in (getattr(entry, "where", None) or {}).items())
            out.append(Declared(logsource, entry.dataset, name, where))
    return out


def declared_in(folders: Sequence[Path], cache: Path | None) -> list[Declared]:
    """The declarations of the collectors in folders; reading all collectors takes a while, so they are kept.

    `cache` is the folder to keep them in (None: nowhere). Broken collectors declare nothing.
    """
    import msgspec

    kept = cache / f"declared-{_digest(folders)}.msgpack" if cache else None
    if kept is not None:
        with suppress(OSError, ValueError, msgspec.MsgspecError):
            return msgspec.msgpack.decode(read_own(kept), type=list[Declared])
    from soc.collect.collector import load_collectors

    found = declared_by(load_collectors(folders))
    if kept is not None:
        with suppress(OSError):
            write_own(kept, msgspec.msgpack.encode(found))
    return found


def _digest(folders: Sequence[Path]) -> str:
    digest = hashlib.blake2b(__version__.encode(), digest_size=8)
    for folder in folders:
        for path in content.files(folder) if folder.exists() else ():
            digest.update(f"\0{path}\0".encode("utf-8", "surrogateescape"))
            with suppress(OSError):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _values(value: object) -> tuple[str, ...]:
    return tuple(canonical(v) for v in (value if isinstance(value, (list, tuple)) else [value]))
