"""From the tree to an expression for each engine."""

from __future__ import annotations

from collections.abc import Sequence

from soc.detect.pcre.characters import LAST, complement, merged, orbit
from soc.detect.pcre.tree import (
    Assertion,
    Choice,
    Class,
    Concatenation,
    Condition,
    Group,
    Node,
    Repeat,
    Text,
    least_width,
)

_PLAIN_GROUPS = ("(", "(?:")
_REASONS = {
    "(?=": "look-ahead", "(?!": "look-ahead", "(?<=": "look-behind", "(?<!": "look-behind",
    "(?>": "an atomic group", "(?|": "a branch reset",
}  # fmt: skip


class NotLinearError(Exception):
    """The expression needs the backtracking engine; the text says for what."""


class Writer:
    """What both engines are told in the same words."""

    def point(self, point: int) -> str:
        """A character by its number."""
        raise NotImplementedError

    def quoted(self, char: str) -> str:
        if char.isascii():
            if char.isalnum() or char == "_":
                return char
            return f"\\x{ord(char):02x}" if char < " " or char == "\x7f" else f"\\{char}"
        return self.point(ord(char))

    def text(self, node: Text) -> str:
        if not node.folded:
            return "".join(map(self.quoted, node.text))
        out: list[str] = []
        for char in node.text:
            cases = orbit(char)
            if len(cases) == 1:
                out.append(self.quoted(char))
            elif len(cases) == 2 and char.isascii():
                out.append(f"(?i:{char})")
            else:
                out.append(self.klass(Class(merged((ord(c), ord(c)) for c in cases))))
        return "".join(out).replace(")(?i:", "")

    def klass(self, node: Class) -> str:
        if not node.ranges and not node.properties:
            return "(?s:.)" if node.negated else self.nothing()
        if node.ranges == ((0, LAST),):
            return self.nothing() if node.negated else "(?s:.)"
        if len(node.ranges) == 1 and not node.properties and not node.negated:
            low, high = node.ranges[0]
            if low == high:
                return self.quoted(chr(low))
        inner = "".join(
            self.member(low) if low == high else f"{self.member(low)}-{self.member(high)}"
            for low, high in node.ranges
        )
        return f"[{'^' if node.negated else ''}{inner}{''.join(node.properties)}]"

    def member(self, point: int) -> str:
        return chr(point) if chr(point).isascii() and chr(point).isalnum() else self.point(point)

    def nothing(self) -> str:
        """What no character is."""
        raise NotImplementedError


class Linear(Writer):
    """The expression for RE2; raises `NotLinearError`.

    `last`: nothing follows the node up to the end of the pattern. `after`: what follows consumes at least
    so many characters.
    """

    def point(self, point: int) -> str:
        return f"\\x{{{point:x}}}"

    def nothing(self) -> str:
        return "[^\\x{0}-\\x{10ffff}]"

    def node(self, node: Node, last: bool, after: int) -> str:
        if isinstance(node, Text):
            return self.text(node)
        if isinstance(node, Class):
            return self.klass(node)
        if isinstance(node, Assertion):
            return self.assertion(node.kind, last, after)
        if isinstance(node, Concatenation):
            return self.sequence(node.items, last, after)
        if isinstance(node, Choice):
            return "(?:" + "|".join(self.node(b, last, after) for b in node.branches) + ")"
        if isinstance(node, Repeat):
            return self.repeat(node)
        if isinstance(node, Group):
            if node.opening not in _PLAIN_GROUPS and not node.opening.startswith("(?P<"):
                raise NotLinearError(_REASONS[node.opening])
            return f"(?:{self.node(node.body, last, after)})"
        raise NotLinearError("a condition" if isinstance(node, Condition) else node.why)

    def sequence(self, items: Sequence[Node], last: bool, after: int) -> str:
        out: list[str] = []
        for item in reversed(items):
            out.append(self.node(item, last, after))
            last = False
            after += least_width(item)
        return "".join(reversed(out))

    def assertion(self, kind: str, last: bool, after: int) -> str:
        if kind == "end":
            # PCRE: also before a line end that closes the text. RE2 cannot look ahead, but it may consume it
            if not last:
                raise NotLinearError("something after $")
            return "\\n?\\z"
        if kind == "not_word":
            raise NotLinearError("\\B")  # RE2 finds it within the bytes of a character beyond ASCII
        if kind == "line_start":
            # PCRE: not behind a line end that closes the text, where nothing is left to consume
            if not after:
                raise NotLinearError("^ with nothing after it, by lines")
            return "(?m:^)"
        return {
            "start": "\\A", "very_end": "\\z", "line_end": "(?m:$)", "word": "\\b",
        }[kind]  # fmt: skip

    def repeat(self, node: Repeat) -> str:
        if node.mode == "+":
            raise NotLinearError("a possessive quantifier")
        if max(node.least, node.most or 0) > 1000:
            raise NotLinearError("more than 1000 repetitions")
        return f"(?:{self.node(node.body, False, 0)}){_count(node)}{node.mode}"


class Backtracking(Writer):
    """The expression for the `regex` module.

    Under its flag ASCII, properties, `\\X` and references without case end at ASCII: a pattern with one
    (`unicode`) goes without, and then `\\b` and case are spelled out as well.
    """

    def __init__(self, *, unicode: bool) -> None:
        self.unicode = unicode

    def text(self, node: Text) -> str:
        if not self.unicode or not node.folded:
            return super().text(node)
        return "".join(self.klass(Class(merged((ord(c), ord(c)) for c in orbit(char)))) for char in node.text)

    def klass(self, node: Class) -> str:
        """Never negated: the engine takes `[^a]|[^b]` for `[^ab]`."""
        if not node.negated:
            return super().klass(node)
        if not node.properties:
            return super().klass(Class(complement(node.ranges)))
        return f"(?!{super().klass(Class(node.ranges, node.properties))})(?s:.)"

    def point(self, point: int) -> str:
        if point < 0x100:
            return f"\\x{point:02x}"
        return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"

    def nothing(self) -> str:
        return "(?!)"

    def node(self, node: Node) -> str:
        if isinstance(node, Text):
            return self.text(node)
        if isinstance(node, Class):
            return self.klass(node)
        if isinstance(node, Assertion):
            if self.unicode and node.kind in {"word", "not_word"}:
                return _BOUNDARY if node.kind == "word" else f"(?!{_BOUNDARY})"
            return {
                "start": "\\A", "very_end": "\\Z", "end": "(?=\\n?\\Z)", "line_end": "(?=\\n|\\Z)",
                "line_start": "(?:\\A|(?<=\\n)(?!\\Z))", "word": "\\b", "not_word": "\\B",
            }[node.kind]  # fmt: skip
        if isinstance(node, Concatenation):
            return "".join(map(self.node, node.items))
        if isinstance(node, Choice):
            return "|".join(map(self.node, node.branches))
        if isinstance(node, Repeat):
            inner = self.node(node.body)
            body = inner if isinstance(node.body, Group) else f"(?:{inner})"
            return f"{body}{_count(node)}{node.mode}"
        if isinstance(node, Group):
            return f"{node.opening}{self.node(node.body)})"
        if isinstance(node, Condition):
            return f"(?({node.name}){self.node(node.body)})"
        return node.text


_BOUNDARY = "(?:(?<=[0-9A-Za-z_])(?![0-9A-Za-z_])|(?<![0-9A-Za-z_])(?=[0-9A-Za-z_]))"


def _count(node: Repeat) -> str:
    if (node.least, node.most) in {(0, None), (1, None), (0, 1)}:
        return {(0, None): "*", (1, None): "+", (0, 1): "?"}[node.least, node.most]
    most = "" if node.most is None else node.most
    return f"{{{node.least}}}" if node.least == node.most else f"{{{node.least},{most}}}"
