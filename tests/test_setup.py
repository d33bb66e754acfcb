"""The first minutes: a draft of soc.yml, and the settings as a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc import config, setup, yamlio
from soc.cli.app import invoke
from soc.errors import UsageError
from tests.harness import soc

LINE = '192.0.2.7 - - [02/Mar/2026:08:00:01 +0700] "GET / HTTP/1.1" 200 512 "-" "Mozilla/5.0"\n'


def test_the_draft_is_a_valid_configuration(tmp_path: Path) -> None:
    """What `soc init` writes is read back without a problem."""
    path = tmp_path / "soc.yml"
    path.write_text(setup.draft(config.load(environ={}), []))
    again = config.load(path, environ={})
    assert again.sources == ()
    assert again.retention == {"standard": 365}


def test_logs_in_the_usual_places_become_sources(tmp_path: Path) -> None:
    """A log that is there and recognised is written in; what is missing is not."""
    log = tmp_path / "access.log"
    log.write_text(LINE * 3)
    found = list(setup.find_sources((str(log), str(tmp_path / "none.log"))))
    text = setup.draft(config.load(environ={}), found)
    data = yamlio.parse(text, "soc.yml").data
    assert data["sources"] == [{"name": "nginx-access", "collector": "nginx", "paths": [str(log)]}]


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    """Only --force replaces a configuration."""
    path = tmp_path / "soc.yml"
    setup.write(path, "one\n")
    with pytest.raises(UsageError, match="a file already"):
        setup.write(path, "two\n")
    setup.write(path, "three\n", force=True)
    assert path.read_text() == "three\n"


def test_init_in_a_terminal_less_run(tmp_path: Path) -> None:
    """`soc init` writes, a second one refuses with exit 2, `--dry-run` prints."""
    soc("init", cwd=tmp_path).ok()
    assert (tmp_path / "soc.yml").is_file()
    assert "--force" in soc("init", cwd=tmp_path).failed(2).err
    assert soc("init", "other.yml", "--dry-run", cwd=tmp_path).ok().out.startswith("# Settings of soc")
    assert not (tmp_path / "other.yml").exists()
    soc("config", "check", cwd=tmp_path).ok()


@pytest.mark.parametrize("found", [True, False])
def test_init_names_a_next_step_that_can_be_done(
    tmp_path: Path, found: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no log was found the next step is to name one, not to collect nothing."""
    log = tmp_path / "access.log"
    log.write_text(LINE * 3)
    monkeypatch.setattr(setup, "USUAL_PLACES", (str(log) if found else str(tmp_path / "none.log"),))
    monkeypatch.chdir(tmp_path)
    assert invoke(["init"]) == 0
    said = capsys.readouterr().err
    assert ("soc collect run --once" in said, "soc collector try" in said) == (found, not found)
    assert ("1 source: nginx-access" in said, "without sources" in said) == (found, not found)


def test_init_into_a_folder_that_is_missing_or_closed(tmp_path: Path) -> None:
    """A path that cannot be written is one clear line."""
    assert "No such file or directory" in soc("init", tmp_path / "none" / "soc.yml").failed(1).err


def test_secrets_are_named_not_shown(tmp_path: Path) -> None:
    """`soc config show` never prints a password, wherever it comes from."""
    done = soc(
        *("config", "show", "--origin", "--output", "json"),
        env={
            "SOC_STORE": "https://search.example:9200",
            "SOC_STORE_PASSWORD": "hunter2",
            "SOC_STORE_API_KEY": "k3y",
        },
        cwd=tmp_path,
    ).ok()
    assert "hunter2" not in done.out
    assert "k3y" not in done.out
    row = next(row for row in done.json if row["setting"] == "store")
    assert row == {"setting": "store", "value": "https://search.example:9200", "origin": "SOC_STORE"}
