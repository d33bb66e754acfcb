"""`soc doctor` finds what is not set up right and says what to do."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from soc import config, doctor
from tests.detect.exceptions.world import BACKUP, exception
from tests.harness import soc

LINE = '192.0.2.7 - - [02/Mar/2026:08:00:01 +0700] "GET / HTTP/1.1" 200 512 "-" "Mozilla/5.0"\n'


def write(path: Path, text: str) -> config.Config:
    """A configuration from text."""
    path.write_text(text)
    return config.load(path, environ={})


def test_a_new_machine_is_all_right(tmp_path: Path) -> None:
    """Without any setting nothing fails, and every warning has a next step."""
    rows = soc("doctor", "--output", "json", cwd=tmp_path).ok().json
    assert {"python", "config", "store", "clock", "collectors", "rules", "playbooks"} <= {
        r["check"] for r in rows
    }
    assert [r for r in rows if r["state"] == "failed"] == []
    assert all(r["next"] for r in rows if r["state"] == "warning")


def test_every_problem_of_the_configuration_is_found(tmp_path: Path) -> None:
    """Folders, collectors, files, register and secrets that are named and are not right."""
    (tmp_path / "pw").write_text("x")
    (tmp_path / "pw").chmod(0o644)
    settings = write(
        tmp_path / "soc.yml",
        "store: {target: 'https://search.example:9200', password_file: pw}\n"
        "content: {rules: none}\nregister: none.yml\n"
        "sources: [{collector: nope, paths: [a.log]}, {collector: nginx, name: n, paths: [b.log]}]\n",
    )
    kinds = {problem.kind for problem in doctor.config_problems(settings)}
    assert {"missing_folder", "secret_file", "unknown_collector", "no_file"} <= kinds
    assert any("none.yml" in str(p) for p in doctor.config_problems(settings))


@pytest.mark.parametrize(
    ("newest", "state"),
    [
        (None, "ok"),
        ("2026-03-02T08:00:00.000000Z", "ok"),
        ("2026-03-02T08:04:00.000000Z", "ok"),
        ("2026-03-02T08:10:00.000000Z", "warning"),
    ],
)
def test_an_event_from_the_future_casts_doubt_on_a_clock(newest: str | None, state: str) -> None:
    """Five minutes of difference are let pass."""
    assert doctor.check_clock(newest, datetime(2026, 3, 2, 8, tzinfo=UTC)).state == state


def test_copytruncate_is_warned_of(tmp_path: Path) -> None:
    """The rotation that loses lines is found in logrotate's configuration."""
    log = tmp_path / "app.log"
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "good").write_text(
        f"{tmp_path}/other.log {{\n  copytruncate\n}}\n{log} {{\n  create\n}}\n"
    )
    assert doctor.copytruncate([log], tmp_path / "d") is None
    (tmp_path / "d" / "bad").write_text(f"{tmp_path}/*.log {{\n  weekly\n  copytruncate\n}}\n")
    assert doctor.copytruncate([log], tmp_path / "d") == tmp_path / "d" / "bad"


def test_a_store_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """A dead address fails its check, and the rest is looked at all the same."""
    done = soc("doctor", "--store", "http://127.0.0.1:9", "--output", "json", cwd=tmp_path).failed(1)
    rows = {row["check"]: row for row in done.json}
    assert rows["store"]["state"] == "failed"
    assert rows["collectors"]["state"] == "ok"


def test_a_broken_rule_of_the_user_is_named(tmp_path: Path) -> None:
    """Broken content fails with file and line, and the command that shows the rest."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "broken.yml").write_text("title: x\nlogsource: {}\ndetection: 5\n")
    (tmp_path / "soc.yml").write_text("content: {rules: mine}\n")
    rows = {row["check"]: row for row in soc("doctor", "--output", "json", cwd=tmp_path).failed(1).json}
    assert "broken.yml" in rows["rules"]["found"]
    assert rows["rules"]["next"] == "soc rule lint"


def test_exceptions_that_end_soon_are_said(tmp_path: Path) -> None:
    """Before their rules alert again, and those that never end; nothing is said where there are none."""
    settings = write(tmp_path / "soc.yml", "content: {rules: mine}\n")
    (tmp_path / "mine").mkdir()
    assert list(doctor.check_exceptions(settings)) == []
    (tmp_path / "mine" / "one.yml").write_text(exception(target="any"))
    found = {}
    for day in (1, 3):
        (check,) = doctor.check_exceptions(settings, datetime(2026, 3, day, tzinfo=UTC))
        found[day] = (str(check.state), check.next)
    assert found == {1: ("warning", "soc exception list --expiring 14d"), 3: ("ok", "")}
    (tmp_path / "mine" / "two.yml").write_text(exception(target="any", expires="", id=BACKUP[:-1] + "2"))
    (check,) = doctor.check_exceptions(settings, datetime(2026, 3, 3, tzinfo=UTC))
    assert (check.found, check.next) == ("2 exceptions, 1 without an expiry", "soc rule lint")


def test_a_lost_checkpoint_is_said(tmp_path: Path) -> None:
    """Events of a source that collection does not remember would be stored once more."""
    now = datetime.now(UTC)
    (tmp_path / "access.log").write_text(
        LINE.replace("02/Mar/2026:08:00:01 +0700", f"{now:%d/%b/%Y:%H:%M:%S} +0000")
    )
    (tmp_path / "soc.yml").write_text(
        "store: store\nstate: state\nsources: [{name: web, collector: nginx, paths: [access.log]}]\n"
    )
    soc("collect", "run", "--once", cwd=tmp_path).ok()
    assert "checkpoint" not in {
        row["check"] for row in soc("doctor", "--output", "json", cwd=tmp_path).ok().json
    }
    shutil.rmtree(tmp_path / "state")
    rows = {row["check"]: row for row in soc("doctor", "--output", "json", cwd=tmp_path).failed(1).json}
    assert "lost for web" in rows["checkpoint"]["found"]


def test_a_state_that_is_a_file_is_named(tmp_path: Path) -> None:
    """Doctor, status and collection say which path is wrong, and the rest is looked at all the same."""
    (tmp_path / "state").write_text("")
    (tmp_path / "access.log").write_text(LINE)
    (tmp_path / "soc.yml").write_text(
        "store: store\nstate: state\nsources: [{name: web, collector: nginx, paths: [access.log]}]\n"
    )
    said = soc("collect", "run", "--once", cwd=tmp_path).failed(1).err
    assert "this is a file, and the state needs a folder" in said
    soc("store", "init", cwd=tmp_path).ok()
    for command in ("doctor", "status"):
        done = soc(command, "--output", "json", cwd=tmp_path)
        assert any("needs a folder" in row["found"] for row in done.json)
        assert len(done.json) > 3


def test_a_path_with_brackets_is_itself(tmp_path: Path) -> None:
    """Doctor finds a source's file as collection does, whatever characters its name holds."""
    (tmp_path / "app[1].log").write_text(LINE)
    settings = write(
        tmp_path / "soc.yml", "sources: [{name: web, collector: nginx, paths: ['app[1].log']}]\n"
    )
    assert doctor.files_of(settings.sources[0]) == [tmp_path / "app[1].log"]
