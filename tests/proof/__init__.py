"""Proofs: the tests' own code at full size, with what it measured on a page.

A proof is a module of this package with `measure(full: bool) -> Proof`. Ratios and counts come from
one run on one machine; nothing here is asserted on a clock's absolute value alone.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Proof:
    """Hold what one proof measured (Markdown) and what it found broken."""

    title: str
    markdown: str
    broken: list[str] = field(default_factory=list)
