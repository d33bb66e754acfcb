"""What a person may have meant by a name or a query that gives nothing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator

from soc import ecs
from soc.detect.predicate import Predicate, tests

OTHER_NAMES = {
    "src_ip": "source.ip",
    "srcip": "source.ip",
    "src": "source.ip",
    "source": "source.ip",
    "dst_ip": "destination.ip",
    "dest_ip": "destination.ip",
    "dstip": "destination.ip",
    "dst": "destination.ip",
    "destination": "destination.ip",
    "src_port": "source.port",
    "dst_port": "destination.port",
    "dest_port": "destination.port",
    "port": "destination.port",
    "ip": "related.ip",
    "host": "host.name",
    "hostname": "host.name",
    "computer": "host.name",
    "user": "user.name",
    "username": "user.name",
    "targetusername": "user.name",
    "eventid": "event.code",
    "event_id": "event.code",
    "image": "process.executable",
    "parentimage": "process.parent.executable",
    "commandline": "process.command_line",
    "cmd": "process.command_line",
    "process": "process.name",
    "file": "file.path",
    "hash": "related.hash",
    "md5": "file.hash.md5",
    "sha256": "file.hash.sha256",
    "domain": "url.domain",
    "url": "url.original",
    "path": "url.path",
    "uri": "url.original",
    "method": "http.request.method",
    "status": "http.response.status_code",
    "useragent": "user_agent.original",
    "user_agent": "user_agent.original",
    "dataset": "event.dataset",
    "layer": "soc.layer",
    "time": "@timestamp",
    "timestamp": "@timestamp",
    "level": "log.level",
    "signature": "rule.name",
}
"""What other tools call a field, in small letters, and its name here."""

_REAL_ASTERISK = re.compile(r"(?<!\\)\\(?:\\\\)*\*")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')


def like(name: str, known: Iterable[str]) -> str:
    """`; did you mean source.ip?`, the nearest of the known names; empty where none is near."""
    names = list(known)
    small = {one.lower(): one for one in names}
    meant = OTHER_NAMES.get(name.lower(), "")
    near = [small.get(name.lower(), "") or (meant if meant in names else "")]
    if not near[0]:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""


def doubts(query: str, where: Predicate) -> Iterator[str]:
    """What may be wrong with a query on events that found nothing, in sentences."""
    for name in dict.fromkeys(test.field for test in tests(where)):
        if name is not None and name != "_id" and not ecs.is_known(name):
            yield f"soc knows no field {name}{like(name, ecs.fields())}"
    if _REAL_ASTERISK.search(_QUOTED.sub("", query)):
        yield (
            r"\* in a query is a real asterisk; for anything below a folder double the backslash: "
            r"C:\Users\\*"
        )
