"""Text for people: joined where an author wrapped it, wrapped where the reader's terminal ends."""

from __future__ import annotations

from soc.playbook.prose import unwrap, wrapped

BY_HAND = """\
Rebuild the machine from a known image, and do not clean it; restore
data from before the attack, after it was scanned.
1. Change the passwords of everybody who signed in there, since they
   may have been read.
2. Watch it.
Account: an.nguyen
soc alert close A-1 --reason true-positive --note "a note that is rather long for a terminal of eighty"
"""


def test_joins_what_was_wrapped() -> None:
    """Lines that the editor's width ended are joined; items, labels and commands stay lines of their own."""
    text = BY_HAND.rsplit("soc alert", 1)[0]
    first = (
        "Rebuild the machine from a known image, and do not clean it; restore data from before the attack, "
        "after it was scanned."
    )
    assert unwrap(text).splitlines() == [
        first,
        "1. Change the passwords of everybody who signed in there, since they may have been read.",
        "2. Watch it.",
        "Account: an.nguyen",
    ]
    assert unwrap("") == ""
    assert unwrap("One\n\ntwo\n") == "One\n\ntwo"


def test_wraps_between_words() -> None:
    """No word and no command is broken; items hang."""
    lines = wrapped(unwrap(BY_HAND), 60, "  ").splitlines()
    assert all(len(line) <= 60 for line in lines if "soc alert" not in line)
    assert any(line.startswith("     ") for line in lines)
    assert lines[-1].endswith('a terminal of eighty"')
    assert "/srv/reports/of/a/long/path/that/goes/on/and/on/and/on" in wrapped(
        "see /srv/reports/of/a/long/path/that/goes/on/and/on/and/on", 40
    )
