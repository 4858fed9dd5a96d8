#!/usr/bin/python3
"""Ansible module: words of the kernel's command line in a Raspberry Pi's cmdline.txt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.boot_file import BootFile, BootFileError

DOCUMENTATION = r"""
module: cmdline_txt
short_description: Words of the kernel's command line in a Raspberry Pi's cmdline.txt
description:
  - Removes and adds words of cmdline.txt; the other words, their order, the spaces between them
    and the end of the line stay as they are.
  - Before the first change, the file is copied to cmdline.txt.before-appliance.
  - A change creates /run/reboot-required.
options:
  path:
    description: The file.
    type: path
    required: true
  absent:
    description:
      - Words to remove. A word followed by a comma and more is removed as well, so that
        C(console=serial0) stands for C(console=serial0,115200) too.
    type: list
    elements: str
    default: []
  present:
    description: Words to add at the end, if they are missing.
    type: list
    elements: str
    default: []
author: House power monitor
"""

EXAMPLES = r"""
- name: Keep the kernel and the login shell off the serial port
  cmdline_txt:
    path: /boot/firmware/cmdline.txt
    absent: [console=serial0, console=ttyAMA0, console=ttyS0]
"""

RETURN = r"""
removed:
  description: The words that were removed.
  type: list
  returned: success
added:
  description: The words that were added.
  type: list
  returned: success
"""

# A word ends at white space, except inside double quotes (the kernel's next_arg()).
WORD = re.compile(r'(?:"[^"]*"|[^\s"])+')


def edit(
    name: str, content: bytes, absent: Sequence[str], present: Sequence[str]
) -> tuple[bytes, list[str], list[str]]:
    """Return the new content, the words removed and the words added."""
    text = content.decode("latin-1")  # every byte is kept
    line = text.rstrip()
    end = text[len(line) :]
    if not line:
        raise BootFileError(
            f"{name} is empty, such a Pi does not start: restore the line with root=…, "
            f"for instance from {name}.before-appliance or from a fresh card."
        )
    if "\n" in line or "\r" in line:
        raise BootFileError(
            f"{name} has more than one line, and the Pi reads only the first: "
            "join the lines into one, or delete what does not belong there."
        )
    removed: list[str] = []
    for found in reversed(list(WORD.finditer(line))):
        word = found.group()
        if any(word == unwanted or word.startswith(f"{unwanted},") for unwanted in absent):
            removed.insert(0, word)
            before, after = line[: found.start()], line[found.end() :]
            line = before + after.lstrip() if after.strip() else before.rstrip()
    words = WORD.findall(line)
    added = [word for word in present if word not in words]
    return " ".join([line, *added]).encode("latin-1") + end.encode("latin-1"), removed, added


def run(params: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Do what the parameters ask for and return the module's result."""
    file = BootFile.read(Path(params["path"]))
    if file.content is None:
        raise BootFileError(
            f"{file.path} does not exist: mount the boot partition there, or restore the file."
        )
    content, removed, added = edit(
        str(file.path), file.content, params["absent"], params["present"]
    )
    changed = content != file.content
    leftovers = not check_mode and file.remove_leftovers()
    if changed and not check_mode:
        file.replace(content, keep_copy=True)
    return {
        "changed": changed or leftovers,
        "removed": removed,
        "added": added,
        "diff": {
            "before_header": str(file.path),
            "after_header": str(file.path),
            "before": file.content.decode("utf-8", "replace"),
            "after": content.decode("utf-8", "replace"),
        },
    }


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "absent": {"type": "list", "elements": "str", "default": []},
            "present": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module.params, check_mode=module.check_mode))
    except BootFileError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
