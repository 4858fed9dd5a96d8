"""`pzem run`: the grid, the meters, the house and the database, wired together."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pzem.clock import SystemClock
from pzem.collector import Collector, CollectorError
from pzem.config import Config
from pzem.files import only_user
from pzem.influx import Influx, Writer
from pzem.moment import boot_id
from pzem.places import Places
from pzem.ports import Ports
from pzem.recall import Recall
from pzem.saver import Saver
from pzem.spool import Spool
from pzem.systemd import notify

FLUSH_S: Final = 5.0
"""How long the end waits for a write under way. What it does not achieve is kept in the
spool, which needs up to 5 s more, and the saver up to 2 s; systemd waits 20 s."""
PORTS_FILE: Final = "ports.json"

log = logging.getLogger(__name__)


def run(config: Config, stop: threading.Event) -> None:
    """Collect until `stop` is set, then write what is left.

    Raises `ConfigError` if the password cannot be read, `CollectorError` if a part
    of the collector has failed for good or another collector runs.
    """
    boot = boot_id()
    influx = Influx(config.influxdb)
    with (
        _only_collector(config.state_dir),
        contextlib.closing(Saver()) as saver,
        contextlib.closing(Spool(config.state_dir, boot, config.spool.max_mb * 10**6)) as spool,
    ):
        writer = Writer(spool, influx)
        writer.start()
        try:
            addresses = {meter.name: meter.address for meter in config.meters}
            places = Places(config.state_dir / PORTS_FILE, saver)
            with Ports(config.ports, config.exclude_ports, addresses, places) as ports:
                log.info("looking for %d meters on %s", len(addresses), ", ".join(config.ports))
                ports.discover(stop)
                recall = Recall(config.influxdb)
                clock = SystemClock(stop)
                collector = Collector(config, ports, spool, writer, recall, clock, boot, saver)
                recall.start()
                try:
                    collector.run()
                finally:
                    recall.stop(0.0)
                    collector.close()
        finally:
            notify("STOPPING=1")
            writer.stop(FLUSH_S)


@contextlib.contextmanager
def _only_collector(state_dir: Path) -> Iterator[None]:
    """Keep a second collector from the files of the first; raises `CollectorError`."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(only_user(state_dir))
        except BlockingIOError as error:
            raise CollectorError(
                f"another collector keeps its state in {state_dir}; stop that one first "
                "(sudo systemctl stop pzem)"
            ) from error
        except OSError:
            pass  # there is nothing to keep apart, and the spool says what is wrong
        yield
