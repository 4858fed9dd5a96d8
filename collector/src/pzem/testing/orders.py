"""The order language: one line of words tells a running simulator what to do.

Tests, `pzem simulate --control` and its standard input all speak it. `help` lists it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pzem.testing.faults import FAULTS, number_within, quantity_named, register_limit
from pzem.testing.house import SimulatedHouse, State
from pzem.testing.line import LinkError, SimulatedLine
from pzem.testing.meter import END_OF_COUNTER_WH, IDLE, SimulatedMeter

if TYPE_CHECKING:
    from pzem.testing.simulator import Simulator

MOST_WATTS: Final = 6000.0
"""Of an ordered load: at 120 V one leg stays below the meters' 100 A."""


TWIN_SHOWS: Final = replace(IDLE, volts=111.1, amps=1.111, watts=111.1, power_factor=0.9)
"""Unlike anything that a house shows, so that it is seen where it does not belong."""


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
        return order.obey(simulator, *words)
    except (ValueError, LookupError, LinkError, OSError) as error:
        raise OrderError(str(error)) from error


def _fault(fault: str, simulator: Simulator, name: str, *words: str) -> str:
    meter = simulator.meter(name)
    wanted = len(FAULTS[fault].arguments.split())
    count = words[wanted:]
    if count and not count[0].isdecimal():
        raise OrderError(f"COUNT must be a whole number, not {count[0]!r}")
    meter.fail(fault, *words[:wanted], count=int(count[0]) if count else None)
    return f"{meter.name}: {meter.fault}"


def _heal(simulator: Simulator, *name: str) -> str:
    meters = [simulator.meter(*name)] if name else simulator.meters
    for meter in meters:
        meter.heal()
    return f"{', '.join(meter.name for meter in meters)}: no fault"


def _show(simulator: Simulator, name: str, *assignments: str) -> str:
    meter = simulator.meter(name)
    values: dict[str, Any] = {}
    for assignment in assignments:
        quantity, equals, value = assignment.partition("=")
        if not equals:
            raise OrderError(f"{assignment!r} is not QUANTITY=VALUE, as volts=121.5")
        limit = register_limit(quantity_named(quantity))
        values[quantity] = number_within(quantity, value, 0, limit)
    meter.show(replace(meter.displayed, **values))
    return f"{name}: {_display(meter)}, until 'heal {name}'"


def _energy(simulator: Simulator, name: str, energy_wh: str) -> str:
    meter = simulator.meter(name)
    meter.energy_wh = number_within("WH", energy_wh, 0, END_OF_COUNTER_WH)
    return f"{name}: {_display(meter)}"


def _unplug(simulator: Simulator, port: str) -> str:
    line = _plugged(simulator, port)
    line.unplug()
    return f"{line.link} is gone"


def _plug(simulator: Simulator, port: str, *as_link: str) -> str:
    line = simulator.line(port)
    if line.plugged:
        raise OrderError(f"{line.link} is plugged in: unplug it first")
    match as_link:
        case ():
            link = line.link
        case ("as", name):
            link = line.link.parent / name
        case _:
            raise OrderError(f"the order is: plug {ORDERS['plug'].arguments}")
    if any(other.plugged and other.link == link for other in simulator.lines):
        raise OrderError(f"{link} is the name of another port: unplug that one first")
    line.plug(link)
    return f"{link} is there"


def _swap(simulator: Simulator, port: str, other_port: str) -> str:
    line, other = _plugged(simulator, port), _plugged(simulator, other_port)
    return _relink([line, other], [other.link, line.link])


def _renumber(simulator: Simulator) -> str:
    lines = [line for line in simulator.lines if line.plugged]
    links = [line.link for line in lines]
    return _relink(lines, links[1:] + links[:1])


def _relink(lines: Sequence[SimulatedLine], links: Sequence[Path]) -> str:
    """Give `lines` other names, each of which keeps its device number, as real ones do."""
    numbers = {line.link: int(line.link.readlink().name) for line in lines}
    for line in lines:
        line.unplug()
    # A new pty has the smallest free number.
    pairs = zip(lines, links, strict=True)
    for line, link in sorted(pairs, key=lambda pair: numbers[pair[1]]):
        line.plug(link)
    return _who_is_where(lines)


def _hang(simulator: Simulator, port: str) -> str:
    line = _plugged(simulator, port)
    line.hang()
    return f"{line.link} hangs, until 'release {line.link.name}'"


def _stick(simulator: Simulator, port: str) -> str:
    line = _plugged(simulator, port)
    line.stick()
    return f"{line.link} is stuck until it is opened anew"


def _release(simulator: Simulator, port: str) -> str:
    line = _plugged(simulator, port)
    line.release()
    return f"{line.link} works"


def _rewire(simulator: Simulator, port: str, other_port: str) -> str:
    line, other = simulator.line(port), simulator.line(other_port)
    line.meters, other.meters = other.meters, line.meters
    return _who_is_where([line, other])


def _twin(simulator: Simulator, name: str, port: str) -> str:
    meter, line = simulator.meter(name), simulator.line(port)
    twin = SimulatedMeter(f"{name}_twin", meter.address, TWIN_SHOWS)
    if twin.name in [other.name for other in simulator.meters]:
        raise OrderError(f"{name} has a twin: remove {twin.name} first")
    line.meters = [*line.meters, twin]
    return _who_is_where([line])


def _remove(simulator: Simulator, name: str) -> str:
    meter = simulator.meter(name)
    line = next(line for line in simulator.lines if meter in line.meters)
    line.meters = [other for other in line.meters if other is not meter]
    return _who_is_where([line])


def _who_is_where(lines: Sequence[SimulatedLine]) -> str:
    return "; ".join(
        f"{line.link.name}: {', '.join(meter.name for meter in line.meters)}" for line in lines
    )


def _supply(state: State, simulator: Simulator) -> str:
    _house(simulator).state = state
    return ORDERS[state].help


def _load(simulator: Simulator, watts: str, leg: str | None = None) -> str:
    _house(simulator).add_load(number_within("WATTS", watts, 0, MOST_WATTS), leg)
    return f"{watts} W on {f'leg {leg}' if leg else 'all legs together'}"


def _status(simulator: Simulator) -> str:
    report = [f"supply: {simulator.house.state if simulator.house else 'no house'}"]
    for line in simulator.lines:
        report.append(f"{line.link} {'plugged' if line.plugged else 'unplugged'}")
        report += [
            f"  {meter.name} {meter.address} {'on' if meter.powered else 'dark'}: "
            f"{_display(meter)}; fault: {meter.fault or 'none'}"
            for meter in line.meters
        ]
    return "\n".join(report)


def _help(_simulator: Simulator) -> str:
    usages = {f"{name} {order.arguments}": order.help for name, order in ORDERS.items()}
    width = max(map(len, usages))
    return "\n".join(["orders:", *(f"  {usage:{width}}  {text}" for usage, text in usages.items())])


def _plugged(simulator: Simulator, port: str) -> SimulatedLine:
    line = simulator.line(port)
    if not line.plugged:
        raise OrderError(f"{line.link} is not plugged in: plug it first")
    return line


def _house(simulator: Simulator) -> SimulatedHouse:
    if simulator.house is None:
        raise OrderError("there is no house behind these meters; 'show' sets what they display")
    return simulator.house


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
    obey: Callable[..., str]

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
        name: Order(
            f"METER {kind.arguments} [COUNT]".replace("  ", " "), kind.help, partial(_fault, name)
        )
        for name, kind in FAULTS.items()
    },
    "heal": Order("[METER]", "End the fault and the fixed display, of all meters or one.", _heal),
    "show": Order("METER QUANTITY=VALUE…", "Display these values until healed.", _show),
    "energy": Order("METER WH", "Set the energy counter.", _energy),
    "unplug": Order("PORT", "Take the adapter away; a client's handle is dead.", _unplug),
    "plug": Order("PORT [as LINK]", "Bring it back, maybe under another name.", _plug),
    "renumber": Order("", "Rotate the names of all ports, as after a USB reset.", _renumber),
    "swap": Order("PORT PORT", "Let two ports exchange their names.", _swap),
    "rewire": Order("PORT PORT", "Exchange the meters behind two adapters.", _rewire),
    "hang": Order("PORT", "Take no byte and deliver none, with no error.", _hang),
    "stick": Order("PORT", "Take bytes and deliver none until opened anew.", _stick),
    "release": Order("PORT", "End what 'hang' or 'stick' did.", _release),
    "twin": Order(
        "METER PORT", "Put another meter with METER's address on PORT: METER_twin.", _twin
    ),
    "remove": Order("METER", "Take a meter off its line for good.", _remove),
    "utility": Order("", "The utility feeds the panel.", partial(_supply, State.UTILITY)),
    "outage": Order("", "The panel is dead.", partial(_supply, State.OUTAGE)),
    "generator": Order("", "The generator feeds the panel.", partial(_supply, State.GENERATOR)),
    "utility-back": Order(
        "",
        "The generator feeds the panel, the utility is there again.",
        partial(_supply, State.UTILITY_BACK),
    ),
    "load": Order("WATTS [LEG]", "Add a heater of WATTS on LEG, or shared by all; 0: none.", _load),
    "status": Order("", "Tell ports, meters, what they display, and faults.", _status),
    "help": Order("", "List all orders.", _help),
}
"""The language. COUNT is how many replies a fault hits; without it, until healed."""
