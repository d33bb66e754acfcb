"""A content repository to start from: rules, collectors and playbooks of one's own, with their CI.

The files stand beside this module as they are written, but for a few words: names that begin with `dot_`
begin with a dot there, `@NAME@` becomes a value of the moment, and a rule's own name stands for its id.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from soc.errors import SocError, UsageError

FILES = Path(__file__).parent / "files"

EXCEPTION_DAYS = 90
"""How long the example of an exception holds."""

_PROGRAMS = ("ci/check.sh",)


def files(now: datetime | None = None) -> Iterator[tuple[str, str]]:
    """Path and text of every file of a new repository; ids are drawn anew."""
    moment = now or datetime.now(UTC)
    values = {
        "@RULE@": str(uuid.uuid4()),
        "@EXCEPTION@": str(uuid.uuid4()),
        "@DATE@": moment.date().isoformat(),
        "@EXPIRES@": (moment + timedelta(days=EXCEPTION_DAYS)).date().isoformat(),
    }
    for path in sorted(FILES.rglob("*")):
        if path.is_file():
            parts = path.relative_to(FILES).parts
            name = "/".join(f".{part.removeprefix('dot_')}" if part[:4] == "dot_" else part for part in parts)
            text = path.read_text(encoding="utf-8")
            for word, value in values.items():
                text = text.replace(word, value)
            yield name, text


def write(folder: Path) -> list[Path]:
    """Write a new content repository; the files. Raises `UsageError` when the folder holds something."""
    if folder.exists() and (not folder.is_dir() or any(p for p in folder.iterdir() if p.name != ".git")):
        raise UsageError("there is something already", place=folder, hint="name a new folder")
    out = []
    try:
        for name, text in files():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            if name in _PROGRAMS:
                path.chmod(0o755)
            out.append(path)
    except OSError as error:
        raise SocError(error.strerror or str(error), place=folder) from None
    return out
