"""On devices whose minima are known, growth finds every one of them and never costs time."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_devices import SIDE, blocks, dips, learned, linear_device
from tensors import to_numpy

import fdi_keras as fdi
from fdi_keras.compression.grow import ACCEPTED_RATIO, _verified_growth
from fdi_keras.errors import UsageError
from fdi_keras.networks import find_channel_spaces, read_graph
from fdi_keras.networks.history import history_of

L = keras.layers


def chain(*widths):
    """3x3 convolutions one after the other on 8x8 images, then a classifier."""
    x = image = keras.Input((SIDE, SIDE, 3))
    for i, width in enumerate(widths):
        x = L.Conv2D(width, 3, padding="same", activation="relu", name=f"c{i}")(x)
    return keras.Model(image, L.Dense(2, name="head")(L.GlobalAveragePooling2D()(x)))


def widths_of(model):
    return {s.name: s.width for s in find_channel_spaces(read_graph(model)) if s.name.startswith("c")}


def pruned_from(origin, *widths):
    """``origin`` cut to the given widths, and the gated network it came from."""
    gated = fdi.prunable(origin)
    for (_, gate), width in zip(sorted(gated.gates.items()), widths, strict=True):
        gate.set_logits(np.where(np.arange(gate.channels) < width, 6.0, -6.0))
    return fdi.prune(gated), gated


def grown(small, profile, **options):
    after = fdi.grow(small, profile, report=None, **options)
    times = [fdi.predict_latency(m, profile).total_ms for m in (small, after)]
    assert times[1] <= times[0] * (1 + 1e-9)
    return after


@pytest.mark.parametrize("start", range(17, 33))
def test_dips_at_multiples_of_four(start):
    """A multiple of 4 halves the time of the layer: the next multiples pay, up to twice the width."""
    small, gated = pruned_from(chain(64), start)
    width = widths_of(grown(small, dips(4), origin=gated))["c0"]
    # At a multiple already, everything wider costs more; else the widest multiple of at most half the cost.
    assert width % 4 == 0
    assert width == (start if start % 4 == 0 else min(2 * start // 4 * 4, 64))


@pytest.mark.parametrize("start", [1, 5, 16, 17, 30, 32, 33, 47, 49, 64])
def test_blocks_of_sixteen_are_filled(start):
    small, gated = pruned_from(chain(64), start)
    assert widths_of(grown(small, blocks(16), origin=gated))["c0"] == -(-start // 16) * 16


def test_blocks_are_filled_in_every_layer():
    small, gated = pruned_from(chain(64, 64, 64), 10, 17, 40)
    assert list(widths_of(grown(small, blocks(16), origin=gated)).values()) == [16, 32, 48]


def test_a_price_for_inputs_makes_growth_stop_where_the_next_layer_pays():
    """Only the last layer's outputs are free: the others are another layer's inputs."""
    small, gated = pruned_from(chain(64, 64, 64), 10, 17, 40)
    after = grown(small, blocks(16, input_price=0.01), origin=gated)
    assert list(widths_of(after).values()) == [10, 17, 48]


def test_with_a_price_for_inputs_the_exchange_spends_what_a_step_below_saves():
    """17 channels pay for two blocks: back to 16 a block is saved, and inputs elsewhere are paid from it."""
    small, gated = pruned_from(chain(64, 64, 64), 10, 17, 40)
    after = widths_of(grown(small, blocks(16, input_price=0.01), origin=gated, exchange=True))
    assert all(width % 16 == 0 for width in after.values())
    assert np.prod(list(after.values())) > 1.5 * 10 * 17 * 40


def test_without_dips_and_steps_nothing_grows():
    small, gated = pruned_from(chain(64, 64), 23, 31)
    assert widths_of(grown(small, linear_device(), origin=gated)) == {"c0": 23, "c1": 31}


@pytest.mark.parametrize("input_price", [0.0, 0.002])
def test_minima_of_learned_blocks_are_found(input_price):
    """The same staircase, learned from measurements with noise."""
    profile = learned(lambda d: np.ceil(d["out_channels"] / 16) + input_price * d["in_channels"])
    small, gated = pruned_from(chain(64, 64), 21, 39)
    after = widths_of(grown(small, profile, origin=gated))
    assert after["c1"] == 48
    if not input_price:
        assert after["c0"] == 32


def test_minima_of_learned_dips_are_found():
    profile = learned(
        lambda d: d["in_channels"] * d["out_channels"] * np.where(d["out_channels"] % 4, 2e-3, 1e-3)
    )
    small, gated = pruned_from(chain(64), 29)
    width = widths_of(grown(small, profile, origin=gated))["c0"]
    assert width % 4 == 0
    assert width >= 32


def test_regained_channels_are_the_most_important_of_the_cut_with_their_trained_weights():
    origin = chain(32)
    kernel = origin.get_layer("c0").kernel
    scale = np.ones(32, "float32")
    scale[[25, 29]] = 10.0  # cut, but strong
    kernel.assign(kernel * scale)
    small, gated = pruned_from(origin, 14)
    after = grown(small, blocks(16), origin=gated)
    assert history_of(after).kept["c0"].tolist() == [*range(14), 25, 29]
    np.testing.assert_allclose(
        to_numpy(after.get_layer("c0").kernel)[..., 14:], to_numpy(kernel)[..., [25, 29]]
    )
    np.testing.assert_allclose(
        to_numpy(after.get_layer("c0").kernel)[..., :14], to_numpy(small.get_layer("c0").kernel)
    )


def test_without_an_origin_new_channels_start_small():
    small = chain(30)
    after = grown(small, blocks(16))
    assert widths_of(after) == {"c0": 32}
    x = np.random.default_rng(0).normal(size=(4, SIDE, SIDE, 3)).astype("float32")
    np.testing.assert_allclose(to_numpy(after(x)), to_numpy(small(x)), atol=0.02)


def test_growth_survives_fine_tuning_of_the_pruned_network():
    """Weights come from the pruned network as it is now, not from the origin."""
    small, gated = pruned_from(chain(64), 30)
    small.get_layer("c0").bias.assign(np.arange(30, dtype="float32"))
    after = grown(small, blocks(16), origin=gated)
    np.testing.assert_allclose(to_numpy(after.get_layer("c0").bias)[:30], np.arange(30))


def test_an_origin_of_another_network_is_refused():
    small, _ = pruned_from(chain(64), 30)
    other = keras.Sequential([keras.Input((4,)), L.Dense(3, name="x"), L.Dense(2)])
    with pytest.raises(UsageError, match="is not what"):
        fdi.grow(small, blocks(16), origin=other)


def test_a_gated_network_is_refused():
    with pytest.raises(UsageError, match="still has gates"):
        fdi.grow(fdi.prunable(chain(8)), blocks(16))


def test_changes_are_explained():
    small, gated = pruned_from(chain(64), 27)
    said = []
    fdi.grow(small, dips(4), origin=gated, report=said.append)
    assert said[0].startswith("c0: 27 -> 52,")
    assert "multiple of 4" in said[0]


def test_with_a_device_only_what_is_no_slower_in_truth_is_taken():
    """A profile that promises too much: on this computer 64 channels are slower than 17."""
    small, gated = pruned_from(chain(64), 17)
    said = []
    after = fdi.grow(small, blocks(64), origin=gated, device="local", report=said.append)
    assert widths_of(after)["c0"] == 17
    assert any("not taken" in text for text in said)


@given(costs=st.lists(st.floats(0, 0.02), min_size=1, max_size=6))
def test_what_single_widths_cost_does_not_add_up(costs):
    """Each may measure as accepted, and all of them together be slower."""

    def took(widths):
        return 1 + float(np.dot(widths - 1, costs))

    search = SimpleNamespace(plan=SimpleNamespace(names=[f"c{i}" for i in range(len(costs))]))
    now, wanted = np.ones(len(costs)), np.full(len(costs), 2.0)
    said = []
    taken = _verified_growth(search, now, wanted, lambda a, b: took(b) / took(a), said.append)
    assert took(taken) <= ACCEPTED_RATIO
    assert len(said) == np.count_nonzero(taken != wanted)
