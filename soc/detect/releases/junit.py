"""Results as JUnit XML, which CI systems show (the form that Jenkins, GitLab and GitHub actions read)."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from soc.errors import Place, SocError

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow (section 2.2)."""


@dataclass(frozen=True, slots=True)
class Case:
    """One result. `suite` is the check, `group` the file, `status` passed, failed or skipped."""

    suite: str
    group: str
    name: str
    status: str
    message: str = ""
    details: tuple[str, ...] = ()
    place: Place | None = None
    seconds: float = 0.0


def write(path: Path, name: str, cases: Sequence[Case]) -> None:
    """Write results at once or not at all. Raises `SocError`."""
    root = Element("testsuites", {"name": name, **_counts(cases)})
    for suite in dict.fromkeys(case.suite for case in cases):
        inside = [case for case in cases if case.suite == suite]
        parent = SubElement(root, "testsuite", {"name": suite, **_counts(inside)})
        for case in inside:
            _add(parent, case)
    indent(root)
    try:
        handle, staged = tempfile.mkstemp(dir=path.absolute().parent, prefix=".junit-")
        with os.fdopen(handle, "wb") as file:
            ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
        Path(staged).chmod(0o644)
        Path(staged).replace(path)
    except OSError as error:
        raise SocError(f"the results cannot be written: {error.strerror or error}", place=path) from None


def near(place: Place) -> Place:
    """A place by its path from the current folder, where it lies below it: what a CI system links to."""
    path = Path(place.path)
    here = Path.cwd()
    return replace(place, path=str(path.relative_to(here))) if path.is_relative_to(here) else place


def _counts(cases: Sequence[Case]) -> dict[str, str]:
    return {
        "tests": str(len(cases)),
        "failures": str(sum(case.status == "failed" for case in cases)),
        "errors": "0",
        "skipped": str(sum(case.status == "skipped" for case in cases)),
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }


def _add(parent: Element, case: Case) -> None:
    group = near(Place(case.group)).path
    attributes = {"classname": _clean(group), "name": _clean(case.name), "time": f"{case.seconds:.3f}"}
    if case.place:
        attributes |= {"file": _clean(near(case.place).path), "line": str(case.place.line or 1)}
    element = SubElement(parent, "testcase", attributes)
    text = _clean("\n".join(case.details))
    if case.status == "failed":
        SubElement(element, "failure", {"message": _clean(case.message), "type": case.suite}).text = text
    elif case.status == "skipped":
        SubElement(element, "skipped", {"message": _clean(case.message)})
    elif text:
        SubElement(element, "system-out").text = text


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
