"""What one value makes true: all tests on one field, decided together and remembered.

An *atom* is a distinct (field, test), known by its number. A *sight* is what a value, or a set of values,
makes true; equal sights are one object, so that they can be compared and looked up by identity.

The literals of all text tests of a field are looked for by one Aho-Corasick automaton. Literals that every
match of a regular expression or a wildcard must hold are in the same automaton. A wildcard is tried where
one of them occurs; a regular expression only when, besides, a rule asks for it that may hold. Expressions
without such a literal are searched for all in one pass.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from soc.detect import literals
from soc.detect import regex as rx
from soc.detect.keywords import Gate, texts_of, whole
from soc.detect.ordered import Ordered, is_ordered
from soc.detect.predicate import (
    Op,
    Test,
    Verdict,
    evaluate_value,
    folded,
    network,
    text_test,
    wildcard_matches,
)
from soc.detect.seen import NONE, Sight
from soc.detect.text import canonical, fold

MAX_REMEMBERED = 1024
"""Longest value, in characters, whose sight is remembered."""

MAX_SIGHTS = 20_000
"""How many different sights of one field are kept as one object each."""


class Budget:
    """A bound on what all tables of a matcher remember together, in characters.

    When it is used up everything is forgotten at once: what recurs is soon known again. Whoever keeps more
    that belongs to remembered values is called (`forgetful`).
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.tables: list[FieldTable] = []
        self.forgetful: list[Callable[[], None]] = []

    def take(self, size: int) -> None:
        """Count one remembered value."""
        self.used += size + _OVERHEAD
        if self.used > self.limit:
            self.used = 0
            for table in self.tables:
                table.forget()
            for forget in self.forgetful:
                forget()


_OVERHEAD = 100
"""What a remembered value costs besides its characters."""

_EXACT = 2**53
"""Below this size an integer and a float that are equal are also equal as text."""


class Memo(dict[Any, Sight]):
    """Value to sight, filled when asked. Raises TypeError for a list, which is for `FieldTable.several`."""

    __slots__ = ("table",)

    def __init__(self, table: FieldTable) -> None:
        super().__init__()
        self.table = table

    def __missing__(self, value: Any) -> Sight:
        kind = value.__class__
        if kind is not str:
            sight = self[canonical(value)]
            # 1, 1.0 and True are one key of a dictionary and two texts: only the texts are remembered
            if kind is int and 1 < abs(value) < _EXACT:
                self.table.budget.take(0)
                self[value] = sight
            return sight
        sight = self.table.see(value)
        if len(value) <= MAX_REMEMBERED and not self.table.fleeting:
            self.table.budget.take(len(value))
            self[value] = sight
        return sight


class _Literal:
    """What follows where a literal is found: atoms (anywhere, at the start, at the end) and checks to do."""

    __slots__ = ("anywhere", "checks", "end", "start")

    def __init__(self) -> None:
        self.anywhere: tuple[int, ...] = ()
        self.start: tuple[int, ...] = ()
        self.end: tuple[int, ...] = ()
        self.checks: tuple[int, ...] = ()

    def brief(self) -> int | _Literal:
        """The atom itself, where all that follows is one atom wherever the literal is found."""
        if len(self.anywhere) == 1 and not (self.start or self.end or self.checks):
            return self.anywhere[0]
        return self


@dataclass(frozen=True, slots=True)
class _Check:
    """A test that must be tried itself. `strict`: on the text as it is, not on the folded one."""

    atom: int
    test: Test
    operand: Any
    strict: bool


class FieldTable:
    """All tests on one field (or, for keywords, on any field); `eager`: no expression is left open."""

    def __init__(self, tests: Iterable[tuple[int, Test]], budget: Budget, *, eager: bool = False) -> None:
        self.budget = budget
        self._eager = eager
        self._tests = list(tests)
        self._prepared = False
        self._interned: dict[tuple[frozenset[int], frozenset[int]], Sight] = {}
        # times: no value comes again, and to decide one anew costs no more than to remember it
        self.fleeting = any(is_ordered(t) for _, t in self._tests) and all(
            is_ordered(t) or t.op in (Op.EXISTS, Op.NULL) for _, t in self._tests
        )
        self.absent = Sight(frozenset(atom for atom, test in self._tests if test.op is Op.NULL))
        self.memo = Memo(self)
        self.forget()
        budget.tables.append(self)

    def forget(self) -> None:
        """Drop what is remembered of values; sights stay the objects they are."""
        self.memo.clear()
        self.memo[None] = self.absent

    def of(self, value: Any) -> Sight:
        """The sight of a field's value, whatever it is: a list is what any of its elements make true."""
        if isinstance(value, list):
            return self.several(value)
        try:
            return self.memo[value]
        except TypeError:  # an unhashable value, such as a mapping in an event that was not flattened
            return self.memo[canonical(value)]

    def several(self, values: Iterable[Any]) -> Sight:
        """The sight of several values; `absent` when none of them is a value."""
        sights = [
            self.memo[canonical(v)] if isinstance(v, list) else self.of(v) for v in values if v is not None
        ]
        if not sights:
            return self.absent
        if len(sights) == 1:
            return sights[0]
        return self.together(sights)

    def anywhere(self, event: Mapping[str, Any]) -> Sight:
        """The sight of all values of an event, for tests that name no field.

        All texts are searched together first: in most events not one literal of the tests occurs.
        """
        self.prepare()
        if self._gate is not None:
            text = whole(event)
            if text and (not self._strict or text.isascii()) and not self._gate.opens(text):
                return self._nothing
        return self.several(texts_of(event))

    def together(self, sights: Collection[Sight]) -> Sight:
        """The sight of a field that has all these values."""
        for sight in sights:
            sight.settle()
        true = frozenset().union(*(s.true for s in sights))
        return self._sight(true, frozenset().union(*(s.undecided for s in sights)) - true)

    def see(self, text: str) -> Sight:
        """The sight of one text; works it out anew."""
        if not self._prepared:
            self.prepare()
        plain = text.lower() if text.isascii() else fold(text)
        found: Sequence[tuple[int, int, int]] = ()
        if self._automaton is not None:
            try:
                found = self._automaton.find_matches_as_indexes(plain, overlapping=True)
            except UnicodeEncodeError:  # half of a surrogate pair: the automaton takes characters only
                return self._one_by_one(text)
        if not found and self._literals_only and (not self._strict or text.isascii()):
            if self._ordered is not None:
                base = self._by_equality.get(plain, self._nothing)
                return self._sight(base.true.union(self._ordered.true_of(text)), NONE)
            return self._by_equality.get(plain, self._nothing)
        return self._closer(text, plain, found)

    def _closer(self, text: str, plain: str, found: Sequence[tuple[int, int, int]]) -> Sight:
        """The sight of a text in which these literals were found, given as (number, start, end)."""
        true = set(self._by_equality.get(plain, self._nothing).true)
        checks = set(self._unfiltered)
        if found:
            self._follow(found, len(plain), true, checks)
        if self._strict and not text.isascii():
            checks.update(self._strict)
        asks = self._try(text, plain, checks, true) if checks else None
        if self._networks:
            self._in_networks(text, true)
        if self._ordered is not None:
            true.update(self._ordered.true_of(text))
        if self._expressions is not None:
            atoms = self._expression_atoms
            true.update([atoms[number] for number in self._expressions.search(text)])
        if asks:
            sight = Sight(frozenset(true), NONE, asks, text)
            if not self._eager and len(text) <= MAX_REMEMBERED:
                return sight
            sight.settle()  # so that it does not keep the text, and equal ones are one object
            return self._sight(sight.true, sight.undecided)
        return self._sight(frozenset(true), NONE)

    def _one_by_one(self, text: str) -> Sight:
        """The sight of a text by plain evaluation of every test."""
        tests = [(atom, test) for atom, test in self._tests if test.op not in (Op.NULL, Op.EXISTS)]
        verdicts = [(atom, evaluate_value(test, text)) for atom, test in tests]
        true = frozenset(self._any_value).union(a for a, verdict in verdicts if verdict is Verdict.TRUE)
        return self._sight(true, frozenset(a for a, verdict in verdicts if verdict is Verdict.UNDECIDED))

    def _follow(
        self, found: Iterable[tuple[int, int, int]], size: int, true: set[int], checks: set[int]
    ) -> None:
        """Add what holds, and what must be tried, in a text of this size because of the literals in it."""
        table = self._literals
        add = true.add
        for index, start, end in found:
            literal = table[index]
            if literal.__class__ is int:
                add(literal)
                continue
            if literal.anywhere:
                true.update(literal.anywhere)
            if end == size and literal.end:
                true.update(literal.end)
            if start == 0 and literal.start:
                true.update(literal.start)
            if literal.checks:
                checks.update(literal.checks)

    def _try(self, text: str, plain: str, checks: Iterable[int], true: set[int]) -> dict[int, Test]:
        """Add what holds of these checks; the regular expressions among them are left open."""
        asks: dict[int, Test] = {}
        for number in checks:
            check = self._checks[number]
            test = check.test
            if test.op is Op.REGEX:
                asks[check.atom] = test
                continue
            if test.op is Op.WILDCARD:
                found = wildcard_matches(check.operand, text if check.strict else plain)
            elif check.strict:
                found = text_test(test.op, text, check.operand)
            else:
                found = evaluate_value(test, text) is Verdict.TRUE
            if found:
                true.add(check.atom)
        return asks

    def _in_networks(self, text: str, true: set[int]) -> None:
        try:
            address = ipaddress.ip_address(text.strip())
        except ValueError:
            return
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        version, number = address.version, int(address)
        for atom, of_version, mask, base in self._networks:
            if of_version == version and number & mask == base:
                true.add(atom)

    def _sight(self, true: frozenset[int], undecided: frozenset[int]) -> Sight:
        key = (true, undecided)
        known = self._interned.get(key)
        if known is None:
            if len(self._interned) >= MAX_SIGHTS:
                self._interned.clear()
            known = self._interned[key] = Sight(true, undecided)
        return known

    # ---------------------------------------------------------------- preparing

    def prepare(self) -> None:
        """Sort the tests into the ways they are decided; done by itself when the first value is seen."""
        if self._prepared:
            return
        self._prepared = True
        self._any_value: list[int] = []
        self._equals: dict[str, list[int]] = {}
        self._networks: list[tuple[int, int, int, int]] = []
        self._checks: list[_Check] = []
        self._unfiltered: list[int] = []
        self._strict: list[int] = []
        self._by_literal: dict[str, _Literal] = {}
        ordered = [(atom, test) for atom, test in self._tests if is_ordered(test)]
        self._ordered = Ordered(ordered) if ordered else None
        for atom, test in self._tests:
            self._place(atom, test)
        self._automaton = _automaton(self._by_literal)
        self._literals: Sequence[Any] = [literal.brief() for literal in self._by_literal.values()]
        # what holds without a literal has no gate: networks, numbers, expressions of any text, the empty text
        gated = not self._unfiltered and not self._networks and not ordered and "" not in self._equals
        gated = gated and all(map(_encodable, self._equals))
        wanted = [*self._by_literal, *self._equals]
        self._gate = Gate(wanted) if gated and wanted else None
        self._nothing = self._sight(frozenset(self._any_value), NONE)
        self._by_equality = {
            text: self._sight(self._nothing.true.union(atoms), NONE) for text, atoms in self._equals.items()
        }
        self._gather_expressions()
        self._literals_only = not (self._unfiltered or self._networks or self._expressions)
        del self._by_literal

    def _gather_expressions(self) -> None:
        """Take the expressions that would be tried on every value, to search for them together."""
        self._expressions: rx.Several | None = None
        tests = {n: self._checks[n].test for n in self._unfiltered if self._checks[n].test.op is Op.REGEX}
        patterns = {n: rx.compiled(test.operand, test.flags) for n, test in tests.items()}
        joined = {n: pattern for n, pattern in patterns.items() if pattern.joinable}
        if not joined:
            return
        with suppress(ValueError):  # too many for one pass: each is tried by itself
            self._expressions = rx.Several(list(joined.values()))
            self._expression_atoms = [self._checks[n].atom for n in joined]
            self._unfiltered = [n for n in self._unfiltered if n not in joined]

    def _place(self, atom: int, test: Test) -> None:
        op = test.op
        if op is Op.NULL or is_ordered(test):
            return
        if op is Op.EXISTS:
            self._any_value.append(atom)
        elif op is Op.CIDR:
            net = network(test.operand)
            self._networks.append((atom, net.version, int(net.netmask), int(net.network_address)))
        elif op is Op.REGEX:
            self._check(_Check(atom, test, None, strict=True), literals.required(test.operand))
        elif op is Op.WILDCARD:
            check = _Check(atom, test, folded(test.operand, test.cased), strict=test.cased)
            part = literals.longest_part(test.operand)
            self._check(check, (part,) if part else ())
        elif op in (Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH):
            self._place_text(atom, test)
        else:
            self._check(_Check(atom, test, None, strict=False), ())

    def _place_text(self, atom: int, test: Test) -> None:
        text = folded(test.operand, False)
        if test.cased:
            check = _Check(atom, test, folded(test.operand, True), strict=True)
            self._check(check, (text,) if text else ())
        elif test.op is Op.EQUALS:
            self._equals.setdefault(text, []).append(atom)
        elif not text:
            self._any_value.append(atom)
        elif not _encodable(text):
            self._check(_Check(atom, test, None, strict=False), ())
        else:
            literal = self._literal(text)
            if test.op is Op.CONTAINS:
                literal.anywhere += (atom,)
            elif test.op is Op.STARTSWITH:
                literal.start += (atom,)
            else:
                literal.end += (atom,)

    def _check(self, check: _Check, needed: tuple[str, ...]) -> None:
        """Try `check` where one of the literals occurs; without literals on every value."""
        number = len(self._checks)
        self._checks.append(check)
        if not needed or not all(map(_encodable, needed)):
            self._unfiltered.append(number)
            return
        for text in needed:
            self._literal(text).checks += (number,)
        if check.strict:
            # in text beyond ASCII, folding may compose what the check sees apart: it is tried on all of it
            self._strict.append(number)

    def _literal(self, text: str) -> _Literal:
        known = self._by_literal.get(text)
        if known is None:
            known = self._by_literal[text] = _Literal()
        return known


def _encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def _automaton(texts: Collection[str]) -> Any:
    """An automaton that finds every occurrence of the texts, also overlapping ones; None for no texts."""
    if not texts:
        return None
    from ahocorasick_rs import AhoCorasick

    return AhoCorasick(list(texts), store_patterns=False)
