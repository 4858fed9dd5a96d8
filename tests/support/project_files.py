"""Imports Python files that are for Ansible, or for people, and lie in no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def load(file: str, name: str | None = None) -> ModuleType:
    """Import `file`, a path from the top of the project, under `name` (default: its own).

    Raises `OSError` if there is no such file.
    """
    path = ROOT / file
    spec = importlib.util.spec_from_file_location(name or path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
