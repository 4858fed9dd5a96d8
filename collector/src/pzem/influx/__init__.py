"""Delivery to InfluxDB 1.x, and questions to it."""

from pzem.influx.client import REQUEST_S, Influx, InfluxError, InfluxRefusalError, Verdict, quoted
from pzem.influx.writer import Writer

__all__ = [
    "REQUEST_S",
    "Influx",
    "InfluxError",
    "InfluxRefusalError",
    "Verdict",
    "Writer",
    "quoted",
]
