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

from soc.cli.rule import (  # noqa: E402 - they add their verbs to the app above
    backtest,  # noqa: F401
    browse,  # noqa: F401
    check,  # noqa: F401
    checks,  # noqa: F401
    compare,  # noqa: F401
    doing,  # noqa: F401
    releases,  # noqa: F401
    study,  # noqa: F401
)
