"""No secret is where somebody else could read it."""

import pytest
from testinfra.host import Host

from appliance import STATE

SECRETS = (
    "influxdb_admin_password",
    "influxdb_collector_password",
    "influxdb_grafana_password",
    "grafana_admin_password",
    "grafana_viewer_password",
    "grafana_secret_key",
)
KEPT_ON_THE_PI = "/etc/house-power-monitor/secrets"

# Patterns come from root's own files: a secret in an argument would be found by this test.
SEARCH = f"cat {KEPT_ON_THE_PI}/* | grep . >/run/patterns; chmod 600 /run/patterns"


@pytest.fixture(autouse=True, scope="module")
def patterns(host: Host) -> None:
    host.check_output(SEARCH)
    assert int(host.check_output("wc -l </run/patterns")) == len(SECRETS)


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_is_kept_for_root_alone(host: Host, name: str) -> None:
    file = host.file(f"{KEPT_ON_THE_PI}/{name}")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600)
    assert host.file(KEPT_ON_THE_PI).mode == 0o700


@pytest.mark.parametrize("name", SECRETS)
def test_the_controller_keeps_the_same_for_its_user_alone(host: Host, name: str) -> None:
    file = STATE / "secrets" / name
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert host.file(f"{KEPT_ON_THE_PI}/{name}").content == file.read_bytes()


def test_no_process_carries_a_secret_in_its_arguments_or_environment(host: Host) -> None:
    found = host.run("grep -lFf /run/patterns /proc/[0-9]*/cmdline")
    assert found.stdout == ""
    world = host.run("grep -lFf /run/patterns /proc/[0-9]*/environ")
    assert world.stdout == ""


def test_the_journal_holds_no_secret(host: Host) -> None:
    assert host.run("journalctl --no-pager --output=cat | grep -cFf /run/patterns").stdout == "0\n"


def test_no_file_that_others_can_read_holds_a_secret(host: Host) -> None:
    found = host.run(
        "find / /run /tmp /var/tmp /dev/shm -xdev -type f -perm /o=r -print0 "
        "| xargs -0 grep -lFf /run/patterns"
    )
    assert found.stdout == ""


def test_the_search_finds_what_it_looks_for(host: Host) -> None:
    found = host.run(f"grep -rlFf /run/patterns {KEPT_ON_THE_PI}")
    assert len(found.stdout.splitlines()) == len(SECRETS)
