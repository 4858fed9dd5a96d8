"""A portable backup of InfluxDB, restored beside what the server has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

from pzem.history import ImportFailedError
from pzem.history.importer import Patience
from pzem.influx import Influx, quoted

DATABASE: Final = "pzem_import_original"
"""Where a backup is restored to; removed when the import is complete."""

LONGEST_S: Final = 300.0
"""How long the server may take for what it has already been sent."""
POLL_S: Final = 0.2


def restore(folder: Path, database: str, influx: Influx, ask: Patience, rpc: str) -> None:
    """Restore `database` out of the portable backup in `folder` as `DATABASE`.

    What is there under that name is an earlier try and goes first. Raises
    `ImportFailedError` if this cannot be done, `OSError` if the folder cannot be read.
    """
    manifests = sorted(name for name in os.listdir(folder) if name.endswith(".manifest"))
    if not manifests:
        raise ImportFailedError(
            f"{folder} holds no portable backup (no *.manifest in it); make one with "
            f"influxd backup -portable -database {database} FOLDER"
        )
    wanted = _shards(folder / manifests[-1], database)
    influxd = shutil.which("influxd")
    if influxd is None:
        raise ImportFailedError("influxd is not on the PATH, and restores the backup")
    remove(influx, ask)
    line = [influxd, "restore", "-portable", "-host", rpc, "-db", database, "-newdb", DATABASE]
    done = subprocess.run([*line, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode or not is_restored(influx, ask):
        words = (done.stderr + done.stdout).strip().splitlines() or ["it said nothing"]
        raise ImportFailedError(f"the backup in {folder} could not be restored: {words[-1]}")
    _wait_for_shards(wanted, influx, ask)


def _shards(manifest: Path, database: str) -> int:
    """Return how many shards of `database` are in a backup; its newest manifest lists all."""
    try:
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        return len({one["shardID"] for one in files if one["database"] == database})
    except (ValueError, TypeError, KeyError) as error:
        raise ImportFailedError(f"{manifest} cannot be read: {error}") from error


def _wait_for_shards(wanted: int, influx: Influx, ask: Patience) -> None:
    """Wait until the server has taken in what `influxd restore` has sent.

    That one does not wait for an answer, and a shard that is still empty is no error to a
    query: part of the history would be missing without a word.
    """
    deadline_s = time.monotonic() + LONGEST_S
    while (there := ask(lambda: shards_with_files(influx))) < wanted:
        if time.monotonic() > deadline_s:
            raise ImportFailedError(
                f"of the backup's {wanted} shards only {there} have arrived; look at the log of "
                "InfluxDB, and at the room on the card"
            )
        time.sleep(POLL_S)


def shards_with_files(influx: Influx) -> int:
    """Return how many shards of `DATABASE` have files on disk that can be read."""
    return sum(
        part["values"]["numFiles"] > 0
        for part in influx.statistics().values()
        if isinstance(part, dict)
        and part.get("name") == "tsm1_filestore"
        and part["tags"]["database"] == DATABASE
    )


def is_restored(influx: Influx, ask: Patience) -> bool:
    """Tell whether the server has a database of that name."""
    return any(row["name"] == DATABASE for row in ask(lambda: influx.query("SHOW DATABASES")))


def remove(influx: Influx, ask: Patience) -> None:
    """Remove the restored database, if there is one."""
    ask(lambda: influx.query(f"DROP DATABASE {quoted(DATABASE)}"))
