"""The answer of the virtual Pi's time server, read as a client reads it (RFC 4330, 5)."""

import socket
import struct
import time

import pytest

from virtual_pi.time_server import NTP_EPOCH_S, TimeServer, answer

VERSION_4_CLIENT = 0x23
SENT_AT = bytes.fromhex("0123456789abcdef")


def request() -> bytes:
    return bytes([VERSION_4_CLIENT]) + bytes(39) + SENT_AT


def seconds(stamp: bytes) -> float:
    return int.from_bytes(stamp, "big") / 2**32 - NTP_EPOCH_S


def test_it_is_that_of_a_server_which_has_the_time() -> None:
    reply = answer(request(), 1_800_000_000.25)
    leap_version_mode, stratum = struct.unpack_from("!BB", reply)
    assert leap_version_mode == 0x24
    assert stratum == 1
    assert len(reply) == 48


def test_it_gives_the_time_and_the_client_its_own_back() -> None:
    reply = answer(request(), 1_800_000_000.25)
    reference, originate, receive, transmit = (reply[at : at + 8] for at in (16, 24, 32, 40))
    assert originate == SENT_AT
    assert seconds(reference) == seconds(receive) == seconds(transmit) == 1_800_000_000.25


@pytest.fixture
def client() -> socket.socket:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(1)
    return client


def test_it_answers_while_it_is_started_and_not_afterwards(client: socket.socket) -> None:
    with client, TimeServer(port=0) as server:
        client.connect(("127.0.0.1", server.port))
        for _ in range(2):
            client.send(b"too short")
            client.send(request())
            told_s = seconds(client.recv(512)[40:48])
            assert abs(told_s - time.time()) < 1
            server.stop()
            server.stop()
            client.send(request())
            with pytest.raises((TimeoutError, ConnectionRefusedError)):
                client.recv(512)
            server.start()


def test_a_port_that_is_taken_is_told() -> None:
    with TimeServer(port=0) as first, pytest.raises(OSError, match="in use"):
        TimeServer(port=first.port).start()
