"""What the experiments of Lee's two methods share: ResNet-20 in parts and widths, their bundles, and the arguments.

Both are from Sunwoo Lee's slides "Scalable Federated Learning on Real-World Edge Device Environments": FedLAMA
(`benchmarks.papers.fedlama`) and InclusiveFL, published as EmbracingFL (`benchmarks.papers.partial_training`).
"""

from __future__ import annotations

import argparse
import bisect
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.papers import script
from benchmarks.papers.cases import CLASSES

__all__ = [
    "MODERATE",
    "WEAK",
    "Network",
    "arguments",
    "capacity",
    "in_tensorflow",
    "make_bundle",
    "make_slice",
    "mean",
]

MODERATE, WEAK = "stage2_block1_conv1", "stage3_block1_conv1"
"""Where moderate and weak clients begin to train: table 1 of the slides."""


@dataclass(frozen=True)
class Network:
    """ResNet-20, or less of it.

    Attributes
    ----------
    pixels
        Height and width of the images.
    width
        Factor on all numbers of filters.
    blocks
        Residual blocks in each of the three stages.
    batch_size
        Of local steps.
    """

    pixels: int = 32
    width: float = 1.0
    blocks: int = 3
    batch_size: int = 32

    def build(self) -> Any:
        """Return the Keras model, always with the same initial weights; the same network as the slides' table 1."""
        import keras

        from model_export.zoo import build

        keras.utils.set_random_seed(0)
        shape = (self.pixels, self.pixels, 3)
        return build("resnet20", shape, CLASSES, width=self.width, blocks=self.blocks, project_first=True)


def capacity(model: Any, cut: str = "", *, batch_size: int = 32) -> int:
    """Return what the slides' "capacity" is a share of: trained parameters and activations together.

    Parameters
    ----------
    model
        A Keras model.
    cut
        Training begins here; empty: at the first layer.
    batch_size
        Activations are the outputs of convolutions and dense layers for so many samples.
    """
    import keras

    from model_export.network import read_network

    network = read_network(model)
    nodes = network.nodes[network.index(cut) if cut else 0 :]
    counted = [node for node in nodes if isinstance(node.layer, (keras.layers.Conv2D, keras.layers.Dense))]
    activations = batch_size * sum(math.prod(node.output_shape) for node in counted)
    return activations + sum(math.prod(v.shape) for node in nodes for v in node.layer.trainable_variables)


def make_bundle(path: Path, network: Network, *, measure: bool = False) -> Path:
    """Export the network with its two cuts, for plain SGD, unless its bundle is there; return the bundle."""
    return path if path.exists() else _export(path, network.build(), network.batch_size, None, measure)


def make_slice(path: Path, network: Network, whole: Path, cut: str, *, measure: bool = False) -> Path:
    """Export the width slice whose capacity is nearest to that of a cut, unless it is there; return its bundle.

    Parameters
    ----------
    path
        Of the slice's bundle.
    network
        The whole network.
    whole
        Its bundle.
    cut
        A weak client that trains partially begins here.
    measure
        Take the time of a step into its manifest.
    """
    if path.exists():
        return path
    from model_export.bundle import Bundle
    from model_export.width import slice_width

    model = network.build()
    goal = capacity(model, cut)
    filters = round(64 * network.width)  # of the last stage: there are no finer slices
    above = (
        bisect.bisect_left(range(1, filters), goal, key=lambda n: capacity(slice_width(model, n / filters).model)) + 1
    )
    slices = [slice_width(model, count / filters) for count in (max(1, above - 1), above)]
    best = min(slices, key=lambda each: abs(capacity(each.model) - goal))
    return _export(path, best.model, network.batch_size, best.part_of(Bundle.load(whole).sha256), measure)


def _export(path: Path, model: Any, batch_size: int, part_of: Any, measure: bool) -> Path:
    from model_export import Sgd, export

    path.parent.mkdir(parents=True, exist_ok=True)
    export(
        model,
        path,
        batch_size=batch_size,
        cuts=() if part_of else (MODERATE, WEAK),
        optimizer=Sgd(),
        input_scale=1 / 255,
        part_of=part_of,
        measure=measure,
    )
    return path


def arguments(description: Optional[str], name: str) -> argparse.ArgumentParser:
    """Return the parser of an experiment's arguments: those of all scripts, and ``--prepare``."""
    parser = script.arguments(description, name)
    parser.add_argument("--prepare", action="store_true", help="only make bundles and data, which needs TensorFlow")
    return parser


def in_tensorflow(name: str) -> None:
    """Let a process on TensorFlow ``--prepare`` an experiment, where this one's Keras is on something else."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        command = [sys.executable, "-m", f"benchmarks.papers.{name}", "--prepare", *sys.argv[1:]]
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
        if subprocess.run(command, env=environment, check=False).returncode:
            raise SystemExit(f"{name}: bundles and data could not be made; see above")


def mean(lines: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Return the mean of several seeds' lines, point by point; lines that are shorter end it."""
    return [(points[0][0], sum(y for _, y in points) / len(points)) for points in zip(*lines)]
