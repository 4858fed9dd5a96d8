"""Real parts for the tests: a real InfluxDB, real pseudo terminals, real processes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from pzem.testing.influxd import Influxd

_numbers = itertools.count()


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """Return a folder for the links of simulated ports."""
    folder = tmp_path / "dev"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def influxd() -> Iterator[Influxd]:
    """Run one InfluxDB without authentication for all tests that only write to it."""
    with Influxd() as server:
        yield server


@pytest.fixture
def database(influxd: Influxd) -> str:
    """Create an empty database and return its name."""
    name = f"test{next(_numbers)}"
    influxd.query(f"CREATE DATABASE {name}")
    return name
