"""Trainings that are killed and taken up again, and gated networks that are copied: nothing is lost."""

import copy
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from small_training import PROFILE, TARGET_MS, assert_steered, compiled, data, logits, network

import fdi_keras as fdi
from fdi_keras.journal import read_journal

X, Y = data()


class KilledError(Exception):
    pass


class Kill(keras.callbacks.Callback):
    """Ends the training when an epoch has ended, or within it."""

    def __init__(self, epoch, batch=None):
        super().__init__()
        self.at_epoch, self.at_batch = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.at_epoch and batch == self.at_batch:
            raise KilledError

    def on_epoch_end(self, epoch, logs=None):
        if self.epoch == self.at_epoch and self.at_batch is None:
            raise KilledError


class Watch(keras.callbacks.Callback):
    """Remembers what a training begins with."""

    def on_train_batch_begin(self, batch, logs=None):
        if not hasattr(self, "strength"):
            self.strength = float(self.model.steering.strength.numpy())
            self.logits = logits(self.model)


def fit(model, *callbacks, **options):
    return model.fit(
        X, Y, verbose=0, callbacks=list(callbacks), **{"batch_size": 16, "epochs": 10, **options}
    )


def told(journal):
    return [(e["event"], e.get("epoch")) for e in read_journal(journal)]


def epochs(first, last):
    return [("epoch", n) for n in range(first, last + 1)]


@pytest.mark.parametrize("backup_first", [True, False])
def test_a_killed_training_goes_on(tmp_path, backup_first):
    journal = tmp_path / "session.jsonl"

    def callbacks(*more):
        both = [
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
            fdi.LatencyCallback("tiny", journal=journal),
        ]
        return [*(both if backup_first else both[::-1]), *more]

    model = compiled()
    with pytest.raises(KilledError):
        fit(model, *callbacks(Kill(4)))
    assert told(journal) == [("started", None), *epochs(1, 4), ("interrupted", None)]

    again, watch = compiled(), Watch()
    history = fit(again, *callbacks(watch))
    assert history.epoch == list(range(4, 10))
    assert watch.strength == float(model.steering.strength.numpy())
    for a, b in zip(logits(model), watch.logits, strict=True):
        np.testing.assert_array_equal(a, b)
    assert float(again.steering.target_ms.numpy()) == pytest.approx(TARGET_MS)
    assert_steered(again)
    assert told(journal) == [
        *(("started", None), *epochs(1, 4), ("interrupted", None)),
        *(("started", None), *epochs(5, 10), ("finished", None), ("prune", None)),
    ]
    started = [e for e in read_journal(journal) if e["event"] == "started"]
    assert [e["epochs"] for e in started] == [10, 6]
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["session.jsonl"]


def test_a_training_killed_within_an_epoch_repeats_it(tmp_path):
    journal = tmp_path / "session.jsonl"

    def callbacks():
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=20)
        return backup, fdi.LatencyCallback(journal=journal)

    with pytest.raises(KilledError):
        fit(compiled(), *callbacks(), Kill(5, 30))
    model = compiled()
    assert fit(model, *callbacks()).epoch == list(range(4, 10))
    assert_steered(model)
    assert told(journal)[:7] == [("started", None), *epochs(1, 4), ("interrupted", None), ("started", None)]


CHILD = """
import sys
sys.path.insert(0, {tests!r})
import keras, fdi_keras as fdi
from small_training import compiled, data
from test_resumed_training import Watch, fit, logits
model = {make}
watch = Watch()
fit(model, watch, fdi.LatencyCallback(journal={journal!r}), initial_epoch=5)
print(watch.strength, float(sum(values.sum() for values in watch.logits)))
small = fdi.prune(model)
model.save({saved!r})
"""


@pytest.mark.parametrize("weights_only", [False, True])
def test_another_process_goes_on_from_a_checkpoint(tmp_path, weights_only):
    journal, saved = tmp_path / "session.jsonl", tmp_path / "end.keras"
    path = str(tmp_path / ("epoch{epoch}" + (".weights.h5" if weights_only else ".keras")))
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_weights_only=weights_only)
    model = compiled()
    with pytest.raises(KilledError):
        fit(model, fdi.LatencyCallback(journal=journal), checkpoint, Kill(6, 3))
    fifth = path.format(epoch=5)
    if weights_only:
        model.load_weights(fifth)
        make = f"compiled(); model.optimizer.build(model.trainable_variables); model.load_weights({fifth!r})"
    else:
        model = keras.models.load_model(fifth)
        make = f"keras.models.load_model({fifth!r})"
    code = CHILD.format(tests=str(Path(__file__).parent), make=make, journal=str(journal), saved=str(saved))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    strength, total = map(float, done.stdout.split())
    assert strength == float(model.steering.strength.numpy())
    assert total == pytest.approx(float(sum(values.sum() for values in logits(model))), rel=1e-6)
    assert_steered(keras.models.load_model(saved))
    assert told(journal) == [
        *(("started", None), *epochs(1, 5), ("interrupted", None)),
        *(("started", None), *epochs(6, 10), ("finished", None), ("prune", None)),
    ]


def test_another_plan_begins_a_schedule_of_its_own(tmp_path):
    model = compiled()
    with pytest.raises(KilledError):
        fit(model, Kill(8))
    reached = float(max(model.latency_plan.expected_ms(model.widths())))
    latency = fit(model, epochs=20, initial_epoch=8).history["latency_ms"]
    assert latency[0] < 1.3 * max(reached, TARGET_MS)  # it does not climb back to the start
    assert_steered(model)


def test_an_earlier_session_is_kept_under_another_name(tmp_path):
    journal = tmp_path / "session.jsonl"
    fit(compiled(), fdi.LatencyCallback(journal=journal), epochs=1)
    other = compiled(model=fdi.prunable(network(normalized=False)))
    fit(other, fdi.LatencyCallback(journal=journal), epochs=2, initial_epoch=1)
    assert len(list(tmp_path.glob("session*.jsonl"))) == 1  # of the same widths: it goes on
    fit(compiled(), fdi.LatencyCallback(journal=journal), epochs=1)
    assert len(list(tmp_path.glob("session*.jsonl"))) == 2


@pytest.mark.parametrize(
    "copied",
    [keras.models.clone_model, lambda model: type(model).from_config(model.get_config()), copy.deepcopy],
    ids=["clone_model", "from_config", "deepcopy"],
)
@pytest.mark.untraced
def test_copies_train_like_the_original(copied):
    model = compiled()
    fit(model, epochs=2)
    other = copied(model)
    assert isinstance(other, fdi.PrunableModel)
    assert list(other.gates) == list(model.gates)
    assert str(other.channel_spaces) == str(model.channel_spaces)
    if not other.compiled:
        other.compile_from_config(model.get_compile_config())
    other.set_weights(model.get_weights())
    np.testing.assert_allclose(np.asarray(other(X)), np.asarray(model(X)), atol=1e-6)
    assert other.regularizer.target_ms == pytest.approx(TARGET_MS)
    fit(other, epochs=8)
    assert_steered(other)
    gates = other.all_gates
    assert gates.speed_now == float(gates.speed.numpy())
    assert np.abs(gates.logits()).max() <= 6.0 + 1e-4


def test_a_compile_config_holds_the_regularizer():
    config = compiled().get_compile_config()
    other = fdi.prunable(network())
    other.compile_from_config(config)
    assert other.regularizer.get_config() == fdi.LatencyRegularizer(PROFILE, TARGET_MS).get_config()
