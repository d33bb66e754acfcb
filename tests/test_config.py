"""Configuration: file, environment, command line, and where each value came from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soc import config
from soc.errors import ContentError, UsageError
from tests.harness import soc


def test_without_a_file_everything_has_a_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer needs no configuration."""
    monkeypatch.chdir(tmp_path)
    settings = config.load()
    assert settings.path is None
    assert settings.store.target == str(config.data_folder() / "store")
    assert settings.origins["store"] == "default"
    assert not settings.store.is_elastic


def test_the_command_line_outweighs_environment_and_file(tmp_path: Path) -> None:
    """Rising weight: file, SOC_STORE, --store; the origin says which one it was."""
    path = tmp_path / "soc.yml"
    path.write_text("store: events\n")
    from_file = config.load(path, environ={})
    assert from_file.store.target == str(tmp_path / "events")
    assert from_file.origins["store"] == f"{path}:1:1"
    from_env = config.load(path, environ={"SOC_STORE": "https://search.example:9200"})
    assert (from_env.store.is_elastic, from_env.origins["store"]) == (True, "SOC_STORE")
    from_line = config.load(path, environ={"SOC_STORE": "https://search.example:9200"}, store="/x")
    assert (from_line.store.target, from_line.origins["store"]) == ("/x", "--store")


def test_an_address_of_another_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for a folder; the case of http does not matter."""
    monkeypatch.chdir(tmp_path)
    for target in ("ftp://search.example", "file:///store", "://x"):
        with pytest.raises(UsageError, match="begins with https://"):
            config.load(store=target, environ={})
    assert config.load(store="HTTPS://search.example:9200", environ={}).store.is_elastic


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """A configuration means the same from every folder."""
    path = tmp_path / "soc.yml"
    path.write_text(
        "content: {rules: [mine], collectors: [c]}\nregister: r.yml\nsources:\n"
        "  - {collector: nginx, paths: [logs/*.log], timezone: Asia/Ho_Chi_Minh}\n"
    )
    settings = config.load(path, environ={})
    assert settings.rules == (tmp_path / "mine",)
    assert settings.register == tmp_path / "r.yml"
    assert settings.sources[0].paths == (str(tmp_path / "logs/*.log"),)
    assert settings.sources[0].name == "nginx"


def test_every_mistake_is_shown_at_once_with_its_line(tmp_path: Path) -> None:
    """One run of `soc config check` is enough."""
    path = tmp_path / "soc.yml"
    path.write_text(
        "stor: x\ntimezone: Mars/Olympus\nretention: {standard: never}\n"
        "sources:\n  - collector: nginx\n  - {collector: sshd, paths: [a], zone: UTC}\n"
        "  - {collector: sshd, paths: 5}\n"
    )
    with pytest.raises(ContentError) as caught:
        config.load(path, environ={})
    found = {(p.place.line, p.message.split(";")[0]) for p in caught.value.problems}
    assert {line for line, _ in found} == {1, 2, 3, 5, 6, 7}
    assert any("unknown setting 'stor'" in message for _, message in found)
    assert any("unknown time zone" in message for _, message in found)


@pytest.mark.parametrize("text", ["- a\n", "just text\n", "store: [1]\n", "sources: {}\n", "retention: 5\n"])
def test_other_shapes_are_errors_not_crashes(tmp_path: Path, text: str) -> None:
    """Whatever stands in the file, it is a finding with a place."""
    path = tmp_path / "soc.yml"
    path.write_text(text)
    with pytest.raises(ContentError, match=r"soc\.yml:1"):
        config.load(path, environ={})


def test_a_named_file_that_is_missing_is_wrong_usage(tmp_path: Path) -> None:
    """A file that was asked for is never silently replaced by defaults."""
    with pytest.raises(UsageError, match="no such configuration file"):
        config.load(tmp_path / "none.yml", environ={})
    with pytest.raises(UsageError, match="no such configuration file"):
        config.find(None, {"SOC_CONFIG": str(tmp_path / "none.yml")})


def test_the_working_folder_comes_before_the_platform_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`./soc.yml`, then the platform's configuration folder."""
    monkeypatch.chdir(tmp_path)
    platform = config.config_folder()
    platform.mkdir(parents=True)
    (platform / "soc.yml").write_text("timezone: UTC\n")
    assert config.find(None, {})[0] == platform / "soc.yml"
    (tmp_path / "soc.yml").write_text("timezone: UTC\n")
    assert config.find(None, os.environ)[0] == tmp_path / "soc.yml"


def test_a_misspelt_setting_is_said_once_with_the_one_that_is_meant(tmp_path: Path) -> None:
    """No second error that a setting is missing which stands there misspelt; problems in the file's order."""
    path = tmp_path / "soc.yml"
    path.write_text(
        "sources:\n  - {colector: nginx, paths: [a]}\n  - {collector: sshd}\n"
        "  - {collector: ssh, paths: [b]}\n"
        "timezone: Mars\n"
    )
    settings, problems = config.examine(path, environ={})
    assert [problem.place.line for problem in problems] == [2, 3, 5]
    assert "did you mean 'collector'?" in problems[0].message
    assert problems[1].message == "this source lacks `paths`"
    assert [source.collector for source in settings.sources] == ["ssh"]
    checked = soc("config", "check", "--config", path).failed(1)
    assert "there is no collector 'ssh'" in checked.out
    assert "unknown time zone" in checked.out
