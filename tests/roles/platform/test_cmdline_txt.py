"""The module cmdline_txt, on the lines that cmdline.txt can hold."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

CONSOLES = ["console=serial0", "console=ttyAMA0", "console=ttyS0"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            b"console=serial0,115200 console=tty1 root=PARTUUID=1-02 rootwait\n",
            b"console=tty1 root=PARTUUID=1-02 rootwait\n",
            id="vendor",
        ),
        pytest.param(b"console=serial0 root=x", b"root=x", id="no-speed-no-newline"),
        pytest.param(b"root=x console=ttyAMA0,115200\r\n", b"root=x\r\n", id="last-crlf"),
        pytest.param(b"a  console=ttyS0,9600n8   b\tc\n", b"a  b\tc\n", id="spaces-stay"),
        pytest.param(
            b"console=serial0,1 console=ttyAMA0 console=ttyS0,2 root=x\n", b"root=x\n", id="all"
        ),
        pytest.param(
            b"console=ttyS01 console=ttyUSB0,9 x\n",
            b"console=ttyS01 console=ttyUSB0,9 x\n",
            id="others",
        ),
        pytest.param(b'a="b console=ttyS0 c" d\n', b'a="b console=ttyS0 c" d\n', id="quoted"),
        pytest.param(
            b"kgdboc=serial0,115200 root=x\n", b"kgdboc=serial0,115200 root=x\n", id="kgdb"
        ),
        pytest.param(b"root=x\n\n\n", b"root=x\n\n\n", id="empty-lines-at-the-end-stay"),
        pytest.param(b" root=x \xff\n", b" root=x \xff\n", id="nothing-to-do"),
    ],
)
def test_only_the_unwanted_words_go(cmdline_txt: ModuleType, before: bytes, after: bytes) -> None:
    edited, removed, added = cmdline_txt.edit("cmdline.txt", before, CONSOLES, [])
    assert edited == after
    assert bool(removed) == (before != after)
    assert added == []
    assert cmdline_txt.edit("cmdline.txt", after, CONSOLES, []) == (after, [], [])


def test_words_are_added_at_the_end_if_missing(cmdline_txt: ModuleType) -> None:
    wanted = ["quiet", "cgroup_enable=memory"]
    edited, _, added = cmdline_txt.edit("cmdline.txt", b"root=x quiet\n", [], wanted)
    assert edited == b"root=x quiet cgroup_enable=memory\n"
    assert added == ["cgroup_enable=memory"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b" \n\n", "is empty", id="blank"),
        pytest.param(b"root=x\nquiet\n", "more than one line", id="two-lines"),
        pytest.param(b"\nroot=x\n", "more than one line", id="line-below-an-empty-one"),
        pytest.param(b"root=x\rquiet\n", "more than one line", id="carriage-return"),
    ],
)
def test_a_file_that_cannot_start_a_pi_is_refused(
    cmdline_txt: ModuleType, boot_file: ModuleType, content: bytes, why: str
) -> None:
    with pytest.raises(boot_file.BootFileError, match=why):
        cmdline_txt.edit("cmdline.txt", content, CONSOLES, [])


def test_a_missing_file_is_refused(
    cmdline_txt: ModuleType, boot_file: ModuleType, boot: Path
) -> None:
    arguments = {"path": str(boot / "cmdline.txt"), "absent": CONSOLES, "present": []}
    with pytest.raises(boot_file.BootFileError, match="does not exist"):
        cmdline_txt.run(arguments, check_mode=True)


def test_a_change_keeps_a_copy_and_asks_for_a_reboot(
    cmdline_txt: ModuleType, boot: Path, reboot_flag: Path
) -> None:
    before = "console=serial0,115200 root=x\n"
    (boot / "cmdline.txt").write_text(before)
    arguments = {"path": str(boot / "cmdline.txt"), "absent": CONSOLES, "present": []}
    assert cmdline_txt.run(arguments, check_mode=True)["changed"]
    assert (boot / "cmdline.txt").read_text() == before
    assert not reboot_flag.exists()
    assert cmdline_txt.run(arguments, check_mode=False)["removed"] == ["console=serial0,115200"]
    assert (boot / "cmdline.txt").read_text() == "root=x\n"
    assert (boot / "cmdline.txt.before-appliance").read_text() == before
    assert reboot_flag.exists()
    assert not cmdline_txt.run(arguments, check_mode=False)["changed"]
