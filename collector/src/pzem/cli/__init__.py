"""`pzem`: the command line.

Exit codes: 0 done, 1 the thing asked for failed, 2 wrong usage or configuration.
Whatever goes wrong is said in one line.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from pzem import __version__
from pzem.cli import arguments, import_options
from pzem.cli.complaint import complain
from pzem.config import DEFAULT_PATH, ConfigError
from pzem.errors import PzemError, why
from pzem.registers import MAX_ADDRESS, MIN_ADDRESS
from pzem.testing import command as simulate

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        return _run(argv)
    finally:
        with contextlib.suppress(OSError):
            _flush(sys.stderr)


def _run(argv: list[str] | None) -> int:
    try:
        try:
            args = build_parser().parse_args(argv)
            return int(args.command(args))
        finally:
            _flush(sys.stdout)
    except ConfigError as error:
        for line in error.lines:
            complain(line)
        return WRONG_USAGE
    except PzemError as error:
        complain(f"{error} ({error.hint})" if error.hint else str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        pass  # whoever read the output has gone
    except OSError as error:
        complain(f"{error.filename}: {why(error)}" if error.filename else why(error))
    return FAILED


def _flush(stream: TextIO | None) -> None:
    """Have what was printed written now; Python's own complaint at exit is not one line."""
    if stream is None:  # it was closed by whoever has started this
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="pzem", description="Reads PZEM-016 energy meters and stores what they show."
    )
    parser.add_argument("--version", action="version", version=f"pzem {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, what: str, *shared: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=what, description=what, parents=shared)

    config, ports, as_json, meter = _config(), _ports(), _json(), _meter()

    run = add("run", "Collect until stopped: read every meter, fill InfluxDB.", config)
    run.set_defaults(command=_later("pzem.cli.collecting", "run"))

    check = add("check-config", "Check the configuration and say what is wrong with it.", config)
    check.set_defaults(command=_later("pzem.cli.checking", "check_config"))

    status = add(
        "status",
        "Show how the running collector is; 0: all is well, 1: something is to be looked at.",
        config,
        as_json,
    )
    status.set_defaults(command=_later("pzem.cli.status", "show"))

    scan = add("scan", "Find every meter on every port.", config, ports, as_json)
    scan.add_argument(
        "--addresses",
        type=arguments.address_range,
        metavar="FROM-TO",
        help=f"ask only these addresses (default: {MIN_ADDRESS}-{MAX_ADDRESS}, about a minute)",
    )
    scan.set_defaults(command=_later("pzem.cli.commissioning", "scan"))

    read = add("read", "Read the configured meters once.", config, ports, as_json)
    read.add_argument("names", nargs="*", metavar="NAME", help="only these meters")
    read.set_defaults(command=_later("pzem.cli.commissioning", "read"))

    address = add(
        "set-address",
        "Give the one meter that is plugged in another address.",
        config,
        ports,
        as_json,
    )
    address.add_argument(
        "address", type=arguments.address, metavar="ADDRESS", help="the new address"
    )
    address.set_defaults(command=_later("pzem.cli.commissioning", "set_address"))

    reset = add(
        "reset-energy", "Set a meter's energy counter to zero.", config, ports, as_json, meter
    )
    reset.add_argument("--yes", action="store_true", help="do not ask")
    reset.set_defaults(command=_later("pzem.cli.commissioning", "reset_energy"))

    alarm = add(
        "alarm-threshold",
        "Show or set the power above which a meter raises its alarm.",
        config,
        ports,
        as_json,
        meter,
    )
    alarm.add_argument(
        "watts",
        nargs="?",
        type=arguments.watts,
        metavar="WATTS",
        help="the new threshold; none: show it",
    )
    alarm.set_defaults(command=_later("pzem.cli.commissioning", "alarm_threshold"))

    replaced = add(
        "meter-replaced",
        "Tell the collector that another meter takes the place of one.",
        config,
    )
    replaced.add_argument("name", metavar="NAME", help="the meter's name in the configuration")
    replaced.set_defaults(command=_later("pzem.cli.meters", "meter_replaced"))

    original = add(
        "import-original",
        "Bring in the history of the original build guide (measurement ALL_SENSORS).",
        config,
        as_json,
    )
    import_options.add_arguments(original)
    original.set_defaults(command=_later("pzem.cli.importing", "import_original"))

    rollup = add(
        "rollup",
        "Fill the coarser levels of the history: for ever, or once with --from or --to.",
        config,
    )
    for option, name, what in (
        ("--from", "start", "from this day on (default: the first there is)"),
        ("--to", "end", "up to but not including this day (default: the last there is)"),
    ):
        rollup.add_argument(option, dest=name, type=arguments.day, metavar="YYYY-MM-DD", help=what)
    rollup.set_defaults(command=_later("pzem.cli.rolling", "rollup"))

    outages = add("outages", "Show the recorded outages and the Pi's own absences.", config)
    outage_form = outages.add_mutually_exclusive_group()
    outage_form.add_argument("--json", action="store_true", help="print JSON")
    outage_form.add_argument("--csv", action="store_true", help="print CSV")
    outages.set_defaults(command=_later("pzem.cli.outages", "outages"))

    simulated = add("simulate", "Play PZEM-016 meters on pseudo terminals.")
    simulate.add_arguments(simulated)
    simulated.set_defaults(command=simulate.run)
    return parser


def _later(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    """Return a command that is imported when it is called.

    Each command then needs only its own packages: `simulate` none at all.
    """

    def command(args: argparse.Namespace) -> int:
        return int(getattr(importlib.import_module(module), function)(args))

    return command


def _config() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--config",
        type=Path,
        metavar="PATH",
        help=f"the configuration (default: {DEFAULT_PATH})",
    )
    return shared


def _ports() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--port",
        action="append",
        dest="ports",
        metavar="PATH",
        help="use this port instead of the configured ones; may be repeated",
    )
    return shared


def _json() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON")
    return shared


def _meter() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("meter", metavar="METER", help="a configured name, or an address")
    return shared
