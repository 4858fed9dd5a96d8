"""Faults to order: what becomes of a good reply on its way from the meter to the host.

All of them occur in the field: they are collected from the vendor's manual and from issue
threads of other PZEM projects. `FAULTS` is the table of them; each is a pure function from
an `Exchange` to the bytes that are sent in place of the good reply. Names, arguments and
ranges are those of the order language.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from pzem.frames import ERROR_FLAG, READ_INPUT, with_crc
from pzem.registers import MAX_ADDRESS, MIN_ADDRESS, QUANTITIES, Quantity, Reading, encode

CORRUPT_GOLDEN: Final = bytes.fromhex(
    "01 04 14 08 78 1E 7E 00 00 3E D8 00 00 24 0C 00 00 00 F4 00 54 00 00 1E 28"
)
"""Recorded from a real line: plausible at a glance, but its CRC is wrong."""


MOST_BITS: Final = 32
"""Of a damage to order: as long as the shortest reply, that to a reset."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, the good reply to it, and what the meter displayed at that moment."""

    request: bytes
    reply: bytes
    displayed: Reading
    rng: Random

    @property
    def body(self) -> bytes:
        """The good reply without its CRC."""
        return self.reply[:-2]


def quantity_named(name: str) -> Quantity:
    """Return the quantity called `name`. Raises `ValueError` that lists them all."""
    for quantity in QUANTITIES:
        if quantity.name == name:
            return quantity
    names = ", ".join(quantity.name for quantity in QUANTITIES)
    raise ValueError(f"no quantity is called {name!r}; there are: {names}")


def register_limit(quantity: Quantity) -> float:
    """Return the largest value the quantity's register can hold, in its unit."""
    return float(0x10000**quantity.words - 1) / 10.0**quantity.decimals


def number_within(name: str, given: str | float, least: float, most: float) -> float:
    """Return `given` as a number. Raises `ValueError` if it is none or out of range."""
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise ValueError(f"{name} must be a number from {least:g} to {most:.10g}, not {given}")
    return number


def _silence(_exchange: Exchange) -> bytes:
    """Send nothing, as a meter without supply."""
    return b""


def _drop(exchange: Exchange, rate: float) -> bytes:
    """Lose the share RATE of the replies."""
    return b"" if exchange.rng.random() < rate else exchange.reply


def _late(exchange: Exchange, _seconds: float) -> bytes:
    """Send the reply SECONDS late, with the values displayed when it was asked for."""
    return exchange.reply


def _leading_zero(exchange: Exchange) -> bytes:
    """Put a 0x00 in front: the bus driver's switching, taken for a character."""
    return b"\0" + exchange.reply


def _trailing_junk(exchange: Exchange) -> bytes:
    """Append one to eight random bytes."""
    return exchange.reply + exchange.rng.randbytes(exchange.rng.randint(1, 8))


def _leading_junk(exchange: Exchange) -> bytes:
    """Put one to eight random bytes in front."""
    return exchange.rng.randbytes(exchange.rng.randint(1, 8)) + exchange.reply


def _doubled(exchange: Exchange) -> bytes:
    """Send the reply twice, one right behind the other."""
    return exchange.reply + exchange.reply


def _local_echo(exchange: Exchange) -> bytes:
    """Hand the request back before the reply, as some adapters do."""
    return exchange.request + exchange.reply


def _echo_alone(exchange: Exchange) -> bytes:
    """Hand the request back and nothing else: a meter without supply behind such an adapter."""
    return exchange.request


def _junk(exchange: Exchange) -> bytes:
    """Send up to 40 random bytes instead of the reply."""
    return exchange.rng.randbytes(exchange.rng.randint(1, 40))


def _bit_flip(exchange: Exchange) -> bytes:
    """Invert one bit, so that the CRC does not fit."""
    return _bit_flips(exchange, 1)


def _bit_flips(exchange: Exchange, bits: int) -> bytes:
    """Invert BITS different bits, so that the CRC does not fit (up to 3: for certain)."""
    return _flipped(exchange.reply, exchange.rng.sample(range(8 * len(exchange.reply)), bits))


def _burst(exchange: Exchange, bits: int) -> bytes:
    """Garble a run of BITS bits (up to 16: the CRC does not fit for certain)."""
    first = exchange.rng.randrange(8 * len(exchange.reply) - bits + 1)
    inner = [first + n for n in range(1, bits - 1) if exchange.rng.random() < 0.5]
    return _flipped(exchange.reply, {first, first + bits - 1, *inner})


def _flipped(reply: bytes, bits: Iterable[int]) -> bytes:
    flipped = bytearray(reply)
    for bit in bits:
        flipped[bit // 8] ^= 1 << bit % 8  # in the order of the wire, lowest bit first
    return bytes(flipped)


def _truncated(exchange: Exchange) -> bytes:
    """Break the reply off, anywhere between its first byte and its last."""
    return exchange.reply[: exchange.rng.randrange(1, len(exchange.reply))]


def _wrong_address(exchange: Exchange) -> bytes:
    """Answer under another address, at random, with a good CRC."""
    others = set(range(MIN_ADDRESS, MAX_ADDRESS + 1)) - {exchange.reply[0]}
    return _swapped_reply(exchange, exchange.rng.choice(sorted(others)))


def _swapped_reply(exchange: Exchange, address: int) -> bytes:
    """Answer as if the meter of ADDRESS had been asked, with a good CRC."""
    return with_crc(bytes([address]) + exchange.body[1:])


def _wrong_function(exchange: Exchange) -> bytes:
    """Answer another function than the requested one, with a good CRC."""
    body = bytearray(exchange.body)
    body[1] ^= 0x07  # 0x04 and 0x03 for one another
    return with_crc(bytes(body))


def _wrong_length(exchange: Exchange) -> bytes:
    """Understate the byte count by two, with a good CRC."""
    body = bytearray(exchange.body)
    body[2:3] = bytes([(body[2] - 2) % 256]) if len(body) > 2 else b"\0"
    return with_crc(bytes(body))


def _too_long(exchange: Exchange) -> bytes:
    """Add two registers that nobody asked for, with a good CRC."""
    body = bytearray(exchange.body)
    body[2:3] = bytes([(body[2] + 4) % 256]) if len(body) > 2 else b"\4"
    return with_crc(bytes(body) + exchange.rng.randbytes(4))


def _error(exchange: Exchange, code: int) -> bytes:
    """Answer with the Modbus error CODE."""
    return with_crc(bytes([exchange.reply[0], exchange.request[1] | ERROR_FLAG, code]))


def _overrange(exchange: Exchange, quantity: str, value: float) -> bytes:
    """Show VALUE, which no meter can measure, as QUANTITY, with a good CRC."""
    if exchange.reply[1] != READ_INPUT:
        return exchange.reply
    first, count = struct.unpack(">HH", exchange.request[2:6])
    changed: dict[str, Any] = {quantity: value}
    registers = encode(dataclasses.replace(exchange.displayed, **changed))
    shown = struct.pack(f">{count}H", *registers[first : first + count])
    return with_crc(exchange.body[:3] + shown)


def _nonsense(exchange: Exchange) -> bytes:
    """Show anything that a meter can show, with a good CRC, as one does when power returns."""
    if exchange.reply[1] != READ_INPUT:
        return exchange.reply
    first, count = struct.unpack(">HH", exchange.request[2:6])
    wild: dict[str, Any] = {q.name: exchange.rng.uniform(q.minimum, q.maximum) for q in QUANTITIES}
    registers = encode(dataclasses.replace(exchange.displayed, **wild))
    shown = struct.pack(f">{count}H", *registers[first : first + count])
    return with_crc(exchange.body[:3] + shown)


def _corrupt_golden(exchange: Exchange) -> bytes:
    """Send a frame recorded on a real line under the meter's address; its CRC is wrong."""
    return exchange.reply[:1] + CORRUPT_GOLDEN[1:]


def _rate(rate: str | float) -> tuple[float]:
    return (number_within("RATE", rate, 0, 1),)


def _seconds(seconds: str | float) -> tuple[float]:
    return (number_within("SECONDS", seconds, 0, 60),)


def _address(address: str | float) -> tuple[int]:
    return (_whole("ADDRESS", address, MIN_ADDRESS, MAX_ADDRESS),)


def _code(code: str | float) -> tuple[int]:
    return (_whole("CODE", code, 1, 255),)


def _bits(most: int) -> Callable[[str | float], tuple[int]]:
    return lambda bits: (_whole("BITS", bits, 1, most),)


def _whole(name: str, given: str | float, least: int, most: int) -> int:
    number = number_within(name, given, least, most)
    if not number.is_integer():
        raise ValueError(f"{name} must be a whole number, not {given}")
    return int(number)


def _impossible(name: str, value: str | float) -> tuple[str, float]:
    quantity = quantity_named(name)
    number = number_within("VALUE", value, 0, register_limit(quantity))
    if quantity.minimum <= number <= quantity.maximum:
        possible = f"{quantity.minimum:g} to {quantity.maximum:g}"
        raise ValueError(f"VALUE must be outside {possible}, which a meter can show, not {value}")
    return quantity.name, number


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: how it spoils a reply, and the arguments that say how much."""

    spoil: Callable[..., bytes]
    arguments: str = ""
    check: Callable[..., tuple[str | float, ...]] = lambda: ()

    @property
    def help(self) -> str:
        """What it does, in one sentence."""
        return self.spoil.__doc__ or ""


FAULTS: Final = {
    "silence": Kind(_silence),
    "drop": Kind(_drop, "RATE", _rate),
    "late": Kind(_late, "SECONDS", _seconds),
    "leading-zero": Kind(_leading_zero),
    "leading-junk": Kind(_leading_junk),
    "trailing-junk": Kind(_trailing_junk),
    "doubled": Kind(_doubled),
    "local-echo": Kind(_local_echo),
    "echo-alone": Kind(_echo_alone),
    "junk": Kind(_junk),
    "bit-flip": Kind(_bit_flip),
    "bit-flips": Kind(_bit_flips, "BITS", _bits(MOST_BITS)),
    "burst": Kind(_burst, "BITS", _bits(MOST_BITS)),
    "truncated": Kind(_truncated),
    "wrong-address": Kind(_wrong_address),
    "swapped-reply": Kind(_swapped_reply, "ADDRESS", _address),
    "wrong-function": Kind(_wrong_function),
    "wrong-length": Kind(_wrong_length),
    "too-long": Kind(_too_long),
    "error": Kind(_error, "CODE", _code),
    "overrange": Kind(_overrange, "QUANTITY VALUE", _impossible),
    "nonsense": Kind(_nonsense),
    "corrupt-golden": Kind(_corrupt_golden),
}
"""Every fault by its name."""


class Fault:
    """One fault as it was ordered, with its arguments checked.

    `count` is how many replies it hits, 1 or more; None is until the meter is healed.
    Raises `ValueError`, saying what would be right, for an unknown name or bad arguments.
    """

    def __init__(self, name: str, *arguments: str | float, count: int | None = None) -> None:
        if name not in FAULTS:
            raise ValueError(f"no fault is called {name!r}; there are: {', '.join(FAULTS)}")
        self.name = name
        self._kind = FAULTS[name]
        if len(arguments) != len(self._kind.arguments.split()):
            wanted = self._kind.arguments or "no argument"
            raise ValueError(f"{name} takes {wanted}, not {' '.join(map(str, arguments))!r}")
        if count is not None and count < 1:
            raise ValueError(f"COUNT must be 1 or more, not {count}")
        self._arguments = self._kind.check(*arguments)
        self._left = count

    def __str__(self) -> str:
        left = "" if self._left is None else f"({self._left} left)"
        return " ".join(filter(None, [self.name, *map(str, self._arguments), left]))

    @property
    def delay_s(self) -> float:
        """How much later than usual replies are sent."""
        return float(self._arguments[0]) if self.name == "late" else 0.0

    @property
    def over(self) -> bool:
        """Whether it has hit as many replies as were ordered."""
        return self._left == 0

    def hit(self, exchange: Exchange) -> bytes:
        """Return the bytes sent in place of the good reply; none: nothing is sent."""
        sent = self._kind.spoil(exchange, *self._arguments)
        if self._left is not None and (sent != exchange.reply or self.delay_s):
            self._left -= 1
        return sent
