"""Detection over files, without a store: which rules does this evidence fire?

Each file is recognised, read by its collector, and every event goes through the matcher; nothing is kept
but what is found. Files that cannot be read, records that cannot, and undecided verdicts are counted and
named: a scan never looks cleaner than it was.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from soc import content
from soc.collect.collector import Collector, Collectors, Context
from soc.collect.decode import MAX_LINE
from soc.collect.parsing import ReadError, lines, opened
from soc.collect.recognise import recognise
from soc.config import Config
from soc.detect.correlate.reading import with_bases
from soc.detect.matcher import Matcher
from soc.detect.predicate import Verdict
from soc.detect.releases import selection
from soc.detect.rule import LEVELS, Rule
from soc.detect.ruleset import Progress, Ruleset, declared_for, load_rules
from soc.errors import ExitCode, Place, Problem, UsageError
from soc.event import Event

if TYPE_CHECKING:
    from soc.detect.correlate.offline import Correlated

STDIN = "-"
"""The name that stands for standard input."""

_HEAD = 65536


@dataclass(frozen=True, slots=True)
class Input:
    """A file to scan; `named` when the user named it, not a folder that holds it."""

    path: str
    named: bool = True

    @property
    def size(self) -> int:
        """Bytes, 0 when that is not known."""
        try:
            return 0 if self.path == STDIN else Path(self.path).stat().st_size
        except OSError:
            return 0


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that is true of an event.

    `record` is the EVTX record id, else the line, else the number of the record in its file, from 1.
    """

    rule: Rule
    path: str
    record: int
    event: Event

    def row(self) -> dict[str, Any]:
        """The hit as `soc scan` prints it."""
        rule = self.rule
        return {
            "rule": {"id": rule.id, "title": rule.title, "level": rule.level},
            "source": {"path": self.path, "record": self.record},
            "@timestamp": self.event.get("@timestamp"),
            "event": self.event,
        }

    def flat(self) -> dict[str, Any]:
        """The hit as one row of plain values, for a table of another program."""
        return {
            "level": self.rule.level,
            "rule": self.rule.title,
            "path": self.path,
            "record": self.record,
            "@timestamp": self.event.get("@timestamp"),
            "rule.id": self.rule.id,
            "event": self.event,
        }


@dataclass
class Tally:
    """What a scan went over, and what it could not decide or read. `newest`: the latest time that a file
    ended with."""

    files: int = 0
    events: int = 0
    unreadable: int = 0
    newest: str = ""
    undecided: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take in what a part of the scan counted."""
        self.files += other.files
        self.events += other.events
        self.unreadable += other.unreadable
        self.newest = max(self.newest, other.newest)
        self.undecided.update(other.undecided)
        self.problems += other.problems
        self.remarks += other.remarks


def inputs(paths: Iterable[str]) -> tuple[list[Input], list[Problem]]:
    """The files that paths name, folders with all that is in them; problems for what is not there.

    Within folders, hidden files and links to folders are left out.
    """
    out: list[Input] = []
    problems: list[Problem] = []
    for name in paths:
        path = Path(name)
        if name == STDIN or path.is_file():
            out.append(Input(name))
        elif path.is_dir():
            found = list(_below(path))
            out += [Input(p, named=False) for p in found]
            if not found:
                problems.append(Problem("empty", "there is no file in this folder", Place(name)))
        else:
            what = "this is no ordinary file" if path.exists() else "there is no such file or folder"
            problems.append(Problem("missing", what, Place(name)))
    first: dict[str, Input] = {}
    for one in out:
        first.setdefault(one.path, one)
    return list(first.values()), problems


def _below(folder: Path) -> Iterator[str]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            if not name.startswith(".") and path.is_file():
                yield str(path)


class Scanner:
    """Scans files one after the other; `tally` counts what they gave."""

    def __init__(self, matcher: Matcher, collectors: Collectors, context: Context) -> None:
        self.matcher = matcher
        self.collectors = collectors
        self.context = context
        self.tally = Tally()

    def scan(self, source: Input) -> Iterator[Hit]:
        """The hits of one file, in its order. What goes wrong is in `tally`, never an exception."""
        try:
            with _material(source.path) as (path, stream):
                yield from self._scan(source, path, stream)
        except ReadError as error:
            self._problem("unreadable", error.message, source)
        except OSError as error:
            self._problem("unreadable", error.strerror or str(error), source)

    def _problem(self, kind: str, message: str, source: Input, hint: str = "") -> None:
        self.tally.problems.append(Problem(kind, message, Place(source.path), hint=hint))

    def _scan(self, source: Input, path: Path, stream: IO[bytes] | None) -> Iterator[Hit]:
        if path.stat().st_size == 0:
            self.tally.remarks.append(f"{source.path}: empty")
            return
        collector = recognise(path, self.collectors)
        if collector is None:
            self._unrecognised(source)
            return
        before, bad = self.tally.events, self.tally.unreadable
        self._reason = ""
        event: Event = {}
        for number, event in self._events(collector, path, stream):
            self.tally.events += 1
            if event.get("event.kind") == "pipeline_error":
                self.tally.unreadable += 1
                self._reason = self._reason or str(event.get("error.message", ""))
            for match in self.matcher.match(event):
                if match.verdict is Verdict.TRUE:
                    yield Hit(match.rule, source.path, _record(event, number), event)
                else:
                    self.tally.undecided[match.rule.id] += 1
        self.tally.newest = max(self.tally.newest, str(event.get("@timestamp") or ""))
        self._close(source, self.tally.events - before, self.tally.unreadable - bad)

    def _close(self, source: Input, events: int, unreadable: int) -> None:
        if not events:
            self.tally.remarks.append(f"{source.path}: no events in it")
            return
        if unreadable == events:
            self._problem("unreadable", f"nothing in it can be read: {self._reason}", source)
            return
        self.tally.files += 1
        if unreadable:
            what = f"{unreadable} of {events} records cannot be read"
            self.tally.remarks.append(f"{source.path}: {what} (first: {self._reason})")

    def _unrecognised(self, source: Input) -> None:
        message = "no collector recognises this file"
        if source.named:
            self._problem("unrecognised", message, source, hint=f"soc collector try {source.path}")
        else:
            self.tally.remarks.append(f"{source.path}: left out, {message}")

    def _events(
        self, collector: Collector, path: Path, stream: IO[bytes] | None
    ) -> Iterator[tuple[int, Event]]:
        decoder = collector.decoder(self.context)
        if collector.framing == "file":
            with _expanded(path, stream) as plain:
                for number, event in decoder.file(plain):
                    yield number + 1, event
            return
        with _stream(path, stream) as source:
            number = 0
            try:
                for raw, length in lines(source, encoding=self.context.encoding):
                    number += 1
                    found = decoder.line(raw) if length <= MAX_LINE else decoder.cut(raw, length)
                    if found is not None:
                        yield number, found
            except ReadError as error:
                yield number + 1, decoder.error("", error.message)


def _record(event: Mapping[str, Any], number: int) -> int:
    record = event.get("winlog.record_id")
    try:
        return int(record) if record is not None else number
    except (TypeError, ValueError):
        return number


@contextmanager
def _material(name: str) -> Iterator[tuple[Path, IO[bytes] | None]]:
    """A path to look at the beginning, and the stream to read on from (None: the path is the whole)."""
    if name != STDIN:
        yield Path(name), None
        return
    with tempfile.TemporaryDirectory(prefix="soc-scan-") as folder:
        head = Path(folder, "stdin")
        first = sys.stdin.buffer.read(_HEAD)
        head.write_bytes(first)
        yield head, _Joined(first, sys.stdin.buffer)  # type: ignore[misc] # it has what `lines` needs: read


class _Joined:
    """What was read ahead, then the rest of the stream."""

    def __init__(self, first: bytes, rest: IO[bytes]) -> None:
        self.first = first
        self.rest = rest

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; empty at the end."""
        if self.first:
            first, self.first = self.first, b""
            return first
        return self.rest.read(size)


@contextmanager
def _stream(path: Path, stream: IO[bytes] | None) -> Iterator[IO[bytes]]:
    if stream is not None:
        yield stream
        return
    with opened(str(path)) as found:
        yield found


@contextmanager
def _expanded(path: Path, stream: IO[bytes] | None) -> Iterator[Path]:
    """A path that holds the whole file, not compressed, for formats that are not read line by line."""
    from soc.collect.parsing import GZIP_MAGIC, blocks

    with path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    if stream is None and not packed:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="soc-scan-") as folder:
        whole = Path(folder, path.name.removesuffix(".gz"))
        if stream is not None:
            with whole.open("wb") as copy:
                shutil.copyfileobj(stream, copy)
        else:
            with opened(str(path)) as found, whole.open("wb") as copy:
                copy.writelines(blocks(found))
        yield whole


class Summary:
    """Counts hits by rule and file, for people."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}
        self._severities: dict[str, int] = {}

    def add(self, hit: Hit | Correlated) -> None:
        """Count one hit, or one burst."""
        rule = hit.rule
        time = hit.event.get("@timestamp")
        row = self._rows.get((rule.id, hit.path))
        if row is None:
            self._severities[rule.id] = rule.severity
            row = {"level": rule.level, "rule": rule.title, "hits": 0, "first": time, "last": time}
            row.update(path=hit.path, id=rule.id)
            self._rows[rule.id, hit.path] = row
        row["hits"] += 1
        if isinstance(time, str):
            row["first"] = min(row["first"] or time, time)
            row["last"] = max(row["last"] or time, time)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each rule and file, the gravest rules first."""
        rows = self._rows.values()
        return sorted(rows, key=lambda row: (-self._severities[row["id"]], row["rule"], row["path"]))


def rules_for(
    config: Config,
    folders: Sequence[Path] | None,
    level: str,
    progress: Progress | None = None,
) -> Ruleset:
    """The rules to scan with: those of `folders`, else the shipped ones and the user's; of `level` and above.

    Raises `UsageError` for an unknown level.
    """
    if level and level not in LEVELS:
        raise UsageError(f"there is no level {level!r}; the levels are {', '.join(LEVELS)}")
    chosen = list(folders) if folders else [content.shipped("rules"), *config.rules]
    found = load_rules(
        chosen,
        declared=declared_for(config),
        progress=progress,
        placeholders=config.placeholders,
    )
    least = LEVELS.index(level) if level else 0
    return found.select(lambda rule: rule.severity >= least)


def remarks(ruleset: Ruleset, tally: Tally) -> list[str]:
    """What a person must know about a finished scan, beside its hits."""
    out = [
        f"{rule.place}: cannot be decided: {rule.undecidable} ({rule.title})" for rule in ruleset.undecidable
    ]
    if broken := [rule for rule in ruleset.correlations if rule.definition is None]:
        left_out = counted(len(broken), "correlation rule")
        out.append(f"{left_out} left out: soc rule lint says what is wrong")
    if text := selection.left_out(ruleset.rules):
        out.append(text)
    if beyond := [rule for rule in ruleset.runnable if rule.beyond]:
        left_out = counted(len(beyond), "rule")
        out.append(f"{left_out} left out: they ask what was before, which only a store knows (soc sweep)")
    out += tally.remarks
    known = {rule.id: rule for rule in with_bases(ruleset.rules)}
    for rule_id, count in sorted(tally.undecided.items()):
        rule = known[rule_id]
        out.append(f"{rule.place}: undecided on {count} events, an expression ran out of time ({rule.title})")
    out.append(
        f"{counted(tally.events, 'event')} in {counted(tally.files, 'file')} "
        f"against {counted(len(alone(ruleset.runnable)), 'rule')}"
    )
    return out


def alone(rules: Iterable[Rule]) -> list[Rule]:
    """The rules that can be decided from files alone: without those that ask what a store remembers."""
    return [rule for rule in rules if not rule.beyond]


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def exit_code(tally: Tally, problems: Sequence[Problem]) -> int:
    """Failed when no file could be scanned, since silence is no clean bill; partly done with problems."""
    if not tally.files:
        return ExitCode.FAILED
    return ExitCode.PARTLY_DONE if problems else ExitCode.DONE
