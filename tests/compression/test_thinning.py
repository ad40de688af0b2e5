"""The uniformly thinned opponent."""

import keras
import pytest
from synthetic_devices import linear_device

import fdi_keras as fdi
from fdi_keras.compression.thinning import thin_to_time, thin_uniformly
from fdi_keras.errors import TargetError

L = keras.layers


def network():
    x = image = keras.Input((8, 8, 3))
    x = L.Conv2D(16, 3, padding="same", name="a")(x)
    x = L.Add()([x, L.Conv2D(16, 3, padding="same", name="b")(x)])
    return keras.Model(image, L.Dense(2, name="c")(L.GlobalAveragePooling2D()(x)))


def test_every_prunable_space_is_thinned_and_the_rest_stays():
    thin = thin_uniformly(network(), 0.5)
    assert thin.get_layer("a").filters == thin.get_layer("b").filters == 8
    assert thin.get_layer("c").units == 2


def test_the_nearest_time_is_found():
    profile, model = linear_device(), network()

    def time_of(m):
        return fdi.predict_latency(m, profile).total_ms

    wanted = 0.5 * time_of(model)
    assert time_of(thin_to_time(model, wanted, time_of)) == pytest.approx(wanted, rel=0.1)


def test_a_time_below_one_channel_is_refused():
    with pytest.raises(TargetError, match="no uniformly thinned"):
        thin_to_time(network(), 1e-9, lambda m: 1.0)
