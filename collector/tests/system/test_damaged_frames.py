"""100,000 damaged frames give no value, through everything that decodes one in service.

The frames go over a real pty into `Meter.read`: pyserial, minimalmodbus, `Line.read`,
`frames` and `registers`, as in the service. Only waiting is left out, for at the pace of
the line it would take two and a half hours: the line is told when all bytes have come,
instead of finding out by a pause (`HastyLine`), and need not let the time of the wire pass.

What the CRC guarantees is put to the test: up to three flipped bits and a burst of up to
16 bits are always noticed. Frames that are wrong in length, address or function carry a
good CRC, so that only those fields give them away.
"""

from __future__ import annotations

import os
import tty
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

import minimalmodbus
import pytest

from pzem.frames import READ_INPUT, with_crc
from pzem.line import Line
from pzem.meter import Faulty, Meter, Silent
from pzem.registers import Reading, encode

FRAMES = 100_000
ADDRESS = 4
SEED = 16


class HastyLine(Line):
    """A line that has the answer to every question at once, and knows when it is over."""

    def __init__(self, path: str, master: int) -> None:
        super().__init__(path)
        self.answer = b""
        self._master = master
        self._to_come = 0

    def write(self, request: object, /) -> int | None:
        written = super().write(request)  # type: ignore[arg-type]
        assert os.read(self._master, 256) == bytes(memoryview(request))  # type: ignore[arg-type]
        self._to_come = os.write(self._master, self.answer)
        return written

    def _readable(self, wait_s: float) -> bool:
        return self._to_come > 0 and super()._readable(wait_s)

    def _receive(self) -> bytes:
        chunk = super()._receive()
        self._to_come -= len(chunk)
        return chunk

    def _is_too_soon(self, reply: bytes) -> bool:
        return False


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[HastyLine]:
    monkeypatch.setattr(minimalmodbus, "_calculate_minimum_silent_period", lambda _baud: 0.0)
    master, slave = os.openpty()
    tty.setraw(slave)
    line = HastyLine(os.ttyname(slave), master)
    yield line
    line.close()
    os.close(slave)
    os.close(master)


def displayed(rng: Random) -> Reading:
    """Return something that a house may show."""
    volts, amps = rng.uniform(110, 130), rng.uniform(0, 100) * rng.random()
    factor = rng.uniform(0.5, 1)
    return Reading(
        volts=round(volts, 1),
        amps=round(amps, 3),
        watts=round(volts * amps * factor, 1),
        energy_wh=float(rng.randrange(9_999_999)),
        hertz=round(rng.uniform(59, 61), 1),
        power_factor=round(factor, 2),
        alarm=rng.random() < 0.1,
    )


def body_of(reading: Reading) -> bytes:
    words = b"".join(word.to_bytes(2, "big") for word in encode(reading))
    return bytes([ADDRESS, READ_INPUT, len(words)]) + words


def good(body: bytes, _rng: Random) -> bytes:
    return with_crc(body)


def flipped(body: bytes, rng: Random) -> bytes:
    frame = bytearray(with_crc(body))
    for bit in rng.sample(range(8 * len(frame)), rng.randint(1, 3)):
        frame[bit // 8] ^= 1 << bit % 8
    return bytes(frame)


def burst(body: bytes, rng: Random) -> bytes:
    """Garble up to 16 bits in a row, in the order of the wire: the lowest of a byte first."""
    frame = int.from_bytes(with_crc(body), "little")
    length = rng.randint(1, 16)
    pattern = rng.getrandbits(length) | 1 | 1 << length - 1
    frame ^= pattern << rng.randrange(8 * (len(body) + 2) - length + 1)
    return frame.to_bytes(len(body) + 2, "little")


def cut_off(body: bytes, rng: Random) -> bytes:
    frame = with_crc(body)
    return frame[: rng.randrange(1, len(frame))]


def too_few(body: bytes, rng: Random) -> bytes:
    """Leave out some registers; the count of bytes is right for what is left, or not."""
    kept = 3 + 2 * rng.randrange(10)
    count = kept - 3 if rng.random() < 0.5 else body[2]
    return with_crc(body[:2] + bytes([count]) + body[3:kept])


def too_many(body: bytes, rng: Random) -> bytes:
    added = rng.randbytes(2 * rng.randint(1, 8))
    count = body[2] + len(added) if rng.random() < 0.5 else body[2]
    return with_crc(body[:2] + bytes([count]) + body[3:] + added)


def other_count(body: bytes, rng: Random) -> bytes:
    count = rng.choice([n for n in range(256) if n != body[2]])
    return with_crc(body[:2] + bytes([count]) + body[3:])


def byte_lost_or_added(body: bytes, rng: Random) -> bytes:
    """Lose a byte, or add one, but not so that it stands before the whole frame."""
    frame, at = with_crc(body), rng.randrange(3, len(body))
    if rng.random() < 0.5:
        return frame[:at] + frame[at + 1 :]
    return frame[:at] + bytes([frame[at] ^ rng.randint(1, 255)]) + frame[at:]


def other_address(body: bytes, rng: Random) -> bytes:
    others = [n for n in range(256) if n != ADDRESS]
    return with_crc(bytes([rng.choice(others)]) + body[1:])


def other_function(body: bytes, rng: Random) -> bytes:
    function = rng.choice([n for n in range(256) if n != READ_INPUT])
    return with_crc(body[:1] + bytes([function]) + body[2:])


Damage = Callable[[bytes, Random], bytes]
DAMAGES: dict[str, Damage] = {
    "up to three bits": flipped,
    "a burst": burst,
    "cut off": cut_off,
    "registers missing": too_few,
    "registers added": too_many,
    "another count of bytes": other_count,
    "a byte lost or added": byte_lost_or_added,
    "another address": other_address,
    "another function": other_function,
}


def test_100_000_damaged_frames_give_no_value(line: HastyLine) -> None:
    rng = Random(SEED)
    meter = Meter(line, ADDRESS)
    names = list(DAMAGES)
    taken: list[str] = []
    seen: Counter[str] = Counter()
    for number in range(FRAMES):
        reading = displayed(rng)
        body = body_of(reading)
        name = names[number % len(names)]
        line.answer = DAMAGES[name](body, rng)
        outcome = meter.read()
        seen[type(outcome).__name__] += 1
        if isinstance(outcome, Reading):
            taken.append(f"{name}: {body.hex()} became {line.answer.hex()}")
        if number % 1000 == 0:  # it is not deaf altogether
            line.answer = good(body, rng)
            assert meter.read() == reading
    assert taken == []
    assert seen["Faulty"] + seen["Silent"] == FRAMES
    assert seen["Faulty"] > 0.95 * FRAMES, "what was damaged is a fault, not silence"


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_is_one(name: str) -> None:
    rng = Random(SEED)
    for _ in range(1000):
        body = body_of(displayed(rng))
        assert with_crc(body) not in DAMAGES[name](body, rng)


def test_every_way_to_flip_two_bits_is_noticed(line: HastyLine) -> None:
    frame = with_crc(body_of(displayed(Random(SEED))))
    whole = int.from_bytes(frame, "little")
    meter = Meter(line, ADDRESS)
    bits = range(8 * len(frame))
    for first in bits:
        for second in bits[first + 1 :: 7]:
            line.answer = (whole ^ 1 << first ^ 1 << second).to_bytes(len(frame), "little")
            assert isinstance(meter.read(), Faulty | Silent)
