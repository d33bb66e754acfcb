"""What every command shares: the options that stand everywhere, the configuration, the store, the output.

A command gets it with `session()`; it lives as long as the process.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from soc.errors import UsageError

if TYPE_CHECKING:
    from soc.cli.output import Output
    from soc.config import Config
    from soc.store.contract import Store

FORMATS = ("table", "json", "jsonl", "csv")


@dataclass
class Session:
    """The options that stand everywhere, and what follows from them.

    `output` is one of table, json, jsonl, csv; `fields` None means: not given, "" means: list them.
    """

    output: str = "table"
    fields: str | None = None
    config_path: Path | None = None
    store_target: str = ""
    space: str = ""
    quiet: bool = False
    verbose: int = 0
    _stores: list[Store] = field(default_factory=list)

    @cached_property
    def config(self) -> Config:
        """The configuration of this run; raises as `soc.config.load` does."""
        from soc import config

        return config.load(self.config_path, store=self.store_target, space=self.space)

    def store(self, *, create: bool = True) -> Store:
        """The store of this run, opened once. `create` False: an embedded store must be there already."""
        if not self._stores:
            from soc.store import open_store

            self._stores.append(open_store(self.config.store, create=create))
        return self._stores[0]

    def close(self) -> None:
        """Close what was opened."""
        while self._stores:
            self._stores.pop().close()

    @cached_property
    def out(self) -> Output:
        """Where results go."""
        from soc.cli.output import Output

        return Output(self.output, self.fields)

    @property
    def interactive(self) -> bool:
        """Whether a person can answer a prompt: input and error output are both a terminal."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def decorated(self) -> bool:
        """Whether progress bars may be drawn: on standard error, when it is a terminal, unless quiet."""
        return sys.stderr.isatty() and not self.quiet

    def say(self, text: str) -> None:
        """A remark for the person, on standard error; silent with -q."""
        if not self.quiet:
            from soc.cli.text import safe

            sys.stderr.write(safe(text) + "\n")

    def debug(self, text: str) -> None:
        """A remark for -v."""
        if self.verbose:
            self.say(text)

    def confirm(self, question: str, *, yes: bool = False) -> None:
        """Ask before a change; the default is No. Raises `UsageError` for No, or without a terminal."""
        if yes:
            return
        if not self.interactive:
            raise UsageError(f"{question} This needs an answer, and there is no terminal", hint="add --yes")
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise UsageError("cancelled; nothing was changed")


_current = Session()


def session() -> Session:
    """The session of this process."""
    return _current


def begin() -> Session:
    """A new session with defaults; `SOC_OUTPUT` presets the output format."""
    global _current
    preset = os.environ.get("SOC_OUTPUT", "table")
    _current = Session(output=preset if preset in FORMATS else "table")
    return _current
