"""The published set of rules: in the store, and as every sweeper takes it up.

Three kinds of documents make it:

- `rule_blob`: the text of one file, or of one list of files, under the SHA-256 of the text. What does not
  change from one set to the next is written once.
- `rule_set`: a set under the SHA-256 of its body: the lists of its files, and the order of its folders.
- `published`, one document: which set holds now, of which commit, who published it when, and those before.

Whoever reads a set checks every hash on the way down, so one audited document vouches for all of it. A
sweeper unpacks a set into its cache folder, whole or not at all, and reads it from there as any folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from soc.errors import ContentError, Place, Problem
from soc.store.contract import Document, Store

if TYPE_CHECKING:
    from soc.detect.ruleset import Progress, Ruleset

BLOB, SET, HEAD = "rule_blob", "rule_set", "published"
CURRENT = "rules"
"""The id of the one `published` document."""

DECLARED = "logsources.json"
"""A file of each set: which datasets the collectors of whoever published it declare for which log source."""

LISTS = "placeholders.json"
"""A file of each set: the values of all placeholders, also of those that stand in a configuration."""

MAX_FILES = 100_000
KEPT = 4
"""Unpacked sets that are kept in the cache folder."""

_READ_AT_ONCE = 500
_HASH = 64


@dataclass(frozen=True, slots=True)
class Release:
    """One published set. `dirty`: it held changes that are in no commit. `back`: it was a rollback."""

    number: int
    set: str
    commit: str
    dirty: bool
    rules: int
    at: str
    by: str
    back: bool = False

    @property
    def label(self) -> str:
        """The commit as alerts carry it: a set with changes that are in no commit says so."""
        return f"{self.commit}+changes" if self.dirty else self.commit

    def __str__(self) -> str:
        return f"{self.label[:12]}{'+changes' if self.dirty else ''} ({self.by}, {self.at[:16]}Z)"


@dataclass(frozen=True, slots=True)
class Head:
    """What the store says is published: the release that holds, and those before, the newest first."""

    release: Release
    history: tuple[Release, ...] = ()
    version: int = 0

    def body(self) -> dict[str, Any]:
        """As its document."""
        return {**asdict(self.release), "history": [asdict(one) for one in self.history]}


def head(store: Store) -> Head | None:
    """What is published in a store; None when nothing is. Raises `ContentError` for nonsense."""
    document = store.read(HEAD, CURRENT)
    return read_head(document) if document else None


def read_head(document: Document) -> Head:
    """A head out of its document. Raises `ContentError` for a damaged one."""
    try:
        body = dict(document.body)
        history = tuple(Release(**one) for one in body.pop("history"))
        return Head(Release(**body), history, document.version)
    except (KeyError, TypeError, ValueError):
        why = f"what the store says of the published rules cannot be read ({document.changed_by} wrote it)"
        raise ContentError([Problem("published", why, Place(f"{HEAD}/{CURRENT}"))]) from None


@dataclass
class Files:
    """The files of a set: path to SHA-256; `folders` in the order in which they are loaded."""

    folders: tuple[str, ...]
    hashes: dict[str, str] = field(default_factory=dict)


def hash_of(text: str) -> str:
    """What a text is known by."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def set_id(body: Mapping[str, Any]) -> str:
    """What a set is known by: the hash of its body as JSON with sorted keys."""
    return hash_of(json.dumps(body, sort_keys=True, separators=(",", ":")))


def list_files(store: Store, wanted: str) -> Files:
    """The files of a set. Raises `ContentError` for a set that is not there or damaged."""
    document = store.read(SET, wanted)
    if document is None:
        raise _damaged(wanted, "it is not in the store")
    body = document.body
    if set_id(body) != wanted:
        raise _damaged(wanted, "its list was changed")
    files = Files(tuple(str(name) for name in body["folders"]))
    for text in texts(store, wanted, list(body["lists"])).values():
        for path, digest in json.loads(text):
            files.hashes[_checked(wanted, str(path), files.folders)] = str(digest)
    if len(files.hashes) > MAX_FILES:
        raise _damaged(wanted, f"it has more than {MAX_FILES:,} files")
    return files


def texts(store: Store, wanted: str, hashes: Sequence[str]) -> dict[str, str]:
    """Texts by their hash. Raises `ContentError` when one is missing or was changed."""
    out: dict[str, str] = {}
    distinct = list(dict.fromkeys(hashes))
    for start in range(0, len(distinct), _READ_AT_ONCE):
        part = distinct[start : start + _READ_AT_ONCE]
        found = store.read_many(BLOB, part)
        for digest in part:
            text = found[digest].body.get("text") if digest in found else None
            if not isinstance(text, str):
                raise _damaged(wanted, f"the text {digest[:12]} is missing")
            if hash_of(text) != digest:
                raise _damaged(wanted, f"the text {digest[:12]} was changed by {found[digest].changed_by}")
            out[digest] = text
    return out


def _damaged(wanted: str, why: str) -> ContentError:
    place = Place(f"published set {wanted[:12]}")
    return ContentError(
        [Problem("published", f"the set cannot be used: {why}", place)], hint="soc rule publish, or rollback"
    )


def _checked(wanted: str, path: str, folders: Sequence[str]) -> str:
    """A path of a set, when it stays inside of it."""
    parts = PurePosixPath(path).parts
    odd = "\\" in path or "\0" in path or path.startswith("/") or "//" in path
    inside = path in (DECLARED, LISTS) or (len(parts) > 1 and parts[0] in folders)
    if odd or not inside or any(part in ("", ".", "..") or part.startswith(".") for part in parts):
        raise _damaged(wanted, f"it holds the path {path!r}")
    return path


# unpacking


def unpacked(store: Store, wanted: str, cache: Path) -> Path:
    """The folder with the files of a set, unpacked when it is not there yet.

    Raises `ContentError` for a set that is damaged, and when the cache folder cannot be written.
    """
    if len(wanted) != _HASH or not wanted.isalnum():
        raise _damaged(wanted, "that is no name of a set")
    target = cache / wanted
    if target.is_dir():
        return target
    files = list_files(store, wanted)
    known = texts(store, wanted, list(files.hashes.values()))
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=cache, prefix=".new-"))
        try:
            for folder in files.folders:
                (staged / folder).mkdir()
            for path, digest in files.hashes.items():
                (staged / path).parent.mkdir(parents=True, exist_ok=True)
                (staged / path).write_text(known[digest], encoding="utf-8", newline="")
            (staged / "folders.json").write_text(json.dumps(files.folders), encoding="utf-8")
            staged.rename(target)
        except OSError:
            shutil.rmtree(staged, ignore_errors=True)
            if not target.is_dir():  # it is there when another sweeper of this user was faster
                raise
    except OSError as error:
        why = f"the rules cannot be unpacked: {error.strerror or error}"
        raise ContentError([Problem("published", why, Place(str(cache)))]) from None
    _forget_old(cache, target)
    return target


def _forget_old(cache: Path, new: Path) -> None:
    there = [path for path in cache.iterdir() if len(path.name) == _HASH and path != new]
    there.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for old in there[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def load(folder: Path, commit: str, *, progress: Progress | None = None) -> Ruleset:
    """The rules of an unpacked set; each carries the commit."""
    import msgspec

    from soc.detect.logsources import Declared
    from soc.detect.ruleset import load_rules

    try:
        names = msgspec.json.decode((folder / "folders.json").read_bytes(), type=list[str])
        declared = msgspec.json.decode((folder / DECLARED).read_bytes(), type=list[Declared])
        lists = msgspec.json.decode((folder / LISTS).read_bytes(), type=dict[str, tuple[str, ...]])
    except (OSError, msgspec.MsgspecError) as error:
        raise ContentError(
            [Problem("published", f"it cannot be read: {error}", Place(str(folder)))]
        ) from None
    folders = [folder / name for name in names]
    return load_rules(
        folders,
        declared=declared,
        progress=progress,
        commit=commit,
        known_as="published",
        placeholders=lists,
    )


def shown_path(path: str) -> str:
    """The path of a rule as its content repository has it, when it lies in an unpacked set."""
    parts = Path(path).parts
    for at, part in enumerate(parts):
        if part == "published" and len(parts) > at + 2 and len(parts[at + 1]) == _HASH:
            return "/".join(parts[at + 2 :])
    return path


class PublishedRules:
    """The published rules as a sweeper has them: the last good set holds until a better one comes."""

    def __init__(self, store: Store, cache: Path, say: Callable[[str], None] = lambda _: None) -> None:
        self.store = store
        self.cache = cache / "published"
        self.say = say
        self.behind = False
        """Whether `begin` had to take an earlier set than the one that is published."""
        name = hashlib.blake2b(store.name.encode(), digest_size=8).hexdigest()
        self._last = self.cache / f"last-{name}.json"

    def signature(self) -> str:
        """Changes when another set is published. Raises as the store does."""
        document = self.store.read(HEAD, CURRENT)
        return f"{document.version}" if document else ""

    def load(self) -> Ruleset:
        """The set that is published now. Raises `ContentError` when it cannot be used, or there is none."""
        found = head(self.store)
        if found is None:
            raise ContentError(
                [Problem("published", "no rules are published in this store", Place(self.store.name))],
                hint="soc rule publish",
            )
        release = found.release
        rules = load(unpacked(self.store, release.set, self.cache), release.label).require_sound()
        self._keep(release)
        return rules

    def begin(self) -> Ruleset:
        """As `load`; the set that this machine used last when that one cannot be used, and that is said."""
        try:
            return self.load()
        except ContentError as error:
            last = self._kept()
            if last is None:
                raise
            for problem in error.problems:
                self.say(str(problem))
            rules = load(self.cache / last.set, last.label).require_sound()
            self.behind = True
            self.say(f"going on with the last set that could be read: {last}")
            return rules

    def _keep(self, release: Release) -> None:
        """Note which set is good."""
        staged = self._last.with_suffix(f".{os.getpid()}")
        try:
            staged.write_text(json.dumps(asdict(release)), encoding="utf-8")
            staged.replace(self._last)
        except OSError:
            staged.unlink(missing_ok=True)  # it is then only not known at the next start

    def _kept(self) -> Release | None:
        try:
            release = Release(**json.loads(self._last.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return release if (self.cache / release.set).is_dir() else None


def releases(store: Store) -> Iterator[Release]:
    """Every release that the store remembers, the one that holds first."""
    found = head(store)
    if found:
        yield found.release
        yield from found.history
