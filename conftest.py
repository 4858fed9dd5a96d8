"""Rules for every test run of this project."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

# No time is asserted, and a run finds what the one before it found.
settings.register_profile(
    "project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")


class SomethingWasTested:
    """A plugin: fails a run in which nothing was put to the test, as when all was skipped.

    It goes by the reports, for those come from pytest-xdist's workers too.
    """

    def __init__(self) -> None:
        self._passed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the tests that have passed."""
        self._passed += report.when == "call" and report.passed

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Fail where none has."""
        nothing = self._passed == 0 and not session.config.option.collectonly
        if exitstatus == pytest.ExitCode.OK and nothing:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_configure(config: pytest.Config) -> None:
    """Let the processes that tests start hear signals, whoever started pytest.

    A shell that puts a command into the background has it ignore SIGINT, nohup SIGHUP,
    and children inherit that.
    """
    config.pluginmanager.register(SomethingWasTested())
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
