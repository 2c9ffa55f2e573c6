"""Clients pruned, quantized and clustered to different degrees in one federation, and how to aggregate them.

Zhang, "Towards a Federated Learning Framework for Heterogeneous Devices of Internet of Things" (2021). The paper's
figures are of one device's training (``benchmarks/iot_data_types.py`` repeats them); the federation is what it is for,
and what it leaves open (sections 3.2 and 7.3). Here ten devices, whose kinds are bundles compressed from one global
model, train under both of its forms (section 4.2) and under both ways to aggregate (``docs/strategies.md``):

* FedSGD, a step a round on all samples of a device: the bundle's batch holds them all;
* FedAvg, some local epochs a round;
* *naive*: compressed weights are averaged; *aware*: masks count, and what counts is what training changed.

Two problems: ``mlp``, the paper's (section 6.1: five layers of ten sigmoid neurons, two classes of five Gaussian
features; initial weights and samples are those of ``benchmarks/iot_data_types.py``), and ``cnn`` on CIFAR-10. Masks,
grids and codebooks come from the initial weights; masks stay as they are.

A second table gives the paper's equation 1 for each kind of device, T = T_local + T_upload + T_global + T_download, for
a round of FedAvg on ``cnn``, and its memory (section 5). Ratios of steps and memory are measured on this machine's
TensorFlow Lite, which emulates narrow formats in float32; the rest is modelled: 20 ms a plain step, 10 and 5 Mbit/s
down and up, 0.05 s for the server.

* small (default): 100 samples a device, ``small_cnn`` of 8, 16 and 32 filters;
* ``--paper``: the paper's 1,000 samples a device; all of CIFAR-10 and 32, 64 and 128 filters. Compressed bundles train
  on TensorFlow Lite, so a GPU helps the plain ones alone.

What is done is kept under ``--folder``; a call that was interrupted goes on there.

    .venv/bin/python benchmarks/papers/mixed_compression.py --seeds 3 --write docs/papers.md --plots docs/images
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import numpy as np

from benchmarks.iot_data_types import initial, samples
from benchmarks.papers.cases import CLASSES, CaseRun, cifar10_file, mean_and_range
from benchmarks.papers.device_costs import Link, equation_1, measure_kinds
from benchmarks.papers.script import arguments, by_round, draw, parsed, run_seeds, show
from model_export.bundle import Bundle
from model_export.compression import Cluster, Compression, Prune, Quantize
from model_export.files import write_atomically

__all__ = ["FLEETS", "KINDS", "PAPER", "SMALL", "Case", "Problem", "main"]

DEVICES = 10
STEP_MS = 20.0
LINK = Link(down_mbps=10.0, up_mbps=5.0, server_s=0.05)
KINDS = {
    "whole": Compression(),
    "pruned-50": Compression(prune=Prune(0.5)),
    "pruned-80": Compression(prune=Prune(0.8)),
    "bfloat16": Compression(quantize=Quantize("bfloat16")),
    "int8": Compression(quantize=Quantize("int8")),
    "int4": Compression(quantize=Quantize("int4")),
    "clusters-16": Compression(cluster=Cluster(16)),
    "clusters-4": Compression(cluster=Cluster(4)),
}
FLEETS = {
    "whole": ("whole",) * 10,
    "mixed": (
        "whole",
        "whole",
        "pruned-50",
        "pruned-80",
        "bfloat16",
        "int8",
        "int4",
        "int4",
        "clusters-16",
        "clusters-4",
    ),
    "pruned": ("pruned-50", "pruned-80") * 5,
    "quantized": ("int8", "int4") * 5,
    "clustered": ("clusters-16", "clusters-4") * 5,
}


@dataclass(frozen=True)
class Problem:
    """What is trained, and how; ``sgd_`` is of FedSGD.

    Attributes
    ----------
    images
        Samples of all devices together; the server's test set has 1,000.
    batch_size
        Of FedAvg; FedSGD's holds all samples of a device.
    filters
        Of the CNN; none: the paper's perceptron.
    """

    images: int
    batch_size: int
    epochs: int
    rounds: int
    learning_rate: float
    sgd_rounds: int
    sgd_learning_rate: float
    filters: tuple[int, ...] = ()


SMALL = {
    "mlp": Problem(1000, 100, 5, 40, 0.5, 100, 0.5),
    "cnn": Problem(1000, 20, 3, 10, 0.05, 30, 0.2, (8, 16, 32)),
}
PAPER = {
    "mlp": Problem(10_000, 1000, 5, 100, 0.5, 100, 0.5),
    "cnn": Problem(50_000, 50, 5, 100, 0.05, 500, 0.2, (32, 64, 128)),
}


class Case(NamedTuple):
    """A federation."""

    problem: str
    form: str
    fleet: str
    aggregation: str

    def key(self, seed: int) -> str:
        """Return the name of its run."""
        return "-".join((*self, f"seed{seed}"))


TIMED = Case("cnn", "fedavg", "mixed", "aware")
"""The case whose rounds equation 1 is filled in for."""


def cases(problems: Sequence[str]) -> Iterator[Case]:
    """Yield all cases; FedSGD has the whole and the mixed fleet alone."""
    for problem in problems:
        for form, fleets in (("fedavg", tuple(FLEETS)), ("fedsgd", ("whole", "mixed"))):
            for fleet in fleets:
                for aggregation in ("aware",) if fleet == "whole" else ("naive", "aware"):
                    yield Case(problem, form, fleet, aggregation)


def batch_size(problem: Problem, form: str) -> int:
    """Return the bundle's."""
    return problem.images // DEVICES if form == "fedsgd" else problem.batch_size


def bundle_name(case: Case, kind: str, problem: Problem, seed: int) -> str:
    """Return the folder of a kind's bundle."""
    return f"{case.problem}-{batch_size(problem, case.form)}-{seed}/{kind}"


def prepare(case: Case, problem: Problem, seed: int, folder: Path) -> None:
    """Write data and bundles, unless they are there."""
    if problem.filters:
        cifar10_file(folder / "cnn-train.npz", "train", problem.images)
        cifar10_file(folder / "cnn-test.npz", "test", 1000)
    else:
        for part, (count, file) in enumerate(((problem.images, f"mlp-train-{seed}"), (1000, f"mlp-test-{seed}")), 1):
            if not (folder / f"{file}.npz").exists():
                folder.mkdir(parents=True, exist_ok=True)
                x, y = samples(count, seed, part)
                buffer = io.BytesIO()
                np.savez(buffer, x=x.astype(np.float32), y=y)
                write_atomically(folder / f"{file}.npz", buffer.getvalue())
    for kind in {"whole", *FLEETS[case.fleet]}:
        path = folder / bundle_name(case, kind, problem, seed)
        if not path.exists():
            from model_export import Sgd, export

            path.parent.mkdir(parents=True, exist_ok=True)
            export(
                network(problem, seed),
                path,
                batch_size=batch_size(problem, case.form),
                input_scale=1 / 255 if problem.filters else 1.0,
                optimizer=Sgd(momentum=0.9 if problem.filters and case.form == "fedavg" else 0.0),
                compression=KINDS[kind],
                measure=False,
            )


def network(problem: Problem, seed: int) -> Any:
    """Build the global model."""
    import keras

    from model_export import build

    keras.utils.set_random_seed(seed)
    if problem.filters:
        return build("small_cnn", (32, 32, 3), CLASSES, filters=problem.filters)
    model = build("mlp", (5,), 2)
    model.set_weights(list(initial(seed).values()))
    return model


def experiment(case: Case, problem: Problem, seed: int) -> str:
    """Return the experiment file of a case and seed."""
    sgd, kinds = case.form == "fedsgd", FLEETS[case.fleet]
    tables = "".join(
        f'\n[[variants]]\nname = "{kind}"\nbundle = "{bundle_name(case, kind, problem, seed)}"\n'
        f'\n[[groups]]\nname = "{kind}"\nvariant = "{kind}"\n'
        f"devices = {[f'device-{number}' for number, each in enumerate(kinds) if each == kind]}\n"
        for kind in dict.fromkeys(kinds)
        if kind != "whole"
    )
    data = ("cnn-train", "cnn-test") if problem.filters else (f"mlp-train-{seed}", f"mlp-test-{seed}")
    # In the other fleets all devices have masks, or none.
    statistics = '\nstatistics = "whole"' if (case.fleet, case.aggregation) == ("mixed", "aware") else ""
    return f"""\
name = "mixed-compression"
rounds = {problem.sgd_rounds if sgd else problem.rounds}
seed = {seed}
keep_weights = "last"

[model]
bundle = "{bundle_name(case, "whole", problem, seed)}"

[data]
test = "{data[1]}.npz"

[train]
epochs = {1 if sgd else problem.epochs}
learning_rate = {problem.sgd_learning_rate if sgd else problem.learning_rate}

[strategy]
name = "mixed_compression"
form = "{case.form}"
aggregation = "{case.aggregation}"{statistics}

[simulation]
devices = {DEVICES}
data = "{data[0]}.npz"
overhead_s = {LINK.server_s}

[[simulation.profiles]]
name = "board"
step_ms = {STEP_MS}
download_mbps = {LINK.down_mbps}
upload_mbps = {LINK.up_mbps}
{tables}"""


def bundles_of_kinds(problem: Problem, folder: Path) -> dict[str, Bundle]:
    """Return the bundles of all kinds of the first seed, made where they are missing."""
    bundles = {}
    for fleet in FLEETS:
        case = TIMED._replace(fleet=fleet)
        prepare(case, problem, 0, folder)
        for kind in FLEETS[fleet]:
            bundles[kind] = Bundle.load(folder / bundle_name(case, kind, problem, 0))
    return {kind: bundles[kind] for kind in KINDS}


def rounds_to(accuracy: float, runs: Sequence[CaseRun]) -> str:
    """Return the first round of each seed that is so accurate, as a table's cell."""
    firsts = [next((number for number, value in run.accuracies.items() if value >= accuracy), None) for run in runs]
    found = [float(first) for first in firsts if first is not None]
    return mean_and_range(found, ".0f") if len(found) == len(runs) else "not by all" if found else "–"


def rows_of(results: Mapping[Case, Sequence[CaseRun]]) -> list[dict[str, str]]:
    """Return the rows of the table of accuracies."""
    return [
        {
            "network": case.problem,
            "form": {"fedavg": "FedAvg", "fedsgd": "FedSGD"}[case.form],
            "devices": case.fleet,
            "aggregation": "–" if case.fleet == "whole" else case.aggregation,
            "final accuracy": mean_and_range([run.final for run in runs]),
            "best": mean_and_range([run.best for run in runs]),
            "rounds to 0.95": rounds_to(0.95, runs) if case.problem == "mlp" else "",
            "seeds": str(len(runs)),
        }
        for case, runs in results.items()
    ]


def main(words: Sequence[str] | None = None, *, small: Mapping[str, Problem] = SMALL) -> None:
    """Run what is missing, seed by seed, and print the tables."""
    parser = arguments(__doc__, "mixed_compression")
    parser.add_argument("--turns", type=int, default=25, help="steps of each kind to time; 0: measure nothing")
    parser.add_argument("--only", choices=tuple(SMALL), help="one of the two problems")
    options = parsed(parser, words)
    problems = {key: each for key, each in (PAPER if options.paper else small).items() if options.only in (None, key)}
    results = run_seeds(
        options,
        cases(list(problems)),
        Case.key,
        lambda case, seed: prepare(case, problems[case.problem], seed, options.folder),
        lambda case, seed: experiment(case, problems[case.problem], seed),
    )
    tables = {"mixed-compression": rows_of(results)}
    kinds, mixed = options.folder / "kinds.json", results.get(TIMED)
    if options.turns and not options.table and mixed and not kinds.exists():
        write_atomically(
            kinds, json.dumps(measure_kinds(bundles_of_kinds(problems["cnn"], options.folder), options.turns)).encode()
        )
    if mixed and kinds.exists():
        tables["mixed-compression-time"] = equation_1(mixed[0], json.loads(kinds.read_bytes()), LINK)
    show(tables, options.write)
    for problem in problems if options.plots else ():
        lines = {
            case.fleet if case.fleet == "whole" else f"{case.fleet}, {case.aggregation}": by_round(runs)
            for case, runs in results.items()
            if (case.problem, case.form) == (problem, "fedavg") and case.fleet in ("whole", "pruned", "mixed")
        }
        title = f"Mixed compression, {problem}: accuracy by round"
        draw(options.plots / f"papers-mixed-{problem}.svg", title, lines, x_label="round", y_label="accuracy")


if __name__ == "__main__":
    main()
