"""Foreign text made safe for a page, a summary or a terminal."""

from __future__ import annotations

import re

# Control characters except tab and line feed, direction marks, lone surrogates, and non-characters.
_NOT_SHOWN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069"
    r"\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def printable(text: str) -> str:
    """The text with � for what HTML forbids, what steers a terminal, and what turns text around."""
    return _NOT_SHOWN.sub("�", text)
