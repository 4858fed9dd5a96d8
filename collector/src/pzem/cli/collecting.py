"""`pzem run` and `pzem check-config`."""

from __future__ import annotations

import argparse
import signal
import threading
from collections import Counter

from pzem import config as configuration
from pzem import service
from pzem.systemd import set_up_logging


def run(args: argparse.Namespace) -> int:
    """Collect until SIGTERM or SIGINT."""
    config = configuration.load(args.config or configuration.DEFAULT_PATH)
    set_up_logging()
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    service.run(config, stop)
    return 0


def check_config(args: argparse.Namespace) -> int:
    """Say that the configuration is good; what is wrong comes as `ConfigError`."""
    path = args.config or configuration.DEFAULT_PATH
    config = configuration.load(path)
    supplies = Counter(meter.supply for meter in config.meters)
    meters = ", ".join(f"{count} {supply}" for supply, count in supplies.items())
    print(f"{path}: good; meters: {meters}; every {config.interval_s} s")
    return 0
