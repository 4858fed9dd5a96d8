"""How often arbitrary junk passes for a reading: accepted replies per million.

Junk is what is left when nothing of a frame is to be relied on; the CRC alone lets one of
65,536 through. Three kinds, each more like a reply than the one before:

* random bytes, as many as a reply has, or up to twice as many;
* the head of a reply (address, function, length) and then random bytes;
* a true reply that is random from somewhere on.

Of the first two nothing is true, so each acceptance is false. Nothing accepted out of N is
given as "below 3/N", which holds with 95 % certainty.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from random import Random

from pzem.frames import READ_INPUT, find_reply, reply_length, with_crc
from pzem.registers import OverRangeError, Reading, decode, encode

REQUEST = with_crc(bytes([4, READ_INPUT, 0, 0, 0, 10]))
LENGTH = reply_length(REQUEST)
HEAD = bytes([4, READ_INPUT, LENGTH - 5])
TRUE = Reading(121.5, 7.806, 925.4, 6_205_123.0, 60.0, 0.98, alarm=False)
TRUE_REPLY = with_crc(HEAD + b"".join(word.to_bytes(2, "big") for word in encode(TRUE)))


def random_bytes(rng: Random) -> bytes:
    """Return junk that may be longer than a reply."""
    return rng.randbytes(rng.randint(LENGTH, 2 * LENGTH))


def headed(rng: Random) -> bytes:
    """Return junk behind the head of a reply."""
    return HEAD + rng.randbytes(LENGTH - len(HEAD))


def half_true(rng: Random) -> bytes:
    """Return a true reply that has become junk from somewhere on."""
    kept = rng.randint(len(HEAD), LENGTH - 3)
    return TRUE_REPLY[:kept] + rng.randbytes(LENGTH - kept)


def reading_in(junk: bytes) -> tuple[bool, bool, bool]:
    """Tell whether `junk` has a reply, within the ranges, and within physics."""
    reply = find_reply(junk, REQUEST)
    if reply is None or len(reply) != LENGTH:
        return False, False, False
    words = [int.from_bytes(reply[n : n + 2], "big") for n in range(3, LENGTH - 2, 2)]
    try:
        reading = decode(words)
    except OverRangeError:
        return True, False, False
    return True, True, reading.is_plausible and reading != TRUE


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2_000_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    kinds: dict[str, Callable[[Random], bytes]] = {
        "random bytes": random_bytes,
        "head of a reply, then random": headed,
        "true reply, then random": half_true,
    }
    print(f"{args.frames} replies of each kind, seed {args.seed}; accepted per million:")
    for name, junk in kinds.items():
        rng = Random(args.seed)  # noqa: S311 - it has to be repeatable, not secret
        start = time.monotonic()
        passed = [0, 0, 0]
        for _ in range(args.frames):
            for gate, through in enumerate(reading_in(junk(rng))):
                passed[gate] += through
        crc, ranges, physics = (rate(count, args.frames) for count in passed)
        print(
            f"{name + ':':31} by the CRC {crc}, then by the ranges {ranges}, "
            f"then by physics: {physics} false readings "
            f"({time.monotonic() - start:.0f} s)"
        )


def rate(count: int, frames: int) -> str:
    """Return `count` of `frames` per million, or what it is below."""
    return f"{1e6 * count / frames:.2f}" if count else f"below {3e6 / frames:.2f}"


if __name__ == "__main__":
    main()
