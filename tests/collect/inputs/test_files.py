"""Files are found again through every kind of rotation: nothing is lost, nothing is stored twice."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from pathlib import Path

import pytest

from soc.collect.inputs.tail import QUIET_SECONDS
from tests.collect.world import World, age, append, line, lines


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world whose source reads app.log and everything it is rotated to."""
    return World(tmp_path)


@pytest.fixture
def narrow(tmp_path: Path) -> World:
    """A world whose source names app.log alone."""
    return World(tmp_path, patterns=("app.log",))


def compress(path: Path, to: Path | None = None) -> Path:
    """What gzip does: the compressed file keeps the time of the original, which goes away."""
    out = to or path.with_name(path.name + ".gz")
    times = path.stat().st_mtime_ns
    with path.open("rb") as source, gzip.open(out, "wb") as target:
        shutil.copyfileobj(source, target)
    os.utime(out, ns=(times, times))
    path.unlink()
    return out


class TestGrowth:
    def test_reads_a_file_once(self, world: World) -> None:
        """A second run over the same file stores nothing and counts nothing."""
        append(world.log, lines(0, 10))
        assert world.once().counts.stored == 10
        assert world.once().counts.read == 0
        assert world.numbers() == list(range(10))

    def test_goes_on_where_it_ended(self, world: World) -> None:
        """Lines that were added later are read, the others are not."""
        append(world.log, lines(0, 3))
        world.once()
        append(world.log, lines(3, 5))
        assert world.once().counts.stored == 2
        assert world.numbers() == list(range(5))

    def test_half_a_line_waits_for_its_end(self, world: World) -> None:
        """A line without its end is not an event yet."""
        append(world.log, line(0) + line(1)[:-4])
        assert world.once().counts.read == 1
        append(world.log, line(1)[-4:])
        world.once()
        assert world.numbers() == [0, 1]

    def test_by_hand_takes_the_last_line_of_a_file_at_rest(self, world: World) -> None:
        """A file that a person names and nobody writes to is complete, also without a last line end."""
        append(world.log, line(0) + line(1).rstrip())
        assert world.once(by_hand=True).counts.stored == 2
        assert world.numbers() == [0, 1]

    def test_two_identical_lines_are_two_events(self, world: World) -> None:
        """Identity is the place in the file, not the content."""
        append(world.log, line(7) * 3)
        world.once()
        assert world.numbers() == [7, 7, 7]

    def test_offset_is_where_the_line_starts(self, world: World) -> None:
        """`soc.offset` leads back to the line in the file."""
        append(world.log, line(0) + "\n" + line(1))
        report = world.once()
        assert (report.counts.read, report.counts.format) == (3, 1)
        data = world.log.read_bytes()
        for event in world.events():
            at = event["soc.offset"]
            assert data[at : data.index(b"\n", at)].decode() == event["event.original"]

    @pytest.mark.parametrize("size", [1, 2, 5, 40])
    def test_tiny_files_are_known_again(self, world: World, size: int) -> None:
        """A file far below a kilobyte is found again after it was renamed and grew."""
        append(world.log, lines(0, size))
        world.once()
        world.log.rename(world.logs / "app.log.1")
        append(world.logs / "app.log.1", line(size))
        append(world.log, line(size + 1))
        world.once()
        assert world.numbers() == list(range(size + 2))

    def test_an_empty_file_is_nothing(self, world: World) -> None:
        """A file without a byte has no life yet."""
        world.log.touch()
        assert world.once().counts.read == 0
        append(world.log, line(0))
        world.once()
        assert world.numbers() == [0]

    def test_line_ends_of_windows(self, world: World) -> None:
        """CR LF ends a line; the CR is not part of the event."""
        world.log.write_bytes(lines(0, 3).replace("\n", "\r\n").encode())
        world.once()
        assert world.numbers() == [0, 1, 2]
        assert not any("\r" in e["event.original"] for e in world.events())

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
    def test_byte_order_marks(self, world: World, encoding: str) -> None:
        """A byte order mark decides the encoding; offsets stay those of the file."""
        text = lines(0, 500)
        mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
        world.log.write_bytes(mark + text.encode(encoding))
        world.once()
        with world.log.open("ab") as file:
            file.write(
                line(500).encode(
                    encoding.removesuffix("-sig")
                    if "8" in encoding
                    else encoding.replace("16", "16-le")
                    if encoding == "utf-16"
                    else encoding
                )
            )
        world.once()
        assert world.numbers() == list(range(501))


class TestRotation:
    def test_rename_and_create(self, world: World) -> None:
        """The renamed file is read to its end, the new one from its beginning."""
        append(world.log, lines(0, 50))
        world.once()
        append(world.log, lines(50, 60))
        world.log.rename(world.logs / "app.log.1")
        append(world.log, lines(60, 70))
        world.once()
        assert world.numbers() == list(range(70))

    def test_rename_beyond_the_paths(self, narrow: World) -> None:
        """The rest of a renamed file is read although no path names it."""
        append(narrow.log, lines(0, 50))
        narrow.once()
        append(narrow.log, lines(50, 60))
        narrow.log.rename(narrow.logs / "app.log.1")
        append(narrow.log, lines(60, 70))
        narrow.once()
        assert narrow.numbers() == list(range(70))

    def test_several_generations_while_away(self, narrow: World) -> None:
        """Generations that came and went while nobody looked are read too, compressed or not."""
        older = narrow.logs / "app.log.9"
        append(older, lines(9000, 9010))
        age(older, 900)
        append(narrow.log, lines(0, 50))
        age(narrow.log, 600)
        narrow.once()
        append(narrow.log, lines(50, 60))
        age(narrow.log, 500)
        narrow.log.rename(narrow.logs / "app.log.1")
        compress(narrow.logs / "app.log.1", narrow.logs / "app.log.3.gz")
        append(narrow.logs / "app.log.2", lines(60, 75))
        age(narrow.logs / "app.log.2", 400)
        compress(narrow.logs / "app.log.2")
        append(narrow.logs / "app.log.1", lines(75, 80))
        age(narrow.logs / "app.log.1", 300)
        append(narrow.log, lines(80, 90))
        narrow.once()
        assert narrow.numbers() == list(range(90))

    def test_rotated_without_a_new_file(self, narrow: World) -> None:
        """The rest is read although the path is gone."""
        append(narrow.log, lines(0, 5))
        narrow.once()
        append(narrow.log, lines(5, 9))
        narrow.log.rename(narrow.logs / "app.log.1")
        narrow.once()
        assert narrow.numbers() == list(range(9))

    def test_copy_and_truncate(self, world: World) -> None:
        """What was written between the last look and the copy is read from the copy."""
        append(world.log, lines(0, 50))
        world.once()
        append(world.log, lines(50, 60))
        shutil.copy2(world.log, world.logs / "app.log.1")
        os.truncate(world.log, 0)
        append(world.log, lines(60, 65))
        world.once()
        assert world.numbers() == list(range(65))

    def test_copy_and_truncate_beyond_the_paths(self, narrow: World) -> None:
        """The copy is found in the folder."""
        append(narrow.log, lines(0, 50))
        narrow.once()
        append(narrow.log, lines(50, 60))
        shutil.copy2(narrow.log, narrow.logs / "app.log.1")
        os.truncate(narrow.log, 0)
        append(narrow.log, lines(60, 65))
        narrow.once()
        assert narrow.numbers() == list(range(65))

    def test_truncated_and_longer_than_before(self, world: World) -> None:
        """A file that was truncated and has outgrown its old length is another life."""
        append(world.log, lines(0, 20))
        world.once()
        os.truncate(world.log, 0)
        append(world.log, lines(20, 100))
        world.once()
        assert world.numbers() == list(range(100))

    def test_compressed(self, world: World) -> None:
        """A compressed file is the one that it was made of, also with a part that was not read yet."""
        append(world.log, lines(0, 50))
        world.once()
        append(world.log, lines(50, 60))
        age(world.log)
        world.log.rename(world.logs / "app.log.1")
        compress(world.logs / "app.log.1")
        world.once()
        assert world.numbers() == list(range(60))

    def test_compressed_and_renumbered(self, world: World) -> None:
        """Compressed files that are renumbered stay what they are."""
        append(world.log, lines(0, 50))
        age(world.log)
        world.once()
        world.log.rename(world.logs / "app.log.1")
        compress(world.logs / "app.log.1")
        world.once()
        (world.logs / "app.log.1.gz").rename(world.logs / "app.log.2.gz")
        append(world.log, lines(50, 60))
        assert world.once().counts.read == 10
        assert world.numbers() == list(range(60))

    def test_a_new_compressed_file_is_read(self, world: World) -> None:
        """A compressed file that was never seen is read whole, its last line too."""
        append(world.logs / "app.log.1", lines(0, 2000) + line(2000).rstrip())
        age(world.logs / "app.log.1")
        compress(world.logs / "app.log.1")
        world.once()
        assert world.numbers() == list(range(2001))
        assert world.once().counts.read == 0

    def test_a_copy_beside_the_file_is_left_alone(self, world: World) -> None:
        """A backup copy with a rotated name is not read again."""
        append(world.log, lines(0, 50))
        world.once()
        shutil.copy2(world.log, world.logs / "app.log.bak")
        world.once()
        append(world.log, lines(50, 60))
        world.once()
        assert world.numbers() == list(range(60))

    def test_equal_files_of_different_names_are_two(self, tmp_path: Path) -> None:
        """Two logs that say the same are two logs."""
        world = World(tmp_path, patterns=("*.log",))
        append(world.logs / "one.log", lines(0, 3))
        append(world.logs / "two.log", lines(0, 3))
        world.once()
        assert world.numbers() == [0, 0, 1, 1, 2, 2]
        assert world.once().counts.read == 0

    def test_replaced_by_a_longer_copy_of_itself(self, world: World) -> None:
        """What rsync does: another inode with the same beginning goes on, it does not begin again."""
        append(world.log, lines(0, 50))
        world.once()
        shutil.copy2(world.log, world.logs / ".tmp")
        append(world.logs / ".tmp", lines(50, 60))
        (world.logs / ".tmp").replace(world.log)
        assert world.once().counts.read == 10
        assert world.numbers() == list(range(60))

    def test_a_reused_inode_is_not_the_old_file(self, world: World) -> None:
        """A new file that got the inode of a deleted one is read from its beginning."""
        reused = 0
        first = 0
        for _ in range(12):
            append(world.log, lines(first, first + 20))
            before = world.log.stat().st_ino
            world.once()
            world.log.unlink()
            append(world.log, lines(first + 20, first + 60))
            reused += world.log.stat().st_ino == before
            world.once()
            world.log.unlink()
            first += 60
        assert world.numbers() == list(range(first))
        if not reused:
            pytest.skip("this file system did not give the inode again")

    def test_the_last_line_of_a_rotated_file_without_an_end(self, world: World) -> None:
        """Half a line in a file that was rotated and rests is taken for what it is."""
        append(world.log, line(0) + line(1).rstrip())
        world.once()
        world.log.rename(world.logs / "app.log.1")
        append(world.log, line(2))
        world.once()
        assert world.numbers() == [0, 2]
        age(world.logs / "app.log.1", QUIET_SECONDS * 2)
        world.once()
        assert world.numbers() == [0, 1, 2]

    def test_a_broken_compressed_file(self, world: World) -> None:
        """What a cut gzip file holds is read; that it is cut is said; nothing fails."""
        append(world.logs / "app.log.1", lines(0, 5000))
        packed = compress(world.logs / "app.log.1")
        data = packed.read_bytes()
        packed.write_bytes(data[: len(data) // 2])
        age(packed)
        report = world.once()
        assert 0 < report.counts.stored < 5000
        assert "damaged" in str(report.problems)
        again = world.once()
        assert again.counts.stored == 0


class TestFollowing:
    def test_rename_while_the_writer_goes_on(self, world: World) -> None:
        """A program that keeps writing into the renamed file for a while loses nothing."""
        with world.log.open("a") as writer, world.following() as follower:
            writer.write(lines(0, 20))
            writer.flush()
            follower.until(20)
            world.log.rename(world.logs / "app.log.1")
            writer.write(lines(20, 30))
            writer.flush()
            append(world.log, lines(30, 40))
            writer.write(lines(40, 50))
            writer.flush()
            follower.until(50)
        assert world.numbers() == list(range(50))

    def test_deleted_while_it_was_open(self, narrow: World) -> None:
        """What was written before a file was deleted is read as long as it is open."""
        with narrow.log.open("a") as writer, narrow.following() as follower:
            writer.write(lines(0, 20))
            writer.flush()
            follower.until(20)
            narrow.log.unlink()
            writer.write(lines(20, 30))
            writer.flush()
            append(narrow.log, lines(30, 40))
            follower.until(40)
        assert narrow.numbers() == list(range(40))

    def test_moved_out_of_the_folder(self, narrow: World) -> None:
        """A file moved elsewhere is read to its end."""
        with narrow.following() as follower:
            append(narrow.log, lines(0, 20))
            follower.until(20)
            append(narrow.log, lines(20, 25))
            narrow.log.rename(narrow.root / "elsewhere")
            append(narrow.log, lines(25, 30))
            follower.until(30)
        assert narrow.numbers() == list(range(30))

    def test_copytruncate_again_and_again(self, world: World) -> None:
        """With a writer that pauses while copying, every line is stored once."""
        with world.following() as follower:
            for turn in range(6):
                append(world.log, lines(turn * 40, turn * 40 + 40))
                if turn % 2:
                    follower.until(turn * 40 + 40)
                for number in range(turn, 0, -1):
                    older = world.logs / f"app.log.{number}"
                    if older.exists():
                        older.rename(world.logs / f"app.log.{number + 1}")
                shutil.copy2(world.log, world.logs / "app.log.1")
                os.truncate(world.log, 0)
            follower.until(240)
        assert world.numbers() == list(range(240))

    def test_rotation_with_compression_while_following(self, world: World) -> None:
        """Renamed, then compressed and deleted, while it is followed."""
        with world.following() as follower:
            append(world.log, lines(0, 30))
            follower.until(30)
            append(world.log, lines(30, 40))
            world.log.rename(world.logs / "app.log.1")
            append(world.log, lines(40, 50))
            compress(world.logs / "app.log.1")
            follower.until(50)
            time.sleep(0.3)
            (world.logs / "app.log.1.gz").rename(world.logs / "app.log.2.gz")
            append(world.log, lines(50, 60))
            follower.until(60)
            time.sleep(0.3)
        assert world.numbers() == list(range(60))


class TestBadInput:
    def test_unreadable_file(self, world: World) -> None:
        """A file without permission is a problem of its own; its neighbours are read."""
        append(world.log, lines(0, 5))
        secret = world.logs / "app.log.secret"
        append(secret, lines(5, 9))
        secret.chmod(0)
        if os.access(secret, os.R_OK):
            pytest.skip("this user may read everything")
        report = world.once()
        assert "Permission denied" in report.problems[str(secret)]
        assert world.numbers() == list(range(5))

    def test_a_folder_in_place_of_a_file(self, world: World) -> None:
        """A folder is named as one, with what to write instead."""
        (world.logs / "app.log.d").mkdir()
        append(world.log, lines(0, 2))
        report = world.once()
        assert "is a folder" in report.problems[str(world.logs / "app.log.d")]
        assert world.numbers() == [0, 1]

    def test_a_pipe_does_not_block(self, world: World) -> None:
        """A pipe among the files is named, and nobody waits for it."""
        os.mkfifo(world.logs / "app.log.pipe")
        assert "not a file" in str(world.once().problems)

    def test_binary_file(self, world: World) -> None:
        """Binary content becomes events that say so; every line has a fate."""
        world.log.write_bytes(bytes(range(256)) * 40 + b"\n")
        append(world.log, lines(0, 3))
        report = world.once()
        assert report.counts.balanced
        assert report.counts.unparsed > 0
        assert world.numbers() == [0, 1, 2]

    def test_a_line_of_fifty_megabytes(self, world: World) -> None:
        """A giant line is one event of bounded size, and its neighbours are whole."""
        with world.log.open("w") as file:
            file.write(line(0))
            file.write(line(1, " ").rstrip("\n"))
            for _ in range(50):
                file.write("x" * 1_000_000)
            file.write("\n" + line(2))
        report = world.once()
        assert report.counts.read == 3
        events = world.events()
        assert max(len(e["event.original"]) for e in events) <= 1024 * 1024
        assert {e["event.sequence"] for e in events if "event.sequence" in e} >= {0, 2}
        assert world.once().counts.read == 0

    def test_no_file_is_a_status(self, world: World) -> None:
        """A source without a file is no failure."""
        report = world.once()
        assert (report.files, report.problems) == (0, {})

    def test_links_are_one_file(self, world: World) -> None:
        """Two names of one file are read once."""
        append(world.log, lines(0, 5))
        (world.logs / "app.log.link").symlink_to(world.log)
        (world.logs / "app.log.hard").hardlink_to(world.log)
        world.once()
        assert world.numbers() == list(range(5))
        assert world.once().counts.read == 0
