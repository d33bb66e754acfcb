"""Events on their way into Elasticsearch and back: layout, bulk requests, and what became of each event.

A bulk that loses its connection is sent again: what the first try had stored answers 409 then and counts
as a duplicate. An event that the server refuses stands alone; its neighbours are stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from soc.errors import SocError, StoreUnavailableError
from soc.event import Event
from soc.event import moment as parse_moment
from soc.event import timestamp as as_text
from soc.store.contract import Fate, Incoming, Outcome, StoredEvent
from soc.store.elastic_connection import Connection, RefusedError, TransientError, missing_privilege
from soc.store.elastic_schema import EXACT, OTHER, OTHER_IGNORE_ABOVE, OVERLONG, WIDEN, Names, event_fields
from soc.store.embedded_codec import UnfitError, encode

if TYPE_CHECKING:
    from concurrent.futures import Future

BULK_BYTES = 1_000_000
"""A bulk request is closed when it reaches this size."""

BULK_EVENTS = 2_000
SENDERS = 3
"""Bulk requests in flight at once, when one call brings more than one of them."""

MAX_EVENT_BYTES = 90_000_000
"""Largest event: below the 100 MB that a server takes in one request unless told otherwise."""

_TOP = frozenset(event_fields()) | {"event.original", "message"}
_KEYWORDS = frozenset(name for name, kind in event_fields().items() if kind in {"keyword", "lowered"})


def pack(event: Event) -> dict[str, Any]:
    """An event as the document that is stored: mapped fields as they are, the others under `OTHER`."""
    top: dict[str, Any] = {}
    other: dict[str, Any] = {}
    widen = overlong = False
    for name, value in event.items():
        if name not in _TOP:
            other[name] = value
            if type(value) is not int and _too_long(value):
                overlong = True
            continue
        top[name] = value
        if type(value) is not str and name in _KEYWORDS and _has_float(value):
            widen = True  # 5.0 is indexed as "5.0", while rules compare "5"
    if other:
        top[OTHER] = other
    if widen:
        top[WIDEN] = True
    if overlong:
        top[OVERLONG] = True
    return top


def _too_long(value: Any) -> bool:
    """Whether a value, or one of a list, is left out of the index of `OTHER`, which counts in UTF-16."""
    if isinstance(value, str):
        units = len(value)
        return units > OTHER_IGNORE_ABOVE or (units * 2 > OTHER_IGNORE_ABOVE and not value.isascii())
    return isinstance(value, list) and any(map(_too_long, value))


def _has_float(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, list) and any(isinstance(v, float) for v in value))


def unpack(source: dict[str, Any]) -> Event:
    """The event that `pack` was given."""
    other = source.pop(OTHER, None)
    source.pop(WIDEN, None)
    source.pop(OVERLONG, None)
    exact = source.get(EXACT)
    if exact is not None:
        event: Event = json.loads(exact)
        return event
    if other:
        source.update(other)
    return source


def stored(hit: dict[str, Any]) -> StoredEvent:
    """The event of a search hit."""
    return StoredEvent(hit["_id"], unpack(hit["_source"]))


class _Item(NamedTuple):
    position: int
    id: str
    line: bytes


def is_id(text: str) -> bool:
    """Whether a text can be the id of an event."""
    return bool(text) and len(text) <= 512 and text.isprintable() and text.isascii()


def _utc(event: Event) -> str:
    """The event time in UTC; the usual form is taken as it is."""
    try:
        text = event["@timestamp"]
    except KeyError:
        raise UnfitError("the event has no @timestamp") from None
    try:
        parsed = parse_moment(text)
        usual = len(text) == 27 and text[26] == "Z" and text[10] == "T"
        return text if usual else as_text(parsed)
    except (ValueError, TypeError, OverflowError):
        raise UnfitError(f"@timestamp is not a time with a zone: {text!r:.60}") from None


def _layer(event: Event) -> int:
    layer = event.get("soc.layer")
    if type(layer) is not int or not 1 <= layer <= 4:
        raise UnfitError(
            "the event has no soc.layer" if layer is None else f"soc.layer is 1 to 4, not {layer!r:.40}"
        )
    return layer


def bulk_line(names: Names, id_: str, event: Event) -> bytes:
    """The two lines of a bulk request that create an event; raises `UnfitError` for what cannot be stored."""
    if not is_id(id_):
        raise UnfitError("an id is 1 to 512 printable ASCII characters")
    time, layer = _utc(event), _layer(event)
    try:
        index = names.event_index(time, layer, str(event.get("soc.retention") or "standard"))
    except ValueError as error:
        raise UnfitError(str(error)) from None
    body = encode(pack(event))
    if isinstance(body, str):
        # more than JSON of every reader can say: the whole event as text, found by every query
        exact = encode(event)
        text = exact if isinstance(exact, str) else exact.decode()
        small = {"@timestamp": time, "soc.layer": layer, WIDEN: True, EXACT: text}
        body = json.dumps(small).encode()
    if len(body) > MAX_EVENT_BYTES:
        raise UnfitError(f"larger than {MAX_EVENT_BYTES} bytes")
    id_json = json.dumps(id_) if '"' in id_ or "\\" in id_ else f'"{id_}"'
    return b'{"create":{"_index":"%b","_id":%b}}\n%b\n' % (index.encode(), id_json.encode(), body)


class Appender:
    """Appends events over several connections at once. `ready` is called before the first request."""

    def __init__(self, connection: Connection, names: Names, ready: Callable[[], None]) -> None:
        self._connection = connection
        self._names = names
        self._ready = ready

    def append(self, events: Sequence[Incoming]) -> list[Outcome]:
        """See `soc.store.contract.Store.append`."""
        if not events:
            return []
        self._ready()
        outcomes: list[Outcome | None] = [None] * len(events)
        again: list[int] = []
        self._settle(self._bulks(events, range(len(events)), outcomes, again), outcomes)
        # an id that stood twice: its second copy is a duplicate, or gets a chance if the first was refused
        while again:
            fate = {o.id: o.fate for o in outcomes if o is not None}
            retry = [i for i in again if fate[events[i].id] is Fate.REJECTED]
            for i in again:
                if fate[events[i].id] is not Fate.REJECTED:
                    outcomes[i] = Outcome(events[i].id, Fate.DUPLICATE)
            again = []
            self._settle(self._bulks(events, retry, outcomes, again), outcomes)
        return [outcome for outcome in outcomes if outcome is not None]

    def _bulks(
        self,
        events: Sequence[Incoming],
        positions: Iterable[int],
        outcomes: list[Outcome | None],
        again: list[int],
    ) -> Iterator[list[_Item]]:
        """Bulk requests for these positions; settles at once what cannot be sent."""
        seen: set[str] = set()
        items: list[_Item] = []
        size = 0
        for position in positions:
            id_, event = events[position]
            if id_ in seen:
                again.append(position)
                continue
            seen.add(id_)
            try:
                line = bulk_line(self._names, id_, event)
            except UnfitError as error:
                outcomes[position] = Outcome(id_, Fate.REJECTED, str(error))
                continue
            if items and size + len(line) > BULK_BYTES:
                yield items
                items, size = [], 0
            items.append(_Item(position, id_, line))
            size += len(line)
            if len(items) >= BULK_EVENTS:
                yield items
                items, size = [], 0
        if items:
            yield items

    def _settle(self, bulks: Iterator[list[_Item]], outcomes: list[Outcome | None]) -> None:
        """Send the bulks, several at once when there are several, and write down each outcome."""
        first = next(bulks, None)
        if first is None:
            return
        second = next(bulks, None)
        if second is None:
            self._send(first, outcomes)
            return
        running: list[Future[None]] = []
        try:
            running += [self._submit(first, outcomes), self._submit(second, outcomes)]
            for items in bulks:
                if len(running) >= SENDERS:
                    running.pop(0).result()
                running.append(self._submit(items, outcomes))
            while running:
                running.pop(0).result()
        except Exception:
            # the others are awaited, so that nothing is sent once append has returned; not so when the run
            # is interrupted, which must not wait for a server that does not answer
            for future in running:
                future.exception()
            raise

    def _submit(self, items: list[_Item], outcomes: list[Outcome | None]) -> Future[None]:
        from concurrent.futures import Future
        from threading import Thread

        future: Future[None] = Future()

        def work() -> None:
            try:
                self._send(items, outcomes)
            except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
                future.set_exception(error)
            else:
                future.set_result(None)

        # the threads of an executor would be awaited at the end of the process
        Thread(target=work, name="soc-bulk", daemon=True).start()
        return future

    def _send(self, items: list[_Item], outcomes: list[Outcome | None]) -> None:
        """One bulk request, repeated for those items that the server was too busy for."""
        for attempt in self._connection.attempts():
            with attempt:
                items = self._once(items, outcomes)
                if items:
                    raise TransientError(
                        f"{self._connection.name} is too busy for {len(items)} events",
                        hint=self._connection.next_step,
                    )

    def _once(self, items: list[_Item], outcomes: list[Outcome | None]) -> list[_Item]:
        """Send a bulk once; the items that must be sent again."""
        params = {"filter_path": "errors,items.*.status,items.*.error"}
        body = b"".join(item.line for item in items)
        try:
            answer = self._connection.call("POST", "/_bulk", params=params, body=body, lines=True)
        except RefusedError as error:
            if error.status not in {400, 413}:
                raise
            if len(items) == 1:
                reason = "larger than the store takes in one request" if error.status == 413 else error.reason
                outcomes[items[0].position] = Outcome(items[0].id, Fate.REJECTED, reason)
            else:
                half = len(items) // 2
                self._send(items[:half], outcomes)
                self._send(items[half:], outcomes)
            return []
        if not answer["errors"]:
            for item in items:
                outcomes[item.position] = Outcome(item.id, Fate.STORED)
            return []
        return [
            item
            for item, result in zip(items, answer["items"], strict=True)
            if not self._note(item, result["create"], outcomes)
        ]

    def _note(self, item: _Item, result: Mapping[str, Any], outcomes: list[Outcome | None]) -> bool:
        """Write down the outcome of one item; False when it must be sent again."""
        status = result["status"]
        if status < 300:
            outcomes[item.position] = Outcome(item.id, Fate.STORED)
            return True
        if status == 409:
            outcomes[item.position] = Outcome(item.id, Fate.DUPLICATE)
            return True
        if status in {429, 502, 503, 504}:
            return False
        kind, reason, whole = reason_of(result.get("error", {}))
        raise_if_not_the_event(self._connection.name, status, kind, whole)
        outcomes[item.position] = Outcome(item.id, Fate.REJECTED, reason)
        return True


def reason_of(error: Mapping[str, Any]) -> tuple[str, str, str]:
    """Type of a per-item error, its reason for people in one line, and the reason as the server put it."""
    kind, whole = str(error.get("type", "")), str(error.get("reason", ""))
    reason = whole
    cause = error.get("caused_by")
    while isinstance(cause, Mapping):
        inner = str(cause.get("reason", ""))
        if inner and inner not in reason:
            reason = f"{reason}: {inner}"
        cause = cause.get("caused_by")
    return kind, reason[:500], whole


def raise_if_not_the_event(name: str, status: int, kind: str, reason: str) -> None:
    """Raise for a refusal that is not the event's fault: the next event would meet it as well."""
    if kind == "security_exception":
        raise missing_privilege(reason)
    if kind == "cluster_block_exception":
        raise StoreUnavailableError(
            f"{name}: an index is blocked for writing: {reason[:300]}", hint="soc store status"
        )
    if kind == "validation_exception" and "shards" in reason:
        raise StoreUnavailableError(
            f"{name}: no room for another index: {reason[:300]}",
            hint="soc store prune --older-than 365d --dry-run",
        )
    if kind == "index_not_found_exception":
        raise StoreUnavailableError(
            f"{name}: the index is not there and may not be created: {reason[:300]}",
            hint="allow soc-* in action.auto_create_index of the cluster",
        )
    if status in {401, 403}:
        raise SocError(f"{name}: {reason[:300]}")
