"""What the store consists of on Elasticsearch: names, mappings, templates, the user's stamp, roles.

Events lie in `soc-events-<layer>-<retention>-<period>`; a space (a drill, a test) puts its name after `soc-`.
The index of an event is a pure function of its own fields, so that a replay meets the first copy: four
layers of monthly indices are 48 shards a year and retention class.

Only fields that queries narrow down by, or whose type matters to other tools, are mapped; every other
field lies in one `flattened` field (`OTHER`) under its own dotted name. So no event ever adds a field to a
mapping, and any set of names is accepted, `a` beside `a.b` included.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from soc import ecs
from soc.errors import UsageError
from soc.store.contract import SCHEMA_VERSION

OTHER = "soc.other"
"""The flattened field for everything that has no mapping of its own."""

EXACT = "soc.exact"
"""Holds an event as JSON text that plain JSON numbers or text cannot say (integers beyond 64 bits …)."""

WIDEN = "soc.widen"
"""True on an event whose fields are not indexed as they are: it lies in `EXACT`, or a fraction stands in a
keyword field. Every query includes it."""

OVERLONG = "soc.overlong"
"""True on an event with a value that is too long for `OTHER`, of which `_ignored` does not tell."""

IGNORE_ABOVE = 8191
"""Longest indexed keyword, in characters: four bytes each stay below Lucene's 32,766 bytes."""

OTHER_IGNORE_ABOVE = 1024
"""Longest indexed value in `OTHER`."""

LOWER = "lower"
"""Sub-field with the lowercase normalizer: what candidates are looked for in."""

UNINDEXED = ("event.original", "message", EXACT)
"""Fields that are kept and cannot be searched for."""

STAMP_PIPELINE = "soc-stamp"
"""Ingest pipeline that writes the authenticated user over whatever the client claims."""

FIRST_YEAR, LAST_YEAR = 2000, 2100
"""Events before and after share an index each, so that absurd times cannot fill the node with indices."""

_RESERVED = {"events", "documents", "audit"}
_SPACE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_CLASS = re.compile(r"[a-z0-9_]{1,40}")


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one space."""

    space: str = ""

    def __post_init__(self) -> None:
        """Refuse a space whose indices could be taken for those of another."""
        words = self.space.split("-")
        if self.space and (
            not _SPACE.fullmatch(self.space) or len(self.space) > 60 or _RESERVED.intersection(words)
        ):
            raise UsageError(
                f"{self.space!r} cannot be the name of a space",
                hint="use lower-case letters, digits and hyphens, without the words events, documents, audit",
            )

    @property
    def prefix(self) -> str:
        """What every index and template of this space begins with."""
        return f"soc-{self.space}-" if self.space else "soc-"

    @property
    def events(self) -> str:
        """Pattern of all event indices."""
        return f"{self.prefix}events-*"

    @property
    def documents(self) -> str:
        """Index of the documents."""
        return f"{self.prefix}documents"

    @property
    def audit(self) -> str:
        """Index of the audit log."""
        return f"{self.prefix}audit"

    def template(self, what: str) -> str:
        """Name of the index template for events, documents or audit."""
        return f"{self.prefix}{what}"

    def event_index(self, time: str, layer: int, retention: str) -> str:
        """The index of an event. `time` is its @timestamp in UTC. Raises ValueError for an unusable class."""
        return self.prefix + _event_suffix(time[:7], layer, retention)


@lru_cache(maxsize=4096)
def _event_suffix(month: str, layer: int, retention: str) -> str:
    if not _CLASS.fullmatch(retention):
        raise ValueError(f"soc.retention {retention!r:.60} is not a class: a-z, 0-9 and _ are expected")
    year = int(month[:4])
    period = "early" if year < FIRST_YEAR else "late" if year >= LAST_YEAR else f"{month[:4]}.{month[5:7]}"
    return f"events-{layer}-{retention}-{period}"


def period_end(index: str) -> str | None:
    """The time text at which the period of an event index is over; None when it has no end."""
    period = index.rpartition("-")[2]
    if period == "early":
        return f"{FIRST_YEAR:04d}-01-01T00:00:00.000000Z"
    found = re.fullmatch(r"(\d{4})\.(\d{2})", period)
    if found is None:
        return None
    year, month = int(found[1]), int(found[2])
    year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return f"{year:04d}-{month:02d}-01T00:00:00.000000Z"


def class_of(index: str) -> str:
    """The retention class of the events in an index; a class has no hyphen."""
    return index.split("-")[-2]


_LOWERED = """
process.executable process.name process.command_line process.working_directory process.title
process.parent.executable process.parent.name process.parent.command_line process.pe.original_file_name
process.hash.md5 process.hash.sha1 process.hash.sha256 process.pe.imphash process.user.name
file.path file.name file.extension file.directory file.target_path file.hash.md5 file.hash.sha1
file.hash.sha256 dll.path dll.name registry.path registry.key registry.value registry.hive
registry.data.strings user.name user.domain user.target.name user.effective.name related.user
related.hosts host.name host.hostname source.address source.domain destination.address
destination.domain client.address server.address dns.question.name dns.resolved_ip url.original url.full
url.path url.query url.domain user_agent.original http.request.method http.request.referrer
email.subject email.from.address email.to.address service.name rule.name rule.id event.action
event.reason error.code vulnerability.id threat.indicator.name tls.client.server_name observer.name
winlog.provider_name winlog.task winlog.logon.type powershell.file.script_block_text
winlog.event_data.ScriptBlockText winlog.event_data.ServiceName winlog.event_data.ImagePath
winlog.event_data.TargetObject winlog.event_data.Details winlog.event_data.PipeName
winlog.event_data.TargetUserName winlog.event_data.SubjectUserName winlog.event_data.CallTrace
winlog.event_data.GrantedAccess winlog.event_data.TargetImage winlog.event_data.SourceImage
winlog.event_data.Image winlog.event_data.CommandLine winlog.event_data.ParentImage
winlog.event_data.ParentCommandLine winlog.event_data.OriginalFileName winlog.event_data.ImageLoaded
winlog.event_data.TargetFilename winlog.event_data.Hashes winlog.event_data.QueryName
winlog.event_data.ObjectName winlog.event_data.TaskName winlog.event_data.ServiceFileName
"""

_PLAIN = """
event.kind event.category event.type event.outcome event.module event.dataset event.code event.provider
event.severity event.id log.level log.syslog.facility.name log.syslog.severity.name network.protocol
network.transport network.type network.application network.direction soc.collector soc.source soc.path
soc.generation soc.retention soc.system soc.criticality soc.time_from soc.misfit soc.finding.id
soc.indicator.tlp user.id group.name process.entity_id process.parent.entity_id process.Ext.logon_id
winlog.channel winlog.event_id winlog.computer_name winlog.record_id winlog.level agent.name agent.type
host.id host.os.family rule.category rule.ruleset vulnerability.severity vulnerability.scanner.vendor
threat.indicator.type dns.question.type dns.response_code dns.type
"""

_TYPED = frozenset({"long", "double", "boolean", "date", "ip", "geo_point"})
_DEEP = re.compile(
    r"leader|enrichments|\.Ext\.|code_signature|\.pe\.|\.elf\.|\.macho\.|x509|^(orchestrator|faas|gen_ai|device)\."
)
"""Typed fields of ECS that log sources hardly fill; they lie in `OTHER`."""


@cache
def event_fields() -> dict[str, str]:
    """The mapped fields of an event: name to ECS type, or `lowered` (keyword with sub-field `lower`)."""
    out = {name: kind for name, kind in ecs.fields().items() if kind in _TYPED and not _DEEP.search(name)}
    # a field that ECS knows by another type keeps it: the type of a field has one source
    out |= {name: "keyword" for name in _PLAIN.split() if ecs.type_of(name) in {"keyword", "text"}}
    out |= {name: "lowered" for name in _LOWERED.split() if ecs.type_of(name) in {"keyword", "text"}}
    return out


def _mapping_of(kind: str) -> dict[str, Any]:
    if kind == "lowered":
        lower = {
            "type": "keyword",
            "normalizer": "soc_lower",
            "ignore_above": IGNORE_ABOVE,
            "doc_values": False,
        }
        return {"type": "keyword", "ignore_above": IGNORE_ABOVE, "fields": {LOWER: lower}}
    if kind == "keyword":
        return {"type": "keyword", "ignore_above": IGNORE_ABOVE}
    return {"type": kind}


def event_mappings() -> dict[str, Any]:
    """The mapping of an event index. `subobjects: false`: a dotted name is a name, not a path."""
    unindexed = {"type": "keyword", "index": False, "doc_values": False}
    properties: dict[str, Any] = {name: _mapping_of(kind) for name, kind in sorted(event_fields().items())}
    properties |= dict.fromkeys(UNINDEXED, unindexed)
    properties[WIDEN] = properties[OVERLONG] = {"type": "boolean"}
    properties[OTHER] = {"type": "flattened", "ignore_above": OTHER_IGNORE_ABOVE}
    return {"dynamic": False, "subobjects": False, "date_detection": False, "properties": properties}


_STAMP = {"type": "object", "enabled": False}
_SETTINGS: dict[str, Any] = {
    "index.number_of_shards": 1,
    "index.auto_expand_replicas": "0-1",
    "index.translog.durability": "request",
}


def _events_template(names: Names) -> dict[str, Any]:
    normalizer = {"soc_lower": {"type": "custom", "filter": ["lowercase"]}}
    settings = {**_SETTINGS, "index.refresh_interval": "5s", "index.analysis": {"normalizer": normalizer}}
    return _template(names.events, settings, event_mappings())


def _documents_template(names: Names, stamped: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "kind": {"type": "keyword"},
        "id": {"type": "keyword", "ignore_above": IGNORE_ABOVE},
        "version": {"type": "long"},
        "deleted": {"type": "boolean"},
        "changed_at": {"type": "keyword", "index": False},
        "terms": {"type": "keyword", "doc_values": False},
        "more": {"type": "boolean"},
        "stamp": _STAMP,
        "body": {"type": "object", "enabled": False},
    }
    settings = {**_SETTINGS, **({"index.final_pipeline": STAMP_PIPELINE} if stamped else {})}
    return _template(names.documents, settings, {"dynamic": False, "properties": properties})


def _audit_template(names: Names, stamped: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "number": {"type": "long"},
        "stamp": _STAMP,
        "body": {"type": "object", "enabled": False},
    }
    settings = {**_SETTINGS, **({"index.final_pipeline": STAMP_PIPELINE} if stamped else {})}
    return _template(names.audit, settings, {"dynamic": False, "properties": properties})


def _template(pattern: str, settings: Mapping[str, Any], mappings: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "index_patterns": [pattern],
        "priority": 500,
        "template": {"settings": dict(settings), "mappings": dict(mappings)},
    }
    return {**content, "_meta": {"soc": {"schema": SCHEMA_VERSION, "hash": digest(content)}}}


def digest(content: Any) -> str:
    """A short hash by which a template in the cluster is known to be this one."""
    import orjson

    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def templates(names: Names, *, stamped: bool) -> dict[str, dict[str, Any]]:
    """The index templates of a space, by name. `stamped`: the server writes who changed a document."""
    return {
        names.template("events"): _events_template(names),
        names.template("documents"): _documents_template(names, stamped),
        names.template("audit"): _audit_template(names, stamped),
    }


def stamp_pipeline() -> dict[str, Any]:
    """The pipeline that stamps the user; it is an index's final pipeline, which no request can leave out."""
    processors = [{"set_security_user": {"field": "stamp", "properties": ["username"]}}]
    meta = {"soc": {"schema": SCHEMA_VERSION, "hash": digest(processors)}}
    return {"description": "Who wrote this, as the server knows", "processors": processors, "_meta": meta}


def roles(names: Names) -> dict[str, dict[str, Any]]:
    """Roles by least privilege, for an administrator to create. A space has roles of its own.

    Names follow the people: a collector may create events and read nothing; nobody may change the audit log.
    """

    def on(name: str, *privileges: str) -> dict[str, Any]:
        return {"names": [name], "privileges": list(privileges)}

    suffix = f"_{names.space}" if names.space else ""
    audit = on(names.audit, "read", "create_doc", "maintenance")
    documents = on(names.documents, "read", "write", "maintenance")
    read = on(names.events, "read", "view_index_metadata", "maintenance")
    watch = on(f"{names.prefix}*", "monitor", "view_index_metadata")
    return {
        f"soc_collector{suffix}": {
            "cluster": [],
            "indices": [on(names.events, "create_index", "create_doc")],
        },
        f"soc_sweeper{suffix}": {"cluster": [], "indices": [read, watch, documents, audit]},
        f"soc_analyst{suffix}": {"cluster": [], "indices": [read, watch, documents, audit]},
        f"soc_auditor{suffix}": {
            "cluster": [],
            "indices": [on(f"{names.prefix}*", "read", "monitor", "view_index_metadata", "maintenance")],
        },
        f"soc_engineer{suffix}": {
            "cluster": ["manage_index_templates", "manage_ingest_pipelines", "monitor"],
            "indices": [on(names.events, "manage", "read", "create_doc"), watch, documents, audit]
            + [on(name, "create_index", "manage") for name in (names.documents, names.audit)],
        },
    }
