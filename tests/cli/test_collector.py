"""`soc collector`, run as a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import soc

AUTH = "Mar  2 10:00:00 h sshd[1]: Invalid user a from 192.0.2.7 port 1\n"


def test_list_shows_all_layers(tmp_path: Path) -> None:
    """Shipped collectors of the four layers, and one's own beside them."""
    rows = soc("collectors", "--output", "json", cwd=tmp_path).ok().json
    assert {row["layer"] for row in rows} == {1, 2, 3, 4}
    assert {row["origin"] for row in rows} == {"shipped"}
    only = soc("collector", "list", "--layer", "3", "--output", "json", cwd=tmp_path).ok().json
    assert {row["layer"] for row in only} == {3}


def test_show_says_what_it_writes(tmp_path: Path) -> None:
    """Datasets, fields and log sources of one collector."""
    shown = soc("collector", "show", "sshd", "--output", "json", cwd=tmp_path).ok().json
    assert shown["datasets"] == ["sshd.auth"]
    assert "source.ip" in shown["fields"]
    assert "did you mean sshd" in soc("collector", "show", "ssdh", cwd=tmp_path).failed(2).err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("from-nothing", None),
        ("json-portal", '{"time":"2026-03-02T07:14:09Z","user":"an","ip":"192.0.2.7","odd":{"deep":[1]}}\n'),
        ("syslog-app", '<30>Mar  2 10:00:00 h my-app[3]: it\'s "done" from 192.0.2.7\n'),
        ("plain", "2026-03-02 10:00:00 something: 'quoted' \\ back\n"),
        ("odd-text", "đăng nhập\t: {x}\n"),
        ("carriage", "2026-03-02 10:00:00 windows line\r\nnext\r\n"),
    ],
)
def test_a_new_collector_lints_and_passes(name: str, text: str | None, tmp_path: Path) -> None:
    """Whatever example it is made from, the skeleton is in order and recognises the example."""
    (tmp_path / "soc.yml").write_text("content: {collectors: [collectors]}\n")
    args: tuple[str, ...] = ()
    if text is not None:
        (tmp_path / "example.log").write_text(text, "utf-8")
        args = ("--from", "example.log")
    made = soc("collector", "new", name, "--layer", "2", *args, "--output", "json", cwd=tmp_path).ok().json
    assert made["path"].endswith(f"collectors/{name}.yml")
    soc("collector", "lint", made["path"], cwd=tmp_path).ok()
    soc("collector", "test", name, cwd=tmp_path).ok()
    if text is not None:
        soc("parse", name, "example.log", "--output", "jsonl", cwd=tmp_path).ok()


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("2026-03-02T07:14:09Z|alice|10.1.2.3|LOGIN|OK", "2026-03-02T07:14:09.000000Z"),
        ("[2026/03/02 07:14:09.5] alice in", "2026-03-02T07:14:09.500000Z"),
        ("10.1.2.3 [02/Mar/2026:14:14:09 +0700] alice", "2026-03-02T07:14:09.000000Z"),
        ("alice in", None),
    ],
)
def test_a_new_collector_finds_the_time_of_its_example(line: str, time: str | None, tmp_path: Path) -> None:
    """Its sample expects the time, and `try` says how many records have none."""
    log = tmp_path / "portal.log"
    log.write_text(f"{line}\n{line}\nno time here\n")
    (tmp_path / "soc.yml").write_text("content: {collectors: [collectors]}\n")
    made = soc("collector", "new", "portal", "--from", log, cwd=tmp_path).ok()
    assert made.out.strip() == str(tmp_path / "collectors" / "portal.yml")
    assert "to use it" not in made.err
    text = (tmp_path / "collectors" / "portal.yml").read_text()
    assert ("'@timestamp': " + repr(time) in text) is (time is not None)
    tried = soc("collector", "try", log, cwd=tmp_path).ok()
    assert f"no time found in {1 if time else 3} of 3 records" in tried.err
    assert "its name is one that `recognise` lists" in tried.err
    linted = soc("collector", "lint", "--output", "json", cwd=tmp_path).ok().json
    assert [p["kind"] for p in linted["problems"]] == ["reads_anything"]
    soc("collector", "test", "portal", cwd=tmp_path).ok()


def test_new_does_not_overwrite_and_can_be_tried_dry(tmp_path: Path) -> None:
    """`--dry-run` writes nothing; a second file of the same name is refused."""
    assert "name: mine" in soc("collector", "new", "mine", "--dry-run", cwd=tmp_path).ok().out
    assert not list(tmp_path.iterdir())
    soc("collector", "new", "mine", cwd=tmp_path).ok()
    assert "already" in soc("collector", "new", "mine", cwd=tmp_path).failed(2).err
    assert "small letters" in soc("collector", "new", "My Portal", cwd=tmp_path).failed(2).err


def test_lint_names_every_problem_at_once(tmp_path: Path) -> None:
    """Path, line and column of each; exit 1; the same as JSON."""
    file = tmp_path / "x.yml"
    file.write_text("name: x\ntitle: t\nlayer: 9\nstreams:\n  - name: log\n    fields: {source.ipp: nope}\n")
    done = soc("collector", "lint", file).failed(1)
    assert f"{file}:3:1" in done.out
    assert f"{file}:6:" in done.out
    as_json = soc("collector", "lint", file, "--output", "json").failed(1).json
    assert as_json["valid"] is False
    assert {p["line"] for p in as_json["problems"]} == {3, 6}


def test_lint_of_all_that_is_shipped_is_clean(tmp_path: Path) -> None:
    """No errors and no warnings."""
    assert "0 errors, 0 warnings" in soc("collector", "lint", cwd=tmp_path).ok().err


def test_lint_takes_names_as_test_does(tmp_path: Path) -> None:
    """A name, near names of one that is not there, and a file that is not there."""
    assert "2 collectors" in soc("collector", "lint", "nginx", "cef", cwd=tmp_path).ok().err
    assert "did you mean nginx" in soc("collector", "lint", "nginks", cwd=tmp_path).failed(2).err
    assert "no such file" in soc("collector", "lint", "x.yml", cwd=tmp_path).failed(2).err


def test_test_says_what_came_out(tmp_path: Path) -> None:
    """A sample that does not hold is exit 1 with both values; nothing to test is a usage error."""
    made = soc("collector", "new", "mine", "--output", "json", cwd=tmp_path).ok().json
    file = tmp_path / made["path"]
    file.write_text(file.read_text().replace("event.dataset: mine.log", "event.dataset: mine.other", 1))
    done = soc("collector", "test", file).failed(1)
    assert "event.dataset is 'mine.log', expected 'mine.other'" in done.out
    file.write_text(file.read_text().partition("samples:")[0])
    assert "nothing was tested" in soc("collector", "test", file).failed(2).err


def test_try_shows_collector_events_and_what_is_left(tmp_path: Path) -> None:
    """The collector and why, three events, and the names that it leaves unread."""
    file = tmp_path / "x.log"
    file.write_text(AUTH * 5)
    tried = soc("collector", "try", file, "--output", "json").ok().json
    assert tried["collector"] == "sshd"
    assert "5 of its first 5 records" in tried["why"]
    assert len(tried["events"]) == 3
    as_text = soc("collector", "try", file).ok()
    assert "sshd: 5 of its first 5" in as_text.err
    assert "192.0.2.7" in as_text.out
    document = '{"timestamp":"2026-03-02T07:14:09Z","event_type":"flow","strange":{"thing":1}}\n'
    file.write_text(document)
    assert "strange.thing" in soc("collector", "try", file, "--output", "json").ok().json["leftovers"]


def test_try_of_a_file_that_nobody_knows(tmp_path: Path) -> None:
    """Exit 1, and the command that makes a collector for it."""
    file = tmp_path / "x.dat"
    file.write_text("just words\n")
    done = soc("collector", "try", file).failed(1)
    assert f"soc collector new NAME --from {file}" in done.err
    assert (
        soc("collector", "try", file, "--with", "jsonl", "--output", "json").ok().json["collector"] == "jsonl"
    )
    assert "no such file" in soc("collector", "try", tmp_path / "none").failed(2).err
    assert "this is a folder" in soc("collector", "try", tmp_path).failed(2).err


def test_try_says_who_else_reads_it_and_why_not(tmp_path: Path) -> None:
    """Lines of other programs, a general collector that reads more, and one that writes the same format."""
    file = tmp_path / "auth.log"
    file.write_text(AUTH * 7 + "Mar  2 10:00:00 h portald[1]: done\n" * 3)
    said = soc("collector", "try", file).ok().err
    assert "sshd: 7 of its first 10 records are read by sshd.auth; the other 3 by syslog" in said
    assert "also syslog: 10 of its first 10" in said
    assert "general" in said
    file = tmp_path / "x.log"
    file.write_text('192.0.2.7 - - [02/Mar/2026:14:14:09 +0700] "GET / HTTP/1.1" 200 5 "-" "-"\n')
    said = soc("collector", "try", file).ok().err
    assert "nginx reads it just as well" in said
    assert "--collector nginx" in said


def test_test_is_short_unless_more_is_asked_for(tmp_path: Path) -> None:
    """Nothing but the count where all pass; a row for each sample as data and with -v."""
    quiet = soc("collector", "test", "nginx", "sshd", cwd=tmp_path).ok()
    assert quiet.out == ""
    assert "0 failed" in quiet.err
    rows = soc("collector", "test", "nginx", "-v", "--output", "json", cwd=tmp_path).ok().json
    assert rows["valid"]
    assert "passed" in soc("collector", "test", "nginx", "-v", cwd=tmp_path).ok().out


def test_ones_own_collector_overrides_a_shipped_one(tmp_path: Path) -> None:
    """The user's nginx takes the place of ours, everywhere."""
    soc("collector", "new", "nginx", "--to", "mine", cwd=tmp_path).ok()
    (tmp_path / "soc.yml").write_text("content: {collectors: [mine]}\n")
    rows = soc("collector", "list", "--output", "json", cwd=tmp_path).ok().json
    assert [row["origin"] for row in rows if row["name"] == "nginx"] == ["own"]
