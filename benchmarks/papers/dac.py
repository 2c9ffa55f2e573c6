"""DAC: accuracy against MACs, parameters and peak feature map, beside width multipliers (figure 3 of the paper).

Li and Sanyal, "Heterogeneous Federated Learning with Differentiable Architecture Compression", section 4.1: MobileNetV2
on CIFAR-10, expanded channels removed by their learned weights, against the same network with narrower layers
throughout. The claim: at equal accuracy the peak feature map is half as large.

Two questions that the paper leaves open have a control each:

* **how many channels each layer keeps**: beside *width* (all layers narrower) and *DAC* stands *even*, which narrows
  the layers that DAC narrows, all by the same share. These networks, of equal MACs, are trained from new weights in the
  same way: Adam with a cosine schedule, random flips. With new weights it makes no difference which channels of a
  layer are kept, so channels drawn at random would be DAC's network once more;
* **which channels**: from each network that DAC found, with the weights that it had in the search, to the next smaller
  one, by DAC's channels, by as many of each layer drawn at random, and by those first that DAC drops; then trained on.

Settings:

* small (default): a MobileNetV2 of five blocks on 2,000 images, λ₁ = 10 and λ₂ = 1, because at the paper's λ₁ = 0.1
  the weights of so short a search do not come down to 0.1; tested on 2,000 images;
* ``--paper``: MobileNetV2 for 32 pixels (strides of 1 in the first two stages), all of CIFAR-10, λ₁ = 0.1, λ₂ = 0.01;
  for a GPU, for instance with ``KERAS_BACKEND=jax``.

What is done is kept under ``--folder``, and a call that was interrupted goes on there. The data is
``cifar10_jpeg.npz`` under ``data/`` in the folder that POCKETFLEET_SHARED names, or in ``../shared``.

    .venv/bin/python -m benchmarks.papers.dac --write docs/papers.md --plots docs/images
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks.papers import script
from benchmarks.papers.cases import cifar10, mean_and_range
from benchmarks.papers.dac_networks import Channels, Shape, by_chance, evenly, expansions, fresh, inverted, macs_of
from model_export.architecture_search import Budget, Found, SearchOptions, search
from model_export.files import write_atomically
from model_export.network import read_network
from model_export.size import size_of
from model_export.width import slice_channels

Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Figures = Mapping[str, float]


@dataclass(frozen=True)
class Setting:
    """What is trained, and how; ``tuned`` are the epochs after channels were taken from a trained network."""

    shape: Shape
    train: int
    test: int
    epochs: int
    tuned: int
    batch_size: int
    widths: tuple[float, ...]
    options: SearchOptions


SMALL = Setting(
    shape=Shape((16, 2), ((6, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2)), head=96, momentum=0.9),
    train=2000,
    test=2000,
    epochs=6,
    tuned=1,
    batch_size=50,
    widths=(0.75, 0.5),
    options=SearchOptions(entropy_factor=10.0, bound_factor=1.0, epochs=3, batch_size=50, rate=20.0),
)
PAPER = Setting(
    shape=Shape(
        (32, 1),
        ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
        head=1280,
    ),
    train=50000,
    test=10000,
    epochs=200,
    tuned=10,
    batch_size=125,
    widths=(0.75, 0.5, 0.35, 0.25),
    options=SearchOptions(epochs=50, batch_size=125),
)
CHOSEN = ("DAC's channels", "by chance", "those that DAC drops")


def images(part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Load the first images of a part, ``[n, 32, 32, 3]`` float32 from -1 to 1, and labels."""
    x, y = cifar10(part, count)
    return x.astype(np.float32) / 127.5 - 1, y.astype(np.int32)


def trained_accuracy(model: Any, setting: Setting, data: Data, seed: int, *, epochs: int, rate: float) -> float:
    """Train; return the accuracy on the test images after the last epoch."""
    x, y, test_x, test_y = data
    steps = len(x) // setting.batch_size
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps * epochs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=["accuracy"])
    for epoch in range(epochs):
        random = np.random.default_rng([seed, epoch])
        order = random.permutation(len(x))[: steps * setting.batch_size]
        shown = x[order]
        flipped = random.random(len(order)) < 0.5
        shown[flipped] = shown[flipped, :, ::-1]
        model.fit(shown, y[order], batch_size=setting.batch_size, shuffle=False, verbose=0)
    return float(model.evaluate(test_x, test_y, batch_size=500, verbose=0)[1])


def budgets_of(setting: Setting, seed: int) -> dict[float, Budget]:
    """Return the MACs of the narrower networks as budgets, by width."""
    return {width: Budget(macs=macs_of(fresh(setting.shape, width, seed)) + 1) for width in setting.widths}


def architectures(setting: Setting, seed: int, folder: Path, data: Data) -> dict[float, Found]:
    """Search for the budgets, or read what was found; by width. Kept in ``folder/search-SEED``."""
    budgets, start = budgets_of(setting, seed), time.process_time()
    found = search(
        fresh(setting.shape, 1.0, seed),
        *data[:2],
        list(budgets.values()),
        options=replace(setting.options, seed=seed),
        folder=folder / f"search-{seed}",
        progress=lambda line: print(f"seed {seed}, search: {line}", flush=True),
    )
    print(f"seed {seed}, search: {time.process_time() - start:.0f} s of processor time", flush=True)
    return dict(zip(budgets, found))


@dataclass(frozen=True)
class Seed:
    """One seed's part of the experiment; each network's figures become a file of ``folder``."""

    setting: Setting
    seed: int
    folder: Path
    data: Data

    def run(self) -> None:
        """Do what is missing."""
        setting, shape = self.setting, self.setting.shape
        self._trained("width 1", lambda: fresh(shape, 1.0, self.seed))
        for width in setting.widths:
            self._trained(f"width {width}", lambda width=width: fresh(shape, width, self.seed))
        for width, budget in budgets_of(setting, self.seed).items():
            self._trained(f"even {width}", lambda budget=budget: self._new(evenly(self._whole(), budget)))
        if all(self._file(name).exists() for name in names_of(setting)):
            return
        found = architectures(setting, self.seed, self.folder, self.data)
        for width, one in found.items():
            self._trained(f"DAC {width}", lambda one=one: self._new(one.channels))
        for (_, large), (width, small) in itertools.pairwise(found.items()):
            self._kept(width, large, small)

    def _kept(self, width: float, large: Found, small: Found) -> None:
        """Narrow a network that was found, with its weights, by differently chosen channels."""
        # Channels are numbered as the whole network's are; here, as those that `large` still has.
        whole = expansions(self._whole())
        within = {
            name: np.flatnonzero(np.isin(large.channels.get(name, range(whole[name])), kept)).tolist()
            for name, kept in small.channels.items()
        }
        for name in CHOSEN:
            kept: Channels = within
            if name != CHOSEN[0]:
                kept = (by_chance if name == CHOSEN[1] else inverted)(large.model, within, self.seed)
            self._trained(
                f"kept {width} {name}",
                lambda kept=kept: slice_channels(large.model, kept).model,
                epochs=self.setting.tuned,
                rate=1e-3,
            )

    def _trained(self, name: str, build: Callable[[], Any], *, epochs: int = 0, rate: float = 3e-3) -> None:
        file = self._file(name)
        if file.exists():
            return
        start, model = time.process_time(), build()
        size = size_of(read_network(model))
        epochs = epochs or self.setting.epochs
        accuracy = trained_accuracy(model, self.setting, self.data, self.seed, epochs=epochs, rate=rate)
        cpu_s = time.process_time() - start
        print(f"seed {self.seed}, {name}: {size}, accuracy {accuracy:.4f}, {cpu_s:.0f} s of processor time", flush=True)
        write_atomically(file, json.dumps({**asdict(size), "accuracy": accuracy, "cpu_s": cpu_s}).encode())

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}-{self.seed}.json"

    def _whole(self) -> Any:
        return fresh(self.setting.shape, 1.0, self.seed)

    def _new(self, channels: Channels) -> Any:
        """Return the whole network with these channels, and initial weights of its own as the scaled networks have."""
        narrow = slice_channels(self._whole(), channels).model
        keras.utils.set_random_seed(self.seed)
        return keras.models.clone_model(narrow)


def names_of(setting: Setting) -> list[str]:
    """Return the rows of both tables."""
    rows = ["width 1", *(f"{kind} {width}" for width in setting.widths for kind in ("width", "even", "DAC"))]
    return rows + [f"kept {width} {name}" for width in setting.widths[1:] for name in CHOSEN]


def read(setting: Setting, seeds: range, folder: Path) -> dict[str, list[Figures]]:
    """Return the figures of the seeds that are done, by row."""
    rows = {}
    for name in names_of(setting):
        files = [path for seed in seeds if (path := folder / f"{name}-{seed}.json").exists()]
        if files:
            rows[name] = [json.loads(path.read_bytes()) for path in files]
    return rows


def table(name: str, figures: Sequence[Figures]) -> dict[str, str]:
    """Return a row of the tables: means over the seeds, and the range of the accuracy."""
    size = {
        label: f"{statistics.mean(one[key] for one in figures):,.0f}"
        for key, label in (("macs", "MACs"), ("parameters", "parameters"), ("feature_map", "peak feature map"))
    }
    accuracy = mean_and_range([one["accuracy"] for one in figures])
    return {"network": name, **size, "accuracy": accuracy, "seeds": str(len(figures))}


def draw(rows: Mapping[str, Sequence[Figures]], plots: Path) -> None:
    """Draw accuracy against each cost."""
    for key, label in (("macs", "MACs"), ("parameters", "parameters"), ("feature_map", "peak feature map")):
        lines = {
            kind: sorted(
                (statistics.mean(one[key] for one in row), statistics.mean(one["accuracy"] for one in row))
                for name, row in rows.items()
                if name.startswith(kind) or name == "width 1"
            )
            for kind in ("width", "even", "DAC")
        }
        script.draw(plots / f"dac-{key}.svg", f"Accuracy by {label}", lines, x_label=label, y_label="accuracy")


def main() -> None:
    """Run what is missing, and show the tables."""
    options = script.arguments(__doc__, "dac").parse_args()
    setting, folder = PAPER if options.paper else SMALL, script.results_folder(options)
    folder.mkdir(parents=True, exist_ok=True)
    if not options.table:
        data = (*images("train", setting.train), *images("test", setting.test))
        for seed in range(options.seeds):
            Seed(setting, seed, folder, data).run()
    rows = read(setting, range(options.seeds), folder)
    tables = {
        "dac": [table(name, row) for name, row in rows.items() if not name.startswith("kept")],
        "dac-channels": [table(name.removeprefix("kept "), row) for name, row in rows.items() if name[:4] == "kept"],
    }
    script.show(tables, options.write)
    if options.plots is not None:
        draw(rows, options.plots)


if __name__ == "__main__":
    main()
