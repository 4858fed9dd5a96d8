"""Gives tests the role's plugins, which are files for Ansible and in no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROLE = Path(__file__).parents[3] / "roles/house_secrets"


def load(name: str) -> ModuleType:
    """Import the role's file `name`."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, ROLE / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
