"""How a command says what went wrong."""

import contextlib
import sys


def complain(line: str) -> None:
    """Print one line on stderr, led by the program's name, if anybody takes it."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"pzem: {line}", file=sys.stderr)
