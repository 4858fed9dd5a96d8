"""What a check leaves on a bare host: nothing."""

from pathlib import Path

import pytest
from testinfra.host import Host

from appliance import SHARED, STATE


def test_check_mode_changed_no_file_of_the_bare_host(host: Host) -> None:
    script = (SHARED / "fingerprint.sh").read_text(encoding="utf-8")
    before = set((STATE / "fingerprint").read_text(encoding="utf-8").split("\n")) - {""}
    after = set(host.check_output(script).split("\n")) - {""}
    assert sorted(before ^ after) == []


def test_check_mode_made_no_secret_on_this_machine() -> None:
    assert not (STATE / "secrets").exists()


def test_the_host_is_bare(host: Host) -> None:
    for command in ("influxd", "grafana", "pzem"):
        assert not host.exists(command), f"{command} is there before the roles have run"


@pytest.mark.parametrize(
    ("path", "owner", "group"),
    [("/", "root", "root"), ("/etc/shadow", "root", "shadow"), ("/home/pi", "pi", "pi")],
)
def test_its_files_belong_to_whom_they_should(
    host: Host, path: str, owner: str, group: str
) -> None:
    file = host.file(path)
    assert (file.user, file.group) == (owner, group)


def test_the_fingerprint_sees_the_files_that_the_roles_change() -> None:
    seen = {Path(line.split(" ")[0]) for line in (STATE / "fingerprint").read_text().splitlines()}
    assert {
        Path("/etc/passwd"),
        Path("/boot/firmware/config.txt"),
        Path("/usr/bin/python3"),
    } <= seen
