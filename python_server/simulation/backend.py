"""Keras's backend: which one it is, and what Keras leaves to it: gradients, compilation, fused operations."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

from python_server.errors import ExperimentError

__all__ = [
    "BACKENDS",
    "compiled",
    "compiled_for_any_batch",
    "fused_batch_norm",
    "use_backend",
    "value_and_gradient",
]

BACKENDS = ("auto", "tensorflow", "jax")
_IMAGES = 4
"""Axes of what the fused batch normalization takes."""


def use_backend(name: str) -> str:
    """Make Keras use a backend, and return its name; Keras chooses once in the life of a process.

    Parameters
    ----------
    name
        One of `BACKENDS`. "auto" keeps the one that Keras already has or that ``KERAS_BACKEND`` names; else it takes
        TensorFlow, or JAX where TensorFlow is not installed.

    Raises
    ------
    ExperimentError
        The backend is not installed, or Keras has begun with another one.
    """
    if "keras" in sys.modules:
        active: str = sys.modules["keras"].config.backend()
        if name not in ("auto", active):
            raise ExperimentError(
                f"simulation.backend is {name!r}, and this process has begun with {active}; start it with "
                f"KERAS_BACKEND={name} in its environment"
            )
        name = active
    elif name == "auto":
        name = os.environ.get("KERAS_BACKEND") or ("tensorflow" if importlib.util.find_spec("tensorflow") else "jax")
    if name not in BACKENDS:
        raise ExperimentError(f"Keras's backend is {name!r}; the local engine works on tensorflow and jax")
    if importlib.util.find_spec(name) is None or importlib.util.find_spec("keras") is None:
        raise ExperimentError(f"simulation.backend is {name!r}, which is not installed here: pip install keras {name}")
    os.environ["KERAS_BACKEND"] = name
    return name


def value_and_gradient(function: Callable[..., Any], variables: Any) -> tuple[Any, Any, Any]:
    """Return ``(loss, rest)`` of ``function(variables)`` and the loss's gradient with respect to ``variables``."""
    import keras

    if keras.config.backend() == "jax":
        import jax

        (loss, rest), gradient = jax.value_and_grad(function, has_aux=True)(variables)
        return loss, rest, gradient
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        loss, rest = function(variables)
    return loss, rest, tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def compiled(function: Callable[..., Any], *, vectorized: bool = False) -> Callable[..., Any]:
    """Return a pure function compiled; ``vectorized``, on JAX, maps it over the first axis of its argument."""
    import keras

    if keras.config.backend() == "jax":
        import jax

        if vectorized:
            function = jax.vmap(function)
        return jax.jit(function)  # type: ignore[no-any-return]
    import tensorflow as tf

    return tf.function(function, autograph=False)  # type: ignore[no-any-return]


def compiled_for_any_batch(function: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """Return a pure function compiled once for all sizes of batch, on TensorFlow.

    Parameters
    ----------
    function
        Of a tree of tensors, in which ``batch`` holds ``given`` and ``y``, with samples along their first axis.
    """
    import tensorflow as tf

    made: list[Callable[[dict[str, Any]], Any]] = []

    def call(tree: dict[str, Any]) -> Any:
        if not made:
            specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, tree)
            for key in ("given", "y"):
                spec = specs["batch"][key]
                specs["batch"][key] = tf.TensorSpec([None, *spec.shape[1:]], spec.dtype)
            made.append(tf.function(function, autograph=False).get_concrete_function(specs))
        return made[0](tree)

    return call


def fused_batch_norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Normalize a batch by its own statistics in one operation of TensorFlow, which on a CPU takes less time.

    Parameters
    ----------
    x
        ``[B, ..., C]``.
    gamma, beta
        ``[C]``; None: ones, zeros.
    epsilon
        Added to the variance.

    Returns
    -------
    normalized, mean, variance
        As ``x``, ``[C]``, and ``[C]`` of the batch as a whole population.
    """
    import tensorflow as tf

    channels = x.shape[-1]
    reshaped = len(x.shape) != _IMAGES
    out, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=tf.reshape(x, [-1, 1, 1, channels]) if reshaped else x,
        scale=tf.ones([channels]) if gamma is None else gamma,
        offset=tf.zeros([channels]) if beta is None else beta,
        mean=tf.zeros([0]),
        variance=tf.zeros([0]),
        epsilon=epsilon,
        is_training=True,
    )
    count = tf.cast(tf.size(x) // channels, "float32")
    return (
        tf.reshape(out, [-1, *x.shape[1:]]) if reshaped else out,
        mean,
        variance * (tf.maximum(count - 1.0, 1.0) / count),
    )
