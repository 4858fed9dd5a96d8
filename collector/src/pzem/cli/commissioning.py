"""The commands with which meters are found, numbered and tried out."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import sys
from typing import Any, Final

from pzem import config as configuration
from pzem.adapters import present_ports
from pzem.cli import table
from pzem.cli.arguments import address_of
from pzem.cli.complaint import complain
from pzem.cli.progress import Progress
from pzem.config import Config, ConfigError
from pzem.line import PortError, opened
from pzem.meter import Faulty, Meter, MeterError, Outcome, Silent
from pzem.places import Places
from pzem.points import meter_fields
from pzem.ports import Ports
from pzem.registers import Reading
from pzem.sweep import ALL_ADDRESSES, Found, Sweep, ask_patiently, sweep
from pzem.systemd import set_up_logging

RESET_TOLERANCE_WH: Final = 10
"""What a meter at full load (23 kW) counts between its reset and the look at it, and more."""


def scan(args: argparse.Namespace) -> int:
    """Print every meter on every port."""
    config = _config(args)
    ports = _ports(args, config)
    found = _sweep(ports, config, args.addresses or ALL_ADDRESSES)
    names = {meter.address: meter.name for meter in config.meters}
    if args.json:
        _print_json([{**_found_fields(one), "name": names.get(one.address)} for one in found.found])
    elif found.found:
        rows = [_scan_row(one, names.get(one.address, "")) for one in found.found]
        _print_table(("port", "address", "V", "A", "W", "name"), rows, words=1)
    for failure in found.failures:
        complain(str(failure))
    if not found.found and not found.failures:
        complain(f"no meter answers on {', '.join(ports)}; has it mains voltage?")
    read_any = any(isinstance(one.outcome, Reading) for one in found.found)
    return 0 if read_any and not found.failures else 1


def read(args: argparse.Namespace) -> int:
    """Print what the configured meters show now."""
    config = configuration.load(args.config or configuration.DEFAULT_PATH)
    addresses = {meter.name: meter.address for meter in config.meters}
    for name in args.names:
        if name not in addresses:
            raise ConfigError([f"no meter is called {name}; there are {', '.join(addresses)}"])
    addresses = {name: addresses[name] for name in args.names or addresses}
    set_up_logging(logging.WARNING)
    with Ports(args.ports or config.ports, config.exclude_ports, addresses, Places(None)) as ports:
        outcomes = ports.discover()
        homes = ports.homes()
    if args.json:
        _print_json(
            [
                {
                    "name": name,
                    "address": addresses[name],
                    "port": homes[name],
                    **_outcome_fields(outcome),
                }
                for name, outcome in outcomes.items()
            ]
        )
    else:
        rows = [
            [
                name,
                str(addresses[name]),
                homes[name] or table.NOTHING,
                *_cells(outcome),
                _state(outcome),
            ]
            for name, outcome in outcomes.items()
        ]
        heads = ("meter", "address", "port", *table.READING_HEADS, "state")
        _print_table(heads, rows, words=3)
    mute = [name for name, outcome in outcomes.items() if not isinstance(outcome, Reading)]
    if len(mute) == len(outcomes) or (args.names and mute):
        complain(f"no reading of {', '.join(mute)}")
        return 1
    return 0


def set_address(args: argparse.Namespace) -> int:
    """Renumber the only meter that answers."""
    config = _config(args)
    ports = _ports(args, config)
    found = _sweep(ports, config, ALL_ADDRESSES)
    meter = _the_only_one(found, ports)
    if meter.address != args.address:
        _renumber(meter, args.address)
    names = {m.address: m.name for m in config.meters}
    name = names.get(args.address)
    if args.json:
        label = {"port": meter.port, "old_address": meter.address, "address": args.address}
        _print_json({**label, "name": name})
    else:
        was = "already has" if meter.address == args.address else f"was {meter.address}, now has"
        print(f"The meter on {meter.port} {was} address {args.address}.")
        label_text = f"{args.address} ({name})" if name else f"{args.address}"
        print(f"Write on the meter, on its current sensor and on its USB plug: {label_text}")
    return 0


def reset_energy(args: argparse.Namespace) -> int:
    """Set one meter's energy counter to zero, after a question."""
    found = _locate(args)
    before_wh = found.reading.energy_wh
    if not args.yes and not _confirmed(
        f"Set the energy counter of {found.label} to zero? It shows {_kwh(before_wh)}, "
        "which cannot be brought back. [y/N] "
    ):
        complain("not confirmed; nothing was changed")
        return 1
    with opened(found.port) as line:
        Meter(line, found.address).reset_energy()
        line.drain()
        after = ask_patiently(line, found.address)
    if not isinstance(after, Reading):
        raise MeterError(f"{found.label} took the reset but does not answer now; try pzem read")
    if after.energy_wh > RESET_TOLERANCE_WH:
        raise MeterError(f"{found.label} still shows {_kwh(after.energy_wh)}; try again")
    if args.json:
        _print_json({**found.fields, "energy_wh_before": before_wh, "energy_wh": after.energy_wh})
    else:
        print(f"{found.label}: {_kwh(before_wh)} before, {_kwh(after.energy_wh)} now")
    return 0


def alarm_threshold(args: argparse.Namespace) -> int:
    """Show or set one meter's alarm threshold."""
    found = _locate(args)
    with opened(found.port) as line:
        meter = Meter(line, found.address)
        if args.watts is not None:
            meter.set_alarm_threshold_w(args.watts)
        watts = meter.alarm_threshold_w()
    if args.json:
        _print_json({**found.fields, "alarm_threshold_w": watts})
    else:
        print(f"{found.label}: alarm above {watts} W")
    return 0


# --- finding one meter


@dataclasses.dataclass(frozen=True, slots=True)
class _Located:
    port: str
    address: int
    name: str | None
    reading: Reading

    @property
    def fields(self) -> dict[str, Any]:
        return {"port": self.port, "address": self.address, "name": self.name}

    @property
    def label(self) -> str:
        return f"{self.name} (address {self.address})" if self.name else f"address {self.address}"


def _locate(args: argparse.Namespace) -> _Located:
    config = _config(args)
    names = {meter.name: meter.address for meter in config.meters}
    address = names.get(args.meter)
    if address is None:
        address = address_of(args.meter)
        if address is None:
            known = f"; configured are {', '.join(names)}" if names else ""
            raise ConfigError([f"{args.meter} is neither a meter's name nor an address{known}"])
    ports = _ports(args, config)
    found = sweep(ports, [address], likely=[address])
    readings = [(one.port, one.outcome) for one in found.found if isinstance(one.outcome, Reading)]
    name = next((name for name, known in names.items() if known == address), None)
    if len(readings) == 1:
        (port, reading) = readings[0]
        return _Located(port, address, name, reading)
    if readings:
        on = " and ".join(port for port, _ in readings)
        raise MeterError(f"address {address} answers on {on}; name one of them with --port")
    if found.failures:
        raise found.failures[0]
    for one in found.found:
        if isinstance(one.outcome, Faulty):
            raise MeterError(f"address {address} on {one.port} is faulty: {one.outcome.reason}")
    raise MeterError(f"address {address} does not answer on {', '.join(ports)}; try pzem scan")


def _the_only_one(found: Sweep, ports: list[str]) -> Found:
    if found.failures:
        raise found.failures[0]
    if not found.found:
        raise MeterError(f"no meter answers on {', '.join(ports)}; has it mains voltage?")
    if len(found.found) > 1:
        which = ", ".join(f"{one.address} on {one.port}" for one in found.found)
        raise MeterError(
            f"more than one meter answers ({which}); leave one plugged in, or name its port "
            "with --port; nothing was changed"
        )
    only = found.found[0]
    if isinstance(only.outcome, Faulty) and not only.outcome.well_formed:
        raise _TwinsError(only, f"is garbled ({only.outcome.reason})")
    with opened(only.port) as line:
        if not Meter(line, only.address).is_alone():
            raise _TwinsError(only, "came twice")
    return only


class _TwinsError(MeterError):
    """What answers at one address may be two meters."""

    def __init__(self, found: Found, what: str) -> None:
        super().__init__(
            f"the answer of address {found.address} on {found.port} {what}: two meters with "
            "one address? leave one connected; nothing was changed"
        )


def _renumber(meter: Found, address: int) -> None:
    with opened(meter.port) as line:
        Meter(line, meter.address).set_address(address)
        line.drain()
        if isinstance(ask_patiently(line, address, tries=3), Silent):
            raise MeterError(
                f"the meter on {meter.port} does not answer at its new address {address}; "
                "find it with pzem scan"
            )
        line.drain()
        if not isinstance(ask_patiently(line, meter.address), Silent):
            raise MeterError(
                f"address {meter.address} still answers on {meter.port} beside {address}: "
                "there are two meters; unplug one and use pzem scan"
            )


def _config(args: argparse.Namespace) -> Config:
    """Return the configuration; on the bench, before there is one, the defaults."""
    if args.config is None and not os.path.exists(configuration.DEFAULT_PATH):
        return Config(meters=())
    return configuration.load(args.config or configuration.DEFAULT_PATH)


def _ports(args: argparse.Namespace, config: Config) -> list[str]:
    patterns = args.ports or config.ports
    ports = list(present_ports(patterns, () if args.ports else config.exclude_ports))
    if not ports:
        raise PortError(f"no serial port at {', '.join(patterns)}; is the adapter plugged in?")
    return ports


def _sweep(ports: list[str], config: Config, addresses: range) -> Sweep:
    likely = [meter.address for meter in config.meters]
    report = Progress(f"asking {len(addresses)} addresses on {', '.join(ports)}")
    found = sweep(ports, addresses, likely, report.show)
    report.end()
    return found


# --- printing


def _scan_row(one: Found, name: str) -> list[str]:
    if isinstance(one.outcome, Reading):
        values = table.reading_cells(meter_fields(one.outcome))[:3]
        return [one.port, str(one.address), *values, name]
    nothing = table.no_reading_cells()[:3]
    what = f"{name} garbled: {one.outcome.reason}".strip()
    return [one.port, str(one.address), *nothing, what]


def _found_fields(one: Found) -> dict[str, Any]:
    return {"port": one.port, "address": one.address, **_outcome_fields(one.outcome)}


def _outcome_fields(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Reading):
        return {"state": "ok", **meter_fields(outcome), "alarm": outcome.alarm}
    state = "silent" if isinstance(outcome, Silent) else "faulty"
    return {"state": state, "reason": outcome.reason}


def _cells(outcome: Outcome) -> list[str]:
    if isinstance(outcome, Reading):
        return table.reading_cells(meter_fields(outcome))
    return table.no_reading_cells()


def _state(outcome: Outcome) -> str:
    if isinstance(outcome, Reading):
        return "ok, alarm" if outcome.alarm else "ok"
    return f"{'silent' if isinstance(outcome, Silent) else 'faulty'} ({outcome.reason})"


def _kwh(energy_wh: float) -> str:
    return f"{energy_wh / 1000:.3f} kWh"


def _confirmed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        print(file=sys.stderr)
        return False


def _print_table(heads: tuple[str, ...], rows: list[list[str]], *, words: int) -> None:
    for line in table.layout(heads, rows, words=words):
        print(line)


def _print_json(data: object) -> None:
    print(json.dumps(data, indent=1))
