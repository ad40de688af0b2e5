"""The description of this computer, and finding devices by id."""

import subprocess
import sys

import pytest

from fdi_keras.devices import DeviceInfo, LocalDevice, RuntimeChoice, list_devices, open_device
from fdi_keras.devices.local import _processor_of_linux
from fdi_keras.errors import DeviceNotFoundError, UsageError


def test_this_computer_is_listed_and_described():
    (info,) = list_devices()
    assert isinstance(info, DeviceInfo)
    assert (info.id, info.kind, info.state) == ("local", "computer", "ready")
    assert info.name
    assert info.details["cores"] >= 1
    assert info.details["memory_gb"] > 0
    assert info.details["runtime"].startswith("litert ")


def test_unknown_device_names_the_known_ones():
    with pytest.raises(DeviceNotFoundError, match="no device 'pixel'; known are: local"):
        open_device("pixel")


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_threads_must_be_a_positive_whole_number(threads):
    with pytest.raises(UsageError, match="threads must be"):
        LocalDevice().open(RuntimeChoice(threads=threads))


def test_runner_says_what_it_runs_on():
    runtime = LocalDevice().open(RuntimeChoice(threads=2)).runtime
    assert (runtime.name, runtime.delegate, runtime.threads) == ("litert", "xnnpack", 2)
    assert runtime.version[0].isdigit()


def test_the_runtimes_own_kernels_are_another_runtime():
    runtime = LocalDevice().open(RuntimeChoice(delegate="none")).runtime
    assert (runtime.delegate, runtime.variant) == ("none", "litert-none")
    with pytest.raises(UsageError, match="delegate 'xnnpack' or 'none' only, received 'gpu'"):
        LocalDevice().open(RuntimeChoice(delegate="gpu"))
    with pytest.raises(UsageError, match="cores 'any' only, received 'big'"):
        LocalDevice().open(RuntimeChoice(cores="big"))


def test_processor_of_x86_and_arm():
    x86 = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: sse4_1 avx2\n\nmodel name\t: other\n"
    assert _processor_of_linux(x86) == ("Some CPU @ 2 GHz", {"sse4_1", "avx2"})
    arm = "processor\t: 0\nFeatures\t: fp asimd asimddp\nHardware\t: BCM2835\nModel\t: Raspberry Pi 4\n"
    assert _processor_of_linux(arm) == ("BCM2835", {"fp", "asimd", "asimddp"})


def test_listing_devices_loads_nothing_heavy():
    code = (
        "import sys; from fdi_keras.devices import list_devices; list_devices(); "
        "print([m for m in ('ai_edge_litert', 'tensorflow', 'keras', 'sklearn', 'scipy', 'numpy') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # The table of operators needs numpy; nothing else may come in.
    assert done.stdout.strip() in ("[]", "['numpy']")
