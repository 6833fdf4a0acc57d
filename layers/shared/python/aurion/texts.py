"""Texts from outside, made fit to be kept."""


def storable(text: str) -> str:
    """Return a text without what UTF-8 or PostgreSQL cannot hold: NUL and halves of characters."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")
