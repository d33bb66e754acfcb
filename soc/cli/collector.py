"""`soc collector`: the content that turns logs into events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from soc.cli.app import noun
from soc.cli.completion import names_of
from soc.cli.session import session
from soc.errors import ExitCode, Severity, UsageError

GENERAL = " (general: for what has no collector of its own)"

app = noun("Collectors: what turns a source's log into ECS events")


@app.command("list")
def list_(
    layer: Annotated[int | None, typer.Option("--layer", min=1, max=4, help="Only this layer")] = None,
) -> None:
    """List the collectors, shipped and your own.

    Examples:

    soc collector list

    soc collector list --layer 3 --fields name,title
    """
    from soc.cli.output import Column
    from soc.collect.collector import collectors_for
    from soc.content import shipped

    s = session()
    collectors = collectors_for(s.config)
    rows = [
        {
            "name": c.name,
            "layer": c.layer,
            "title": c.title,
            "datasets": list(c.datasets),
            "format": c.format,
            "origin": "shipped" if c.path.is_relative_to(shipped("collectors")) else "own",
            "path": str(c.path),
        }
        for c in sorted(collectors.values(), key=lambda c: (c.layer, c.name))
        if layer is None or c.layer == layer
    ]
    s.out.rows(
        rows, [Column("name"), Column("layer", right=True), Column("title", wide=True), Column("origin")]
    )
    if collectors.problems:
        s.say(f"{len(collectors.problems)} problems in collector files; see them with: soc collector lint")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="The collector", autocompletion=names_of("collector"))],
) -> None:
    """Show what a collector reads, how it is recognised, and which fields it writes.

    Examples:

    soc collector show nginx

    soc collector show sshd --output json
    """
    from soc.collect.collector import collectors_for
    from soc.collect.compiler import targets

    s = session()
    c = collectors_for(s.config).find(name)
    fields = sorted({target for stream in c.spec.streams for target in targets(stream)})
    s.out.one(
        {
            "name": c.name,
            "title": c.title,
            "layer": c.layer,
            "format": c.format,
            "framing": c.framing,
            "recognised by name": list(c.spec.names),
            "recognised by content": list(c.spec.first),
            "datasets": list(c.datasets),
            "log sources": [
                "/".join(p or "*" for p in (ls.product, ls.category, ls.service)) + f" → {ls.dataset}"
                for ls in c.logsources
            ],
            "fields": fields,
            "samples": len(c.samples),
            "path": str(c.path),
        }
    )


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Its name: small letters, digits, hyphens")],
    layer: Annotated[
        int, typer.Option("--layer", min=1, max=4, help="1 on-site, 2 monitoring, 3 assessment, 4 national")
    ] = 1,
    example: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="A log file to fit it to")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Folder to write it to")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print it, write nothing")] = False,
) -> None:
    """Write a collector to start from: it lints, and its sample passes.

    It goes to --to, else to your first folder of collectors (`content.collectors` in soc.yml), else to
    ./collectors.

    Examples:

    soc collector new my-portal --from /var/log/portal/app.log

    soc collector new branch-scanner --layer 3 --dry-run
    """
    from soc.cli.newcontent import announce
    from soc.collect.skeleton import write

    s = session()
    folder = to or next(iter(s.config.collectors), Path("collectors"))
    path, text = write(name, layer, folder, example, dry_run=dry_run)
    if dry_run:
        s.out.write(text.rstrip("\n"))
        s.say(f"dry run: would write {path}")
        return
    announce(s, "collector", {"path": path})


def _report(problems: list[Any], checked: int) -> int:
    """Problems as rows (JSON: with a verdict); exit code 1 where one is an error."""
    s = session()
    rows = [
        {
            "place": str(p.place),
            "severity": str(p.severity),
            "kind": p.kind,
            "message": p.message,
            "hint": p.hint,
            "path": p.place.path,
            "line": p.place.line,
            "column": p.place.column,
        }
        for p in problems
    ]
    valid = not any(p.severity is Severity.ERROR for p in problems)
    if s.out.format == "json" and s.out.fields is None:
        s.out.one({"valid": valid, "checked": checked, "problems": rows})
    elif s.out.is_table and s.out.fields is None:
        for problem in problems:
            s.out.write(str(problem))
    else:
        s.out.rows(rows, ["place", "severity", "kind", "message", "hint"], empty="")
    return ExitCode.DONE if valid else ExitCode.FAILED


@app.command("lint")
def lint(
    wanted: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|FILE|FOLDER]…",
            help="All there are when none is named",
            autocompletion=names_of("collector"),
        ),
    ] = None,
) -> int:
    """Check collector files: grammar, fields, patterns. All problems at once, each with its line.

    Exit code 1 when one is an error.

    Examples:

    soc collector lint

    soc collector lint nginx

    soc collector lint collectors/my-portal.yml --output json
    """
    from soc.collect import check
    from soc.collect.collector import collectors_for

    collectors = collectors_for(session().config)
    paths = check.paths_of(collectors, wanted or [])
    outer = [] if wanted else collectors.outer_problems
    if not paths and not outer:
        raise UsageError("there is no collector file here", hint="soc collector new NAME")
    problems = outer + check.lint(paths)
    code = _report(problems, len(paths))
    warnings = sum(p.severity is Severity.WARNING for p in problems)
    what = "collector" if len(paths) == 1 else "collectors"
    session().say(f"{len(paths)} {what}: {len(problems) - warnings} errors, {warnings} warnings")
    return code


@app.command("test")
def test(
    names: Annotated[  # a command's argument, no test's
        list[str] | None,
        typer.Argument(
            help="Collectors by name or file; none: all there are", autocompletion=names_of("collector")
        ),
    ] = None,  # noqa: PT028 - a command, which pytest never sees
) -> int:
    """Run the samples of collectors and compare with what they expect.

    What does not pass is shown, and how many did; with -v also which. Exit code 1 when one does not pass.

    Examples:

    soc collector test

    soc collector test nginx collectors/my-portal.yml
    """
    from soc.collect import check
    from soc.collect.collector import collectors_for

    s = session()
    found, problems = check.named(collectors_for(s.config), names or [])
    failed = 0
    passed = []
    for collector in found:
        for sample, faults in check.results(collector):
            problems = problems + faults
            if faults:
                failed += 1
            else:
                passed.append(f"{collector.name}: {sample.name}: passed")
    if not passed and not problems:
        raise UsageError("nothing was tested: there is no sample", hint="add `samples:` to the collector")
    if s.verbose and s.out.is_table:
        s.out.write("\n".join(passed))
    code = _report(problems, len(passed) + failed)
    s.say(f"{len(passed)} passed, {failed} failed")
    return code


test.__test__ = False  # pytest takes names that begin with `test` for tests


@app.command("try")
def try_(
    file: Annotated[Path, typer.Argument(help="A log file or report")],
    with_: Annotated[
        str, typer.Option("--with", metavar="NAME", help="Use this collector, whatever is recognised")
    ] = "",
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="Zone of times without one")
    ] = "",
) -> int:
    """Say which collector recognises a file and why, show three events, and what is left over in the records.

    Exit code 1 when none does.

    Examples:

    soc collector try /var/log/nginx/access.log

    soc collector try export.json --with jsonl
    """
    from soc.collect.trial import attempt

    s = session()
    found = attempt(s.config, file, name=with_, timezone=timezone)
    if found.collector is None:
        s.say(f"no collector recognises {file}")
        s.say(f"next: soc collector new NAME --from {file}")
        s.say(f"or try one: soc collector try {file} --with syslog")
        return ExitCode.FAILED
    if not s.out.is_table:
        s.out.one(found.as_row())
        return ExitCode.DONE
    s.say(f"{found.collector.name}: {found.why}")
    for other in found.others:
        s.say(f"also {other.collector.name}: {other.why}{GENERAL if other.collector.fallback else ''}")
    for name in found.equals:
        s.say(
            f"{name} reads it just as well, and the file's name does not say which it is; if it is {name}'s:"
        )
        s.say(f"  soc collect run --collector {name} FILE, or `collector: {name}` in soc.yml")
    for event in found.events:
        s.out.one({k: v for k, v in event.items() if k != "event.original"})
        s.out.write("")
    if found.untimed:
        note = "they get the time of the record before, or of collecting"
        s.say(f"no time found in {found.untimed} of {found.count} records: {note}")
    if found.leftovers:
        s.say(f"left over: {', '.join(found.leftovers)}")
    elif not found.untimed:
        s.say("nothing is left over")
    return ExitCode.DONE
