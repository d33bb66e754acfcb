"""The formats and inner parsers that a collector file may name, and where their code stands.

Code is imported when a collector that needs it is used, not before.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Framing = Literal["lines", "file"]


@dataclass(frozen=True, slots=True)
class Format:
    """How records of an input are told apart and read.

    `target` is `module:function`: for lines it takes a line (str) and gives a mapping, or None for a line
    that is no record, or raises ValueError with the reason; for files it takes the path and the options and
    yields mappings, or `Broken`. `raws` names all raw values that there are (None: any path into the
    mapping). `evidence` is `module:function` as well: whether a line that can be read is also a sign of this
    format, for formats that take almost any line.
    """

    framing: Framing
    target: str = ""
    raws: tuple[str, ...] | None = None
    options: tuple[str, ...] = ()
    evidence: str = ""

    def load(self) -> Callable[..., Any]:
        """The function, imported now."""
        return _function(self.target)

    def load_evidence(self) -> Callable[[str], bool] | None:
        """The function of `evidence`, imported now; None where every line that can be read is a sign."""
        return _function(self.evidence) if self.evidence else None


def _function(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(f"soc.collect.formats.{module}"), name)
    return function


@dataclass(frozen=True, slots=True)
class Broken:
    """A record of a file that cannot be read, or the end of a file that stops early."""

    reason: str
    original: str = ""


SYSLOG_RAWS = ("time", "iso", "host", "program", "pid", "message", "priority", "msgid", "structured")

FORMATS: Mapping[str, Format] = {
    "text": Format("lines", raws=("line",)),
    "syslog": Format("lines", raws=("line", *SYSLOG_RAWS)),
    "json": Format("lines", "jsonlines:parse"),
    "audit": Format("lines", "audit:parse"),
    "windows-json": Format("lines", "windows:parse_line"),
    "cef": Format("lines", "cef:cef"),
    "leef": Format("lines", "cef:leef"),
    "evtx": Format("file", "evtx_file:records"),
    "records": Format("file", "jsonfile:records", options=("within", "unpack")),
    "nessus": Format("file", "scanners:nessus"),
    "openvas": Format("file", "scanners:openvas"),
    "nuclei": Format("file", "scanners:nuclei"),
    "zap": Format("file", "scanners:zap"),
    "trivy": Format("file", "scanners:trivy"),
    "sarif": Format("file", "scanners:sarif"),
    "indicators": Format("lines", "indicators:parse_line", evidence="indicators:is_plain"),
    "misp": Format("file", "indicators:misp"),
    "stix": Format("file", "indicators:stix"),
}
"""Names of formats."""

PARSERS: Mapping[str, str] = {
    "kv": "keyvalue:parse",
    "netfilter": "keyvalue:netfilter",
    "csv": "keyvalue:csv",
    "json": "jsonlines:inner",
}
"""Names of inner parsers (`parse: {from: message, as: kv}`): text to mapping, empty where there is none."""


def parser(name: str) -> Callable[[str], Mapping[str, Any]]:
    """The function of an inner parser."""
    out: Callable[[str], Mapping[str, Any]] = _function(PARSERS[name])
    return out
