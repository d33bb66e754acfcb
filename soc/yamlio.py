"""YAML in which a string stays a string, every value knows its line, and nothing is executed.

PyYAML's own loaders follow YAML 1.1: `no` becomes False, `22:22` becomes 1342, `012` becomes 10 and
a time stamp becomes a datetime. This loader resolves plain scalars by the JSON schema of YAML 1.2.2
(section 10.2) alone: `null`, `~`, empty, `true`, `false`, decimal integers without leading zero, and
floats; everything else is text. A key given twice is an error, as is any tag.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from soc.errors import ContentError, Place, Problem

MAX_BYTES = 16 * 1024 * 1024
"""Largest content file that is read, in bytes: content is written by people."""

Event = Any
"""An event of PyYAML's parser, whose stubs know neither its tag nor its anchor."""

MAX_DEPTH = 100
"""Deepest nesting of content."""

Path_ = tuple[str | int, ...]

_INT = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, Any] = {"null": None, "~": None, "": None, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """The data of one YAML document and where each part of it stands.

    `marks` maps a path of keys and indices, such as `("steps", 2, "type")`, to (line, column) from 1.
    """

    path: str
    data: Any
    marks: Mapping[Path_, tuple[int, int]]

    def place(self, *parts: str | int) -> Place:
        """The place of the value at `parts`, or of its nearest ancestor that exists."""
        for end in range(len(parts), -1, -1):
            if mark := self.marks.get(tuple(parts[:end])):
                return Place(self.path, *mark)
        return Place(self.path)


class _Builder:
    """Builds the value of one document from parser events, so that depth is ours to bound.

    (The composer of libyaml recurses in C: 50,000 brackets would end the process.)
    """

    def __init__(self, path: str, events: Iterator[Event]) -> None:
        self.path = path
        self.events = events
        self.marks: dict[Path_, tuple[int, int]] = {}
        self.anchors: dict[str, Any] = {}

    def fail(self, event: Event, kind: str, message: str) -> ContentError:
        place = Place(self.path, event.start_mark.line + 1, event.start_mark.column + 1)
        return ContentError([Problem(kind, message, place)])

    def build(self, event: Event, at: Path_) -> Any:
        self.marks[at] = (event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise self.fail(event, "yaml_alias", f"*{event.anchor} refers to nothing before it")
            return self.anchors[event.anchor]
        if event.tag is not None and event.tag not in {"!", "tag:yaml.org,2002:str"}:
            raise self.fail(event, "yaml_tag", f"the tag {event.tag} is not allowed")
        if len(at) > MAX_DEPTH:
            raise self.fail(event, "too_deep", f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.ScalarEvent):
            value = event.value if event.style or event.tag else _resolve(event.value)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self.sequence(at)
        else:
            value = self.mapping(at)
        if event.anchor:
            # known only once it is complete: a value cannot contain itself
            self.anchors[event.anchor] = value
        return value

    def sequence(self, at: Path_) -> list[Any]:
        out: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            out.append(self.build(event, (*at, len(out))))
        return out

    def mapping(self, at: Path_) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        while not isinstance(key_event := next(self.events), yaml.MappingEndEvent):
            key = self.build(key_event, (*at, "?"))
            if isinstance(key, (list, dict)):
                raise self.fail(key_event, "yaml_key", "a key must be a plain value")
            if key in out:
                raise self.fail(key_event, "duplicate_key", f"the key {key!r} stands twice in one mapping")
            inner = (*at, key if isinstance(key, (str, int)) else str(key))
            out[key] = self.build(next(self.events), inner)
            # a finding about `key: value` points at the key, where the reader looks first
            self.marks[inner] = (key_event.start_mark.line + 1, key_event.start_mark.column + 1)
        return out


def _resolve(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text) if len(text) < 4000 else text  # Python refuses longer ones
    if _FLOAT.match(text):
        return float(text)
    return text


def parse_all(text: str, path: str) -> list[YamlDocument]:
    """All documents of a YAML stream; `path` is for messages.

    Raises `ContentError` with file, line and column for anything that is not well-formed.
    """
    documents = []
    try:
        events = yaml.parse(text, Loader=yaml.CSafeLoader)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                builder = _Builder(path, events)
                documents.append(YamlDocument(path, builder.build(next(events), ()), builder.marks))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(path, mark.line + 1, mark.column + 1) if mark else Place(path)
        raise ContentError([Problem("yaml_syntax", error.problem or "not well-formed YAML", place)]) from None
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise ContentError([Problem("yaml_syntax", str(error).split("\n", 1)[0], Place(path))]) from None
    return documents


def parse(text: str, path: str) -> YamlDocument:
    """The single document of a YAML text; an empty text gives `data` None, two documents are an error."""
    documents = parse_all(text, path)
    if len(documents) > 1:
        raise ContentError(
            [Problem("yaml_documents", "one document is expected here, not several", Place(path))]
        )
    return documents[0] if documents else YamlDocument(path, None, {})


def read_text(path: Path) -> str:
    """The text of a content file. Raises `ContentError` when it cannot be read, is too large or not UTF-8."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            # a pipe would keep the reader waiting, a device may have no end
            raise ContentError([Problem("unreadable", "not a regular file", Place(str(path)))])
        raw = path.read_bytes() if found.st_size <= MAX_BYTES else None
    except OSError as error:
        raise ContentError([Problem("unreadable", error.strerror or str(error), Place(str(path)))]) from None
    if raw is None:
        raise ContentError([Problem("too_large", f"larger than {MAX_BYTES} bytes", Place(str(path)))])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ContentError([Problem("encoding", "not UTF-8 text", Place(str(path), line))]) from None


def load(path: Path) -> YamlDocument:
    """The single YAML document in a file; errors as of `parse` and `read_text`."""
    return parse(read_text(path), str(path))


def load_all(path: Path) -> list[YamlDocument]:
    """All YAML documents in a file; errors as of `parse_all` and `read_text`."""
    return parse_all(read_text(path), str(path))


class _Dumper(yaml.SafeDumper):
    """Writes what `parse` reads back unchanged: text is quoted wherever it could be taken for more."""


def _represent_str(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if not text.replace("\n", "").isprintable():
        # other line ends and control characters survive only as escapes
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
    if "\n" in text and text.strip() == text.rstrip("\n") and "\t" not in text:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    plain = re.fullmatch(r"[A-Za-z_/][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*", text)
    risky = text.lower() in {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain and not risky else "'")


_Dumper.add_representer(str, _represent_str)


def dump(data: Mapping[str, Any] | Sequence[Any]) -> str:
    """YAML text of plain data (mappings, lists, str, int, float, bool, None), in the given key order."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text
