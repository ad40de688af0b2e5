"""Several replicas train as one device does."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

#: Trains twice on the same batches: on one device, and on two that this computer plays. Gates are drawn
#: without noise, which every replica would draw for itself, and nothing depends on the share of a batch.
CHILD = """
import contextlib, json, sys
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, {tests!r})
import keras, fdi_keras as fdi
from small_training import compiled, data, logits, network

x, y = data()
found = []
for scope in (contextlib.nullcontext(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()):
    with scope:
        model = compiled({optimizer}, fdi.prunable(network(normalized=False)), metrics=["accuracy"])
    uniform = keras.random.uniform
    keras.random.uniform = lambda shape, *_, **__: keras.ops.full(shape, 0.5)
    try:
        history = model.fit(x, y, batch_size=32, epochs=4, shuffle=False, verbose=0).history
    finally:
        keras.random.uniform = uniform
    steering = model.steering
    found.append(dict(
        history=history,
        replicas=model.distribute_strategy.num_replicas_in_sync,
        strength=float(steering.strength.numpy()),
        predicted=float(keras.ops.convert_to_numpy(model.expected_metric.result())),
        logits=[values.tolist() for values in logits(model)],
        total=fdi.prune(model).count_params(),
    ))
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    "optimizer",
    ["'adam'", "keras.optimizers.SGD(0.05)", "keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())"],
)
def test_two_replicas_follow_one_device(optimizer):
    code = CHILD.format(tests=str(Path(__file__).parent), optimizer=optimizer)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = json.loads(done.stdout)
    assert (one["replicas"], two["replicas"]) == (1, 2)
    for name, values in one["history"].items():
        np.testing.assert_allclose(two["history"][name], values, rtol=1e-3, atol=1e-3, err_msg=name)
    for name in ("strength", "predicted"):
        assert two[name] == pytest.approx(one[name], rel=1e-3), name
    for a, b in zip(one["logits"], two["logits"], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-2)
        assert max(a) - min(a) > 1  # they moved
    assert one["total"] == two["total"]
