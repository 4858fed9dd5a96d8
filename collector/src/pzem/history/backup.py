"""A portable backup of InfluxDB, restored beside what the server has."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

from pzem.history.database import ImportFailedError, Server, name
from pzem.history.importer import Patience

DATABASE: Final = "pzem_import_original"
"""Where a backup is restored to; removed when the import is complete."""

LONGEST_S: Final = 300.0
"""How long the server may take for what it has already been sent."""
POLL_S: Final = 0.2


def restore(folder: Path, database: str, server: Server, ask: Patience, rpc: str) -> None:
    """Restore `database` out of the portable backup in `folder` as `DATABASE`.

    What is there under that name is an earlier try and goes first. Raises
    `ImportFailedError` if this cannot be done.
    """
    manifests = sorted(folder.glob("*.manifest"))
    if not manifests:
        raise ImportFailedError(
            f"{folder} holds no portable backup (no *.manifest in it); make one with "
            f"influxd backup -portable -database {database} FOLDER"
        )
    wanted = _shards(manifests[-1], database)
    influxd = shutil.which("influxd")
    if influxd is None:
        raise ImportFailedError("influxd is not on the PATH, and restores the backup")
    remove(server, ask)
    line = [influxd, "restore", "-portable", "-host", rpc, "-db", database, "-newdb", DATABASE]
    done = subprocess.run([*line, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode or not is_restored(server, ask):
        words = (done.stderr + done.stdout).strip().splitlines() or ["it said nothing"]
        raise ImportFailedError(f"the backup in {folder} could not be restored: {words[-1]}")
    _wait_for_shards(wanted, server, ask)


def _shards(manifest: Path, database: str) -> int:
    """Return how many shards of `database` are in a backup; its newest manifest lists all."""
    try:
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        return len({one["shardID"] for one in files if one["database"] == database})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ImportFailedError(f"{manifest} cannot be read: {error}") from error


def _wait_for_shards(wanted: int, server: Server, ask: Patience) -> None:
    """Wait until the server has taken in what `influxd restore` has sent.

    That one does not wait for an answer, and a shard that is still empty is no error to a
    query: part of the history would be missing without a word.
    """
    deadline_s = time.monotonic() + LONGEST_S
    while (there := ask(lambda: server.shards_with_files(DATABASE))) < wanted:
        if time.monotonic() > deadline_s:
            raise ImportFailedError(
                f"of the backup's {wanted} shards only {there} have arrived; look at the log of "
                "InfluxDB, and at the room on the card"
            )
        time.sleep(POLL_S)


def is_restored(server: Server, ask: Patience) -> bool:
    """Tell whether the server has a database of that name."""
    return any(row["name"] == DATABASE for row in ask(lambda: server.rows("SHOW DATABASES")))


def remove(server: Server, ask: Patience) -> None:
    """Remove the restored database, if there is one."""
    ask(lambda: server.rows(f"DROP DATABASE {name(DATABASE)}"))
