"""PCRE2 itself, through the library that most systems have: the judge of what a pattern means."""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import lru_cache
from typing import Any

_UTF, _NO_START_OPTIMIZE = 0x00080000, 0x00010000
_FLAGS = {"i": 0x00000008, "m": 0x00000400, "s": 0x00000020}
_NO_MATCH = -1


@lru_cache(maxsize=1)
def library() -> Any:
    """The 8-bit library; None where it is not installed."""
    name = ctypes.util.find_library("pcre2-8") or "libpcre2-8.so.0"
    try:
        found = ctypes.CDLL(name)
    except OSError:
        return None
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    found.pcre2_compile_8.restype = pointer
    found.pcre2_compile_8.argtypes = [
        ctypes.c_char_p, size, ctypes.c_uint32, ctypes.POINTER(number), ctypes.POINTER(size), pointer,
    ]  # fmt: skip
    found.pcre2_match_data_create_8.restype = pointer
    found.pcre2_match_data_create_8.argtypes = [ctypes.c_uint32, pointer]
    found.pcre2_match_8.restype = number
    found.pcre2_match_8.argtypes = [
        pointer, ctypes.c_char_p, size, size, ctypes.c_uint32, pointer, pointer,
    ]  # fmt: skip
    found.pcre2_code_free_8.argtypes = found.pcre2_match_data_free_8.argtypes = [pointer]
    return found


class RefusedError(ValueError):
    """PCRE2 does not accept the pattern."""


def found(pattern: str, flags: str, text: str) -> bool | None:
    """Whether PCRE2 finds the pattern in the text; None when it gave up. Raises `RefusedError`."""
    lib = library()
    raw, options = pattern.encode(), _UTF | sum(_FLAGS[f] for f in flags)
    error, offset = ctypes.c_int(), ctypes.c_size_t()
    code = lib.pcre2_compile_8(raw, len(raw), options, ctypes.byref(error), ctypes.byref(offset), None)
    if not code:
        raise RefusedError(f"error {error.value} at {offset.value}")
    data = lib.pcre2_match_data_create_8(30, None)
    subject = text.encode()
    result = lib.pcre2_match_8(code, subject, len(subject), 0, 0, data, None)
    lib.pcre2_match_data_free_8(data)
    lib.pcre2_code_free_8(code)
    return result > 0 if result >= 0 else False if result == _NO_MATCH else None
