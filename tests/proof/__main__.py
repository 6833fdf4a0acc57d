"""`make proof`: run every proof at full size and write docs/benchmarks.md.

`python -m tests.proof NAME …` runs some of them and replaces their parts of the page;
`--small` runs them at the size of the tests.
"""

import importlib
import os
import pkgutil
import platform
import re
import sys
import time
from pathlib import Path

import tests.proof
from tests.proof import Proof

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make proof`: counts and ratios of one run each, on {cores} cores ({processor}).
"""


def main(arguments: list[str]) -> int:
    """Run the named proofs, or all of them; 1 when one of them found something broken."""
    full = "--small" not in arguments
    names = [a for a in arguments if not a.startswith("-")] or [
        m.name for m in pkgutil.iter_modules(tests.proof.__path__) if not m.name.startswith("_")
    ]
    parts = read_parts(PAGE.read_text("utf-8")) if PAGE.exists() else {}
    broken: list[str] = []
    for name in names:
        print(f"proof: {name} …", flush=True)
        started = time.monotonic()
        proof: Proof = importlib.import_module(f"tests.proof.{name}").measure(full)
        took = time.monotonic() - started
        print(proof.markdown)
        for fault in proof.broken:
            print(f"BROKEN {name}: {fault}")
        broken += proof.broken
        parts[name] = f"## {proof.title}\n\n{proof.markdown.strip()}\n\n({took:.0f} s)"
        if full:
            write_page(parts)
    print(f"proofs: {len(names)} run, {len(broken)} faults")
    return 1 if broken else 0


def read_parts(page: str) -> dict[str, str]:
    """Split a page into its proofs."""
    found = re.findall(r"<!-- proof: (\w+) -->\n(.*?)\n<!-- /proof -->", page, re.DOTALL)
    return dict(found)


def write_page(parts: dict[str, str]) -> None:
    """Write the page, the proofs in the order of their names."""
    head = HEAD.format(cores=os.cpu_count(), processor=platform.machine())
    body = "\n\n".join(
        f"<!-- proof: {name} -->\n{part}\n<!-- /proof -->" for name, part in sorted(parts.items())
    )
    PAGE.write_text(f"{head}\n{body}\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
