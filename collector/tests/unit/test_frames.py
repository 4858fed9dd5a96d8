from __future__ import annotations

import pytest

from pzem.frames import describe_bad, find_reply, has_good_crc, reply_length, with_crc

GOLDEN = bytes.fromhex("01 04 14 08C5 006C 0000 00F2 0000 183D 0000 01F4 0064 0000 538E")
CORRUPT = bytes.fromhex("01 04 14 0878 1E7E 0000 3ED8 0000 240C 0000 00F4 0054 0000 1E28")
REQUEST = with_crc(bytes.fromhex("01 04 0000 000A"))
WRITE = with_crc(bytes.fromhex("01 06 0002 0005"))
RESET = with_crc(bytes.fromhex("01 42"))


@pytest.mark.parametrize(("address", "tail"), [(4, "7058"), (5, "7189"), (6, "71BA")])
def test_golden_request_crcs(address: int, tail: str) -> None:
    assert with_crc(bytes([address, 4, 0, 0, 0, 10]))[-2:] == bytes.fromhex(tail)


def test_golden_frame_is_found() -> None:
    assert has_good_crc(GOLDEN)
    assert find_reply(GOLDEN, REQUEST) == GOLDEN


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(b"\x00" + GOLDEN, id="leading zero"),
        pytest.param(GOLDEN + b"\x55\xaa", id="trailing junk"),
        pytest.param(REQUEST + GOLDEN, id="local echo"),
        pytest.param(b"\x01\x04\x14" + GOLDEN, id="broken start"),
        pytest.param(with_crc(b"\x02" + GOLDEN[1:-2]) + GOLDEN, id="late reply of another"),
        pytest.param(CORRUPT + GOLDEN, id="corrupt frame before"),
    ],
)
def test_reply_is_found_between_other_bytes(received: bytes) -> None:
    assert find_reply(received, REQUEST) == GOLDEN


@pytest.mark.parametrize(
    ("received", "why"),
    [
        pytest.param(CORRUPT, "bad_crc", id="corrupt on a real wire"),
        pytest.param(b"\x00", "short_reply", id="one byte"),
        pytest.param(GOLDEN[:-1], "short_reply", id="last byte missing"),
        pytest.param(GOLDEN[1:], "short_reply", id="first byte missing"),
        pytest.param(GOLDEN[:10] + b"\x01" + GOLDEN[11:], "bad_crc", id="bit flip"),
        pytest.param(with_crc(b"\x07" + GOLDEN[1:-2]), "wrong_address 7", id="address"),
        pytest.param(with_crc(b"\x01\x03" + GOLDEN[2:-2]), "wrong_function 3", id="function"),
        pytest.param(with_crc(b"\x01\x04\x12" + GOLDEN[3:-2]), "wrong_length", id="byte count"),
        pytest.param(with_crc(GOLDEN[:3] + GOLDEN[5:-2]), "wrong_length", id="too few registers"),
        pytest.param(b"\xff" * 40, "bad_crc", id="noise"),
    ],
)
def test_damaged_reply_is_no_reply(received: bytes, why: str) -> None:
    assert find_reply(received, REQUEST) is None
    assert describe_bad(received, REQUEST) == why


def test_every_single_bit_flip_is_noticed() -> None:
    for bit in range(8 * len(GOLDEN)):
        damaged = bytearray(GOLDEN)
        damaged[bit // 8] ^= 1 << bit % 8
        assert find_reply(bytes(damaged), REQUEST) is None


def test_error_reply_is_a_reply() -> None:
    error = with_crc(bytes([1, 0x84, 2]))
    assert find_reply(b"\x00" + error, REQUEST) == error
    assert find_reply(with_crc(bytes([2, 0x84, 2])), REQUEST) is None


@pytest.mark.parametrize("request_", [WRITE, RESET])
def test_writes_are_answered_with_an_echo(request_: bytes) -> None:
    assert reply_length(request_) == len(request_)
    assert find_reply(request_, request_) == request_
    assert find_reply(with_crc(request_[:-3] + b"\x09"), request_) is None
