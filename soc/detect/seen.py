"""What one value makes true, and what only a closer look could tell."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from soc.detect.predicate import Test
from soc.detect.regex import compiled

NONE: frozenset[int] = frozenset()


class Sight:
    """The atoms that hold for a value, and those that could not be decided in time.

    `asks`: regular expressions that were not tried yet, by atom; they are tried on `text` when a rule that
    may hold depends on them. A sight without such questions is one object for all values that make the same
    true. `blank`: nothing holds or may hold. `opens` and `epoch` belong to `soc.detect.gates`.
    """

    __slots__ = ("asks", "blank", "epoch", "opens", "text", "true", "undecided")

    def __init__(
        self,
        true: frozenset[int],
        undecided: frozenset[int] = NONE,
        asks: Mapping[int, Test] | None = None,
        text: str = "",
    ) -> None:
        self.true = true
        self.undecided = undecided
        self.asks = dict(asks) if asks else None
        self.text = text
        self.blank = not (true or undecided or asks)
        self.opens: frozenset[int] = NONE
        self.epoch: object = None

    def possible(self) -> frozenset[int]:
        """The atoms that hold or may hold."""
        if not self.asks:
            return self.true | self.undecided if self.undecided else self.true
        return self.true.union(self.undecided, self.asks)

    def answer(self, atoms: AbstractSet[int]) -> None:
        """Try those of the open expressions that are among `atoms`."""
        asks = self.asks
        if not asks:
            return
        for atom in asks.keys() & atoms:
            test = asks.pop(atom)
            found = compiled(test.operand, test.flags).search(self.text)
            if found:
                self.true |= {atom}
            elif found is None:
                self.undecided |= {atom}
        if not asks:
            self.asks = None

    def settle(self) -> None:
        """Try all that is open."""
        if self.asks:
            self.answer(self.asks.keys())
