#!/usr/bin/python
"""Ansible module: the collector as a wheel whose version tells its content."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shutil
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: pzem_wheel
short_description: The collector as a wheel whose version tells its content
description:
  - Builds a wheel from the collector's source folder, unless the cache holds it already.
  - Its version is the source's own with a digest of the source behind it, such as
    C(0.1.0+src3f9c0a1b2d4e), so that different collectors never carry the same version.
    Equal sources give equal wheels, byte for byte.
  - The source folder is only read; no network is used. Runs on the controller, with flit_core.
options:
  source:
    description: The source folder, with pyproject.toml and src/pzem.
    type: path
  cache:
    description: The folder in which wheels are kept. It is made if it is missing.
    type: path
  wheel:
    description: A wheel that was built elsewhere, to be used instead of I(source).
    type: path
author: House power monitor
"""

EXAMPLES = r"""
- name: Build the collector's wheel
  pzem_wheel:
    source: "{{ playbook_dir }}/../collector"
    cache: "{{ playbook_dir }}/../.cache/wheels"
  delegate_to: localhost
"""

RETURN = r"""
path:
  description: The wheel; in check mode it may not be there yet.
  type: str
  returned: success
version:
  description: Its version.
  type: str
  returned: success
digest:
  description: A digest of what is in it.
  type: str
  returned: success
"""

NAME = "pzem"
DIGEST_LENGTH = 12
TIMESTAMP = "1577836800"
"""The time on every file in the wheel, 2020-01-01: not when it was built, which tells nothing."""

VERSION_LINE = re.compile(r'^__version__ = "([^"+]+)"$', re.MULTILINE)
WHEEL_NAME = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl")


class WheelError(Exception):
    """There is no wheel to be had; the message is one line that tells what mends it."""


@dataclass(frozen=True)
class Wheel:
    """A wheel, there or to be built."""

    path: Path
    version: str
    digest: str


def given(path: Path) -> Wheel:
    """Return the wheel at `path`, which somebody else has built."""
    parts = WHEEL_NAME.fullmatch(path.name)
    if parts is None or parts["name"] != NAME:
        raise WheelError(
            f"{path} is not a wheel of the collector: "
            f"name a file such as {NAME}-0.1.0-py3-none-any.whl"
        )
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except OSError as error:
        raise WheelError(f"{path} cannot be read: {error.strerror}; mend pzem_wheel") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise WheelError(f"{path} is damaged ({error}); build or copy it again") from error
    if damaged:
        raise WheelError(f"{path} is damaged ({damaged}); build or copy it again")
    return Wheel(path, parts["version"], hashlib.sha256(content).hexdigest())


def of_source(source: Path, cache: Path) -> Wheel:
    """Return the wheel that `source` makes, which may not be in `cache` yet."""
    digest = hashlib.sha256()
    try:
        for path in content_of(source):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(source).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
        found = VERSION_LINE.search(version_file(source).read_text(encoding="utf-8"))
    except OSError as error:
        raise WheelError(
            f"{source} is not the collector's source: {error.filename}: {error.strerror}; "
            "mend pzem_source"
        ) from error
    if found is None:
        raise WheelError(f'{version_file(source)} has no line __version__ = "…"; restore it')
    version = f"{found[1]}+src{digest.hexdigest()[:DIGEST_LENGTH]}"
    return Wheel(cache / f"{NAME}-{version}-py3-none-any.whl", version, digest.hexdigest())


def version_file(source: Path) -> Path:
    """Return the file that tells the source's version."""
    return source / "src" / NAME / "__init__.py"


def content_of(source: Path) -> list[Path]:
    """Return the files that make the wheel, always in the same order."""
    package = source / "src" / NAME
    files = [
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts
    ]
    return [source / "pyproject.toml", *sorted(files)]


def build(source: Path, wheel: Wheel) -> None:
    """Build `wheel` from a copy of `source`; it appears in its folder whole or not at all."""
    try:
        buildapi = importlib.import_module("flit_core.buildapi")
    except ImportError as error:
        raise WheelError(
            f"flit_core is missing on the controller: {sys.executable} -m pip install "
            "-r requirements/provision.txt"
        ) from error
    wheel.path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wheel.path.parent, prefix=".build-") as scratch:
        copy = Path(scratch) / "source"
        for path in content_of(source):
            target = copy / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        text = version_file(copy).read_text(encoding="utf-8")
        stamped = VERSION_LINE.sub(f'__version__ = "{wheel.version}"', text, count=1)
        version_file(copy).write_text(stamped, encoding="utf-8")
        os.environ["SOURCE_DATE_EPOCH"] = TIMESTAMP
        before = Path.cwd()
        os.chdir(copy)  # where a PEP 517 builder expects its project
        try:
            built = Path(scratch) / buildapi.build_wheel(scratch)
        finally:
            os.chdir(before)
        built.chmod(0o644)
        built.replace(wheel.path)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path"},
            "cache": {"type": "path"},
            "wheel": {"type": "path"},
        },
        required_one_of=[("source", "wheel")],
        required_by={"source": "cache"},
        supports_check_mode=True,
    )
    params = module.params
    changed = False
    try:
        if params["wheel"]:
            wheel = given(Path(params["wheel"]))
        else:
            source = Path(params["source"]).resolve()
            wheel = of_source(source, Path(params["cache"]).resolve())
            changed = not wheel.path.exists()
            if changed and not module.check_mode:
                build(source, wheel)
    except (WheelError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=changed, path=str(wheel.path), version=wheel.version, digest=wheel.digest
    )


if __name__ == "__main__":
    main()
