"""How fast each fault of the line is over, in cycles: until the meter is read again.

Played over real pseudo terminals at 9600 baud, one cycle a second; cycles count alike at
any interval. Two figures for each fault: the cycles without a reading of the meter that one
bad reply costs, and those between the end of a fault that lasted and the first reading. A
meter that did not answer for 10 s or more is not believed for 5 s on top.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pzem.places import Places
from pzem.ports import Ports
from pzem.registers import Reading
from pzem.testing import SimulatedHouse, Simulator
from pzem.testing.faults import FAULTS

CYCLE_S = 1.0
BUDGET_S = 0.9
SICK_CYCLES = 6
"""So long a lasting fault lasts: more than it takes to have the port reopened."""
PATIENCE_CYCLES = 200
ARGUMENTS: dict[str, tuple[str | float, ...]] = {
    "drop": (1.0,),
    "late": (0.5,),
    "bit-flips": (3,),
    "burst": (16,),
    "swapped-reply": (5,),
    "error": (4,),
    "overrange": ("amps", 105.0),
}
METER = "mainA"


@dataclass
class Bench:
    """A simulated house, and the collector's ports on it."""

    folder: Path
    house: SimulatedHouse
    simulator: Simulator
    ports: Ports
    due_s: float

    @property
    def link(self) -> Path:
        """The port of the meter that is made to fail."""
        return self.folder / "tty0"

    def is_read(self) -> bool:
        """Do one cycle; return whether the meter was read."""
        self.due_s = max(self.due_s + CYCLE_S, time.monotonic())
        time.sleep(max(0.0, self.due_s - time.monotonic()))
        return isinstance(self.ports.poll(self.due_s + BUDGET_S)[METER], Reading)

    def cycles_until_read(self) -> int:
        """Return how many cycles pass without a reading of the meter from now on."""
        for cycles in range(PATIENCE_CYCLES):
            if self.is_read():
                return cycles
        return PATIENCE_CYCLES

    def lost_in(self, cycles: int) -> int:
        """Return how many of so many cycles bring no reading."""
        return sum(not self.is_read() for _ in range(cycles))


def main() -> None:
    """Print a row for each fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only these faults")
    names = parser.parse_args().names
    rows: dict[str, Callable[[Bench], tuple[int | None, int]]] = {
        name: lambda bench, name=name: spoilt(bench, name)  # type: ignore[misc]
        for name in FAULTS
    }
    rows |= {
        "no mains": no_mains,
        "adapter pulled": pulled,
        "adapter renamed": renamed,
        "adapters swapped": swapped,
    }
    print(f"{'fault':20} {'one bad reply':>14} {f'after {SICK_CYCLES} bad cycles':>20}")
    for name, play in rows.items():
        if names and name not in names:
            continue
        with bench() as one:
            lost, after = play(one)
        first = "-" if lost is None else f"{lost} lost"
        print(f"{name:20} {first:>14} {f'{after} until read':>20}", flush=True)


def spoilt(one: Bench, name: str) -> tuple[int, int]:
    """Spoil the meter's replies: one of them, then all for a while."""
    meter = one.house.meters[METER]
    meter.fail(name, *ARGUMENTS.get(name, ()), count=1)
    lost = one.lost_in(3)
    meter.fail(name, *ARGUMENTS.get(name, ()))
    one.lost_in(SICK_CYCLES)
    meter.heal()
    return lost, one.cycles_until_read()


def no_mains(one: Bench) -> tuple[None, int]:
    """Take the meter's supply away for a while."""
    one.house.meters[METER].powered = False
    one.lost_in(SICK_CYCLES)
    one.house.meters[METER].powered = True
    return None, one.cycles_until_read()


def pulled(one: Bench) -> tuple[None, int]:
    """Pull the adapter and put it back, with the same name."""
    line = one.simulator.line(str(one.link))
    line.unplug()
    one.lost_in(SICK_CYCLES)
    line.plug()
    return None, one.cycles_until_read()


def renamed(one: Bench) -> tuple[None, int]:
    """Have the adapter come back under another name at once."""
    line = one.simulator.line(str(one.link))
    line.unplug()
    line.plug(one.folder / "tty7")
    return None, one.cycles_until_read()


def swapped(one: Bench) -> tuple[None, int]:
    """Swap two adapters between two cycles."""
    links = (one.link, one.folder / "tty1")
    lines = [one.simulator.line(str(link)) for link in links]
    for line in lines:
        line.unplug()
    for line, link in zip(lines, reversed(links), strict=True):
        line.plug(link)
    return None, one.cycles_until_read()


@contextmanager
def bench() -> Iterator[Bench]:
    """Set a house up and read it until all is well."""
    house = SimulatedHouse(seed=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = {folder / f"tty{n}": [meter] for n, meter in enumerate(house.meters.values())}
        addresses = {meter.name: meter.address for meter in house.meters.values()}
        with (
            Simulator.with_meters(lines, house) as simulator,
            Ports([f"{folder}/tty*"], (), addresses, Places(None)) as ports,
        ):
            ports.discover()
            one = Bench(folder, house, simulator, ports, time.monotonic())
            if one.cycles_until_read() or one.lost_in(2):
                raise SystemExit("the meter is not read before anything is wrong")
            yield one


if __name__ == "__main__":
    main()
