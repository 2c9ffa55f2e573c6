"""DAC, federated: the found architectures trained by 2 to 16 clients (figures 4 and 5 of the paper).

Li and Sanyal, "Heterogeneous Federated Learning with Differentiable Architecture Compression", section 4.2 and table 1:
CIFAR-10, IID (300 images of each class a client) or not (1,000 images of each of 2 classes, drawn at random), 5 local
epochs or a number drawn from 3 to 5, SGD with momentum 0.5, 50 rounds. Figure 4 shows accuracy by parameters, figure 5
by the number of clients.

Each run holds all architectures at once, with as many clients for each, under the strategy ``dac``: it averages each
architecture by itself, so they share nothing but a run. Client k of every architecture has the same images. Beside
the architectures that `benchmarks.papers.dac` finds for the MACs of the narrower networks stand these networks (all
widths scaled) and the whole one. All begin with their part of the same new weights.

* small (default): images of 16 pixels, a 30th of them a client, 10 rounds, local epochs drawn for 8 clients only;
* ``--paper``: the paper's own, for a GPU, for instance with ``KERAS_BACKEND=jax``.

What is done is kept under ``--folder``, and a call that was interrupted goes on there. The architectures are read from
``--searched``, the folder of `benchmarks.papers.dac`, and searched for there where they are missing.

    .venv/bin/python -m benchmarks.papers.dac_federated --write docs/papers.md --plots docs/images
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.papers import script
from benchmarks.papers.cases import ROOT, cifar10_file, finished_case, mean_and_range, run_case
from benchmarks.papers.dac_clients import (
    EPOCHS,
    PAPER,
    SMALL,
    SPLITS,
    Case,
    Setting,
    architecture_names,
    cases,
    experiment,
    make_bundles,
    make_data,
)
from model_export.bundle import Bundle
from python_server.run_reader import RunReader

WHOLE = "the whole model"

Found = Mapping[Case, Sequence[Mapping[str, Mapping[int, float]]]]
"""For each case and seed: accuracy by architecture and round."""


def rows(setting: Setting, found: Found, parameters: Mapping[str, int]) -> list[dict[str, str]]:
    """Return the table: final accuracy of each architecture, and the best where it is another."""
    names = [WHOLE, *architecture_names(setting)]
    return [
        {
            "images": SPLITS[case.split],
            "local epochs": EPOCHS[case.drawn],
            "clients": str(case.clients),
            **{
                f"{name} ({parameters[name]:,})": mean_and_range([seed[name][max(seed[name])] for seed in seeds])
                + f"; best {np.mean([max(seed[name].values()) for seed in seeds]):.3f}"
                for name in names
            },
            "seeds": str(len(seeds)),
        }
        for case, seeds in found.items()
    ]


def draw(setting: Setting, found: Found, parameters: Mapping[str, int], plots: Path) -> None:
    """Draw figure 4, accuracy by parameters, and figure 5, by the number of clients, for each split and epochs."""

    def mean(case: Case, name: str) -> float:
        return float(np.mean([seed[name][max(seed[name])] for seed in found[case]]))

    architectures = [WHOLE, *architecture_names(setting)]
    for split, drawn in sorted({(case.split, case.drawn) for case in found}):
        done = [case for case in sorted(found) if (case.split, case.drawn) == (split, drawn)]
        by_size = {
            f"{case.clients} clients": sorted(
                (float(parameters[name]), mean(case, name)) for name in architectures if not name.startswith("width")
            )
            for case in done
        }
        by_clients = {name: [(float(case.clients), mean(case, name)) for case in done] for name in architectures}
        figures = [("parameters", by_size)] + ([("clients", by_clients)] if len(done) > 1 else [])
        for label, lines in figures:
            title = f"{done[0].title}: accuracy by {label}"
            file = plots / f"dac-{label}-{split}-{'drawn' if drawn else 'fixed'}.svg"
            script.draw(file, title, lines, x_label=label, y_label="accuracy")


def prepare(setting: Setting, seed: int, folder: Path, searched: Path) -> None:
    """Make what the runs of a seed need; in another process if Keras is not on TensorFlow here, which exports."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        command = [sys.executable, "-m", "benchmarks.papers.dac_federated", *sys.argv[1:]]
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
        subprocess.run([*command, "--prepare", "--seeds", str(seed + 1)], env=environment, check=True)
        return
    cifar10_file(folder / "test.npz", "test", setting.test, setting.pixels)
    make_data(setting, seed, folder / f"seed{seed}" / "data")
    make_bundles(setting, seed, folder / f"seed{seed}" / "bundles", searched)


def main() -> None:
    """Run what is missing, and show the table."""
    parser = script.arguments(__doc__, "dac_federated")
    parser.add_argument(
        "--searched", type=Path, help="the folder of benchmarks.papers.dac (default: runs/papers/dac[-paper])"
    )
    parser.add_argument("--prepare", action="store_true", help="only make bundles and data, which needs TensorFlow")
    options = parser.parse_args()
    setting, kind = (PAPER, "-paper") if options.paper else (SMALL, "")
    folder = script.results_folder(options)
    searched = options.searched or ROOT / "runs" / "papers" / f"dac{kind}"
    found: dict[Case, list[dict[str, dict[int, float]]]] = {}
    for seed in range(options.seeds):
        if not options.table:
            prepare(setting, seed, folder, searched)
        if options.prepare:
            continue
        for case in cases(setting):
            text = experiment(setting, case, seed)
            name = case.name(seed)
            run = finished_case(folder, name, text) if options.table else run_case(folder, name, text, in_process=True)
            if run is not None:
                with RunReader(run.path) as reader:
                    found.setdefault(case, []).append(reader.architectures())
    if not found:
        return
    parameters = {
        {"whole": WHOLE}.get(name, name): _parameters(folder / "seed0" / "bundles" / f"{name}.bundle")
        for name in ["whole", *architecture_names(setting)]
    }
    script.show({"dac-federated": rows(setting, found, parameters)}, options.write)
    if options.plots is not None:
        draw(setting, found, parameters, options.plots)


def _parameters(bundle: Path) -> int:
    return sum(layer.parameters for layer in Bundle.load(bundle).manifest.layers)


if __name__ == "__main__":
    main()
