"""`pzem meter-replaced`."""

from __future__ import annotations

import argparse
import time

from pzem import config as configuration
from pzem.config import ConfigError
from pzem.requests import METER_REPLACED, leave


def meter_replaced(args: argparse.Namespace) -> int:
    """Tell the collector that another meter takes the place of one."""
    config = configuration.load(args.config or configuration.DEFAULT_PATH)
    names = [meter.name for meter in config.meters]
    if args.name not in names:
        raise ConfigError([f"no meter is called {args.name}; there are {', '.join(names)}"])
    leave(config.state_dir, METER_REPLACED, args.name, time.time())
    print(
        f"The lifetime energy of {args.name} goes on where the old meter's ended. What the new "
        "one's register\nshows at first is not counted: whether it was put in within the last "
        "two days, or will be\nwithin the next two. The collector takes this up within one "
        "cycle; if it is stopped, when it starts."
    )
    return 0
