"""A process to be killed while a phone is steady: ``python kill_steady.py SERIAL PORT``."""

import sys
import time

from fdi_keras.devices.adb.phone import PhoneLink
from fdi_keras.devices.adb.server import AdbServer
from fdi_keras.devices.adb.steady import SteadyPhone

if __name__ == "__main__":
    link = PhoneLink(sys.argv[1], AdbServer("127.0.0.1", int(sys.argv[2])))
    with SteadyPhone(link, perf_harden=True):
        link.push("/bin/sleep", "/data/local/tmp/fdi/bin/benchmark_model", 0o755)
        link.push(b"model", "/data/local/tmp/fdi/probe.tflite")
        link.run("/data/local/tmp/fdi/bin/benchmark_model 100 > /dev/null 2>&1 &")
        print("steady", flush=True)
        time.sleep(100)
