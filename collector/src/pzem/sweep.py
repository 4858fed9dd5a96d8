"""Looking for meters on every address of every port, as when they are installed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from pzem.line import DRAIN_S, IO_ERRORS, TRY_S, Line, PortError
from pzem.meter import Faulty, Meter, Outcome, Silent
from pzem.registers import FACTORY_ADDRESS, MAX_ADDRESS, MIN_ADDRESS, Reading

SWEEP_TRY_S: Final = 0.2
"""Long enough for a meter on a slow adapter (130 ms); 247 addresses take 50 s."""
NOISE_LIMIT: Final = 4
"""A port with noise at so many addresses in a row has something else than meters."""

ALL_ADDRESSES: Final = range(MIN_ADDRESS, MAX_ADDRESS + 1)


@dataclass(frozen=True, slots=True)
class Found:
    """Something that answered at `address` on `port`."""

    port: str
    address: int
    outcome: Reading | Faulty


@dataclass(slots=True)
class Sweep:
    """What a sweep over several ports has found, in order of port and address."""

    found: list[Found] = field(default_factory=list)
    failures: list[PortError] = field(default_factory=list)


class Progress:
    """Counts the questions asked over all ports; `report(share)` is called as it grows.

    `report` gets a share from 0 to 1 and is called from one thread at a time.
    """

    def __init__(self, total: int, report: Callable[[float], None]) -> None:
        self._total = total
        self._report = report
        self._asked = 0
        self._lock = threading.Lock()

    def advance(self, count: int = 1) -> None:
        """Count `count` more questions."""
        with self._lock:
            self._asked += count
            self._report(self._asked / self._total)


def sweep(
    ports: Sequence[str],
    addresses: Iterable[int] = ALL_ADDRESSES,
    likely: Iterable[int] = (),
    report: Callable[[float], None] = lambda _share: None,
) -> Sweep:
    """Ask every one of `addresses` on every one of `ports`, all ports at once.

    `likely` addresses come first and are asked twice; the others get one short try.
    """
    wanted = set(addresses)
    first = [a for a in dict.fromkeys((*likely, FACTORY_ADDRESS)) if a in wanted]
    order = [(a, True) for a in first] + [(a, False) for a in sorted(wanted - set(first))]
    progress = Progress(len(ports) * len(order), report)
    result = Sweep()
    stopped = threading.Event()
    with ThreadPoolExecutor(max_workers=max(1, len(ports))) as pool:
        try:
            for outcome in pool.map(
                lambda port: _sweep_port(port, order, progress, stopped), ports
            ):
                if isinstance(outcome, PortError):
                    result.failures.append(outcome)
                else:
                    result.found.extend(outcome)
        except BaseException:  # Ctrl-C: the pool waits for its threads
            stopped.set()
            raise
    return result


def _sweep_port(
    port: str, order: Sequence[tuple[int, bool]], progress: Progress, stopped: threading.Event
) -> list[Found] | PortError:
    try:
        line = Line(port)
    except PortError as error:
        progress.advance(len(order))
        return error
    found: list[Found] = []
    noisy = 0
    try:
        for asked, (address, likely) in enumerate(order):
            if stopped.is_set():
                break
            outcome = ask_patiently(line, address) if likely else ask_shortly(line, address)
            if not isinstance(outcome, Silent):
                found.append(Found(port, address, outcome))
            noisy = noisy + 1 if isinstance(outcome, Faulty) and not outcome.well_formed else 0
            if noisy >= NOISE_LIMIT:
                progress.advance(len(order) - asked)
                return PortError(f"{port}: something else than meters is talking there")
            progress.advance()
    except IO_ERRORS as error:
        return PortError(f"{port} failed: {error}")
    finally:
        line.close()
    return sorted(found, key=lambda one: one.address)


def ask_patiently(line: Line, address: int, tries: int = 2) -> Outcome:
    """Ask up to `tries` times, however long that takes."""
    return Meter(line, address).ask(tries, time.monotonic() + tries * (2 * TRY_S + DRAIN_S))


def ask_shortly(line: Line, address: int) -> Outcome:
    """Ask once with a short wait, and patiently if anything stirs."""
    outcome = Meter(line, address).read(SWEEP_TRY_S)
    if isinstance(outcome, Faulty):
        line.drain()
        outcome = ask_patiently(line, address)
    return outcome
