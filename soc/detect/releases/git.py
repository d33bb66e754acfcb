"""What git says of a folder of content: its commit, whether it has changes, which files changed since.

git is called with a list of arguments, never by a shell, and without the hooks and prompts of a person.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from soc.errors import SocError, UsageError

TIMEOUT = 120
"""Seconds that one call of git may take."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A working tree of git; `root` is its top folder."""

    root: Path

    @property
    def commit(self) -> str:
        """The commit that is checked out; "" before the first one."""
        return _git(self.root, ["rev-parse", "--verify", "--quiet", "HEAD"], good=(0, 1)).strip()

    def resolve(self, ref: str) -> str:
        """The commit that a name means. Raises `UsageError` when there is none."""
        asked = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"]
        found = _git(self.root, asked, good=(0, 1, 128)).strip()
        if not found:
            hint = f"a clone in CI may be shallow: git fetch --unshallow, or fetch {ref} too"
            raise UsageError(f"git knows no commit {ref!r} here", place=str(self.root), hint=hint)
        return found

    def uncommitted(self, folder: Path) -> list[str]:
        """The files below a folder that are not as the commit has them, also those that git ignores."""
        below = ["--", str(folder.resolve())]
        differ = _git(self.root, ["diff", "--name-only", "--no-renames", "-z", "HEAD", *below])
        untracked = _git(self.root, ["ls-files", "--others", "-z", *below])
        names = [name for name in differ.split("\0") if name]
        hidden = [name for name in untracked.split("\0") if name.endswith((".yml", ".yaml", ".txt"))]
        return names + [name for name in hidden if not any(p.startswith(".") for p in name.split("/"))]

    def changed_since(self, commit: str) -> set[Path]:
        """The files that differ from a commit, those that are gone, and new ones that are not ignored."""
        listed = ["diff", "--name-only", "--no-renames", "-z", commit, "--"]
        untracked = ["ls-files", "--others", "--exclude-standard", "-z", "--full-name"]
        names = (_git(self.root, listed) + _git(self.root, untracked)).split("\0")
        return {self.root / name for name in names if name}

    def merge_base(self, commit: str) -> str:
        """The last commit that this checkout and another have in common; `commit` itself without one."""
        return _git(self.root, ["merge-base", commit, "HEAD"], good=(0, 1, 128)).strip() or commit

    def texts_at(self, commit: str, paths: Sequence[Path]) -> dict[Path, str]:
        """Files as they were at a commit; those that were not there then are left out."""
        wanted = {path.relative_to(self.root).as_posix(): path for path in paths}
        listed = _git(self.root, ["ls-tree", "-r", "-z", "--full-tree", commit]) if wanted else ""
        blobs: dict[str, list[Path]] = {}
        for line in listed.split("\0"):
            about, _, name = line.partition("\t")
            if name in wanted and " blob " in about:
                blobs.setdefault(about.split()[2], []).append(wanted[name])
        out: dict[Path, str] = {}
        for blob, raw in self._contents(list(blobs)):
            out.update(dict.fromkeys(blobs[blob], raw.decode("utf-8", "replace")))
        return out

    def archive(self, commit: str, name: str) -> bytes:
        """A file or folder of a commit as a tar archive; its paths begin at the root. Raises `SocError`."""
        return _run(self.root, ["archive", "--format=tar", commit, "--", name or "."])

    def _contents(self, blobs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """What blobs hold, by one call for all of them (git-cat-file(1), batch output)."""
        asked = "".join(f"{blob}\n" for blob in blobs).encode()
        raw = _run(self.root, ["cat-file", "--batch"], asked) if blobs else b""
        at = 0
        while at < len(raw):
            end = raw.index(b"\n", at)
            name, _, size = raw[at:end].decode().split(" ")
            at = end + 1 + int(size) + 1
            yield name, raw[end + 1 : at - 1]


def checkout_of(folder: Path) -> Checkout | None:
    """The working tree that a folder lies in; None when it lies in none, or git is not installed."""
    if shutil.which("git") is None:
        return None
    try:
        top = _git(folder, ["rev-parse", "--show-toplevel"]).strip()
    except SocError:
        return None
    return Checkout(Path(top)) if top else None


def require_checkout(folder: Path) -> Checkout:
    """As `checkout_of`; raises `UsageError` when there is none."""
    found = checkout_of(folder)
    if found is None:
        if shutil.which("git") is None:
            raise UsageError("git is not installed", hint="install git")
        raise UsageError(f"{folder} is not in a git repository", hint=f"git -C {folder} init")
    return found


def _git(folder: Path, arguments: Sequence[str], *, good: Sequence[int] = (0,)) -> str:
    """What a call of git printed. Raises `SocError` with what it complained about."""
    return _run(folder, arguments, good=good).decode("utf-8", "surrogateescape")


def _run(folder: Path, arguments: Sequence[str], given: bytes = b"", good: Sequence[int] = (0,)) -> bytes:
    program = shutil.which("git")
    if program is None:
        raise SocError("git is not installed", hint="install git")
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    # settings of the repository must not start programs: it may come from somebody else
    safe = ["-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-c", "core.hooksPath=/dev/null"]
    try:
        done = subprocess.run(
            [program, "-C", str(folder), *safe, *arguments],
            capture_output=True,
            input=given,
            env=environment,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SocError(f"git did not answer within {TIMEOUT} s", place=str(folder)) from None
    if done.returncode not in good:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise SocError(f"git: {said[-1] if said else 'failed'}", place=str(folder))
    return done.stdout
