"""Rules for every test run of this project."""

from __future__ import annotations

import pytest


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run in which nothing was put to the test, as when all of it was skipped."""
    passed = session.testscollected - session.testsfailed
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        passed = len(reporter.stats.get("passed", []))
    if exitstatus == pytest.ExitCode.OK and not passed and not session.config.option.collectonly:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
