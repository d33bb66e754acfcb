"""`soc doctor`: is it set up right?"""

from __future__ import annotations

from soc.cli.app import verb
from soc.cli.output import Column
from soc.cli.session import session
from soc.errors import ExitCode

app = verb()

STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


@app.command("doctor")
def doctor() -> int:
    """Is it set up right? Python, store, rights, clock, disk, content, sources.

    Each line says what was found and what to do about it. Exit code 1 when something failed; warnings
    alone are exit code 0. Nothing is changed.

    Examples:

      soc doctor

      soc doctor --store https://search.example:9200 --output json
    """
    from soc import doctor as checks

    s = session()
    rows = [
        {"check": check.name, "state": str(check.state), "found": check.found, "next": check.next}
        for check in checks.examine(s.config, s.store)
    ]
    s.out.rows(
        rows,
        [
            Column("check", style="bold"),
            Column("state", styles=STYLES),
            Column("found", wide=True),
            Column("next", wide=True),
        ],
    )
    return ExitCode.FAILED if any(row["state"] == "failed" for row in rows) else ExitCode.DONE
