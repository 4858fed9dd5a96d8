"""How this program talks to people: plain lines, and one line for what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable


class ProblemError(Exception):
    """Something that ends the command; each line says what is wrong and what mends it."""

    def __init__(self, *lines: str, code: int = 1) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.code = code


def tell(line: str = "") -> None:
    """Print a line for whoever started the command."""
    print(line, flush=True)


def complain(lines: Iterable[str]) -> None:
    """Print what went wrong."""
    for line in lines:
        print(f"appliance: {line}", file=sys.stderr, flush=True)
