"""Networks are timed as their profile was measured, and what is of another device is named."""

import keras
import msgspec
import numpy as np
import pytest

import fdi_keras as fdi
from fdi_keras.devices import DeviceInfo, RuntimeChoice, open_device
from fdi_keras.errors import DeviceNotFoundError, UsageError
from fdi_keras.journal import read_journal
from fdi_keras.networks.history import history_of
from fdi_keras.profile.counted import counting_profile
from fdi_keras.profile.timed_on import check_device, runtime_of

L = keras.layers


@pytest.fixture(scope="module")
def slow_kernels():
    """A profile of this computer's kind that was measured without XNNPACK, by its own account here."""
    profile = fdi.load_profile("x86-avx512-litert-none")
    return msgspec.structs.replace(profile, device=open_device("local").info)


def of(profile, **device):
    return msgspec.structs.replace(profile, device=msgspec.structs.replace(profile.device, **device))


def test_the_runtime_is_the_profiles():
    assert runtime_of(fdi.load_profile("x86-avx512-litert-2-threads")) == RuntimeChoice(threads=2)
    assert runtime_of(fdi.load_profile("x86-avx512-litert-none")) == RuntimeChoice(1, "none")
    phone = msgspec.structs.replace(
        fdi.load_profile("x86-avx512-litert"),
        runtime=fdi.devices.Runtime("benchmark_model", "9f", "gpu", 4, "float16", "big", "f0"),
    )
    assert runtime_of(phone) == RuntimeChoice(4, "gpu", "big", "float16")
    # Nothing executed what was only counted.
    assert runtime_of(counting_profile("flops")) == RuntimeChoice(threads=1)


def test_another_device_is_named(slow_kernels):
    assert check_device(slow_kernels, "local") == ""
    assert check_device(counting_profile("flops"), "local") == ""
    told = check_device(of(slow_kernels, name="another processor"), "local")
    assert "is of 'another processor'" in told
    assert repr(open_device("local").info.name) in told
    with pytest.raises(
        UsageError, match=r"is of the phone 'Pixel', and device 'local' is the computer .* no device"
    ):
        check_device(
            msgspec.structs.replace(slow_kernels, device=DeviceInfo("abc", "Pixel", "phone")), "local"
        )
    with pytest.raises(DeviceNotFoundError):
        check_device(slow_kernels, "nowhere")


def test_another_version_of_the_runtime_is_named(slow_kernels):
    older = msgspec.structs.replace(slow_kernels.runtime, version="1.0.1")
    told = check_device(msgspec.structs.replace(slow_kernels, runtime=older), "local")
    assert "was measured with litert 1.0.1, and networks are timed with litert " in told


def network():
    image = keras.Input((16, 16, 8))
    x = L.ReLU()(L.Conv2D(48, 3, padding="same", name="body")(image))
    model = keras.Model(image, L.Dense(3, "softmax")(L.GlobalAveragePooling2D()(x)))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_compression_times_as_the_profile_was_measured(slow_kernels):
    keras.utils.set_random_seed(0)
    model, rng = network(), np.random.default_rng(0)
    data = rng.normal(size=(64, 16, 16, 8)).astype("float32"), rng.integers(0, 3, 64)
    took = fdi.measure_latency(model, seconds=0.3, runtime=RuntimeChoice(delegate="none")).median_ms
    said = []
    other = of(slow_kernels, name="another processor")
    result = fdi.compress(model, other, 0.5 * took, data, 2, session="slow", report=said.append)
    events = list(read_journal(history_of(result.model).journal))
    timed = [e for e in events if e["event"] == "measured"]
    assert timed
    assert all("(none)" in event["runtime"] for event in timed)
    # With XNNPACK the whole network is faster than half of the time without.
    assert result.stages[0].measured_ms == pytest.approx(took, rel=0.3)
    [caution] = result.cautions
    assert said[0] == f"caution: {caution}"
    assert "another processor" in caution
    assert caution in [event.get("message") for event in events if event["event"] == "warning"]


def test_growth_names_another_device_and_refuses_another_kind(slow_kernels):
    said, small = [], network()
    fdi.grow(small, of(slow_kernels, name="another processor"), device="local", report=said.append)
    assert "another processor" in said[0]
    with pytest.raises(UsageError, match="is of the phone"):
        fdi.grow(small, of(slow_kernels, kind="phone"), device="local", report=None)
