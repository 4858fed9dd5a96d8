"""The table at the end: what held in each part, what failed and why, and what was measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final, cast

import pytest

FIGURE: Final = "figure"
"""The property of a check that holds the name and value of something measured."""


@dataclass
class _Part:
    held: int = 0
    failed: list[str] = field(default_factory=list)
    took_s: float = 0.0


class Table:
    """A plugin of pytest: collects what all checks report, from whichever worker.

    `begin_s`: when the run began, on the monotonic clock.
    """

    def __init__(self, parts: Sequence[str], begin_s: float) -> None:
        self._begin_s = begin_s
        self._parts = {part: _Part() for part in parts}
        self._figures: list[tuple[str, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a check has ended."""
        part = self._parts[PurePath(report.nodeid.partition("::")[0]).stem]
        part.took_s += report.duration
        if report.failed:
            check = report.nodeid.rpartition("::")[2]
            part.failed.append(f"{check}: {what_failed(report)}")
        elif report.passed and report.when == "call":
            part.held += 1
        if report.when == "teardown":  # each phase's report has them all
            self._figures += [
                cast(tuple[str, str], value)
                for name, value in report.user_properties
                if name == FIGURE
            ]

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Leave the dots out: each check has a line."""
        return ("passed", "", "") if report.passed and report.when == "call" else None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        write = terminalreporter.write_line
        write("")
        write(f"{'part':<16} {'took':>8}   {'held':>4}  failed")
        for name, part in self._parts.items():
            if not part.took_s:
                continue
            title = name.removeprefix("test_").replace("_", " ")
            took = clock(part.took_s)
            write(f"{title:<16} {took:>8}   {part.held:>4}  {len(part.failed) or '-'}")
            for line in part.failed:
                write(f"{'':<16} {'':>8}   failed: {line}")
        write(f"{'all':<16} {clock(time.monotonic() - self._begin_s):>8}")
        if self._figures:
            width = max(len(name) for name, _ in self._figures)
            write("")
            for name, value in self._figures:
                write(f"{name:<{width}}  {value}")


def what_failed(report: pytest.TestReport) -> str:
    """Return what a check that failed has said, in one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message).partition("\n")[0] if crash else str(report.when)


def clock(seconds: float) -> str:
    """Return a time in hours, minutes and seconds, such as 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
