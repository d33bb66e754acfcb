"""Checks of collectors: what is wrong with a file (lint), and whether its samples give what they promise
(test)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from soc import ecs, yamlio
from soc.collect.collector import Collector, Collectors, Context, load
from soc.collect.formats import registry
from soc.collect.recognise import reads_anything
from soc.collect.spec import ALLOWED, Sample
from soc.content import beside
from soc.errors import ContentError, Place, Problem, Severity, UsageError
from soc.event import Event
from soc.timing import is_zone

NEEDED = (
    "@timestamp",
    "event.kind",
    "event.module",
    "event.dataset",
    "event.original",
    "soc.layer",
    "soc.collector",
)
"""Fields that every event has."""


def paths_of(collectors: Collectors, wanted: Sequence[str]) -> list[Path]:
    """The files that names, files and folders mean; those of all collectors when there are none.

    Raises `UsageError` for what is neither there as a file nor the name of a collector.
    """
    from soc import content

    if not wanted:
        return list(collectors.paths.values())
    out: list[Path] = []
    for name in wanted:
        if name in collectors.paths:
            out.append(collectors.paths[name])
        elif Path(name).exists():
            out += content.files(Path(name))
        elif "/" in name or name.endswith((".yml", ".yaml")):
            raise UsageError("there is no such file", place=name)
        else:
            collectors.find(name)
    return out


def lint(paths: Iterable[Path]) -> list[Problem]:
    """Everything wrong with collector files: what keeps them from use, and what a reviewer would ask."""
    out: list[Problem] = []
    for path in paths:
        collector, problems = load(path)
        out += problems
        if collector is not None:
            out += _advice(collector)
    return out


def _advice(collector: Collector) -> list[Problem]:
    document = yamlio.load(collector.path)

    def warn(kind: str, message: str, *at: str | int, hint: str = "") -> Problem:
        return Problem(kind, message, document.place(*at), Severity.WARNING, hint)

    out = []
    if not collector.samples:
        out.append(
            warn(
                "no_samples",
                "it has no samples, so nothing proves that it works",
                hint="soc collector try FILE",
            )
        )
    if not collector.spec.names and not collector.spec.first:
        out.append(warn("unrecognised", "`recognise` names no files; it is found by content alone"))
    if reads_anything(collector):
        message = "it reads any line of its format, so files are recognised by their names alone"
        hint = "write patterns, or `when`, that only its own log matches"
        out.append(warn("reads_anything", message, "streams", hint=hint))
    for i, stream in enumerate(collector.spec.streams):
        named = {*stream.part.values, *(t for case in stream.part.cases for t in case.values)}
        if "event.category" not in named and not collector.spec.spread and not stream.messages:
            out.append(
                warn("uncategorised", f"the stream {stream.name} sets no event.category", "streams", i)
            )
    declared = {logsource.dataset for logsource in collector.logsources}
    out.extend(
        Problem("logsource", f"{dataset} is no dataset of this collector", document.place("logsources"))
        for dataset in sorted(declared - set(collector.datasets))
    )
    return out


def context_of(sample: Sample) -> Context:
    """The context in which a sample is decoded. Raises ValueError for a zone or time that is none."""
    if not is_zone(sample.timezone):
        raise ValueError(f"unknown time zone {sample.timezone!r}; use a name such as Asia/Ho_Chi_Minh")
    return Context(timezone=sample.timezone, now=datetime.fromisoformat(sample.now))


def run(collector: Collector, sample: Sample) -> list[Event]:
    """The events of a sample."""
    decoder = collector.decoder(context_of(sample))
    if sample.record is not None:
        return [e for e in [decoder.record(sample.record)] if e is not None]
    if collector.framing == "lines":
        lines = sample.lines or tuple(sample.text.splitlines())
        if sample.file:
            lines = tuple(beside(collector.path.parent, sample.file).read_text("utf-8").splitlines())
        return [event for line in lines if (event := decoder.line(line.encode())) is not None]
    if sample.file:
        return [event for _, event in decoder.file(beside(collector.path.parent, sample.file))]
    with tempfile.TemporaryDirectory(prefix="soc-") as folder:
        path = Path(folder) / "sample"
        path.write_text(sample.text or "\n".join(sample.lines), "utf-8")
        return [event for _, event in decoder.file(path)]


def test(collector: Collector) -> list[Problem]:
    """What the samples of a collector promise and do not get; each as a problem at its line."""
    return [problem for _, problems in results(collector) for problem in problems]


test.__test__ = False  # type: ignore[attr-defined] # pytest takes names that begin with `test` for tests


def results(collector: Collector) -> Iterator[tuple[Sample, list[Problem]]]:
    """Each sample of a collector with what it promises and does not get."""
    document = yamlio.load(collector.path)
    for sample in collector.samples:
        place = document.place("samples", sample.index)
        try:
            events = run(collector, sample)
        except (OSError, ValueError, LookupError) as error:
            yield sample, [Problem("sample", f"{sample.name}: cannot be run: {error}", place)]
            continue
        out = _compare(sample, events, place)
        for event in events:
            out += [
                Problem("event", f"{sample.name}: {text}", place)
                for text in faults(event, spread=collector.spec.spread)
            ]
        yield sample, out


def _compare(sample: Sample, events: Sequence[Event], place: Place) -> list[Problem]:
    out = []
    wanted = sample.count if sample.count is not None else max(len(sample.expect), 1)
    if len(events) != wanted:
        out.append(Problem("sample", f"{sample.name}: {len(events)} events, expected {wanted}", place))
    for number, (expected, event) in enumerate(zip(sample.expect, events, strict=False), start=1):
        where = f"{sample.name}: event {number}: " if len(events) > 1 else f"{sample.name}: "
        for field, value in expected.items():
            if not same(event.get(field), value):
                got = "nothing" if field not in event else repr(event[field])
                why = f" ({event['error.message']})" if event["event.kind"] == "pipeline_error" else ""
                out.append(Problem("sample", f"{where}{field} is {got}, expected {value!r}{why}", place))
        out += [
            Problem("sample", f"{where}{field} is {event[field]!r}, expected nothing", place)
            for field in sample.absent
            if field in event
        ]
    return out


def same(got: Any, wanted: Any) -> bool:
    """Whether a value is what a sample expects: a list of one is its item, True is not 1."""
    if isinstance(wanted, list) and len(wanted) == 1:
        wanted = wanted[0]
    return bool(got == wanted) and isinstance(got, bool) == isinstance(wanted, bool)


def faults(event: Event, *, spread: bool = False) -> list[str]:
    """What is wrong with an event whatever it came from: missing fields, unknown names, wrong types or
    values."""
    out = [
        f"{name} is missing"
        for name in NEEDED
        if name not in event and event.get("event.kind") != "pipeline_error"
    ]
    if not spread:
        out += [f"{name} is not a field of ECS" for name in event if not ecs.is_known(name)]
    out += [f"{name}: {value!r} is not in the type of its field" for name, value in event.items()
            if ecs.conform({name: value}).get(name) != value]  # fmt: skip
    for name, allowed in ALLOWED.items():
        values = event.get(name)
        for value in values if isinstance(values, list) else [] if values is None else [values]:
            if value not in allowed:
                out.append(f"{name}: {value!r} is not a value that ECS allows")
    return out


def leftovers(collector: Collector, records: Sequence[bytes]) -> list[str]:
    """Raw names in records that the collector does not use: keys of documents, groups of patterns."""
    used = used_names(collector)
    parser = registry.FORMATS[collector.format]
    seen: dict[str, None] = {}
    if collector.format in {"text", "syslog"}:
        from soc.collect.patterns import groups

        for stream in collector.spec.streams:
            for part in (stream.part, *stream.messages):
                for pattern in part.patterns:
                    seen.update(dict.fromkeys(name for name in groups(pattern) if name))
        return sorted(set(seen) - used)
    if collector.spec.spread or parser.framing == "file":
        return []
    from soc.event import flatten

    for raw in records:
        try:
            document = parser.load()(raw.decode("utf-8", "replace"))
        except ValueError:
            continue
        if document:
            seen.update(dict.fromkeys(flatten(document)))
    return sorted(name for name in seen if not _is_used(name, used))


def _is_used(name: str, used: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:n]) in used for n in range(1, len(parts) + 1))


def used_names(collector: Collector) -> set[str]:
    """Raw names that a collector reads anywhere."""
    out: set[str] = set()
    for stream in collector.spec.streams:
        out |= {expression.name.strip("[]") for expression, _ in stream.time}
        out |= set(stream.keep.values())
        out |= {source for source, _, _ in stream.parse}
        for part in (stream.part, *stream.messages):
            out |= {e.name.strip("[]") for mapped in part.fields for e in mapped.sources}
            whens = [part.when, *(case.when for case in part.cases)]
            out |= {t.expression.name.strip("[]") for when in whens for tests in when for t in tests}
            out |= {part.within} - {""}
    return out


def named(collectors: Collectors, names: Sequence[str]) -> tuple[list[Collector], list[Problem]]:
    """Collectors by name or file; all of them for no names. What is broken is in the problems."""
    if not names:
        return list(collectors.values()), collectors.problems
    found: list[Collector] = []
    problems: list[Problem] = []
    for name in names:
        path = Path(name)
        if path.suffix in {".yml", ".yaml"}:
            collector, wrong = load(path)
            problems += wrong
            if collector is not None:
                collector.family = collectors
                found.append(collector)
            continue
        try:
            found.append(collectors.find(name))
        except ContentError as error:
            problems += error.problems
    return found, problems
