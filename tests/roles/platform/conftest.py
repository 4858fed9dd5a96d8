"""Makes the role's modules importable as Ansible would."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from project_files import load

BOOT_FILE = load("roles/platform/module_utils/boot_file.py", "ansible.module_utils.boot_file")
CONFIG_TXT = load("roles/platform/library/config_txt.py")
CMDLINE_TXT = load("roles/platform/library/cmdline_txt.py")


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
