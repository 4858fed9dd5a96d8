"""Somebody at a terminal of the virtual Pi, who answers what is asked."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from virtual_pi.remote import ssh_environment

_CONTROL: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def converse(
    ssh_config: Path,
    name: str,
    command: str,
    answers: Mapping[str, str],
    *,
    seen: Callable[[str], None],
    timeout_s: float,
) -> tuple[int, str]:
    """Type a command; return its exit code (255: the connection has ended) and what it has shown.

    `answers` are patterns of questions, as they stand at the end of what was printed, and what
    is typed then. `seen` is told each line. Raises `TimeoutError`.
    """
    line = ["ssh", "-F", str(ssh_config), "-o", "ControlPath=none", "-tt", name, command]
    end = time.monotonic() + timeout_s
    printed, line_begin, answered = "", 0, 0
    with subprocess.Popen(
        line,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=ssh_environment(),
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        os.set_blocking(running.stdout.fileno(), False)
        while running.poll() is None or running.stdout.readable():
            heard = running.stdout.read()
            if heard == b"":
                break
            if heard is None:
                if time.monotonic() > end:
                    running.kill()
                    raise TimeoutError(f"{command} has not ended within {timeout_s:.0f} s")
                time.sleep(0.2)
                continue
            printed += heard.decode(errors="replace")
            while (newline := printed.find("\n", line_begin)) >= 0:
                seen(shown(printed[line_begin:newline]))
                line_begin = newline + 1
            for question, reply in answers.items():
                if re.search(rf"(?:{question})\s*\Z", printed[max(line_begin, answered) :]):
                    running.stdin.write(f"{reply}\n".encode())
                    running.stdin.flush()
                    answered = len(printed)
        return running.wait(), "\n".join(map(shown, printed.split("\n")))


def shown(line: str) -> str:
    """Return what is left on the terminal of a line of which parts were written over."""
    return _CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2])
