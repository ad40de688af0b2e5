"""Tensors of whatever backend the tests run on, as numpy; and how each backend trains."""

import keras

#: Forms of ``jit_compile`` to train with: jax without it takes minutes, and torch with it needs a compiler.
JITS = {"tensorflow": [False, True], "jax": [True], "torch": [False]}[keras.config.backend()]


def to_numpy(tensors):
    """A tensor, or each of a structure of them, as a numpy array."""
    return keras.tree.map_structure(keras.ops.convert_to_numpy, tensors)


def gradient(function, at):
    """Gradient of a scalar function of tensors at an array, as a numpy array."""
    if keras.config.backend() == "jax":
        import jax

        return to_numpy(jax.grad(function)(keras.ops.convert_to_tensor(at)))
    if keras.config.backend() == "torch":
        tensor = keras.ops.convert_to_tensor(at).requires_grad_()
        function(tensor).backward()
        return to_numpy(tensor.grad)
    import tensorflow as tf

    tensor = tf.convert_to_tensor(at)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = function(tensor)
    return to_numpy(tape.gradient(value, tensor))
