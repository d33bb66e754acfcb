"""Importing a release: what changes is told, what is local is kept, what is hostile is refused."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from soc.config import Config, StoreSettings
from soc.detect.releases import archive, git, importer, manifest
from soc.detect.ruleset import ruleset_for
from soc.errors import ConflictError, SocError, UsageError
from tests.detect import rules

A, B, C, D = (f"{n}b6b1f2c-0d3e-4f41-9a57-0c2f6d1e8b90" for n in "1234")
SOURCE = "{product: windows, category: process_creation}"


def rule(id_: str, title: str, *, value: str = "abc", more: str = "status: test\n") -> bytes:
    """The bytes of a sound rule."""
    text = rules.text(
        f"s: {{Image: {value}}}\ncondition: s", title=title, id=id_, logsource=SOURCE, more=more
    )
    return text.encode()


FIRST = {
    "rules/windows/a.yml": rule(A, "A"),
    "rules-emerging-threats/2026/b.yml": rule(B, "B", value="b"),
    "rules/linux/c.yml": rule(C, "C", value="c"),
}


def zipped(path: Path, files: Mapping[str, bytes], *, comment: str = "") -> Path:
    """A ZIP file of some files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive_:
        for name, raw in files.items():
            archive_.writestr(name, raw)
        archive_.comment = comment.encode()
    return path


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with an own folder of rules."""
    return Config(None, StoreSettings(str(tmp_path / "store")), rules=(tmp_path / "rules",))


def bring(config: Config, source: Path, **options: Any) -> importer.Import:
    """Prepare and apply an import."""
    found = importer.prepare(config, source, config.rules[0])
    importer.apply(found, **options)
    return found


def tree(folder: Path) -> dict[str, bytes]:
    """Path to content of every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_release_is_kept_apart_with_its_manifest(config: Config, tmp_path: Path) -> None:
    """Files, licence, source, version and commit; nothing else of the archive comes along."""
    more = {
        **{f"sigma-r2026-10-01/{name}": raw for name, raw in FIRST.items()},
        "sigma-r2026-10-01/LICENSE": b"DRL 1.1",
        "sigma-r2026-10-01/tests/t.yml": rule(D, "Not a rule of the release"),
        "sigma-r2026-10-01/rules/README.md": b"text",
        "sigma-r2026-10-01/.github/workflow.yml": b"on: push",
    }
    source = zipped(tmp_path / "main.zip", more, comment="8eaafff1f2845a696050e05e72ba1140ee190698")
    found = bring(config, source)
    target = config.rules[0] / "upstream" / "sigmahq"
    assert tree(target).keys() == {*FIRST, "LICENSE", "manifest.json"}
    kept = manifest.load(target)
    assert kept == found.after
    assert (kept.source, kept.version, kept.commit) == (
        "main.zip",
        "r2026-10-01",
        "8eaafff1f2845a696050e05e72ba1140ee190698",
    )
    assert kept.files["rules/windows/a.yml"].sha256 == manifest.digest(FIRST["rules/windows/a.yml"])
    loaded = ruleset_for(config)
    assert {r.title: r.origin for r in loaded.rules if r.title in "ABC"} == dict.fromkeys("ABC", "sigmahq")
    assert found.summary() == "sigmahq r2026-10-01: 3 rules; 3 new"
    assert [p.name for p in target.parent.iterdir()] == ["sigmahq"]


def test_what_a_new_release_changes_is_told(config: Config, tmp_path: Path) -> None:
    """New, changed, removed with its successor, deprecated, moved; and what is broken and left out."""
    bring(config, zipped(tmp_path / "1.zip", FIRST))
    second = {
        "rules/windows/a.yml": rule(A, "A", value="changed"),
        "deprecated/b.yml": rule(B, "B", value="b", more="status: deprecated\n"),
        "rules/linux/d.yml": rule(
            D, "D", value="d", more=f"status: test\nrelated: [{{id: {C}, type: obsolete}}]\n"
        ),
        "rules/linux/broken.yml": b"title: [\n",
        "rules/linux/twice.yml": rule(D, "Twice", value="e"),
    }
    found = importer.prepare(config, zipped(tmp_path / "2.zip", second), config.rules[0])
    assert [(c.kind, c.title, c.note) for c in found.changes] == [
        ("changed", "A", ""),
        ("deprecated", "B", "was rules-emerging-threats/2026/b.yml"),
        ("new", "D", ""),
        ("removed", "C", "replaced by D"),
        ("left out", "", found.after.left_out["rules/linux/broken.yml"]),
        ("left out", "", f"the id {D} stands already in rules/linux/d.yml"),
    ]
    importer.apply(found)
    loaded = ruleset_for(config)
    assert not loaded.errors
    assert {r.title for r in loaded.rules if r.origin == "sigmahq" and not r.off} == {"A", "D"}
    again = importer.prepare(config, tmp_path / "2.zip", config.rules[0])
    assert again.same


def test_local_words_about_rules_that_are_gone_are_listed(config: Config, tmp_path: Path) -> None:
    """Overrides, selection, exceptions, correlations and own copies whose upstream rule went or changed."""
    bring(config, zipped(tmp_path / "1.zip", FIRST))
    own = config.rules[0]
    (own / "overrides.yml").write_text(f"overrides:\n  - match: {{id: {C}}}\n    set: {{level: low}}\n")
    (own / "selection.yml").write_text(f"exclude:\n  - id: [{C}, {A}]\n")
    (own / "copy.yml").write_bytes(rule(B, "Our B", value="ours"))
    (own / "exceptions").mkdir()
    (own / "exceptions" / "backup.yml").write_text(
        dedent(f"""
        title: Backup server
        id: {D.replace("4b", "5b")}
        logsource: {SOURCE}
        filter:
          rules: [{C}]
          backup: {{Computer: bak01}}
          condition: not backup
        """)
    )
    second = {"rules/windows/a.yml": FIRST["rules/windows/a.yml"]}
    found = importer.prepare(config, zipped(tmp_path / "2.zip", second), own)
    assert [(one.id, one.what, one.place.line) for one in found.gone] == [
        (C, "selection (exclude)", 2),
        (C, "override of level", 2),
        (C, "filter Backup server", 6),
    ]
    assert [(c.title, c.note) for c in found.copies] == [
        ("Our B", "upstream removed: rules-emerging-threats/2026/b.yml")
    ]


def test_a_dry_look_writes_nothing(config: Config, tmp_path: Path) -> None:
    """Preparing an import leaves the folder as it was."""
    bring(config, zipped(tmp_path / "1.zip", FIRST))
    before = tree(config.rules[0])
    importer.prepare(config, zipped(tmp_path / "2.zip", {"rules/d.yml": rule(D, "D")}), config.rules[0])
    assert tree(config.rules[0]) == before


@pytest.mark.parametrize("how", ["edited", "deleted", "added"])
def test_local_edits_are_never_overwritten_silently(config: Config, tmp_path: Path, how: str) -> None:
    """An upstream file that was edited, deleted or added here stops the import until that is given up."""
    bring(config, zipped(tmp_path / "1.zip", FIRST))
    target = config.rules[0] / "upstream" / "sigmahq"
    path = target / ("rules/mine.yml" if how == "added" else "rules/windows/a.yml")
    path.unlink() if how == "deleted" else path.write_bytes(rule(A, "Edited"))
    before = tree(target)
    second = zipped(tmp_path / "2.zip", {**FIRST, "rules/d.yml": rule(D, "D", value="d")})
    found = importer.prepare(config, second, config.rules[0])
    assert found.edits == [(path.relative_to(target).as_posix(), how)]
    with pytest.raises(ConflictError) as caught:
        importer.apply(found)
    assert how in caught.value.message
    assert tree(target) == before
    importer.apply(found, discard_edits=True)
    assert tree(target).keys() == {*FIRST, "rules/d.yml", "manifest.json"}


def test_two_imports_at_once(config: Config, tmp_path: Path) -> None:
    """The second one is refused while the first is at work, and after it when it had seen an older set."""
    one = importer.prepare(config, zipped(tmp_path / "1.zip", FIRST), config.rules[0])
    other = importer.prepare(
        config, zipped(tmp_path / "2.zip", {"rules/d.yml": rule(D, "D")}), config.rules[0]
    )
    importer.apply(one)
    with pytest.raises(ConflictError, match="changed in the meantime"):
        importer.apply(other)
    with importer._alone(one.target.parent), pytest.raises(ConflictError, match="at work"):
        importer.apply(importer.prepare(config, tmp_path / "2.zip", config.rules[0]))


CRASH = """
import os, sys
from pathlib import Path
from soc.config import Config, StoreSettings
from soc.detect.releases import importer
step, source, folder = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
config = Config(None, StoreSettings(str(folder.parent / "store")), rules=(folder,))
found = importer.prepare(config, source, folder)
count = 0
def crash(event, args):
    global count
    if event in ("open", "os.rename", "shutil.rmtree", "os.mkdir") and str(folder) in repr(args):
        count += 1
        if count > step:
            os._exit(9)
sys.addaudithook(crash)
importer.apply(found)
"""


@pytest.mark.parametrize("step", [1, 4, 8, 11, 13, 100])
def test_a_crash_leaves_the_old_set_or_the_new_one(config: Config, tmp_path: Path, step: int) -> None:
    """Killed at any moment, the folder holds a whole set; the next import clears up."""
    folder = config.rules[0]
    bring(config, zipped(tmp_path / "1.zip", FIRST))
    old = tree(folder / "upstream" / "sigmahq")
    second = {"rules/windows/a.yml": rule(A, "A", value="2"), "rules/d.yml": rule(D, "D", value="d")}
    source = zipped(tmp_path / "2.zip", second)
    done = subprocess.run([sys.executable, "-c", CRASH, str(step), str(source), str(folder)], check=False)
    assert done.returncode == (9 if step < 100 else 0)
    left = tree(folder / "upstream" / "sigmahq")
    assert left == old or {k: v for k, v in left.items() if k != "manifest.json"} == second
    assert not list(manifest.edits(folder / "upstream" / "sigmahq", importer_manifest(folder)))
    bring(config, source)
    assert [p.name for p in (folder / "upstream").iterdir()] == ["sigmahq"]


def importer_manifest(folder: Path) -> manifest.Manifest:
    """The manifest that is there."""
    found = manifest.load(folder / "upstream" / "sigmahq")
    assert found is not None
    return found


def test_where_folders_cannot_change_places_two_steps_do(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without exchange the old set steps aside; a crash in between is put right."""
    monkeypatch.setattr(importer, "_exchange", lambda _one, _other: False)
    bring(config, zipped(tmp_path / "1.zip", FIRST))
    upstream = config.rules[0] / "upstream"
    bring(config, zipped(tmp_path / "2.zip", {"rules/d.yml": rule(D, "D")}))
    assert tree(upstream).keys() == {"sigmahq/rules/d.yml", "sigmahq/manifest.json"}
    (upstream / "sigmahq").rename(upstream / ".before-sigmahq")
    importer._put_back(upstream)
    assert tree(upstream).keys() == {"sigmahq/rules/d.yml", "sigmahq/manifest.json"}


def _hostile(tmp_path: Path, name: str) -> Path:
    """An archive that should be refused."""
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("rules/a.yml", rule(A, "A"))
        if name == "twice":
            with pytest.warns(UserWarning, match="Duplicate name"):
                made.writestr("rules/a.yml", rule(A, "Other"))
        else:
            made.writestr(name, rule(B, "B"))
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../outside.yml", "rules/../../outside.yml", "/etc/outside.yml", "rules\\..\\outside.yml",
        "C:/outside.yml", "rules/line\nbreak.yml", "twice",
    ],
)  # fmt: skip
def test_an_archive_with_paths_that_lead_outside_is_refused(
    config: Config, tmp_path: Path, name: str
) -> None:
    """A path that leaves the folder, or a name twice, is hostile: nothing of such an archive is used."""
    with pytest.raises(SocError, match=r"leads outside|twice"):
        importer.prepare(config, _hostile(tmp_path, name), config.rules[0])
    assert not config.rules[0].exists()


def test_links_are_never_followed(config: Config, tmp_path: Path) -> None:
    """A link in an archive or a folder is left out and named, whatever it points at."""
    secret = tmp_path / "secret.yml"
    secret.write_bytes(rule(D, "Secret"))
    path = tmp_path / "links.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("rules/a.yml", rule(A, "A"))
        link = zipfile.ZipInfo("rules/link.yml")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, str(secret))
    folder = tmp_path / "checkout"
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "a.yml").write_bytes(rule(A, "A"))
    (folder / "rules" / "link.yml").symlink_to(secret)
    (folder / "rules" / "more").symlink_to(tmp_path)
    for source in (path, folder):
        found = importer.prepare(config, source, config.rules[0])
        assert found.after.files.keys() == {"rules/a.yml"}
        assert found.after.left_out == {"rules/link.yml": "it is a link or no ordinary file"}


def test_bombs_are_bounded(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many entries, a file of zeros without end, too much in all: refused or left out, never unpacked."""
    bomb = {"rules/a.yml": rule(A, "A"), "rules/bomb.yml": bytes(50_000_000)}
    found = importer.prepare(config, zipped(tmp_path / "bomb.zip", bomb), config.rules[0])
    assert found.after.left_out == {"rules/bomb.yml": "it is larger than 1,048,576 bytes"}
    monkeypatch.setattr(archive, "MAX_TOTAL", 3_000_000)
    many = {"rules/a.yml": rule(A, "A"), **{f"rules/{n}.yml": bytes(1_000_000) for n in range(9)}}
    with pytest.raises(SocError, match="MB in all"):
        importer.prepare(config, zipped(tmp_path / "many.zip", many), config.rules[0])
    monkeypatch.setattr(archive, "MAX_FILES", 5)
    for source in (tmp_path / "many.zip", tmp_path):
        (tmp_path / "files").mkdir(exist_ok=True)
        for n in range(9):
            (tmp_path / "files" / str(n)).touch()
        with pytest.raises(SocError, match="more than 5 files"):
            importer.prepare(config, source, config.rules[0])


def test_what_holds_no_rules_is_refused(config: Config, tmp_path: Path) -> None:
    """An empty folder, a folder of other YAML, a file that is no archive, nothing at all."""
    empty = tmp_path / "empty"
    empty.mkdir()
    other = tmp_path / "other"
    other.mkdir()
    (other / "compose.yml").write_text("services: {}\n")
    with pytest.raises(UsageError, match="no Sigma rules in it"):
        importer.prepare(config, empty, config.rules[0])
    with pytest.raises(UsageError, match=r"no Sigma rules in it: compose\.yml"):
        importer.prepare(config, other, config.rules[0])
    with pytest.raises(UsageError, match="no such file"):
        importer.prepare(config, tmp_path / "nowhere", config.rules[0])
    for raw in (b"", b"PK\x03\x04 not really", b"text"):
        (tmp_path / "no.zip").write_bytes(raw)
        with pytest.raises(SocError, match="cannot be read as a ZIP"):
            importer.prepare(config, tmp_path / "no.zip", config.rules[0])
    for name in ("own", "shipped", "../x", "", "A B", "x" * 50):
        with pytest.raises(UsageError, match="cannot be the name"):
            importer.prepare(config, empty, config.rules[0], name=name)


def test_damaged_archives_never_crash(tmp_path: Path) -> None:
    """Any cut or changed byte gives an error or a sound import."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("rules/a.yml", rule(A, "A"))
    raw = whole.getvalue()
    for at in range(0, len(raw), 7):
        for damaged in (raw[:at], raw[:at] + bytes([raw[at] ^ 0x41]) + raw[at + 1 :]):
            (tmp_path / "damaged.zip").write_bytes(damaged)
            try:
                found = archive.read(tmp_path / "damaged.zip")
            except SocError:
                continue
            assert all(not name.startswith("/") for name in found.files)


def test_a_folder_that_was_not_imported_is_not_touched(config: Config, tmp_path: Path) -> None:
    """A folder below upstream/ that somebody filled by hand stays."""
    target = config.rules[0] / "upstream" / "sigmahq"
    target.mkdir(parents=True)
    (target / "mine.yml").write_bytes(rule(D, "Mine"))
    with pytest.raises(UsageError, match="were not imported"):
        importer.prepare(config, zipped(tmp_path / "1.zip", FIRST), config.rules[0])
    (target / "manifest.json").write_text("{")
    with pytest.raises(SocError, match="manifest cannot be read"):
        importer.prepare(config, tmp_path / "1.zip", config.rules[0])


def test_a_checkout_says_its_commit(tmp_path: Path) -> None:
    """A folder that is the top of a git repository gives its commit; one that lies in another does not."""
    folder = tmp_path / "sigma"
    for name, raw in FIRST.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
    assert archive.read(folder).commit == ""
    git_in(folder, "init", "-q")
    git_in(folder, "add", ".")
    git_in(folder, "commit", "-qm", "rules")
    checkout = git.checkout_of(folder)
    assert checkout is not None
    assert archive.read(folder).commit == checkout.commit != ""
    assert archive.read(folder / "rules").commit == ""


def git_in(folder: Path, *arguments: str) -> None:
    """Call git with an author of its own."""
    who = ["-c", "user.name=A. Nguyen", "-c", "user.email=a@example.org"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, env=environment, capture_output=True)
