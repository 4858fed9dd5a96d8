"""`pzem check-config`, for which Python alone is enough: a controller runs it too."""

from __future__ import annotations

import argparse
from collections import Counter

from pzem import config as configuration


def check_config(args: argparse.Namespace) -> int:
    """Say that the configuration is good; what is wrong comes as `ConfigError`."""
    path = args.config or configuration.DEFAULT_PATH
    config = configuration.load(path)
    supplies = Counter(meter.supply for meter in config.meters)
    meters = ", ".join(f"{count} {supply}" for supply, count in supplies.items())
    print(f"{path}: good; meters: {meters}; every {config.interval_s} s")
    return 0
