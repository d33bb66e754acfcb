"""Exception files in the content folder: written once, changed only as they were read, never removed.

A new file appears whole or not at all, and never takes the place of another. A change is refused when the
file is no longer as it was read. Of a changed file only `custom_attributes` is written anew: comments and the
form of everything else stay.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc import yamlio
from soc.errors import ConflictError, SocError, UsageError
from soc.yamlio import YamlDocument

if TYPE_CHECKING:
    from soc.config import Config

FOLDER = "exceptions"
"""Name of the folder, within a folder of rules, that exceptions are written to."""
NAMES = 1_000
"""How many files may be called alike, with a number behind."""


def folder_of(config: Config) -> Path:
    """Where new exceptions go: below the first folder of rules in soc.yml. Raises `UsageError`."""
    folder = next((path for path in config.rules if not path.is_file()), None)
    if folder is None:
        where = config.path or "soc.yml"
        raise UsageError(
            "there is no content folder of your own to write the exception to",
            place=str(where),
            hint="name one in soc.yml, and make it: content: {rules: [my-rules]}",
        )
    return folder / FOLDER


def _fault(error: OSError, path: Path, what: str) -> SocError:
    why = error.strerror or str(error)
    return SocError(f"{what} cannot be written: {why}; nothing was changed", place=path)


@contextmanager
def _draft(path: Path, text: str) -> Iterator[Path]:
    """The text in a file beside `path` that no reader of content looks at; removed at the end."""
    draft = path.with_name(f".{path.stem}-{secrets.token_hex(6)}.draft")
    try:
        with draft.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def create(folder: Path, name: str, text: str, announce: Callable[[Path], None]) -> Path:
    """Write a new file `NAME.yml`, or `NAME-2.yml`… where there is one; its path.

    `announce` is called before the file appears, when its text is on disk already. Raises `SocError` where
    the folder cannot be written, and what `announce` raises; then there is no file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _draft(folder / f"{name}.yml", text) as draft, _locked(folder):
            path = free(folder, name)
            announce(path)
            _link(draft, path)
        return path
    except OSError as error:
        raise _fault(error, folder, "the exception") from None


def free(folder: Path, name: str) -> Path:
    """The path that a new file of that name gets, as long as nobody else takes it. Raises `SocError`."""
    return next(path for path in _names(folder, name) if not os.path.lexists(path))


def _names(folder: Path, name: str) -> Iterator[Path]:
    yield folder / f"{name}.yml"
    yield from (folder / f"{name}-{number}.yml" for number in range(2, NAMES))
    raise SocError(
        f"there are {NAMES} exceptions called {name}", place=folder, hint="--name gives another name"
    )


def _link(draft: Path, path: Path) -> None:
    """Let a file appear under its name; an existing one is never replaced."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        with path.open("x", encoding="utf-8", newline="") as file:  # a file system without hard links
            file.write(draft.read_text(encoding="utf-8"))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time among those that use this program."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


# ------------------------------------------------------------------ changing


@dataclass(frozen=True, slots=True)
class Read:
    """A file as it was read: its path, its text, and the document with the exception's id."""

    path: Path
    text: str
    document: YamlDocument
    digest: str

    @property
    def attributes(self) -> dict[str, Any]:
        """The `custom_attributes` of the exception."""
        found: dict[str, Any] = self.document.data["custom_attributes"]
        return found


def read(path: Path, line: int) -> Read:
    """An exception's file, and in it the document whose title stands in this line.

    Raises `ContentError` for one that cannot be read, `ConflictError` when the exception is gone from it.
    """
    digest = _digest(path)  # before the text, so that a change in between shows
    text = yamlio.read_text(path)
    for document in yamlio.parse_all(text, str(path)):
        data = document.data
        here = isinstance(data, dict) and document.place("title").line == line
        if here and isinstance(data.get("custom_attributes"), dict):
            return Read(path, text, document, digest)
    raise ConflictError(f"{path} was changed since it was read", hint="soc exception list")


def _digest(path: Path) -> str:
    """A hash of a file's bytes; "" for one that is not there, which then cannot be read either."""
    if not path.is_file():
        return ""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def version(path: Path) -> int:
    """A number that stands for a file's contents as they are now; 0 for a file that cannot be read."""
    try:
        return int(_digest(path)[:12] or "0", 16)
    except OSError:
        return 0


def rewrite(read_: Read, attributes: Mapping[str, Any], announce: Callable[[], None]) -> None:
    """Give an exception other attributes, in its file as it was read.

    `announce` is called before the file changes. Raises `ConflictError` when the file is not as it was read,
    `SocError` when it cannot be written.
    """
    path = read_.path
    text = _changed(read_, attributes)
    try:
        # what stands behind a symbolic link is changed, not the link
        real = path.resolve(strict=True)
        with _draft(real, text) as draft, _locked(real.parent):
            if _digest(real) != read_.digest:
                raise ConflictError(
                    f"{path} was changed by somebody else since you looked at it; nothing was saved",
                    hint=f"soc exception show {shlex.quote(path.stem)}, then the same command again",
                )
            announce()
            draft.chmod(real.stat().st_mode & 0o777)
            draft.replace(real)
    except FileNotFoundError:
        raise ConflictError(f"{path} is gone; nothing was saved", hint="soc exception list") from None
    except OSError as error:
        raise _fault(error, path, "the exception") from None


def _changed(read_: Read, attributes: Mapping[str, Any]) -> str:
    """The file's text with other attributes. Raises `SocError` where that cannot be done safely."""
    lines = read_.text.splitlines(keepends=True)
    marks = read_.document.marks
    first = marks[("custom_attributes",)][0]
    after = [at[0] for path, at in marks.items() if len(path) == 1 and at[0] > first]
    end = min(after, default=len(lines) + 1)
    ends = (n for n in range(first, min(end, len(lines) + 1)) if n > first and _is_end(lines[n - 1]))
    end = next(ends, end)
    while end > first + 1 and (not lines[end - 2].strip() or lines[end - 2].startswith("#")):
        end -= 1  # empty lines and comments before the next part stay
    block = yamlio.dump({"custom_attributes": dict(attributes)})
    newline = "\r\n" if lines[first - 1].endswith("\r\n") else "\n"
    if first > 1 and not lines[first - 2].endswith("\n"):
        block = "\n" + block
    text = "".join([*lines[: first - 1], block.replace("\n", newline), *lines[end - 1 :]])
    _check(read_, text, attributes)
    return text


def _is_end(line: str) -> bool:
    return line.rstrip() in {"---", "..."} or line.startswith(("--- ", "... "))


def _check(read_: Read, text: str, attributes: Mapping[str, Any]) -> None:
    """Refuse a text that would say anything else than the old one with these attributes."""
    before = [document.data for document in yamlio.parse_all(read_.text, str(read_.path))]
    wanted = [
        {**data, "custom_attributes": dict(attributes)} if data == read_.document.data else data
        for data in before
    ]
    try:
        same = [document.data for document in yamlio.parse_all(text, str(read_.path))] == wanted
    except SocError:
        same = False
    if not same:
        raise SocError(
            "this file is written in a way that cannot be changed here",
            place=read_.document.place("custom_attributes"),
            hint="change custom_attributes by hand, or write them as lines of their own",
        )
