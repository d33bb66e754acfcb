"""`soc demo`: a day with an attack, from logs to playbook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soc.cli.app import invoke, verb

app = verb()


@app.command("demo")
def demo(
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Where to put it [default: in soc's data folder]"),
    ] = None,
) -> None:
    """Show a day with an attack from logs to playbook, on this machine.

    Writes a recorded day of logs into a folder of its own, collects it with the shipped collectors, sweeps
    the shipped rules over it, triages alerts, runs a playbook with scripted answers and verifies the audit
    log. Each command is shown before its output and can be typed again afterwards. Your own settings and
    stores are not touched; the folder of an earlier demo is made anew.

    Examples:

      soc demo

      soc demo --folder /tmp/soc-demo
    """
    from soc.config import data_folder
    from soc.demo.tour import Tour

    Tour((folder or data_folder() / "demo").absolute(), invoke).go()
