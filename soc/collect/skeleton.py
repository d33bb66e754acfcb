"""A new collector to start from: a file that lints and whose sample passes, fitted to an example if there
is one."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from soc import ecs, yamlio
from soc.collect import check
from soc.collect.collector import LAYERS, load
from soc.collect.parsing import lines, opened
from soc.errors import ContentError, UsageError

_GUESSES = {
    "src_ip": "source.ip", "srcip": "source.ip", "client_ip": "source.ip", "clientip": "source.ip",
    "remote_addr": "source.ip", "remote_ip": "source.ip", "ip": "source.ip", "src_port": "source.port",
    "dst_ip": "destination.ip", "dest_ip": "destination.ip", "dstip": "destination.ip",
    "dest_port": "destination.port", "dst_port": "destination.port", "user": "user.name",
    "username": "user.name",
    "user_name": "user.name", "account": "user.name", "host": "host.name", "hostname": "host.name",
    "message": "message", "msg": "message", "level": "log.level", "severity": "log.level",
    "action": "event.action",
    "event": "event.action", "status": "event.code", "code": "event.code", "method": "http.request.method",
    "url": "url.original", "uri": "url.original", "path": "url.path", "user_agent": "user_agent.original",
    "pid": "process.pid", "process": "process.name", "command": "process.command_line",
    "reason": "event.reason",
}  # fmt: skip
"""ECS names for names that logs often use."""

_TIMES = ("@timestamp", "timestamp", "time", "ts", "datetime", "date", "eventTime", "created_at")

EXAMPLE = "2026-03-02T07:14:09Z app1 portal: sign-in of an.nguyen from 192.0.2.7 failed"
"""The line that a skeleton reads when no example is given."""

_HEAD = """# A collector: how the log of one source becomes ECS events (docs/writing-collectors.md).
# Check it:  soc collector lint {path}
#            soc collector test {path}
# Try it:    soc collector try FILE
name: {name}
title: {title}
layer: {layer}            # {layers}
recognise:                # by the file's name; by content too once its patterns match nothing but its log
  names: [{glob}]
"""

_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_TEXT_TIMES = (
    ("iso", rf"\d{{4}}-\d\d-\d\d[T ]{_CLOCK}(?: ?(?:Z|[+-]\d\d:?\d\d))?"),
    ("slash", rf"\d{{4}}/\d\d/\d\d[ T-]{_CLOCK}(?: ?(?:Z|[+-]\d\d:?\d\d))?"),
    ("clf", rf"\d\d?/[A-Z][a-z]{{2}}/\d{{4}}:{_CLOCK}(?: [+-]\d{{4}})?"),
    ("ctime", rf"[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} +\d\d? {_CLOCK} \d{{4}}"),
)
"""Times that are looked for in a line of text: the name of the format (`soc.collect.times`), its pattern."""


def skeleton(name: str, layer: int, example: Path | None = None, *, path: str = "FILE") -> str:
    """The text of a new collector; `UsageError` for a name that cannot be one or an example without lines."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*", name):
        raise UsageError(
            f"{name!r} cannot be a name: small letters, digits and hyphens",
            hint="soc collector new my-portal",
        )
    line, glob = EXAMPLE, f"'*{name}*'"
    if example is not None:
        with opened(str(example)) as stream:
            first = next((raw for raw, _ in lines(stream, 65536) if raw.strip()), None)
        if first is None:
            raise UsageError("this file has no line to start from", place=example)
        line, glob = (
            first.decode("utf-8", "replace").strip("\r\ufeff"),
            yamlio.dump([example.name])[2:].strip(),
        )
    layers = ", ".join(f"{number} {folder}" for number, folder in LAYERS.items())
    head = _HEAD.format(name=name, title=f"Log of {name}", layer=layer, layers=layers, glob=glob, path=path)
    text = head + _body(name, line)
    return text + _samples(name, line, _time_of(name, text + _samples(name, line)))


def _time_of(name: str, text: str) -> str:
    """The time that a new collector finds in its sample; "" for none."""
    with tempfile.TemporaryDirectory(prefix="soc-") as folder:
        path = Path(folder) / f"{name}.yml"
        path.write_text(text, "utf-8")
        collector, problems = load(path)
        if collector is None:
            raise ContentError(problems)
        events = check.run(collector, collector.samples[0])
    return next((str(e["@timestamp"]) for e in events if "soc.time_from" not in e), "")


def _body(name: str, line: str) -> str:
    document = _json(line)
    if document is not None:
        return _json_body(document)
    from soc.collect.formats.syslog import split

    header = split(line)
    if header is not None and header.program:
        program = re.sub(r"[^\w./@-]", "", header.program) or name
        return f"""format: syslog
streams:
  - name: log                 # the dataset is {name}.log
    when: {{program: {_quote(program)}}}
    fields:                   # ECS field: raw name | filter …
      host.name: host
      process.name: program
      process.pid: pid
      message: message
    set: {{event.category: host, event.type: info}}
    messages:                 # the first whose pattern matches adds its fields
      - pattern: '.*\\bfrom (?P<client>[0-9A-Fa-f.:]+)'
        fields: {{source.ip: client | address}}
"""
    return _text_body(name, line)


def _text_body(name: str, line: str) -> str:
    """A pattern for lines that have their time where the example has it, and one for all others."""
    found = [(match, kind, pattern) for kind, pattern in _TEXT_TIMES if (match := re.search(pattern, line))]
    out = ["format: text", "streams:", f"  - name: log                 # the dataset is {name}.log"]
    out.append("    patterns:                 # the first that matches a whole line counts")
    if found:
        match, kind, pattern = min(found, key=lambda one: one[0].start())
        before = ".*?" if match.start() else ""
        between = r"[\]\s|,;:]*"
        out.append(f"      - {_quote(f'{before}(?P<time>{pattern}){between}(?P<message>.*)')}")
    out.append("      - '(?P<message>.*)'")
    if found:
        out.append(f"    time: {{from: time, format: {kind}}}")
    else:
        out.append("    # no time was found in the example: events have the time at which they are collected")
    out.append("    fields:                   # ECS field: raw name | filter …")
    out.append("      message: message")
    out.append("    set: {event.category: host, event.type: info}")
    return "\n".join(out) + "\n"


def _json(line: str) -> dict[str, Any] | None:
    from soc.collect.formats.jsonlines import parse

    try:
        return parse(line)
    except ValueError:
        return None


def _json_body(document: dict[str, Any]) -> str:
    from soc.event import flatten

    fields: dict[str, str] = {}
    left = []
    for raw in flatten(document):
        target = raw if ecs.is_known(raw) else _GUESSES.get(raw.rpartition(".")[2].lower())
        if raw in _TIMES or not re.fullmatch(r"[\w@-]+(?:\.[\w@-]+)*", raw):
            continue
        if target and target not in fields and target != "@timestamp":
            fields[target] = f"{raw} | address" if target.endswith(".ip") else raw
        else:
            left.append(raw)
    time = next((raw for raw in _TIMES if raw in document), "timestamp")
    out = ["format: json", f"time: {{from: {_quote(time)}, format: auto}}", "streams:", "  - name: event"]
    out.append("    fields:                   # ECS field: path in the document | filter …")
    fields = fields or {"message": "message"}
    out += [f"      {target}: {_quote(raw)}" for target, raw in fields.items()]
    out += [f"      # soc.extra.{raw}: {raw}" for raw in left[:40]]
    out.append("    set: {event.category: host, event.type: info}")
    return "\n".join(out) + "\n"


def _samples(name: str, line: str, time: str = "") -> str:
    expected = f"\n      '@timestamp': '{time}'" if time else ""
    return f"""samples:
  - name: a first line
    line: {_quote(line)}
    expect:{expected}
      event.dataset: {name}.{"event" if _json(line) is not None else "log"}
logsources:
  - {{product: {name}, dataset: {name}.{"event" if _json(line) is not None else "log"}}}
"""


def _quote(text: str) -> str:
    """A YAML scalar on one line that is this text."""
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    import json

    return json.dumps(text)


def write(
    name: str, layer: int, folder: Path, example: Path | None = None, *, dry_run: bool = False
) -> tuple[Path, str]:
    """Write a new collector to `folder`; its path and text. `UsageError` where a file stands already."""
    path = folder / f"{name}.yml"
    text = skeleton(name, layer, example, path=str(path))
    if path.exists():
        raise UsageError(
            "there is a collector of that name already", place=path, hint=f"soc collector show {name}"
        )
    if not dry_run:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return path, text
