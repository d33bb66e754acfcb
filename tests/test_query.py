"""The query language."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from soc.detect.predicate import EVERYTHING, And, Not, Op, Or, Predicate, Test, evaluate, matches
from soc.query import MAX_DEPTH, MAX_LENGTH, QueryError, parse

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

EVENT: dict[str, Any] = {
    "@timestamp": "2026-03-02T07:14:09.120000Z",
    "source.ip": "192.0.2.7",
    "related.ip": ["192.0.2.7", "2001:db8::1"],
    "destination.port": 443,
    "user.name": "Nguyễn Văn A",
    "process.executable": "C:\\Windows\\System32\\cmd.exe",
    "url.path": "/admin/index.php",
    "url.full": "https://portal.example.org/admin?x=1",
    "event.outcome": "failure",
    "http.response.status_code": 404,
    "process.pid": 7,
    "flag": True,
    "tags": ["alpha", "beta gamma"],
    "empty": [],
    "event.original": 'GET /admin "quoted" (parenthesis) a*b 100%',
}


def a(field: str | None, op: Op, operand: Any = None) -> Test:
    """A test, in short."""
    return Test(field, op, operand)


WORD_A, WORD_B, WORD_C, WORD_D = (a(None, Op.CONTAINS, w) for w in "abcd")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", EVERYTHING),
        ("  ", EVERYTHING),
        ("*", EVERYTHING),
        ("a", WORD_A),
        ("a b", And((WORD_A, WORD_B))),
        ("a and b AND c", And((WORD_A, WORD_B, WORD_C))),
        ("a or b and c", Or((WORD_A, And((WORD_B, WORD_C))))),
        ("a b or c d", Or((And((WORD_A, WORD_B)), And((WORD_C, WORD_D))))),
        ("not a and b", And((Not(WORD_A), WORD_B))),
        ("not (a or b)", Not(Or((WORD_A, WORD_B)))),
        ("NOT not a", Not(Not(WORD_A))),
        ("a (b)(c)", And((WORD_A, WORD_B, WORD_C))),
        ("not(a)", Not(WORD_A)),
        ('"and"', a(None, Op.CONTAINS, "and")),
        ("android", a(None, Op.CONTAINS, "android")),
        ("a*b", a(None, Op.WILDCARD, ("", "a", "b", ""))),
        ("<script>", a(None, Op.CONTAINS, "<script>")),
        ("https://example.org/a", a(None, Op.CONTAINS, "https://example.org/a")),
        ("C:\\Temp", a(None, Op.CONTAINS, "C:\\Temp")),
        ("2001:db8::1", a(None, Op.CONTAINS, "2001:db8::1")),
        ("192.0.2.0/24", a(None, Op.CIDR, "192.0.2.0/24")),
        ('"192.0.2.0/24"', a(None, Op.CONTAINS, "192.0.2.0/24")),
        ("x:y", a("x", Op.EQUALS, "y")),
        ("x: y", a("x", Op.EQUALS, "y")),
        ('x:"y z"', a("x", Op.EQUALS, "y z")),
        ('x:""', a("x", Op.EQUALS, "")),
        ('"a b":y', a("a b", Op.EQUALS, "y")),
        ("x:a:b", a("x", Op.EQUALS, "a:b")),
        ("x\\:y", a(None, Op.CONTAINS, "x:y")),
        ("x:*", a("x", Op.EXISTS)),
        ("x:**", a("x", Op.EXISTS)),
        ("x:y*", a("x", Op.STARTSWITH, "y")),
        ("x:*y", a("x", Op.ENDSWITH, "y")),
        ("x:*y*", a("x", Op.CONTAINS, "y")),
        ("x:y*z", a("x", Op.WILDCARD, ("y", "z"))),
        ("x:y?z", a("x", Op.WILDCARD, ("y", None, "z"))),
        ("x:?*", a("x", Op.WILDCARD, (None, "", ""))),
        ("x:\\*", a("x", Op.EQUALS, "*")),
        ("x:C:\\Windows\\a", a("x", Op.EQUALS, "C:\\Windows\\a")),
        ("x:C:\\\\*", a("x", Op.STARTSWITH, "C:\\")),
        ('x:"y*\\"\\\\"', a("x", Op.EQUALS, 'y*"\\')),
        ("x:(y or z)", Or((a("x", Op.EQUALS, "y"), a("x", Op.EQUALS, "z")))),
        ("x:(>1 not 3)", And((a("x", Op.GT, 1), Not(a("x", Op.EQUALS, "3"))))),
        ("x:(a:b)", a("x", Op.EQUALS, "a:b")),
        ("x:>=10", a("x", Op.GTE, 10)),
        ("x:<-1.5", a("x", Op.LT, -1.5)),
        ('x:>"10"', a("x", Op.GT, "10")),
        ("x:>b", a("x", Op.GT, "b")),
        ("x:[1 TO 5}", And((a("x", Op.GTE, 1), a("x", Op.LT, 5)))),
        ("x:{1 to *]", a("x", Op.GT, 1)),
        ("x:[* TO *]", a("x", Op.EXISTS)),
        ("x:10.0.0.0/8", a("x", Op.CIDR, "10.0.0.0/8")),
        ("source.ip:2001:DB8::0001", a("source.ip", Op.EQUALS, "2001:db8::1")),
        ("source.ip:2001:db8::/32", a("source.ip", Op.CIDR, "2001:db8::/32")),
        ("url.path:10.0.0.0/8", a("url.path", Op.EQUALS, "10.0.0.0/8")),
        ("destination.port:80.0", a("destination.port", Op.EQUALS, "80")),
        ("@timestamp:>2h", a("@timestamp", Op.GT, "2026-03-02T10:00:00.000000Z")),
        (
            "@timestamp:[2026-03-02T07:00Z TO 2026-03-02T08:00+00:00]",
            And(
                (
                    a("@timestamp", Op.GTE, "2026-03-02T07:00:00.000000Z"),
                    a("@timestamp", Op.LTE, "2026-03-02T08:00:00.000000Z"),
                )
            ),
        ),
        ("@timestamp:2026-03-02T07:14:09.12Z", a("@timestamp", Op.EQUALS, "2026-03-02T07:14:09.120000Z")),
        ("@timestamp:2026-03-02T07*", a("@timestamp", Op.STARTSWITH, "2026-03-02T07")),
        ("e\u0301", a(None, Op.CONTAINS, "é")),
    ],
)
def test_a_query_means_its_predicate(text: str, expected: Predicate) -> None:
    """Each form of the language is one predicate."""
    assert parse(text, now=NOW) == expected


@pytest.mark.parametrize(
    "text",
    [
        "admin",
        '"beta gamma"',
        "ADMIN 404",
        "nguyễn",
        "NGUYỄN",
        "source.ip:192.0.2.7",
        "source.ip:192.0.2.0/24",
        "192.0.2.0/24",
        "related.ip:2001:db8::/32 and related.ip:192.0.2.0/24",
        "destination.port:443",
        "destination.port:[400 TO 500]",
        "http.response.status_code:4??",
        "process.executable:c:\\windows\\*\\cmd.exe or process.executable:*cmd.exe",
        "process.executable:*\\System32\\\\*",
        "url.full:https://portal.example.org/*",
        "event.outcome:(success or failure)",
        'tags:(alpha "beta gamma")',
        "flag:true",
        "not empty:*",
        "not nothing:x",
        "@timestamp:>2026-03-01 @timestamp:<2026-03-03",
        '"a*b"',
        "\\(parenthesis\\)",
        "100%",
    ],
)
def test_a_query_finds_the_event(text: str) -> None:
    """The meaning, seen on one event."""
    assert matches(parse(text, now=NOW), EVENT)


@pytest.mark.parametrize(
    "text",
    [
        "nobody",
        "source.ip:192.0.2.70",
        "source.ip:198.51.100.0/24",
        "empty:*",
        "destination.port:>443",
        'url.path:"/admin*"',
        "not admin",
        "flag:false",
    ],
)
def test_a_query_leaves_the_event_out(text: str) -> None:
    """The other side."""
    assert not matches(parse(text, now=NOW), EVENT)


@pytest.mark.parametrize(
    ("text", "column", "part"),
    [
        ("source.ip:", 11, "a value is expected after source.ip:"),
        ("x: and y", 4, "a value is expected after x:"),
        ("(a or b", 1, "never closed"),
        ("a)", 2, "never opened"),
        ("a or", 5, "a term is expected"),
        ("or a", 1, "a term is expected"),
        ("a and and b", 7, "a term is expected"),
        ("not", 4, "a term is expected"),
        ("()", 1, "nothing between"),
        ("x:()", 3, "nothing between"),
        ('a "b', 3, "never closed"),
        ('a"b"', 2, "a quote stands inside a word"),
        ('""', 1, "empty text"),
        ("x:[1 TO 5", 3, "never closed"),
        ("x:[1 5]", 6, "TO is expected"),
        ("x:[", 4, "a word is expected"),
        ("x:>", 4, "a value is expected after >"),
        ("x:>a*", 4, "wildcards have no order"),
        ("f*:x", 1, "a field name is expected"),
        (":x", 1, "a word is expected"),
        ("destination.port:http", 18, "holds numbers"),
        ("destination.port:>http", 19, "holds numbers"),
        ("x:>1e999", 4, "too large"),
        ("source.ip:portal", 11, "holds addresses"),
        ("source.ip:10.0.0.0/99", 11, "holds addresses"),
        ("@timestamp:yesterday", 12, "is not a time"),
        ("a\n(b", 3, "never closed"),
    ],
)
def test_an_error_points_at_its_column(text: str, column: int, part: str) -> None:
    """The message says what is wrong and a caret stands below the place."""
    with pytest.raises(QueryError) as caught:
        parse(text, now=NOW)
    assert part in caught.value.message
    assert caught.value.column == column
    assert caught.value.exit_code == 2
    *_, shown, caret = caught.value.message.splitlines()
    assert caret.strip() == "^"
    assert caret.index("^") == 2 + column - 1
    assert shown.startswith("  ")


def test_the_caret_allows_for_wide_and_combining_characters() -> None:
    """East Asian characters take two columns, combining marks none."""
    with pytest.raises(QueryError) as caught:
        parse("中e\u0301 )")
    assert caught.value.column == 5
    assert caught.value.message.splitlines()[-1] == "      ^"


def test_a_long_query_is_shown_around_its_error() -> None:
    """Only a part of the query stands in the message."""
    with pytest.raises(QueryError) as caught:
        parse("word " * 1000 + ")")
    assert len(caught.value.message) < 300


def test_what_is_too_long_or_too_deep_is_refused_at_once() -> None:
    """No recursion without a bound."""
    with pytest.raises(QueryError, match="longer than"):
        parse("a" * (MAX_LENGTH + 1))
    for deep in ("(" * (MAX_LENGTH // 2), "not " * (MAX_LENGTH // 4), "x:(" * (MAX_LENGTH // 3)):
        with pytest.raises(QueryError, match="nested more than"):
            parse(deep)
    parse("(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH)


_PIECES = st.sampled_from(
    [
        *'()":*?[]{}>x1 \\\0é\ud800',
        "and",
        "or",
        "not",
        " TO ",
        "<=",
        "source.ip",
        "@timestamp",
        "destination.port",
        "192.0.2.7",
        "10.0.0.0/8",
        "2026-03-02",
        "1e9",
        "9" * 50,
    ]
)


@given(st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=40).map("".join)))
@example("x:" + "9" * 5000)
@example("destination.port:" + "9" * 5000)
@example("@timestamp:9999-12-31")
@example("@timestamp:>" + "9" * 30 + "d")
@example("x:1/1")
@example("source.ip:1.1.1.1%/8")
def test_no_text_breaks_the_parser(text: str) -> None:
    """Whatever is typed is a predicate that can be evaluated, or a `QueryError` with a column in the text."""
    try:
        predicate = parse(text, now=NOW)
    except QueryError as error:
        assert 1 <= error.column <= len(text) + 1  # noqa: PT017 - any other exception must fail the test
        return
    evaluate(predicate, EVENT)


@given(st.text(min_size=1, max_size=40))
def test_a_quoted_value_finds_itself(value: str) -> None:
    """Quotes take any text as it is."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    assert matches(parse(f'labels.x:"{escaped}"'), {"labels.x": value})
    assert matches(parse(f'"{escaped}"'), {"labels.x": f"before {value} after"})


def documented() -> list[str]:
    """The queries in the table of the documentation."""
    page = (Path(__file__).parents[1] / "docs" / "query-language.md").read_text("utf-8")
    return re.findall(r"^\| `(.+?)` \|", page, re.MULTILINE)


@pytest.mark.parametrize("text", documented())
def test_a_documented_query_is_read(text: str) -> None:
    """Each row of the table works, and is not true of everything."""
    assert parse(text, now=NOW) != EVERYTHING


def test_parsing_is_quick() -> None:
    """The longest query takes well under a second."""
    started = time.perf_counter()
    for text in ("a " * (MAX_LENGTH // 2), "x:(" + "a or " * 1900 + "b)", "a*?" * 3333):
        parse(text)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("a || b", 3, "written as or"),
        ("a && b", 3, "written as and"),
        ("x source.ip=192.0.2.1", 3, "source.ip:…"),
        ("url.path~admin", 1, "url.path:…"),
        ("user.name!=root", 1, "not user.name:…"),
        ("/evil.*/", 1, "regular expressions"),
        (r"url.path:/ev\d+/", 10, "regular expressions"),
    ],
)
def test_signs_of_other_languages_are_named(text: str, column: int, said: str) -> None:
    """What would be a plain word here and find nothing is an error that says how it is written."""
    with pytest.raises(QueryError, match=re.escape(said)) as caught:
        parse(text)
    assert caught.value.column == column


@pytest.mark.parametrize(
    "text", ["cmd=id", "/upload/", "/a/b/", '"||"', '"source.ip=1"', "a=b&&c", "url.path:/x/"]
)
def test_words_that_only_look_like_it(text: str) -> None:
    """Paths, assignments within requests, and what stands in quotes."""
    parse(text)
