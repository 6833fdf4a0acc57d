"""Foreign text made fit for a model and for the ear: no control characters, no endless lengths."""

import re
import unicodedata

_SPACE = re.compile(r"\s+")
_DROPPED = {"Cc", "Cf", "Co", "Cs", "Cn"}


def clean(text: str, limit: int = 300) -> str:
    """Return a text without control and zero-width characters, on one line, cut at a word's end."""
    spaced = _SPACE.sub(" ", text)
    visible = "".join(c for c in spaced if unicodedata.category(c) not in _DROPPED).strip()
    if len(visible) <= limit:
        return visible
    cut = visible[:limit].rsplit(" ", 1)[0]
    return cut.rstrip(" ,;:") + "…"


def spoken(text: str, limit: int = 160) -> str:
    """Return a text that can stand in a spoken template: clean, without a sentence's end."""
    return clean(text, limit).rstrip(" .!?…")
