"""Commands that take long, so that somebody should hear of each line that they print."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def run_aloud(
    line: Sequence[str], *, cwd: Path, env: Mapping[str, str], seen: Callable[[str], None]
) -> subprocess.CompletedProcess[str]:
    """Run a command without a terminal; `seen` is told each line that it prints, at once.

    Returns all that it has printed, to either stream, as `stdout`.
    """
    printed: list[str] = []
    with subprocess.Popen(
        line,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        for text in running.stdout:
            printed.append(text)
            seen(text.rstrip("\n"))
    return subprocess.CompletedProcess(line, running.returncode, "".join(printed), "")
