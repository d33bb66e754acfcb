"""Which rules may be true of an event: found from what holds, by gates that are learnt from the stream.

The *gate* of a rule is a set of atoms of which one must hold for the rule to hold. A rule is looked at only
when its gate opens, so a good gate seldom opens in vain. Most rules have several to choose from: by what
is known of tests in general at first (`trees.cost`), and later by how often each atom held in this very
stream. What is learnt changes how long it takes to decide, never what is decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from soc.detect.seen import NONE, Sight
from soc.detect.trees import Tree, needed

FIRST_LESSON = 64
"""After how many combinations gates are first chosen anew; then after twice as many, and so on."""

EVERY = 8
"""After the first `FULLY` combinations, only one of so many is counted."""

FULLY = 256

TRUST = 32
"""How many observations the general estimate of an atom is worth."""

IN_VAIN = 64
"""A gate is chosen anew when it opened in vain for one combination in so many."""


class Gates:
    """The gates of numbered rules, given as trees of atoms.

    `costs`: for each atom how often it holds, roughly, in 1000 combinations; None where it makes no gate.
    `ungated`: the rules that can hold without any atom.
    """

    def __init__(self, trees: Sequence[Tree], costs: Sequence[float | None]) -> None:
        self._trees = trees
        self._costs = costs
        self._chosen: list[frozenset[int]] = []
        self._opens: dict[int, set[int]] = {}
        self.ungated: set[int] = set()
        self._counted: Counter[int] = Counter()
        self._combinations = 0
        self._noted = 0
        self._lesson = FIRST_LESSON
        self._vain: Counter[int] = Counter()
        self._epoch = object()
        for number, tree in enumerate(trees):
            gate = needed(tree, costs)
            if gate is None:
                self.ungated.add(number)
            self._chosen.append(NONE)
            self._choose(number, NONE if gate is None else gate[1])

    def opened(self, sights: Iterable[Sight]) -> set[int]:
        """The numbers of the rules whose gate is opened by what these sights hold or may hold."""
        epoch = self._epoch
        out: set[int] = set()
        for sight in sights:
            if sight.epoch is not epoch:
                self._look(sight)
            out |= sight.opens
        return out

    def _look(self, sight: Sight) -> None:
        known = self._opens
        found = [known[atom] for atom in sight.possible() if atom in known]
        sight.opens = frozenset().union(*found) if found else NONE
        sight.epoch = self._epoch

    # ---------------------------------------------------------------- learning

    def in_vain(self, number: int) -> None:
        """Note that a rule was opened and does not hold."""
        self._vain[number] += 1

    def note(self, sights: Iterable[Sight]) -> None:
        """Learn from a new combination of sights."""
        self._combinations += 1
        if self._combinations > FULLY and self._combinations % EVERY:
            return
        self._noted += 1
        for sight in sights:
            self._counted.update(sight.possible())
        if self._combinations >= self._lesson:
            self._lesson *= 2
            self._learn()

    def _learn(self) -> None:
        """Choose the gates anew that opened in vain too often."""
        costs = _Observed(self._costs, self._counted, self._noted)
        changed = False
        for number, count in self._vain.items():
            if count * IN_VAIN < self._combinations or number in self.ungated:
                continue
            gate = needed(self._trees[number], costs)
            if gate is not None and gate[1] != self._chosen[number]:
                self._choose(number, gate[1])
                changed = True
        self._vain.clear()
        if changed:
            self._epoch = object()

    def _choose(self, number: int, gate: frozenset[int]) -> None:
        for atom in self._chosen[number]:
            self._opens[atom].discard(number)
        for atom in gate:
            self._opens.setdefault(atom, set()).add(number)
        self._chosen[number] = gate


class _Observed(Sequence[float | None]):
    """The costs of atoms after so many observations."""

    def __init__(self, general: Sequence[float | None], counted: Counter[int], noted: int) -> None:
        self._general = general
        self._counted = counted
        self._noted = noted

    def __len__(self) -> int:
        return len(self._general)

    def __getitem__(self, atom: int) -> float | None:  # type: ignore[override] # slices are not asked for
        general = self._general[atom]
        if general is None:
            return None
        return (1000.0 * self._counted[atom] + TRUST * general) / (self._noted + TRUST)
