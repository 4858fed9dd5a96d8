"""A portable backup of InfluxDB, restored beside what the server has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from pzem.history.database import ImportFailedError, Server, name
from pzem.history.importer import Patience

DATABASE: Final = "pzem_import_original"
"""Where a backup is restored to; removed when the import is complete."""


def restore(folder: Path, database: str, server: Server, ask: Patience, rpc: str) -> None:
    """Restore `database` out of the portable backup in `folder` as `DATABASE`.

    What is there under that name is an earlier try and goes first. Raises
    `ImportFailedError` if this cannot be done.
    """
    if not any(folder.glob("*.manifest")):
        raise ImportFailedError(
            f"{folder} holds no portable backup (no *.manifest in it); make one with "
            f"influxd backup -portable -database {database} FOLDER"
        )
    influxd = shutil.which("influxd")
    if influxd is None:
        raise ImportFailedError("influxd is not on the PATH, and restores the backup")
    remove(server, ask)
    line = [influxd, "restore", "-portable", "-host", rpc, "-db", database, "-newdb", DATABASE]
    done = subprocess.run([*line, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode or not is_restored(server, ask):
        words = (done.stderr + done.stdout).strip().splitlines() or ["it said nothing"]
        raise ImportFailedError(f"the backup in {folder} could not be restored: {words[-1]}")


def is_restored(server: Server, ask: Patience) -> bool:
    """Tell whether the server has a database of that name."""
    return any(row["name"] == DATABASE for row in ask(lambda: server.rows("SHOW DATABASES")))


def remove(server: Server, ask: Patience) -> None:
    """Remove the restored database, if there is one."""
    ask(lambda: server.rows(f"DROP DATABASE {name(DATABASE)}"))
