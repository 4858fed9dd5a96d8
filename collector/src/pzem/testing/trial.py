"""`./appliance try`: simulated meters, the collector, a real InfluxDB, a table.

Every number in the table was read back from the database.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pzem.cli import table
from pzem.config import INTERVALS_S
from pzem.testing.house import ORIGINAL_WIRING
from pzem.testing.influxd import Influxd, InfluxdError

PZEM: Final = (sys.executable, "-m", "pzem.cli")
STOP_S: Final = 10.0
END_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STATES: Final = {0: "ok", 1: "silent", 2: "faulty"}
CLEAR: Final = "\033[H\033[J"
LOG_LINES: Final = 8

_CONFIG = """\
interval_s = {interval_s}
ports = ["{folder}/ttyUSB*"]
state_dir = "{folder}"
runtime_dir = "{folder}"
[influxdb]
url = "{url}"
"""
_METER = """\
[[meters]]
name = "{name}"
address = {address}
supply = "{supply}"
fed_from = "{fed_from}"
"""


class TrialError(Exception):
    """The trial cannot go on; the message says why."""


def main(argv: list[str] | None = None) -> int:
    """Run until Ctrl-C, or for `--cycles` cycles. Returns the exit code."""
    args = _parser().parse_args(argv)
    for signum in END_SIGNALS:
        signal.signal(signum, signal.default_int_handler)
    try:
        _show(args.interval, args.cycles)
    except KeyboardInterrupt:
        print("\nStopped; nothing is left behind.")
    except (InfluxdError, TrialError) as error:
        print(f"appliance try: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="appliance try",
        description="Run the collector on three simulated meters and show what it stores.",
    )
    parser.add_argument(
        "--interval",
        type=int,
        choices=INTERVALS_S,
        default=5,
        metavar="SECONDS",
        help="seconds between two readings (default: 5); divides a minute",
    )
    parser.add_argument(
        "--cycles",
        type=_count,
        metavar="N",
        help="stop after N cycles (default: at Ctrl-C)",
    )
    return parser


def _count(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not a number of cycles; use 1 or more")


@dataclass(frozen=True, slots=True)
class Trial:
    """A collector at work on simulated meters, and where to look at it."""

    database: Influxd
    collector: subprocess.Popen[bytes]
    control: Path
    """Socket on which the simulator takes orders."""
    _log: Path

    def log(self) -> list[str]:
        """Return the collector's last lines."""
        return _tail(self._log)

    def cycles(self) -> Iterator[dict[str, Any]]:
        """Yield the `collector` point of each cycle as it arrives in the database.

        Raises `TrialError` if the collector ends.
        """
        last = 0
        while True:
            if self.collector.poll() is not None:
                raise TrialError("the collector has ended:\n" + "\n".join(self.log()))
            for row in self.database.query(f"SELECT * FROM collector WHERE time > {last}s"):  # noqa: S608
                last = row["time"]
                yield row
            time.sleep(0.1)


@contextmanager
def trial(interval_s: int) -> Iterator[Trial]:
    """Run the simulator, InfluxDB and the collector; leave nothing behind.

    Raises `InfluxdError` or `TrialError` if one of them does not start.
    """
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="pzem-try-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        database = stack.enter_context(Influxd())
        database.query("CREATE DATABASE housePower")
        control = folder / "control"
        simulate = ("simulate", "--directory", str(folder), "--control", str(control))
        simulator = stack.enter_context(_process(folder / "simulator.log", *simulate))
        _wait_for_ports(folder, simulator)
        config = folder / "pzem.toml"
        config.write_text(_config(folder, database.url, interval_s))
        log = folder / "collector.log"
        collector = stack.enter_context(_process(log, "run", "--config", str(config)))
        stack.callback(_let_cleaning_finish)
        yield Trial(database, collector, control, log)


def _show(interval_s: int, cycles: int | None) -> None:
    print("Starting InfluxDB, three simulated meters and the collector …", flush=True)
    with trial(interval_s) as running:
        footer = _footer(running.database.url, running.control)
        for shown, stamp in enumerate(running.cycles(), start=1):
            screen = [*_screen(running.database, stamp), "", *running.log(), "", *footer]
            clear = CLEAR if sys.stdout.isatty() else ""
            print(clear + "\n".join(screen), end="\n\n", flush=True)
            if shown == cycles:
                return


def _let_cleaning_finish() -> None:
    for signum in END_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def _config(folder: Path, url: str, interval_s: int) -> str:
    meters = [
        _METER.format(
            name=wiring.name,
            address=wiring.address,
            supply=wiring.supply,
            fed_from=wiring.fed_from,
        )
        for wiring in ORIGINAL_WIRING
    ]
    return _CONFIG.format(interval_s=interval_s, folder=folder, url=url) + "".join(meters)


@contextmanager
def _process(log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a `pzem` command that Ctrl-C does not reach: it is stopped in its turn."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*PZEM, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_ports(folder: Path, simulator: subprocess.Popen[bytes]) -> None:
    while len(list(folder.glob("ttyUSB*"))) < len(ORIGINAL_WIRING):
        if simulator.poll() is not None:
            raise TrialError("\n".join(_tail(folder / "simulator.log")))
        time.sleep(0.05)


def _screen(database: Influxd, cycle: dict[str, Any]) -> list[str]:
    at = f"WHERE time = {cycle['time']}s"
    readings = {row["meter"]: row for row in database.query(f"SELECT * FROM meter {at}")}  # noqa: S608
    states = {row["meter"]: row for row in database.query(f"SELECT * FROM meter_state {at}")}  # noqa: S608
    house = next(iter(database.query(f"SELECT * FROM house {at}")), {})  # noqa: S608
    rows = []
    for wiring in ORIGINAL_WIRING:
        name = wiring.name
        cells = (
            table.reading_cells(readings[name]) if name in readings else table.no_reading_cells()
        )
        rows.append([name, *cells, _state(states.get(name, {}))])
    time_of_day = datetime.fromtimestamp(cycle["time"]).astimezone().strftime("%H:%M:%S")
    return [
        f"{time_of_day}   read in {1000 * cycle['cycle_s']:.0f} ms",
        "",
        *table.layout(("meter", *table.READING_HEADS, "state"), rows, words=1),
        "",
        f"House: {_amount(house, 'watts', 'W')}, {_amount(house, 'volt_amps', 'VA')}, "
        f"supply in use: {_supply_in_use(house)}",
    ]


def _state(row: dict[str, Any]) -> str:
    state = STATES.get(row.get("state", -1), "unknown")
    return f"{state} ({row['reason']})" if row.get("reason") else state


def _amount(row: dict[str, Any], field: str, unit: str) -> str:
    value = row.get(field)
    return f"{table.NOTHING} {unit}" if value is None else f"{value:.1f} {unit}"


def _supply_in_use(house: dict[str, Any]) -> str:
    flags = {name: house.get(f"{name}_on") for name in ("utility", "generator")}
    on = [name for name, flag in flags.items() if flag]
    return " and ".join(on) or ("not known" if None in flags.values() else "none")


def _footer(url: str, control: Path) -> list[str]:
    order = f"{Path(sys.executable).parent / 'pzem'} simulate --control {control}"
    return [
        f"Read back from InfluxDB at {url}.",
        "Ctrl-C ends this and removes every trace.",
        "Play with the house from another terminal: outage, generator, utility, help, …",
        f"  {order} outage",
    ]


def _tail(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-LOG_LINES:]


if __name__ == "__main__":
    sys.exit(main())
