"""YAML in which a string stays a string, every value knows its line, and nothing is executed.

PyYAML's own loaders follow YAML 1.1: `no` becomes False, `22:22` becomes 1342, `012` becomes 10 and
a time stamp becomes a datetime. This loader resolves plain scalars by the JSON schema of YAML 1.2.2
(section 10.2) alone: `null`, `~`, empty, `true`, `false`, decimal integers without leading zero, and
floats; everything else is text. A key given twice is an error, as is any tag.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from soc.errors import ContentError, Place, Problem

MAX_BYTES = 16 * 1024 * 1024
"""Largest content file that is read, in bytes: content is written by people."""

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


class _Loader(yaml.CSafeLoader):
    """Composes nodes without resolving scalars: the scalar's meaning is decided here, below."""


_Loader.yaml_implicit_resolvers = {}


class _Builder:
    def __init__(self, path: str) -> None:
        self.path = path
        self.marks: dict[Path_, tuple[int, int]] = {}
        self.open: set[int] = set()
        self.nodes = 0

    def fail(self, node: yaml.Node, kind: str, message: str) -> ContentError:
        place = Place(self.path, node.start_mark.line + 1, node.start_mark.column + 1)
        return ContentError([Problem(kind, message, place)])

    def build(self, node: yaml.Node, at: Path_) -> Any:
        self.nodes += 1
        if self.nodes > 1_000_000:
            raise self.fail(node, "too_large", "the document expands to more than a million values")
        self.marks[at] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if not node.tag.startswith("tag:yaml.org,2002:"):
            raise self.fail(node, "yaml_tag", f"the tag {node.tag} is not allowed")
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if id(node) in self.open:
            raise self.fail(node, "yaml_cycle", "an alias refers to a value that contains it")
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(child, (*at, i)) for i, child in enumerate(node.value)]
            return self.mapping(node, at)
        finally:
            self.open.discard(id(node))

    def scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        if node.style:  # quoted or a block: always text
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.match(text):
            return int(text) if len(text) < 4000 else text
        if _FLOAT.match(text):
            return float(text)
        return text

    def mapping(self, node: yaml.Node, at: Path_) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.build(key_node, (*at, "?"))
            if not isinstance(key, Hashable) or isinstance(key, (list, dict)):
                raise self.fail(key_node, "yaml_key", "a key must be a plain value")
            if key in out:
                raise self.fail(key_node, "duplicate_key", f"the key {key!r} stands twice in one mapping")
            inner = (*at, key if isinstance(key, (str, int)) else str(key))
            out[key] = self.build(value_node, inner)
            # a finding about `key: value` points at the key, where the reader looks first
            self.marks[inner] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        return out


def parse_all(text: str, path: str) -> list[YamlDocument]:
    """All documents of a YAML stream; `path` is for messages.

    Raises `ContentError` with file, line and column for anything that is not well-formed.
    """
    try:
        nodes = list(yaml.compose_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(path, mark.line + 1, mark.column + 1) if mark else Place(path)
        raise ContentError([Problem("yaml_syntax", error.problem or "not well-formed YAML", place)]) from None
    except yaml.YAMLError as error:
        raise ContentError([Problem("yaml_syntax", str(error).split("\n", 1)[0], Place(path))]) from None
    except RecursionError:
        raise ContentError([Problem("too_deep", "nested too deeply", Place(path))]) from None
    documents = []
    for node in nodes:
        builder = _Builder(path)
        documents.append(YamlDocument(path, None if node is None else builder.build(node, ()), builder.marks))
    return documents


def parse(text: str, path: str) -> YamlDocument:
    """The single document of a YAML text; an empty text gives `data` None, two documents are an error."""
    documents = parse_all(text, path)
    if len(documents) > 1:
        raise ContentError([Problem("yaml_documents", "one document is expected here, not several", Place(path))])
    return documents[0] if documents else YamlDocument(path, None, {})


def read_text(path: Path) -> str:
    """The text of a content file. Raises `ContentError` when it cannot be read, is too large or not UTF-8."""
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
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
