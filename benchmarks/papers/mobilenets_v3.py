"""Why MobileNetV3 trains slowly on small images: V3-Small with one thing changed at a time, beside V1 and V2.

In the logs that go with the MobileNets paper (Negi and Chinara 2023; see `mobilenets.py`) V1 and V2 climb steadily,
while the training accuracy of both V3s jitters about 0.4 for a hundred epochs. That is accuracy in training, by the
batches' own statistics, so it is not batch norm's momentum; and V3-Large shrinks 32 pixels in the same steps as V2, so
it is not the strides alone. Left are squeeze-and-excite, hard swish, the hidden layer behind the pooling, and the rate.

Each network of the paper's size is trained on its own, on some CIFAR-10 images, by the paper's Adam in batches of 32;
shown is the training accuracy by epoch. The V3s of the logs begin to lag after about 5,000 steps, so a network takes
some minutes of a core: 30 epochs of 5,000 images. What is done is kept under ``--folder``.

    .venv/bin/python benchmarks/papers/mobilenets_v3.py --plots docs/images
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import keras
import numpy as np

from benchmarks.papers.cases import ROOT, cifar10
from benchmarks.papers.mobilenets import BATCH, PAPER, network
from benchmarks.papers.script import draw, show
from model_export.files import write_atomically

__all__ = ["VARIANTS", "Variant", "main", "open_gates", "with_relu"]


def open_gates(model: Any) -> Any:
    """Return the network without squeeze-and-excite: every gate is 1 and stays so."""
    for layer in model.layers[1].layers if isinstance(model.layers[1], keras.Model) else model.layers:
        if layer.name.endswith("squeeze_excite_conv_1"):
            kernel, bias = layer.get_weights()
            layer.set_weights([np.zeros_like(kernel), np.full_like(bias, 3.0)])  # hard_sigmoid(3) is 1
            layer.trainable = False
    return model


def with_relu(model: Any) -> Any:
    """Return the network with ReLU in place of hard swish."""

    def changed(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=changed)
        if config.get("activation") == "hard_silu":
            config["activation"] = "relu"
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=changed)


@dataclass(frozen=True)
class Variant:
    """A network of the zoo, what is changed in it, and Adam's rate."""

    network: str
    change: Callable[[Any], Any] = lambda model: model
    rate: float = 0.001
    hidden: bool = True


VARIANTS = {
    "V1": Variant("mobilenet_v1"),
    "V2": Variant("mobilenet_v2"),
    "V3-Small": Variant("mobilenet_v3_small"),
    "V3-Small, gates open": Variant("mobilenet_v3_small", open_gates),
    "V3-Small, no hidden": Variant("mobilenet_v3_small", hidden=False),
    "V3-Small, ReLU": Variant("mobilenet_v3_small", with_relu),
    "V3-Small, rate 0.0003": Variant("mobilenet_v3_small", rate=0.0003),
}


def trained(variant: Variant, images: int, epochs: int, seed: int) -> list[float]:
    """Return the training accuracy of each epoch."""
    from dataclasses import replace

    from model_export.zoo import ARCHITECTURES

    keras.utils.clear_session()
    options = {} if variant.hidden else {variant.network: {"hidden": 0}}
    setting = replace(PAPER, options={**PAPER.options, **options})
    model = variant.change(network(variant.network, setting, seed))
    architecture = ARCHITECTURES[variant.network]
    x, y = cifar10("train", images)
    shown = x.astype(np.float32) * architecture.input_scale + architecture.input_offset
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(variant.rate), loss, metrics=["accuracy"])
    history = model.fit(shown, y, batch_size=BATCH, epochs=epochs, verbose=0)
    return [float(value) for value in history.history["accuracy"]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "papers" / "mobilenets_v3")
    parser.add_argument("--table", action="store_true", help="only show what is done")
    parser.add_argument("--write", type=Path, help="also write the table into this page")
    parser.add_argument("--plots", type=Path, help="also draw training accuracy by epoch, into this folder")
    parser.add_argument("--only", choices=tuple(VARIANTS), help="one of the networks")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    curves: dict[str, list[list[float]]] = {}
    for seed in range(options.seeds):
        for name, variant in VARIANTS.items():
            if options.only not in (None, name):
                continue
            words = "".join(letter if letter.isalnum() else "-" for letter in name)
            file = options.folder / f"{words}-{options.images}-{options.epochs}-{seed}.json"
            if not file.exists() and not options.table:
                values = trained(variant, options.images, options.epochs, seed)
                write_atomically(file, json.dumps(values).encode())
                print(f"seed {seed}, {name}: {values[-1]:.3f} in the last of {len(values)} epochs", flush=True)
            if file.exists():
                curves.setdefault(name, []).append(json.loads(file.read_bytes()))
    epochs = sorted({1, options.epochs // 4, options.epochs // 2, options.epochs} - {0})
    rows = [
        {
            "network": name,
            **{f"epoch {epoch}": f"{np.mean([run[epoch - 1] for run in runs]):.3f}" for epoch in epochs},
            "seeds": str(len(runs)),
        }
        for name, runs in curves.items()
    ]
    show({"mobilenets-v3": rows}, options.write)
    if options.plots:
        lines = {name: list(enumerate(np.mean(runs, axis=0).tolist(), 1)) for name, runs in curves.items()}
        title = "MobileNets: accuracy in training by epoch"
        draw(options.plots / "papers-mobilenets-v3.svg", title, lines, x_label="epoch", y_label="accuracy")


if __name__ == "__main__":
    main()
