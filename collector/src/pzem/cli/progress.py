"""How far a command is that takes its time."""

from __future__ import annotations

import sys


class Progress:
    """Progress on stderr: a line that grows on a terminal, a line each fifth elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lively = sys.stderr.isatty()
        self._shown = -1
        self._step = 1 if self._lively else 20

    def show(self, share: float) -> None:
        """Say that `share` (0 to 1) is done, where that is news."""
        percent = int(100 * share) // self._step * self._step
        if percent != self._shown:
            self._shown = percent
            end = "\r" if self._lively else "\n"
            print(f"{self._what}: {percent:3d} %", end=end, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line as it is."""
        if self._lively and self._shown >= 0:
            print(file=sys.stderr)
