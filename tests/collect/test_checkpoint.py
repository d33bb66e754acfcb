"""The checkpoint survives crashes, damage and its own compaction."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.collect import checkpoint as module
from soc.collect.checkpoint import JOURNAL, PREVIOUS, Checkpoint, Counts, Epoch, Life, state_folder
from soc.collect.inputs.identity import Fingerprint
from soc.errors import ConflictError, SocError

EPOCH = Epoch(0, "2026-03-02T07:14:09.000000Z", "Asia/Ho_Chi_Minh")


def life(generation: str, offset: int = 0) -> Life:
    return Life(
        "app",
        generation,
        "numbers",
        "/var/log/ứng dụng.log",
        [EPOCH],
        offset,
        Fingerprint(3, "abc", 2, "de", offset),
        counts=Counts(read=offset, stored=offset),
    )


def test_what_is_saved_is_found_again(tmp_path: Path) -> None:
    """Every part of a life comes back as it was."""
    with Checkpoint.open(tmp_path) as first:
        first.save([life("a", 7), life("b")])
        first.save([life("a", 9)])
    with Checkpoint.open(tmp_path) as second:
        assert second.of("app") == [life("a", 9), life("b")]
        assert second.of("other") == []


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A second one is told who has it; when the first is gone it may."""
    with Checkpoint.open(tmp_path), pytest.raises(ConflictError, match="another"):
        Checkpoint.open(tmp_path)
    Checkpoint.open(tmp_path).close()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_record_leaves_the_one_before(tmp_path: Path, cut: int) -> None:
    """Wherever a crash tears the last record, the state before it holds, and writing goes on after it."""
    with Checkpoint.open(tmp_path) as first:
        first.save([life("a", 7)])
        first.save([life("a", 9)])
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-cut])
    with Checkpoint.open(tmp_path) as second:
        assert second.of("app") == [life("a", 7)]
        assert "torn" in second.notes[0]
        second.save([life("a", 11)])
    with Checkpoint.open(tmp_path) as third:
        assert third.of("app") == [life("a", 11)]
        assert third.notes == []


def test_compaction_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal stays small, nothing is lost, and the previous one is kept."""
    monkeypatch.setattr(module, "COMPACT_BYTES", 4000)
    with Checkpoint.open(tmp_path) as first:
        for offset in range(200):
            first.save([life("a", offset), life("b", 2 * offset)])
        assert (tmp_path / JOURNAL).stat().st_size < 12_000
    assert (tmp_path / PREVIOUS).exists()
    with Checkpoint.open(tmp_path) as second:
        assert second.of("app") == [life("a", 199), life("b", 398)]


def test_the_previous_journal_stands_in(tmp_path: Path) -> None:
    """When the journal is damaged, what the previous one knew is used, and that is said."""
    with Checkpoint.open(tmp_path) as first:
        first.save([life("a", 7)])
        first.compact()
        first.save([life("a", 9)])
    (tmp_path / JOURNAL).write_bytes(b"rubbish\n")
    with Checkpoint.open(tmp_path) as second:
        assert second.of("app") == [life("a", 7)]
        assert "went back" in second.notes[0]


def test_a_newer_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """State of a newer program is not guessed at."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "VERSION", 2)
        with Checkpoint.open(tmp_path) as first:
            first.save([life("a")])
    with pytest.raises(SocError, match="newer"):
        Checkpoint.open(tmp_path)


def test_each_store_and_space_has_its_own_state() -> None:
    """What one store has seen, another has not."""
    folders = {state_folder(Path("/s"), store, space) for store in ("/a", "/b") for space in ("", "drill")}
    assert len(folders) == 4


def test_an_epoch_holds_from_its_offset_on() -> None:
    """A replay of earlier bytes uses the settings that held then."""
    two = life("a", 50)
    two.epochs = [EPOCH, Epoch(40, EPOCH.now, "UTC")]
    assert (two.epoch_at(39).timezone, two.epoch_at(40).timezone) == ("Asia/Ho_Chi_Minh", "UTC")
    assert two.epoch.timezone == "UTC"
