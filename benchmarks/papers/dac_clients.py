"""The runs of DAC's federated experiment: their clients' images, bundles and experiment files."""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.papers import dac
from benchmarks.papers.cases import CLASSES, cifar10
from benchmarks.papers.dac_networks import Channels, fresh, narrowed
from model_export.bundle import Bundle
from model_export.files import write_atomically
from model_export.width import slice_channels

__all__ = [
    "EPOCHS",
    "PAPER",
    "SMALL",
    "SPLITS",
    "Case",
    "Setting",
    "architecture_names",
    "cases",
    "experiment",
    "make_bundles",
    "make_data",
]

SPLITS = {"iid": "IID", "two": "two classes each"}
EPOCHS = {False: "5", True: "3 to 5"}


@dataclass(frozen=True)
class Setting:
    """The experiment.

    Attributes
    ----------
    search
        Where the architectures come from.
    pixels
        Height and width of the images.
    clients, drawn_for
        How many there are of each architecture; for which of these local epochs are drawn, too.
    found, widths
        The architectures beside the whole network: those searched for the MACs of these widths, and these widths.
    of_all, of_two
        Images of each class that a client has: IID, and of two classes.
    test
        Images that the server tests with.
    """

    search: dac.Setting
    pixels: int
    clients: tuple[int, ...]
    drawn_for: tuple[int, ...]
    found: tuple[float, ...]
    widths: tuple[float, ...]
    of_all: int
    of_two: int
    rounds: int
    batch_size: int
    learning_rate: float
    test: int


SMALL = Setting(
    search=dac.SMALL,
    pixels=16,
    clients=(2, 4, 8, 16),
    drawn_for=(8,),
    found=(0.75, 0.5),
    widths=(0.5,),
    of_all=10,
    of_two=33,
    rounds=10,
    batch_size=20,
    learning_rate=0.05,
    test=1000,
)
PAPER = Setting(
    search=dac.PAPER,
    pixels=32,
    clients=(2, 4, 8, 16),
    drawn_for=(2, 4, 8, 16),
    found=(0.75, 0.5, 0.35, 0.25),
    widths=(0.75, 0.5, 0.35, 0.25),
    of_all=300,
    of_two=1000,
    rounds=50,
    batch_size=50,
    learning_rate=0.01,
    test=10000,
)


@dataclass(frozen=True, order=True)
class Case:
    """One run of a seed: how the images are split, whether local epochs are drawn, clients of each architecture."""

    split: str
    drawn: bool
    clients: int

    def name(self, seed: int) -> str:
        """Return what its run directory is called."""
        return f"{self.split}-{'drawn' if self.drawn else 'fixed'}-{self.clients}-seed{seed}"

    @property
    def title(self) -> str:
        """Return what figures call it, without the number of clients."""
        return f"{SPLITS[self.split]}, {EPOCHS[self.drawn]} local epochs"


def cases(setting: Setting) -> list[Case]:
    """Return the runs of a seed."""
    every = itertools.product(SPLITS, (False, True), setting.clients)
    return [Case(*each) for each in every if not each[1] or each[2] in setting.drawn_for]


def architecture_names(setting: Setting) -> list[str]:
    """Return what variants are called, in the order of the table."""
    return [f"DAC-{width}" for width in setting.found] + [f"width-{width}" for width in setting.widths]


def make_data(setting: Setting, seed: int, folder: Path) -> None:
    """Write what clients hold, ``iid-KK.npz`` and ``two-KK.npz``, unless it is there."""
    most = max(setting.clients)
    if all((folder / f"{split}-{k:02d}.npz").exists() for split in SPLITS for k in range(most)):
        return
    # Each class has a tenth of the images, and the shares are no larger than what the file has of it.
    x, y = cifar10(
        "train", min(50000, max(most * setting.of_all, 2 * setting.of_two) * CLASSES * 6 // 5), setting.pixels
    )
    random = np.random.default_rng([seed, 1])
    of_class = [random.permutation(np.flatnonzero(y == label)) for label in range(CLASSES)]
    for k in range(most):
        rows = np.concatenate([own[k * setting.of_all : (k + 1) * setting.of_all] for own in of_class])
        _write(folder / f"iid-{k:02d}.npz", x[rows], y[rows])
        labels = random.choice(CLASSES, 2, replace=False)
        rows = np.concatenate([random.choice(of_class[label], setting.of_two, replace=False) for label in labels])
        _write(folder / f"two-{k:02d}.npz", x[rows], y[rows])


def _write(file: Path, x: np.ndarray, y: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=x, y=y)
    write_atomically(file, buffer.getvalue())


def make_bundles(setting: Setting, seed: int, folder: Path, searched: Path) -> None:
    """Export the whole network and its slices, unless they are there."""
    names = architecture_names(setting)
    if all((folder / f"{name}.bundle").exists() for name in ["whole", *names]):
        return
    from model_export import Sgd, export  # needs TensorFlow

    search = setting.search
    data = (*dac.images("train", search.train), *dac.images("test", 1))
    found = dac.architectures(search, seed, searched, data)
    shape = replace(search.shape, pixels=setting.pixels)
    model = fresh(shape, 1.0, seed)
    channels: dict[str, Channels] = {f"DAC-{width}": found[width].channels for width in setting.found}
    channels |= {f"width-{width}": narrowed(model, width) for width in setting.widths}
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {
        "batch_size": setting.batch_size,
        "optimizer": Sgd(momentum=0.5),
        "input_scale": 1 / 127.5,
        "input_offset": -1.0,
        "measure": False,
    }
    path = folder / "whole.bundle"
    whole = Bundle.load(path) if path.exists() else export(model, path, **options)
    for name in names:
        if not (folder / f"{name}.bundle").exists():
            part = slice_channels(model, channels[name])
            export(part.model, folder / f"{name}.bundle", part_of=part.part_of(whole.sha256), **options)


def experiment(setting: Setting, case: Case, seed: int) -> str:
    """Return the experiment file of a case; its paths start from the script's folder."""
    names = architecture_names(setting)
    lines = [
        f'name = "{case.name(seed)}"',
        f"seed = {seed}",
        f"rounds = {setting.rounds}",
        'keep_weights = "last"',
        f'model.bundle = "seed{seed}/bundles/whole.bundle"',
        'data.test = "test.npz"',
        f"evaluate.every = {max(1, setting.rounds // 5)}",
        f'strategy = {{ name = "dac", least_epochs = {3 if case.drawn else 0} }}',
        f"train = {{ epochs = 5, learning_rate = {setting.learning_rate} }}",
        "[[simulation.profiles]]",
        'name = "any"',
        "step_ms = 1",
    ]
    for name in names:
        lines += ["[[variants]]", f'name = "{name}"', f'bundle = "seed{seed}/bundles/{name}.bundle"']
        lines += ["[[groups]]", f'name = "{name}"', f'devices = ["{name}-*"]', f'variant = "{name}"']
    for name, k in itertools.product(["whole", *names], range(case.clients)):
        data = f"seed{seed}/data/{case.split}-{k:02d}.npz"
        lines += ["[[clients]]", f'name = "{name}-{k:02d}"', f'data = "{data}"', 'processor = "any"']
        lines += [f'variant = "{name}"'] if name in names else []
    return "\n".join(lines) + "\n"
