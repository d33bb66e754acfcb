"""The audit log: who changed what, when, as a chain of hashes that shows where it was tampered with.

Entry n is created under the number n and carries the hash of entry n - 1. It is written *before* the
change it speaks of, with the hash of each new document version; so a crash in between leaves "intended,
not done", never a change that nobody signed. Writers need no lock: a taken number means to read again.

Documents written with `change` must always be written with it: `verify` takes any other version of such a
document for one that was changed behind the log's back.

A log whose last entries were cut off is a shorter log without a fault. Only an anchor that is kept
outside of the store (`soc audit anchor`) shows that.

An entry is the SHA-256 of its canonical JSON (keys sorted, no white space, UTF-8), without `hash` itself.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from soc.errors import ConflictError
from soc.event import timestamp
from soc.store.contract import AuditRecord, Document, Store, VersionConflictError, Write

START = "0" * 64
"""What entry 1 carries as the hash of the entry before it."""

ATTEMPTS = 200
"""How often a writer tries to get a number before it gives up."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The number and hash of the last entry at some time, to be kept outside of the store."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class DocumentHash:
    """What an entry says of one document: the version that its writer had seen and the hash of the new one.

    `hash` None stands for a deletion.
    """

    kind: str
    id: str
    seen: int
    hash: str | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry as people read it. `user` is the store's stamp, `claimed` what the entry says of itself."""

    number: int
    time: str
    user: str
    claimed: str
    action: str
    subject: str
    on_behalf_of: str
    detail: Mapping[str, Any]
    documents: tuple[DocumentHash, ...]
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class Break:
    """One thing that is wrong with the log, at the entry `number` (0: no entry, a document).

    `kind`: removed, edited, relinked, forged_user, cut, anchor, document_changed, document_gone,
    document_unknown.
    """

    kind: str
    number: int
    message: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What `verify` found: `breaks` are faults, `intended` are changes that were announced but not done."""

    entries: int
    last: Anchor
    breaks: tuple[Break, ...] = ()
    intended: tuple[str, ...] = ()
    documents: int = 0

    @property
    def ok(self) -> bool:
        """Whether every link holds."""
        return not self.breaks


def canonical(value: Any) -> bytes:
    """Canonical JSON of plain data: keys sorted, no white space, UTF-8."""
    import orjson

    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError:
        # integers beyond 64 bits, which JSON allows and orjson refuses
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def document_hash(kind: str, id: str, body: Mapping[str, Any]) -> str:  # noqa: A002 - the term of the contract
    """The hash of one version of a document, bound to its kind and id."""
    return hashlib.sha256(canonical([kind, id, body])).hexdigest()


def entry_hash(body: Mapping[str, Any]) -> str:
    """The hash of an entry, without what it says of its own hash."""
    return hashlib.sha256(canonical({k: v for k, v in body.items() if k != "hash"})).hexdigest()


# writing


def record(
    store: Store,
    *,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
    on_behalf_of: str = "",
    documents: Sequence[DocumentHash] = (),
) -> AuditEntry:
    """Append an entry and return it. `action` is a verb such as `alert.close`, `subject` what it was done to.

    `on_behalf_of` names a person without a terminal for whom the user acts. Raises `ConflictError` when
    other writers take every number for a long time.
    """
    fixed: dict[str, Any] = {
        "user": store.whoami(),
        "action": action,
        "subject": subject,
        "on_behalf_of": on_behalf_of,
        "detail": dict(detail or {}),
        "documents": [{"kind": d.kind, "id": d.id, "seen": d.seen, "hash": d.hash} for d in documents],
    }
    for attempt in range(ATTEMPTS):
        last = store.audit_last()
        number = last.number + 1 if last else 1
        prev = str(last.body.get("hash", "")) if last else START
        body = {"number": number, "time": timestamp(datetime.now(UTC)), **fixed, "prev": prev}
        body["hash"] = entry_hash(body)
        if store.audit_create(number, body):
            return entry(AuditRecord(number, body, fixed["user"]))
        time.sleep(random.uniform(0, min(0.001 * 2**attempt, 0.1)))  # noqa: S311 - only spreads writers
    raise ConflictError(f"no place in the audit log after {ATTEMPTS} tries", hint="try again")


def change(
    store: Store,
    writes: Sequence[Write],
    *,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
    on_behalf_of: str = "",
) -> list[Document | VersionConflictError]:
    """Write documents after an entry that announces them; results as of `Store.write`, in order.

    Where a document had changed in the meantime, a second entry says which ones were refused. Without
    `writes` nothing happens, also in the log.
    """
    if not writes:
        return []
    announced = [
        DocumentHash(w.kind, w.id, w.expect, None if w.body is None else document_hash(w.kind, w.id, w.body))
        for w in writes
    ]
    mine = record(
        store, action=action, subject=subject, detail=detail, on_behalf_of=on_behalf_of, documents=announced
    )
    results = store.write(writes)
    refused = [
        f"{w.kind}/{w.id}"
        for w, r in zip(writes, results, strict=True)
        if isinstance(r, VersionConflictError)
    ]
    if refused:
        record(
            store,
            action="refused",
            subject=subject,
            detail={"entry": mine.number, "action": action, "documents": refused},
            on_behalf_of=on_behalf_of,
        )
    return results


# reading


def entry(stored: AuditRecord) -> AuditEntry:
    """An entry out of what the store keeps; missing or odd parts of a tampered one become empty."""
    body = stored.body
    detail = body.get("detail")
    documents = body.get("documents")
    return AuditEntry(
        number=stored.number,
        time=str(body.get("time", "")),
        user=stored.user,
        claimed=str(body.get("user", "")),
        action=str(body.get("action", "")),
        subject=str(body.get("subject", "")),
        on_behalf_of=str(body.get("on_behalf_of", "")),
        detail=detail if isinstance(detail, dict) else {},
        documents=tuple(_document(d) for d in documents if isinstance(d, dict))
        if isinstance(documents, list)
        else (),
        prev=str(body.get("prev", "")),
        hash=str(body.get("hash", "")),
    )


def _document(data: Mapping[str, Any]) -> DocumentHash:
    seen, digest = data.get("seen"), data.get("hash")
    return DocumentHash(
        kind=str(data.get("kind", "")),
        id=str(data.get("id", "")),
        seen=seen if isinstance(seen, int) else 0,
        hash=None if digest is None else str(digest),
    )


def entries(store: Store, *, since: datetime | None = None, subject: str = "") -> Iterator[AuditEntry]:
    """Entries in order: those since a moment, and those whose subject or documents begin with `subject`."""
    after = timestamp(since) if since else ""
    for stored in store.audit_read():
        found = entry(stored)
        if found.time < after:
            continue
        names = (found.subject, *(d.id for d in found.documents))
        if not subject or any(name.startswith(subject) for name in names):
            yield found


def anchor(store: Store) -> Anchor:
    """The number and hash of the last entry; 0 and zeros while the log is empty."""
    last = store.audit_last()
    return Anchor(last.number, str(last.body.get("hash", ""))) if last else Anchor(0, START)


# verifying


@dataclass(slots=True)
class _Chain:
    """Walks the entries, keeping what later checks need."""

    breaks: list[Break] = field(default_factory=list)
    number: int = 0
    hash: str = START
    count: int = 0
    announced: dict[tuple[str, str], list[tuple[int, DocumentHash]]] = field(default_factory=dict)

    def add(self, stored: AuditRecord) -> None:
        found = entry(stored)
        self.count += 1
        if stored.number != self.number + 1:
            first, end = self.number + 1, stored.number - 1
            what = f"entry {first} is" if first == end else f"entries {first} to {end} are"
            self.fault("removed", stored.number, f"{what} missing")
        elif found.prev != self.hash:
            self.fault(
                "relinked", stored.number, f"entry {stored.number} does not follow from the one before it"
            )
        if stored.body.get("number") != stored.number or entry_hash(stored.body) != found.hash:
            self.fault("edited", stored.number, f"entry {stored.number} was edited: its hash does not fit")
        if found.claimed != found.user:
            self.fault(
                "forged_user",
                stored.number,
                f"entry {stored.number} claims to be by {found.claimed!r}; the store says {found.user!r}",
            )
        self.number, self.hash = stored.number, found.hash
        self.take(found)

    def take(self, found: AuditEntry) -> None:
        for document in found.documents:
            self.announced.setdefault((document.kind, document.id), []).append((found.number, document))
        refused = found.detail.get("documents") if found.action == "refused" else None
        for name in refused if isinstance(refused, list) else ():
            kind, _, name_id = str(name).partition("/")
            versions = self.announced.get((kind, name_id), [])
            self.announced[kind, name_id] = [v for v in versions if v[0] != found.detail.get("entry")]

    def fault(self, kind: str, number: int, message: str) -> None:
        self.breaks.append(Break(kind, number, message))


def verify(store: Store, anchor: Anchor | None = None) -> AuditReport:
    """Check every link, every stamp, and that each audited document is at a version that the log announced.

    `anchor` is what `soc audit anchor` printed earlier; without one, entries cut off at the end cannot be
    noticed.
    """
    chain = _Chain()
    anchored = anchor is None or anchor.number == 0
    for stored in store.audit_read():
        chain.add(stored)
        if anchor is not None and stored.number == anchor.number:
            anchored = True
            if str(stored.body.get("hash", "")) != anchor.hash:
                chain.fault(
                    "anchor", stored.number, f"entry {stored.number} is not the one that was anchored"
                )
    if anchor is not None and not anchored and chain.number < anchor.number:
        chain.fault(
            "cut",
            chain.number,
            f"the end was cut off: the log ends at entry {chain.number}, entry {anchor.number} was anchored",
        )
    faults, intended = _check_documents(store, chain)
    for _ in range(3):
        if not faults or not _caught_up(store, chain):
            break  # a change that was made while we read is not a fault: its entry is there by now
        faults, intended = _check_documents(store, chain)
    return AuditReport(
        chain.count,
        Anchor(chain.number, chain.hash),
        (*chain.breaks, *faults),
        tuple(intended),
        len(chain.announced),
    )


def _caught_up(store: Store, chain: _Chain) -> bool:
    """Take in the entries that are new since; whether there were any."""
    before = chain.count
    for stored in store.audit_read(after=chain.number):
        chain.add(stored)
    return chain.count > before


def _check_documents(store: Store, chain: _Chain) -> tuple[list[Break], list[str]]:
    """Compare the audited documents with what was announced; gives faults and changes that were not done."""
    faults: list[Break] = []
    intended: list[str] = []
    unseen = {key for key, versions in chain.announced.items() if versions}
    for kind in sorted({kind for kind, _ in unseen}):
        for document in store.find(kind):
            key = (kind, document.id)
            unseen.discard(key)
            _check_one(chain, key, document, faults, intended)
    for key in sorted(unseen):
        _check_one(chain, key, None, faults, intended)
    return faults, intended


def _check_one(
    chain: _Chain, key: tuple[str, str], document: Document | None, faults: list[Break], intended: list[str]
) -> None:
    name = " ".join(key)
    versions = chain.announced.get(key, [])
    if not versions and document is not None:
        message = f"{name} is not in the log: {document.changed_by} made it behind its back"
        faults.append(Break("document_unknown", 0, message))
        return
    current = None if document is None else document_hash(document.kind, document.id, document.body)
    done = next((i for i in range(len(versions) - 1, -1, -1) if versions[i][1].hash == current), -1)
    existed = document is not None or any(announced.seen for _, announced in versions)
    if done < 0 and existed:
        faults.append(_fault(name, versions[-1][0], document))
        return
    for number, announced in versions[done + 1 :]:
        what = "deletion" if announced.hash is None else "change"
        intended.append(f"entry {number}: the {what} of {name} was intended, not done")


def _fault(name: str, number: int, document: Document | None) -> Break:
    if document is None:
        return Break("document_gone", number, f"{name} is gone, and the log knows of no deletion")
    message = f"{name} is not as entry {number} says: {document.changed_by} changed it behind the log's back"
    return Break("document_changed", number, message)
