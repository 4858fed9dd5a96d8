"""`./appliance try`, as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import eventually

TRIAL = [sys.executable, "-m", "pzem.testing.trial", "--interval", "1"]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder)}


def processes(folder: Path) -> list[str]:
    """Return the command lines that name `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def test_shows_what_was_read_back(tmp_path: Path) -> None:
    finished = subprocess.run(
        [*TRIAL, "--cycles", "2"],
        env=environment(tmp_path),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    rows = [line.split() for line in finished.stdout.splitlines()]
    for name in ("mainA", "mainB", "gen"):
        shown = [row for row in rows if row[:1] == [name] and row[-1] == "ok"]
        assert len(shown) == 2
        assert 110 < float(shown[0][1]) < 130
    assert finished.stdout.count("supply in use: utility") == 2
    assert list(tmp_path.iterdir()) == []


@contextmanager
def showing(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a trial and wait until its table is on the screen."""
    with subprocess.Popen(
        TRIAL, env=environment(folder), stdout=subprocess.PIPE, text=True
    ) as trial:
        assert trial.stdout is not None
        for line in trial.stdout:
            if "House:" in line:
                break
        else:
            pytest.fail("the trial ended before it showed anything")
        yield trial
        trial.stdout.read()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_leaves_nothing_behind(tmp_path: Path, signum: int) -> None:
    with showing(tmp_path) as trial:
        assert processes(tmp_path)
        trial.send_signal(signum)
    assert trial.returncode == 0
    eventually(lambda: not processes(tmp_path), "all processes end")
    assert list(tmp_path.iterdir()) == []


def test_a_second_ctrl_c_does_not_cut_the_cleaning_short(tmp_path: Path) -> None:
    with showing(tmp_path) as trial:
        for _ in range(3):
            trial.send_signal(signal.SIGINT)
            time.sleep(0.05)
    eventually(lambda: not processes(tmp_path), "all processes end")
    assert list(tmp_path.iterdir()) == []
