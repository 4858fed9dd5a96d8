"""The table at the end of a run on the virtual Pi."""

from __future__ import annotations

import io
import re
import time
from typing import Literal

import pytest
from _pytest._code.code import ReprFileLocation
from _pytest.reports import TestReport

from virtual_pi.table import FIGURE, Table, clock, what_failed

PARTS = ("test_1_image", "test_4_hot_plug", "test_5_watchdog")


class Terminal:
    """As much of pytest's terminal as a table needs."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def write_line(self, line: str) -> None:
        self.stream.write(line.rstrip() + "\n")


def report(
    part: str,
    when: Literal["setup", "call", "teardown"] = "call",
    *,
    why: str = "",
    figures: list[tuple[str, object]] | None = None,
) -> TestReport:
    class Crash:
        reprcrash = ReprFileLocation("file", 1, why)

    return TestReport(
        f"molecule/virtual_pi/parts/{part}.py::test_it",
        ("file", 1, "test_it"),
        {},
        "failed" if why else "passed",
        Crash() if why else None,  # type: ignore[arg-type] # what pytest-xdist hands on is as bare
        when,
        duration=60.0,
        user_properties=figures or [],
    )


def printed(table: Table) -> str:
    terminal = Terminal()
    table.pytest_terminal_summary(terminal)  # type: ignore[arg-type]
    return terminal.stream.getvalue()


def test_parts_that_were_run_have_a_line_with_what_held_and_what_failed() -> None:
    table = Table(PARTS, time.monotonic())
    for when in ("setup", "call", "teardown"):
        table.pytest_runtest_logreport(report("test_4_hot_plug", when))
    table.pytest_runtest_logreport(report("test_5_watchdog", why="assert 1 == 2\nmore of it"))
    lines = printed(table)
    assert re.search(r"^4 hot plug +0:03:00 +1  -$", lines, re.MULTILINE)
    assert re.search(r"^5 watchdog +0:01:00 +0  1$", lines, re.MULTILINE)
    assert "failed: test_it: assert 1 == 2\n" in lines
    assert "image" not in lines


def test_a_check_whose_machine_could_not_be_had_has_failed() -> None:
    table = Table(PARTS, time.monotonic())
    table.pytest_runtest_logreport(report("test_1_image", "setup", why="no ssh"))
    assert re.search(r"^1 image +0:01:00 +0  1$", printed(table), re.MULTILINE)


def test_a_figure_is_printed_once_though_each_phase_reports_it() -> None:
    table = Table(PARTS, time.monotonic())
    for when in ("setup", "call", "teardown"):
        figures = [(FIGURE, ("power to ssh", "50 s")), ("other", "thing")]
        table.pytest_runtest_logreport(report("test_1_image", when, figures=list(figures)))
    assert printed(table).count("power to ssh  50 s") == 1
    assert "thing" not in printed(table)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00:00"), (59.6, "0:01:00"), (3723, "1:02:03")]
)
def test_a_time_is_shown_in_hours_minutes_and_seconds(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_what_failed_is_told_in_one_line_also_without_words() -> None:
    assert what_failed(report("test_1_image", why="first\nsecond")) == "first"
    crash = report("test_1_image", why="no words")
    crash.longrepr.reprcrash.message = ""  # type: ignore[union-attr]
    assert what_failed(crash) == ""
