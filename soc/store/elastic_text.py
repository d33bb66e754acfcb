"""Text tests as regular expressions on the terms of an index: what passes certainly fits one of them.

Where the server and our fold differ, an expression is wider: `s` is also `ſ`, `k` the Kelvin sign, `;` and
backquote have a second form under normal form C. A letter beyond ASCII may be composed or not, so it is any
text. Many values of one field are one expression; long lists of long values are cut to their ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from soc.detect.literals import required
from soc.detect.predicate import Op, Test, network
from soc.detect.regex import PatternError, compiled
from soc.detect.text import canonical, fold
from soc.store.elastic_indexed import Family, Indexed, Query, any_of

MAX_OPERAND = 200
"""Longer literals are cut down to this many characters (a part of a literal is an upper bound too)."""

MAX_EXPRESSION = 900
"""Characters of one regular expression; a server takes 1,000 unless told otherwise."""

LONG_LIST = 4_000
"""Characters of literals of one field from which on each is cut to `SHORT_LITERAL`."""

SHORT_LITERAL = 16

MAX_TERMS = 30
"""Whole values that are asked for one by one where they cannot be put together."""

_SECOND_FORMS = {"s": "ſ", "k": "\u212a", ";": "\u037e", "`": "\u1fef"}
"""ASCII characters that another code point folds to (all of them: a test goes through Unicode)."""

_LOOSE_I = "[i\u0130\u0131]"
"""Ignoring case, some engines of regular expressions take these for `i`."""

_NUMBERS = r"-?[0-9]+(\.[0-9]+([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+|[0-9]{18})|-0"
"""JSON numbers whose text in the index may differ from that which rules compare (5.0 is "5", 1e2 "100")."""

PART_OF_NUMBER = re.compile(r"[+-]?[0-9]*\.?[0-9]*(e[+-]?[0-9]*)?|i?nf?|i|n?an?", re.ASCII)
ONE_WRITING = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)


class Pattern(NamedTuple):
    """Text to look for: an expression that fits the whole of it, and what may stand before and after.

    `literal`: the folded text when it is nothing but that. `gap`: any text stands within.
    """

    expression: str
    before: bool
    after: bool
    literal: str | None = None
    gap: bool = False
    number: bool = False


def _literal(text: str, *, loose_i: bool = False) -> tuple[str, bool]:
    """A folded literal as an expression that fits every text which folds to it; whether it has a gap."""
    out: list[str] = []
    gap = False
    for char in text:
        if not char.isascii():
            if not out or out[-1] != ".*":
                out.append(".*")
            gap = True
        elif char in _SECOND_FORMS:
            out.append(f"[{char}{_SECOND_FORMS[char]}]")
        elif loose_i and char == "i":
            out.append(_LOOSE_I)
        else:
            out.append(char if char.isalnum() else "\\" + char)
    return "".join(out), gap


def _ascii(text: str) -> int:
    return sum(char.isascii() for char in text)


def _ends_of(op: Op) -> tuple[bool, bool]:
    """Whether any text may stand before and after the operand."""
    return op in {Op.CONTAINS, Op.ENDSWITH}, op in {Op.CONTAINS, Op.STARTSWITH}


def literal_patterns(test: Test, indexed: Indexed) -> list[Pattern] | None:
    """Tests of a literal, cased or not: what passes holds the literal under the fold."""
    literal = fold(canonical(test.operand))
    before, after = _ends_of(test.op)
    if len(literal) > MAX_OPERAND:
        literal, before, after = _shortened(literal, before, after, MAX_OPERAND)
    if _ascii(literal) < (2 if before and after else 1):
        # next to everything has one letter; an empty value can be asked for where it is a term
        empty = not literal and test.op is Op.EQUALS and indexed.family is Family.KEYWORD
        return [Pattern("", False, False, "")] if empty else None
    return [_pattern(literal, before, after, indexed)]


def _shortened(literal: str, before: bool, after: bool, length: int) -> tuple[str, bool, bool]:
    """A part of a literal, and whether other text may then stand before and after it."""
    if before:  # the end of a path says more than its beginning
        return literal[-length:], True, after
    return literal[:length], False, True


def _pattern(literal: str, before: bool, after: bool, indexed: Indexed, *, loose_i: bool = False) -> Pattern:
    expression, gap = _literal(literal, loose_i=loose_i)
    number = indexed.numbers and PART_OF_NUMBER.fullmatch(literal) is not None
    return Pattern(expression, before, after, None if gap or loose_i else literal, gap, number)


def wildcard_patterns(test: Test, indexed: Indexed) -> list[Pattern] | None:
    """A wildcard operand. One character under the fold may be several in the index, so `?` is any text."""
    parts: tuple[str | None, ...] = test.operand
    if sum(len(p or "?") for p in parts) > MAX_OPERAND // 2:
        longest = max((fold(p) for p in parts if p), key=_ascii, default="")[:MAX_OPERAND]
        return [_pattern(longest, True, True, indexed)] if _ascii(longest) >= 2 else None
    out, previous, count = "", None, 0  # the expression, the part before, fixed characters
    for number, part in enumerate(parts):
        if part is None:
            out += ".+"
        else:
            out += (".*" if number and previous is not None else "") + _literal(fold(part))[0]
            count += _ascii(fold(part))
        previous = part
    if count < 2:
        return None
    text = fold("".join(p or "" for p in parts))
    number = indexed.numbers and PART_OF_NUMBER.fullmatch(text) is not None
    return [Pattern(out, False, False, None, gap=True, number=number)]


def regex_patterns(test: Test, indexed: Indexed) -> list[Pattern] | None:
    """Literals of which one occurs wherever the expression is found.

    Not for the engine that can run out of time: it might do so on values without them.
    """
    try:
        if compiled(test.operand, test.flags).engine != "re2":
            return None
    except PatternError:
        return None
    found = required(test.operand)
    if not found or any(len(literal) < 2 for literal in found):
        return None
    return [_pattern(text[-MAX_OPERAND // 2 :], True, True, indexed, loose_i=True) for text in found]


def text_query(indexed: Indexed, patterns: Sequence[Pattern]) -> Query:
    """One of the patterns, or a value that was too long to be indexed."""
    flattened = indexed.family is Family.FLATTENED
    whole = [p for p in patterns if p.literal is not None and _one_term(p, indexed)]
    if flattened and len(whole) > MAX_TERMS:
        whole = []
    clauses = _terms(indexed, [p.literal or "" for p in whole])
    terms = set(whole)
    rest = [p for p in patterns if p not in terms]
    if sum(len(p.expression) for p in rest) > LONG_LIST:
        rest = [_cut(p) for p in rest]
    expressions = list(dict.fromkeys(_expressions(rest)))
    if any(p.number for p in rest):
        expressions.append(_NUMBERS)
    path = indexed.root if flattened else indexed.path
    folding = {} if indexed.lowered else {"case_insensitive": True}
    looked_for: list[Query] = [
        {"regexp": {path: {"value": e, "flags": "NONE", **folding}}} for e in expressions
    ]
    if flattened and looked_for:
        # the pattern is found under any name: at least there must be this name
        looked_for = [{"bool": {"filter": [any_of(looked_for), {"exists": {"field": indexed.present}}]}}]
    return any_of([*clauses, *looked_for, *indexed.left_out])


def _one_term(pattern: Pattern, indexed: Indexed) -> bool:
    """Whether a literal is a term as it stands, but for the case of ASCII letters."""
    text = pattern.literal or ""
    if pattern.before or pattern.after or _SECOND_FORMS.keys() & set(text):
        return False
    if pattern.number:
        return indexed.family is Family.FLATTENED and ONE_WRITING.fullmatch(text) is not None
    return True


def _cut(pattern: Pattern) -> Pattern:
    literal = pattern.literal
    if literal is None or len(literal) <= SHORT_LITERAL:
        return pattern
    short, before, after = _shortened(literal, pattern.before, pattern.after, SHORT_LITERAL)
    return Pattern(_literal(short)[0], before, after, short, False, pattern.number)


def _terms(indexed: Indexed, words: Sequence[str]) -> list[Query]:
    """Clauses for whole values. Our own index holds a number as its shortest text, with `.0` or without."""
    distinct = list(dict.fromkeys(words))
    if indexed.family is Family.FLATTENED:
        numbers = [w for w in distinct if ONE_WRITING.fullmatch(w)]
        texts = [w for w in distinct if w not in numbers]
        written = [*numbers, *(f"{w}.0" for w in numbers), *(["-0.0"] if "0" in numbers else [])]
        found: list[Query] = [{"terms": {indexed.path: written}}] if written else []
        return found + [_any_case(indexed.path, text) for text in texts]
    if indexed.lowered:
        return [{"terms": {indexed.path: distinct}}] if distinct else []
    if len(distinct) == 1:
        return [_any_case(indexed.path, distinct[0])]
    patterns = [Pattern(_literal(w)[0], False, False, w) for w in distinct]
    return [
        {"regexp": {indexed.path: {"value": e, "flags": "NONE", "case_insensitive": True}}}
        for e in _expressions(patterns)
    ]


def _any_case(path: str, text: str) -> Query:
    return {"term": {path: {"value": text, "case_insensitive": True}}}


def _expressions(patterns: Sequence[Pattern]) -> list[str]:
    """Few expressions for many patterns. Those with gaps stand alone: together they could explode."""
    out: list[str] = []
    groups: dict[tuple[bool, bool], list[str]] = {}
    for pattern in patterns:
        if pattern.gap:
            out.append(_framed([pattern.expression], pattern.before, pattern.after))
        else:
            groups.setdefault((pattern.before, pattern.after), []).append(pattern.expression)
    for (before, after), bodies in groups.items():
        some: list[str] = []
        length = 0
        for body in dict.fromkeys(bodies):
            if some and length + len(body) > MAX_EXPRESSION:
                out.append(_framed(some, before, after))
                some, length = [], 0
            some.append(body)
            length += len(body) + 1
        out.append(_framed(some, before, after))
    return out


def _framed(bodies: Sequence[str], before: bool, after: bool) -> str:
    body = bodies[0] if len(bodies) == 1 else f"({'|'.join(bodies)})"
    return (".*" if before else "") + body + (".*" if after else "")


def network_patterns(test: Test, indexed: Indexed) -> list[Pattern] | None:
    """Text of an IPv4 address within a network: its whole parts, or the IPv6 form of an IPv4 address."""
    try:
        net = network(test.operand)
    except ValueError:
        return None
    whole = net.prefixlen // 8
    if net.version != 4 or not whole:
        return None
    start = ".".join(str(net.network_address).split(".")[:whole]) + ("." if whole < 4 else "")
    return [_pattern(text, True, True, indexed)._replace(number=False) for text in (start, "ffff:")]
