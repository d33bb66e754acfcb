"""What `soc rule explain` is asked about: a version of a rule, and an event, from wherever they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc import content, yamlio
from soc.detect.explain import Filter, Subject
from soc.errors import ContentError, Problem, UsageError

if TYPE_CHECKING:
    from soc.config import Config
    from soc.detect.pipelines import Pipelines
    from soc.detect.rule import Rule
    from soc.detect.ruleset import Ruleset
    from soc.detect.sigma import Part
    from soc.store.contract import Store
    from soc.yamlio import YamlDocument


@dataclass(frozen=True, slots=True)
class Asked:
    """One event to explain, where it is from, and the version of the rule that saw it ("" when unknown)."""

    event: Mapping[str, Any]
    where: str
    version: str = ""


# ------------------------------------------------------------------ events


def events_of(config: Config, text: str, *, store: Any, rule: str, limit: int = 0) -> list[Asked]:
    """The events that a text names: an alert's, one of the store, those of a file (`FILE:N`: one of them).

    `store` opens the store when it is needed; `limit` is how many events of a file are taken (0: a few more
    than are shown). Raises `UsageError` when there is none.
    """
    path, number = file_of(text)
    if path:
        return _recorded(config, path, number, limit or MAX_EVENTS + 1)
    from soc.respond import alerts

    opened: Store = store()
    if text.upper().startswith("A-"):
        alert = alerts.get(opened, text)
        version = str(alert.rule["version"]) if alert.rule["id"] == rule else ""
        found = alerts.events_of(opened, alert)
        if not found:
            raise UsageError(f"{alert.id} carries no event", hint=f"soc alert show {alert.id}")
        return [Asked(stored.event, f"{alert.id}, event {stored.id}", version) for stored in found]
    stored = opened.events([text])
    if not stored:
        raise UsageError(
            f"{text!r} is no alert, no event in the store, and no file",
            hint="soc search QUERY --fields id shows the ids of events",
        )
    return [Asked(one.event, f"event {one.id}") for one in stored]


def file_of(text: str) -> tuple[str, int | None]:
    """A file and a record in it; no file: ("", None)."""
    if text == "-" or Path(text).exists():
        return text, None
    name, _, number = text.rpartition(":")
    if name and number.isdigit() and (name == "-" or Path(name).exists()):
        return name, int(number)
    if "/" in text:
        raise UsageError("there is no such file", place=text)
    return "", None


MAX_EVENTS = 20
"""Events of a file that are explained when no record is named."""


def _recorded(config: Config, path: str, number: int | None, limit: int) -> list[Asked]:
    from soc.collect.collector import collectors_for
    from soc.collect.parsing import context_of
    from soc.detect.recorded import Recording

    recording = Recording([path], collectors_for(config), context_of(config.timezone, ""))
    out = []
    for one in recording:
        if number is None or one.record == number:
            out.append(Asked(one.event, one.where))
        if len(out) >= limit or (number is not None and out):
            break
    if recording.problems:
        raise ContentError(recording.problems)
    if not out:
        what = "there is no event in it" if number is None else f"it has no record {number}"
        raise UsageError(what, place=path, hint=f"soc scan {path} --output jsonl shows records")
    return out


# ------------------------------------------------------------------ rules


def subject_of(
    config: Config, ruleset: Ruleset | None, rule: Rule, *, stored: Mapping[str, Any] | None
) -> Subject:
    """A rule as it is, or as it was in the version that a store keeps (a document of kind `rule_version`).

    Field names and filters are those of today; a note says so. Raises `ContentError` when the text cannot be
    read.
    """
    from soc.detect import sigma

    pipelines = _pipelines(config, rule)
    place = f"{rule.path}:{rule.line}"
    if stored is None:
        documents = yamlio.load_all(Path(rule.path))
    else:
        documents = yamlio.parse_all(str(stored["text"]), str(stored["path"]))
        place = f"{stored['path']}:{stored['line']}, as it was on {str(stored['since'])[:10]}"
    line = rule.line if stored is None else int(stored["line"])
    document = next((d for d in documents if d.data is not None and d.place("title").line == line), None)
    if document is None:
        raise UsageError("the text of the rule cannot be found", place=rule.path)
    problems: list[Problem] = []
    found = sigma.check(document, problems)
    if found is None:
        raise ContentError(problems)
    compiled = sigma.compile_rule(document, found, pipelines)
    return Subject(
        id=rule.id,
        title=str(document.data.get("title") or rule.title),
        version=rule.version if stored is None else str(stored["version"]),
        place=place,
        source=rule.source,
        logsource=str(sigma.logsource_of(found)),
        conditions=compiled.parts,
        filters=tuple(_filters(ruleset, rule, pipelines)),
        notes=tuple(_notes(rule, compiled.undecidable, stored)),
    )


def _notes(rule: Rule, undecidable: str, stored: Mapping[str, Any] | None) -> Iterator[str]:
    if undecidable or rule.undecidable:
        yield f"undecidable: {undecidable or rule.undecidable}"
    if rule.blind:
        yield f"blind: {rule.blind}"
    if rule.off:
        yield f"not selected: {rule.off}"
    if stored is not None and stored["version"] != rule.version:
        yield "this is the version of the rule that raised the alert; filters and field names are today's"
    if rule.beyond:
        yield f"a hit is only the first step: {rule.beyond} decides about the alert"


def _pipelines(config: Config, rule: Rule) -> Pipelines:
    from soc.detect.pipelines import load_pipelines

    beside = [parent for parent in Path(rule.path).parents if (parent / "pipelines").is_dir()]
    folders = [content.shipped("rules"), *(f for f in config.rules if f.is_dir()), *beside[:1]]
    return load_pipelines(list(dict.fromkeys(folders)), config.placeholders)


def _filters(ruleset: Ruleset | None, rule: Rule, pipelines: Pipelines) -> Iterator[Filter]:
    """The filters of a rule, which are the last parts of its predicate."""
    from soc.detect.predicate import And

    parts = rule.predicate.parts if isinstance(rule.predicate, And) else ()
    if not rule.filters or len(parts) < len(rule.filters):
        return
    applied = {one.id: one for one in rule.exceptions}
    exemptions = ruleset.exemptions if ruleset else ()
    titles = {one.id: f"{one.title} ({one.short})" for one in exemptions}
    folders = ruleset.folders if ruleset else (Path(rule.path).parent,)
    for id_, condition in zip(rule.filters, parts[-len(rule.filters) :], strict=True):
        title, inner = _filter_document(folders, id_, rule, pipelines)
        name = titles.get(id_) or title or id_
        if id_ in applied and applied[id_].expires:
            name = f"{name}, until {applied[id_].expires[:10]}"
        yield Filter(id_, name, condition, inner, id_ in applied)


def _filter_document(
    folders: Sequence[Path], id_: str, rule: Rule, pipelines: Pipelines
) -> tuple[str, tuple[Part, ...]]:
    """The title of a filter and its parts by name; nothing when its text is not found."""
    from soc.detect import sigma

    for document in _documents_with(folders, id_):
        found = sigma.check(document, [])
        if found is not None:
            compiled = sigma.compile_filter(document, found, rule.logsource, pipelines)
            return str(document.data.get("title", "")), compiled.parts
    return "", ()


def _documents_with(folders: Sequence[Path], id_: str) -> Iterator[YamlDocument]:
    from soc.detect.releases.layers import rule_files

    for folder in reversed(folders):
        for path in rule_files(folder):
            try:
                if id_.encode() not in path.read_bytes().lower():
                    continue
                documents = yamlio.load_all(path)
            except (OSError, ContentError):
                continue  # lint names what cannot be read
            for document in documents:
                data = document.data
                if isinstance(data, dict) and "filter" in data and str(data.get("id", "")).lower() == id_:
                    yield document


def stored_version(store: Store, rule: str, version: str) -> Mapping[str, Any] | None:
    """A version of a rule as the store keeps it; None when it does not."""
    from soc.detect.ledger import RULE_VERSION, version_id

    document = store.read(RULE_VERSION, version_id(rule, version))
    return document.body if document and document.body.get("text") else None


# ------------------------------------------------------------------ correlations


MAX_CORRELATED = 1_000_000
"""Events of a file that a correlation is looked for in."""


def bursts(rule: Rule, asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """What a correlation finds in these events, as `soc scan` tells it: window, group, parts, the events at
    the beginning and end; `record` counts the events that were asked about, from 1.
    """
    from soc.detect.correlate.offline import Offline
    from soc.detect.correlate.reading import bases_of
    from soc.detect.matcher import Matcher
    from soc.detect.predicate import Verdict
    from soc.detect.scan import Hit

    offline, matcher = Offline([rule]), Matcher(bases_of(rule))
    hits = (
        Hit(match.rule, one.where, number, dict(one.event))
        for number, one in enumerate(asked, 1)
        for match in matcher.match(one.event)
        if match.verdict is Verdict.TRUE
    )
    for _ in offline.through(hits):
        pass
    newest = max((str(one.event.get("@timestamp", "")) for one in asked), default="")
    return [found.told() for found in offline.bursts(newest or None) if found.rule.id == rule.id]


def told_by(store: Store, text: str) -> dict[str, Any] | None:
    """What the alert of a correlation says of its burst; None when the text names no alert."""
    from soc.respond import alerts

    if not text.upper().startswith("A-"):
        return None
    body = alerts.get(store, text).body
    wanted = ("correlation", "group", "first", "last", "count", "value", "text", "parts")
    return {name: body[name] for name in wanted if name in body}
