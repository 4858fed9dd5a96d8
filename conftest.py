"""Rules for every test run of this project."""

from __future__ import annotations

import signal
from collections.abc import Generator

import pytest

_passed = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Let the processes that tests start hear signals, whoever started pytest.

    A shell that puts a command into the background has it ignore SIGINT, nohup SIGHUP,
    and children inherit that.
    """
    config.stash[_passed] = 0
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count the tests that have passed."""
    report = yield
    item.config.stash[_passed] += report.when == "call" and report.passed
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run in which nothing was put to the test, as when all of it was skipped."""
    nothing = session.config.stash[_passed] == 0 and not session.config.option.collectonly
    if exitstatus == pytest.ExitCode.OK and nothing:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
