"""What `pzem import-original` takes, apart from the packages that it needs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from pzem.history.original import METERS, UNITS_WH

RPC: Final = "127.0.0.1:8088"
"""InfluxDB's own port for backups, which asks for no password."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `import-original`."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--from-url", metavar="URL", help="the server to read from (default: the configured one)"
    )
    source.add_argument(
        "--backup",
        type=Path,
        metavar="FOLDER",
        help="a backup made with influxd backup -portable; it is restored beside the database, "
        "on this machine, and removed in the end, for which --from-username has to be an "
        "administrator where InfluxDB asks for passwords",
    )
    parser.add_argument(
        "--from-database",
        metavar="NAME",
        help="the database to read from (default: the configured one)",
    )
    parser.add_argument(
        "--from-username", metavar="NAME", help="who may read there (default: as configured)"
    )
    parser.add_argument(
        "--from-password-file", type=Path, metavar="PATH", help="a file with the password"
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        type=mapping,
        metavar="ORIGINAL=METER",
        help="what a meter of the original is called here; may be repeated, with nothing after "
        "the = it is left out (default: "
        + ", ".join(f"{prefix}={meter}" for prefix, meter in METERS.items())
        + ")",
    )
    parser.add_argument(
        "--unit", choices=tuple(UNITS_WH), help="what WHRS counts, if it cannot be told by itself"
    )
    parser.add_argument("--dry-run", action="store_true", help="look and count, write nothing")
    parser.add_argument("--again", action="store_true", help="begin anew, not where it stands")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--rpc", default=RPC, help=argparse.SUPPRESS)


def mapping(text: str) -> tuple[str, str]:
    """Return the pair that `text` spells, such as MAIN-A=mainA; for `argparse`."""
    prefix, equals, meter = text.partition("=")
    if prefix not in METERS or not equals:
        raise argparse.ArgumentTypeError(
            f"{text} is no pair; write one of {', '.join(METERS)}, =, and a configured meter"
        )
    return prefix, meter
