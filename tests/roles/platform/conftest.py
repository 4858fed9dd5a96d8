"""Makes the role's modules importable as Ansible would."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROLE = Path(__file__).parents[3] / "roles" / "platform"


def load(name: str, path: Path) -> ModuleType:
    """Import a file under the name that it has on the target."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


BOOT_FILE = load("ansible.module_utils.boot_file", ROLE / "module_utils" / "boot_file.py")
CONFIG_TXT = load("config_txt", ROLE / "library" / "config_txt.py")
CMDLINE_TXT = load("cmdline_txt", ROLE / "library" / "cmdline_txt.py")


@pytest.fixture
def boot_file() -> ModuleType:
    return BOOT_FILE


@pytest.fixture
def config_txt() -> ModuleType:
    return CONFIG_TXT


@pytest.fixture
def cmdline_txt() -> ModuleType:
    return CMDLINE_TXT


@pytest.fixture
def reboot_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a module ask for a reboot here instead of in the real place."""
    flag = tmp_path / "reboot-required"
    defaults = dict(BOOT_FILE.BootFile.replace.__kwdefaults__, reboot_flag=flag)
    monkeypatch.setattr(BOOT_FILE.BootFile.replace, "__kwdefaults__", defaults)
    return flag


@pytest.fixture
def boot(tmp_path: Path) -> Path:
    """Return an empty boot partition."""
    folder = tmp_path / "firmware"
    folder.mkdir()
    return folder
