"""The query language: one for searching events, filtering alerts and the query steps of playbooks.

    nginx                               any field contains the word; in quotes, the words
    https://example.org/a C:\\Temp      addresses and paths are words too
    source.ip:192.0.2.7                 the field is the value; upper and lower case are one
    url.path:/admin*  user.name:?dmin   * stands for any text, ? for one character
    url.path:"/a*b c"                   in quotes everything stands for itself; \\" is a quote
    source.ip:192.0.2.0/24              a network, for addresses
    destination.port:>=1024             also > < <=, and [1 TO 5], {1 TO 5} without the ends, [1 TO *]
    @timestamp:>2026-03-02              a date, a date and time, or a time ago (2h)
    @timestamp:2026-03-02               that day, in the zone of the viewer
    user.name:(root or admin)           several values of one field
    user.name:*                         the field has a value
    a and (b or not c)                  not binds before and, and before or; words side by side mean and

A backslash makes the next sign stand for itself where that sign has a meaning (`\\*`, `\\:`, `\\\\`);
before others it is a backslash (`C:\\Windows`). Queries mean what rules mean: both are the predicates of
`soc.detect.predicate`.
"""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from soc import ecs
from soc.detect.predicate import EVERYTHING, And, Not, Op, Or, Predicate, Test
from soc.errors import UsageError
from soc.event import normalise, timestamp
from soc.timing import parse_when

MAX_LENGTH = 10_000
"""Longest query, in characters."""

MAX_DEPTH = 50
"""Deepest nesting of parentheses and `not`."""

_SPECIAL = frozenset('*?\\"():<>[]{} ')
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_RAW_WORD = re.compile(r"[^\s()\"]*")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|[a-z]:\\\w", re.ASCII | re.IGNORECASE)
_ASSIGNED = re.compile(r"([@A-Za-z][\w@-]*(?:\.[\w@-]+)+|@timestamp)(==?|!=|=~|!~|~)", re.ASCII)
_EXPRESSION = re.compile(r"\.[*+?]|[*+)\]][*+?]|\\[dwsDWSb.]|[\^|$\[]")
_COMPARISONS = {">=": Op.GTE, "<=": Op.LTE, ">": Op.GT, "<": Op.LT}
_STAR, _ANY = object(), object()


class QueryError(UsageError):
    """A query that cannot be read; `column` counts characters from 1, `text` is the query."""

    def __init__(self, message: str, text: str, column: int) -> None:
        super().__init__(
            f"{message}, at column {column} of the query\n{_pointed(text, column)}",
            hint="soc search --help explains the query language",
        )
        self.reason = message
        self.text = text
        self.column = column


def _pointed(text: str, column: int) -> str:
    """The part of the query around a column, and a caret below it."""
    start = max(0, column - 60)
    shown = "".join(c if c.isprintable() else "�" for c in text[start : start + 100])
    before = sum(_cells(c) for c in shown[: column - 1 - start])
    return f"  {shown}\n  {' ' * before}^"


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def parse(text: str, *, now: datetime | None = None) -> Predicate:
    """The predicate that a query means; an empty query is true of everything.

    `now` is what times such as `2h` count from (default: the system clock). Raises `QueryError`.
    """
    if len(text) > MAX_LENGTH:
        raise QueryError(f"the query is longer than {MAX_LENGTH} characters", text, MAX_LENGTH + 1)
    return _Parser(text, now or datetime.now(UTC)).query()


class _Word:
    """A word or quoted text: its parts as of `Op.WILDCARD`, and where it stands."""

    __slots__ = ("column", "parts", "quoted")

    def __init__(self, signs: list[Any], column: int, *, quoted: bool) -> None:
        self.column = column
        self.quoted = quoted
        self.parts = _parts(signs)

    @property
    def literal(self) -> str | None:
        """The text, when it has no wildcards."""
        return self.parts[0] if len(self.parts) == 1 else None


def _parts(signs: list[Any]) -> tuple[str | None, ...]:
    """The signs of a word in the form of `Op.WILDCARD`: `*` between neighbouring texts, None for `?`."""
    parts: list[str | None] = []
    after_star = False
    for sign in signs:
        if sign is _STAR:
            if not after_star:
                parts += [""] if parts and parts[-1] is not None else ["", ""]
            after_star = True
        elif sign is _ANY:
            parts.append(None)
            after_star = False
        else:
            if parts and parts[-1] is not None:
                parts[-1] += sign
            else:
                parts.append(sign)
            after_star = False
    return tuple(parts) or ("",)


class _Parser:
    """Recursive descent over the characters of one query; bounded in depth."""

    def __init__(self, text: str, now: datetime) -> None:
        self.text = text
        self.now = now
        self.at = 0
        self.depth = 0

    def error(self, message: str, column: int | None = None) -> QueryError:
        return QueryError(message, self.text, self.at + 1 if column is None else column)

    # structure

    def query(self) -> Predicate:
        if self.done():
            return EVERYTHING
        predicate = self.disjunction("")
        if not self.done():
            raise self.error("this parenthesis was never opened")
        return predicate

    def disjunction(self, field: str) -> Predicate:
        parts = [self.conjunction(field)]
        while self.keyword("or"):
            parts.append(self.conjunction(field))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def conjunction(self, field: str) -> Predicate:
        parts = [self.negation(field)]
        while self.keyword("and") or not (self.done() or self.sees(")") or self.sees_keyword("or")):
            parts.append(self.negation(field))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def negation(self, field: str) -> Predicate:
        column = self.at + 1
        if not self.keyword("not"):
            return self.primary(field)
        self.enter(column)
        inner = Not(self.negation(field))
        self.depth -= 1
        return inner

    def primary(self, field: str) -> Predicate:
        self.skip()
        if self.sees("("):
            return self.group(field)
        self.expect_term()
        if field:
            return self.value(field)
        column = self.at + 1
        word = self.word(until_colon=not self.sees_address())
        if not self.sees(":"):
            self.refuse_other_languages(word, column)
            return self.bare(word)
        self.at += 1
        if not word.literal:
            raise self.error("a field name is expected here, without wildcards", column)
        return self.field_value(word.literal)

    def field_value(self, field: str) -> Predicate:
        """What stands after `field:`."""
        if self.done() or self.sees(")") or any(map(self.sees_keyword, ("and", "or", "not"))):
            raise self.error(f"a value is expected after {field}:")
        return self.group(field) if self.sees("(") else self.value(field)

    def group(self, field: str) -> Predicate:
        opened = self.at + 1
        self.enter(opened)
        self.at += 1
        if not self.done() and self.sees(")"):
            raise self.error("there is nothing between these parentheses", opened)
        if self.done():
            raise self.error("this parenthesis is never closed", opened)
        inner = self.disjunction(field)
        if self.done():
            raise self.error("this parenthesis is never closed", opened)
        self.at += 1
        self.depth -= 1
        return inner

    def enter(self, column: int) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"parentheses and not are nested more than {MAX_DEPTH} deep", column)

    # characters

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def done(self) -> bool:
        self.skip()
        return self.at >= len(self.text)

    def sees(self, sign: str) -> bool:
        return self.text.startswith(sign, self.at)

    def sees_keyword(self, word: str) -> bool:
        self.skip()
        end = self.at + len(word)
        if self.text[self.at : end].lower() != word:
            return False
        return end >= len(self.text) or self.text[end].isspace() or self.text[end] in "()"

    def keyword(self, word: str) -> bool:
        if not self.sees_keyword(word):
            return False
        self.at += len(word)
        return True

    def expect_term(self) -> None:
        if self.done():
            raise self.error("the query ends where a term is expected")
        for word in ("and", "or"):
            if self.sees_keyword(word):
                raise self.error(f'a term is expected before "{word}"; put the word itself in quotes')
        if self.sees(")"):
            raise self.error("a term is expected before this parenthesis")

    def sees_address(self) -> bool:
        """Whether the next word has a colon that ends no field name: a URL, a path, an IPv6 address."""
        found = _RAW_WORD.match(self.text, self.at)
        raw = found[0] if found else ""
        return _ADDRESS.match(raw) is not None or (raw.count(":") > 1 and _is_network(raw))

    def word(self, *, until_colon: bool = False, stops: str = "") -> _Word:
        """The word or quoted text that begins here."""
        self.skip()
        column = self.at + 1
        if self.sees('"'):
            return self.quoted(column)
        signs: list[Any] = []
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign.isspace() or sign in "()" or sign in stops or (until_colon and sign == ":"):
                break
            if sign == '"':
                raise self.error('a quote stands inside a word; put the whole of it in quotes, or write \\"')
            self.at += 1
            if sign == "\\" and self.at < len(self.text) and self.text[self.at] in _SPECIAL:
                signs.append(self.text[self.at])
                self.at += 1
            else:
                signs.append({"*": _STAR, "?": _ANY}.get(sign, sign))
        if not signs:
            raise self.error("a word is expected here")
        return _Word(signs, column, quoted=False)

    def quoted(self, column: int) -> _Word:
        self.at += 1
        out: list[Any] = []
        while self.at < len(self.text):
            sign = self.text[self.at]
            self.at += 1
            if sign == '"':
                return _Word(out, column, quoted=True)
            if sign == "\\" and self.text[self.at : self.at + 1] in ('"', "\\"):
                sign = self.text[self.at]
                self.at += 1
            out.append(sign)
        raise self.error("this quote is never closed", column)

    # terms

    def bare(self, word: _Word) -> Predicate:
        if word.literal is not None:
            if not word.literal:
                raise self.error("an empty text is in every event", word.column)
            if "/" in word.literal and not word.quoted and _is_network(word.literal):
                return Test(None, Op.CIDR, word.literal)
            return Test(None, Op.CONTAINS, normalise(word.literal))
        around = _parts([_STAR, *_signs(word.parts), _STAR])
        return EVERYTHING if around == ("", "") else Test(None, *_pattern(around))

    def value(self, field: str) -> Predicate:
        """The test of a field that begins here: a comparison, a range or a value."""
        self.skip()
        column = self.at + 1
        for sign, op in _COMPARISONS.items():
            if self.sees(sign):
                self.at += len(sign)
                if self.done() or self.sees(")"):
                    raise self.error(f"a value is expected after {sign}")
                return Test(field, op, self.bound(field, self.word()))
        if self.sees("[") or self.sees("{"):
            return self.range(field, column)
        word = self.word()
        self.refuse_expression(word, column)
        if word.literal is None:
            return Test(field, *_pattern(word.parts))
        return self.equality(field, word, word.literal)

    def refuse_other_languages(self, word: _Word, column: int) -> None:
        """Say what is meant to be an operator of another query language, and is a plain word in this one."""
        if word.quoted:
            return
        for sign, ours in (("||", "or"), ("&&", "and")):
            if word.literal == sign:
                raise self.error(
                    f"{sign} is written as {ours} here; put the signs in quotes to find them", column
                )
        found = _ASSIGNED.match(self.text, column - 1)
        if found and found[1] in ecs.fields() and found.end() <= self.at:
            negated = "not " if found[2].startswith("!") else ""
            example = f"{negated}{found[1]}:…"
            raise self.error(f"a field and its value are written as {example}; for a text use quotes", column)
        self.refuse_expression(word, column)

    def refuse_expression(self, word: _Word, column: int) -> None:
        """Say so where a regular expression is meant."""
        raw = self.text[column - 1 : self.at]
        if not word.quoted and len(raw) > 2 and raw[0] == raw[-1] == "/" and _EXPRESSION.search(raw):
            raise self.error(
                "regular expressions are not part of queries: * stands for any text, ? for one character; "
                "for a text use quotes",
                column,
            )

    def range(self, field: str, column: int) -> Predicate:
        low = Op.GTE if self.sees("[") else Op.GT
        self.at += 1
        bounds: list[tuple[Op, _Word]] = [(low, self.word(stops="]}"))]
        if not self.keyword("to"):
            raise self.error("a range is written as [1 TO 5]; TO is expected here")
        word = self.word(stops="]}")
        self.skip()
        if not (self.sees("]") or self.sees("}")):
            raise self.error("this range is never closed with ] or }", column)
        bounds.append((Op.LTE if self.sees("]") else Op.LT, word))
        self.at += 1
        tests = [Test(field, op, self.bound(field, w)) for op, w in bounds if w.parts != ("", "")]
        if not tests:
            return Test(field, Op.EXISTS)
        return tests[0] if len(tests) == 1 else And(tuple(tests))

    def bound(self, field: str, word: _Word) -> str | int | float:
        """The operand of a comparison: a number, a time for a field of times, or text."""
        text = word.literal
        if text is None:
            raise self.error("wildcards have no order; a plain value is expected here", word.column)
        kind = ecs.fields().get(field)
        if kind == "date":
            return timestamp(self.moment(text, word.column))
        if not word.quoted and _NUMBER.fullmatch(text):
            return self.number(text, word.column)
        if kind in ("long", "double"):
            raise self.error(f"{field} holds numbers", word.column)
        return normalise(text)

    def number(self, text: str, column: int) -> int | float:
        number = float(text) if re.search(r"[.eE]", text) else int(text)
        if not math.isfinite(number):
            raise self.error("this number is too large", column)
        return number

    def moment(self, text: str, column: int) -> datetime:
        try:
            return parse_when(text, self.now)
        except UsageError as error:
            raise self.error(f"{error.message} ({error.hint})", column) from None

    def equality(self, field: str, word: _Word, text: str) -> Predicate:
        """`field:text`, with the text in the form in which the store keeps values of that field."""
        kind = ecs.fields().get(field)
        if kind in ("ip", None) and "/" in text and not word.quoted and _is_network(text):
            return Test(field, Op.CIDR, text)
        if kind == "date":
            return self.time(field, text, word.column)
        if kind in _FORMS:
            try:
                text = _FORMS[kind](text)
            except ValueError:
                raise self.error(f"{field} holds {_NAMES[kind]}", word.column) from None
        return Test(field, Op.EQUALS, normalise(text))

    def time(self, field: str, text: str, column: int) -> Predicate:
        start = self.moment(text, column)
        if not _DAY.fullmatch(text):
            return Test(field, Op.EQUALS, timestamp(start))
        following = (datetime.fromisoformat(text) + timedelta(days=1)).date().isoformat()
        end = self.moment(following, column)
        return And((Test(field, Op.GTE, timestamp(start)), Test(field, Op.LT, timestamp(end))))


def _signs(parts: tuple[str | None, ...]) -> list[Any]:
    """The signs that `_parts` would make these parts of."""
    out: list[Any] = []
    before: str | None = None
    for part in parts:
        if part is None:
            out.append(_ANY)
        else:
            out += [*([_STAR] if before is not None else []), *([part] if part else [])]
        before = part
    return out


def _pattern(parts: tuple[str | None, ...]) -> tuple[Op, Any]:
    """The simplest test for a pattern with wildcards."""
    if parts == ("", ""):
        return Op.EXISTS, None
    if None not in parts:
        first, *_, last = parts
        if len(parts) == 2 and not last:
            return Op.STARTSWITH, normalise(str(first))
        if len(parts) == 2 and not first:
            return Op.ENDSWITH, normalise(str(last))
        if len(parts) == 3 and not first and not last:
            return Op.CONTAINS, normalise(str(parts[1]))
    return Op.WILDCARD, tuple(p if p is None else normalise(p) for p in parts)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _whole_or_fraction(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    number = float(text) if re.search(r"[.eE]", text) else int(text)
    return str(int(number)) if float(number).is_integer() else str(number)


def _truth(text: str) -> str:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower()


_FORMS: dict[str, Callable[[str], str]] = {
    "ip": ecs.converter("source.ip"),
    "long": _whole_or_fraction,
    "double": _whole_or_fraction,
    "boolean": _truth,
}
_NAMES = {
    "ip": "addresses; a network is written as 192.0.2.0/24",
    "long": "numbers",
    "double": "numbers",
    "boolean": "true or false",
}
