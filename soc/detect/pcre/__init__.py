"""Regular expressions as PCRE2 reads them, written anew for the two engines that run them here.

Rules are written in the syntax of PCRE (pcre2pattern(3); UTF mode, without UCP), which no engine here reads:
RE2 and the `regex` module differ from it, and from each other, in what `$`, `\\s`, `\\b`, letters without
case and a dozen escapes mean. So a pattern is parsed, and each engine is given an expression in which nothing
is left to its own taste: classes are spelled out, case is spelled out. What RE2 cannot do in linear time
(`NotLinearError` says what) is for the backtracking engine; what PCRE does not know is an error with its
column.
"""

from __future__ import annotations

from soc.detect.pcre.reader import PatternSyntaxError as PatternSyntaxError
from soc.detect.pcre.reader import Reader
from soc.detect.pcre.tree import Choice, Concatenation, Group, Node, Repeat
from soc.detect.pcre.writers import Backtracking, Linear
from soc.detect.pcre.writers import NotLinearError as NotLinearError


def for_re2(pattern: str, flags: str = "") -> str:
    """The expression for RE2. Raises `PatternSyntaxError`, or `NotLinearError` when it needs backtracking."""
    return Linear().node(Reader(pattern, flags).complete(), True, 0)


def for_regex(pattern: str, flags: str = "") -> tuple[str, bool]:
    """The expression for the `regex` module with its flag VERSION0, and whether it is for the flag ASCII too.

    Raises `PatternSyntaxError`.
    """
    reader = Reader(pattern, flags)
    node = reader.complete()
    return Backtracking(unicode=reader.unicode).node(node), not reader.unicode


def backtracks_for(pattern: str, flags: str = "") -> str:
    """What a pattern needs the backtracking engine for; "" when it does not. Raises `PatternSyntaxError`."""
    try:
        for_re2(pattern, flags)
    except NotLinearError as why:
        return str(why)
    return ""


def nested_repeat(pattern: str, flags: str = "") -> bool:
    """Whether something without bound stands in another: `(a+)*`. Raises `PatternSyntaxError`."""
    return _nested(Reader(pattern, flags).complete(), False)


def _nested(node: Node, inside: bool) -> bool:
    if isinstance(node, Repeat):
        endless = node.most is None and node.mode != "+"
        return (inside and endless) or _nested(node.body, inside or endless)
    if isinstance(node, Group):
        return _nested(node.body, inside and node.opening != "(?>")
    if isinstance(node, Concatenation):
        return any(_nested(item, inside) for item in node.items)
    return isinstance(node, Choice) and any(_nested(branch, inside) for branch in node.branches)
