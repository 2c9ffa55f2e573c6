"""One run of a converted model beside Keras, before it becomes a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

import keras
import numpy as np

from model_export.errors import ConversionError
from model_export.formats import decode_all
from model_export.network import Network
from model_export.options import Optimizer
from model_export.reference import Reference
from model_export.runner import SignatureRunner
from model_export.signatures import TrainableModel

__all__ = ["CheckedBase", "check_against_keras", "check_against_tensorflow", "check_input"]

_LEARNING_RATE = 0.01
_SEED = 7

# Keras sees this many samples, the converted model those and padding: the float64 activations of a large batch would
# fill a workstation.
_MOST_SAMPLES = 8

# A wrong gradient is off by its own size. Rounding is far smaller, but a deep network with batch norm can amplify it,
# so what Keras itself loses between float64 and float32 is allowed for on top.
_TOLERANCE = 0.02
_TIMES_ROUNDING = 10.0

# What a base's format itself may cost, as a share of the features' size: on Office-31, MobileNetV2 0.35 lost 0.016 to
# 0.020 in float16 and 0.21 to 0.29 in int8, with little effect on the heads (docs/office31.md). A wrong layer, or
# ranges that do not fit the samples, cost all of it.
_FORMAT_TOLERANCE = {"float32": 0.0, "float16": 0.03, "int8": 0.4}


@dataclass(frozen=True)
class CheckedBase:
    """A frozen base: its TFLite file, the position of the first layer after it, and its format."""

    content: bytes
    start: int
    format: str


def check_against_keras(
    content: bytes,
    network: Network,
    training: Mapping[str, int],
    state: tuple[str, ...],
    optimizer: Optimizer,
    *,
    x: np.ndarray,
    base: Optional[CheckedBase] = None,
) -> None:
    """Run ``features``, ``infer``, ``evaluate`` and one step of each training signature, and compare.

    The trained part is fed with what the base in float32 computes, and with Keras's own features where the base is
    rounded: so it is held to float32's tolerance whatever the base's format.

    Parameters
    ----------
    content
        The TFLite file.
    network
        What it was made from.
    training
        Position of the first trained layer by the name of the signature.
    state
        Paths of the state variables, in the order of ``get``.
    optimizer
        The optimizer.
    x
        ``float32 [B, ...]``: a batch of the network's input, see `check_input`.
    base
        The frozen base, if there is one.

    Raises
    ------
    ConversionError
        A result differs by more than rounding explains; the message says which.
    """
    run = SignatureRunner(content)
    batch_size = len(x)
    y = np.arange(batch_size, dtype=np.int32) % network.classes
    samples = min(batch_size, _MOST_SAMPLES)
    w = (np.arange(batch_size) < samples).astype(np.float32)
    fed: dict[str, Any] = {
        "y": y,
        "w": w,
        "learning_rate": np.float32(_LEARNING_RATE),
        "mu": np.float32(0),
        "seed": np.int32(_SEED),
    }
    exact, rounded = (Reference(network, dtype).logits(x[:samples]).numpy() for dtype in ("float64", "float32"))
    given = {"x": x} if base is None else {"features": _features(base, network, x, samples)}
    fed.update(given)
    found = run("infer", **given)["probabilities"][:samples]
    _compare("infer: probabilities", found, np.exp(_log_softmax(exact)), np.exp(_log_softmax(rounded)))
    losses = [
        -_log_softmax(logits.astype(np.float64))[np.arange(samples), y[:samples]].sum() for logits in (exact, rounded)
    ]
    _compare("evaluate: loss", run("evaluate", **given, y=y, w=w)["loss"], *losses)
    initial = run("get")
    for name, first in training.items():
        run("set", **initial)
        inputs = {key: value for key, value in fed.items() if key in run.inputs(name)}
        loss = run(name, **inputs)["loss"]
        after = dict(zip(state, (run("get")[key] for key in initial)))
        references = [Reference(network, dtype) for dtype in ("float64", "float32")]
        before = references[0].values
        expected = [
            r.step(x[:samples], y[:samples], _LEARNING_RATE, optimizer, first=first, seed=_SEED) for r in references
        ]
        _compare(f"{name}: loss", loss, *expected)
        exact_values, rounded_values = (r.values for r in references)
        changes = [
            np.concatenate([(values[path] - before[path]).ravel() for path in state])
            for values in (after, exact_values, rounded_values)
        ]
        _compare(f"{name}: change of the variables", *changes)


def check_against_tensorflow(
    content: bytes,
    model: TrainableModel,
    training: tuple[str, ...],
    x: np.ndarray,
    *,
    base: Optional[CheckedBase] = None,
) -> None:
    """Run all that a compressed model can do, and compare with TensorFlow's run of the functions it was made from.

    Keras knows no such training. Rounding makes steps of small differences: how large they become is seen from a second
    run, of inputs that are a little off.

    Parameters
    ----------
    content
        The TFLite file.
    model
        What it was converted from; its variables are changed.
    training
        Names of the training signatures.
    x
        Input of the network, preprocessed: ``float32 [B, ...]``.
    base
        Its frozen base, if it has one.

    Raises
    ------
    ConversionError
        A result differs by more than rounding explains; the message says which.
    """
    run = SignatureRunner(content)
    described = model.describe()
    (entry,) = described["infer"].inputs
    entering = x if base is None else SignatureRunner(base.content)("features", x=x)["features"]
    classes = described["infer"].outputs["probabilities"].shape[1]
    fed: dict[str, Any] = {
        entry: entering,
        "y": np.arange(len(entering), dtype=np.int32) % classes,
        "w": np.ones(len(entering), np.float32),
        "learning_rate": np.float32(_LEARNING_RATE),
        "mu": np.float32(0),
        "seed": np.int32(_SEED),
    }
    shapes = {path: described["set"].inputs[key].shape for path, key in zip(model.state, run("get"))}
    initial = dict(zip(run("get"), decode_all(model.scheme.stored(), shapes).values()))
    run("set", **initial)

    def outcome(call: Any, name: str, factor: float) -> dict[str, np.ndarray]:
        given = {**fed, entry: fed[entry] * np.float32(factor)}
        call("set", initial)
        found: dict[str, np.ndarray] = call(name, {key: given[key] for key in described[name].inputs})
        if name in training:
            after = call("get", {})
            change = [(after[key] - value).ravel() for key, value in initial.items()]
            found = {"loss": found["loss"], "change of the variables": np.concatenate(change)}
        return found

    def tensorflow(name: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {key: value.numpy() for key, value in model.concrete[name](**inputs).items()}

    for name in ("infer", "evaluate", *training):
        found = outcome(lambda name, inputs: run(name, **inputs), name, 1.0)
        exact, moved = (outcome(tensorflow, name, factor) for factor in (1.0, 1.0 + 1e-5))
        for key in found:
            if key != "correct":
                _compare(f"{name}: {key}", found[key], exact[key], moved[key])


def check_input(network: Network, batch_size: int, scale: float, offset: float) -> np.ndarray:
    """Return a batch of made-up images, preprocessed, or of tokens: ``float32 [B, ...]``."""
    x = _images((batch_size, *network.input_shape)) * np.float32(scale) + np.float32(offset)
    tables = [node.layer.input_dim for node in network.nodes if isinstance(node.layer, keras.layers.Embedding)]
    if tables:
        x = np.floor(np.abs(x)) % np.float32(min(tables))  # tokens
    return np.asarray(x, np.float32)


def _features(base: CheckedBase, network: Network, x: np.ndarray, samples: int) -> np.ndarray:
    """Compare the base's features with Keras's; return those that the trained part is to be checked with."""
    entry = network.crossing(base.start)[0]
    exact, rounded = (Reference(network, t).values_of(x[:samples], entry).numpy() for t in ("float64", "float32"))
    features = np.asarray(SignatureRunner(base.content)("features", x=x)["features"])
    allowed = _FORMAT_TOLERANCE[base.format]
    _compare(f"features of the {base.format} base", features[:samples], exact, rounded, allowed=allowed)
    if allowed:
        features[:samples] = rounded
    return features


def _compare(what: str, found: Any, exact: Any, rounded: Any, *, allowed: float = 0.0) -> None:
    # A network that is sure of the right class has no loss and no gradient at all: then it is the error that counts.
    size = float(np.linalg.norm(exact)) or 1.0
    error = float(np.linalg.norm(np.asarray(found, np.float64) - exact)) / size
    rounding = float(np.linalg.norm(np.asarray(rounded, np.float64) - exact)) / size
    if not error <= _TOLERANCE + allowed + _TIMES_ROUNDING * rounding:
        raise ConversionError(
            f"the converted model does not compute what Keras computes: {what} is off by {error:.2g} of its size "
            f"(rounding explains {rounding:.2g}); please report this with the model"
        )


def _log_softmax(logits: Any) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _images(shape: tuple[int, ...]) -> np.ndarray:
    """Return pixels 0 … 255.

    The samples differ in more than noise, so that no batch norm sees a variance near zero.
    """
    random = np.random.default_rng(0)
    coarse = random.uniform(0, 255, (shape[0], *[min(size, 4) for size in shape[1:]]))
    for axis, size in enumerate(shape):
        coarse = np.take(coarse, np.arange(size) * coarse.shape[axis] // size, axis=axis)
    return np.clip(coarse + random.normal(0, 16, shape), 0, 255).astype(np.float32)
