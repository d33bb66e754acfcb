"""What is certain about a predicate whatever the event: that it never holds, always holds, or costs much.

Only what follows from the meaning of tests (`soc.detect.predicate`) is said, also for fields with several
values: `a` and `b` in one field are possible there, `a` and nothing are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from soc.detect import literals, pcre
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, folded, tests, text_test

_TEXT = (Op.EQUALS, Op.STARTSWITH, Op.ENDSWITH, Op.CONTAINS)
MAX_KNOWN = 500
"""Tests that are compared with each other; beyond, nothing is said."""

Known = Sequence[Test]


def implies(one: Test, other: Test) -> bool:
    """Whether wherever `one` is true, `other` is certainly true."""
    if one == other:
        return True
    if one.field != other.field or one.op is Op.NULL or other.op is Op.NULL:
        return False
    if other.op is Op.EXISTS:
        return True
    if one.op not in _TEXT or other.op not in _TEXT or (other.cased and not one.cased):
        return False
    exact = other.cased
    left, right = str(folded(one.operand, exact)), str(folded(other.operand, exact))
    if one.op is Op.EQUALS:
        return text_test(other.op, left, right)
    if other.op is Op.CONTAINS:
        return right in left
    return one.op is other.op and text_test(other.op, left, right)


def excludes(one: Test, other: Test) -> bool:
    """Whether both are certainly never true of one event."""
    pair = {one.op, other.op}
    return one.field == other.field and one.field is not None and Op.NULL in pair and len(pair) == 2


def never(predicate: Predicate) -> bool:
    """Whether no event can satisfy it, as far as that is certain."""
    return _refuted(predicate, (), ())


def always(predicate: Predicate) -> bool:
    """Whether every event satisfies it, as far as that is certain."""
    return _entailed(predicate, (), ())


def _literals(parts: Sequence[Predicate]) -> tuple[list[Test], list[Test]]:
    """Tests that must be true, and tests that must be false, where all of the parts hold."""
    true: list[Test] = []
    false: list[Test] = []
    for part in parts:
        if isinstance(part, Test):
            true.append(part)
        elif isinstance(part, And):
            more, less = _literals(part.parts)
            true, false = true + more, false + less
        elif isinstance(part, Not):
            inner = part.part.parts if isinstance(part.part, Or) else (part.part,)
            false += [one for one in inner if isinstance(one, Test)]
            for one in inner:
                if isinstance(one, Not) and isinstance(one.part, Test):
                    true.append(one.part)
    return true, false


def _refuted(predicate: Predicate, true: Known, false: Known) -> bool:
    """Whether it cannot hold where the tests in `true` are true and those in `false` are false."""
    if isinstance(predicate, Test):
        return any(implies(predicate, one) for one in false) or any(excludes(predicate, one) for one in true)
    if isinstance(predicate, Not):
        return _entailed(predicate.part, true, false)
    if isinstance(predicate, Or):
        return all(_refuted(part, true, false) for part in predicate.parts)
    more, less = _literals(predicate.parts)
    true, false = [*true, *more], [*false, *less]
    if len(true) + len(false) > MAX_KNOWN:
        return False
    return any(_refuted(part, true, false) for part in predicate.parts)


def _entailed(predicate: Predicate, true: Known, false: Known) -> bool:
    """Whether it must hold where the tests in `true` are true and those in `false` are false."""
    if isinstance(predicate, Test):
        if predicate.field is None and predicate.op is Op.EXISTS:
            return True  # any event has a value
        none = predicate.op is Op.NULL and any(
            one.field == predicate.field and one.op is Op.EXISTS for one in false
        )
        some = predicate.op is Op.EXISTS and any(
            one.field == predicate.field and one.op is Op.NULL for one in false
        )
        return none or some or any(implies(one, predicate) for one in true)
    if isinstance(predicate, Not):
        return _refuted(predicate.part, true, false)
    if isinstance(predicate, And):
        return all(_entailed(part, true, false) for part in predicate.parts)
    # one of the parts must hold, if it does wherever none of the others does
    for number, part in enumerate(predicate.parts):
        others = [Not(one) for at, one in enumerate(predicate.parts) if at != number]
        more, less = _literals(others)
        if len(more) + len(less) > MAX_KNOWN:
            return False
        if _entailed(part, [*true, *more], [*false, *less]):
            return True
    return False


def several_needed(predicate: Predicate) -> Iterator[tuple[Test, Test]]:
    """Pairs of tests that only a field with several values can pass at once: two texts that it must equal."""
    if isinstance(predicate, Or):
        for part in predicate.parts:
            yield from several_needed(part)
    if not isinstance(predicate, And):
        return
    true, _ = _literals(predicate.parts)
    by_field: dict[str, list[Test]] = {}
    for test in true:
        if test.field is not None and test.op in _TEXT:
            by_field.setdefault(test.field, []).append(test)
    for found in by_field.values():
        for number, one in enumerate(found):
            for other in found[number + 1 :]:
                if _apart(one, other):
                    yield one, other
    for part in predicate.parts:
        if isinstance(part, Or):
            yield from several_needed(part)


def _apart(one: Test, other: Test) -> bool:
    """Whether no single value passes both."""
    left, right = str(folded(one.operand, False)), str(folded(other.operand, False))
    if one.op is Op.EQUALS:
        return not text_test(other.op, left, right)
    if other.op is Op.EQUALS:
        return not text_test(one.op, right, left)
    if one.op is other.op is Op.STARTSWITH:
        return not (left.startswith(right) or right.startswith(left))
    if one.op is other.op is Op.ENDSWITH:
        return not (left.endswith(right) or right.endswith(left))
    return False


def expensive(predicate: Predicate) -> Iterator[tuple[Test, str]]:
    """Regular expressions that cannot be run in linear time, each with what makes it so."""
    for test in dict.fromkeys(tests(predicate)):
        if test.op is not Op.REGEX:
            continue
        why = pcre.backtracks_for(test.operand, test.flags)
        if why and pcre.nested_repeat(test.operand, test.flags):
            yield test, f"it needs backtracking for {why}, and repeats repeats: it may run out of time"
        elif why:
            yield test, f"it needs the slower engine for {why}"


def unfiltered(predicate: Predicate) -> Iterator[Test]:
    """Regular expressions without a text that must occur: they are tried on every value of their field."""
    for test in dict.fromkeys(tests(predicate)):
        if test.op is Op.REGEX and not literals.required(test.operand):
            yield test


def unfit_operands(predicate: Predicate) -> Iterator[tuple[Test, str]]:
    """Tests that the type of their field makes impossible: `source.ip` is never `localhost`."""
    from soc import ecs
    from soc.detect.predicate import as_number, as_time

    for test in dict.fromkeys(tests(predicate)):
        if test.op is not Op.EQUALS or test.field is None or not str(test.operand):
            continue
        kind = ecs.type_of(test.field)
        operand = str(test.operand)
        if kind == "ip" and not _is_address(operand):
            yield test, f"{test.field} holds addresses, and {operand!r} is none"
        elif kind in {"long", "double"} and as_number(operand) is None:
            yield test, f"{test.field} holds numbers, and {operand!r} is none"
        elif kind == "date" and as_time(operand) is None:
            yield test, f"{test.field} holds times, and {operand!r} is none"
        elif kind == "boolean" and operand.lower() not in {"true", "false"}:
            yield test, f"{test.field} is true or false, never {operand!r}"


def _is_address(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
