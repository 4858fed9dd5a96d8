"""What the house's network can reach."""

import socket

from testinfra.host import Host

from appliance import EXPECTED


def test_only_ssh_and_grafana_are_open_to_the_network(host: Host) -> None:
    listening = host.check_output("ss --no-header --listening --tcp --numeric")
    addresses = [line.split()[3].rsplit(":", 1) for line in listening.splitlines()]
    open_ports = {
        int(port) for address, port in addresses if not address.startswith(("127.", "[::1]"))
    }
    assert sorted(open_ports) == EXPECTED["ports_from_outside"]


def test_a_connection_from_outside_agrees(host: Host) -> None:
    address = host.check_output("hostname -I").split()[0]
    reached = []
    for port in (22, 80, 443, 3000, 5353, 8083, 8086, 8088, 8089, 2003, 4242, 25826):
        with socket.socket() as client:
            client.settimeout(2)
            if client.connect_ex((address, port)) == 0:
                reached.append(port)
    assert reached == EXPECTED["ports_from_outside"]


def test_the_appliance_is_found_by_its_name(host: Host) -> None:
    assert host.service("avahi-daemon").is_running
