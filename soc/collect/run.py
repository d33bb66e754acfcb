"""A run of collection: the sources of the configuration, or files named by hand, into one store."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc.collect.checkpoint import EPOCHS_KEPT, Checkpoint, Counts, Epoch, Life, new_generation
from soc.collect.inputs.files import FileInput, expand
from soc.collect.inputs.identity import Fingerprint, file_stat
from soc.collect.inputs.reports import ReportInput, own_id
from soc.collect.inputs.stdin import PATH as STDIN
from soc.collect.inputs.stdin import StdinInput
from soc.collect.inputs.tail import Handles, Tail
from soc.collect.pipeline import Pipeline, Stopped
from soc.collect.stopping import Interrupted, Stop
from soc.config import Source, StoreSettings
from soc.errors import ContentError, ExitCode, StoreUnavailableError, UsageError
from soc.event import moment, timestamp
from soc.store.contract import VersionConflictError, Write

if TYPE_CHECKING:
    from soc.collect.collector import Collector, Collectors
    from soc.store.contract import Store

EPOCH_AGE = timedelta(days=1)
"""Age at which the base time of a file's life is taken anew, where everything before was acknowledged."""

SETTLE_SECONDS = 1.0
"""A file named by hand that did not change for this long is complete, its last line included."""

PASSES = 8
"""How often a run that does not follow looks again at files that are rotated or written to meanwhile."""

BUSY_SECONDS = 2.0
"""How long an embedded store is asked for its lock at once."""

PROGRESS_SECONDS = 0.2
"""How often progress is told, at most."""

STATE_KIND = "collect_state"


@dataclass(slots=True)
class SourceReport:
    """What became of one source in a run: numbers of this run, bytes left to read, and problems by path."""

    source: str
    collector: str
    files: int = 0
    counts: Counts = field(default_factory=Counts)
    pending: int = 0
    lag: int = 0
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def row(self) -> dict[str, Any]:
        """For tables and programs."""
        row = {"source": self.source, "collector": self.collector, "files": self.files, **asdict(self.counts)}
        row.update(pending=self.pending, lag=self.lag)
        row["problems"] = [f"{path.removeprefix('content:')}: {why}" for path, why in self.problems.items()]
        return row


def _nothing(_text: str) -> None:
    return


def _clock() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Options:
    """How to run. `by_hand`: the files were named by hand, so their last line is complete when they rest.

    `every`: seconds between looks while following. `note` takes remarks for people, `progress` the bytes that
    are left to read.
    """

    once: bool = False
    every: float = 1.0
    by_hand: bool = False
    note: Callable[[str], None] = _nothing
    progress: Callable[[int], None] | None = None
    clock: Callable[[], datetime] = _clock
    stdin: int = 0


class Run:
    """One run. The checkpoint is open, and thereby the state folder locked, while it lasts."""

    def __init__(
        self,
        sources: Sequence[Source],
        collectors: Collectors,
        store: Store,
        checkpoint: Checkpoint,
        options: Options | None = None,
        stop: Stop | None = None,
    ) -> None:
        self.options = Options() if options is None else options
        self.stop = Stop() if stop is None else stop
        self._store = store
        self._checkpoint = checkpoint
        self._handles = Handles()
        self._pipeline = Pipeline(store, checkpoint, self.stop, self.options.note, once=self.options.once)
        self._files: list[tuple[FileInput, Collector]] = []
        self._reports: list[tuple[ReportInput, Collector]] = []
        self._stdin: list[tuple[StdinInput, Collector]] = []
        self._unusable: list[SourceReport] = []
        self._said: dict[tuple[str, str], str] = {}
        self._shown = 0.0
        self._looked = False
        for source in sources:
            self._add(source, collectors)

    def _add(self, source: Source, collectors: Mapping[str, Collector]) -> None:
        options = self.options
        try:
            collector = collectors[source.collector]
        except KeyError:
            why = f"there is no collector {source.collector!r}; see: soc collector list"
            self._unusable.append(SourceReport(source.name, source.collector, problems={"collector": why}))
            return
        except ContentError as error:
            self._unusable.append(
                SourceReport(source.name, source.collector, problems={"collector": str(error)})
            )
            return
        if source.paths == (STDIN,):
            self._stdin.append((StdinInput(source, options.clock, options.stdin), collector))
        elif collector.framing == "file":
            self._reports.append(
                (ReportInput(source, self._checkpoint, options.clock, once=options.once), collector)
            )
        else:
            self._files.append((FileInput(source, self._checkpoint, self._handles, options.clock), collector))

    # running

    def run(self) -> list[SourceReport]:
        """Collect until all is read (`once`, or standard input ends) or until asked to stop.

        Raises `StoreUnavailableError` when a run that does not follow cannot reach the store, and
        `NotAuthorisedError` when the store refuses the user; what was acknowledged stays so.
        """
        for note in self._checkpoint.notes:
            self.options.note(note)
        try:
            with _fewer_collections():
                self._pipeline.persist(self._know_the_store)
                if self._stdin:
                    self._read_stdin()
                elif self.options.once:
                    self._once()
                else:
                    self._follow()
        except (Stopped, Interrupted):
            pass
        finally:
            self._handles.close()
        return self.reports()

    def _once(self) -> None:
        passes = 0
        while passes < PASSES and not self.stop:
            more = self._pass()
            if not any(one.behind for one, _ in self._files):
                if not more:
                    break
                passes += 1
        if self.options.by_hand and not self.stop:
            self._last_lines()

    def _last_lines(self) -> None:
        """Take the last lines of files that rest, though they have no line end."""
        halves = [tail for one, _ in self._files for tail in one.half_lines]
        if not halves:
            return
        newest = max(tail.stat.mtime_ns for tail in halves)
        self.stop.wait(min(SETTLE_SECONDS, max(0.0, SETTLE_SECONDS - (time.time_ns() - newest) / 1e9)))
        if not self.stop:
            for one, _ in self._files:
                one.take_last = True
            self._pass()

    def _follow(self) -> None:
        said = False
        while not self.stop:
            busy = self._pass()
            if not said:
                said = True
                files = sum(one.state.files for one in self._inputs())
                what = f"{_count(len(self._inputs()), 'source')}, {_count(files, 'file')}"
                self.options.note(f"following {what}; Ctrl-C ends")
            if not busy:
                self._new_epochs()
                self.stop.wait(self.options.every)

    def _pass(self) -> bool:
        """Look at every source once; whether there is more to read at once."""
        self._pipeline.persist(self._scan)
        self._progress()
        some = False
        for one, collector in self._files:
            for tail, chunk in one.read():
                if self.stop:
                    self._pipeline.discard()
                    return False
                some = True
                self._pipeline.take(tail.life, collector, chunk, mtime_ns=tail.stat.mtime_ns)
                self._progress()
        self._pipeline.flush()
        for report, collector in self._reports:
            some = self._read_reports(report, collector) or some
        self._tell()
        return some or any(one.again or one.behind for one, _ in self._files)

    def _progress(self) -> None:
        if self.options.progress and time.monotonic() - self._shown > PROGRESS_SECONDS:
            self._shown = time.monotonic()
            self.options.progress(self._lag())

    def _scan(self) -> None:
        for one, _ in self._files:
            one.scan()

    def _read_reports(self, one: ReportInput, collector: Collector) -> bool:
        due = self._pipeline.persist(one.scan)
        for life, path in due:
            try:
                before = file_stat(path)
                for number, event in one.read(life, path, collector):
                    if self.stop:
                        self._pipeline.discard()
                        return False
                    self._pipeline.take_record(life, number, event, own_id=own_id(life, number, event))
            except OSError as error:
                one.state.problems[str(path)] = error.strerror or str(error)
                self._pipeline.flush()
                continue
            self._pipeline.flush()
            self._pipeline.persist(lambda life=life, before=before: one.finish(life, before))  # type: ignore[misc] # bound here on purpose
        return bool(due)

    def _read_stdin(self) -> None:
        for one, collector in self._stdin:
            self._pipeline.persist(lambda life=one.life: self._checkpoint.save([life]))  # type: ignore[misc] # as above
            for chunk in one.read(self.stop):
                if chunk is None:
                    self._pipeline.flush()
                else:
                    self._pipeline.take(one.life, collector, chunk)
            self._pipeline.flush()

    def _lag(self) -> int:
        return sum(one.lag for one in self._inputs())

    def _inputs(self) -> list[FileInput | ReportInput]:
        return [*(one for one, _ in self._files), *(one for one, _ in self._reports)]

    def _tell_missing(self) -> None:
        """Say once which sources have no file."""
        if self._looked:
            return
        self._looked = True
        for one in self._inputs():
            if not one.state.files and not one.state.problems:
                self.options.note(f"{one.source.name}: no file matches {', '.join(one.source.paths)}")

    def _tell(self) -> None:
        """Say each problem once, when it is new."""
        self._tell_missing()
        now = {
            (one.source.name, path): why for one in self._inputs() for path, why in one.state.problems.items()
        }
        for (name, path), why in now.items():
            if self._said.get((name, path)) != why:
                self.options.note(f"{name}: {path.removeprefix('content:')}: {why}")
        self._said = now

    # what is fixed with a life

    def _know_the_store(self) -> None:
        """Begin at the beginning of every file when the store does not know this state: it is another one.

        Events that it has all the same keep their ids, so nothing is stored twice.
        """
        folder = self._checkpoint.folder
        name = folder / "id"
        state = name.read_text("ascii").strip() if name.exists() else ""
        if not state:
            state = new_generation()
            name.write_text(state + "\n", "ascii")
        if self._store.read(STATE_KIND, state) is not None:
            return
        ahead = [life for life in self._checkpoint.lives.values() if life.offset]
        if ahead:
            self.options.note("the store does not know what was collected before; reading all files anew")
            for life in ahead:
                _rewind(life)
            self._checkpoint.save(ahead)
        (result,) = self._store.write(
            [Write(STATE_KIND, state, {"begun": timestamp(self.options.clock())}, 0)]
        )
        if isinstance(result, VersionConflictError) and result.current is None:
            raise StoreUnavailableError("the store did not take the state of this collector")

    def _new_epochs(self) -> None:
        """Take settings and base time anew for lives that are read and acknowledged to their end."""
        now = self.options.clock()
        changed = [
            tail.life
            for one, _ in self._files
            for tail in one.tails()
            if _at_rest(tail) and _renew(tail.life, one.source, now)
        ]
        if changed:
            self._pipeline.persist(lambda: self._checkpoint.save(changed))

    # results

    def reports(self) -> list[SourceReport]:
        """What became of each source."""
        out = list(self._unusable)
        for one in self._inputs():
            report = SourceReport(one.source.name, one.source.collector, one.state.files)
            report.problems = dict(one.state.problems)
            report.lag = one.lag
            out.append(report)
        out += [SourceReport(one.source.name, one.source.collector, 1) for one, _ in self._stdin]
        for report in out:
            report.counts = self._pipeline.totals.get(report.source, Counts())
        return sorted(out, key=lambda r: r.source)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _rewind(life: Life) -> None:
    life.offset, life.last_time, life.size = 0, "", -1
    life.print = Fingerprint(life.print.head_size, life.print.head)


def _at_rest(tail: Tail) -> bool:
    return not tail.compressed and tail.life.offset == tail.position == tail.stat.size


def _renew(life: Life, source: Source, now: datetime) -> bool:
    old = life.epochs[-1]
    new = Epoch.begin(source, life.offset, now, old.encoding)
    if old.same_settings(new) and abs(moment(new.now) - moment(old.now)) < EPOCH_AGE:
        return False
    if old.offset == life.offset:
        life.epochs.pop()
    life.epochs = [*life.epochs[-EPOCHS_KEPT + 1 :], new]
    return True


@contextmanager
def _fewer_collections() -> Iterator[None]:
    """Events are many, flat and free of cycles: looking for cycles among them only costs time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def open_store(settings: StoreSettings) -> Store:
    """The store to collect into. It gives up soon when it is away or busy.

    The pipeline tries again by itself and says that it waits, and a wait within the store could not be cut
    short to end in time.
    """
    if settings.is_elastic:
        from soc.store.elastic import ElasticStore

        return ElasticStore.connect(settings, patience=BUSY_SECONDS)
    from soc.store.embedded import EmbeddedStore

    return EmbeddedStore.open(settings, busy_seconds=BUSY_SECONDS)


def exit_code(reports: Sequence[SourceReport]) -> int:
    """0 when every source could be read, 5 when some could not, 1 when none could."""
    failed = sum(1 for report in reports if report.problems)
    if not failed:
        return ExitCode.DONE
    whole = all(report.problems and not report.counts.read for report in reports)
    return ExitCode.FAILED if whole else ExitCode.PARTLY_DONE


def covering(file: str, sources: Sequence[Source], checkpoint: Checkpoint) -> Source | None:
    """The configured source that reads a file, or has read it under another name."""
    try:
        key = file_stat(Path(file).expanduser()).key
    except OSError:
        return None
    for source in sources:
        for path in (path for pattern in source.paths for path in expand(pattern)):
            with suppress(OSError):
                if file_stat(path).key == key:
                    return source
        if any((life.device, life.inode) == key for life in checkpoint.of(source.name)):
            return source
    return None


def by_hand(
    files: Sequence[str],
    collectors: Collectors,
    *,
    collector: str = "",
    timezone: str = "UTC",
    host: str = "",
) -> list[Source]:
    """Files named on the command line as sources, one for each collector; `-` is standard input.

    Without `collector`, each file's is recognised by its content. Raises `UsageError` for a file that is not
    there or that no collector recognises.
    """
    from soc.collect.recognise import recognise

    if STDIN in files:
        if len(files) > 1:
            raise UsageError("`-` (standard input) cannot be read together with files")
        if not collector:
            raise UsageError(
                "standard input cannot be recognised", hint="name its collector: --collector nginx"
            )
    if collector:
        collectors.find(collector)
    chosen: dict[str, list[str]] = {}
    for file in files:
        path = Path(file).expanduser()
        name = collector
        if file == STDIN:
            chosen.setdefault(name, []).append(STDIN)
            continue
        if not path.exists() and not any(c in file for c in "*?["):
            raise UsageError("there is no such file", place=path)
        if not name:
            if path.is_dir():
                raise UsageError("this is a folder", place=path, hint=f"name the files in it: {path}/*")
            known = recognise(path, collectors) if path.is_file() else None
            if known is None:
                raise UsageError(
                    "no collector recognises this file",
                    place=path,
                    hint="name one with --collector; soc collector list shows them",
                )
            name = known.name
        chosen.setdefault(name, []).append(str(path.absolute()))
    return [Source(name, name, tuple(paths), timezone, host=host) for name, paths in chosen.items()]
