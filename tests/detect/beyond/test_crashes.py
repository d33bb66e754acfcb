"""Sweeps that end anywhere: what rules remember was written, the position was not; the batch comes again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soc.detect import places
from soc.errors import StoreUnavailableError
from tests.detect import world
from tests.detect.beyond import test_elastic


class Crash:
    """Ends a sweep at the moment when it would move the position for the nth time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.left = at
        self._commit: Callable[..., None] = places.Held.commit
        monkeypatch.setattr(places.Held, "commit", self.commit())

    def commit(self) -> Callable[..., None]:
        """What stands for `Held.commit`."""

        def committed(held: places.Held, **more: Any) -> None:
            self.left -= 1
            if self.left == 0:
                raise StoreUnavailableError("the power went out")
            self._commit(held, **more)

        return committed


def told(folder: Path, crash: Crash | None) -> list[Any]:
    """What the alerts say after sweeps that went on after each crash."""
    with world.open_at(folder) as store:
        return test_elastic.alerts(store, patient=crash is not None)


@pytest.mark.parametrize("at", range(1, 7))
def test_a_crash_changes_nothing(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All kinds of extensions; a crash after what they remember was written and before the position is."""
    plain = told(tmp_path / "plain", None)
    with monkeypatch.context() as patch:
        crash = Crash(patch, at)
        assert told(tmp_path / "crash", crash) == plain
        assert crash.left <= 0, "there was no crash"
    assert len(plain) == 5
