"""Text with `{{ variable }}` in it, and its safe filling.

Filling is textual, once, without any evaluation: a value that itself holds `{{ … }}` stays as it is.
An argument of a command stays one argument whatever the value holds; a value cannot make it an option.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from soc.playbook.values import shown

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FIELD = re.compile(r"\{\{\s*([a-z][a-z0-9_]{0,63})\s*\}\}")
MISSING, NONE = "(not known)", "(none)"


class UnsafeArgumentError(ValueError):
    """A value would have become an option, or cannot be an argument at all."""


class UnsetVariableError(ValueError):
    """A variable without a value stands in a command or query."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the variable {name!r} has no value")
        self.name = name


def names(text: str) -> list[str]:
    """The variables of a template, in order, each as often as it stands there."""
    return _FIELD.findall(text)


def broken(text: str) -> str:
    """The first `{{` or `}}` that belongs to no variable, with what follows; empty when there is none."""
    rest = _FIELD.sub("", text)
    found = re.search(r"\{\{|\}\}", rest)
    return rest[found.start() : found.start() + 40] if found else ""


def fill(text: str, variables: Mapping[str, Any]) -> str:
    """Text for a person: what has no value is shown as not known, an empty list as none."""
    return _FIELD.sub(lambda m: shown(variables[m[1]]) or NONE if m[1] in variables else MISSING, text)


def marked(text: str, variables: Mapping[str, Any]) -> str:
    """As `fill`, for what is still to come: what has no value yet is shown by its name, as `<name>`."""
    return _FIELD.sub(lambda m: shown(variables[m[1]]) or NONE if m[1] in variables else f"<{m[1]}>", text)


def _fill_strict(text: str, variables: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise UnsetVariableError(match[1])
        return shown(variables[match[1]])

    return _FIELD.sub(value, text)


def names_an_option(template: str) -> bool:
    """Whether a variable stands where the name of an option would: `-{{ x }}`, `--{{ x }}`."""
    return re.match(r"-{1,2}\s*\{\{", template) is not None


def arguments(templates: Sequence[str], variables: Mapping[str, Any]) -> list[str]:
    """The argument list of a command: one argument for each template.

    Raises `UnsafeArgumentError` when a value would make an argument begin with `-` where no `--` stands
    before it, is empty, or holds a NUL; `UnsetVariableError` for a variable without a value.
    """
    out: list[str] = []
    for template in templates:
        argument = _fill_strict(template, variables)
        if argument != template:
            if argument.startswith("-") and not template.startswith("-") and "--" not in out:
                raise UnsafeArgumentError(
                    f"the value of {template} begins with '-' and would be taken for an option"
                )
            if names_an_option(template) and "--" not in out:
                raise UnsafeArgumentError(f"a value must not name an option, as in {template}")
            if not argument or "\0" in argument:
                raise UnsafeArgumentError(f"the value of {template} cannot be an argument")
        out.append(argument)
    return out
