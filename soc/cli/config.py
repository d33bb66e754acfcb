"""`soc config`: see and check the settings."""

from __future__ import annotations

from typing import Annotated

import typer

from soc.cli.app import noun
from soc.cli.output import Column
from soc.cli.session import session
from soc.errors import ExitCode

app = noun("See and check the settings")


@app.command("show")
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Also say where each value comes from")] = False,
) -> None:
    """Show the settings of this run: file, environment and command line put together.

    Passwords and keys are never shown; the name of the file or variable they come from is.

    Examples:

      soc config show --origin

      soc config show --store https://search.example:9200 --output json
    """
    from soc import setup

    s = session()
    rows = setup.settings(s.config)
    if not origin:
        rows = [{"setting": row["setting"], "value": row["value"]} for row in rows]
    columns = [Column("setting", style="bold"), Column("value", wide=True)]
    s.out.rows(rows, [*columns, Column("origin", wide=True)] if origin else columns)


@app.command("check")
def check() -> int:
    """Check the settings and what they name: collectors, files, folders of content, the register.

    Every problem is shown with its file and line; exit code 1 when there is an error among them.

    Examples:

      soc config check

      soc config check --config /etc/soc/soc.yml --output json
    """
    from soc import config, doctor
    from soc.cli.problems import show_problems

    s = session()
    settings, problems = config.examine(s.config_path, store=s.store_target, space=s.space)
    problems += doctor.config_problems(settings)
    if not problems:
        s.say(f"{settings.path or 'no soc.yml: all settings have their defaults'}: no problem found")
    failed = show_problems(s.out, problems)
    return ExitCode.FAILED if failed else ExitCode.DONE
