"""What `soc collector new`, `soc rule new` and `soc playbook new` say: the same for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soc.cli.session import Session
    from soc.config import Config


def folders(config: Config, noun: str) -> tuple[Path, ...]:
    """The user's folders of `noun` (collector, rule, playbook)."""
    found: tuple[Path, ...] = getattr(config, f"{noun}s")
    return found


def announce(s: Session, noun: str, written: Mapping[str, Path]) -> None:
    """Write where new content of `noun` is, how the configuration comes to use it, and what to run next.

    `written`: the files by what they are; the first is the content itself.
    """
    path = next(iter(written.values()))
    if s.out.is_table and s.out.fields is None:
        for file in written.values():
            s.out.write(str(file))
    else:
        s.out.one({"name": path.stem, **{what: str(file) for what, file in written.items()}})
    if not is_used(s.config, noun, path):
        folder = shown_folder(s.config, path.parent)
        s.say(f"to use it, name its folder in soc.yml: content: {{{noun}s: [{folder}]}}")
    s.say(f"next: soc {noun} test {path}")


def is_used(config: Config, noun: str, path: Path) -> bool:
    """Whether the configuration loads content of `noun` from this file's folder."""
    places = {path.resolve(), *path.resolve().parents}
    return any(folder.resolve() in places for folder in folders(config, noun))


def shown_folder(config: Config, folder: Path) -> str:
    """A folder as soc.yml should name it: relative to that file where it is below it, else absolute."""
    base = (config.path.parent if config.path else Path.cwd()).resolve()
    whole = folder.resolve()
    return str(whole.relative_to(base)) if whole.is_relative_to(base) else str(whole)
