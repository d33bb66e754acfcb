"""Documents and the audit log on Elasticsearch.

The version of a document stands in its body and rises by one with each change, over deletions too (a deleted
document stays as an empty one), so that nobody overwrites what they have not seen. The check is the server's:
`if_seq_no` and `if_primary_term` of what was read, or `create` for a new id.

Who changed a document is in `stamp`. Where security is on, the index's final pipeline writes the
authenticated user there, over whatever the client had sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from soc.detect.predicate import And, Op, Or, Predicate, Test, matches
from soc.detect.text import canonical, fold
from soc.errors import NotAuthorisedError, SocError
from soc.event import flatten, timestamp, values_of
from soc.store.contract import AuditRecord, Document, VersionConflictError, Write
from soc.store.elastic_connection import Connection, RefusedError, TransientError
from soc.store.elastic_events import raise_if_not_the_event, reason_of
from soc.store.elastic_schema import Names
from soc.store.embedded_codec import UnfitError, decode, encode

PAGE = 500
"""Documents in one read."""

BULK_BYTES = 8_000_000
TERM_LENGTH = 200
"""Longest value that is indexed for `find`."""

TERMS = 200
"""Most values of one document that are indexed for `find`; one with more is returned by every query."""


class _Found(NamedTuple):
    """A document as it lies in the index, with what the server checks a change against."""

    document: Document
    deleted: bool
    token: str
    seq_no: int
    primary_term: int


def _key(kind: str, id_: str) -> str:
    """The `_id` of a document; Elasticsearch takes up to 512 bytes."""
    key = f"{kind}:{id_}"
    if len(key.encode("utf-8", "surrogatepass")) <= 512:
        return key
    return f"{kind[:100]}:{hashlib.blake2b(key.encode('utf-8', 'surrogatepass'), digest_size=20).hexdigest()}"


def _terms(body: Mapping[str, Any]) -> tuple[list[str], bool]:
    """`name=folded value` for the short values of a flattened body, and whether some were left out."""
    terms: list[str] = []
    flat = flatten(body)
    for name in flat:
        for value in values_of(flat, name):
            text = fold(canonical(value))
            if len(text) > TERM_LENGTH or len(name) > TERM_LENGTH or len(terms) >= TERMS:
                return terms, True
            terms.append(f"{name}={text}")
    return terms, False


def _wanted(where: Predicate) -> list[dict[str, Any]]:
    """Filters that every document on which the predicate is true passes (others may pass as well)."""
    query = _query(where)
    if query is None:
        return []
    return [{"bool": {"should": [query, {"term": {"more": True}}], "minimum_should_match": 1}}]


def _query(where: Predicate) -> dict[str, Any] | None:
    if isinstance(where, Test):
        if where.op is not Op.EQUALS or where.field is None:
            return None
        text = fold(canonical(where.operand))
        if len(text) > TERM_LENGTH:
            return None
        return {"term": {"terms": f"{where.field}={text}"}}
    if isinstance(where, (And, Or)):
        parts = [_query(part) for part in where.parts]
        known = [part for part in parts if part is not None]
        if isinstance(where, And):
            return {"bool": {"filter": known}} if known else None
        if len(known) == len(parts) and known:
            return {"bool": {"should": known, "minimum_should_match": 1}}
    return None


def _content(what: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """A body as it is stored: as an object, or as text where plain JSON cannot say it exactly."""
    try:
        encoded = encode(body)
    except UnfitError as error:
        raise SocError(f"{what} cannot be stored: {error}") from None
    return {"body": dict(body)} if isinstance(encoded, bytes) else {"body_text": encoded}


def _body(source: Mapping[str, Any]) -> dict[str, Any]:
    if "body_text" in source:
        return decode(source["body_text"])
    body: dict[str, Any] = source.get("body") or {}
    return body


def _token() -> str:
    """Marks what one call has written, so that it knows its own work when the answer was lost."""
    from uuid import uuid4

    return uuid4().hex


def _user(source: Mapping[str, Any]) -> str:
    return str((source.get("stamp") or {}).get("username", ""))


def refresh(connection: Connection, index: str) -> None:
    """Make what was written to an index searchable; whoever may only read sees it a moment later."""
    try:
        connection.call("POST", f"/{index}/_refresh", params={"ignore_unavailable": "true"})
    except NotAuthorisedError:
        return
    except RefusedError as error:
        if error.status not in {403, 404}:
            raise


class Documents:
    """Documents by kind and id (see `soc.store.contract.Store`)."""

    def __init__(
        self, connection: Connection, names: Names, ready: Callable[[], None], user: Callable[[], str]
    ) -> None:
        self._connection = connection
        self._index = names.documents
        self._ready = ready
        self._user = user

    def read(self, kind: str, id_: str) -> Document | None:
        """The document as of now, or None."""
        found = self._fetch([(kind, id_)])[kind, id_]
        return None if found is None or found.deleted else found.document

    def read_many(self, kind: str, ids: Sequence[str]) -> dict[str, Document]:
        """The documents as of now, by id; those that are not there are left out."""
        found = self._fetch([(kind, id_) for id_ in dict.fromkeys(ids)])
        return {id_: f.document for (_, id_), f in found.items() if f is not None and not f.deleted}

    def _fetch(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], _Found | None]:
        """Read by id, in real time: what was written a moment ago is seen."""
        out: dict[tuple[str, str], _Found | None] = {}
        for i in range(0, len(keys), PAGE):
            part = keys[i : i + PAGE]
            body = {"ids": [_key(kind, id_) for kind, id_ in part]}
            try:
                docs = self._connection.call("POST", f"/{self._index}/_mget", body=body)["docs"]
            except RefusedError as error:
                if error.status != 404:
                    raise
                docs = [{} for _ in part]
            for key, doc in zip(part, docs, strict=True):
                problem = doc.get("error")
                if problem and problem.get("type") != "index_not_found_exception":
                    raise SocError(f"{self._connection.name}: {reason_of(problem)[1]}")
                out[key] = _found(doc) if doc.get("found") else None
        return out

    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        """Compare and set each; see `soc.store.contract.Store.write`."""
        for write in writes:
            if write.body is not None:
                _content(f"{write.kind} {write.id}", write.body)
        if writes:
            self._ready()
        results: list[Document | VersionConflictError | None] = [None] * len(writes)
        waiting = list(range(len(writes)))
        while waiting:
            # writes to one document are done one after the other, in the order given
            now: dict[tuple[str, str], int] = {}
            later = []
            size = 0
            for i in waiting:
                write = writes[i]
                if (write.kind, write.id) in now or size > BULK_BYTES or len(now) >= PAGE:
                    later.append(i)
                else:
                    now[write.kind, write.id] = i
                    size += _rough_size(write)
            self._write_each_once([(i, writes[i]) for i in now.values()], results)
            waiting = later
        return [result for result in results if result is not None]

    def _write_each_once(
        self, writes: list[tuple[int, Write]], results: list[Document | VersionConflictError | None]
    ) -> None:
        current = self._fetch([(w.kind, w.id) for _, w in writes])
        at = timestamp(datetime.now(UTC))
        user = self._user()
        lines: list[bytes] = []
        sent: list[tuple[int, Write, dict[str, Any]]] = []
        for i, write in writes:
            found = current[write.kind, write.id]
            seen = 0 if found is None or found.deleted else found.document.version
            if write.expect != seen:
                results[i] = VersionConflictError(
                    write, None if found is None or found.deleted else found.document
                )
            elif write.body is None and (found is None or found.deleted):
                results[i] = Document(write.kind, write.id, 0, {}, user, at)
            else:
                source = _source(write, (found.document.version if found else 0) + 1, user, at)
                lines.append(_bulk_line(write, found, source))
                sent.append((i, write, source))
        if lines:
            self._bulk(lines, sent, results)

    def _bulk(
        self,
        lines: list[bytes],
        sent: list[tuple[int, Write, dict[str, Any]]],
        results: list[Document | VersionConflictError | None],
    ) -> None:
        for attempt in self._connection.attempts():
            with attempt:
                path = f"/{self._index}/_bulk"
                answer = self._connection.call("POST", path, body=b"".join(lines), lines=True)
                busy: list[int] = []
                for n, ((i, write, source), item) in enumerate(zip(sent, answer["items"], strict=True)):
                    (result,) = item.values()
                    if result["status"] in {429, 502, 503, 504}:
                        busy.append(n)
                    else:
                        results[i] = self._result(write, source, result)
                lines, sent = [lines[n] for n in busy], [sent[n] for n in busy]
                if busy:
                    raise TransientError(
                        f"{self._connection.name} is too busy to write documents",
                        hint=self._connection.next_step,
                    )

    def _result(
        self, write: Write, source: dict[str, Any], result: Mapping[str, Any]
    ) -> Document | VersionConflictError:
        if result["status"] == 409:
            found = self._fetch([(write.kind, write.id)])[write.kind, write.id]
            if found is not None and _is_ours(found, source):
                return _after(write, found.document)  # the answer to our first try was lost on the way
            return VersionConflictError(write, None if found is None or found.deleted else found.document)
        if result["status"] >= 300:
            kind, reason, whole = reason_of(result.get("error", {}))
            raise_if_not_the_event(self._connection.name, result["status"], kind, whole)
            raise SocError(f"{write.kind} {write.id} cannot be stored: {reason}")
        document = Document(
            write.kind, write.id, source["version"], _body(source), self._user(), source["changed_at"]
        )
        return _after(write, document)

    def find(self, kind: str, where: Predicate, limit: int | None) -> Iterator[Document]:
        """Documents of a kind on which the predicate holds, by id."""
        refresh(self._connection, self._index)
        filters = [{"term": {"kind": kind}}, *_wanted(where)]
        body: dict[str, Any] = {
            "size": PAGE if limit is None else min(PAGE, max(limit, 1)),
            "query": {"bool": {"filter": filters, "must_not": {"term": {"deleted": True}}}},
            "sort": [{"id": "asc"}],
            "track_total_hits": False,
            "seq_no_primary_term": True,
        }
        left = limit
        while left is None or left > 0:
            hits = search_hits(self._connection, self._index, body)
            for hit in hits:
                document = _found(hit).document
                if matches(where, flatten(document.body)):
                    yield document
                    if left is not None:
                        left -= 1
                        if not left:
                            return
            if len(hits) < body["size"]:
                return
            body["search_after"] = hits[-1]["sort"]

    def counts(self) -> dict[str, int]:
        """How many documents of each kind there are."""
        body = {
            "size": 0,
            "query": {"bool": {"must_not": {"term": {"deleted": True}}}},
            "aggs": {"kinds": {"terms": {"field": "kind", "size": 1000, "order": {"_key": "asc"}}}},
        }
        params = {"ignore_unavailable": "true"}
        answer = self._connection.call("POST", f"/{self._index}/_search", params=params, body=body)
        buckets = answer.get("aggregations", {}).get("kinds", {}).get("buckets", ())
        return {bucket["key"]: bucket["doc_count"] for bucket in buckets}


def search_hits(connection: Connection, index: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One page of a search; none when the index is not there."""
    params = {"ignore_unavailable": "true", "allow_partial_search_results": "false"}
    answer = connection.call("POST", f"/{index}/_search", params=params, body=body)
    hits: list[dict[str, Any]] = answer["hits"]["hits"]
    return hits


def _found(doc: Mapping[str, Any]) -> _Found:
    source = doc["_source"]
    document = Document(
        source["kind"], source["id"], source["version"], _body(source), _user(source), source["changed_at"]
    )
    return _Found(
        document, bool(source.get("deleted")), source.get("token", ""), doc["_seq_no"], doc["_primary_term"]
    )


def _source(write: Write, version: int, user: str, at: str) -> dict[str, Any]:
    head: dict[str, Any] = {
        "kind": write.kind,
        "id": write.id,
        "version": version,
        "changed_at": at,
        "token": _token(),
    }
    head["stamp"] = {"username": user}
    if write.body is None:
        return {**head, "deleted": True}
    terms, more = _terms(write.body)
    content = _content(f"{write.kind} {write.id}", write.body)
    return {**head, "terms": terms, **({"more": True} if more else {}), **content}


def _bulk_line(write: Write, found: _Found | None, source: Mapping[str, Any]) -> bytes:
    import orjson

    action: dict[str, Any] = {"_id": _key(write.kind, write.id)}
    if found is None:
        verb = "create"
    else:
        verb = "index"
        action |= {"if_seq_no": found.seq_no, "if_primary_term": found.primary_term}
    return orjson.dumps({verb: action}) + b"\n" + orjson.dumps(source) + b"\n"


def _is_ours(found: _Found, source: Mapping[str, Any]) -> bool:
    """Whether what lies there is what this call has written."""
    return found.token == str(source["token"])


def _after(write: Write, document: Document) -> Document:
    """What `write` returns: a deletion is version 0 with an empty body."""
    if write.body is None:
        return Document(write.kind, write.id, 0, {}, document.changed_by, document.changed_at)
    return document


def _rough_size(write: Write) -> int:
    encoded = encode(write.body) if write.body is not None else b""
    return len(encoded) + 500


class AuditLog:
    """Numbered records that are created once (see `soc.store.contract.Store`)."""

    def __init__(
        self, connection: Connection, names: Names, ready: Callable[[], None], user: Callable[[], str]
    ) -> None:
        self._connection = connection
        self._index = names.audit
        self._ready = ready
        self._user = user

    def create(self, number: int, body: Mapping[str, Any]) -> bool:
        """Create the record `number`; False when it is taken."""
        if number < 1:
            raise ValueError("audit records are numbered from 1")
        self._ready()
        content = _content(f"audit record {number}", body)
        source = {"number": number, "token": _token(), "stamp": {"username": self._user()}, **content}
        try:
            self._connection.call("PUT", f"/{self._index}/_create/{number:019d}", body=source)
        except RefusedError as error:
            if error.status != 409:
                raise
            return self._is_mine(number, source["token"])
        return True

    def _is_mine(self, number: int, token: str) -> bool:
        """Whether the record is what was just sent, and the answer to the first try was lost on the way."""
        doc = self._connection.call("GET", f"/{self._index}/_doc/{number:019d}")
        return bool(doc["_source"].get("token") == token)

    def read(self, after: int, limit: int | None) -> Iterator[AuditRecord]:
        """Records above `after`, ascending."""
        refresh(self._connection, self._index)
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            body = {
                "size": size,
                "query": {"range": {"number": {"gt": after}}},
                "sort": [{"number": "asc"}],
                "track_total_hits": False,
            }
            hits = search_hits(self._connection, self._index, body)
            for hit in hits:
                yield _record(hit)
            if len(hits) < size:
                return
            after = hits[-1]["_source"]["number"]
            left = None if left is None else left - len(hits)

    def last(self) -> AuditRecord | None:
        """The record with the highest number."""
        refresh(self._connection, self._index)
        body = {"size": 1, "sort": [{"number": "desc"}], "track_total_hits": False}
        hits = search_hits(self._connection, self._index, body)
        return _record(hits[0]) if hits else None


def _record(hit: Mapping[str, Any]) -> AuditRecord:
    source = hit["_source"]
    return AuditRecord(source["number"], _body(source), _user(source))
