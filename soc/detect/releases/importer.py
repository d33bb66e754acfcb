"""Import a release of rules that others write, such as SigmaHQ's, apart from one's own.

It becomes `upstream/NAME/` in a folder of rules, with a manifest. A new release takes the place of the one
before as a whole: what was edited in between is noticed first, what local files say about rules that are gone
is listed, and a crash leaves the old set or the new one.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc.detect.releases import archive, manifest
from soc.detect.releases.conditions import RETIRED
from soc.detect.releases.layers import UPSTREAM
from soc.detect.releases.manifest import Held, Listed, Manifest
from soc.detect.releases.references import Reference, references
from soc.errors import ConflictError, SocError, UsageError
from soc.event import timestamp

if TYPE_CHECKING:
    from soc.config import Config
    from soc.detect.ruleset import Ruleset

DEFAULT_NAME = "sigmahq"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}\Z")
_RESERVED = ("own", "shipped")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that an import changes. `kind`: new, changed, removed, deprecated, left out."""

    kind: str
    id: str
    title: str
    path: str
    note: str = ""


@dataclass
class Import:
    """An import that is ready: what it would change, and the files that would be written."""

    target: Path
    before: Manifest | None
    after: Manifest
    contents: dict[str, bytes]
    changes: list[Change] = field(default_factory=list)
    gone: list[Reference] = field(default_factory=list)
    copies: list[Change] = field(default_factory=list)
    edits: list[tuple[str, str]] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """How many changes are of a kind."""
        return sum(change.kind == kind for change in self.changes)

    @property
    def same(self) -> bool:
        """Whether the files are those that are there already."""
        return self.before is not None and self.before.files == self.after.files and not self.edits

    def rows(self) -> Iterator[dict[str, Any]]:
        """Everything to look at, one row each."""
        for change in (*self.changes, *self.copies):
            yield {
                "change": change.kind,
                "title": change.title,
                "path": change.path,
                "note": change.note,
                "id": change.id,
            }
        for one in self.gone:
            yield {
                "change": "target gone",
                "title": one.what,
                "path": str(one.place),
                "note": one.note,
                "id": one.id,
            }
        for path, how in self.edits:
            yield {"change": f"locally {how}", "title": "", "path": path, "note": "", "id": ""}

    def summary(self) -> str:
        """The import in one line."""
        kinds = ("new", "changed", "removed", "deprecated", "left out")
        parts = [f"{self.count(kind):,} {kind}" for kind in kinds if self.count(kind)]
        said = ", ".join(parts) or "nothing changes"
        version = self.after.version or (self.after.commit[:12] if self.after.commit else "")
        count = len(self.after.rules)
        rules = f"{count:,} rule{'' if count == 1 else 's'}"
        return f"{self.after.name}{f' {version}' if version else ''}: {rules}; {said}"


def target_folder(config: Config, to: Path | None) -> Path:
    """The folder of rules to import into: the one that is named, else the first of the configuration.

    Raises `UsageError` when there is none.
    """
    if to is not None:
        if to.exists() and not to.is_dir():
            raise UsageError("this is no folder", place=to)
        whole = to.resolve()
        return next((folder for folder in config.rules if folder.resolve() == whole), whole)
    if not config.rules:
        raise UsageError(
            "no folder of rules of your own is configured",
            hint="name it with --to, or in soc.yml: content: {rules: [rules]}",
        )
    return config.rules[0]


def prepare(
    config: Config, source: Path, folder: Path, *, name: str = DEFAULT_NAME, progress: Progress | None = None
) -> Import:
    """Read and check a release, and find out what importing it would change. Writes nothing but the cache.

    Raises `UsageError` for a name that cannot be used and for what is no release of rules, `SocError` for an
    archive that is damaged or hostile.
    """
    from soc.detect.ruleset import load_rules, ruleset_for

    if not _NAME.match(name) or name in _RESERVED:
        raise UsageError(f"{name!r} cannot be the name of a set", hint="such as sigmahq: a-z, 0-9, _ and -")
    target = folder / UPSTREAM / name
    before = manifest.load(target)
    if before is None and target.is_dir() and any(target.iterdir()):
        raise UsageError("this folder holds rules that were not imported", place=target, hint="--name OTHER")
    folders = config.rules if folder in config.rules else (*config.rules, folder)
    # before the release is compiled: loading forgets what the cache has beyond the rules there are
    current = (
        ruleset_for(config)
        if folder in config.rules
        else load_rules(folders, placeholders=config.placeholders)
    )
    material = archive.read(source)
    after = Manifest(
        name, Path(material.source).name, material.version, material.commit, timestamp(datetime.now(UTC))
    )
    after.left_out = dict(material.passed_over)
    replaced = _take_in(config, folder, material, after, progress)
    if not after.files:
        first = next(iter(after.left_out.items()), None)
        why = f": {first[0]}: {first[1]}" if first else ""
        raise UsageError(
            f"there are no Sigma rules in it{why}", place=source, hint="a release of SigmaHQ, or a checkout"
        )
    found = Import(target, before, after, {**material.files, **material.licences})
    found.edits = list(manifest.edits(target, before)) if before else []
    found.changes = list(_changes(before, after, replaced))
    found.gone = _gone(current, found, folders, replaced)
    found.copies = list(_copies(current, found))
    return found


def _take_in(
    config: Config, folder: Path, material: archive.Material, after: Manifest, progress: Progress | None
) -> dict[str, str]:
    """Compile every file; those that are sound come into the manifest, the others are left out with why.

    Gives the ids that rules say they took the place of, with the title of the rule that does.
    """
    from soc import content
    from soc.detect.releases.selection import REPLACED_BY
    from soc.detect.ruleset import compile_texts

    folders = [content.shipped("rules"), *config.rules]
    if folder not in config.rules:
        folders.append(folder)
    seen: dict[str, str] = {}
    replaced: dict[str, str] = {}
    for path, entry in compile_texts(
        material.files, folders, placeholders=config.placeholders, progress=progress
    ):
        error = next((f for f in entry.findings if f.severity == "error"), None)
        twice = next((r for r in entry.records if r.id in seen), None)
        if error:
            after.left_out[path] = f"line {error.line}: {error.message}" if error.line else error.message
        elif twice:
            after.left_out[path] = f"the id {twice.id} stands already in {seen[twice.id]}"
        else:
            seen |= {record.id: path for record in entry.records}
            listed = tuple(Listed(r.id, r.title, r.status, r.name, r.kind) for r in entry.records)
            after.files[path] = Held(manifest.digest(material.files[path]), listed)
            for record in entry.records:
                replaced |= {id_: record.title for id_, kind in record.related if kind in REPLACED_BY}
    for path in after.left_out:
        material.files.pop(path, None)
    return replaced


def _changes(before: Manifest | None, after: Manifest, replaced: dict[str, str]) -> Iterator[Change]:
    old = before.rules if before else {}
    new = after.rules
    for id_, (path, rule) in new.items():
        if id_ not in old:
            yield Change("new", id_, rule.title, path, rule.status if rule.status in RETIRED else "")
            continue
        old_path, earlier = old[id_]
        moved = f"was {old_path}" if old_path != path else ""
        if rule.status in RETIRED and earlier.status not in RETIRED:
            yield Change("deprecated", id_, rule.title, path, _successor(id_, replaced) or moved)
        elif moved or (before and before.files[old_path].sha256 != after.files[path].sha256):
            yield Change("changed", id_, rule.title, path, moved)
    for id_, (path, rule) in old.items():
        if id_ not in new:
            yield Change("removed", id_, rule.title, path, _successor(id_, replaced))
    for path, why in sorted(after.left_out.items()):
        yield Change("left out", "", "", path, why)


def _successor(id_: str, replaced: dict[str, str]) -> str:
    return f"replaced by {replaced[id_]}" if id_ in replaced else ""


def _gone(
    current: Ruleset, found: Import, folders: Sequence[Path], replaced: dict[str, str]
) -> list[Reference]:
    """What local files say about rules of this set that are no longer in it, nor anywhere else."""
    others = [rule for rule in current.rules if not rule.path.startswith(f"{found.target}{os.sep}")]
    known = {rule.id for rule in others} | {rule.name for rule in others}
    known |= set(found.after.rules) | {rule.name for _, rule in found.after.rules.values()}
    known = {name.lower() for name in known}
    named = references(folders)
    return [one.noted(_successor(one.id, replaced)) for one in named if one.id.lower() not in known]


def _copies(current: Ruleset, found: Import) -> Iterator[Change]:
    """Own rules with the id of a rule of this set that changed: they are compared by hand."""
    own = {rule.id: rule for rule in current.rules if rule.origin == "own"}
    for change in found.changes:
        if change.kind in ("changed", "removed", "deprecated") and change.id in own:
            rule = own[change.id]
            note = f"upstream {change.kind}: {change.path}"
            yield Change("own copy", change.id, rule.title, str(rule.place), note)


def apply(found: Import, *, discard_edits: bool = False) -> None:
    """Write the set. Raises `ConflictError` for local edits, and when somebody else imports at this moment.

    The set is written beside, and takes the place of the old one at once.
    """
    if found.edits and not discard_edits:
        raise edited(found)
    upstream = found.target.parent
    try:
        upstream.mkdir(parents=True, exist_ok=True)
        with _alone(upstream):
            now = manifest.load(found.target)
            if now != found.before or (now and list(manifest.edits(found.target, now)) != found.edits):
                raise ConflictError(
                    f"{found.target} changed in the meantime", hint="look at it again: soc rule import …"
                )
            _put_back(upstream)
            _replace(found, upstream)
    except OSError as error:
        raise SocError(error.strerror or str(error), place=upstream) from None


def edited(found: Import) -> ConflictError:
    """The complaint about files of the set that were edited here."""
    listed = ", ".join(f"{path} ({how})" for path, how in found.edits[:3])
    more = f" and {len(found.edits) - 3} more" if len(found.edits) > 3 else ""
    return ConflictError(
        f"files of {found.after.name} were changed here since they were imported: {listed}{more}",
        theirs="importing would overwrite them",
        hint="keep what you need in a rule of your own with the same id, or in overrides.yml; "
        "then --discard-edits",
    )


def _replace(found: Import, upstream: Path) -> None:
    staged = Path(tempfile.mkdtemp(dir=upstream, prefix=".new-"))
    try:
        staged.chmod(0o755)
        for name, raw in found.contents.items():
            path = staged / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(raw)
        (staged / manifest.NAME).write_text(found.after.text(), encoding="utf-8")
        os.sync()  # the files must be there before the name is
        if not found.target.exists():
            staged.rename(found.target)
            return
        if not _exchange(staged, found.target):
            aside = upstream / f".before-{found.target.name}"
            found.target.rename(aside)
            staged.rename(found.target)
            staged = aside
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _put_back(upstream: Path) -> None:
    """Undo what a crash left between the two steps of a replacement, and remove what was never finished."""
    for aside in upstream.glob(".before-*"):
        target = upstream / aside.name.removeprefix(".before-")
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(target)
    for unfinished in upstream.glob(".new-*"):
        shutil.rmtree(unfinished, ignore_errors=True)


_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system cannot (renameat2(2) of Linux)."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    done = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if done == 0:
        return True
    if ctypes.get_errno() in {errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ENOTSUP}:
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder for this import. Raises `ConflictError` when another import holds it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"another import into {folder} is at work", hint="try again in a moment"
            ) from None
        yield
    finally:
        with suppress(OSError):
            os.close(handle)
