"""`soc parse`: a log file as ECS events, one for each line or finding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soc.cli.app import verb
from soc.cli.completion import names_of
from soc.cli.session import session
from soc.errors import ExitCode

app = verb()


@app.command()
def parse(
    source: Annotated[
        str,
        typer.Argument(
            help="The collector to read with (soc collector list)", autocompletion=names_of("collector")
        ),
    ],
    file: Annotated[
        str, typer.Argument(help="The file to read, also compressed with gzip; - for standard input")
    ],
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="Zone of times without one")
    ] = "",
    now: Annotated[
        str, typer.Option("--now", metavar="TIME", help="Decides the year of times without one")
    ] = "",
    host: Annotated[str, typer.Option("--host", help="Host name of records that name none")] = "",
    encoding: Annotated[str, typer.Option("--encoding", help="Encoding of the file")] = "utf-8",
    join: Annotated[bool, typer.Option("--join", help="Join the records of one event (auditd)")] = False,
) -> int:
    """Turn a log file into ECS events, one for each line or finding, in the order of the file.

    A line that cannot be read becomes an event with event.kind pipeline_error, the reason and the original;
    how many there were is said on standard error. Blank lines and format lines (headers) give no event.

    Examples:

    soc parse nginx /var/log/nginx/access.log --output jsonl

    soc parse sshd /var/log/auth.log --timezone Asia/Ho_Chi_Minh --fields @timestamp,user.name,source.ip

    zcat old.gz | soc parse syslog - --now 2024-12-31T23:59:59Z --output jsonl
    """
    from soc.cli.output import width
    from soc.cli.text import one_line
    from soc.cli.times import brief, say_zone
    from soc.collect.parsing import Run, context_of, source_named

    s = session()
    collector = source_named(s.config, source)
    context = context_of(timezone or s.config.timezone, now, host=host, encoding=encoding)
    run = Run(collector, context, join=join)
    if s.out.is_table and s.fields is None:
        # written as they are read, so that a file of any size needs no memory; the message is cut at the edge
        edge = max(width(), 80)
        days: set[str] = set()
        s.out.write(f"{'TIME':<19}  {'DATASET':<18}  {'HOST':<16}  MESSAGE")
        for time, dataset, host, message in run.rows(file):
            days.add(time[: len("2026-11-23")])
            shown = brief(time, seconds=True)
            s.out.write(one_line(f"{shown:<19}  {dataset:<18}  {host:<16}  {message}")[:edge])
        say_zone(s, (f"{day}T12:00:00Z" for day in days))
    else:
        s.out.rows(run.events(file), ["@timestamp", "event.dataset", "host.name", "message"], empty="")
    s.say(run.summary(file if file == "-" else Path(file).name))
    return ExitCode.DONE if run.readable else ExitCode.FAILED
