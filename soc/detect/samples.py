"""Samples of a rule: log lines that must and must not fire it, taken through collector, store and sweep.

Beside `rules/onsite/x.yml` stands `rules/onsite/samples/x.yml`:

    cases:
      - name: a password guessed at night
        expect: fires            # or silent, or near_miss: silent, though the rule does look at such events
        collector: sshd
        lines:                   # as the program writes them; or `file:`, a path from this folder
          - 'Mar  2 02:14:05 web01 sshd[20177]: Accepted password for root from 203.0.113.55 port 51180 ssh2'
        timezone: Asia/Ho_Chi_Minh             # of times without a zone; UTC by default
        now: 2026-03-03T00:00:00Z              # when the lines were read: gives the year where there is none
        unreadable: true                       # the collector cannot read these lines, and that is the point
        repeat: {times: 40, every: 1m}         # all of it so often, each time so much later; {n} in the lines
                                               # is the number of the repetition
        times: [0s, 5s, 1h]                    # so long after the first event, one for each
        given:                                 # what was there before, and was swept before
          - collector: indicators
            lines: ['203.0.113.66']            # and timezone, now, repeat as above

A case is true to life: the collector reads a file, the events go into an embedded store of its own, and the
sweep raises what it raises. A case whose lines give no event, or cannot be read, has not shown anything and
is wrong. In a file with a correlation, the cases are about the correlation, not about the rules that are
there for it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from soc import yamlio
from soc.content import beside
from soc.detect.catalogue import quiet
from soc.detect.correlate.reading import bases_of
from soc.detect.correlate.stage import bursts_in
from soc.detect.rule import duration
from soc.errors import ContentError, Place, Problem, Severity

if TYPE_CHECKING:
    from soc.collect.collector import Collectors
    from soc.detect.rule import Rule
    from soc.detect.sweep import Sweeper
    from soc.event import Event
    from soc.store.contract import Store

FOLDER = "samples"
"""Name of the folder beside a rule that holds its samples."""

NOW = "2026-03-03T00:00:00Z"
"""When the lines of a case were read, unless it says otherwise."""

MEMORY = Path("/dev/shm")  # noqa: S108 - tempfile makes a folder in it for its owner alone
"""Where a bench keeps its store, where there is such a place: it is thrown away, so no disk is waited for."""

MEMORY_BYTES = 256 * 1024 * 1024
"""Room that must be free there."""

MIN_FIRES = 2
MIN_SILENT = 3
"""How many cases of a rule must fire, and how many must not (one of them a near miss)."""

_TOP = {"cases"}
_GIVEN = {"collector", "lines", "file", "timezone", "now", "repeat", "times"}
_CASE = _GIVEN | {"name", "expect", "unreadable", "given"}
_REPEAT = {"times", "every"}
MAX_REPEAT = 5_000
"""How often a case may repeat its lines."""


class Expect(StrEnum):
    """What a case says of its rule."""

    FIRES = "fires"
    SILENT = "silent"
    NEAR_MISS = "near_miss"


@dataclass(frozen=True, slots=True)
class Material:
    """Lines for a collector: either `lines` or `file` is set. `times`: how often they come, `every`: how much
    later each time."""

    collector: str
    lines: tuple[str, ...]
    file: Path | None
    timezone: str
    now: str
    times: int = 1
    every: timedelta = timedelta()
    offsets: tuple[timedelta, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(Material):
    """One example. `given`: what was there before it; `place` is where the case stands."""

    name: str
    expect: Expect
    unreadable: bool
    place: Place
    given: tuple[Material, ...] = ()


@dataclass(frozen=True, slots=True)
class Samples:
    """The cases of one rule file, and what is wrong with their file."""

    path: Path
    cases: tuple[Case, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What became of a case: `hits` events on which the rule is true; `fault` is "" when all is well."""

    rule: Rule
    case: Case
    events: int
    hits: int
    fault: str

    @property
    def passed(self) -> bool:
        """Whether the case went as expected."""
        return not self.fault


def samples_path(rule_path: Path) -> Path:
    """Where the samples of a rule file stand."""
    return rule_path.parent / FOLDER / rule_path.name


def load_samples(rule_path: Path) -> Samples:
    """The samples of a rule file; no cases when there are none. What is wrong is in `.problems`."""
    path = samples_path(rule_path)
    if not path.is_file():
        return Samples(path)
    try:
        document = yamlio.load(path)
    except ContentError as error:
        return Samples(path, (), tuple(error.problems))
    reader = _Reader(document, path)
    return Samples(path, tuple(reader.cases()), tuple(reader.problems))


class _Reader:
    """Reads a file of samples and collects every problem in it with its place."""

    def __init__(self, document: yamlio.YamlDocument, path: Path) -> None:
        self.document = document
        self.path = path
        self.problems: list[Problem] = []

    def problem(self, message: str, *at: str | int) -> None:
        self.problems.append(Problem("sample", message, self.document.place(*at)))

    def cases(self) -> Iterator[Case]:
        data = self.mapping(self.document.data, _TOP)
        listed = data.get("cases")
        if not isinstance(listed, list) or not listed:
            self.problem("`cases` must be a list of cases", "cases")
            return
        names: set[str] = set()
        for number, item in enumerate(listed):
            before = len(self.problems)
            case = self.case(self.mapping(item, _CASE, "cases", number), number)
            if case.name in names:
                self.problem(
                    f"the name {case.name!r} stands twice; give each case its own", "cases", number, "name"
                )
            names.add(case.name)
            if len(self.problems) == before:
                yield case

    def mapping(self, value: Any, known: set[str], *at: str | int) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.problem("a mapping is expected here", *at)
            return {}
        for key in value:
            if key not in known:
                self.problem(f"unknown key {key!r}; known here: {', '.join(sorted(known))}", *at, str(key))
        return value

    def text(
        self, data: Mapping[str, Any], key: str, at: tuple[str | int, ...], default: str | None = None
    ) -> str:
        value = data.get(key, default)
        if isinstance(value, str) and value:
            return value
        self.problem(f"`{key}` must be text" if key in data else f"`{key}` is missing", *at, key)
        return ""

    def case(self, data: Mapping[str, Any], number: int) -> Case:
        at = ("cases", number)
        lines, file = self.input(data, at)
        expect = self.text(data, "expect", at)
        if expect and expect not in set(Expect):
            self.problem(f"`expect` is one of {', '.join(Expect)}, not {expect!r}", *at, "expect")
        unreadable = data.get("unreadable", False)
        if not isinstance(unreadable, bool):
            self.problem("`unreadable` is true or false", *at, "unreadable")
        return Case(
            **self.material(data, at, lines, file),
            name=self.text(data, "name", at),
            expect=Expect(expect) if expect in set(Expect) else Expect.SILENT,
            unreadable=unreadable is True,
            place=self.document.place(*at),
            given=tuple(self.given(data, at)),
        )

    def given(self, data: Mapping[str, Any], at: tuple[str | int, ...]) -> Iterator[Material]:
        listed = data.get("given", [])
        if not isinstance(listed, list):
            self.problem("`given` must be a list", *at, "given")
            return
        for number, item in enumerate(listed):
            here = (*at, "given", number)
            inner = self.mapping(item, _GIVEN, *here)
            yield Material(**self.material(inner, here, *self.input(inner, here)))

    def material(
        self,
        data: Mapping[str, Any],
        at: tuple[str | int, ...],
        lines: tuple[str, ...],
        file: Path | None,
    ) -> dict[str, Any]:
        times, every = self.repeat(data, at)
        return {
            "collector": self.text(data, "collector", at),
            "lines": lines,
            "file": file,
            "timezone": self.zone(data, at),
            "now": self.now(data, at),
            "times": times,
            "every": every,
            "offsets": self.offsets(data, at),
        }

    def offsets(self, data: Mapping[str, Any], at: tuple[str | int, ...]) -> tuple[timedelta, ...]:
        listed = data.get("times", [])
        if not isinstance(listed, list):
            self.problem("`times` is a list of spans, one for each event", *at, "times")
            return ()
        out = []
        for number, span in enumerate(listed):
            try:
                out.append(timedelta() if span == "0s" else duration(str(span)))
            except ValueError as error:
                self.problem(f"`times`: {error}", *at, "times", number)
        return tuple(out)

    def repeat(self, data: Mapping[str, Any], at: tuple[str | int, ...]) -> tuple[int, timedelta]:
        if "repeat" not in data:
            return 1, timedelta()
        inner = self.mapping(data["repeat"], _REPEAT, *at, "repeat")
        times, every = inner.get("times"), inner.get("every")
        if type(times) is not int or not 1 <= times <= MAX_REPEAT:
            self.problem(f"`times` is a whole number up to {MAX_REPEAT:,}", *at, "repeat", "times")
            times = 1
        try:
            return times, duration(str(every))
        except ValueError as error:
            self.problem(f"`every`: {error}", *at, "repeat", "every")
            return times, timedelta()

    def input(
        self, data: Mapping[str, Any], at: tuple[str | int, ...]
    ) -> tuple[tuple[str, ...], Path | None]:
        if ("lines" in data) == ("file" in data):
            self.problem("a case needs either `lines` or `file`", *at)
            return (), None
        if "file" in data:
            try:
                return (), beside(self.path.parent, self.text(data, "file", at))
            except ValueError as error:
                self.problem(str(error), *at, "file")
                return (), None
        lines = data["lines"]
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
            self.problem("`lines` must be a list of texts, at least one", *at, "lines")
            return (), None
        return tuple(lines), None

    def zone(self, data: Mapping[str, Any], at: tuple[str | int, ...]) -> str:
        from soc.timing import is_zone

        name = self.text(data, "timezone", at, "UTC")
        if not is_zone(name):
            self.problem(f"unknown time zone {name!r}; use a name such as Asia/Ho_Chi_Minh", *at, "timezone")
        return name

    def now(self, data: Mapping[str, Any], at: tuple[str | int, ...]) -> str:
        text = self.text(data, "now", at, NOW)
        try:
            aware = datetime.fromisoformat(text).tzinfo is not None
        except ValueError:
            aware = False
        if not aware:
            self.problem("`now` must be a time with a zone, such as 2026-03-03T00:00:00Z", *at, "now")
        return text


def is_beneath(rule: Rule) -> bool:
    """Whether a rule stands in a file with a correlation, which the cases of the file are about."""
    if rule.correlation is not None or not rule.name or not samples_path(Path(rule.path)).is_file():
        return False
    try:
        documents = yamlio.load_all(Path(rule.path))
    except ContentError:
        return False
    return any(isinstance(d.data, dict) and "correlation" in d.data for d in documents)


def enough(rule_path: Path, samples: Samples) -> list[Problem]:
    """What a rule's samples lack: none at all, too few that fire or stay silent, no near miss."""
    if not samples.path.is_file():
        hint = f"write {samples.path}; soc rule new shows one"
        return [
            Problem("no_samples", "the rule has no samples", Place(str(rule_path)), Severity.WARNING, hint)
        ]
    if samples.problems:
        return []
    fires = sum(case.expect is Expect.FIRES for case in samples.cases)
    near = sum(case.expect is Expect.NEAR_MISS for case in samples.cases)
    lacks = []
    if fires < MIN_FIRES:
        lacks.append(f"{MIN_FIRES} cases that fire (there {'is' if fires == 1 else 'are'} {fires})")
    if len(samples.cases) - fires < MIN_SILENT:
        lacks.append(f"{MIN_SILENT} that do not (there are {len(samples.cases) - fires})")
    if not near:
        lacks.append("a near miss")
    place = Place(str(samples.path))
    return [Problem("few_samples", f"a rule needs {text}", place, Severity.WARNING) for text in lacks]


def _in_memory() -> Path | None:
    """`MEMORY` when it can be written and has room; None: the platform's folder for temporary files."""
    if not os.access(MEMORY, os.W_OK | os.X_OK):
        return None
    return MEMORY if shutil.disk_usage(MEMORY).free > MEMORY_BYTES else None


@dataclass
class Bench:
    """A place to try rules: an embedded store in a folder of its own, thrown away afterwards.

    Use it as a context manager. Each case's events are swept alone: with its rule, which keeps a position of
    its own in the store, or, where `rules` are given, with all of these together.
    """

    collectors: Collectors
    rules: Sequence[Rule] = ()
    _stack: ExitStack = field(default_factory=ExitStack)
    _sweepers: dict[str, Sweeper] = field(default_factory=dict)
    _count: int = 0

    def __enter__(self) -> Self:
        from soc.config import StoreSettings
        from soc.store import open_store

        scratch = tempfile.TemporaryDirectory(prefix="soc-samples-", dir=_in_memory())
        self._folder = Path(self._stack.enter_context(scratch))
        self._store: Store = self._stack.enter_context(open_store(StoreSettings(str(self._folder / "store"))))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, rule: Rule, case: Case) -> CaseResult:
        """Take one case through collector, store and sweep. Never raises for what the case holds."""
        if unusable := rule.undecidable or rule.blind:
            return CaseResult(rule, case, 0, 0, unusable)
        for material in (*case.given, case):
            if material.collector not in self.collectors:
                return CaseResult(rule, case, 0, 0, f"there is no collector {material.collector!r}")
        try:
            before = [event for material in case.given for event in self._events(material)]
            events = list(self._events(case))
        except (ContentError, _TimesError) as error:
            return CaseResult(rule, case, 0, 0, str(error))
        if rule.beyond or rule.definition:
            with self._world_of_its_own():
                return self._swept(rule, case, before, events)
        return self._swept(rule, case, before, events)

    @contextmanager
    def _world_of_its_own(self) -> Iterator[None]:
        """A store without what other cases left in it, for a rule that looks at what was before."""
        from soc.config import StoreSettings
        from soc.store import open_store

        shared = self._store, self._sweepers
        self._sweepers = {}
        with tempfile.TemporaryDirectory(dir=self._folder) as own:
            try:
                with open_store(StoreSettings(own)) as self._store:
                    yield
            finally:
                self._store, self._sweepers = shared

    def _swept(self, rule: Rule, case: Case, before: list[Event], events: list[Event]) -> CaseResult:
        from soc.event import moment

        now = datetime.fromisoformat(case.now)
        # a sweep's clock never goes back: what was given comes when the last of it was written
        self._now = max((moment(str(event["@timestamp"])) for event in before), default=now)
        sweeper = self._sweeper(rule)
        refused = ""
        if before:
            refused = self._append(rule, case, before)
            sweeper.run()
        self._now = now
        refused = refused or self._append(rule, case, events)
        found = sweeper.run().by_rule
        hits, undecided = found.get(rule.id, (0, 0))
        if rule.definition:
            hits = bursts_in(self._store, rule.id)
            undecided = sum(found.get(base.id, (0, 0))[1] for base in bases_of(rule))
        fault = _wrong_input(case, events) or refused or _wrong_verdict(rule, case, events, hits, undecided)
        return CaseResult(rule, case, len(events), hits, fault)

    def _sweeper(self, rule: Rule) -> Sweeper:
        name = "all" if self.rules else rule.id
        if name not in self._sweepers:
            from soc.detect.sweep import Sweeper

            # what looks back when the feed is caught up does so from when the lines were read
            clock = (lambda: self._now) if rule.beyond or rule.definition else None
            sweeper = Sweeper(
                self._store, self.rules or [rule], name=f"samples-{name}", clock=clock, keep=False
            )
            sweeper.run()  # the first sweep begins at the end of what is there
            self._sweepers[name] = sweeper
        return self._sweepers[name]

    def _events(self, material: Material) -> Iterator[Event]:
        from soc.collect.collector import Context
        from soc.collect.parsing import Run
        from soc.event import moment, timestamp

        context = Context(timezone=material.timezone, now=datetime.fromisoformat(material.now))
        numbered = any("{n}" in line for line in material.lines)
        events: list[Event] = []
        count = 0
        for turn in range(material.times):
            if turn == 0 or numbered:
                path = material.file or self._written(material, turn + 1)
                events = list(Run(self.collectors[material.collector], context).events(str(path)))
            for event in events:
                later = moment(str(event["@timestamp"])) + turn * material.every
                if material.offsets:
                    later = moment(str(events[0]["@timestamp"])) + _offset(material, count)
                yield {**event, "@timestamp": timestamp(later)}
                count += 1
        if material.offsets and len(material.offsets) != count:
            raise _TimesError(f"`times` has {len(material.offsets)} spans for {count} events")

    def _written(self, material: Material, number: int) -> Path:
        """The lines in a file, with the number of the repetition for `{n}`."""
        path = self._folder / "sample"
        text = "\n".join(material.lines) + "\n"
        path.write_text(text.replace("{n}", str(number)) if material.times > 1 else text, encoding="utf-8")
        return path

    def _append(self, rule: Rule, case: Case, events: Sequence[Event]) -> str:
        """Store the events; what the store said of those it did not take."""
        from soc.event import event_id
        from soc.store.contract import Fate, Incoming

        self._count += 1
        source = f"{rule.id}/{case.name}"
        origin = {"soc.source": source, "soc.path": case.place.path, "soc.generation": str(self._count)}
        incoming = [
            Incoming(
                event_id(source, str(self._count), at),
                {**event, **origin, "soc.offset": at, "event.ingested": event["@timestamp"]},
            )
            for at, event in enumerate(events)
        ]
        reasons = [o.reason or o.fate for o in self._store.append(incoming) if o.fate is not Fate.STORED]
        return f"the store did not take an event: {reasons[0]}" if reasons else ""


class _TimesError(Exception):
    """The times of a case do not fit its events."""


def _offset(material: Material, number: int) -> timedelta:
    return material.offsets[min(number, len(material.offsets) - 1)]


def _wrong_input(case: Case, events: Sequence[Event]) -> str:
    """What keeps the lines of a case from showing anything; "" when nothing does."""
    if not events:
        return f"the collector {case.collector} made no event of it"
    failed = [event for event in events if event.get("event.kind") == "pipeline_error"]
    if failed and not case.unreadable:
        return f"the collector {case.collector} could not read a line: {failed[0].get('error.message', '')}"
    if case.unreadable and not failed:
        return f"the collector {case.collector} could read it all, though the case says `unreadable`"
    return ""


def _wrong_verdict(rule: Rule, case: Case, events: Sequence[Event], hits: int, undecided: int) -> str:
    """How the sweep differs from what the case expects; "" when it does not."""
    from soc.detect.predicate import matches

    if undecided:
        return f"undecided on {undecided} of {len(events)} events: a regular expression ran out of time"
    if case.expect is Expect.FIRES:
        return "" if hits else f"it should fire and did not{_hidden_by(rule, events)}"
    if hits and rule.definition:
        return f"it should stay silent and raised {hits} alert{'' if hits == 1 else 's'}"
    if hits:
        return f"it should stay silent and fired on {hits} of {len(events)} events"
    origin = {"soc.source": f"{rule.id}/{case.name}"}  # as every event has that was collected
    if case.expect is Expect.NEAR_MISS and rule.definition:
        bases = bases_of(rule)
        if not any(matches(base.predicate, event) for base in bases for event in events):
            return "no near miss: none of the rules that it correlates is true of any of its events"
    elif case.expect is Expect.NEAR_MISS and not any(
        matches(rule.source, {**event, **origin}) for event in events
    ):
        return f"no near miss: none of its events belongs to the log source of the rule ({rule.logsource})"
    return ""


def _hidden_by(rule: Rule, events: Sequence[Event]) -> str:
    """The exceptions that keep a rule from firing on its own sample: nothing in the rule is wrong then."""
    from soc.detect.exceptions.model import bare
    from soc.detect.predicate import matches

    hidden = [event for event in events if matches(bare(rule), event)] if rule.exceptions else []
    found = [one.id[:8] for one in rule.exceptions if any(matches(one.hides, event) for event in hidden)]
    return f": hidden by the exception {', '.join(found)} (soc exception show)" if found else ""


def run_samples(rules: Sequence[Rule], collectors: Collectors) -> Iterator[CaseResult]:
    """Every case of every rule, in order. A rule file with several rules shares its samples among them."""
    silent = quiet(rules)
    with Bench(collectors) as bench:
        for rule in rules:
            if rule.id not in silent:
                for case in load_samples(Path(rule.path)).cases:
                    yield bench.run(rule, case)
