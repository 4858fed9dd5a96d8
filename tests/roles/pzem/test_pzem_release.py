"""The module pzem_release, with real virtual environments and a very small collector."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CLI = """
import sys
def main():
    print("pzem {said}")
"""
Release = Any
"""The class lies in a module that the type checker cannot see."""

OFFLINE = (
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NameResolutionError(\"<pip._ve"
    "ndor.urllib3.connection.HTTPSConnection>: Failed to resolve 'pypi.org' ([Errno -3] Temporary "
    "failure in name resolution)\")': /simple/certifi/\n"
    "ERROR: Could not find a version that satisfies the requirement certifi==2026.10.18 (from "
    "versions: none)\nERROR: No matching distribution found for certifi==2026.10.18\n"
)
NO_WHEEL = (
    "ERROR: Could not find a version that satisfies the requirement msgpack==1.2.4 (from versions: "
    "1.2.3)\nERROR: No matching distribution found for msgpack==1.2.4\n"
)


def wheel(folder: Path, name: str, version: str, files: dict[str, str], requires: str = "") -> Path:
    """Write a wheel by hand; a RECORD of nothing but names is enough for pip."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    if requires:
        metadata += f"Requires-Dist: {requires}\n"
    content = {
        **files,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*content, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**content, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return path


def collector(folder: Path, version: str = "1.0+src1", said: str = "", requires: str = "") -> Path:
    files = {
        "pzem/__init__.py": "",
        "pzem/cli/__init__.py": CLI.format(said=said or version),
        "pzem/cli/collecting.py": "import helper\n",
        "pzem/cli/commissioning.py": "",
        f"pzem-{version}.dist-info/entry_points.txt": "[console_scripts]\npzem=pzem.cli:main\n",
    }
    return wheel(folder, "pzem", version, files, requires)


@pytest.fixture(autouse=True)
def no_other_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the real one out of the small one's way."""
    monkeypatch.delenv("PYTHONPATH", raising=False)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Return a folder of wheels with what the small collector needs."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "helper", "2.0", {"helper.py": ""})
    return folder


@pytest.fixture
def release(pzem_release: ModuleType, tmp_path: Path, wheels: Path) -> Release:
    """Return a release that can be installed."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("helper==2.0\n")
    root = tmp_path / "opt"
    root.mkdir()
    return pzem_release.Release(
        path=root / "1.0+src1-abc",
        version="1.0+src1",
        wheel=collector(tmp_path),
        requirements=requirements,
        wheels_dir=wheels,
        python=Path(sys.executable),
    )


def test_a_release_is_installed_and_its_loss_is_noticed(release: Release) -> None:
    assert not release.installed
    release.install()
    assert release.installed
    said = subprocess.run([release.path / "bin/pzem"], check=True, capture_output=True, text=True)
    assert said.stdout == "pzem 1.0+src1\n"
    (helper,) = release.path.glob("lib/python*/site-packages/helper.py")
    helper.unlink()
    assert not release.installed


def test_what_an_interruption_left_is_made_anew(release: Release) -> None:
    (release.path / "bin").mkdir(parents=True)
    for name in ("python", "pzem"):
        leftover = release.path / "bin" / name
        leftover.write_text("#!/bin/sh\necho pzem 1.0+src1\n")
        leftover.chmod(0o755)
    assert not release.installed
    release.install()
    assert release.installed
    assert "echo" not in leftover.read_text()


def test_a_requirement_without_a_wheel(
    pzem_release: ModuleType,
    release: Release,
) -> None:
    release.requirements.write_text("helper==2.1\n")
    with pytest.raises(pzem_release.InstallError, match=r"wheels has none of helper==2\.1"):
        release.install()
    assert not release.installed


def test_requirements_that_do_not_fit_the_collector(
    pzem_release: ModuleType,
    release: Release,
    tmp_path: Path,
) -> None:
    collector(tmp_path, requires="helper>=3")
    with pytest.raises(pzem_release.InstallError, match=r"the requirements do not fit.*helper"):
        release.install()
    assert not release.installed


def test_a_wheel_that_is_not_what_it_is_called(
    pzem_release: ModuleType,
    release: Release,
    tmp_path: Path,
) -> None:
    collector(tmp_path, said="0.9")
    with pytest.raises(pzem_release.InstallError, match=r"says 'pzem 0\.9'"):
        release.install()
    assert not release.installed


@pytest.mark.parametrize(
    ("stderr", "wheels_dir", "why"),
    [
        (OFFLINE, None, "PyPI cannot be reached"),
        (NO_WHEEL, None, "PyPI has no wheel of msgpack==1.2.4"),
        (NO_WHEEL, Path("/w"), "the given folder of wheels has none of msgpack==1.2.4"),
        (
            OFFLINE.replace("NameResolutionError", "SSLError(CERTIFICATE_VERIFY_FAILED)"),
            None,
            "set the clock right",
        ),
        (
            "ERROR: Could not install: [Errno 28] No space left on device\n",
            None,
            "the disk is full",
        ),
        ("a\nERROR: one\nb\nERROR: two\n", None, "pip failed: ERROR: one ERROR: two"),
        ("Traceback\nValueError: odd\n", None, "pip failed: ValueError: odd"),
        ("", None, "pip failed: it does not say why"),
    ],
)
def test_why_pip_failed(
    pzem_release: ModuleType, stderr: str, wheels_dir: Path | None, why: str
) -> None:
    said = pzem_release.explain(stderr, wheels_dir)
    assert why in said
    assert "\n" not in said


def test_a_run_waits_for_another_one(pzem_release: ModuleType, tmp_path: Path) -> None:
    order = []

    def wait() -> None:
        with pzem_release.alone(tmp_path):
            order.append("second")

    second = threading.Thread(target=wait)
    with pzem_release.alone(tmp_path):
        second.start()
        time.sleep(0.3)
        order.append("first")
    second.join()
    assert order == ["first", "second"]


def test_what_a_killed_run_has_started_keeps_the_lock(
    pzem_release: ModuleType, tmp_path: Path
) -> None:
    with pzem_release.alone(tmp_path):
        pip = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with (
            pytest.raises(pzem_release.InstallError, match="another run has been installing"),
            pzem_release.alone(tmp_path, patience_s=0),
        ):
            pytest.fail("the lock was free")
    finally:
        pip.kill()
        pip.wait()
    with pzem_release.alone(tmp_path, patience_s=0):
        pass
