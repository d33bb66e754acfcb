"""Results in four formats."""

from __future__ import annotations

import csv
import io
import json

import pytest

from soc.cli.output import Column, Output
from soc.errors import UsageError

ROWS: list[dict[str, object]] = [
    {"id": "A-1", "level": "high", "n": 1},
    {"id": "A-2", "level": "low", "n": None},
]


def test_json_is_one_list_that_streams(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has every field of a row, whatever columns the table shows."""
    Output("json").rows(iter(ROWS), ["id"])
    assert json.loads(capsys.readouterr().out) == ROWS


def test_nothing_is_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    """No rows are valid JSON, and a remark only where a person reads."""
    Output("json").rows([], ["id"])
    done = capsys.readouterr()
    assert json.loads(done.out) == []
    assert done.err == ""
    Output("table").rows([], ["id"], empty="no alerts")
    done = capsys.readouterr()
    assert (done.out, done.err) == ("", "no alerts\n")


def test_json_lines_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line; CSV with a header and empty cells for null."""
    Output("jsonl").rows(ROWS, ["id"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS
    Output("csv").rows(ROWS, ["id", "n"])
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [["id", "n"], ["A-1", "1"], ["A-2", ""]]


def test_fields_select_and_order(capsys: pytest.CaptureFixture[str]) -> None:
    """`--fields` holds for every format."""
    Output("jsonl", "n,id").rows(ROWS, ["id"])
    first = capsys.readouterr().out.splitlines()[0]
    assert first == '{"n":1,"id":"A-1"}'


@pytest.mark.parametrize("fields", ["", "id,nope", ","])
def test_an_unknown_field_lists_the_known_ones(fields: str) -> None:
    """An empty or unknown name is a usage error that teaches."""
    with pytest.raises(UsageError, match="the fields are: id, level, n"):
        Output("table", fields).rows(ROWS, ["id"])


def test_csv_cells_are_no_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    """A log line cannot become a formula in a spreadsheet (CWE-1236); numbers stay numbers."""
    Output("csv").rows([{"a": "=cmd|'/c calc'!A1", "b": "-1.5", "c": "@x"}], ["a", "b", "c"])
    row = list(csv.reader(io.StringIO(capsys.readouterr().out)))[1]
    assert row == ["'=cmd|'/c calc'!A1", "-1.5", "'@x"]


def test_a_table_neutralises_and_never_interprets_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither escapes nor the markup of the table library act from within a value."""
    Output("table").rows([{"m": "\x1b[31m[bold]x[/bold]\nnext"}], [Column("m", wide=True)])
    assert "\\x1b[31m[bold]x[/bold]\\nnext" in capsys.readouterr().out


def test_integers_beyond_64_bits_and_odd_values_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has no limit for integers; other values become text."""
    Output("json").one({"n": 12345678901234567890123, "s": {1}})
    assert json.loads(capsys.readouterr().out) == {"n": 12345678901234567890123, "s": "{1}"}


def test_a_table_in_a_pipe_has_no_padding(capsys: pytest.CaptureFixture[str]) -> None:
    """Spaces at the end of lines would wrap in a narrower window."""
    Output("table").rows(
        [{"id": "A-1", "title": "x"}, {"id": "A-22", "title": "a longer one"}], ["id", "title"]
    )
    Output("table").one({"id": "A-1", "title": "x"})
    lines = capsys.readouterr().out.split("\n")
    assert lines == [line.rstrip() for line in lines]
