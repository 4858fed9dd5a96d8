"""The order language: one line of words tells a running simulator what to do.

Tests, `pzem simulate --control` and its standard input all speak it. `help` lists it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pzem.testing.faults import FAULTS, number_within, quantity_named, register_limit
from pzem.testing.house import SimulatedHouse, State
from pzem.testing.line import PortError, SimulatedLine
from pzem.testing.meter import END_OF_COUNTER_WH, SimulatedMeter

if TYPE_CHECKING:
    from pzem.testing.simulator import Simulator

MOST_WATTS: Final = 6000.0
"""Of an ordered load: at 120 V one leg stays below the meters' 100 A."""


class OrderError(ValueError):
    """An order cannot be obeyed; says in one line what is wrong and what would be right."""


def carry_out(simulator: Simulator, text: str) -> str:
    """Obey `text` and return what was done. Raises `OrderError`."""
    verb, *words = text.split() or ["help"]
    order = ORDERS.get(verb)
    if order is None:
        raise OrderError(f"no order is called {verb!r}; 'help' lists them")
    if not order.least <= len(words) <= order.most:
        raise OrderError(f"the order is: {verb} {order.arguments}".rstrip())
    try:
        return order.obey(simulator, verb, words)
    except (ValueError, LookupError, PortError, OSError) as error:
        raise OrderError(str(error)) from error


def _fault(simulator: Simulator, verb: str, words: list[str]) -> str:
    meter = simulator.meter(words[0])
    wanted = len(FAULTS[verb].arguments.split())
    arguments, count = words[1 : wanted + 1], words[wanted + 1 :]
    if count and not count[0].isdecimal():
        raise OrderError(f"COUNT must be a whole number, not {count[0]!r}")
    meter.fail(verb, *arguments, count=int(count[0]) if count else None)
    return f"{meter.name}: {meter.fault}"


def _heal(simulator: Simulator, verb: str, words: list[str]) -> str:
    meters = [simulator.meter(words[0])] if words else simulator.meters
    for meter in meters:
        meter.heal()
    return f"{' '.join(meter.name for meter in meters)}: no fault"


def _show(simulator: Simulator, verb: str, words: list[str]) -> str:
    meter = simulator.meter(words[0])
    values: dict[str, Any] = {}
    for word in words[1:]:
        name, _, value = word.partition("=")
        quantity = quantity_named(name)
        values[name] = number_within(name, value, 0, register_limit(quantity))
    meter.show(replace(meter.displayed, **values))
    return f"{meter.name}: {_display(meter)}, until 'heal {meter.name}'"


def _energy(simulator: Simulator, verb: str, words: list[str]) -> str:
    meter = simulator.meter(words[0])
    meter.energy_wh = number_within("WH", words[1], 0, END_OF_COUNTER_WH)
    return f"{meter.name}: {_display(meter)}"


def _unplug(simulator: Simulator, verb: str, words: list[str]) -> str:
    line = _plugged(simulator, words[0])
    line.unplug()
    return f"{line.link} is gone"


def _plug(simulator: Simulator, verb: str, words: list[str]) -> str:
    line = simulator.line(words[0])
    if line.plugged:
        raise OrderError(f"{line.link} is plugged in: unplug it first")
    if words[1:] and (words[1] != "as" or len(words) != 3):
        raise OrderError(f"the order is: plug {ORDERS['plug'].arguments}")
    link = line.link.parent / words[2] if words[1:] else line.link
    if any(other.plugged and other.link == link for other in simulator.lines):
        raise OrderError(f"{link} is the name of another port: unplug that one first")
    line.plug(link)
    return f"{line.link} is there"


def _swap(simulator: Simulator, verb: str, words: list[str]) -> str:
    one, other = _plugged(simulator, words[0]), _plugged(simulator, words[1])
    return _relink([one, other], [other.link, one.link])


def _renumber(simulator: Simulator, verb: str, words: list[str]) -> str:
    lines = [line for line in simulator.lines if line.plugged]
    links = [line.link for line in lines]
    return _relink(lines, links[1:] + links[:1])


def _relink(lines: Sequence[SimulatedLine], links: Sequence[Path]) -> str:
    for line in lines:
        line.unplug()
    for line, link in zip(lines, links, strict=True):
        line.plug(link)
    return ", ".join(f"{line.link.name} has {_names(line)}" for line in lines)


def _supply(simulator: Simulator, verb: str, words: list[str]) -> str:
    _house(simulator).state = State(verb)
    return ORDERS[verb].help


def _load(simulator: Simulator, verb: str, words: list[str]) -> str:
    watts = number_within("WATTS", words[0], 0, MOST_WATTS)
    leg = words[1] if words[1:] else None
    _house(simulator).add_load(watts, leg)
    return f"{watts:g} W on {f'leg {leg}' if leg else 'all legs together'}"


def _status(simulator: Simulator, verb: str, words: list[str]) -> str:
    report = [f"supply: {simulator.house.state if simulator.house else 'no house'}"]
    for line in simulator.lines:
        report.append(f"{line.link} {'plugged' if line.plugged else 'unplugged'}")
        report += [
            f"  {meter.name} {meter.address} {'on' if meter.powered else 'dark'}: "
            f"{_display(meter)}; fault: {meter.fault or 'none'}"
            for meter in line.meters
        ]
    return "\n".join(report)


def _help(simulator: Simulator, verb: str, words: list[str]) -> str:
    width = max(len(f"{name} {order.arguments}") for name, order in ORDERS.items())
    return "\n".join(
        ["orders:"]
        + [
            f"  {f'{name} {order.arguments}':{width}}  {order.help}"
            for name, order in ORDERS.items()
        ]
    )


def _plugged(simulator: Simulator, port: str) -> SimulatedLine:
    line = simulator.line(port)
    if not line.plugged:
        raise OrderError(f"{line.link} is not plugged in: plug it first")
    return line


def _house(simulator: Simulator) -> SimulatedHouse:
    if simulator.house is None:
        raise OrderError("there is no house behind these meters; 'show' sets what they display")
    return simulator.house


def _names(line: SimulatedLine) -> str:
    return " ".join(meter.name for meter in line.meters)


def _display(meter: SimulatedMeter) -> str:
    shown = meter.displayed
    return (
        f"{shown.volts} V {shown.amps} A {shown.watts} W {shown.energy_wh:.0f} Wh "
        f"{shown.hertz} Hz PF {shown.power_factor}{' ALARM' if shown.alarm else ''}"
    )


@dataclass(frozen=True, slots=True)
class Order:
    """One verb: its arguments as written in help, [optional] ones last, and what it does."""

    arguments: str
    help: str
    obey: Callable[[Simulator, str, list[str]], str]

    @property
    def least(self) -> int:
        """Fewest words after the verb."""
        return len(self.arguments.partition("[")[0].split())

    @property
    def most(self) -> float:
        """Most words after the verb; `…` is any number of them."""
        return math.inf if self.arguments.endswith("…") else len(self.arguments.split())


ORDERS: Final = {
    **{
        name: Order(" ".join(filter(None, ["METER", kind.arguments, "[COUNT]"])), kind.help, _fault)
        for name, kind in FAULTS.items()
    },
    "heal": Order("[METER]", "End the fault or the fixed display, of all meters or one.", _heal),
    "show": Order("METER QUANTITY=VALUE…", "The meter shows these values until healed.", _show),
    "energy": Order("METER WH", "Set the energy counter.", _energy),
    "unplug": Order("PORT", "The adapter vanishes; a client's handle is dead.", _unplug),
    "plug": Order("PORT [as LINK]", "It comes back, maybe under another name.", _plug),
    "renumber": Order("", "All ports change names, as after a USB reset.", _renumber),
    "swap": Order("PORT PORT", "Two ports exchange names.", _swap),
    "utility": Order("", "The utility feeds the panel.", _supply),
    "outage": Order("", "Neither supply is there.", _supply),
    "generator": Order("", "The generator feeds the panel, the utility is dead.", _supply),
    "utility-back": Order("", "The utility is there again, the generator feeds on.", _supply),
    "load": Order("WATTS [LEG]", "A heater of WATTS on LEG, or shared by all; 0: off.", _load),
    "status": Order("", "Ports, meters, what they display, and faults.", _status),
    "help": Order("", "This list.", _help),
}
"""The language. COUNT is how many replies a fault hits; without it, until healed."""
