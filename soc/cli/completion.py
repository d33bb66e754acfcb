"""Shell completion with live ids: a small file of recent ids, written by listings, read by the completers.

Reading the store would be too slow for a key press and could ask for a password. So each listing of a noun
leaves its ids here (`CACHE/completion/alert-…`, one file for each store and space), one in a line with a few
words; completers read only that.
Nothing here ever raises: a completion that fails is a completion that offers nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from soc.cli.text import one_line
from soc.errors import SocError

if TYPE_CHECKING:
    from soc.config import Config, StoreSettings
    from soc.content import Kind

KEPT = 500
"""Ids kept for each noun."""
MAX_BYTES = 200_000
KINDS: dict[str, Kind] = {"rule": "rules", "collector": "collectors", "playbook": "playbooks"}
MAX_WORDS = 80


def _file(noun: str, store: StoreSettings | None) -> Path:
    from soc.config import cache_folder

    if store is None:
        from soc.cli.session import session

        store = session().config.store
    key = f"{store.target}\0{store.space}"
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    return cache_folder() / "completion" / f"{noun}-{digest}"


def remember(noun: str, items: Iterable[tuple[str, str]], store: StoreSettings | None = None) -> None:
    """Keep ids of a noun, the likeliest first, each with a few words on it; earlier ones go behind them.

    They are kept for one space of one store; default: those of this session.
    """
    with contextlib.suppress(OSError, RuntimeError, SocError):
        new = {id_: one_line(words)[:MAX_WORDS] for id_, words in items}
        merged = {**new, **{i: w for i, w in recent(noun, store) if i not in new}}
        lines = [f"{id_}\t{words}\n" for id_, words in list(merged.items())[:KEPT]]
        path = _file(noun, store)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}-{os.getpid()}")
        draft.write_text("".join(lines), encoding="utf-8", errors="replace")
        draft.replace(path)  # readers see the old file or the new one


def recent(noun: str, store: StoreSettings | None = None) -> list[tuple[str, str]]:
    """The ids kept for a noun, each with its words; empty where there are none or they cannot be read."""
    try:
        with _file(noun, store).open(encoding="utf-8", errors="replace") as lines:
            text = lines.read(MAX_BYTES)
    except (OSError, RuntimeError, SocError):
        return []
    out = []
    for line in text.splitlines():
        id_, _, words = line.partition("\t")
        if id_:
            out.append((id_, words))
    return out


def ids_of(noun: str) -> Callable[[typer.Context, str], list[tuple[str, str]]]:
    """A completer for an argument of Typer: `typer.Argument(autocompletion=ids_of("alert"))`.

    What is typed may leave out the letter: `7f` finds `A-7F3K`. Ids are those of the store and space that the
    command line names.
    """

    def complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        typed = incomplete.upper()
        config = _config(ctx)
        return [
            (id_, words)
            for id_, words in (recent(noun, config.store) if config else [])
            if id_.startswith(typed) or id_[2:].startswith(typed)
        ]

    return complete


def names_of(noun: Literal["rule", "collector", "playbook"]) -> Callable[[typer.Context, str], list[str]]:
    """A completer for names of content (`rule`, `collector`, `playbook`): shipped and the user's own.

    A piece of content is named as its file. `-` and `_` are one when typed.
    """

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        from soc import content

        config = _config(ctx)
        kind = KINDS[noun]
        own = getattr(config, kind) if config else ()
        names: set[str] = set()
        for folder in (content.shipped(kind), *own):
            with contextlib.suppress(OSError, SocError):
                names |= {path.stem for path in content.files(folder) if "pipelines" not in path.parts}
        typed = incomplete.lower().replace("-", "_")
        return sorted(name for name in names if name.replace("-", "_").startswith(typed))

    return complete


def exception_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """A completer for exceptions: names of the files in `exceptions` below the user's folders of rules."""
    config = _config(ctx)
    names: set[str] = set()
    for folder in config.rules if config else ():
        with contextlib.suppress(OSError):
            names |= {path.stem for path in (folder / "exceptions").glob("*.y*ml")}
    return sorted(name for name in names if name.startswith(incomplete.lower()) and name[0] != ".")


def _config(ctx: typer.Context) -> Config | None:
    """The settings that the command line being typed would have; None when they cannot be read."""
    from soc.config import load

    given: dict[str, Any] = {}
    at: Any = ctx
    while at is not None:
        given = {**{k: v for k, v in at.params.items() if v}, **given}
        at = at.parent
    with contextlib.suppress(OSError, SocError):
        return load(given.get("config"), store=given.get("store", ""), space=given.get("space", ""))
    return None


def words(*values: str) -> Callable[[str], list[str]]:
    """A completer for a fixed choice."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete
