"""Which version of a thing this user saw last, so that a change can say what it was made on.

Only for people at a terminal: who looks at an alert, thinks, and closes it is told when a colleague changed
it in between. A script names the version itself (`--expect`) or takes the present one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

KEPT = 5_000
HOURS = 12
"""How long what was seen counts; what was seen on the last shift says nothing."""
_MAX_BYTES = 2_000_000


def _file(noun: str, store: str) -> Path:
    from soc.config import cache_folder

    digest = hashlib.blake2b(store.encode(), digest_size=6).hexdigest()
    return cache_folder() / "seen" / f"{noun}-{digest}.json"


def _load(path: Path) -> dict[str, tuple[int, float]]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            return {}
        data = json.loads(path.read_text(encoding="utf-8"))
        oldest = time.time() - HOURS * 3600
        return {str(i): (int(v), float(t)) for i, (v, t) in data.items() if float(t) >= oldest}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remember(noun: str, store: str, versions: Mapping[str, int]) -> None:
    """Keep the versions that were just shown, by id. Fails silently: it is a help, not a record."""
    with contextlib.suppress(OSError, RuntimeError):
        path = _file(noun, store)
        now = time.time()
        known = _load(path)
        for id_, version in versions.items():
            known.pop(id_, None)
            known[id_] = (version, now)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}-{os.getpid()}")
        draft.write_text(json.dumps(dict(list(known.items())[-KEPT:])), encoding="utf-8")
        draft.replace(path)  # readers see the old file or the new one


def versions(noun: str, store: str, ids: Iterable[str]) -> dict[str, int]:
    """The versions that this user saw of these things in the last `HOURS` hours, where known."""
    known = _load(_file(noun, store))
    return {id_: known[id_][0] for id_ in ids if id_ in known}
