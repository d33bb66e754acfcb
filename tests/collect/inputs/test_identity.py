"""Names and contents tell which file holds what was once written under another name."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from soc.collect.inputs.identity import (
    DisplacedError,
    birth_time,
    file_stat,
    fingerprint,
    is_heir,
    live_name,
    matches,
    open_bytes,
    rotated_name,
)


@pytest.mark.parametrize(
    ("name", "live"),
    [
        ("access.log.1", "access.log"),
        ("access.log.2.gz", "access.log"),
        ("access.log-20260302", "access.log"),
        ("access-2026-03-02.log", "access.log"),
        ("access.log.old", "access.log"),
        ("messages-20260302.gz", "messages"),
        ("access.log", "access.log"),
        ("app1.log", "app1.log"),
    ],
)
def test_the_live_name(name: str, live: str) -> None:
    """A rotated name leads back to the name that was written to."""
    assert live_name(name) == live
    assert rotated_name(live, name) is (live != name)


@pytest.mark.parametrize("name", ["access-error.log", "other.log.1", "access.logs", "xaccess.log.1"])
def test_neighbours_are_no_heirs(name: str) -> None:
    """Another log beside it is not a rotated form, plain or compressed."""
    for compressed in (False, True):
        assert not is_heir(Path("/l/access.log"), Path("/l") / name, compressed=compressed)


@pytest.mark.parametrize("size", [1, 100, 4096, 4097, 100_000])
def test_a_fingerprint_finds_its_content_again(tmp_path: Path, size: int) -> None:
    """Longer and compressed files with the same beginning match; shorter and other ones do not."""
    data = bytes(i * 7 % 251 for i in range(size))
    one, longer, packed, other, short = (tmp_path / n for n in "abcde")
    one.write_bytes(data)
    longer.write_bytes(data + b"more")
    packed.write_bytes(gzip.compress(data + b"more"))
    other.write_bytes(data[:-1] + b"\xff" + b"more")
    short.write_bytes(data[:-1])
    known = fingerprint(one, size)
    assert known is not None
    assert [matches(p, known) for p in (one, longer, packed, other, short)] == [True, True, True, False, None]


def test_another_file_under_the_name_is_noticed(tmp_path: Path) -> None:
    """Opening by name asks for the file that was meant."""
    path = tmp_path / "a"
    path.write_text("x")
    (tmp_path / "b").write_text("y")
    key = file_stat(path).key
    open_bytes(path, key).close()
    (tmp_path / "b").replace(path)
    with pytest.raises(DisplacedError):
        open_bytes(path, key)


def test_birth_time_is_known_or_zero(tmp_path: Path) -> None:
    """By name and by descriptor alike; a missing file has none."""
    path = tmp_path / "a"
    path.write_text("x")
    with path.open() as file:
        assert birth_time(file.fileno()) == birth_time(path)
    assert birth_time(tmp_path / "none") == 0
