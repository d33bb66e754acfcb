"""Exception files: made once, changed only as they were read, whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from soc import config, yamlio
from soc.detect.exceptions import files
from soc.errors import ConflictError, SocError, UsageError
from tests.detect.exceptions.world import exception


def made(folder: Path, text: str = "a: 1\n", name: str = "one") -> Path:
    """A new file."""
    return files.create(folder, name, text, lambda _: None)


def left(folder: Path) -> list[str]:
    """All names in a folder, also hidden ones."""
    return sorted(path.name for path in folder.iterdir())


def test_two_people_at_once(tmp_path: Path) -> None:
    """Each gets a file of its own, and every text is there."""
    threads = [threading.Thread(target=made, args=(tmp_path / "e", f"a: {n}\n")) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sorted((tmp_path / "e").glob("*.yml"))
    assert {path.name for path in found} == {"one.yml", *(f"one-{n}.yml" for n in range(2, 13))}
    assert {path.read_text() for path in found} == {f"a: {n}\n" for n in range(12)}
    assert len(left(tmp_path / "e")) == 12


def test_a_file_that_cannot_be_announced_is_not_there(tmp_path: Path) -> None:
    """No exception without its entry in the audit log."""

    def refuse(_: Path) -> None:
        raise SocError("the store is away")

    with pytest.raises(SocError, match="is away"):
        files.create(tmp_path, "one", "a: 1\n", refuse)
    assert left(tmp_path) == []


def test_a_link_that_points_nowhere_is_no_free_name(tmp_path: Path) -> None:
    """A name is taken when anything has it."""
    (tmp_path / "one.yml").symlink_to(tmp_path / "gone")
    assert made(tmp_path).name == "one-2.yml"
    assert not (tmp_path / "gone").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    """A sentence with the place."""
    tmp_path.chmod(0o500)
    with pytest.raises(SocError, match="cannot be written"):
        made(tmp_path)


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    """A sentence with the place."""
    (tmp_path / "e").write_text("")
    with pytest.raises(SocError, match="cannot be written"):
        made(tmp_path / "e")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is announced, and nothing is left."""
    announced: list[Path] = []

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SocError, match="No space left on device; nothing was changed"):
        files.create(tmp_path, "one", "a: 1\n", announced.append)
    assert (announced, left(tmp_path)) == ([], [])


def test_where_exceptions_go(tmp_path: Path) -> None:
    """Below the first folder of rules; without one it is said what to do."""
    path = tmp_path / "soc.yml"
    path.write_text("content: {rules: [mine, more]}\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "more").mkdir()
    assert files.folder_of(config.load(path)) == tmp_path / "mine" / "exceptions"
    path.write_text("{}\n")
    with pytest.raises(UsageError, match="no content folder of your own") as caught:
        files.folder_of(config.load(path))
    assert "content: {rules: [" in caught.value.hint


CHANGED = {"soc.owner": "lan", "soc.expires": "2027-01-01T00:00:00Z"}
COMMENTED = exception().replace("filter:", "# keep me\nfilter:")
TEXTS = {
    "as written": exception(),
    "comments": COMMENTED.replace("custom_attributes:", "custom_attributes:   # whose\n"),
    "attributes first": "custom_attributes:\n  soc.owner: huong\n\n# then\n"
    + exception().split("custom_a")[0],
    "flow": exception().split("custom_a")[0] + "custom_attributes: {soc.owner: huong}\n",
    "no line end": exception().rstrip("\n"),
    "windows": exception().replace("\n", "\r\n"),
    "several documents": f"title: other\n---\n{exception()}---\ntitle: third\n",
    "end of document": f"{exception()}...\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_only_the_attributes_change(name: str, tmp_path: Path) -> None:
    """Comments, order and form of everything else stay."""
    path = tmp_path / "one.yml"
    path.write_bytes(TEXTS[name].encode())
    line = next(
        n for n, text in enumerate(TEXTS[name].splitlines(), 1) if text.startswith("title: Exception")
    )
    files.rewrite(files.read(path, line), CHANGED, lambda: None)
    after = path.read_bytes().decode()
    document = next(d for d in yamlio.load_all(path) if d.place("title").line or "title" in d.data)
    documents = [d.data for d in yamlio.load_all(path)]
    assert sum(d.get("custom_attributes") == CHANGED for d in documents) == 1
    assert document is not None
    kept = [
        x for x in TEXTS[name].splitlines() if x.strip() and not x.lstrip().startswith(("soc.", "custom_"))
    ]
    assert [x for x in kept if x not in after.splitlines() and not x.strip().startswith("# whose")] == []
    assert ("\r\n" in after) is ("\r\n" in TEXTS[name])
    assert left(tmp_path) == ["one.yml"]


def test_a_file_that_was_changed_meanwhile(tmp_path: Path) -> None:
    """A conflict, and the other's text stays; also when it is gone."""
    path = tmp_path / "one.yml"
    path.write_text(exception())
    read = files.read(path, 1)
    path.write_text(exception().replace("huong", "minh"))
    announced: list[int] = []
    with pytest.raises(ConflictError, match="was changed by somebody else"):
        files.rewrite(read, CHANGED, lambda: announced.append(1))
    assert (announced, path.read_text()) == ([], exception().replace("huong", "minh"))
    path.unlink()
    with pytest.raises(ConflictError, match="is gone"):
        files.rewrite(read, CHANGED, lambda: None)
    assert left(tmp_path) == []


def test_a_form_that_cannot_be_changed_is_refused(tmp_path: Path) -> None:
    """Where lines do not say which part is whose, a person must do it."""
    path = tmp_path / "one.yml"
    path.write_text("{title: x, custom_attributes: {soc.owner: huong}, id: y}\n")
    with pytest.raises(SocError, match="cannot be changed here"):
        files.rewrite(files.read(path, 1), CHANGED, lambda: None)
    assert "huong" in path.read_text()


def test_a_linked_file_is_changed_where_it_stands(tmp_path: Path) -> None:
    """Its permissions stay as they are."""
    real = tmp_path / "real.yml"
    real.write_text(exception())
    real.chmod(0o640)
    link = tmp_path / "one.yml"
    link.symlink_to(real)
    files.rewrite(files.read(link, 1), CHANGED, lambda: None)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert "lan" in real.read_text()


def test_a_version_stands_for_the_contents(tmp_path: Path) -> None:
    """The same text is the same version; a file that is gone has none."""
    path = tmp_path / "one.yml"
    assert files.version(path) == 0
    path.write_text("a: 1\n")
    first = files.version(path)
    path.write_text("a: 2\n")
    assert files.version(path) not in (0, first)
    path.write_text("a: 1\n")
    assert files.version(path) == first
