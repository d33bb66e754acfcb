"""What `--where` means: values that stand for themselves, modifiers, queries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc import yamlio
from soc.detect.exceptions import conditions
from soc.detect.exceptions.draft import Draft, draft
from soc.detect.pipelines import Pipelines
from soc.detect.predicate import EVERYTHING, NOTHING, And, Op, Test, matches
from soc.detect.rule import Logsource, Rule
from soc.errors import UsageError
from soc.query import parse

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
RULE = Rule(id="r1", title="Web shell", logsource=Logsource(category="test"), predicate=EVERYTHING)


def drafted(*where: str, rules: tuple[Rule, ...] = (RULE,), **given: Any) -> Draft:
    """An exception with these conditions."""
    more: dict[str, Any] = {
        "expires": datetime(2026, 4, 1, tzinfo=UTC),
        "reason": "a test",
        "owner": "lan",
        "ticket": "",
        "by": "minh",
        "name": "",
        "pipelines": Pipelines(()),
        "now": NOW,
    }
    return draft(rules, where, **{**more, **given})


def hides(made: Draft, event: dict[str, Any]) -> bool:
    """Whether an exception hides an event of its first rule."""
    return matches(made.applied[made.rules[0].id].hides, {"@timestamp": "2026-03-02T00:00:00Z", **event})


HOSTILE = (
    "a*b", "a?b", "*", "?", "\\", "\\\\", "\\*", "a\\", "C:\\Users\\*", "it's", '"', "a\nb", "a\r\n\tb",
    " a ", "\x1b[31m", "\u202e", "", "null", "true", "22", "0x1F", "1_000", "2026-03-02", "%user%", "a: b",
    "- a", "#", "&x *y", "{a}", "[a]", "!tag", "|", ">", "\u0131", "é", "e\u0301", "\u2028", "\x00", "\x85",
    "\U0001f98a", "~", "=", "a=b",
)  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_means_itself(value: str) -> None:
    """Quotes, wildcards, backslashes, line ends, escapes, what YAML takes for something else."""
    made = drafted(f"file.name={value}")
    assert hides(made, {"file.name": value})
    assert not hides(made, {"file.name": f"{value}x"})
    assert not hides(made, {"file.name": f"x{value}"})
    assert not hides(made, {"file.name": "azb"})
    assert yamlio.parse(made.text, "x").data == made.document


@given(value=st.text(max_size=20), other=st.text(max_size=20))
def test_any_value_means_itself(value: str, other: str) -> None:
    """Whatever Unicode holds; what is not valid text is refused."""
    assert_itself(value, other)


@given(value=st.text(alphabet="a\\*?\n'\"% ", max_size=8), other=st.text(alphabet="a\\*?\n'\"% ", max_size=8))
def test_any_value_of_hard_signs_means_itself(value: str, other: str) -> None:
    """The same among the signs that mean something somewhere."""
    assert_itself(value, other)


def assert_itself(value: str, other: str) -> None:
    """A literal value selects what equality selects, in each of the text modifiers."""
    made = drafted(f"a.b={value}")
    want = matches(Test("a.b", Op.EQUALS, value), {"a.b": other})
    assert hides(made, {"a.b": value})
    assert hides(made, {"a.b": other}) is want
    for word, op in (("contains", Op.CONTAINS), ("startswith", Op.STARTSWITH), ("endswith", Op.ENDSWITH)):
        if value:
            made = drafted(f"a.b|{word}={value}")
            assert hides(made, {"a.b": other}) is matches(Test("a.b", op, value), {"a.b": other})


@pytest.mark.parametrize(
    ("where", "yes", "no"),
    [
        ("source.ip|cidr=192.0.2.0/24", {"source.ip": "192.0.2.9"}, {"source.ip": "192.0.3.9"}),
        ("process.args|re=^a.*b$", {"process.args": "a-b"}, {"process.args": "a-bc"}),
        ("user.name|exists=true", {"user.name": "x"}, {}),
        ("user.name|exists=false", {}, {"user.name": "x"}),
        ("url.port|gte=1024", {"url.port": 2000}, {"url.port": 80}),
        ("user.name|cased=Root", {"user.name": "Root"}, {"user.name": "root"}),
        ("user.name:(root or admin)", {"user.name": "admin"}, {"user.name": "lan"}),
        ("url.path:/a*b?c", {"url.path": "/a-x-b1c"}, {"url.path": "/ab"}),
        ('url.path:"/a*"', {"url.path": "/a*"}, {"url.path": "/ab"}),
        ("source.ip:192.0.2.0/24", {"source.ip": "192.0.2.9"}, {"source.ip": "192.0.3.9"}),
        ("not user.name:root", {"user.name": "x"}, {"user.name": "root"}),
        ("not (user.name:root or url.port:1)", {"user.name": "x"}, {"url.port": 1}),
        ("a.b:x and not c.d:y", {"a.b": "x"}, {"a.b": "x", "c.d": "y"}),
        ("a.b:x and a.b:y", {"a.b": ["x", "y"]}, {"a.b": "x"}),
        ("user.name:*", {"user.name": "x"}, {}),
        ("url.port:>10", {"url.port": 11}, {"url.port": 10}),
        ('"some words"', {"event.original": "with some words in it"}, {"event.original": "words some"}),
    ],
)
def test_modifiers_and_queries(where: str, yes: dict[str, Any], no: dict[str, Any]) -> None:
    """Sigma's modifiers, and what the query language says."""
    made = drafted(where)
    assert (hides(made, yes), hides(made, no)) == (True, False)


def test_all_conditions_must_hold() -> None:
    """Several `--where` mean and, also of one field; different fields share one selection."""
    made = drafted("a.b|contains=x", "c.d=1", "a.b|contains=y", "a.b|contains=x")
    assert made.document["filter"] == {
        "rules": ["r1"],
        "selection": {"a.b|contains": "x", "c.d": "1"},
        "selection_2": {"a.b|contains": "y"},
        "condition": "not (selection and selection_2)",
    }
    assert hides(made, {"a.b": "xy", "c.d": 1})
    assert not hides(made, {"a.b": "x", "c.d": 1})


NAMES = st.sampled_from(["a.b", "c.d"])
TERMS = st.builds("{}:{}".format, NAMES, st.sampled_from(["x", "y", "x*", "*y", "x?", "(x or y)", "*"]))
QUERIES = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not {}".format, inner),
    ),
    max_leaves=6,
)


@given(query=QUERIES, values=st.tuples(*[st.sampled_from([None, "x", "y", "xy", "yx", ["x", "y"]])] * 2))
def test_a_query_becomes_a_filter_of_the_same_meaning(query: str, values: tuple[Any, Any]) -> None:
    """Whatever is nested in it."""
    event = dict(zip(("a.b", "c.d"), values, strict=True))
    assert hides(drafted(query), event) is matches(parse(query), event)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("web01", "names no field"),
        ("a|fuzzy=x", "unknown modifier 'fuzzy'"),
        ("source.ip|cidr=web01", "is not a network"),
        ("a|gt=many", "is not a number"),
        ("a|gt=nan", "is not a number"),
        ("a|exists=perhaps", "true or false"),
        ("a.b=" + "x" * 10_001, "10001 characters"),
        ("a.b=\ud800", "not valid text"),
        ("@timestamp:>2026-03-02", "a filter cannot say this of @timestamp"),
        ("a.b:(", "at column"),
    ],
)
def test_what_cannot_be_read_is_said(where: str, message: str) -> None:
    """A usage error that names the option."""
    with pytest.raises(UsageError, match=message.replace("(", "\\(")):
        conditions.read([where])


def test_a_bad_expression_is_refused() -> None:
    """Before anything is written."""
    with pytest.raises(UsageError, match="--where: invalid regular expression"):
        drafted("a.b|re=(")


def test_rules_of_different_log_sources() -> None:
    """The filter is for what they have in common; nothing in common is refused, and so is a correlation."""
    one = Rule(id="a", title="A", logsource=Logsource(product="linux", service="sshd"), predicate=NOTHING)
    two = Rule(id="b", title="B", logsource=Logsource(product="linux", service="sudo"), predicate=NOTHING)
    other = Rule(id="c", title="C", logsource=Logsource(category="webserver"), predicate=NOTHING)
    burst = Rule(id="d", title="D", correlation={"type": "event_count"})
    assert drafted("a.b=x", rules=(one, two)).document["logsource"] == {"product": "linux"}
    with pytest.raises(UsageError, match="no log source in common"):
        drafted("a.b=x", rules=(one, other))
    with pytest.raises(UsageError, match="is a correlation"):
        drafted("a.b=x", rules=(burst,))


def test_names_of_files() -> None:
    """Of the rule and the first value; only letters, digits and dashes, whatever the value."""
    rule = Rule(id="a", title="A", path="rules/web_shell.yml", logsource=RULE.logsource)
    assert drafted("host.name=web01", rules=(rule,)).name == "web_shell-web01"
    assert drafted("host.name=../../etc/passwd\x1b", rules=(rule,)).name == "web_shell-etc-passwd"
    assert drafted("host.name=字", rules=(rule,)).name == "web_shell"
    assert drafted("host.name=x", name="own-scanner").name == "own-scanner"
    for name in ("../x", "A B", "-x", "x" * 101):
        with pytest.raises(UsageError, match="--name"):
            drafted("host.name=x", name=name)


def test_the_expiry_bounds_what_is_hidden() -> None:
    """As an event sees it: before the expiry."""
    applied = drafted("a.b=x").applied["r1"]
    assert isinstance(applied.hides, And)
    assert applied.expires == "2026-04-01T00:00:00.000000Z"
    assert not matches(applied.hides, {"@timestamp": applied.expires, "a.b": "x"})
