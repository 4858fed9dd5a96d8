"""What a run prints, seen in real runs of small playbooks on this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAD = """
- name: Look around
  hosts: house
  gather_facts: false
  tasks:
"""


def play(tmp_path: Path, tasks: str, *words: str) -> tuple[int, str, str]:
    """Run tasks; return the exit code, what was printed, and the log."""
    book = tmp_path / "book.yml"
    book.write_text(HEAD + tasks)
    log = tmp_path / "log"
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("house: {hosts: {pi: {ansible_connection: local}}}")
    program = Path(sys.executable).with_name("ansible-playbook")
    line = [str(word) for word in (program, "-i", inventory, book, *words)]
    done = subprocess.run(
        line,
        check=False,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_LOG_PATH": str(log),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_STDOUT_CALLBACK": "appliance",
        },
    )
    return done.returncode, done.stdout + done.stderr, log.read_text() if log.exists() else ""


def test_a_good_run_is_a_line_for_each_part_and_one_at_the_end(tmp_path: Path) -> None:
    code, printed, log = play(
        tmp_path,
        """
    - name: Change something
      ansible.builtin.command: {cmd: "true"}
    - name: Try something
      ansible.builtin.command: {cmd: "false"}
      ignore_errors: true
    - name: Try something else
      block:
        - name: Fail
          ansible.builtin.command: {cmd: "false"}
      rescue:
        - name: Mend it
          ansible.builtin.command: {cmd: "true"}
          changed_when: false
    - name: Tell the result
      ansible.builtin.debug: {msg: [first line, "  password  x7k3-rgqt"]}
""",
    )
    assert code == 0, printed
    lines = [line for line in printed.splitlines() if line]
    assert re.fullmatch(r"   0:00  Look around  \(1 changed\)", lines[0]), printed
    assert lines[1:3] == ["first line", "  password  x7k3-rgqt"]
    assert re.fullmatch(r"Done in \d+ s; 1 changed\.", lines[3])
    assert len(lines) == 4
    assert "Change something" in log
    assert "x7k3" not in log


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (
            "ansible.builtin.assert: {that: false, fail_msg: 'no good; do  this', quiet: true}",
            "pi: no good; do this",
        ),
        ("ansible.builtin.fail: {msg: no good}", "pi: no good"),
        (
            "ansible.builtin.command: {argv: [sh, -c, 'echo one; echo two >&2; exit 3']}",
            "pi: Do it: two",
        ),
        (
            "ansible.builtin.command: {argv: [sh, -c, 'exit 3']}",
            "pi: Do it: failed silently, code 3",
        ),
        (
            "ansible.builtin.command: {argv: [sh, -c, 'echo No space left on device >&2; false']}",
            "the card is full: make room on the Pi",
        ),
        (
            "ansible.builtin.file: {path: /none/x, state: touch}",
            "could not touch target: [Errno 2] No such",
        ),
        (
            "ansible.builtin.command: {argv: [sh, -c, 'test {{ item }} = 1']}\n      loop: [1, 2]",
            "pi: Do it: failed silently, code 1",
        ),
    ],
)
def test_a_failure_is_one_line(tmp_path: Path, task: str, says: str) -> None:
    code, printed, log = play(tmp_path, f"    - name: Do it\n      {task}\n")
    assert code != 0
    lines = [line for line in printed.splitlines() if line]
    assert lines[0] == "   0:00  Look around  FAILED"
    assert says in lines[1]
    assert re.fullmatch(r"Stopped after \d+ s; nothing had to be changed\.", lines[2])
    assert len(lines) == 3, printed
    assert "{" not in printed
    assert "Traceback" not in printed
    assert "failed: " in log


def test_what_a_program_said_last_stands_behind_the_module_s_own_words(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library/starts.py").write_text(
        "from ansible.module_utils.basic import AnsibleModule\n"
        "module = AnsibleModule({})\n"
        "module.fail_json(msg='it ended with code 127.', stderr='about to\\nno nft\\n')\n"
    )
    _, printed, _ = play(tmp_path, "    - name: Start it\n      starts:\n")
    assert "pi: Start it: it ended with code 127: no nft" in printed


def test_what_is_secret_stays_so_in_a_failure(tmp_path: Path) -> None:
    _, printed, log = play(
        tmp_path,
        """
    - name: Handle a secret
      ansible.builtin.command: {argv: [sh, -c, "echo x7k3-rgqt; exit 1"]}
      no_log: true
""",
    )
    assert "Handle a secret" in printed
    assert "x7k3" not in printed + log


def test_a_check_says_would(tmp_path: Path) -> None:
    task = f"    - ansible.builtin.copy: {{content: x, dest: {tmp_path}/x}}\n"
    code, printed, _ = play(tmp_path, task, "--check")
    assert code == 0
    assert "Look around  (1 would change)" in printed
    assert "; 1 would change." in printed
    assert not (tmp_path / "x").exists()


def test_a_warning_is_told_unless_a_role_has_plainer_words_for_it(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library/warns.py").write_text(
        "from ansible.module_utils.basic import AnsibleModule\n"
        "module = AnsibleModule({})\n"
        "module.warn('the card is old')\n"
        "module.warn('Failed to update cache after 2 retries due to , retrying')\n"
        "module.exit_json()\n"
    )
    code, printed, log = play(tmp_path, "    - warns:\n")
    assert code == 0, printed
    assert "note: the card is old" in printed
    assert "Failed to update cache" not in printed
    assert "Failed to update cache" in log
