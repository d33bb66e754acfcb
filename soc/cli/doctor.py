"""`soc doctor`: is it set up right?"""

from __future__ import annotations

from soc.cli.app import verb
from soc.cli.session import session
from soc.errors import ExitCode

app = verb()


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
    from soc.cli.checks import show_checks

    s = session()
    failed = show_checks(s.out, checks.examine(s.config, s.store))
    return ExitCode.FAILED if failed else ExitCode.DONE
