"""Publish the rules of a content repository as one set, and go back to an earlier one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc import content
from soc.detect import placeholders
from soc.detect.releases import git, published
from soc.detect.releases.layers import SHIPPED
from soc.detect.releases.published import BLOB, CURRENT, DECLARED, HEAD, LISTS, SET, Files, Head, Release
from soc.errors import ConflictError, ContentError, SocError, UsageError
from soc.event import timestamp
from soc.store.contract import Document, Store, VersionConflictError, Write

if TYPE_CHECKING:
    from soc.config import Config
    from soc.detect.rule import Rule
    from soc.detect.ruleset import Ruleset

REMEMBERED = 50
"""Earlier releases that the store remembers, to go back to."""

PARTS = 64
"""A set's list of files is cut into so many parts, by the hash of the path: one change rewrites one part."""

_WRITE_AT_ONCE = 200
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """How a rule differs between two sets.

    `kind`: new, changed, removed, on and off (by the selection), shadow and alert (its mode), settings.
    """

    kind: str
    rule: Rule
    note: str = ""

    def row(self) -> dict[str, Any]:
        """As one row."""
        return {
            "change": self.kind,
            "title": self.rule.title,
            "level": self.rule.level,
            "note": self.note,
            "id": self.rule.id,
            "path": published.shown_path(self.rule.path),
        }


def differences(before: Ruleset | None, after: Ruleset) -> Iterator[Difference]:
    """What changes for the rules between two sets, the new and changed ones first."""
    old = before.by_id if before else {}
    for rule in after.rules:
        earlier = old.get(rule.id)
        if earlier is None:
            yield Difference("new", rule, rule.off)
            continue
        if rule.version != earlier.version or rule.correlation != earlier.correlation:
            yield Difference("changed", rule)
        if bool(rule.off) != bool(earlier.off):
            yield Difference("off" if rule.off else "on", rule, rule.off or f"was: {earlier.off}")
        elif rule.mode != earlier.mode and not rule.off:
            yield Difference(rule.mode, rule, f"was: {earlier.mode}")
        changed = [name for name in _SETTINGS if getattr(rule, name) != getattr(earlier, name)]
        if changed:
            yield Difference("settings", rule, ", ".join(changed))
    for id_, earlier in old.items():
        if id_ not in after.by_id:
            yield Difference("removed", earlier)


_SETTINGS = ("level", "playbooks", "group_by", "window")


@dataclass
class Draft:
    """A set that is ready to be published, and how it differs from the one that is."""

    files: Files
    texts: dict[str, str]
    commit: str
    edited: list[str]
    rules: Ruleset
    before: Head | None = None
    changes: list[Difference] = field(default_factory=list)
    unknown: str = ""
    """Why what is published now could not be compared with; "" when it could."""

    @property
    def body(self) -> dict[str, Any]:
        """The body of its document."""
        return {"folders": list(self.files.folders), "lists": list(self._lists()), "files": len(self.texts)}

    @property
    def id(self) -> str:
        """What the set is known by."""
        return published.set_id(self.body)

    @property
    def same(self) -> bool:
        """Whether exactly this is published already."""
        if self.before is None:
            return False
        now = self.before.release
        return (now.set, now.commit, now.dirty) == (self.id, self.commit, bool(self.edited))

    def _lists(self) -> dict[str, str]:
        """The list of files in parts: hash to text."""
        parts: dict[int, list[list[str]]] = {}
        for path, digest in sorted(self.files.hashes.items()):
            parts.setdefault(int(published.hash_of(path)[:8], 16) % PARTS, []).append([path, digest])
        written = [json.dumps(parts[number], ensure_ascii=False) for number in sorted(parts)]
        return {published.hash_of(text): text for text in written}

    def blobs(self) -> dict[str, str]:
        """Every text of the set by its hash."""
        return {**self._lists(), **{self.files.hashes[path]: text for path, text in self.texts.items()}}

    def summary(self) -> str:
        """The set in one line."""
        return f"{self.commit[:12]}{' with changes' if self.edited else ''}: {tally(self.changes)}"


def tally(changes: Sequence[Difference]) -> str:
    """How many changes there are of each kind, in words."""
    words = {"on": "selected", "off": "no longer selected", "shadow": "to shadow", "alert": "to alerts"}
    kinds = ("new", "changed", "removed", "on", "off", "shadow", "alert", "settings")
    counts = {kind: sum(change.kind == kind for change in changes) for kind in kinds}
    parts = [f"{number:,} {words.get(kind, kind)}" for kind, number in counts.items() if number]
    return ", ".join(parts) or "no rule changes"


def draft(
    config: Config,
    store: Store,
    cache: Path,
    *,
    allow_dirty: bool = False,
    progress: Progress = lambda _done, _all: None,
) -> Draft:
    """The rules of the configuration as a set, checked, with what it would change. Writes nothing.

    `cache`: the platform's cache folder. Raises `UsageError` when the rules are in no git repository, or have
    changes that are in no commit, `ContentError` with all errors of the rules.
    """
    from soc.detect.ruleset import ruleset_for

    before = published.head(store)
    commit, edited = _commit(config)
    if edited and not allow_dirty:
        shown = ", ".join(edited[:3]) + (f" and {len(edited) - 3} more" if len(edited) > 3 else "")
        raise UsageError(
            f"these files are in no commit, so nobody could tell what was published: {shown}",
            hint="commit them, or --allow-dirty (it is recorded)",
        )
    rules = ruleset_for(config, progress=progress)
    _require_sound(config, rules)
    folders = [content.shipped("rules"), *config.rules]
    files, texts = _collect(config, folders)
    made = Draft(files, texts, commit, edited, rules, before)
    now = None
    if before:
        try:
            now = _loaded(store, before.release, cache)
        except ContentError as error:
            made.unknown = error.message  # a new set can take its place
    made.changes = list(differences(now, rules))
    return made


def _commit(config: Config) -> tuple[str, list[str]]:
    """The commit of the rules (several joined by `+`, when they come from several repositories), and the
    files that are in none.
    """
    if not config.rules:
        raise UsageError(
            "no folder of rules of your own is configured, so there is nothing to publish",
            hint="in soc.yml: content: {rules: [rules]}",
        )
    commits: list[str] = []
    edited: list[str] = []
    for folder in config.rules:
        checkout = git.require_checkout(folder)
        if not checkout.commit:
            raise UsageError("there is no commit yet", place=checkout.root, hint="git add, git commit")
        commits.append(checkout.commit)
        edited += checkout.uncommitted(folder)
    return "+".join(dict.fromkeys(commits)), list(dict.fromkeys(edited))


def _require_sound(config: Config, rules: Ruleset) -> None:
    """Refuse rules with errors: any that keep a set from being loaded, and those of lint in own rules."""
    from soc.collect.collector import collectors_for
    from soc.detect.lint import lint
    from soc.errors import Severity
    from soc.playbook.library import playbooks_for

    rules.require_sound()
    own = rules.select(lambda rule: rule.origin == "own" and not rule.off)
    found = lint(
        own, collectors=collectors_for(config), playbooks=set(playbooks_for(config)), severities=config.lint
    )
    errors = [problem for problem in found if problem.severity is Severity.ERROR]
    if errors:
        raise ContentError(errors, hint="correct them: soc rule lint")


def _collect(config: Config, folders: Sequence[Path]) -> tuple[Files, dict[str, str]]:
    """The files of a set and their texts."""
    import msgspec

    from soc.detect.logsources import declared_in

    names: list[str] = []
    texts: dict[str, str] = {}
    for number, folder in enumerate(folders):
        name = SHIPPED if number == 0 else folder.name.lstrip(".") or "rules"
        name = name if name not in names else f"{name}-{number}"
        names.append(name)
        for path in _content_files(folder):
            try:
                texts[f"{name}/{path.relative_to(folder).as_posix()}"] = path.read_bytes().decode("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise SocError(f"it cannot be published: {error}", place=path) from None
    collectors = [content.shipped("collectors"), *config.collectors]
    declared = msgspec.json.encode(declared_in(collectors, None))
    texts[DECLARED] = msgspec.json.format(declared, indent=1).decode()
    lists = placeholders.load_placeholders(folders, config.placeholders).values
    texts[LISTS] = json.dumps({name: list(lists[name]) for name in sorted(lists)}, indent=1)
    hashes = {path: published.hash_of(text) for path, text in texts.items()}
    return Files(tuple(names), hashes), texts


def _content_files(folder: Path) -> Iterator[Path]:
    """Everything in a folder of rules that decides what is detected: no samples, no manifests, no text."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "samples" and not name.startswith("."))
        for name in sorted(names):
            wanted = (
                (".yml", ".yaml", ".txt") if Path(root).name == placeholders.FOLDER else (".yml", ".yaml")
            )
            if name.endswith(wanted) and not name.startswith("."):
                yield Path(root, name)


def _loaded(store: Store, release: Release, cache: Path) -> Ruleset:
    """The rules of a release. Raises `ContentError` when it cannot be used."""
    return published.load(published.unpacked(store, release.set, cache / "published"), release.label)


def publish(store: Store, made: Draft, *, progress: Progress = lambda _done, _all: None) -> Release:
    """Write a set and let it hold. Raises `ConflictError` when somebody else published in the meantime."""
    _write_texts(store, made, progress)
    store.write([Write(SET, made.id, made.body, 0)])  # a conflict: it is there already, under its hash
    release = Release(
        number=made.before.release.number + 1 if made.before else 1,
        set=made.id,
        commit=made.commit,
        dirty=bool(made.edited),
        rules=len(made.rules.rules),
        at=timestamp(datetime.now(UTC)),
        by=store.whoami(),
    )
    detail = {"set": release.set, "changes": tally(made.changes), "in no commit": made.edited[:50]}
    return _let_hold(store, made.before, release, action="rule.publish", detail=detail)


def _write_texts(store: Store, made: Draft, progress: Progress) -> None:
    """Write the texts that the store does not have."""
    blobs = made.blobs()
    there: set[str] = set()
    if made.before:
        try:
            earlier = published.list_files(store, made.before.release.set)
            there = set(earlier.hashes.values())
        except ContentError:
            there = set()
    missing = [digest for digest in blobs if digest not in there]
    for start in range(0, len(missing), _WRITE_AT_ONCE):
        part = [
            Write(BLOB, digest, {"text": blobs[digest]}, 0) for digest in missing[start:][:_WRITE_AT_ONCE]
        ]
        _mend(store, [r for r in store.write(part) if isinstance(r, VersionConflictError)], blobs)
        progress(min(start + _WRITE_AT_ONCE, len(missing)), len(missing))


def _mend(store: Store, there: Iterable[VersionConflictError], blobs: dict[str, str]) -> None:
    """A text that is there already is the same, by its hash; one that was changed is written again."""
    writes = [
        Write(BLOB, one.write.id, {"text": blobs[one.write.id]}, one.current.version)
        for one in there
        if one.current is not None and one.current.body.get("text") != blobs[one.write.id]
    ]
    if writes:
        store.write(writes)


def _let_hold(
    store: Store, before: Head | None, release: Release, *, action: str, detail: dict[str, Any]
) -> Release:
    from soc.respond import audit

    history = (before.release, *before.history)[:REMEMBERED] if before else ()
    body = Head(release, history).body()
    expect = before.version if before else 0
    (result,) = audit.change(
        store, [Write(HEAD, CURRENT, body, expect)], action=action, subject=release.label, detail=detail
    )
    if isinstance(result, VersionConflictError):
        raise conflict(result.current)
    return release


def conflict(current: Document | None) -> ConflictError:
    """The complaint that somebody else published first."""
    if current is None:
        theirs = "what was published is gone"
    else:
        release = published.read_head(current).release
        theirs = f"{current.changed_by} published {release.label} at {current.changed_at}"
    return ConflictError(
        "somebody else published rules in the meantime; yours were not",
        theirs=theirs,
        hint="look at the difference: soc rule publish --dry-run",
    )


# going back


@dataclass
class Return:
    """An earlier release to go back to, and what that changes."""

    before: Head
    to: Release
    changes: list[Difference]


def earlier(store: Store, wanted: str = "") -> tuple[Head, Release]:
    """The release to go back to: the one before, or that of a commit (a beginning is enough) or number.

    What a rollback left is not gone back to unless it is named, so that each rollback goes further back.
    Raises `UsageError` when no such release is remembered, `SocError` when nothing is further back.
    """
    found = published.head(store)
    if found is None:
        raise UsageError("no rules are published in this store", hint="soc rule publish")
    others = [one for one in found.history if _key(one) != _key(found.release)]
    if wanted:
        key = wanted.lower()
        others = [
            one for one in others if str(one.number) == key or (len(key) >= 4 and one.commit.startswith(key))
        ]
    if not others:
        what = f"no earlier release of {wanted!r} is remembered" if wanted else "there is no earlier release"
        raise UsageError(what, hint="soc rule rollback --list")
    if not wanted:
        return found, _further_back(found)
    distinct = {one.set for one in others}
    if len(distinct) > 1:
        numbers = ", ".join(str(one.number) for one in others)
        raise UsageError(f"{wanted!r} means several releases: {numbers}", hint="name one by its number")
    return found, others[0]


def _key(release: Release) -> tuple[str, str]:
    """What makes two releases the same one for somebody who goes back."""
    return release.set, release.label


def _further_back(found: Head) -> Release:
    """The release before the one that holds, as if what rollbacks left had never been published."""
    line: list[Release] = []
    for release in (*reversed(found.history), found.release):
        there = [number for number, one in enumerate(line) if _key(one) == _key(release)]
        if there and (release.back or there[-1] == len(line) - 1):
            del line[there[-1] + 1 :]
        else:
            line.append(release)
    if len(line) < 2:
        raise SocError(
            f"nothing is further back than {found.release}: rollbacks left the other remembered sets",
            hint="name the one that you want: soc rule rollback COMMIT (soc rule rollback --list shows them)",
        )
    return line[-2]


def prepare_return(store: Store, cache: Path, wanted: str = "") -> Return:
    """What going back would change. Raises `ContentError` when the earlier set cannot be used any more."""
    before, to = earlier(store, wanted)
    rules = _loaded(store, to, cache).require_sound()
    try:
        now = _loaded(store, before.release, cache)
    except ContentError:
        now = None  # a set that cannot be used is a reason to go back
    return Return(before, to, list(differences(now, rules)))


def go_back(store: Store, back: Return) -> Release:
    """Let the earlier release hold again. Raises `ConflictError` when somebody published in the meantime."""
    release = replace(
        back.to,
        number=back.before.release.number + 1,
        at=timestamp(datetime.now(UTC)),
        by=store.whoami(),
        back=True,
    )
    detail = {"set": release.set, "from": back.before.release.label, "changes": tally(back.changes)}
    return _let_hold(store, back.before, release, action="rule.rollback", detail=detail)
