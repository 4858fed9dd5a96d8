"""Adapters of the virtual Pi, with a socket in the place of QEMU's."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pzem.frames import READ_INPUT, has_good_crc, with_crc
from pzem.testing import SimulatedMeter, Simulator
from virtual_pi import unix
from virtual_pi.adapters import Bridge, ForeignAdapter

ADDRESS = 4
ASK = with_crc(bytes([ADDRESS, READ_INPUT, 0, 0, 0, 10]))
REPLY = 25


@pytest.fixture
def port(tmp_path: Path) -> Iterator[socket.socket]:
    with listening(tmp_path / "usb1.sock") as port:
        yield port


def listening(path: Path) -> socket.socket:
    port = socket.socket(socket.AF_UNIX)
    port.bind(str(path))
    port.listen()
    port.settimeout(5)
    return port


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    ports = {tmp_path / "ttyUSB0": [SimulatedMeter("mainA", ADDRESS)]}
    with Simulator.with_meters(ports) as simulator:
        yield simulator


@pytest.fixture
def bridge(tmp_path: Path, port: socket.socket, simulator: Simulator) -> Iterator[Bridge]:
    with Bridge({tmp_path / "usb1.sock": tmp_path / "ttyUSB0"}) as bridge:
        yield bridge


def plugged_in(port: socket.socket) -> socket.socket:
    connection, _ = port.accept()
    connection.settimeout(5)
    return connection


def ask(connection: socket.socket) -> bytes:
    connection.sendall(ASK)
    reply = b""
    while len(reply) < REPLY and (heard := connection.recv(64)):
        reply += heard
    return reply


@pytest.mark.usefixtures("bridge")
def test_a_meter_answers_through_the_socket(port: socket.socket) -> None:
    with plugged_in(port) as connection:
        for _ in range(2):
            reply = ask(connection)
            assert (reply[0], len(reply)) == (ADDRESS, REPLY)
            assert has_good_crc(reply)


@pytest.mark.usefixtures("bridge")
def test_orders_to_the_simulator_pull_the_adapter_and_put_it_back(
    port: socket.socket, simulator: Simulator
) -> None:
    with plugged_in(port) as connection:
        assert len(ask(connection)) == REPLY
        simulator.order("unplug ttyUSB0")
        assert connection.recv(1) == b""
    port.settimeout(0.5)
    with pytest.raises(TimeoutError):
        port.accept()
    port.settimeout(5)
    simulator.order("plug ttyUSB0")
    with plugged_in(port) as connection:
        assert len(ask(connection)) == REPLY


@pytest.mark.usefixtures("bridge")
def test_it_is_plugged_in_again_after_the_board_was_without_power(
    port: socket.socket, tmp_path: Path
) -> None:
    plugged_in(port).close()
    port.close()
    (tmp_path / "usb1.sock").unlink()
    with listening(tmp_path / "usb1.sock") as new, plugged_in(new) as connection:
        assert len(ask(connection)) == REPLY


def test_it_is_pulled_at_the_end(tmp_path: Path, port: socket.socket, simulator: Simulator) -> None:
    with ExitStack() as stack:
        stack.enter_context(Bridge({tmp_path / "usb1.sock": tmp_path / "ttyUSB0"}))
        connection = plugged_in(port)
    with connection:
        assert connection.recv(1) == b""


def test_a_foreign_adapter_hears_and_says_nothing(port: socket.socket, tmp_path: Path) -> None:
    with ForeignAdapter(tmp_path / "usb1.sock") as foreign:
        with plugged_in(port) as connection:
            connection.sendall(ASK)
            connection.settimeout(0.3)
            with pytest.raises(TimeoutError):
                connection.recv(1)
        assert b"".join(frame for _, frame in foreign.heard) == ASK


def test_a_socket_is_reached_however_deep_its_folder_lies(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 50)
    folder.mkdir()
    short = tmp_path / "short"
    short.symlink_to(folder)
    with listening(short / "usb1.sock") as port:
        with socket.socket(socket.AF_UNIX) as usual, pytest.raises(OSError, match="too long"):
            usual.connect(str(folder / "usb1.sock"))
        near = unix.connect(folder / "usb1.sock")
        with near, plugged_in(port) as far:
            far.sendall(b"heard")
            assert near.recv(16) == b"heard"
