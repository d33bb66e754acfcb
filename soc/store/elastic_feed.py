"""The feed: events in commit order, each exactly once, from a saved position.

A shard numbers its operations (`_seq_no`). Everything up to the primary's global checkpoint is committed on
every copy and can have no gaps, so after a refresh the range (position, checkpoint] is complete. The
position holds, for each shard of each index (by uuid), the history it belongs to and the highest number done:

    {"store": "elasticsearch", "shards": {"<index uuid>/<shard>": ["<history uuid>", 4711, "<index name>"]}}

An index restored from a snapshot keeps its uuid, but begins a new history or falls below the position; its
shard is then read again from the start, with a note. A closed index keeps its position, one that was
deleted loses it. A shard that cannot be read now keeps its position too, with a note.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from soc.errors import SocError, StoreUnavailableError
from soc.store.contract import FeedBatch, Part, Position, Reached
from soc.store.elastic_connection import Connection, RefusedError
from soc.store.elastic_narrow import Narrow
from soc.store.elastic_shard import Reading, Shard, ShardFailedError, ShardReader

KIND = "elasticsearch"
SETTLE_SECONDS = 20.0
"""How long to wait for operations in flight when the head is asked for."""

_STATS = ",".join(
    f"indices.*.{part}"
    for part in (
        "uuid",
        "status",
        "shards.*.routing.primary",
        "shards.*.routing.state",
        "shards.*.commit.user_data.history_uuid",
        "shards.*.seq_no",
    )
)


class Feed:
    """Reads events in commit order."""

    def __init__(self, connection: Connection, reading: Reading) -> None:
        self._connection = connection
        self._reading = reading

    @property
    def _path(self) -> str:
        return quote(self._reading.pattern, safe="*,-_.")

    def shards(self) -> list[Shard]:
        """Every shard with a started primary, closed indices included, in the order of their names."""
        params = {
            "level": "shards",
            "expand_wildcards": "all",
            "forbid_closed_indices": "false",
            "filter_path": _STATS,
        }
        answer = self._connection.call("GET", f"/{self._path}/_stats/docs", params=params)
        found = []
        for index, stats in sorted(answer.get("indices", {}).items()):
            for number, copies in stats.get("shards", {}).items():
                for copy in copies:
                    if (
                        copy["routing"]["primary"]
                        and copy["routing"]["state"] == "STARTED"
                        and "seq_no" in copy
                    ):
                        numbers = copy["seq_no"]
                        found.append(
                            Shard(
                                index=index,
                                uuid=stats["uuid"],
                                number=number,
                                history=copy["commit"]["user_data"]["history_uuid"],
                                checkpoint=numbers["global_checkpoint"],
                                newest=numbers["max_seq_no"],
                                closed=stats.get("status") == "close",
                            )
                        )
        return found

    def settled(self) -> list[Shard]:
        """The shards, once each checkpoint has passed every operation that was there when this was called.

        An acknowledged operation may stand above the checkpoint while an earlier one is still in flight.
        """
        now = self.shards()
        wanted = {(s.key, s.history): s.newest for s in now}
        until = time.monotonic() + SETTLE_SECONDS
        while True:
            behind = [s for s in now if s.checkpoint < wanted.get((s.key, s.history), -1)]
            if not behind:
                return now
            if time.monotonic() > until:
                raise StoreUnavailableError(
                    f"{self._connection.name}: operations on {behind[0].index} do not complete",
                    hint="a copy of the shard may hang: soc store status",
                )
            time.sleep(0.02)
            now = self.shards()

    def beginning(self) -> Position:
        """The position before everything."""
        return {"store": KIND, "shards": {}}

    def head(self) -> Position:
        """The position after all that was acknowledged before this call."""
        return {"store": KIND, "shards": {s.key: [s.history, s.checkpoint, s.index] for s in self.settled()}}

    def parts(self, position: Position) -> list[Part]:
        """The shards, and how many operations each has after `position`.

        What was acknowledged counts at once, also above a checkpoint that is about to pass it.
        """
        done = _shards_of(position)
        found = []
        for shard in self.shards():
            start, note = _start(done.pop(shard.key, None), shard)
            name = f"{shard.index} shard {shard.number}"
            waiting = max(0, shard.newest - start) or int(bool(note))
            found.append(Part(shard.key, name, shard.newest, waiting))
        gone = [
            Part(key, f"{value[2]} shard {key.rpartition('/')[2]}", value[1], 0, gone=True)
            for key, value in done.items()
        ]
        return found + gone

    def split(self, position: Position) -> dict[str, Position]:
        """A position for each shard."""
        return {key: _position({key: value}) for key, value in _shards_of(position).items()}

    def join(self, positions: Iterable[Position]) -> Position:
        """One position of all shards."""
        return _position({key: value for one in positions for key, value in _shards_of(one).items()})

    def position_at(self, part: str, reached: Reached) -> Position:
        """The position of a shard that has reached a number."""
        return _position({part: [reached.history, reached.number, part]})

    def reached(self, position: Position) -> Reached:
        """The history and the number of the one shard of a position; before everything for none."""
        history, number, _ = next(iter(_shards_of(position).values()), ("", -1, ""))
        return Reached(history, number)

    def read(
        self,
        position: Position,
        limit: int,
        narrow: Narrow | None = None,
        parts: Collection[str] | None = None,
        end: Position | None = None,
    ) -> Iterator[FeedBatch]:
        """Batches from `position` up to what was acknowledged when this was called."""
        done = _shards_of(position)
        shards = self.settled()
        if parts is not None:
            shards = [shard for shard in shards if shard.key in parts]
            done = {key: value for key, value in done.items() if key in parts}
        notes = self._forget(done, {s.key for s in shards})
        work = []
        for shard in shards if end is None else _cut(shards, _shards_of(end), done):
            start, note = _start(done.get(shard.key), shard)
            if note:
                notes.append(note)
            if start >= shard.checkpoint:
                done[shard.key] = [shard.history, shard.checkpoint, shard.index]
            elif shard.closed:
                notes.append(f"{shard.index} is closed; what is in it is read when it is opened")
            else:
                work.append((shard, start))
        failed = self._refresh(sorted({shard.index for shard, _ in work}))
        notes += [f"{index} could not be refreshed; its position was not moved" for index in sorted(failed)]
        moved = False
        for shard, start in work:
            if shard.index in failed:
                continue
            try:
                reader = ShardReader(self._connection, self._reading, shard, narrow or Narrow())
                for page in reader.pages(start, limit):
                    done[shard.key] = [shard.history, page.last, shard.index]
                    moved = True
                    position = _position(done)
                    yield FeedBatch(page.events, position, tuple(notes), page.passed, shard.key, page.remarks)
                    notes = []
            except ShardFailedError as error:
                notes.append(
                    f"{shard.index} shard {shard.number} cannot be read now; not moved further: {error}"
                )
        if notes or (not moved and _position(done)["shards"] != position["shards"]):
            yield FeedBatch([], _position(done), tuple(notes))

    def _forget(self, done: dict[str, list[Any]], present: set[str]) -> list[str]:
        """Drop the positions of indices that were deleted; the others that are not there now are kept."""
        missing = [key for key in done if key not in present]
        if not missing:
            return []
        try:
            params = {"expand_wildcards": "all", "filter_path": "*.settings.index.uuid"}
            answer = self._connection.call("GET", f"/{self._path}/_settings", params=params)
        except (RefusedError, SocError):
            return [f"{done[key][2]} cannot be looked at now; its position is kept" for key in missing]
        known = {index["settings"]["index"]["uuid"] for index in answer.values()}
        notes = []
        for key in missing:
            if key.partition("/")[0] in known:
                notes.append(f"{done[key][2]} cannot be read now; its position is kept")
            else:
                notes.append(f"{done[key][2]} is gone")
                del done[key]
        return notes

    def _refresh(self, indices: list[str]) -> set[str]:
        """Make what is committed searchable; the indices for which that failed on some copy."""
        failed: set[str] = set()
        for i in range(0, len(indices), 50):
            names = ",".join(quote(name) for name in indices[i : i + 50])
            answer = self._connection.call(
                "POST", f"/{names}/_refresh", params={"ignore_unavailable": "true"}
            )
            failed.update(failure.get("index", "") for failure in answer["_shards"].get("failures", ()))
            if answer["_shards"]["failed"] and not failed:
                failed.update(indices)
        return failed


def _cut(
    shards: Iterable[Shard], end: Mapping[str, list[Any]], done: Mapping[str, list[Any]]
) -> Iterator[Shard]:
    """The shards as if nothing came after a position, without those that were read as far as that."""
    for shard in shards:
        history, last = end.get(shard.key, ("", -1))[:2]
        start, _ = _start(done.get(shard.key), shard)
        if history == shard.history and last > start:
            yield replace(shard, checkpoint=min(shard.checkpoint, last), newest=min(shard.newest, last))


def _shards_of(position: Position) -> dict[str, list[Any]]:
    if position.get("store") != KIND:
        raise SocError(
            "this position belongs to another kind of store", hint="soc sweep --once --from beginning"
        )
    return {key: list(value) for key, value in position["shards"].items()}


def _position(done: dict[str, list[Any]]) -> dict[str, Any]:
    return {"store": KIND, "shards": {key: list(value) for key, value in done.items()}}


def _start(known: list[Any] | None, shard: Shard) -> tuple[int, str]:
    """Where to go on in a shard, and a note when that is from the start again."""
    if known is None:
        return -1, ""
    history, seq_no = known[0], known[1]
    if history != shard.history:
        return -1, f"{shard.index} shard {shard.number} was restored (new history); read again from its start"
    if seq_no > shard.checkpoint:
        return (
            -1,
            f"{shard.index} shard {shard.number} is below the position; read again from its start",
        )
    return seq_no, ""
