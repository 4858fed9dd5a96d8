#!/usr/bin/python3
"""Ansible module: a folder that keeps one secret a file, for its owner's eyes only."""

from __future__ import annotations

import errno
import json
import os
import pwd
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: house_secrets_folder
short_description: A folder that keeps one secret a file, for its owner's eyes only
description:
  - The folder has mode 0700, its files 0600; modes that are more open are mended.
  - A file is replaced at once and whole, synced to the disk first. What it held before stays
    beside it as NAME.previous.
  - Never fails, because a task with no_log could not say why; see the returned C(problem).
options:
  path:
    description: The folder. C(~) is the home of the user who runs the module.
    type: str
    required: true
  where:
    description: How a problem names the machine.
    type: str
    required: true
  state:
    description: C(read) changes nothing; C(kept) writes what is missing or different.
    type: str
    choices: [read, kept]
    default: read
  names:
    description: The secrets' names. Other files in the folder are nobody's business here.
    type: list
    elements: str
    required: true
  secrets:
    description: With C(state=kept), the secrets by name.
    type: dict
    default: {}
  agreed:
    description: With C(state=kept), what to keep as the record of what both sides agree on.
    type: dict
author: House power monitor
"""

EXAMPLES = r"""
- name: Read what is there
  house_secrets_folder:
    path: ~/.config/house-power-monitor/house
    where: this computer
    names: [mail_password]
  register: found
  no_log: true
"""

RETURN = r"""
secrets:
  description: The secrets that the folder holds, by name. An empty file counts as none.
  type: dict
  returned: always
agreed:
  description: The record of what both sides agreed on, empty if there is none.
  type: dict
  returned: always
problem:
  description: Why it could not be done and what mends it, on one line, or nothing.
  type: str
  returned: always
"""

RECORD: Final = ".agreed.json"
TEMPORARY: Final = ".new-"
MAX_LENGTH: Final = 256


class ProblemError(Exception):
    """The folder cannot be used; the message says why and what mends it."""


class Folder:
    """A folder of secrets. Nothing is created before `keep`."""

    def __init__(self, path: Path, where: str, names: Sequence[str], *, dry: bool = False) -> None:
        self.path = path
        self.where = where
        self.names = names
        self.dry = dry
        self.changed = False

    def read(self) -> dict[str, str]:
        """Return the secrets that exist, by name."""
        if not self._exists():
            return {}
        found = {name: self._secret(self.path / name) for name in self.names}
        return {name: secret for name, secret in found.items() if secret}

    def agreed(self) -> dict[str, str]:
        """Return the record; a damaged one is worth as much as none."""
        try:
            record = json.loads((self.path / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def keep(self, secrets: Mapping[str, str], agreed: Mapping[str, str] | None) -> None:
        """Write what is missing or different, the record last."""
        found = self.read()
        self._make()
        for name, value in secrets.items():
            if found.get(name) != value:
                if name in found:
                    self._write(self.path / f"{name}.previous", found[name])
                self._write(self.path / name, value)
        if agreed is not None and self.agreed() != dict(agreed):
            self._write(self.path / RECORD, json.dumps(dict(agreed), indent=1, sort_keys=True))

    def _exists(self) -> bool:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(found.st_mode):
            raise ProblemError(f"{self} is not a folder; move it out of the way")
        if found.st_uid != os.geteuid():
            me, owner = _user(os.geteuid()), _user(found.st_uid)
            raise ProblemError(
                f"{self} belongs to {owner}, and this runs as {me}; run it as {owner}, "
                f"or give it away: sudo chown -R {me} {self.path}"
            )
        return True

    def _secret(self, path: Path) -> str:
        try:
            value = path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
        except UnicodeDecodeError as error:
            raise ProblemError(
                f"{path} on {self.where} is not text; write the secret in it"
            ) from error
        if len(value) > MAX_LENGTH or not value.isprintable():
            raise ProblemError(
                f"{path} on {self.where} is not one line of at most {MAX_LENGTH} characters; "
                "write the secret in it and nothing else"
            )
        return value

    def _make(self) -> None:
        if not self._exists():
            self.changed = True
            if self.dry:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
        for path in (self.path, *self.path.iterdir()):
            if path.name.startswith(TEMPORARY):  # of a run that was interrupted
                self.changed = True
                if not self.dry:
                    path.unlink(missing_ok=True)
            elif not path.is_symlink() and path.lstat().st_mode & 0o077:
                self.changed = True
                if not self.dry:
                    path.chmod(0o700 if path.is_dir() else 0o600)

    def _write(self, path: Path, text: str) -> None:
        self.changed = True
        if self.dry:
            return
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=self.path)  # mode 0600
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(f"{text}\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def __str__(self) -> str:
        return f"{self.path} on {self.where}"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def explain(error: OSError, folder: Folder) -> str:
    """Say what an error of the system means for whoever keeps the folder."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{folder}: the disk is full; make room on it and run this again"
    if error.errno == errno.EROFS:
        return (
            f"{folder}: the disk is read-only; an SD card at the end of its life turns so: "
            "restart the machine, and replace the card if that does not help"
        )
    if isinstance(error, PermissionError):
        return (
            f"{error.filename or folder.path} on {folder.where} is not open to "
            f"{_user(os.geteuid())}; mend it: "
            f"sudo chown -R {_user(os.geteuid())} {folder.path}"
        )
    return f"{folder}: {error.strerror}: {error.filename or folder.path}"


def main() -> None:
    """Read or keep the folder."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "str", "required": True},
            "where": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["read", "kept"], "default": "read"},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "agreed": {"type": "dict", "no_log": False},
        },
        supports_check_mode=True,
    )
    folder = Folder(
        Path(module.params["path"]).expanduser(),
        module.params["where"],
        module.params["names"],
        dry=module.check_mode,
    )
    secrets: dict[str, str] = {}
    agreed: dict[str, str] = {}
    problem = ""
    try:
        if module.params["state"] == "kept":
            folder.keep(module.params["secrets"], module.params["agreed"])
        else:
            secrets, agreed = folder.read(), folder.agreed()
    except ProblemError as error:
        problem = str(error)
    except OSError as error:
        problem = explain(error, folder)
    module.exit_json(changed=folder.changed, secrets=secrets, agreed=agreed, problem=problem)


if __name__ == "__main__":
    main()
