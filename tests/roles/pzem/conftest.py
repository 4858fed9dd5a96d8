"""Makes the role's modules importable, which are files for Ansible and in no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parents[3]
ROLE = PROJECT / "roles" / "pzem"


def load(name: str) -> ModuleType:
    """Import one of the role's modules."""
    spec = importlib.util.spec_from_file_location(name, ROLE / "library" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


WHEEL = load("pzem_wheel")
RELEASE = load("pzem_release")


@pytest.fixture
def pzem_wheel() -> ModuleType:
    return WHEEL


@pytest.fixture
def pzem_release() -> ModuleType:
    return RELEASE


@pytest.fixture
def collector() -> Path:
    """Return the real collector's source folder."""
    return PROJECT / "collector"


@pytest.fixture
def templates() -> Path:
    return ROLE / "templates"
