"""How a run of tests ends, in one process and in pytest-xdist's workers, as the parts run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[2] / "conftest.py"
HELD = "def test_it():\n    assert True\n"
LEFT_OUT = "import pytest\n\n\ndef test_it():\n    pytest.skip('not here')\n"


def exit_status(folder: Path, text: str, *options: str) -> int:
    shutil.copy(CONFTEST, folder)
    (folder / "test_one.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "--rootdir=.", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_in_which_all_held_ends_well(tmp_path: Path, workers: str) -> None:
    assert exit_status(tmp_path, HELD, "--numprocesses", workers) == pytest.ExitCode.OK


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_in_which_nothing_was_tested_fails(tmp_path: Path, workers: str) -> None:
    status = exit_status(tmp_path, LEFT_OUT, "--numprocesses", workers)
    assert status == pytest.ExitCode.NO_TESTS_COLLECTED
