"""Makes the role's module importable as Ansible would."""

from __future__ import annotations

from types import ModuleType

import pytest

from project_files import load

INFLUXDB_SETUP = load("roles/influxdb/library/influxdb_setup.py")


@pytest.fixture
def influxdb_setup() -> ModuleType:
    return INFLUXDB_SETUP
