"""Habits of good rules: what pySigma's and SigmaHQ's validators look for, as findings with their place.

Only what makes sense for rules of one's own is here; conventions of one repository (capitals in titles,
prefixes of file names) are not. Everything is a warning.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from soc.detect import condition as conditions
from soc.detect.modifiers import KNOWN
from soc.detect.sigma import NOT_DETECTIONS
from soc.errors import Problem, Severity
from soc.yamlio import YamlDocument

KEYS = frozenset({
    "title", "id", "name", "related", "taxonomy", "status", "description", "license", "references", "author",
    "date", "modified", "logsource", "detection", "fields", "falsepositives", "level", "tags", "scope",
    "custom_attributes", "correlation", "filter", "simulation", "regression_tests_path",
})  # fmt: skip
"""Keys of Sigma documents, version 2.1, and two that SigmaHQ adds."""

MAX_TITLE = 256
"""Characters of a title, by the specification."""

TACTICS = (
    "reconnaissance", "resource-development", "initial-access", "execution", "persistence",
    "privilege-escalation", "stealth", "defense-evasion", "defense-impairment", "credential-access",
    "discovery", "lateral-movement", "collection", "command-and-control", "exfiltration", "impact",
)  # fmt: skip
"""Tactics of ATT&CK for enterprises as tags name them, in its order, with those of version 18 and 19."""

_GENERIC = {
    "sysmon": {1: "process_creation", 3: "network_connection", 6: "driver_load", 7: "image_load",
               8: "create_remote_thread", 10: "process_access", 11: "file_event", 22: "dns_query"},
    "security": {4688: "process_creation"},
}  # fmt: skip

_SAYS_NOTHING = {"none", "unknown cases", "pentest", "penetration test", "n/a", "tbd", "todo"}


def habits(document: YamlDocument) -> Iterator[Problem]:
    """Everything to say about how a document is written."""
    data = document.data
    if not isinstance(data, dict):
        return
    yield from _keys(document, data)
    yield from _texts(document, data)
    yield from _tags(document, data)
    part = "filter" if "filter" in data else "detection"
    if isinstance(found := data.get(part), dict):
        yield from _condition(document, found, part)
        for name, detection in found.items():
            if name not in NOT_DETECTIONS:
                yield from _detection(document, detection, (part, str(name)), data.get("logsource"))


def _warn(document: YamlDocument, kind: str, message: str, *at: str | int, hint: str = "") -> Problem:
    return Problem(kind, message, document.place(*at), Severity.WARNING, hint)


def _keys(document: YamlDocument, data: Mapping[str, Any]) -> Iterator[Problem]:
    for key in data:
        near = difflib.get_close_matches(str(key), KEYS, n=1, cutoff=0.8)
        if key not in KEYS and near:
            message = f"the key {key!r} is not part of Sigma; {near[0]!r} is meant?"
            yield _warn(document, "misspelt_key", message, str(key))
    source = data.get("logsource")
    for key in source if isinstance(source, dict) else ():
        if key not in {"category", "product", "service", "definition"}:
            yield _warn(
                document,
                "misspelt_key",
                f"a log source has no {key!r}: nobody evaluates it",
                "logsource",
                str(key),
            )


def _texts(document: YamlDocument, data: Mapping[str, Any]) -> Iterator[Problem]:
    title = str(data.get("title") or "")
    if len(title) > MAX_TITLE:
        yield _warn(document, "long_title", f"the title has {len(title)} characters; at most 256", "title")
    if data.get("status") in {"deprecated", "unsupported"}:
        yield _warn(document, "retired", f"its status is {data['status']}", "status")
    for name in ("references", "tags", "falsepositives"):
        listed = data.get(name)
        for value, number in Counter(map(str, listed)).items() if isinstance(listed, list) else ():
            if number > 1:
                yield _warn(document, "twice", f"{value!r} stands {number} times in {name}", name)
    listed = data.get("falsepositives")
    for number, text in enumerate(listed if isinstance(listed, list) else ()):
        if str(text).strip().lower().rstrip(".") in _SAYS_NOTHING:
            yield _warn(
                document, "empty_falsepositive", f"{text!r} helps no analyst", "falsepositives", number,
                hint="say what harmless thing looks like this, and how to tell",
            )  # fmt: skip


def _tags(document: YamlDocument, data: Mapping[str, Any]) -> Iterator[Problem]:
    import re

    listed = data.get("tags")
    for number, tag in enumerate(listed if isinstance(listed, list) else ()):
        space, _, name = str(tag).partition(".")
        known = name in TACTICS or re.fullmatch(
            r"(t\d{4}(\.\d{3})?|[gs]\d{4}|c\d{4}|ta\d{4}|m\d{4}|ds\d{4})", name
        )
        if space == "attack" and not known:
            near = difflib.get_close_matches(name.replace("_", "-"), TACTICS, n=1)
            hint = f"attack.{near[0]}" if near else "attack.t1059.001, attack.execution"
            yield _warn(
                document,
                "attack_tag",
                f"{tag!r} is no tactic or technique of ATT&CK",
                "tags",
                number,
                hint=hint,
            )


def _condition(document: YamlDocument, detections: Mapping[str, Any], part: str) -> Iterator[Problem]:
    stated = detections.get("condition")
    texts = [stated] if isinstance(stated, str) else stated if isinstance(stated, list) else []
    names = [str(name) for name in detections if name not in NOT_DETECTIONS]
    used: set[str] = set()
    for text in texts:
        try:
            used |= _used(conditions.parse(str(text)), names)
        except conditions.ConditionError:
            return
        if "all of them" in str(text) and len(names) > 1:
            message = "`all of them` takes in every detection, also filters that are added later"
            yield _warn(
                document, "all_of_them", message, part, "condition", hint="name them: all of selection_*"
            )
    for name in names:
        if name not in used:
            message = f"no condition uses the detection {name!r}"
            yield _warn(document, "unused_detection", message, part, name)
    if "timeframe" in detections:
        message = "`timeframe` belongs to aggregations, which are no longer part of Sigma"
        yield _warn(
            document, "timeframe", message, part, "timeframe", hint="write a correlation with a timespan"
        )


def _used(node: conditions.Condition, names: Sequence[str]) -> set[str]:
    if isinstance(node, conditions.Named):
        return {node.name}
    if isinstance(node, conditions.Of):
        return set(node.names(names))
    parts = (node.part,) if isinstance(node, conditions.Never) else node.parts
    return {name for part in parts for name in _used(part, names)}


def _detection(
    document: YamlDocument, found: Any, at: tuple[str | int, ...], source: Any
) -> Iterator[Problem]:
    if isinstance(found, list):
        for number, inner in enumerate(found):
            yield from _detection(document, inner, (*at, number), source)
        return
    if not isinstance(found, dict):
        return
    for key, raw in found.items():
        if isinstance(key, str):
            values = raw if isinstance(raw, list) else [raw]
            name, *chain = key.split("|")
            yield from _chain(document, name, chain, values, (*at, key))
            yield from _values(document, chain, values, (*at, key))
            yield from _source(document, name, values, (*at, key), source)


_PARTIAL = {"contains", "startswith", "endswith", "re", "cidr", "gt", "gte", "lt", "lte", "fieldref"}


def _chain(
    document: YamlDocument, name: str, chain: Sequence[str], values: Sequence[Any], at: tuple[str | int, ...]
) -> Iterator[Problem]:
    for modifier, number in Counter(m for m in chain if m in KNOWN).items():
        if number > 1 and modifier != "base64":
            yield _warn(document, "modifier_twice", f"the modifier {modifier} stands {number} times", *at)
    if "all" in chain and len(values) == 1:
        yield _warn(document, "single_all", "`all` on a single value says nothing", *at, hint="leave it out")
    wild = any(isinstance(v, str) and set(v) & {"*", "?"} for v in values)
    if name and "all" in chain and len(values) > 1 and not wild and not _PARTIAL & set(chain):
        message = f"only a {name} with several values can be all of these"
        yield _warn(document, "all_whole", message, *at, hint="contains is meant?")
    if "base64offset" in chain and "contains" not in chain:
        message = "`base64offset` without `contains` finds a value only where nothing stands around it"
        yield _warn(document, "offset_whole", message, *at, hint="|base64offset|contains")


_TEXTUAL = {"contains", "startswith", "endswith", "re", "cased", "base64", "base64offset", "wide"}


def _values(
    document: YamlDocument, chain: Sequence[str], values: Sequence[Any], at: tuple[str | int, ...]
) -> Iterator[Problem]:
    for number, value in enumerate(values):
        here = (*at, number) if len(values) > 1 else at
        if isinstance(value, float) and _TEXTUAL & set(chain):
            message = f"{value} was read as a number: 1.10 and 1.1 are one"
            yield _warn(document, "number_as_text", message, *here, hint="put the text in quotes")
        if not isinstance(value, str) or "re" in chain:
            continue
        if any(c < " " for c in value):
            message = (
                "the value holds a control character: a backslash before a letter, within double quotes?"
            )
            yield _warn(document, "control_character", message, *here, hint="use single quotes")
        if "**" in value.replace("\\*", ""):
            yield _warn(document, "double_wildcard", "`**` is `*`", *here)
        if "\\" in value.replace("\\\\", "").replace("\\*", "").replace("\\?", "") and (
            "\\*" in value.replace("\\\\", "") or "\\?" in value.replace("\\\\", "")
        ):
            message = "the * or ? after a backslash is a plain sign here, not a wildcard"
            yield _warn(
                document, "plain_wildcard", message, *here, hint="`\\\\*` is a backslash and any text"
            )
    word = {_ends(value) for value in values}
    if len(word) == 1 and "" not in word and not set(chain) & {"contains", "startswith", "endswith", "re"}:
        yield _warn(document, "wildcard_for_modifier", f"`{word.pop()}` says this more clearly", *at)


def _ends(value: Any) -> str:
    """The modifier that says what wildcards at the ends of a value say; "" when none does."""
    inner = value.strip("*") if isinstance(value, str) else ""
    if not inner or set(inner) & {"*", "?"} or inner.endswith("\\"):
        return ""
    ends = (value.startswith("*"), value.endswith("*"))
    return {(True, True): "contains", (True, False): "endswith", (False, True): "startswith"}.get(ends, "")


def _source(
    document: YamlDocument, name: str, values: Sequence[Any], at: tuple[str | int, ...], source: Any
) -> Iterator[Problem]:
    service = source.get("service") if isinstance(source, dict) and not source.get("category") else None
    for value in values:
        category = _GENERIC.get(str(service), {}).get(value) if isinstance(value, int) else None
        if name == "EventID" and category:
            message = f"event {value} of {service} has a log source of its own that finds it everywhere"
            yield _warn(document, "specific_source", message, *at, hint=f"category: {category}")
