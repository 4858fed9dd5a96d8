"""Makes the role's module importable as Ansible would."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

MODULE = Path(__file__).parents[3] / "roles" / "influxdb" / "library" / "influxdb_setup.py"


def load() -> ModuleType:
    """Import the module under the name that it has on the target."""
    spec = importlib.util.spec_from_file_location(MODULE.stem, MODULE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE.stem] = module
    spec.loader.exec_module(module)
    return module


INFLUXDB_SETUP = load()


@pytest.fixture
def influxdb_setup() -> ModuleType:
    return INFLUXDB_SETUP
