"""`soc rule lint` and `test`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soc.cli.output import Column
from soc.cli.rule import Chosen, app
from soc.cli.session import session
from soc.errors import ExitCode, Severity

if TYPE_CHECKING:
    from soc.cli.session import Session
    from soc.store.contract import Store


@app.command("lint")
def lint(files: Chosen = None) -> int:
    """Check rules and their samples: valid Sigma, good habits, fields, logic, cost, playbooks, duplicates.

    Every finding is shown at once, with file, line and column. Exit code 1 when there is an error; warnings
    alone are exit code 0. `detect: {lint: {KIND: error|warning|ignore}}` in soc.yml weighs them otherwise.

    With a store (--store, or in soc.yml) it is asked which fields its events ever had. As JSON:
    {"valid": …, "problems": [{"path", "line", "kind", "message", …}]}.

    Warnings about imported rules are counted, and shown with -v or when such a rule or its folder is named.

    Examples:

      soc rule lint

      soc rule lint rules/portal_export_at_night.yml

      soc rule lint --output json
    """
    from soc.cli.problems import rows, show_problems
    from soc.detect import checks

    s = session()
    count, problems = checks.lint_chosen(s.config, files or [], store=_store_there(s))
    valid = not any(problem.severity is Severity.ERROR for problem in problems)
    imported = 0
    if s.out.format == "json" and s.out.fields is None:
        s.out.one({"valid": valid, "problems": rows(problems)})
    else:
        everything = s.verbose or not s.out.is_table
        shown, imported = (problems, 0) if everything else checks.about_imported(files or [], problems)
        show_problems(s.out, shown)
    if not count and not problems:
        s.say("there is no rule in it; nothing was checked")
        return ExitCode.FAILED
    s.say(f"{count} rule{'' if count == 1 else 's'}: {checks.tally(problems)}")
    if imported:
        s.say(f"of the warnings, {imported:,} on imported rules are not shown: -v shows them")
    return ExitCode.DONE if valid else ExitCode.FAILED


def _store_there(s: Session) -> Store | None:
    """The store that was named, if it is there: rules can be checked without one."""
    from soc.errors import SocError

    if s.config.origins.get("store") == "default":
        return None
    try:
        return s.store(create=False)
    except SocError as error:
        told = s.say if s.config.store.is_elastic else s.debug  # a folder that is not there yet is no news
        told(f"without the store: {error}")
        return None


@app.command("test")
def run_tests(files: Chosen = None) -> int:
    """Take the samples of rules through collector, store and sweep: do they fire where they should?

    The samples of rules/x.yml are in rules/samples/x.yml. A table shows those that failed; with -v, and in
    the other formats, all of them. Exit code 1 when a case goes wrong, when a rule
    cannot be read, and when nothing was tested.

    Examples:

      soc rule test

      soc rule test web_log4shell ssh_root_login

      soc rule test rules/portal_export_at_night.yml --output json
    """
    from soc.cli.progress import bar
    from soc.detect import checks

    s = session()
    with bar(s, "testing rules") as progress:
        outcome = checks.try_chosen(s.config, files or [], progress=progress)
    columns = [
        Column("rule", style="bold"),
        Column("case", wide=True),
        Column("expect"),
        Column("result", styles={"passed": "green", "failed": "bold red"}),
        Column("fault", wide=True),
    ]
    everything = s.verbose or not s.out.is_table
    rows = (row for row in outcome.rows() if everything or row["result"] == "failed")
    s.out.rows(rows, columns, empty="")
    for remark in outcome.remarks():
        s.say(remark)
    return ExitCode.DONE if outcome.passed else ExitCode.FAILED
