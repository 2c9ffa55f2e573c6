"""Keras's backend: which one it is, and the two things that Keras leaves to it, gradients and compilation."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

from python_server.errors import ExperimentError

__all__ = ["BACKENDS", "compiled", "use_backend", "value_and_gradient"]

BACKENDS = ("auto", "tensorflow", "jax")


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
    """Return a pure function compiled; ``vectorized`` maps it over the first axis of its argument."""
    import keras

    if keras.config.backend() == "jax":
        import jax

        if vectorized:
            function = jax.vmap(function)
        return jax.jit(function)  # type: ignore[no-any-return]
    import tensorflow as tf

    return tf.function(function, autograph=False)  # type: ignore[no-any-return]
