"""DAC: accuracy against MACs, parameters and peak feature map, beside width multipliers (figure 3 of the paper).

Li and Sanyal, "Heterogeneous Federated Learning with Differentiable Architecture Compression", section 4.1: MobileNetV2
on CIFAR-10, expanded channels removed by their learned weights, against the same network with narrower layers
throughout. The claim: at equal accuracy the peak feature map is half as large.

Every network, found or scaled, is trained from new weights in the same way: Adam with a cosine schedule, random flips,
and in the small setting a part of CIFAR-10. The architectures are found for the MACs of the narrower networks, so that
pairs of rows have equal MACs.

* small (default): a MobileNetV2 of five blocks on 2,500 images, λ₁ = 10 and λ₂ = 1, because at the paper's λ₁ = 0.1
  the weights of so short a search do not come down to 0.1; tested on 2,000 images;
* ``--paper``: MobileNetV2 for 32 pixels (strides of 1 in the first two stages), all of CIFAR-10, λ₁ = 0.1, λ₂ = 0.01;
  for a GPU, for instance with ``KERAS_BACKEND=jax``.

What is done is kept under ``--folder``, and a call that was interrupted goes on there. The data is
``cifar10_jpeg.npz`` under ``data/`` in the folder that POCKETFLEET_SHARED names, or in ``../shared``.

    .venv/bin/python benchmarks/papers/dac.py --plots docs/images
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

import keras  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from model_export.architecture_search import Budget, SearchOptions, search  # noqa: E402
from model_export.files import write_atomically  # noqa: E402
from model_export.network import read_network  # noqa: E402
from model_export.size import size_of  # noqa: E402
from model_export.width import slice_channels  # noqa: E402
from python_server.report.charts import line_chart  # noqa: E402
from python_server.report.standalone import standalone  # noqa: E402

DATA = Path(os.environ.get("POCKETFLEET_SHARED", ROOT.parent / "shared")) / "data"
CLASSES = 10
L = keras.layers


@dataclass(frozen=True)
class Setting:
    """Blocks are (expansion, channels, repeats, stride), as in table 2 of the MobileNetV2 paper."""

    stem: tuple[int, int]
    blocks: tuple[tuple[int, int, int, int], ...]
    head: int
    train: int
    test: int
    epochs: int
    batch_size: int
    widths: tuple[float, ...]
    found_for: tuple[float, ...]
    options: SearchOptions


SMALL = Setting(
    stem=(16, 2),
    blocks=((6, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2)),
    head=96,
    train=2500,
    test=2000,
    epochs=6,
    batch_size=64,
    widths=(1.0, 0.75, 0.5),
    found_for=(0.75, 0.5),
    options=SearchOptions(entropy_factor=10.0, bound_factor=1.0, epochs=3, batch_size=64, rate=20.0),
)
PAPER = Setting(
    stem=(32, 1),
    blocks=((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    head=1280,
    train=50000,
    test=10000,
    epochs=200,
    batch_size=128,
    widths=(1.0, 0.75, 0.5, 0.35, 0.25),
    found_for=(0.75, 0.5, 0.35, 0.25),
    options=SearchOptions(epochs=50, batch_size=128),
)


def mobile_network(setting: Setting, width: float) -> Any:
    """Build MobileNetV2's blocks with all widths times ``width``."""

    def channels(count: int) -> int:
        return max(1, round(count * width))

    def norm(x: Any, *, active: bool = True) -> Any:
        x = L.BatchNormalization(momentum=0.9)(x)  # at 0.99 the statistics of so few steps are still those of the start
        return L.ReLU(6.0)(x) if active else x

    inputs = keras.Input((32, 32, 3))
    x = norm(L.Conv2D(channels(setting.stem[0]), 3, setting.stem[1], "same", use_bias=False, name="stem")(inputs))
    number = 0
    for expansion, count, repeats, first_stride in setting.blocks:
        for repeat in range(repeats):
            stride, number, entering = first_stride if repeat == 0 else 1, number + 1, x
            if expansion > 1:
                x = norm(L.Conv2D(expansion * x.shape[-1], 1, use_bias=False, name=f"expand{number}")(x))
            x = norm(L.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"depthwise{number}")(x))
            x = norm(L.Conv2D(channels(count), 1, use_bias=False, name=f"project{number}")(x), active=False)
            if stride == 1 and entering.shape[-1] == x.shape[-1]:
                x = L.Add()([entering, x])
    x = norm(L.Conv2D(max(setting.head, channels(setting.head)), 1, use_bias=False, name="head")(x))
    return keras.Model(inputs, L.Dense(CLASSES, name="logits")(L.GlobalAveragePooling2D()(x)), name="mobile_network")


def images(part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Load the first images of a part, which are in random order: ``[n, 32, 32, 3]`` float32 from -1 to 1, labels."""
    path = DATA / "cifar10_jpeg.npz"
    if not path.exists():
        raise SystemExit(f"{path} is not there; set POCKETFLEET_SHARED to the folder above data/")
    with np.load(path) as archive:
        content, offsets, labels = (archive[f"{part}_{name}"] for name in ("jpeg", "offsets", "labels"))
    x = np.empty((count, 32, 32, 3), np.float32)
    for i in range(count):
        picture = Image.open(io.BytesIO(content[offsets[i] : offsets[i + 1]].tobytes()))
        x[i] = np.asarray(picture.convert("RGB"), np.float32) / 127.5 - 1
    return x, labels[:count].astype(np.int32)


def trained_accuracy(model: Any, setting: Setting, data: tuple[np.ndarray, ...], seed: int) -> float:
    """Train from new weights; return the accuracy on the test images after the last epoch."""
    x, y, test_x, test_y = data
    steps = len(x) // setting.batch_size
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps * setting.epochs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    for epoch in range(setting.epochs):
        random = np.random.default_rng([seed, epoch])
        order = random.permutation(len(x))[: steps * setting.batch_size]
        shown = x[order]
        flipped = random.random(len(order)) < 0.5
        shown[flipped] = shown[flipped, :, ::-1]
        model.fit(shown, y[order], batch_size=setting.batch_size, shuffle=False, verbose=0)
    return float(model.evaluate(test_x, test_y, batch_size=500, verbose=0)[1])


def run(setting: Setting, seed: int, folder: Path, data: tuple[np.ndarray, ...]) -> None:
    """Do what is missing of a seed; each network's figures become a file."""

    def done(name: str) -> Path:
        return folder / f"{name}-{seed}.json"

    def keep(name: str, model: Any) -> None:
        size = size_of(read_network(model))
        accuracy = trained_accuracy(model, setting, data, seed)
        print(f"seed {seed}, {name}: {size}, accuracy {accuracy:.4f}", flush=True)
        write_atomically(done(name), json.dumps({**asdict(size), "accuracy": accuracy}).encode())

    def fresh(width: float) -> Any:
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        return mobile_network(setting, width)

    budgets = {w: Budget(macs=size_of(read_network(fresh(w))).macs + 1) for w in setting.found_for}
    if not all(done(f"DAC {width}").exists() for width in budgets):
        found = search(
            fresh(1.0),
            *data[:2],
            list(budgets.values()),
            options=replace(setting.options, seed=seed),
            folder=folder / f"search-{seed}",
            progress=lambda line: print(f"seed {seed}, search: {line}", flush=True),
        )
        for width, one in zip(budgets, found):
            if not done(f"DAC {width}").exists():
                keep(f"DAC {width}", with_new_weights(slice_channels(fresh(1.0), one.channels).model, seed))
    for width in setting.widths:
        if not done(f"width {width}").exists():
            keep(f"width {width}", fresh(width))


def with_new_weights(model: Any, seed: int) -> Any:
    """Return the same network with initial weights of its own, as the scaled networks have."""
    keras.utils.set_random_seed(seed)
    return keras.models.clone_model(model)


def table(setting: Setting, seeds: range, folder: Path, plots: Path | None) -> None:
    """Print means and ranges over the seeds that are done, and draw them."""
    names = [f"width {w}" for w in setting.widths] + [f"DAC {w}" for w in setting.found_for]
    rows: dict[str, dict[str, list[float]]] = {}
    for name in names:
        files = [path for seed in seeds if (path := folder / f"{name}-{seed}.json").exists()]
        figures = [json.loads(path.read_bytes()) for path in files]
        if figures:
            rows[name] = {key: [one[key] for one in figures] for key in figures[0]}
    print("| network | MACs | parameters | peak feature map | accuracy | seeds |\n|---|---|---|---|---|---|")
    for name, row in rows.items():
        size = " | ".join(f"{statistics.mean(row[key]):,.0f}" for key in ("macs", "parameters", "feature_map"))
        accuracy = row["accuracy"]
        spread = f"{statistics.mean(accuracy):.3f} ({min(accuracy):.3f} to {max(accuracy):.3f})"
        print(f"| {name} | {size} | {spread} | {len(accuracy)} |")
    if plots is not None:
        for key, label in (("macs", "MACs"), ("parameters", "parameters"), ("feature_map", "peak feature map")):
            lines = {
                kind: sorted(
                    (statistics.mean(row[key]), statistics.mean(row["accuracy"]))
                    for name, row in rows.items()
                    if name.startswith(kind) or name == "width 1.0"
                )
                for kind in ("width", "DAC")
            }
            title = f"Accuracy by {label}"
            chart = line_chart(lines, title=title, x_label=label, y_label="accuracy")
            write_atomically(plots / f"dac-{key}.svg", standalone(chart, title).encode())


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paper", action="store_true", help="the paper's own setting, for a GPU")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where results are kept (default: runs/dac, or runs/dac-paper)")
    parser.add_argument("--plots", type=Path, help="also draw the figures, into this folder")
    parser.add_argument("--table", action="store_true", help="only show what is done")
    options = parser.parse_args()
    setting = PAPER if options.paper else SMALL
    folder = options.folder or ROOT / "runs" / ("dac-paper" if options.paper else "dac")
    folder.mkdir(parents=True, exist_ok=True)
    if not options.table:
        data = (*images("train", setting.train), *images("test", setting.test))
        for seed in range(options.seeds):
            run(setting, seed, folder, data)
    table(setting, range(options.seeds), folder, options.plots)


if __name__ == "__main__":
    main()
