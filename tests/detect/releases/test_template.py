"""The template of a content repository: made, committed, changed, checked by its own CI script."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from soc import yamlio
from soc.detect.releases import template
from soc.errors import UsageError
from tests.detect.releases.test_importer import git_in
from tests.harness import soc


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A new content repository in its first commit."""
    folder = tmp_path / "content"
    soc("init", "--content", folder, cwd=tmp_path).ok()
    git_in(folder, "init", "-q", "-b", "main")
    git_in(folder, "add", "-A")
    git_in(folder, "commit", "-qm", "First content")
    return folder


def ci(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run its CI script, with a `soc` that is this one."""
    programs = folder.parent / "bin"
    programs.mkdir(exist_ok=True)
    shim = programs / "soc"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m soc "$@"\n')
    shim.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(root)}
    return subprocess.run(
        ["sh", "ci/check.sh", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_good_change_passes_and_a_broken_one_fails(content: Path) -> None:
    """The whole repository is sound; a change that breaks a rule is caught, one that mends it passes."""
    whole = ci(content)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert "warning" not in whole.stdout
    assert (content / "report.xml").is_file()
    nothing = ci(content, "main")
    assert nothing.returncode == 0
    assert "nothing to check" in nothing.stderr
    git_in(content, "checkout", "-qb", "work")
    path = content / "rules" / "portal_admin_page.yml"
    sound = path.read_text()
    path.write_text(sound.replace("/portal/admin/", "/portal/adnim/"))
    git_in(content, "commit", "-qam", "Break the rule")
    broken = ci(content, "main")
    assert broken.returncode == 1
    assert "it should fire and did not" in broken.stdout
    assert 'failures="1"' in (content / "report.xml").read_text()
    path.write_text(sound.replace("level: medium", "level: high"))
    git_in(content, "commit", "-qam", "Mend it, and raise its level")
    good = ci(content, "main")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "test: 1 passed" in good.stderr


@pytest.mark.slow
def test_it_can_be_published_as_it_is(content: Path) -> None:
    """From the template to the store without a word in between."""
    done = soc("rule", "publish", "--yes", cwd=content).ok()
    assert "published" in done.err
    swept = soc("sweep", "--once", "--published", cwd=content).ok()
    assert "0 events" in swept.err


def test_every_repository_has_ids_of_its_own(tmp_path: Path) -> None:
    """Two institutions never share the id of a rule; the exception names the rule, and ends in the future."""
    one, other = (dict(template.files(datetime(2026, 3, 2, tzinfo=UTC))) for _ in range(2))
    rule = yamlio.parse(one["rules/portal_admin_page.yml"], "").data
    exception = yamlio.parse(one["rules/exceptions/portal_admin_page_colleague.yml"], "").data
    assert exception["filter"]["rules"] == [rule["id"]]
    assert exception["custom_attributes"]["soc.expires"] == "2026-05-31"
    assert rule["id"] not in other["rules/portal_admin_page.yml"]
    assert "@" not in one["rules/selection.yml"]
    assert {".gitignore", ".gitlab-ci.yml", ".github/workflows/check.yml", "ci/check.sh"} <= one.keys()
    for name, text in one.items():
        if name.endswith(".yml"):
            yamlio.parse(text, name)
    folder = tmp_path / "content"
    template.write(folder)
    assert os.access(folder / "ci" / "check.sh", os.X_OK)
    with pytest.raises(UsageError, match="something already"):
        template.write(folder)


def test_the_ci_files_call_the_script() -> None:
    """GitLab and GitHub do what `make check` does, with all of the history, and take no text into a shell."""
    files = dict(template.files())
    gitlab = yamlio.parse(files[".gitlab-ci.yml"], "").data
    assert gitlab["check"]["script"] == ['sh ci/check.sh "$CI_MERGE_REQUEST_DIFF_BASE_SHA"']
    assert gitlab["variables"]["GIT_DEPTH"] == "0"
    github = yamlio.parse(files[".github/workflows/check.yml"], "").data
    steps = github["jobs"]["check"]["steps"]
    runs = [step["run"] for step in steps if "run" in step]
    assert any("ci/check.sh" in run for run in runs)
    assert not any("${{" in run for run in runs)
