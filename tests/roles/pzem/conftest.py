"""Makes the role's modules importable, which are files for Ansible and in no package."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from project_files import load

PROJECT = Path(__file__).parents[3]
ROLE = PROJECT / "roles" / "pzem"


WHEEL = load("roles/pzem/library/pzem_wheel.py")
RELEASE = load("roles/pzem/library/pzem_release.py")


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
