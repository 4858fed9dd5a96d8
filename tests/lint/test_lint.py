"""Every linter of the project, each as one test that fails with the linter's own words."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = [
    "collector/src",
    "collector/tests",
    "controller",
    "playbooks",
    "roles",
    "molecule",
    "tests",
    "benchmarks",
    "conftest.py",
]


def tracked_files() -> list[Path]:
    """Return the files that git knows, or would if they were added."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def shell_scripts() -> list[str]:
    """Return the shell scripts, known by their first line."""
    return [
        str(path.relative_to(ROOT))
        for path in tracked_files()
        if path.read_bytes().startswith((b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash"))
    ]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["ruff", "check", *PYTHON], id="ruff-check"),
        pytest.param(["ruff", "format", "--check", *PYTHON], id="ruff-format"),
        pytest.param(["mypy", *PYTHON], id="mypy"),
        pytest.param(["yamllint", "--strict", "."], id="yamllint"),
        pytest.param(
            ["ansible-lint", "--profile", "production", "--strict", "--offline"], id="ansible-lint"
        ),
        pytest.param(["shellcheck", *shell_scripts()], id="shellcheck"),
    ],
)
def test_linter_has_nothing_to_say(command: list[str]) -> None:
    finished = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if finished.returncode != 0:
        pytest.fail(f"{' '.join(command)}\n{finished.stdout}{finished.stderr}", pytrace=False)


def test_there_are_shell_scripts_to_check() -> None:
    assert {"appliance", ".ci/run"} <= set(shell_scripts())
