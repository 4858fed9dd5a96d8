"""`pzem run`."""

from __future__ import annotations

import argparse
import signal
import threading

from pzem import config as configuration
from pzem import service
from pzem.systemd import set_up_logging

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(args: argparse.Namespace) -> int:
    """Collect until SIGTERM or SIGINT."""
    config = configuration.load(args.config or configuration.DEFAULT_PATH)
    set_up_logging()
    stop = threading.Event()
    # A handler that sets an Event on which the same thread waits can block for ever.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    threading.Thread(target=_stop_at_signal, args=(stop,), daemon=True).start()
    service.run(config, stop)
    return 0


def _stop_at_signal(stop: threading.Event) -> None:
    signal.sigwait(STOP_SIGNALS)
    stop.set()
