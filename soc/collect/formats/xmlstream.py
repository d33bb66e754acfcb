"""XML reports element by element: no entities, no external parts, memory that does not grow with the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from soc.collect.formats.registry import Broken

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_DEPTH = 200
"""Deepest nesting that is read; a report has about ten levels."""


def elements(
    path: Path, wanted: frozenset[str], began: Callable[[Element], None] | None = None
) -> Iterator[Element | Broken]:
    """Elements with a wanted name, each complete, in the order of their ends; then they are let go.

    `began` is called with every element when it begins (attributes are there, children are not). What cannot
    be read ends the iteration with `Broken`.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    stack: list[Element] = []
    held = 0
    try:
        for event, element in iterparse(str(path), events=("start", "end")):
            if event == "start":
                stack.append(element)
                held += element.tag in wanted
                if len(stack) > MAX_DEPTH:
                    yield Broken(f"nested deeper than {MAX_DEPTH} levels")
                    return
                if began is not None:
                    began(element)
                continue
            stack.pop()
            if element.tag in wanted:
                held -= 1
                yield element
            if held == 0 and stack:
                stack[-1].remove(element)
    except ParseError as error:
        yield Broken(f"not well-formed XML, or cut off: {error}")
    except DefusedXmlException as error:
        yield Broken(f"refused: {type(error).__name__} (entities and external parts are not read)")
    except (UnicodeDecodeError, LookupError) as error:
        yield Broken(f"the text of the XML cannot be decoded: {error}")


def text_of(element: Element | None, path: str = ".") -> str:
    """The text of a child (or of the element itself) without white space around it; "" for none."""
    found = element if path == "." or element is None else element.find(path)
    return (found.text or "").strip() if found is not None else ""


def source_of(element: Element) -> str:
    """The element as XML text."""
    from xml.etree.ElementTree import tostring

    return tostring(element, encoding="unicode").strip()
