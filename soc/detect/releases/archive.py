"""Reading a release of rules from a ZIP file or a folder, neither of which is trusted.

Nothing is unpacked: rule files are read into memory within bounds, and written by us under names that were
checked. What is no rule file is not read at all.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from soc.detect.pipelines import FOLDER
from soc.detect.releases import git
from soc.errors import SocError, UsageError

MAX_FILES = 50_000
"""Entries of an archive, or files of a folder."""

MAX_FILE = 1024 * 1024
"""Bytes of one rule file."""

MAX_TOTAL = 256 * 1024 * 1024
"""Bytes of all rule files together."""

_TOP = re.compile(r"rules(?:-[a-z0-9-]+)?\Z|deprecated\Z|unsupported\Z")
"""Folders of a release of SigmaHQ that hold rules."""

_RELEASE = re.compile(r"\br[0-9]{4}-[0-9]{2}-[0-9]{2}\b|\bv?[0-9]+\.[0-9]+(?:\.[0-9]+)?\b")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_LICENCES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENSE.Detection.Rules.md", "COPYING", "NOTICE")
_ABOUT = ("version.txt",)


@dataclass
class Material:
    """What a release holds: rule files by their path in it, what was passed over and why, and where from."""

    source: str
    version: str = ""
    commit: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    licences: dict[str, bytes] = field(default_factory=dict)
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def read(source: Path) -> Material:
    """The rule files of a ZIP file or folder.

    Raises `UsageError` for what is neither, `SocError` for an archive that is damaged, hostile or too large.
    """
    if source.is_dir():
        return _select(_Folder(source), Material(str(source.resolve())))
    if not source.is_file():
        raise UsageError("there is no such file or folder", place=source)
    try:
        with zipfile.ZipFile(source) as archive:
            return _select(_Zip(archive, source), Material(str(source.resolve())))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        # RuntimeError: encrypted; NotImplementedError: an unknown compression
        raise SocError(f"this cannot be read as a ZIP file: {error}", place=source) from None
    except OSError as error:
        raise SocError(error.strerror or str(error), place=source) from None


class _Folder:
    """The files below a folder; links are never followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> Iterator[tuple[str, bool]]:
        """Path of each file, and whether it is a plain file."""
        count = 0
        for root, folders, names in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                count += 1
                if count > MAX_FILES:
                    raise SocError(f"there are more than {MAX_FILES:,} files in it", place=self.folder)
                path = Path(root, name)
                yield path.relative_to(self.folder).as_posix(), stat.S_ISREG(path.lstat().st_mode)

    def read(self, name: str, most: int) -> bytes:
        """At most `most` bytes of a file."""
        handle = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            return file.read(most)

    def about(self) -> tuple[str, str]:
        """A name with the version in it, and the commit."""
        found = git.checkout_of(self.folder)
        # a folder that merely lies in some repository, such as one's own content, is no checkout of it
        commit = found.commit if found and found.root == self.folder.resolve() else ""
        return self.folder.resolve().name, commit


class _Zip:
    """The entries of an archive."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self.archive = archive
        self.path = path
        self.entries: dict[str, zipfile.ZipInfo] = {}

    def names(self) -> Iterator[tuple[str, bool]]:
        """Path of each entry that is no folder, and whether it is a plain file."""
        entries = self.archive.infolist()
        if len(entries) > MAX_FILES:
            raise SocError(f"there are more than {MAX_FILES:,} files in it", place=self.path)
        for entry in entries:
            name = entry.filename
            if _leads_outside(name) or _leads_outside(entry.orig_filename):
                raise SocError(f"it holds a path that leads outside: {name!r}", place=self.path)
            if name in self.entries:
                raise SocError(f"it holds {name!r} twice", place=self.path)
            self.entries[name] = entry
            if not entry.is_dir():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                yield name, kind in {0, stat.S_IFREG}

    def read(self, name: str, most: int) -> bytes:
        """At most `most` bytes of an entry, whatever the archive says of its size."""
        with self.archive.open(self.entries[name]) as file:
            return file.read(most)

    def about(self) -> tuple[str, str]:
        """A name with the version in it, and the commit (which GitHub writes into the comment)."""
        comment = self.archive.comment.decode("ascii", "replace").strip()
        return self.path.stem, comment if _COMMIT.match(comment) else ""


def _leads_outside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    odd = "\\" in name or ":" in name or any(ord(char) < 32 or ord(char) == 127 for char in name)
    return not name or odd or name.startswith("/") or ".." in parts


def _select(holder: _Folder | _Zip, material: Material) -> Material:
    """Read the rule files that a release holds."""
    listed = list(holder.names())
    wrapper = _wrapper([name for name, _ in listed])
    inner = [(name[len(wrapper) :], plain) for name, plain in listed]
    tops = {name.partition("/")[0] for name, _ in inner if "/" in name}
    tops = {top for top in tops if _TOP.match(top)}
    total = 0
    for name, plain in inner:
        if tops and name.partition("/")[0] not in tops and "/" in name:
            continue
        wanted, why = _is_rule_file(name), ""
        if not wanted and name not in _LICENCES + _ABOUT:
            continue
        if tops and wanted and "/" not in name:
            continue  # a file of the project, beside its folders of rules
        raw = holder.read(wrapper + name, MAX_FILE + 1) if plain else b""
        if not plain:
            why = "it is a link or no ordinary file"
        elif len(raw) > MAX_FILE:
            why = f"it is larger than {MAX_FILE:,} bytes"
        total += len(raw)
        if total > MAX_TOTAL:
            raise SocError(
                f"its rules are more than {MAX_TOTAL // 1024 // 1024} MB in all", place=material.source
            )
        _keep(material, name, raw, wanted, why)
    _describe(material, *holder.about(), wrapper)
    return material


def _keep(material: Material, name: str, raw: bytes, wanted: bool, why: str) -> None:
    if why:
        material.passed_over += [(name, why)] if wanted else []
    elif wanted:
        material.files[name] = raw
    elif name in _ABOUT:
        found = _RELEASE.search(raw[:4096].decode("utf-8", "replace"))
        material.version = found[0] if found else ""
    else:
        material.licences[name] = raw


def _describe(material: Material, name: str, commit: str, wrapper: str) -> None:
    """Version and commit, as far as file and folder names say them."""
    named = wrapper.strip("/")
    tail = named.rpartition("-")[2]
    material.commit = commit or (tail if _COMMIT.match(tail) else "")
    if not material.version:
        found = _RELEASE.search(named) or _RELEASE.search(name)
        material.version = found[0] if found else ""


def _is_rule_file(name: str) -> bool:
    *folders, last = name.split("/")
    if any(part in ("samples", FOLDER) or part.startswith(".") for part in folders):
        return False
    return last.endswith((".yml", ".yaml")) and not last.startswith(".")


def _wrapper(names: Iterable[str]) -> str:
    """The one folder that everything lies in, with a slash, as in the archives of GitHub; else ""."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    if len(tops) != 1:
        return ""
    (top,) = tops
    return f"{top}/" if top and not _TOP.match(top) else ""
