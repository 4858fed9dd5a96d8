"""The module pzem_wheel, on the collector itself."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def source(collector: Path, tmp_path: Path) -> Path:
    """Return a copy of the collector's source that a test may change."""
    copy = tmp_path / "collector"
    shutil.copytree(collector, copy, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    return copy


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "wheels"


def everything_in(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and time of each file, caches apart."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_collector_and_its_version(
    pzem_wheel: ModuleType, source: Path, cache: Path
) -> None:
    before = everything_in(source)
    wheel = pzem_wheel.of_source(source, cache)
    pzem_wheel.build(source, wheel)
    assert everything_in(source) == before
    assert list(cache.iterdir()) == [wheel.path]
    assert wheel.path.stat().st_mode & 0o777 == 0o644
    with zipfile.ZipFile(wheel.path) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        folder = f"pzem-{wheel.version}.dist-info"
        assert f"Version: {wheel.version}\n" in archive.read(f"{folder}/METADATA").decode()
        assert "pzem=pzem.cli:main" in archive.read(f"{folder}/entry_points.txt").decode()
        assert f'__version__ = "{wheel.version}"' in archive.read("pzem/__init__.py").decode()
    assert packed == {
        name.removeprefix("src/")
        for name in before
        if name.startswith("src/") and name[-4:] != ".pyc"
    }


def test_equal_sources_give_equal_wheels(
    pzem_wheel: ModuleType, source: Path, tmp_path: Path
) -> None:
    first = pzem_wheel.of_source(source, tmp_path / "first")
    pzem_wheel.build(source, first)
    for path in source.rglob("*"):
        os.utime(path, (1, 1))
    cached = source / "src/pzem/__pycache__"
    cached.mkdir()
    (cached / "meter.cpython-313.pyc").write_bytes(b"x")
    elsewhere = tmp_path / "elsewhere"
    source.rename(elsewhere)
    second = pzem_wheel.of_source(elsewhere, tmp_path / "second")
    pzem_wheel.build(elsewhere, second)
    assert second.version == first.version
    assert second.path.read_bytes() == first.path.read_bytes()


@pytest.mark.parametrize("changed", ["src/pzem/meter.py", "pyproject.toml", "src/pzem/new.py"])
def test_another_content_is_another_version(
    pzem_wheel: ModuleType, source: Path, cache: Path, changed: str
) -> None:
    before = pzem_wheel.of_source(source, cache)
    with (source / changed).open("a") as stream:
        stream.write("# more\n")
    after = pzem_wheel.of_source(source, cache)
    assert after.version != before.version
    assert after.path != before.path


def test_a_moved_line_between_files_is_another_content(
    pzem_wheel: ModuleType, source: Path, cache: Path
) -> None:
    one, other = source / "src/pzem/x1.py", source / "src/pzem/x2.py"
    one.write_text("a\n")
    other.write_text("b\n")
    before = pzem_wheel.of_source(source, cache)
    one.write_text("a\nb\n")
    other.write_text("")
    assert pzem_wheel.of_source(source, cache).version != before.version


def test_a_folder_that_is_not_the_source(
    pzem_wheel: ModuleType, tmp_path: Path, cache: Path
) -> None:
    with pytest.raises(
        pzem_wheel.WheelError, match=r"not the collector's source.*mend pzem_source"
    ):
        pzem_wheel.of_source(tmp_path, cache)


def test_a_source_without_a_version(pzem_wheel: ModuleType, source: Path, cache: Path) -> None:
    pzem_wheel.version_file(source).write_text('"""Nothing."""\n')
    with pytest.raises(pzem_wheel.WheelError, match="has no line __version__"):
        pzem_wheel.of_source(source, cache)


def test_a_failing_build_leaves_nothing(pzem_wheel: ModuleType, source: Path, cache: Path) -> None:
    (source / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(Exception, match="name must be specified"):
        pzem_wheel.build(source, pzem_wheel.of_source(source, cache))
    assert list(cache.iterdir()) == []


def test_a_given_wheel_tells_its_version(pzem_wheel: ModuleType, source: Path, cache: Path) -> None:
    built = pzem_wheel.of_source(source, cache)
    pzem_wheel.build(source, built)
    given = pzem_wheel.given(built.path)
    assert (given.path, given.version) == (built.path, built.version)
    damaged = bytearray(built.path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    built.path.write_bytes(damaged)
    with pytest.raises(pzem_wheel.WheelError, match="is damaged"):
        pzem_wheel.given(built.path)
    built.path.write_bytes(damaged[:100])
    with pytest.raises(pzem_wheel.WheelError, match="is damaged"):
        pzem_wheel.given(built.path)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("other-1.0-py3-none-any.whl", "is not a wheel of the collector"),
        ("pzem-1.0.tar.gz", "is not a wheel of the collector"),
        ("pzem-1.0-py3-none-any.whl", "cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_wheel(pzem_wheel: ModuleType, tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(pzem_wheel.WheelError, match=why):
        pzem_wheel.given(tmp_path / name)
