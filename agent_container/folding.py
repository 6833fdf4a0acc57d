"""How a sentence is made comparable: lower case, no accents, no punctuation."""

import re
import unicodedata

_NOT_A_WORD = re.compile(r"[^a-z0-9]+")
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "´": "'", "`": "'"})
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ß": "ss", "ø": "o"})


def fold(text: str) -> str:
    """Return the words of `text` in lower case without accents, one space between them."""
    lowered = text.translate(_APOSTROPHES).lower().translate(_LIGATURES)
    plain = unicodedata.normalize("NFKD", lowered)
    return _NOT_A_WORD.sub(" ", "".join(c for c in plain if not unicodedata.combining(c))).strip()
