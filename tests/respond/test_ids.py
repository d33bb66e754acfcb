"""Short ids: drawn, told apart, and found again by what a person types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.errors import UsageError
from soc.respond import ids
from soc.respond.ids import AmbiguousError, NotFoundError


def resolve(text: str, known: set[str]) -> str:
    """Resolve among these ids."""
    return ids.resolve(
        "A",
        text,
        exists=known.__contains__,
        beginning_with=lambda prefix: [i for i in known if i.startswith(prefix)],
        what="alert",
    )


def test_digest_is_the_same_in_any_process() -> None:
    """A fixed value: ids of an older release stay valid."""
    assert ids.digest("rule", "group", "event") == ids.digest("rule", "group", "event")
    assert ids.digest("a") == "2F3FN8MEDW5FBC3XDAKQQX7WWZ"
    assert ids.digest("a", "b") != ids.digest("ab")


@given(st.lists(st.text()))
def test_digest_has_only_letters_that_cannot_be_confused(parts: list[str]) -> None:
    """26 characters, none of I, L, O, U."""
    found = ids.digest(*parts)
    assert len(found) == ids.LONGEST
    assert set(found) <= set(ids.ALPHABET)
    assert not set("ILOU") & set(ids.ALPHABET)


def test_shortest_grows_where_taken() -> None:
    """Four characters, more only where another has them."""
    full = ids.digest("x")
    taken: set[str] = set()
    for length in (4, 5, 6):
        found = ids.shortest("A", full, taken.__contains__)
        assert found == f"A-{full[:length]}"
        taken.add(found)
    assert ids.shortest("A", full, lambda _: True) == f"A-{full}"


def test_drawn_ids_differ() -> None:
    """Random ids, checked against those that are there."""
    taken: set[str] = set()
    for _ in range(500):
        found = ids.draw("R", taken.__contains__)
        assert found.startswith("R-")
        taken.add(found)
    assert len(taken) == 500


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("A-7F3K", "A-7F3K"),
        ("7f3k", "A-7F3K"),
        (" a-7f3k ", "A-7F3K"),
        ("7fo1", "A-7F01"),
        ("7FIL", "A-7F11"),
    ],
)
def test_what_people_type(typed: str, meant: str) -> None:
    """Lower case, letters that look like digits, and no letter of the noun are all understood."""
    assert ids.normal("A", typed) == meant


@pytest.mark.parametrize("typed", ["", "A-", "R-7F3K", "../x", "7F3K;", "Ä", "7" * 40, "\x1b[31m"])
def test_what_cannot_be_an_id(typed: str) -> None:
    """Anything else is a usage error that shows what an id looks like."""
    with pytest.raises(UsageError, match="is not an id") as caught:
        ids.normal("A", typed)
    assert "A-7F3K" in caught.value.hint


class TestResolve:
    KNOWN = frozenset({"A-7F3K", "A-7F3K2", "A-7G00", "A-Q2M0"})

    def test_unique_prefix(self) -> None:
        """The beginning is enough where it is the only one."""
        assert resolve("q", set(self.KNOWN)) == "A-Q2M0"

    def test_whole_id_wins_over_longer_ones(self) -> None:
        """An id that is the beginning of another one is still that id."""
        assert resolve("7f3k", set(self.KNOWN)) == "A-7F3K"

    def test_ambiguous_lists_candidates(self) -> None:
        """All candidates, sorted."""
        with pytest.raises(AmbiguousError, match="A-7F3K, A-7F3K2, A-7G00") as caught:
            resolve("7", set(self.KNOWN))
        assert caught.value.candidates == ["A-7F3K", "A-7F3K2", "A-7G00"]
        assert caught.value.exit_code == 2

    def test_long_lists_are_cut(self) -> None:
        """Ten are shown, the rest is a number."""
        with pytest.raises(AmbiguousError, match="and 22 more"):
            resolve("7", {f"A-7{c}AA" for c in ids.ALPHABET})

    def test_unknown(self) -> None:
        """Nothing begins so."""
        with pytest.raises(NotFoundError, match="no alert A-ZZ"):
            resolve("zz", set(self.KNOWN))
