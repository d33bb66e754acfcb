"""Files of JSON records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soc.collect.formats import jsonfile
from soc.collect.formats.registry import Broken


def read(tmp_path: Path, text: str, **options: str) -> list[Any]:
    """The objects of a file with this text; the reason where one is broken."""
    path = tmp_path / "records.json"
    path.write_bytes(text.encode())
    return [
        found.reason if isinstance(found, Broken) else found[1] for found in jsonfile.records(path, options)
    ]


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}, {"a": 2}]',
        '{"a": 1}\n{"a": 2}\n',
        '\ufeff{"a": 1}\r\n\r\n{"a": 2}',
        '{"Records": [{"a": 1}, {"a": 2}]}',
        '{"Records": [\n{"a": 1},\n{"a": 2}\n]}',
    ],
)
def test_a_list_lines_and_a_document_hold_the_same(tmp_path: Path, text: str) -> None:
    """The form of the file does not matter."""
    assert read(tmp_path, text, within="Records") == [{"a": 1}, {"a": 2}]


def test_one_object_is_one_record(tmp_path: Path) -> None:
    """Also over several lines, and without the key that holds a list elsewhere."""
    assert read(tmp_path, '{"a": 1}', within="Records") == [{"a": 1}]
    assert read(tmp_path, '{\n"a": 1\n}') == [{"a": 1}]


def test_json_within_text_is_unpacked(tmp_path: Path) -> None:
    """A value that is JSON as text takes its place; one that is not is told."""
    found = read(tmp_path, '{"d": "{\\"b\\": 1}"}\n{"d": "{"}\n{"d": {"b": 2}}', unpack="d")
    assert found[0] == {"d": {"b": 1}}
    assert found[1].startswith("d is not JSON")
    assert found[2] == {"d": {"b": 2}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2]", "a JSON object is expected"),
        ('{"a": ', "not JSON, or cut off"),
        ('[{"a": 1}, {"a', "not JSON, or cut off"),
        ('{"a": 1}\nno\n{"a": 2}', "not JSON"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, text: str, reason: str) -> None:
    """Each broken record, or the whole document, with the reason."""
    assert any(isinstance(found, str) and found.startswith(reason) for found in read(tmp_path, text))


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    """No record and no fault."""
    assert read(tmp_path, "") == []
    assert read(tmp_path, " \n ") == []


def test_a_huge_document_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on what is read at once holds, and is said."""
    monkeypatch.setattr(jsonfile, "MAX_DOCUMENT", 1 << 20)
    assert read(tmp_path, "[" + "1," * (1 << 20) + "1]") == [
        "larger than 1 MiB, which is the most that is read as one JSON document"
    ]
