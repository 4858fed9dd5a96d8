"""How a command says what went wrong."""

import sys


def complain(line: str) -> None:
    """Print one line on stderr, led by the program's name."""
    print(f"pzem: {line}", file=sys.stderr)
