"""`soc rule`: everything about Sigma rules. Each file here adds some verbs to `app`."""

from __future__ import annotations

from typing import Annotated

import typer

from soc.cli.app import noun
from soc.cli.completion import names_of

app = noun("Sigma rules: list, write, check, test")

Chosen = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ID|NAME|FILE]…",
        help="All of them when none is named",
        autocompletion=names_of("rule"),
    ),
]

# they add their verbs to the app above
from soc.cli.rule import backtest, browse, check, checks, compare, doing, releases, study  # noqa: E402 - as said

__all__ = [
    "Chosen",
    "app",
    "backtest",
    "browse",
    "check",
    "checks",
    "compare",
    "doing",
    "releases",
    "study",
]
