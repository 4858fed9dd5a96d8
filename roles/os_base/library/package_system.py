#!/usr/bin/python3
"""Ansible module: wait for other installations, and complete interrupted ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: package_system
short_description: Wait for other installations, and complete interrupted ones
description:
  - Waits until no other program is installing packages.
  - Configures packages that are unpacked but not configured, and mends dependencies, as a power cut
    or an interrupted installation leaves them. Files that the owner has changed are kept.
options:
  timeout_s:
    description: Seconds to wait for other programs.
    type: int
    default: 900
author: House power monitor
"""

EXAMPLES = r"""
- name: Complete what a power cut has interrupted
  package_system:
"""

RETURN = r"""
interrupted:
  description: What was found to be incomplete.
  type: str
  returned: success
"""

Run = Callable[[Sequence[str]], tuple[int, str, str]]

KEEP_CHANGED_FILES = ("--force-confdef", "--force-confold")


class PackageError(Exception):
    """Packages cannot be installed; the message says why and how to mend it."""


def complete(run: Run, timeout_s: int, *, check_mode: bool) -> tuple[bool, str]:
    """Return whether something had to be completed, and what."""
    _, interrupted, _ = run(["dpkg", "--audit"])
    if check_mode:  # apt-get check would rebuild its caches
        return bool(interrupted), interrupted
    apt_get = ["apt-get", f"--option=DPkg::Lock::Timeout={timeout_s}"]
    code, _, said = run([*apt_get, "check"])
    if "Could not get lock" in said or "Unable to acquire" in said:
        # Only where it need not wait does apt say who is in the way.
        _, _, said = run(["apt-get", "check"])
        holder = re.search(r"held by (process \d+ \([^)]*\))", said)
        raise PackageError(
            f"Another program{f', {holder[1]},' if holder else ''} has been installing packages "
            f"for {timeout_s} s: wait for its end and start again."
        )
    # Once more: what another program was doing when asked the first time is done by now.
    _, interrupted, _ = run(["dpkg", "--audit"])
    if code == 0 and not interrupted:
        return False, ""
    run(["dpkg", "--configure", "--pending", *KEEP_CHANGED_FILES])
    options = [f"--option=Dpkg::Options::={option}" for option in KEEP_CHANGED_FILES]
    code, _, said = run([*apt_get, *options, "--yes", "--fix-broken", "install"])
    _, left, _ = run(["dpkg", "--audit"])
    if code != 0 or left:
        raise PackageError(
            "An interrupted installation could not be completed: log in and run "
            '"sudo dpkg --configure -a" and "sudo apt-get -f install". '
            f"{_first_error(said or left)}"
        )
    return True, interrupted


def _first_error(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("E: ")), lines[0] if lines else "")


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={"timeout_s": {"type": "int", "default": 900}}, supports_check_mode=True
    )

    def run(command: Sequence[str]) -> tuple[int, str, str]:
        code, out, err = module.run_command(
            list(command),
            environ_update={"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        )
        return code, out, err

    try:
        changed, interrupted = complete(
            run, module.params["timeout_s"], check_mode=module.check_mode
        )
    except PackageError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, interrupted=interrupted)


if __name__ == "__main__":
    main()
