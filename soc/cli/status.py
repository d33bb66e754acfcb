"""`soc status`: is it working now?"""

from __future__ import annotations

from typing import Annotated

import typer

from soc.cli.app import verb
from soc.cli.session import session
from soc.errors import ExitCode

app = verb()


@app.command("status")
def status(
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="Leave with 1 when something does not work")
    ] = False,
) -> int:
    """Is it working now? Sources, store, sweep, open alerts, runs, dead letters.

    Whether it is set up right is the question of soc doctor. Nothing is started or changed.

    Examples:

      soc status

      soc status --exit-status --output json
    """
    from soc import health
    from soc.cli.checks import show_checks

    s = session()
    failed = show_checks(s.out, health.examine(s.config, lambda: s.store(create=False)))
    return ExitCode.FAILED if failed and exit_status else ExitCode.DONE
