"""The spool's file: an SQLite database that a power cut leaves sound.

It keeps a write-ahead log: a commit appends the few pages that it changes and waits for
the card once (`synchronous = FULL`), and pages that change again and again, as the
last one does, reach their place only when the log is folded in. What is torn at the
log's end by a power cut fails its checksum and is left out. The lock is exclusive, so
that no shared memory file is needed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pzem.files import sync
from pzem.spool.boots import Boot

NAME: Final = "spool.sqlite3"
PAGE_BYTES: Final = 4096
"""The block of the card's file system."""
LOG_SHARE: Final = 8
"""The log may take this part of the room, and no more than `LOG_BYTES`."""
LOG_BYTES: Final = 4_000_000
FORMAT: Final = 1
NO_BOOT: Final = 0
"""In the place of a boot's number: the block has its true time."""

_DAMAGED: Final = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,  # no such table or column
    }
)
_UNREADABLE: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
        sqlite3.SQLITE_IOERR_CORRUPTFS,
    }
)

_SPARE_PAGES: Final = 8
"""For the pages that hold the tree together, the list of free ones, and the boots."""
_MANY: Final = 200
_LAST_SEQ: Final = 2**32
"""More blocks than one a second bring in a hundred years."""

_SCHEMA: Final = """
CREATE TABLE blocks (
  seq INTEGER PRIMARY KEY,
  boot INTEGER NOT NULL,
  unix_s INTEGER NOT NULL,
  monotonic_s REAL NOT NULL,
  body BLOB NOT NULL
);
CREATE TABLE boots (number INTEGER PRIMARY KEY, boot_id TEXT NOT NULL UNIQUE, state TEXT NOT NULL);
"""

log = logging.getLogger(__name__)


class Row(NamedTuple):
    """One block on the card."""

    seq: int
    boot: int
    """Number of its boot if it has no true time, else `NO_BOOT`."""
    unix_s: int
    monotonic_s: float
    body: bytes


class Contents(NamedTuple):
    """What a file holds when it is opened."""

    blocks: int
    last_seq: int
    newest_s: int | None
    """Slot of the newest block with a true time."""
    boots: list[Boot]


def size_of(bodies: Iterable[bytes]) -> int:
    """Return about how many bytes blocks with these `bodies` take on the card."""
    return sum(len(body) + 32 for body in bodies)


class SpoolFile:
    """The file, used by one thread at a time.

    Methods raise `sqlite3.Error` or `OSError` where the card does not do its part. A file
    that is made, or removed, is on the card for good when the method returns.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.path = folder / NAME
        self._log_bytes = min(LOG_BYTES, max_bytes // LOG_SHARE)
        self._max_pages = max((max_bytes - 2 * self._log_bytes) // PAGE_BYTES, 24)
        self._db: sqlite3.Connection | None = None
        self._damage_said = False

    @property
    def is_open(self) -> bool:
        """Whether the other methods may be called."""
        return self._db is not None

    def exists(self) -> bool:
        """Tell whether an earlier run has left blocks; raises `OSError` if that is unknown."""
        self._finish_salvage()
        try:
            self.path.stat()
        except FileNotFoundError:
            return False
        return True

    def open(self) -> Contents:
        """Open the file, or make it; if it is damaged, open a new one with what can be read."""
        try:
            return self._open()
        except sqlite3.DatabaseError as error:
            self.close()
            if not _is_damage(error):
                raise
            why = str(error)
        if not self._damage_said:  # a card without room has it tried again and again
            self._damage_said = True
            log.error("%s is damaged (%s); what can be read of it is kept", self.path, why)
        self._salvage()
        self._damage_said = False
        return self._open()

    def is_read_only(self) -> bool:
        """Tell whether the card was made read-only, as a worn one does to itself."""
        with contextlib.suppress(OSError):
            return bool(os.statvfs(self.path.parent).f_flag & os.ST_RDONLY)
        return False

    def close(self) -> None:
        """Let go of the file; what was committed is on the card already."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def remove(self) -> None:
        """Remove the file, which must be empty: whatever a crash leaves of it is empty too."""
        self.close()
        self.path.unlink(missing_ok=True)
        for suffix in ("-wal", "-journal", "-shm"):
            _beside(self.path, suffix).unlink(missing_ok=True)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside as one, or nothing of it."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
            raise

    def add(self, rows: Iterable[Row]) -> None:
        """Add blocks."""
        self._database.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?)", rows)

    def delete(self, seqs: Iterable[int]) -> int:
        """Take blocks out and return how many were there."""
        taken = self._database.executemany(
            "DELETE FROM blocks WHERE seq = ?", ((seq,) for seq in seqs)
        )
        return max(taken.rowcount, 0)

    def rows(self, after_seq: int, most: int) -> list[Row]:
        """Return up to `most` blocks in their order, from the first after `after_seq` on."""
        return list(
            map(
                Row._make,
                self._database.execute(
                    "SELECT seq, boot, unix_s, monotonic_s, body FROM blocks"
                    " WHERE seq > ? ORDER BY seq LIMIT ?",
                    (after_seq, most),
                ),
            )
        )

    def oldest(self, most: int) -> list[tuple[int, int, int]]:
        """Return (number, boot, time) of the oldest blocks."""
        return list(
            self._database.execute(
                "SELECT seq, boot, unix_s FROM blocks ORDER BY seq LIMIT ?", (most,)
            )
        )

    def slots(self, first_s: int, last_s: int) -> set[int]:
        """Return the slots of blocks with a true time from `first_s` to `last_s`."""
        found = self._database.execute(
            "SELECT unix_s FROM blocks WHERE boot = ? AND unix_s BETWEEN ? AND ?",
            (NO_BOOT, first_s, last_s),
        )
        return {unix_s for (unix_s,) in found}

    def newest_before(self, seq: int) -> int | None:
        """Return the newest true slot of all blocks that were put before the one numbered `seq`."""
        (slot_s,) = self._database.execute(
            "SELECT max(unix_s) FROM blocks WHERE boot = ? AND seq < ?", (NO_BOOT, seq)
        ).fetchone()
        return None if slot_s is None else int(slot_s)

    def of_boot(self, number: int) -> Iterator[Row]:
        """Yield the undated blocks of one boot in their order."""
        for found in self._database.execute(
            "SELECT seq, boot, unix_s, monotonic_s, body FROM blocks WHERE boot = ? ORDER BY seq",
            (number,),
        ):
            yield Row._make(found)

    def span(self, number: int) -> tuple[float, float] | None:
        """Return the monotonic time of the first and of the last undated block of a boot."""
        first_s, last_s = self._database.execute(
            "SELECT min(monotonic_s), max(monotonic_s) FROM blocks WHERE boot = ?", (number,)
        ).fetchone()
        return None if first_s is None else (first_s, last_s)

    def save(self, boot: Boot, state: str | None = None) -> None:
        """Keep the state of a boot, by default its present one; gives it a number."""
        if boot.number is None:
            (last,) = self._database.execute("SELECT max(number) FROM boots").fetchone()
            boot.number = NO_BOOT + 1 if last is None else last + 1
        self._database.execute(
            "INSERT OR REPLACE INTO boots VALUES (?, ?, ?)",
            (boot.number, boot.boot_id, boot.to_json() if state is None else state),
        )

    def forget(self, boot: Boot) -> None:
        """Keep the state of a boot no longer."""
        self._database.execute("DELETE FROM boots WHERE boot_id = ?", (boot.boot_id,))
        boot.number = None

    def has_room(self, wanted_bytes: int) -> bool:
        """Tell whether as much still fits into the file as it may be large."""
        (pages,) = self._database.execute("PRAGMA page_count").fetchone()
        (free,) = self._database.execute("PRAGMA freelist_count").fetchone()
        # A page takes blocks as long as whole ones fit: up to a quarter may stay empty.
        wanted_pages = wanted_bytes * 4 // (3 * PAGE_BYTES) + 4
        return bool(pages - free + wanted_pages + _SPARE_PAGES <= self._max_pages)

    def size(self) -> int:
        """Return the bytes that it takes on the card, with its log."""
        total = 0
        for path in (self.path, _beside(self.path, "-wal")):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    @property
    def _database(self) -> sqlite3.Connection:
        if self._db is None:
            raise sqlite3.ProgrammingError("the spool's file is not open")
        return self._db

    def _open(self, path: Path | None = None) -> Contents:
        path = path or self.path
        is_new = not path.exists()
        self._db = _connect(path)
        execute = self._db.execute
        execute(f"PRAGMA page_size = {PAGE_BYTES}")
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA temp_store = MEMORY")
        execute(f"PRAGMA max_page_count = {self._max_pages}")
        execute(f"PRAGMA wal_autocheckpoint = {max(self._log_bytes // PAGE_BYTES, 8)}")
        execute(f"PRAGMA journal_size_limit = {self._log_bytes}")
        (version,) = execute("PRAGMA user_version").fetchone()
        (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version == 0 and tables == 0:
            with self.transaction():
                for statement in _SCHEMA.split(";"):
                    execute(statement)
                execute(f"PRAGMA user_version = {FORMAT}")
        elif version != FORMAT:
            raise _foreign(version)
        if is_new:
            sync(path.parent)
        return self._contents()

    def _contents(self) -> Contents:
        """Look at every block, and so at every page."""
        boots = dict(self._boots(self._database))
        blocks, last_seq, newest_s, undated = self._database.execute(
            "SELECT count(*), max(seq), max(CASE boot WHEN ? THEN unix_s END), sum(boot != ?)"
            " FROM blocks",
            (NO_BOOT, NO_BOOT),
        ).fetchone()
        if undated:
            for number, count in self._database.execute(
                "SELECT boot, count(*) FROM blocks WHERE boot != ? GROUP BY boot", (NO_BOOT,)
            ):
                if number not in boots:
                    boots[number] = Boot(f"unknown {number}", number)
                boots[number].undated_on_card = count
        last_seq = -1 if last_seq is None else last_seq
        return Contents(blocks, last_seq, newest_s, list(boots.values()))

    @staticmethod
    def _boots(db: sqlite3.Connection) -> Iterator[tuple[int, Boot]]:
        for number, boot_id, state in db.execute("SELECT number, boot_id, state FROM boots"):
            try:
                yield number, Boot.from_json(number, boot_id, state)
            except (ValueError, TypeError, KeyError, IndexError):
                yield number, Boot(boot_id, number)

    def _salvage(self) -> None:
        """Copy what can be read into a new file, and only then set the damaged one aside."""
        fresh = _beside(self.path, ".new")
        _remove_all(fresh)
        saved = 0
        damaged = _connect(self.path)
        try:
            self._open(fresh)
            self._database.execute("PRAGMA synchronous = OFF")  # nothing counts before the end
            boots = []
            with contextlib.suppress(sqlite3.Error, TypeError):
                damaged.execute("PRAGMA locking_mode = EXCLUSIVE")
                boots = [boot for _, boot in self._boots(damaged)]
            with self.transaction():
                for boot in boots:
                    self.save(boot)
            for rows in _readable(damaged):
                if not self.has_room(size_of(row.body for row in rows)):
                    break
                with self.transaction():
                    self.add(rows)
                saved += len(rows)
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            damaged.close()
            self.close()
        _remove_log(fresh)
        sync(fresh)
        aside = _beside(self.path, ".damaged")
        _remove_all(aside)
        for suffix in ("-wal", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                _beside(self.path, suffix).replace(_beside(aside, suffix))
        self.path.replace(aside)
        self._finish_salvage()
        log.error("%d blocks could be read; the damaged file is kept as %s", saved, aside.name)

    def _finish_salvage(self) -> None:
        """Give a salvaged file its name. While the damaged one has it, it is not complete."""
        fresh = _beside(self.path, ".new")
        if fresh.exists():
            if self.path.exists():
                _remove_all(fresh)
            else:
                fresh.replace(self.path)
            sync(self.path.parent)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code in _UNREADABLE or code & 0xFF in _DAMAGED


def _foreign(version: int) -> sqlite3.DatabaseError:
    return sqlite3.DatabaseError(f"format {version} instead of {FORMAT}")


def _readable(db: sqlite3.Connection) -> Iterator[list[Row]]:
    """Yield the blocks that can be read, and step over the pages that cannot."""
    first, most, missed = 0, _MANY, 0
    while first < _LAST_SEQ:
        try:
            rows = _checked(db, first, most)
        except (sqlite3.Error, TypeError, ValueError):
            if most > 1:  # those before the damage can be had one by one
                most = 1
                continue
            missed += 1
            # The other blocks of the page will fail too; behind a few pages lies no end.
            first += 1 if missed < _MANY else missed
            continue
        if not rows:
            return
        yield rows
        first = rows[-1].seq + 1
        if missed:
            most, missed = _MANY, 0


def _checked(db: sqlite3.Connection, first: int, most: int) -> list[Row]:
    found = db.execute(
        "SELECT seq, boot, unix_s, monotonic_s, body FROM blocks"
        " WHERE seq >= ? ORDER BY seq LIMIT ?",
        (first, most),
    )
    return [
        Row(int(seq), int(boot), int(unix_s), float(monotonic_s), bytes(body))
        for seq, boot, unix_s, monotonic_s, body in found
    ]


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _remove_log(path: Path) -> None:
    for suffix in ("-wal", "-journal", "-shm"):
        _beside(path, suffix).unlink(missing_ok=True)


def _remove_all(path: Path) -> None:
    path.unlink(missing_ok=True)
    _remove_log(path)
