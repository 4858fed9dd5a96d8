"""Reads PZEM-016 energy meters over Modbus-RTU and stores what they show in InfluxDB."""

__version__ = "0.1.0"
