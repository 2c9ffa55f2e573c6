"""Keras model to bundle."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

import keras
import numpy as np
import tensorflow as tf

from model_export import manifest as m
from model_export import tensors, tflite_file
from model_export.bundle import BASE, CHANNELS, INITIAL, MODEL, NETWORK, Bundle, check_target, write_bundle
from model_export.check import CheckedBase, check_against_keras, check_against_tensorflow, check_input
from model_export.compression.options import NO_COMPRESSION, Compression
from model_export.compression.structured import pack_kept, prune_channels
from model_export.conversion import convert
from model_export.costs import Costs, StepSize
from model_export.errors import ExportError
from model_export.frozen_base import BASE_FORMATS, FrozenBase, calibration_input
from model_export.measure import measure as measure_signatures
from model_export.network import Network, Node, read_network
from model_export.network_file import network_json
from model_export.optimizers import update_rule
from model_export.options import CONVOLUTIONS, Adam, Optimizer, Sgd, describe_optimizer
from model_export.part import PartOf
from model_export.signatures import TrainableModel, signature_of_cut
from model_export.signing import public_key
from model_export.suffix import first_trained, positions_of_cuts

__all__ = ["export"]

_MOST_BYTES = 2**31
"""FlatBuffers address with 31 bits."""


def export(
    model: Any,
    path: str | Path,
    *,
    batch_size: int,
    trainable: str = "all",
    cuts: Sequence[str] = (),
    base_format: str = "float32",
    calibration: Optional[np.ndarray] = None,
    optimizer: Optimizer = Sgd(),  # noqa: B008 (immutable)
    compression: Compression = NO_COMPRESSION,
    convolution: str = "auto",
    name: Optional[str] = None,
    classes: Optional[Sequence[str]] = None,
    input_scale: float = 1.0,
    input_offset: float = 0.0,
    signing_key: Optional[bytes] = None,
    part_of: Optional[PartOf] = None,
    overwrite: bool = False,
    measure: bool = True,
    progress: Callable[[str], None] = lambda stage: None,
) -> Bundle:
    """Export a Keras classifier as a bundle that clients train.

    The model is neither compiled nor changed. It may end in logits or in a softmax; training takes the loss on the
    logits.

    Parameters
    ----------
    model
        A functional or Sequential Keras model: one float32 input of known shape, one output ``[None, K]``. Nested
        models are flattened. `model_export.layers.RULES` lists the layers that it may hold.
    path
        Directory to make.
    batch_size
        Samples in each batch; a client pads the last one with samples of weight 0.
    trainable
        "all"; "head", the layers after the base; or a layer's name, to train that layer and all after it. What lies
        before becomes a frozen base in a file of its own, which runs fast and whose output a client can keep instead of
        computing it again. The base is a nested model that holds convolutions, or else everything up to the last
        convolution or pooling.
    cuts
        Names of layers from which on training can begin: each adds a signature that leaves earlier layers unchanged and
        takes time and memory for the later ones only.
    base_format
        How the frozen base holds its numbers: "float32"; "float16", half the bytes; or "int8", a quarter of the bytes
        and integer kernels. What is trained, and the features between the two, are float32 in any case.
    calibration
        ``[n, ...]``: typical samples, in pixels, for ``base_format="int8"`` and only for that; a hundred or more.
    optimizer
        `Sgd` or `Adam` with its options; the learning rate is given with each step.
    compression
        Train the model pruned, quantized or clustered, or several of these (``docs/compression.md``).
    convolution
        How trained convolutions are computed, one of `model_export.options.CONVOLUTIONS`. "auto" chooses for each layer
        what was fastest on x86-64; on another processor another may be.
    name
        Name of the bundle; the model's name by default.
    classes
        Names of the classes; their numbers by default.
    input_scale, input_offset
        A client feeds ``pixel * input_scale + input_offset``.
    signing_key
        PEM of the private key (ECDSA P-256) to sign the bundle with.
    part_of
        That ``model`` is a slice of another bundle's network: what `model_export.width.Slice.part_of` returns. It goes
        into the manifest, so that a server knows where the slice's variables belong.
    overwrite
        Replace a bundle that is at ``path``.
    measure
        Take memory and time of a step of each training signature into the manifest, for `Manifest.cut_for`: a process
        and a few steps each. The figures are this machine's, so two exports are then not the same bytes.
    progress
        Called with a few words at the beginning of each stage.

    Returns
    -------
    Bundle
        The bundle at ``path``.

    Raises
    ------
    UnsupportedLayerError
        A layer has no form of builtin ops; the message names it.
    ExportError
        The model or an option cannot be exported.
    ConversionError
        The converted model does not compute what Keras computes.
    TargetExistsError
        ``path`` exists and may not be replaced.
    SigningKeyError
        ``signing_key`` is no private key of that kind.

    Notes
    -----
    While TensorFlow converts, whatever the process writes to its standard error is held back.
    """
    _check_options(batch_size, input_scale, input_offset, convolution, compression, optimizer, base_format)
    if part_of is not None and compression.channels:
        raise ExportError("channels cannot be removed from what is part of another bundle; slice the whole network")
    check_target(Path(path), overwrite=overwrite)
    if signing_key is not None:
        public_key(signing_key)  # refuses what cannot sign, before the work is done
    progress("reading the model")
    network = read_network(model)
    files: dict[str, bytes] = {}
    if compression.channels:
        progress("removing channels")
        pruned = prune_channels(model, compression.channels.share)
        network = read_network(pruned.model)
        files[CHANNELS] = pack_kept(pruned.parts)
    labels = _class_names(network, classes)
    start = first_trained(network, trainable)
    cut_positions = positions_of_cuts(network, cuts, start)
    if not start and (base_format != "float32" or calibration is not None):
        raise ExportError(
            "trainable='all' leaves no frozen base, so base_format and calibration have no meaning; "
            "use trainable='head' or a layer's name, or leave them out"
        )
    samples = calibration_input(calibration, base_format, network, batch_size, input_scale, input_offset)
    _check_size(network, start, optimizer)
    progress("building the training graph")
    trainable_model = TrainableModel(
        network,
        batch_size,
        start=start,
        cuts=cut_positions,
        optimizer=optimizer,
        compression=compression,
        convolution=convolution,
    )
    part = None if part_of is None else _part_of_state(part_of, trainable_model)
    progress("converting")
    content = convert(trainable_model)
    base = FrozenBase(network, batch_size, start) if start else None
    base_content = base.convert(base_format, samples) if base else None
    progress("comparing with Keras")
    training = {signature_of_cut(cut): position for cut, position in cut_positions.items()}
    signatures = {**({"features": base.describe()} if base else {}), **trainable_model.describe()}
    training.update({name: start for name in ("train", "train_head") if name in signatures})
    state = tuple(trainable_model.state)
    x = check_input(network, batch_size, input_scale, input_offset) if samples is None else samples[:batch_size]
    checked = None if base_content is None else CheckedBase(base_content, start, base_format)
    if trainable_model.scheme.compresses:
        check_against_tensorflow(content, trainable_model, tuple(training), x, base=checked)
    else:
        check_against_keras(content, network, training, state, optimizer, x=x, base=checked)
    sizes = {name: _size_of_step(network, first, batch_size) for name, first in training.items()}
    measured = None
    if measure:
        progress("measuring training steps")
        measured = measure_signatures(content, signatures, list(sizes))
    progress("writing the bundle")
    contents = [content] if base_content is None else [content, base_content]
    manifest = m.Manifest(
        format=m.FORMAT,
        name=name or model.name,
        versions={"pocketfleet": _version(), "tensorflow": tf.__version__, "keras": keras.__version__},
        minimum_runtime=tflite_file.newest_of(map(tflite_file.minimum_runtime, contents)),
        input=m.InputSpec(network.input_shape, "float32", float(input_scale), float(input_offset)),
        classes=labels,
        batch_size=batch_size,
        trainable=trainable,
        base_format=base_format if base else "",
        optimizer=describe_optimizer(optimizer),
        cuts=tuple(cuts),
        state=state,
        layers=tuple(_describe(node, carried=i >= start) for i, node in enumerate(network.nodes)),
        signatures=signatures,
        compression=compression.to_manifest(),
        costs=Costs(sizes, measured),
        files={},
        part_of=part,
    )
    initial = bytes(tensors.pack(trainable_model.scheme.stored()))
    files.update({MODEL: content, INITIAL: initial, NETWORK: network_json(network)})
    if base_content is not None:
        files[BASE] = base_content
    return write_bundle(path, manifest, files, signing_key=signing_key, overwrite=overwrite)


def _check_options(
    batch_size: int,
    scale: float,
    offset: float,
    convolution: str,
    compression: Compression,
    optimizer: Optimizer,
    base_format: str,
) -> None:
    if type(batch_size) is not int or batch_size < 1:
        raise ExportError(f"batch_size is {batch_size!r}; it has to be a whole number of at least 1")
    if not (math.isfinite(scale) and math.isfinite(offset)) or scale == 0:
        raise ExportError(f"input_scale={scale}, input_offset={offset}: both have to be finite, the scale not 0")
    if convolution not in CONVOLUTIONS:
        raise ExportError(f"convolution is {convolution!r}; it has to be one of {', '.join(CONVOLUTIONS)}")
    if not isinstance(optimizer, (Sgd, Adam)):
        raise ExportError(f"optimizer is {optimizer!r}; give model_export.Sgd(...) or model_export.Adam(...)")
    if compression.quantize and not isinstance(optimizer, Sgd):
        raise ExportError("a quantized model trains with Sgd only: on a narrow grid Adam's squares vanish")
    if base_format not in BASE_FORMATS:
        raise ExportError(f"base_format is {base_format!r}; it has to be one of {', '.join(BASE_FORMATS)}")


def _part_of_state(part_of: PartOf, model: TrainableModel) -> PartOf:
    """Return ``part_of`` for the variables that the bundle carries."""
    shapes = {path: tuple(variable.shape) for path, variable in model.state.items()}
    part = PartOf(part_of.bundle, {path: axes for path, axes in part_of.parts.items() if path in shapes})
    problem = part.problem(shapes)
    if problem:
        raise ExportError(f"the model is not the part of the other bundle that it should be: part_of {problem}")
    return part


def _check_size(network: Network, start: int, optimizer: Optimizer) -> None:
    """Refuse what no TFLite file can hold, before a long conversion finds out."""
    copies = 1 + len(update_rule(optimizer).slots) + optimizer.proximal
    files = {"trained part": (network.nodes[start:], copies), "frozen base": (network.nodes[:start], 1)}
    for what, (nodes, times) in files.items():
        needed = 4 * times * sum(node.parameters for node in nodes)
        if needed >= _MOST_BYTES:
            largest = max(nodes, key=lambda node: node.parameters)
            raise ExportError(
                f"the weights of the {what}, with what the optimizer remembers of them, are {needed / 1e9:.1f} GB, and "
                f"a TFLite file holds less than {_MOST_BYTES / 1e9:.1f}; the largest layer is {largest.name!r} with "
                f"{largest.parameters:,} parameters"
            )


def _class_names(network: Network, classes: Optional[Sequence[str]]) -> tuple[str, ...]:
    if classes is None:
        return tuple(str(i) for i in range(network.classes))
    if len(classes) != network.classes or len(set(classes)) != network.classes:
        raise ExportError(f"{len(set(classes))} different class names for a model with {network.classes} outputs")
    return tuple(classes)


def _describe(node: Node, *, carried: bool) -> m.Layer:
    trained = set(node.trainable_paths) if carried else set()
    variables = tuple(
        m.Variable(path, tuple(variable.shape), variable.dtype, path in trained)
        for path, variable in node.variables.items()
    )
    return m.Layer(
        name=node.name,
        type=type(node.layer).__name__,
        trained=bool(trained),
        inputs=node.inputs,
        output_shape=node.output_shape,
        output_dtype="float32",
        variables=variables if carried and not node.repeats else (),
        parameters=node.parameters,
        macs=node.macs,
        activation_bytes=4 * math.prod(node.output_shape),
    )


def _size_of_step(network: Network, first: int, batch_size: int) -> StepSize:
    """Count what is trained and kept when training begins at position ``first``."""
    nodes = network.nodes[first:]
    trained = [node.variables[path] for node in nodes for path in node.trainable_paths]
    kept = [*(network.shape_of(name) for name in network.crossing(first)), *(node.output_shape for node in nodes)]
    return StepSize(
        trained_parameters=sum(math.prod(variable.shape) for variable in trained),
        activation_bytes=4 * batch_size * sum(math.prod(shape) for shape in kept),
    )


def _version() -> str:
    try:
        return importlib.metadata.version("pocketfleet")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
