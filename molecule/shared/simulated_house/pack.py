"""Pack a Python package into one zip file to be put on PYTHONPATH, the same for the same content.

Usage: pack.py PACKAGE_FOLDER ZIP
"""

import sys
import zipfile
from pathlib import Path


def pack(package: Path, target: Path) -> None:
    """Write the Python files of `package` to `target`; raises `OSError`."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(package.rglob("*.py")):
            name = str(file.relative_to(package.parent))
            archive.writestr(zipfile.ZipInfo(name), file.read_bytes())


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
