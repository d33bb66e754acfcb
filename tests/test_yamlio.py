"""The YAML loader: strings stay strings, every value knows its place, nothing harms."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc import yamlio
from soc.errors import ContentError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("22:22", "22:22"),
        ("012", "012"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("2024-01-01T09:00:00.000Z", "2024-01-01T09:00:00.000Z"),
        ("on", "on"),
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        ("12345678901234567890", 12345678901234567890),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ('"true"', "true"),
    ],
)
def test_plain_scalars_follow_json_not_yaml_1_1(text: str, value: object) -> None:
    """Only JSON's own words and numbers are anything but text."""
    assert yamlio.parse(f"a: {text}", "f").data == {"a": value}


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        ("a: 1\na: 2", "duplicate_key", "f:2:1"),
        ("a: [1\nb: 2", "yaml_syntax", "f:2:2"),
        ("a: !!python/object:os.system x", "yaml_tag", "f:1:4"),
        ("? [1]\n: 2", "yaml_key", "f:1:3"),
        ("a: &x [*x]", "yaml_alias", "f:1:8"),
        ("[" * 50_000, "too_deep", "f:1:102"),
        ("{a: " * 5_000, "too_deep", "f:1:402"),
        ("a: 1\n---\nb: 2", "yaml_documents", "f"),
        ("a: \x00", "yaml_syntax", "f"),
    ],
)
def test_bad_input_is_named_with_its_place(text: str, kind: str, place: str) -> None:
    """Whatever is wrong is one error with file, line and column, and never a crash."""
    with pytest.raises(ContentError) as caught:
        yamlio.parse(text, "f")
    (problem,) = caught.value.problems
    assert problem.kind == kind
    assert str(problem.place) == place


def test_aliases_are_not_expanded_into_memory() -> None:
    """A "billion laughs" document stays small, because aliases share one value."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    data = yamlio.parse("\n".join(lines), "f").data
    assert data["a29"][0] is data["a28"]


def test_a_value_knows_its_line_and_the_nearest_ancestor_answers_for_it() -> None:
    """`place` points at the key of a mapping entry and at the item of a list."""
    document = yamlio.parse("steps:\n  - name: one\n    type: manual\n", "p.yml")
    assert str(document.place("steps", 0, "type")) == "p.yml:3:5"
    assert str(document.place("steps", 0, "missing")) == "p.yml:2:5"
    assert str(document.place()) == "p.yml:1:1"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"ok: 1\nbad: \xc3\x28\n"])
def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path, content: bytes) -> None:
    """Binary and other encodings are named, not guessed."""
    path = tmp_path / "x.yml"
    path.write_bytes(content)
    with pytest.raises(ContentError, match="not UTF-8"):
        yamlio.load(path)


def test_missing_and_oversized_files_are_refused(tmp_path: Path) -> None:
    """A file that is not there, a folder, and one that no person wrote."""
    with pytest.raises(ContentError, match="No such file"):
        yamlio.load(tmp_path / "none.yml")
    with pytest.raises(ContentError, match="directory"):
        yamlio.load(tmp_path)
    os.mkfifo(tmp_path / "pipe.yml")
    for path in (tmp_path / "pipe.yml", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(ContentError, match="not a regular file"):
            yamlio.load(path)
    large = tmp_path / "large.yml"
    with large.open("wb") as file:
        file.truncate(yamlio.MAX_BYTES + 1)
    with pytest.raises(ContentError, match="larger"):
        yamlio.load(large)


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
trees = st.recursive(
    plain | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(text, trees, max_size=5))
def test_what_is_dumped_reads_back_equal(data: dict[str, Any]) -> None:
    """`dump` quotes whatever `parse` could take for something else."""
    again = yamlio.parse(yamlio.dump(data), "f").data
    assert again == data or (data == {} and again == {})


@pytest.mark.parametrize(
    "value", ["no", "012", "22:22", "null", "", " a", "a\nb", "a\nb\n", "\ta\n", "#x", "a: b", "é"]
)
def test_risky_strings_survive_a_round_trip(value: str) -> None:
    """The strings that other YAML tools break."""
    assert yamlio.parse(yamlio.dump({"k": value}), "f").data == {"k": value}
