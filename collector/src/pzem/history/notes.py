"""The file that tells how far an import is."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pzem.kept import KeptFile

PRICE: Final = "an import that is interrupted begins anew"
_CHECKSUM: Final = "crc32"


class Notes:
    """Where an import stands, with a checksum: what was not written so is not gone on from."""

    def __init__(self, path: Path) -> None:
        self._file = KeptFile(path, PRICE, is_right=_is_whole)

    def load(self) -> dict[str, Any]:
        """Return what was noted last; nothing if there is no file, or another has written it."""
        kept = self._file.load() or {}
        return {name: value for name, value in kept.items() if name != _CHECKSUM}

    def save(self, content: Mapping[str, Any]) -> None:
        """Have `content` replace what was noted before."""
        self._file.save({**content, _CHECKSUM: _checksum(content)})


def _is_whole(kept: Mapping[str, Any]) -> bool:
    content = {name: value for name, value in kept.items() if name != _CHECKSUM}
    return kept.get(_CHECKSUM) == _checksum(content)


def _checksum(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
