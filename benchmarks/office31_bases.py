"""What a frozen base costs in accuracy: its formats, and how much is trained. Office-31, MobileNetV2 0.35.

Every method is an exported bundle that `edge_client.Trainer` trains on LiteRT with one thread. A domain's images are
split 80/20 by the seed, which also draws the head's initial weights and the order of the batches; what is trained on
amazon's part is tested on amazon's rest and on all of webcam. An int8 base is calibrated anew for each split, on 128 of
its training images. The learning rate of each method and domain is the best of four on a fifth of seed 0's training
images, trained on the other four fifths. Every result is one file, and those that are there are not made again.

    .venv/bin/python benchmarks/office31_bases.py
    .venv/bin/python benchmarks/office31_bases.py --methods whole-96 --domains dslr --seeds 1
    .venv/bin/python benchmarks/office31_bases.py --report docs/office31.md --images docs/images
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
from office31 import ROOT, export_bundle, load_domain

sys.path.insert(0, str(ROOT))

__all__ = ["DOMAINS", "METHODS", "Method", "Study", "main"]

DOMAINS = {"amazon": ("amazon", "webcam"), "webcam": ("webcam",), "dslr": ("dslr",)}
"""Where a network is trained, and where it is tested: the first on the fifth that was held back, another as a whole."""
RATES = (0.001, 0.003, 0.01, 0.03)
GRID_STEPS = 400
CALIBRATION = 128


@dataclass(frozen=True)
class Method:
    """How a network is trained: the images' size in pixels, what is trained, how the base is held, local epochs."""

    size: int
    trainable: str
    base_format: str
    epochs: int


METHODS = {
    "head-224-float32": Method(224, "head", "float32", 30),
    "head-224-float16": Method(224, "head", "float16", 30),
    "head-224-int8": Method(224, "head", "int8", 30),
    "head-96": Method(96, "head", "float32", 30),
    "block16-96": Method(96, "block_16_expand", "float32", 10),
    "block13-96": Method(96, "block_13_expand", "float32", 10),
    "whole-96": Method(96, "all", "float32", 10),
}


class Samples:
    """All images of one domain as a trainer takes them: as pixels, or as the features of its frozen base."""

    def __init__(self, trainer: Any, x: np.ndarray, y: np.ndarray, name: str) -> None:
        from edge_client.data import Dataset

        self._trainer = trainer
        self._data = Dataset(x, y, name)
        self.features = trainer.cached_features(self._data) if trainer.has_features else None

    def step(self, rows: np.ndarray, learning_rate: float, seed: int) -> float:
        """Train on some rows; return the loss."""
        y = self._data.y[rows]
        if self.features is not None:
            return float(self._trainer.train_features(self.features[rows], y, learning_rate, seed=seed))
        return float(self._trainer.train_step(self._data.x[rows], y, learning_rate, seed=seed))

    def accuracy(self, rows: np.ndarray) -> float:
        """Share of the rows that the network names rightly."""
        if self.features is not None:
            return float(self._trainer.evaluate_features(self.features[rows], self._data.y[rows])[1])
        return float(self._trainer.evaluate(self._data.x[rows], self._data.y[rows])[1])


class Study:
    """The runs of one output folder.

    Parameters
    ----------
    output
        Folder of the results, the bundles and the cached features.
    methods
        What is compared, by name.
    images
        Returns a domain's images of a size: ``uint8 [n, size, size, 3]``, ``int32 [n]``, class names.
    """

    def __init__(self, output: Path, methods: dict[str, Method], images: Any = load_domain) -> None:
        self.output = output
        self.methods = methods
        self._images = functools.lru_cache(3)(images)
        output.mkdir(parents=True, exist_ok=True)

    def run(self, name: str, domain: str, seed: int) -> dict[str, Any]:
        """Train and test one network, or read what an earlier run found."""
        found = self.rates(name, domain)
        rate = max(found, key=lambda key: found[key])
        return self._once(f"{name}-{domain}-{seed}", lambda: self._run(name, domain, seed, rate))

    def rates(self, name: str, domain: str) -> dict[float, float]:
        """Return the accuracy on the validation part by learning rate."""
        return {
            rate: self._once(f"grid-{name}-{domain}-{rate}", lambda rate=rate: self._validate(name, domain, rate))
            for rate in RATES
        }

    def _run(self, name: str, domain: str, seed: int, rate: float) -> dict[str, Any]:
        method, trainer = self.methods[name], self._trainer(name, domain, seed)
        train, test = self._split(domain, method.size, seed)
        samples = {place: self._samples(trainer, place, method.size) for place in DOMAINS[domain]}
        start = time.perf_counter()
        loss = self._train(trainer, samples[domain], train, method.epochs, rate, seed)
        train_s = time.perf_counter() - start
        rows = {place: np.arange(len(self._images(place, method.size)[1])) for place in samples} | {domain: test}
        signature = trainer.manifest.signatures[trainer.train_signature()]
        return {
            "accuracy": {place: samples[place].accuracy(rows[place]) for place in samples},
            "tested": {place: len(rows[place]) for place in samples},
            "trained_on": len(train),
            "loss": loss,
            "learning_rate": rate,
            "epochs": method.epochs,
            "train_s": train_s,
            "trained_parameters": sum(
                int(np.prod(trainer.manifest.variables[path].shape))
                for path in signature.updates
                if "/moving_" not in path
            ),
            "feature_distance": self._distance(name, samples),
        }

    def _validate(self, name: str, domain: str, rate: float) -> float:
        method, trainer = self.methods[name], self._trainer(name, domain, 0)
        train, _ = self._split(domain, method.size, 0)
        part, validation = train[: int(0.8 * len(train))], train[int(0.8 * len(train)) :]
        samples = self._samples(trainer, domain, method.size)
        # A step of a head from cached features costs next to nothing: only others' grids are cut short.
        most = method.epochs if method.trainable == "head" else max(1, GRID_STEPS // -(-len(part) // 16))
        try:
            self._train(trainer, samples, part, min(method.epochs, most), rate, 0)
        except FloatingPointError:
            return 0.0
        return samples.accuracy(validation)

    def _train(
        self, trainer: Any, samples: Samples, rows: np.ndarray, epochs: int, learning_rate: float, seed: int
    ) -> float:
        """Train from fresh weights; return the mean loss of the last epoch."""
        from edge_client.fit import batches

        trainer.set_weights(fresh_weights(trainer.bundle.initial(), seed))
        losses: list[float] = []
        last_epoch = -(-len(rows) // trainer.batch_size)
        for part in batches(len(rows), trainer.batch_size, epochs, seed):
            losses.append(samples.step(rows[part], learning_rate, seed))
            if not np.isfinite(losses[-1]):
                raise FloatingPointError(f"the loss is {losses[-1]} with learning rate {learning_rate}")
        return float(np.mean(losses[-last_epoch:]))

    def _split(self, domain: str, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        count = len(self._images(domain, size)[1])
        order = np.random.default_rng(seed).permutation(count)
        return order[: int(0.8 * count)], order[int(0.8 * count) :]

    def _trainer(self, name: str, domain: str, seed: int) -> Any:
        from edge_client import Trainer
        from edge_client.feature_cache import FeatureCache

        method = self.methods[name]
        x, _, classes = self._images(domain, method.size)
        options: dict[str, Any] = {"trainable": method.trainable}
        bundle = self.output / "bundles" / name
        if method.base_format == "int8":
            bundle = bundle.with_name(f"{name}-{domain}-{seed}")
            options["calibration"] = x[self._split(domain, method.size, seed)[0][:CALIBRATION]]
        if not bundle.exists():
            bundle.parent.mkdir(exist_ok=True)
            export_bundle(bundle, classes, method.size, 0, base_format=method.base_format, **options)
        return Trainer(bundle, num_threads=1, feature_cache=FeatureCache(self.output / "features"))

    def _samples(self, trainer: Any, domain: str, size: int) -> Samples:
        return Samples(trainer, *self._images(domain, size)[:2], domain)

    def _distance(self, name: str, samples: dict[str, Samples]) -> Optional[dict[str, float]]:
        """Distance of a narrow base's features from those of the float32 base, as a share of their size."""
        method = self.methods[name]
        exact = f"head-{method.size}-float32"
        if method.base_format == "float32" or exact not in self.methods:
            return None
        trainer = self._trainer(exact, "amazon", 0)
        distances = {}
        for domain, found in samples.items():
            expected = self._samples(trainer, domain, method.size).features
            assert expected is not None
            assert found.features is not None
            distances[domain] = float(np.linalg.norm(found.features - expected) / np.linalg.norm(expected))
        return distances

    def _once(self, name: str, make: Any) -> Any:
        path = self.output / f"{name}.json"
        if not path.exists():
            found = make()
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(found, indent=1))
            os.replace(temporary, path)
            print(name, json.dumps(found), flush=True)
        return json.loads(path.read_text())


def fresh_weights(initial: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Draw the head's kernels anew (Glorot and Bengio 2010, uniform); all else is pretrained, or zero."""
    random = np.random.default_rng([seed, 1])
    weights = dict(initial)
    for path in ("hidden/kernel", "logits/kernel"):
        limit = np.sqrt(6 / sum(weights[path].shape))
        weights[path] = random.uniform(-limit, limit, weights[path].shape).astype(np.float32)
    return weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, or report on what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--domains", nargs="+", choices=DOMAINS, default=list(DOMAINS))
    parser.add_argument("--seeds", type=int, default=3, help="splits of each (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "office31_bases")
    parser.add_argument("--report", type=Path, help="Markdown file to write the tables into; no more runs are made")
    parser.add_argument("--images", type=Path, default=ROOT / "docs" / "images", help="folder of the plot")
    options = parser.parse_args(arguments)
    if options.report:
        from office31_bases_report import write_report

        write_report(options.output, options.report, options.images)
        return 0
    study = Study(options.output, METHODS)
    for seed in range(options.seeds):
        for name in options.methods:
            for domain in options.domains:
                study.run(name, domain, seed)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
