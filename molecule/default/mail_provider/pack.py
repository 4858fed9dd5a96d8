"""Pack the libraries of the stand-in into one zip file to be put on PYTHONPATH.

Usage: pack.py ZIP
"""

import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

LIBRARIES: Final = ("aiosmtpd", "attr", "public")
"""What the server is made of; all of it pure Python."""

with zipfile.ZipFile(sys.argv[1], "w") as archive:
    for name in LIBRARIES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            sys.exit(f"{name} is not installed")
        package = Path(spec.origin).parent
        for file in sorted(package.rglob("*.py")):
            archive.write(file, file.relative_to(package.parent))
