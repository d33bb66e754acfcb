"""From the text of a pattern to its tree: the syntax of pcre2pattern(3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from soc.detect.pcre.characters import ESCAPED, LAST, NEWLINE, POSIX, complement, in_any_case, merged
from soc.detect.pcre.tree import (
    Assertion,
    Choice,
    Class,
    Concatenation,
    Condition,
    Group,
    Node,
    Range,
    Repeat,
    Special,
    Text,
)

MAX_REPEAT = 65535
"""Largest number in a quantifier of PCRE."""

MAX_DEPTH = 100
"""Deepest nesting of groups."""


class PatternSyntaxError(ValueError):
    """A pattern that PCRE does not accept, or that is not supported; `at` is the character, from 0."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(f"{message} at character {at + 1}")


@dataclass(frozen=True, slots=True)
class _Flags:
    i: bool = False
    m: bool = False
    s: bool = False
    x: bool = False
    U: bool = False
    n: bool = False

    def changed(self, on: str, off: str) -> _Flags:
        return replace(self, **dict.fromkeys(on, True) | dict.fromkeys(off, False))


_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "a": "\a", "e": "\x1b"}
_PLACES = {
    "A": "start", "G": "start", "z": "very_end", "Z": "end", "b": "word", "B": "not_word",
}  # fmt: skip
_HEX = "0123456789abcdefABCDEF"


class Reader:
    """Reads one pattern; an item, a branch, a group at a time."""

    def __init__(self, pattern: str, flags: str) -> None:
        self.text = pattern
        self.at = 0
        self.flags = _Flags().changed("".join(c for c in flags if c in "ims"), "")
        self.unicode = False  # whether a property, \X or a reference without case was read
        self.names: set[str] = set()
        self.groups = 0
        self.depth = 0
        self.total = _count_groups(pattern)

    def fail(self, message: str, at: int | None = None) -> PatternSyntaxError:
        return PatternSyntaxError(message, self.at if at is None else at)

    def peek(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def take(self, text: str) -> bool:
        if self.peek(text):
            self.at += len(text)
            return True
        return False

    def complete(self) -> Node:
        """The whole pattern."""
        try:
            node = self.choice()
        except IndexError:
            raise PatternSyntaxError("the pattern ends too early", len(self.text)) from None
        if self.at < len(self.text):
            raise self.fail("a closing parenthesis without an opening one")
        return node

    def choice(self) -> Node:
        """Branches up to the end of the group; flags that change within it end with it."""
        outside = self.flags
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail("groups are nested too deep")
        branches = [self.branch()]
        while self.take("|"):
            branches.append(self.branch())
        self.flags = outside
        self.depth -= 1
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def branch(self) -> Node:
        items: list[Node] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            if self.flags.x and self.skip_blank():
                continue
            found = self.item()
            if found:
                items += found[:-1]
                items.append(self.repeated(found[-1]))
        return items[0] if len(items) == 1 else Concatenation(tuple(items))

    def skip_blank(self) -> bool:
        if self.text[self.at] in " \t\n\r\f\v":
            self.at += 1
        elif self.text[self.at] == "#":
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end + 1
        else:
            return False
        return True

    def item(self) -> list[Node] | None:
        """The next item, or several characters of a quotation; None for what only changes how to read on."""
        char = self.text[self.at]
        if char == "\\":
            return self.escape()
        if char == "(":
            node = self.group()
            return None if node is None else [node]
        if char == "[":
            return [self.klass()]
        self.at += 1
        if char in "*+?" or (char == "{" and self.quantifier(at=self.at - 1)):
            raise self.fail("nothing to repeat", self.at - 1)
        if char == ".":
            return [Class((), negated=True) if self.flags.s else Class(NEWLINE, negated=True)]
        if char == "^":
            return [Assertion("line_start" if self.flags.m else "start")]
        if char == "$":
            return [Assertion("line_end" if self.flags.m else "end")]
        return [Text(char, self.flags.i)]

    # -------------------------------------------------------------- quantifiers

    def quantifier(self, at: int) -> tuple[int, int | None, int] | None:
        """The quantifier at a place: least, most, and where it ends; None when there is none."""
        if at >= len(self.text):
            return None
        char = self.text[at]
        if char in "*+?":
            return {"*": (0, None, at + 1), "+": (1, None, at + 1), "?": (0, 1, at + 1)}[char]
        end = self.text.find("}", at) if char == "{" else -1
        if end < 0:
            return None
        least, comma, most = self.text[at + 1 : end].partition(",")
        if not _digits(least or "0") or not _digits(most or "0") or not (least or most):
            return None  # not a quantifier: the brace stands for itself
        low = int(least or 0)
        high = low if not comma else (int(most) if most else None)
        if max(low, high or 0) > MAX_REPEAT:
            raise self.fail("the number in the quantifier is too big", at)
        if high is not None and high < low:
            raise self.fail("the numbers of the quantifier are out of order", at)
        return low, high, end + 1

    def repeated(self, node: Node) -> Node:
        """The node, with the quantifier that follows it."""
        self.skip_between()
        found = self.quantifier(self.at)
        if found is None:
            return node
        if isinstance(node, Assertion):
            raise self.fail("nothing to repeat")
        least, most, self.at = found
        mode = "+" if self.take("+") else "?" if self.take("?") else ""
        if self.flags.U and mode != "+":
            mode = "" if mode else "?"
        self.skip_between()
        if self.quantifier(self.at):
            raise self.fail("nothing to repeat")
        return Repeat(node, least, most, mode)

    def skip_between(self) -> None:
        """Comments, and blanks where they count for nothing."""
        while self.at < len(self.text):
            if self.peek("(?#"):
                self.group()
            elif not self.flags.x or not self.skip_blank():
                return

    # -------------------------------------------------------------- escapes

    def escape(self) -> list[Node] | None:
        begun = self.at
        self.at += 1
        if self.at >= len(self.text):
            raise self.fail("a backslash at the end of the pattern", begun)
        char = self.text[self.at]
        if char == "Q":
            end = self.text.find("\\E", self.at)
            quoted = self.text[self.at + 1 : end if end >= 0 else len(self.text)]
            self.at = end + 2 if end >= 0 else len(self.text)
            return [Text(c, self.flags.i) for c in quoted] or None
        if char in "EK":  # the end of no quotation; where the reported match begins
            self.at += 1
            return None
        if char in _PLACES:
            self.at += 1
            return [Assertion(_PLACES[char])]
        if char == "R":
            self.at += 1
            return [Special(r"(?>\r\n|[\n-\r\x85\u2028\u2029])", "\\R", 1)]
        if char == "X":
            self.at += 1
            self.unicode = True
            return [Special("\\X", "\\X", 1)]
        if char == "N" and not self.text.startswith("N{", self.at):
            self.at += 1
            return [Class(NEWLINE, negated=True)]
        if (reference := self.reference(begun)) is not None:
            return [reference]
        if (klass := self.class_escape()) is not None:
            return [klass]
        return [Text(self.character(begun), self.flags.i)]

    def reference(self, begun: int) -> Node | None:
        """A back reference: `\\1`, `\\g1`, `\\g{-1}`, `\\k<name>` …; None when it is none."""
        char = self.text[self.at]
        if char in "123456789":
            end = self.at
            while end < len(self.text) and _digits(self.text[end]):
                end += 1
            number = int(self.text[self.at : end])
            if number > 9 and number > self.total:
                return None  # an octal number
            self.at = end
            return self.refer(str(number), begun)
        if char not in "gk":
            return None
        self.at += 1
        pairs = {"{": "}", "<": ">", "'": "'"}
        opening = self.text[self.at : self.at + 1]
        if char == "g" and opening in "<'" and opening:
            raise self.fail("a call of a group is not supported", begun)
        if opening in pairs and opening:
            end = self.text.find(pairs[opening], self.at + 1)
            name = self.text[self.at + 1 : end] if end > 0 else ""
            self.at = end + 1
        else:
            end = self.at + (self.text[self.at : self.at + 1] in {"-", "+"})
            while end < len(self.text) and _digits(self.text[end]):
                end += 1
            name = self.text[self.at : end] if char == "g" else ""
            self.at = end
        return self.refer(name, begun)

    def refer(self, name: str, begun: int) -> Node:
        relative = name[:1] in {"-", "+"}
        if _digits(name[1:] if relative else name):
            number = int(name)
            if relative:
                number = self.groups + number + (1 if number < 0 else 0)
            if not 1 <= number <= self.total:
                raise self.fail("a reference to a group that is not there", begun)
            name = str(number)
        elif name not in self.names:
            raise self.fail("a reference to a group that is not there", begun)
        text = f"\\g<{name}>"
        self.unicode = self.unicode or self.flags.i
        return Special(f"(?i:{text})" if self.flags.i else text, "a back reference")

    def class_escape(self) -> Class | None:
        """`\\d`, `\\W`, `\\h`, `\\p{L}` …; None when it is none."""
        char = self.text[self.at]
        if (ranges := ESCAPED.get(char.lower())) is not None:
            self.at += 1
            return Class(ranges if char.islower() else complement(ranges))
        if char not in "pP":
            return None
        begun = self.at - 1
        self.at += 1
        if self.take("{"):
            end = self.text.find("}", self.at)
            name = self.text[self.at : end] if end > 0 else ""
            self.at = end + 1
        else:
            name = self.text[self.at : self.at + 1]
            self.at += 1
        negated = (char == "P") != name.startswith("^")
        name = name.removeprefix("^")
        self.unicode = True
        if not name.replace("_", "").replace("&", "").isalnum() or not name.isascii():
            raise self.fail("not the name of a Unicode property", begun)
        return Class((), (f"\\{'P' if negated else 'p'}{{{name}}}",))

    def character(self, begun: int) -> str:
        """The character that an escape stands for."""
        char = self.text[self.at]
        self.at += 1
        if char in _SIMPLE:
            return _SIMPLE[char]
        if char == "c" and self.at < len(self.text) and " " <= (control := self.text[self.at]) <= "~":
            self.at += 1
            return chr(ord(control.upper()) ^ 64)
        if char == "x":
            return self.number(begun, 16, _HEX, 2)
        if char == "o" and self.peek("{"):
            return self.number(begun, 8, _HEX[:8], 0)
        if char in _HEX[:8]:
            digits = char
            while len(digits) < 3 and self.text[self.at : self.at + 1] in tuple(_HEX[:8]):
                digits += self.text[self.at]
                self.at += 1
            return chr(int(digits, 8))
        if char.isascii() and char.isalnum():
            raise self.fail(f"the escape \\{char} is not known", begun)
        return char

    def number(self, begun: int, base: int, digits: str, most: int) -> str:
        if self.take("{"):
            end = self.text.find("}", self.at)
            found = self.text[self.at : end] if end > 0 else ""
            self.at = end + 1
            if not found or any(c not in digits for c in found):
                raise self.fail("not the number of a character", begun)
        else:
            end = self.at
            while end < len(self.text) and end < self.at + most and self.text[end] in digits:
                end += 1
            found, self.at = self.text[self.at : end] or "0", end
        point = int(found, base)
        if point > LAST or 0xD800 <= point <= 0xDFFF:
            raise self.fail("there is no such character", begun)
        return chr(point)

    # -------------------------------------------------------------- classes

    def klass(self) -> Class:
        begun = self.at
        self.at += 1
        negated = self.take("^")
        ranges: list[Range] = []
        properties: list[str] = []
        first = True
        while first or not self.peek("]"):
            if self.at >= len(self.text):
                raise self.fail("the class has no closing bracket", begun)
            first = False
            low = self.member(properties)
            if isinstance(low, Class):
                ranges += low.ranges
                continue
            if low is None:
                continue
            high = low
            if self.peek("-") and not self.peek("-]") and self.at + 1 < len(self.text):
                dash = self.at
                self.at += 1
                end = self.member(properties)
                if not isinstance(end, str):
                    raise self.fail("a range of a class ends in a class", dash)
                if end < low:
                    raise self.fail("the range is out of order", dash)
                high = end
            ranges += self.cased((ord(low), ord(high)))
        self.at += 1
        return Class(merged(ranges), tuple(properties), negated)

    def cased(self, span: Range) -> Sequence[Range]:
        return in_any_case([span]) if self.flags.i else [span]

    def member(self, properties: list[str]) -> str | Class | None:
        """The next member of a class: a character, or a class within it."""
        if self.peek("[:") and (end := self.text.find(":]", self.at)) > 0:
            word = self.text[self.at + 2 : end]
            if word.removeprefix("^").isalpha():
                return self.posix(word, end)
        if self.peek("[=") or self.peek("[."):
            closing = self.text[self.at + 1] + "]"
            if self.text.find(closing, self.at + 2) > 0:
                raise self.fail("collating elements are not supported")
        char = self.text[self.at]
        if char != "\\":
            self.at += 1
            return char
        begun = self.at
        self.at += 1
        if self.at >= len(self.text):
            raise self.fail("a backslash at the end of the pattern", begun)
        char = self.text[self.at]
        if char == "Q":
            raise self.fail("a quotation within a class is not supported", begun)
        if char == "E":
            self.at += 1
            return None
        if char == "b":
            self.at += 1
            return "\b"
        if char in "BRXN":
            raise self.fail(f"\\{char} within a class is not allowed", begun)
        found = self.class_escape()
        if found is None:
            return self.character(begun)
        properties += found.properties
        return found

    def posix(self, word: str, end: int) -> Class:
        name = word.removeprefix("^")
        if name not in POSIX:
            raise self.fail(f"there is no class [:{name}:]")
        self.at = end + 2
        ranges = POSIX["alpha" if self.flags.i and name in {"upper", "lower"} else name]
        return Class(complement(ranges) if word.startswith("^") else ranges)

    # -------------------------------------------------------------- groups

    def group(self) -> Node | None:
        """A group; None for a comment, and for flags that hold from here to the end of the group."""
        begun = self.at
        self.at += 1
        if self.peek("*"):
            raise self.fail("verbs such as (*SKIP) are not supported", begun)
        if not self.take("?"):
            return self.body("(?:" if self.flags.n else "(", begun, captures=not self.flags.n)
        if self.take("#"):
            end = self.text.find(")", self.at)
            if end < 0:
                raise self.fail("the comment has no closing parenthesis", begun)
            self.at = end + 1
            return None
        for opening in ("=", "!", "<=", "<!", ">", "|", ":"):
            if self.take(opening):
                return self.body(f"(?{opening}", begun)
        if self.take("P="):
            return self.named_reference(begun)
        for start, end_ in (("P<", ">"), ("<", ">"), ("'", "'")):
            if self.take(start):
                return self.named(end_, begun)
        if self.peek("("):
            return self.condition(begun)
        return self.options(begun)

    def body(self, opening: str, begun: int, *, captures: bool = False) -> Node:
        if captures:
            self.groups += 1
        inner = self.choice()
        if not self.take(")"):
            raise self.fail("the group has no closing parenthesis", begun)
        return Group(opening, inner)

    def named(self, end_: str, begun: int) -> Node:
        end = self.text.find(end_, self.at)
        name = self.text[self.at : end] if end > 0 else ""
        if not name.isidentifier() or not name.isascii():
            raise self.fail("not a name of a group", begun)
        if name in self.names:
            raise self.fail(f"two groups are called {name}", begun)
        self.names.add(name)
        self.at = end + 1
        return self.body(f"(?P<{name}>", begun, captures=True)

    def named_reference(self, begun: int) -> Node:
        end = self.text.find(")", self.at)
        name = self.text[self.at : end] if end > 0 else ""
        self.at = end + 1
        return self.refer(name, begun)

    def condition(self, begun: int) -> Node:
        """`(?(1)yes|no)`, `(?(<name>)yes|no)`."""
        end = self.text.find(")", self.at)
        name = self.text[self.at + 1 : end].strip("<>'") if end > 0 else ""
        known = name in self.names or (_digits(name) and 1 <= int(name) <= self.total)
        if not known:
            raise self.fail("this condition is not supported", begun)
        self.at = end + 1
        inner = self.choice()
        if isinstance(inner, Choice) and len(inner.branches) > 2:
            raise self.fail("a condition has more than two branches", begun)
        if not self.take(")"):
            raise self.fail("the group has no closing parenthesis", begun)
        return Condition(name, inner)

    def options(self, begun: int) -> Node | None:
        """`(?i)`, `(?i-s)`, `(?i:…)`, `(?^i)`."""
        fresh = self.take("^")
        on, off, target = "", "", 0
        while self.at < len(self.text) and self.text[self.at] not in ":)":
            char = self.text[self.at]
            if char == "-" and not target and not fresh:
                target = 1
            elif char not in "imsxUn":
                raise self.fail("this kind of group is not supported", begun)
            elif target:
                off += char
            else:
                on += char
            self.at += 1
        flags = (self.flags.changed("", "imsxn") if fresh else self.flags).changed(on, off)
        if self.take(")"):
            self.flags = flags
            return None
        if not self.take(":"):
            raise self.fail("the group has no closing parenthesis", begun)
        outside, self.flags = self.flags, flags
        node = self.body("(?:", begun)
        self.flags = outside
        return node


def _digits(text: str) -> bool:
    return bool(text) and all(c in "0123456789" for c in text)


def _count_groups(pattern: str) -> int:
    """How many groups capture: roughly, for telling `\\10` as a reference from an octal number."""
    import re

    plain = re.sub(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]", "", pattern, flags=re.DOTALL)
    return len(re.findall(r"\((?!\?|\*)|\(\?(?:P<|<(?![=!])|')", plain))
