"""Time to import the collector, in ms: what the start of `pzem run` costs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 10


def main() -> None:
    """Print the median over fresh interpreters, less the start of Python itself."""
    bare_s = statistics.median(seconds("pass") for _ in range(RUNS))
    full_s = statistics.median(seconds("import pzem.cli.collecting") for _ in range(RUNS))
    print(f"import of the collector: {1000 * (full_s - bare_s):.0f} ms (median)")


def seconds(code: str) -> float:
    """Return how long a fresh interpreter takes for `code`."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.monotonic() - start


if __name__ == "__main__":
    main()
