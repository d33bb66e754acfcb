"""Short ids that can be said on the phone and typed by a unique prefix: `A-7F3K`, `R-0QW2`.

The letters are Crockford's base 32 (https://www.crockford.com/base32.html): no I, L, O or U, so nothing can
be taken for another. What people write is read kindly: lower case, O for 0, I and L for 1, with or without
the letter of the noun.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable

from soc.errors import UsageError

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SHORTEST = 4
"""Characters of an id after its letter; it grows by one where a shorter one is taken."""
LONGEST = 26
SHOWN = 10
"""How many candidates an ambiguous prefix lists."""

_KIND = str.maketrans({"O": "0", "I": "1", "L": "1"})


class NotFoundError(UsageError):
    """No thing has this id."""


class AmbiguousError(UsageError):
    """Several ids begin with what was typed; `candidates` are the first of them."""

    def __init__(self, message: str, candidates: list[str], *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.candidates = candidates


def digest(*parts: str) -> str:
    """26 characters that stand for `parts`: the same parts give the same characters, in any process."""
    joined = b"\0".join(part.encode("utf-8", "surrogatepass") for part in parts)
    number = int.from_bytes(hashlib.blake2b(joined, digest_size=17).digest(), "big")
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(0, LONGEST * 5, 5))


def shortest(letter: str, full: str, taken: Callable[[str], bool]) -> str:
    """The shortest id out of the characters `full` that nothing else has taken: `A-7F3K`, else `A-7F3K2`…"""
    for length in range(SHORTEST, len(full)):
        candidate = f"{letter}-{full[:length]}"
        if not taken(candidate):
            return candidate
    return f"{letter}-{full}"


def draw(letter: str, taken: Callable[[str], bool]) -> str:
    """A new random id, for things that nothing else names (a run, a piece of evidence)."""
    return shortest(letter, digest(secrets.token_hex(16)), taken)


def normal(letter: str, text: str) -> str:
    """What a person typed as an id or prefix, in its standard form: `7f3k` and `a-7f3k` are `A-7F3K`.

    Raises `UsageError` for text that cannot be an id of this noun.
    """
    typed = text.strip().upper()
    rest = typed.removeprefix(f"{letter}-")
    rest = rest.translate(_KIND)
    if not rest or len(rest) > LONGEST or any(character not in ALPHABET for character in rest):
        raise UsageError(f"{text[:40]!r} is not an id", hint=f"an id looks like {letter}-7F3K")
    return f"{letter}-{rest}"


def _read_as(letter: str, text: str) -> str:
    """What was read for letters that ids do not have, in words; empty where there are none."""
    typed = text.strip().upper().removeprefix(f"{letter}-")
    read = [
        f"{sign} as {typed_as}" for sign, typed_as in (("O", "0"), ("I", "1"), ("L", "1")) if sign in typed
    ]
    return f" (an id has no O, I or L: {', '.join(read)} was read)" if read else ""


def resolve(
    letter: str,
    text: str,
    *,
    exists: Callable[[str], bool],
    beginning_with: Callable[[str], Iterable[str]],
    what: str,
) -> str:
    """The one id that `text` names: itself, or the only one that begins with it.

    `exists` asks for one id, `beginning_with` gives the ids with a prefix; `what` is the noun for messages.
    Raises `NotFoundError` and `AmbiguousError`.
    """
    wanted = normal(letter, text)
    if exists(wanted):
        return wanted
    found = sorted(set(beginning_with(wanted)))
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFoundError(f"there is no {what} {wanted}{_read_as(letter, text)}", hint=f"soc {what} list")
    listed = ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
    raise AmbiguousError(
        f"{wanted} is the beginning of {len(found)} ids: {listed}",
        found[:SHOWN],
        hint="type one more character",
    )
