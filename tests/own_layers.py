"""Layers that a user wrote, in a module of their own: a process that converts has to find them there."""

import keras

L = keras.layers


@keras.saving.register_keras_serializable(package="tests")
class Python(L.Layer):
    """What no file can hold."""

    def call(self, x):
        import numpy as np
        import tensorflow as tf

        return tf.numpy_function(np.sin, [x], tf.float32)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


@keras.saving.register_keras_serializable(package="tests")
class Determinant(L.Layer):
    """What TensorFlow has and LiteRT has not."""

    def call(self, x):
        return keras.ops.det(x)


@keras.saving.register_keras_serializable(package="tests")
class Doubled(L.Layer):
    """What can be converted."""

    def call(self, x):
        return x + x
