"""A stand-in for a phone on a cable, for tests and benchmarks.

It plays the device side of the ADB protocol on a port of this computer; the real adb server
connects to it, and the real client talks to that server::

    fdi_keras --> adb server --> StandInPhone --> /bin/sh in a folder of its own

What it is, can and cannot do: :mod:`.phone`. Its programs and state: :mod:`.tools`.
"""

from .adb_server import RealAdbServer, free_port, quiet_environment
from .phone import StandInPhone
from .process import PhoneProcess

__all__ = ["PhoneProcess", "RealAdbServer", "StandInPhone", "free_port", "quiet_environment"]
