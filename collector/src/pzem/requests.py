"""What a person asks of the collector, whether it runs or not: one file each.

A request is a file in `state_dir`/requests. Whoever may write there leaves it; the
collector takes it up in its next cycle, or at its next start, and removes it when what
it asks for is kept.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pzem.errors import PzemError, why
from pzem.saver import Saver

METER_REPLACED: Final = "meter-replaced"
KINDS: Final = (METER_REPLACED,)
MAX_BYTES: Final = 4096
FOLDER: Final = "requests"
SUFFIX: Final = ".json"

log = logging.getLogger(__name__)


class RequestError(PzemError):
    """A request cannot be left."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing asked for."""

    id: str
    """Tells it from every other one."""
    kind: str
    """One of `KINDS`."""
    meter: str


class Requests:
    """The requests that wait in `state_dir`, which `saver` looks for on the card."""

    def __init__(self, state_dir: Path, saver: Saver) -> None:
        self._folder = state_dir / FOLDER
        self._saver = saver
        self._found: list[Request] = []
        self._met: set[Request] = set()
        self._lock = threading.Lock()
        self._said: set[str] = set()

    def waiting(self) -> list[Request]:
        """Have them looked for; return all that were found and understood, the oldest first.

        What has come since the last look is returned the next time.
        """
        self._saver.submit(self, self._look)
        with self._lock:
            return [one for one in self._found if one not in self._met]

    def done(self, request: Request) -> None:
        """Have a request removed that has been met, and whose effect is kept."""
        with self._lock:
            self._met.add(request)

    def _look(self) -> bool:
        with self._lock:
            met = self._met.copy()
        gone = {one for one in met if self._remove(one.id + SUFFIX)}
        try:
            with os.scandir(self._folder) as entries:
                names = sorted(entry.name for entry in entries if _is_request(entry))
        except OSError:  # mostly there is no folder, as long as nothing was asked for
            names = []
        found = [request for name in names if (request := self._read(name)) is not None]
        with self._lock:
            self._found = found
            self._met -= gone
        return True

    def _read(self, name: str) -> Request | None:
        try:
            # Whoever may write there may also put something there that never ends.
            descriptor = os.open(
                self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
            with open(descriptor, "rb") as stream:
                document = json.loads(stream.read(MAX_BYTES))
            kind, meter = document["kind"], document["meter"]
        except FileNotFoundError:
            return None
        except OSError as error:
            self._say(name, f"the request {name} cannot be read: {error.strerror}")
            return None
        except (ValueError, KeyError, TypeError, RecursionError):
            kind, meter = None, None
        if kind not in KINDS or not isinstance(meter, str):
            self._say(name, f"the request {name} cannot be understood; it is removed")
            self._remove(name)
            return None
        return Request(name.removesuffix(SUFFIX), kind, meter)

    def _remove(self, name: str) -> bool:
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            self._say(f"-{name}", f"the request {name} cannot be removed: {error.strerror}")
            return False
        return True

    def _say(self, what: str, words: str) -> None:
        if what not in self._said:
            self._said.add(what)
            log.warning("%s", words)


def leave(state_dir: Path, kind: str, meter: str, unix_s: float) -> Request:
    """Leave a request, on the card when this returns; raises `RequestError`.

    It belongs to whoever owns `state_dir`, for that is who runs the collector; root may
    leave it. `unix_s`: seconds since 1970, by which the oldest is met first.
    """
    request = Request(f"{round(unix_s * 1000):016d}-{secrets.token_hex(4)}", kind, meter)
    text = json.dumps({"kind": kind, "meter": meter}) + "\n"
    try:
        parent = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            owner = os.fstat(parent)
            folder = _opened_folder(parent, owner)
            try:
                _write(folder, request.id + SUFFIX, text, owner)
            finally:
                os.close(folder)
        finally:
            os.close(parent)
    except FileNotFoundError as error:
        raise RequestError(f"there is no {state_dir}: no collector ever ran here") from error
    except OSError as error:
        raise RequestError(f"cannot write in {state_dir / FOLDER}: {why(error)}") from error
    return request


def _opened_folder(parent: int, owner: os.stat_result) -> int:
    """Open the folder of the requests, made if it is missing; no link is followed.

    The service's user may write beside it, and root must not be led elsewhere.
    """
    try:
        os.mkdir(FOLDER, 0o700, dir_fd=parent)
        made = True
    except FileExistsError:
        made = False
    folder = os.open(
        FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent
    )
    if made:
        _give(folder, owner)
        os.fsync(parent)
    return folder


def _write(folder: int, name: str, text: str, owner: os.stat_result) -> None:
    fresh = f".{name}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(fresh, flags, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            _give(stream.fileno(), owner)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(fresh, dir_fd=folder)
        raise
    os.fsync(folder)


def _give(descriptor: int, owner: os.stat_result) -> None:
    """Give what was made to the owner of the state folder, if it is someone else's."""
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (owner.st_uid, owner.st_gid):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _is_request(entry: os.DirEntry[str]) -> bool:
    return (
        entry.name.endswith(SUFFIX)
        and not entry.name.startswith(".")
        and stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)
    )
