"""`pzem simulate`: simulated meters for whoever has none at hand, and orders for them."""

from __future__ import annotations

import argparse
import grp
import os
import re
import select
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

from pzem.registers import MAX_ADDRESS, MIN_ADDRESS
from pzem.testing.control import ControlSocket, answer, send_order
from pzem.testing.faults import number_within
from pzem.testing.house import ORIGINAL_WIRING, SimulatedHouse, Supply, Wiring
from pzem.testing.line import TURN_AROUND_S, LinkError
from pzem.testing.meter import END_OF_COUNTER_WH
from pzem.testing.orders import OrderError
from pzem.testing.simulator import Simulator

DONE, FAILED, WRONG_USAGE = 0, 1, 2
METERS_HELP: Final = "NAME:ADDRESS[:utility|generator|circuit[:LEG]], more after commas"
METER_SYNTAX: Final = r"(\w+):(\d+)(?::(utility|generator|circuit)(?::(\w+))?)?"

Port = tuple[Path, list[Wiring]]

ORIGINAL_PORTS: Final[list[Port]] = [
    (Path(f"ttyUSB{n}"), [meter]) for n, meter in enumerate(ORIGINAL_WIRING)
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options and arguments of `pzem simulate` to `parser`."""
    add = parser.add_argument
    add(
        "--port",
        action="append",
        type=_port,
        metavar="LINK=METERS",
        help=f"an adapter; METERS are {METERS_HELP} (default: the original house on three)",
    )
    add("--directory", type=Path, help="where the links go (default: a new one in /tmp)")
    add("--group", type=_group, help="whose members may use the ports, such as dialout")
    add("--wiring", choices=("panel", "own"), default="panel", help="what feeds the meters")
    add("--volts", type=_number(80, 260), default=120.0, help="of a leg (default: 120)")
    add("--hertz", type=_number(45, 65), default=60.0, help="of the supply (default: 60)")
    add("--seed", type=int, default=0, help="another one is another life of the house")
    add("--energy", type=_number(0, END_OF_COUNTER_WH), default=0.0, metavar="WH", help="at start")
    add("--end-of-counter", choices=("wrap", "stop"), default="wrap", help="at 9999.99 kWh")
    add(
        "--turn-around",
        type=_number(0, 1000),
        default=TURN_AROUND_S * 1000,
        metavar="MS",
        help="from a request to its reply (default: 28)",
    )
    add("--journal", type=Path, metavar="FILE", help="append each reply sent, as JSON lines")
    add("--control", type=Path, metavar="SOCKET", help="take orders here, or send ORDER there")
    add("order", nargs="*", metavar="ORDER", help="for the simulator at --control; try: help")


def run(args: argparse.Namespace) -> int:
    """Simulate until SIGINT, SIGTERM or SIGHUP, or deliver an order; return the exit code."""
    try:
        if args.order:
            return _deliver(args.control, " ".join(args.order))
        return _simulate(args)
    except argparse.ArgumentTypeError as error:
        return _complain(error, WRONG_USAGE)
    except LinkError as error:
        return _complain(error, FAILED)
    except BrokenPipeError:  # the reader of the output has gone: not for us to tell
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror}", FAILED)


def _complain(error: object, code: int) -> int:
    print(f"pzem simulate: {error}", file=sys.stderr)
    return code


def _deliver(control: Path | None, order: str) -> int:
    if control is None:
        raise argparse.ArgumentTypeError("an order needs --control SOCKET of a running simulator")
    try:
        print(send_order(control, order))
    except OrderError as error:
        return _complain(error, FAILED)
    except OSError as error:
        return _complain(f"no simulator answers on {control}: {error.strerror or error}", FAILED)
    return DONE


def _simulate(args: argparse.Namespace) -> int:
    ports: list[Port] = args.port or ORIGINAL_PORTS
    _must_differ("port", [str(link) for link, _ in ports])
    _must_differ("meter", [meter.name for _, meters in ports for meter in meters])
    wiring = [meter for _, meters in ports for meter in meters]
    if args.wiring == "own":
        wiring = [replace(meter, fed_from="own") for meter in wiring]
    house = SimulatedHouse(
        wiring,
        volts=args.volts,
        hertz=args.hertz,
        seed=args.seed,
        energy_wh=args.energy,
        end_of_counter=args.end_of_counter,
    )
    with ExitStack() as stack:
        stopped = stack.enter_context(_stop_signals())
        folder = stack.enter_context(_folder(args))
        simulator = Simulator.with_meters(
            {
                folder / link: [house.meters[meter.name] for meter in meters]
                for link, meters in ports
            },
            house,
            turn_around_s=args.turn_around / 1000,
            journal_file=args.journal,
            group=args.group,
        )
        stack.enter_context(simulator)
        if args.control:
            stack.enter_context(ControlSocket(args.control, simulator.order))
        for line in simulator.lines:
            meters = ", ".join(f"{meter.name} (address {meter.address})" for meter in line.meters)
            print(f"{line.link}: {meters}")
        print("ready", flush=True)
        _take_orders(simulator.order, stopped)
    return DONE


def _must_differ(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise argparse.ArgumentTypeError(f"{what} {name} is given twice")


@contextmanager
def _folder(args: argparse.Namespace) -> Iterator[Path]:
    """Yield the folder of relative links; remove it afterwards if it was made here."""
    folder: Path = args.directory or Path()
    made = args.directory is not None and not folder.exists()
    if made:
        folder.mkdir(parents=True)
    elif args.directory is None and not args.port:
        made, folder = True, Path(tempfile.mkdtemp(prefix="pzem-sim-"))
    try:
        yield folder
    finally:
        with suppress(OSError):  # not empty: somebody else put something there
            if made:
                folder.rmdir()


@contextmanager
def _stop_signals() -> Iterator[int]:
    """Yield a descriptor that gets readable when the simulator is to end.

    Signals that are ignored stay so (nohup). Reading orders in the background of a
    terminal must fail, not stop the process: hence SIGTTIN.
    """
    stopped, stop = os.pipe()

    def end(*_: object) -> None:
        os.write(stop, b"\0")

    former = {signal.SIGTTIN: signal.signal(signal.SIGTTIN, signal.SIG_IGN)}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            former[number] = signal.signal(number, end)
    try:
        yield stopped
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        os.close(stopped)
        os.close(stop)


def _take_orders(order: Callable[[str], str], stopped: int) -> None:
    """Obey standard input, line by line, until `stopped` is readable; its end changes nothing."""
    sources = [stopped] if sys.stdin is None else [stopped, sys.stdin.fileno()]
    text = b""
    while True:
        ready, _, _ = select.select(sources, [], [])
        if stopped in ready:
            return
        try:
            heard = os.read(ready[0], 4096)
        except OSError:  # the terminal is gone, or we are in its background
            heard = b""
        if not heard:
            sources.remove(ready[0])
        *lines, text = (text + heard).split(b"\n")
        for line in lines:
            print(answer(order, line.decode(errors="replace")), flush=True)


def _number(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            return number_within("it", text, least, most)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return number


def _group(name: str) -> int:
    """Return the id of the group `name` if the ports can be given to it."""
    try:
        group = grp.getgrnam(name).gr_gid
    except KeyError:
        raise argparse.ArgumentTypeError(f"no group is called {name!r}") from None
    if os.geteuid() != 0 and group not in {os.getegid(), *os.getgroups()}:
        raise argparse.ArgumentTypeError(f"you are not in the group {name}: join it, or be root")
    return group


def _port(text: str) -> Port:
    link, equals, meters = text.rpartition("=")
    if not equals or not link:
        raise argparse.ArgumentTypeError(f"{text!r} is not LINK=METERS")
    return Path(link), [_wiring(meter) for meter in meters.split(",")]


def _wiring(text: str) -> Wiring:
    """Read NAME:ADDRESS[:SUPPLY[:LEG]]; the original house's meters need no supply or leg."""
    found = re.fullmatch(METER_SYNTAX, text, re.ASCII)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not {METERS_HELP}")
    name, address, supply, leg = found.groups()
    if not MIN_ADDRESS <= int(address) <= MAX_ADDRESS:
        raise argparse.ArgumentTypeError(
            f"address {address} must be {MIN_ADDRESS} to {MAX_ADDRESS}"
        )
    wiring = Wiring(name, int(address), cast("Supply", supply or "utility"), leg)
    if supply is None:
        for original in ORIGINAL_WIRING:
            if original.name == name:
                wiring = replace(original, address=int(address))
    return wiring
