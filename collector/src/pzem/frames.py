"""Modbus-RTU frames as a PZEM-016 sends them: building, checking, finding. No I/O.

    request, read          request, write        request, reset energy
    ┌────┬──┬────┬────┬───┐┌────┬──┬────┬────┬───┐┌────┬──┬───┐
    │addr│04│from│ n  │crc││addr│06│reg │val │crc││addr│42│crc│
    └────┴──┴────┴────┴───┘└────┴──┴────┴────┴───┘└────┴──┴───┘
    reply, read            reply: the echo       error reply
    ┌────┬──┬──┬─2n──┬───┐                       ┌────┬─────┬────┬───┐
    │addr│04│2n│data │crc│                       │addr│fn|80│code│crc│
    └────┴──┴──┴─────┴───┘                       └────┴─────┴────┴───┘

16-bit fields are big-endian, the CRC is little-endian (Modbus over serial line, 2.5.1).
"""

from __future__ import annotations

from typing import Final

READ_HOLDING: Final = 0x03
READ_INPUT: Final = 0x04
WRITE_SINGLE: Final = 0x06
RESET_ENERGY: Final = 0x42
ERROR_FLAG: Final = 0x80

BAUD: Final = 9600
CHARACTER_S: Final = 10 / BAUD
"""8N1: ten bits a character."""
SILENT_GAP_S: Final = 3.5 * CHARACTER_S
"""Frames are told apart by 3.5 characters of silence."""

ERROR_LENGTH: Final = 5


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_CRC_TABLE: Final = _crc_table()


def crc16(data: bytes) -> int:
    """Return the CRC-16/MODBUS of `data` (polynomial 0xA001 reflected, start 0xFFFF)."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def with_crc(body: bytes) -> bytes:
    """Return `body` with its CRC appended: a frame as it goes over the wire."""
    return body + crc16(body).to_bytes(2, "little")


def has_good_crc(frame: bytes) -> bool:
    """Tell whether the last two bytes of `frame` are the CRC of the others."""
    return len(frame) >= 4 and with_crc(frame[:-2]) == frame


def reply_length(request: bytes) -> int:
    """Return how many bytes the reply to `request` has, if it is not an error."""
    if request[1] in (READ_HOLDING, READ_INPUT):
        return 5 + 2 * int.from_bytes(request[4:6], "big")
    return len(request)


def shortest_time_s(request: bytes, reply: bytes) -> float:
    """Return how long the two take on the wire at least, in s, with the silence between them."""
    return (len(request) + len(reply)) * CHARACTER_S + SILENT_GAP_S


def _reply_at(buffer: bytes, start: int, request: bytes) -> bytes | None:
    address, function = request[0], request[1]
    if buffer[start] != address:
        return None
    head = buffer[start + 1]
    if head == function | ERROR_FLAG:
        frame = buffer[start : start + ERROR_LENGTH]
        return frame if len(frame) == ERROR_LENGTH and has_good_crc(frame) else None
    length = reply_length(request)
    frame = buffer[start : start + length]
    if head != function or len(frame) < length:
        return None
    if function in (READ_HOLDING, READ_INPUT):
        return frame if frame[2] == length - 5 and has_good_crc(frame) else None
    return frame if frame == request else None


def find_reply(buffer: bytes, request: bytes) -> bytes | None:
    """Return the first whole reply to `request` in `buffer`, or None.

    Bytes before and after it are passed over: adapters put a 0x00 in front of a
    frame, or hand back the request as a local echo. Address, function, length and
    CRC must all agree. The echo of a write cannot be told from its reply: whoever
    writes has to read back.
    """
    for start in range(len(buffer) - 3):
        reply = _reply_at(buffer, start, request)
        if reply is not None:
            return reply
    return None


def is_of_another(received: bytes, request: bytes) -> bool:
    """Tell whether `received` is a whole frame, but of another address than was asked."""
    return has_good_crc(received) and received[0] != request[0]


def describe_bad(received: bytes, request: bytes) -> str:
    """Say in a word why `received`, not empty, holds no reply to `request`."""
    if len(received) < ERROR_LENGTH:
        return "short_reply"
    if not has_good_crc(received):
        return "short_reply" if len(received) < reply_length(request) else "bad_crc"
    if is_of_another(received, request):
        return f"wrong_address {received[0]}"
    if received[1] & ~ERROR_FLAG != request[1]:
        return f"wrong_function {received[1]}"
    return "wrong_length"
