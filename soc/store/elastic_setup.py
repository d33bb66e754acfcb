"""Setting up and looking after the store on Elasticsearch: who signs in, templates, status, retention."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

from soc.errors import NotAuthorisedError, SocError
from soc.event import timestamp
from soc.store.contract import SCHEMA_VERSION, Planned, Pruned, StoreStatus
from soc.store.elastic_connection import Connection, RefusedError
from soc.store.elastic_schema import (
    STAMP_PIPELINE,
    Names,
    class_of,
    digest,
    period_end,
    roles,
    stamp_pipeline,
    templates,
)
from soc.store.embedded_documents import user as operating_system_user

MANY_SHARDS = 300
"""More shards than this on one node are worth a warning."""


class Setup:
    """The parts of a store that are made once, and the questions about the store as a whole."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._connection = connection
        self._names = names
        self._checked = False

    @cached_property
    def authenticated(self) -> str | None:
        """The user as the server knows them; None where security is off."""
        try:
            answer = self._connection.call("GET", "/_security/_authenticate")
        except RefusedError as error:
            if error.status in {400, 404, 405, 500}:
                return None  # a server without security has no such address
            raise
        return str(answer["username"])

    def user(self) -> str:
        """The authenticated user, or the operating system's where security is off."""
        return self.authenticated or operating_system_user()

    def ready(self) -> None:
        """Before the first write: make sure that the templates are there, and not those of a newer version.

        A user who may not look at templates is believed to have been given a store that is set up.
        """
        if self._checked:
            return
        try:
            known = [self._template(self._names.template(what)) for what in ("events", "documents", "audit")]
        except NotAuthorisedError:
            self._checked = True
            return
        if any(content is None for content in known):
            self.init(dry_run=False)
        self._checked = True

    def _template(self, name: str) -> dict[str, Any] | None:
        """A template of ours, or None. Raises `SocError` for one of somebody else, or of a newer version."""
        try:
            answer = self._connection.call("GET", f"/_index_template/{quote(name)}")
        except RefusedError as error:
            if error.status == 404:
                return None
            raise
        content: dict[str, Any] = answer["index_templates"][0]["index_template"]
        _check_ours(f"index template {name}", content)
        return content

    def init(self, *, dry_run: bool) -> list[Planned]:
        """See `soc.store.contract.Store.init`."""
        stamped = self.authenticated is not None
        planned = []
        if stamped:
            planned.append(self._pipeline(dry_run))
        for name, content in templates(self._names, stamped=stamped).items():
            known = self._template(name)
            exists = known is not None and _hash(known) == _hash(content)
            if not exists and not dry_run:
                self._connection.call("PUT", f"/_index_template/{quote(name)}", body=content)
            planned.append(Planned("index template", name, content, exists))
        planned += [
            self._index(name, stamped, dry_run) for name in (self._names.documents, self._names.audit)
        ]
        if stamped:
            planned += [self._role(name, content, dry_run) for name, content in roles(self._names).items()]
        self._checked = self._checked or not dry_run
        return planned

    def _pipeline(self, dry_run: bool) -> Planned:
        content = stamp_pipeline()
        path = f"/_ingest/pipeline/{STAMP_PIPELINE}"
        try:
            known = self._connection.call("GET", path)[STAMP_PIPELINE]
            _check_ours(f"ingest pipeline {STAMP_PIPELINE}", known)
            exists = _hash(known) == _hash(content)
        except RefusedError as error:
            if error.status != 404:
                raise
            exists = False
        if not exists and not dry_run:
            self._connection.call("PUT", path, body=content)
        return Planned("ingest pipeline", STAMP_PIPELINE, content, exists)

    def _index(self, name: str, stamped: bool, dry_run: bool) -> Planned:
        """An index of documents or audit records; one from before security was switched on gets the stamp."""
        content: dict[str, Any] = {"index.final_pipeline": STAMP_PIPELINE} if stamped else {}
        try:
            known = self._connection.call("GET", f"/{name}/_settings", params={"flat_settings": "true"})
        except RefusedError as error:
            if error.status != 404:
                raise
            if not dry_run:
                self._create(name)
            return Planned("index", name, content, exists=False)
        has = known[name]["settings"].get("index.final_pipeline")
        exists = not stamped or has == STAMP_PIPELINE
        if not exists and not dry_run:
            self._connection.call("PUT", f"/{name}/_settings", body=content)
        return Planned("index", name, content, exists)

    def _create(self, name: str) -> None:
        try:
            self._connection.call("PUT", f"/{name}")
        except RefusedError as error:
            if error.kind != "resource_already_exists_exception":  # somebody was faster: as good
                raise

    def _role(self, name: str, content: Mapping[str, Any], dry_run: bool) -> Planned:
        """A role; one that exists is left as its administrator has made it."""
        path = f"/_security/role/{quote(name)}"
        note = ""
        try:
            self._connection.call("GET", path)
            return Planned("role", name, content, exists=True)
        except NotAuthorisedError:
            return Planned("role", name, content, False, note="this user may not see roles")
        except (RefusedError, SocError):
            pass
        if not dry_run:
            try:
                self._connection.call("PUT", path, body=dict(content))
            except SocError as error:
                note = f"not created; an administrator can: {error.message}"
        return Planned("role", name, content, exists=False, note=note)

    def status(self) -> StoreStatus:
        """See `soc.store.contract.Store.status`."""
        params = {
            "filter_path": "_all.primaries.docs.count,_all.total.store.size_in_bytes,indices.*.uuid,_shards"
        }
        stats = self._connection.call("GET", f"/{self._names.events}/_stats/docs,store", params=params)
        totals = stats.get("_all", {})
        oldest, newest = self._span()
        shards = stats.get("_shards", {}).get("total", 0)
        return StoreStatus(
            name=self._connection.name,
            kind="elasticsearch",
            events=totals.get("primaries", {}).get("docs", {}).get("count", 0),
            bytes=totals.get("total", {}).get("store", {}).get("size_in_bytes", 0),
            oldest=oldest,
            newest=newest,
            documents={},
            warnings=tuple(self._warnings(shards)),
            detail={
                "version": self._version(),
                "user": self.user(),
                "space": self._names.space,
                "indices": sorted(stats.get("indices", {})),
                "shards": shards,
            },
        )

    def _span(self) -> tuple[str | None, str | None]:
        """Time of the first and the last event."""
        body = {
            "size": 0,
            "track_total_hits": False,
            "aggs": {"old": {"min": {"field": "@timestamp"}}, "new": {"max": {"field": "@timestamp"}}},
        }
        params = {"ignore_unavailable": "true"}
        found = self._connection.call("POST", f"/{self._names.events}/_search", params=params, body=body)
        found = found.get("aggregations", {})

        def text(name: str) -> str | None:
            shown = found.get(name, {}).get("value_as_string")
            return timestamp(datetime.fromisoformat(shown)) if shown else None

        return text("old"), text("new")

    def _warnings(self, shards: int) -> list[str]:
        out = []
        if self.authenticated is None:
            out.append(
                "security is off on this cluster: anybody who reaches it can read, change and sign as anyone"
            )
        if shards > MANY_SHARDS:
            out.append(f"{shards} event shards: prune, or use fewer retention classes")
        try:
            health = self._connection.call("GET", f"/_cluster/health/{self._names.prefix}*")
        except SocError:
            return out
        if health["status"] == "red":
            out.append("part of the data cannot be read now (cluster health is red)")
        try:
            if self._template(self._names.template("events")) is None:
                out.append("the store is not set up yet: soc store init")
        except SocError as error:
            out.append(error.message)
        return out

    def _version(self) -> str:
        """The server's version, where the user may ask for it."""
        try:
            answer = self._connection.call("GET", "/_nodes/_local", params={"filter_path": "nodes.*.version"})
        except SocError:
            return ""
        return next((str(node["version"]) for node in answer.get("nodes", {}).values()), "")

    def prune(self, older_than: datetime, *, retention: str | None, dry_run: bool) -> list[Pruned]:
        """Delete the indices whose whole period is over; say what older events stay in the others."""
        limit = timestamp(older_than)
        params = {"filter_path": "indices.*.primaries.docs.count,indices.*.total.store.size_in_bytes"}
        stats = self._connection.call("GET", f"/{self._names.events}/_stats/docs,store", params=params)
        out = []
        for index, found in sorted(stats.get("indices", {}).items()):
            if retention not in (None, class_of(index)):
                continue
            end = period_end(index)
            count = found["primaries"]["docs"]["count"]
            if end is not None and end <= limit:
                if not dry_run:
                    self._connection.call("DELETE", f"/{quote(index)}", params={"ignore_unavailable": "true"})
                out.append(Pruned(index, count, 0, found["total"]["store"]["size_in_bytes"]))
            else:
                kept = self._older(index, limit)
                if kept:
                    out.append(Pruned(index, 0, kept, 0))
        return out

    def _older(self, index: str, limit: str) -> int:
        body = {"query": {"range": {"@timestamp": {"lt": limit}}}}
        answer = self._connection.call("POST", f"/{quote(index)}/_count", body=body)
        return int(answer["count"])


def _hash(content: Mapping[str, Any]) -> str:
    return str((content.get("_meta") or {}).get("soc", {}).get("hash", digest(dict(content))))


def _check_ours(what: str, content: Mapping[str, Any]) -> None:
    """Refuse to use or replace what this product has not made, or what a newer one has."""
    mark = (content.get("_meta") or {}).get("soc")
    if not mark:
        raise SocError(
            f"there is an {what} on this cluster that is not of this program",
            hint="rename it, or use --space NAME",
        )
    if mark.get("schema", 0) > SCHEMA_VERSION:
        raise SocError(
            f"the store has schema {mark['schema']}, this program knows up to {SCHEMA_VERSION}",
            hint="update soc on this machine",
        )
