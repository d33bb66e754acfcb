"""The manifest of an imported set: where it came from, and what each of its files held when it came."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from soc.errors import SocError

NAME = "manifest.json"
FORMAT = 1
"""Version of the file's layout."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A rule as the manifest lists it."""

    id: str
    title: str
    status: str = ""
    name: str = ""
    kind: str = "rule"


@dataclass(frozen=True, slots=True)
class Held:
    """A file of a set: the SHA-256 of its content and the rules in it."""

    sha256: str
    rules: tuple[Listed, ...] = ()


@dataclass
class Manifest:
    """What was imported, from where, when (UTC), and what was left out and why."""

    name: str
    source: str
    version: str
    commit: str
    imported: str
    files: dict[str, Held] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def rules(self) -> dict[str, tuple[str, Listed]]:
        """Rule id to the path of its file and what is listed of it."""
        return {rule.id: (path, rule) for path, held in self.files.items() for rule in held.rules}

    def text(self) -> str:
        """The manifest as JSON with a line for each file, so that a version control shows what changed."""
        head = {"format": FORMAT, **{k: v for k, v in asdict(self).items() if k not in ("files", "left_out")}}
        lines = [f"  {_json(key)}: {_json(value)}," for key, value in head.items()]
        files = [
            f"    {_json(path)}: {_json([held.sha256, *[_row(rule) for rule in held.rules]])}"
            for path, held in sorted(self.files.items())
        ]
        out = [f"    {_json(path)}: {_json(why)}" for path, why in sorted(self.left_out.items())]
        return "\n".join(["{", *lines, *_block("left_out", out, ","), *_block("files", files), "}", ""])


def _block(name: str, rows: list[str], end: str = "") -> list[str]:
    return (
        [f"  {_json(name)}: {{", ",\n".join(rows), f"  }}{end}"] if rows else [f"  {_json(name)}: {{}}{end}"]
    )


def _row(rule: Listed) -> list[str]:
    return [rule.id, rule.title, rule.status, rule.name, rule.kind]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def digest(raw: bytes) -> str:
    """The SHA-256 of a file's content."""
    return hashlib.sha256(raw).hexdigest()


def load(folder: Path) -> Manifest | None:
    """The manifest of the set in a folder; None when there is none. Raises `SocError` for a damaged one."""
    path = folder / NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise SocError(f"the manifest cannot be read: {error}", place=path) from None
    try:
        if data["format"] != FORMAT:
            raise SocError("the manifest is of another version of this program", place=path)
        files = {
            str(name): Held(str(held[0]), tuple(Listed(*map(str, row)) for row in held[1:]))
            for name, held in data["files"].items()
        }
        about = {key: str(data[key]) for key in ("name", "source", "version", "commit", "imported")}
        return Manifest(**about, files=files, left_out=dict(data["left_out"]))
    except (KeyError, TypeError, AttributeError, IndexError):
        raise SocError("the manifest is damaged", place=path) from None


def edits(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Files of a set that are not as they were imported: path and `edited`, `deleted` or `added`."""
    there = {
        Path(root, name).relative_to(folder).as_posix()
        for root, _, names in os.walk(folder)
        for name in names
        if name.endswith((".yml", ".yaml"))
    }
    for path in sorted(there | manifest.files.keys()):
        held = manifest.files.get(path)
        if held is None:
            yield path, "added"
        elif path not in there:
            yield path, "deleted"
        elif digest((folder / path).read_bytes()) != held.sha256:
            yield path, "edited"
