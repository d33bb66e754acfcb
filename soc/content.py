"""Where content lies: collectors, rules and playbooks are shipped with the package, and a user's folders
extend or override them.

In a checkout the shipped folders are the top-level ones; in an installed wheel they are inside the
package. A user's file with the same `name` (collectors, playbooks) or `id` (rules) as a shipped one takes
its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

Kind = Literal["collectors", "rules", "playbooks"]

_PACKAGE = Path(__file__).resolve().parent


def shipped(kind: Kind) -> Path:
    """The folder of content that comes with the package."""
    installed = _PACKAGE / "_content" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def beside(folder: Path, name: str) -> Path:
    """The file that content names, in its own folder or below: content from elsewhere reads nothing else.

    Raises `ValueError` with a sentence for a file that is not there, is no regular file, or lies outside,
    also by way of a symbolic link.
    """
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
        there = path.is_file()
    except (OSError, RuntimeError):  # a loop of symbolic links, a name that is too long
        inside, there = True, False
    if not inside:
        raise ValueError(f"{path} lies outside of {folder}; a sample's file stands beside it or below")
    if not there:
        raise ValueError(f"there is no file {path}")
    return path


def files(folder: Path) -> Iterator[Path]:
    """The YAML files below a folder (or the file itself), sorted; samples and hidden files are left out.

    A file's samples stand in a folder `samples` beside it.
    """
    if folder.is_file():
        yield folder
        return
    for path in sorted([*folder.rglob("*.yml"), *folder.rglob("*.yaml")]):
        inner = path.relative_to(folder).parts
        if "samples" not in inner and not any(part.startswith(".") for part in inner):
            yield path
