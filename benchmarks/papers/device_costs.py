"""What a round costs a device that holds a compressed model: time by equation 1 of the IoT paper, and memory.

Zhang (2021), section 5: T = T_local + T_upload + T_global + T_download. Transfers are what the simulation's clock says
for the bytes that are sent. Local time is the clock's, times the measured ratio of the kind's step to the whole one's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.papers.cases import CaseRun
from edge_client import Trainer
from model_export.bundle import INITIAL, MODEL, Bundle
from model_export.measure import measure_signature

__all__ = ["Link", "equation_1", "measure_kinds"]


@dataclass(frozen=True)
class Link:
    """Bandwidths in 10⁶ bits a second, and the seconds that the server takes for a round."""

    down_mbps: float
    up_mbps: float
    server_s: float


def measure_kinds(bundles: Mapping[str, Bundle], turns: int) -> dict[str, dict[str, float]]:
    """Measure training steps of bundles of one network.

    Parameters
    ----------
    bundles
        By kind; the first one is the whole model's.
    turns
        Steps of each, one kind after the other in each turn.

    Returns
    -------
    dict
        By kind: ``step``, the median of its processor time as a ratio to the whole model's of the same turn;
        ``memory``, bytes of a step in a process of its own; ``stored``, bytes of its weights in the bundle.
    """
    trainers = {kind: Trainer(bundle, num_threads=1) for kind, bundle in bundles.items()}
    whole, manifest = next(iter(bundles)), next(iter(bundles.values())).manifest
    x = np.random.default_rng(0).uniform(size=(manifest.batch_size, *manifest.input.shape)).astype(np.float32)
    y = np.arange(manifest.batch_size, dtype=np.int32) % len(manifest.classes)
    seconds: dict[str, list[float]] = {kind: [] for kind in bundles}
    for _ in range(turns + 1):
        for kind, trainer in trainers.items():
            began = time.process_time()
            trainer.train_step(x, y, 0.01)
            seconds[kind].append(time.process_time() - began)
    found = {}
    for kind, bundle in bundles.items():
        memory = measure_signature(bundle.path / MODEL, bundle.manifest.signatures["train"], "train", 1)["memory_bytes"]
        ratios = [own / other for own, other in zip(seconds[kind][1:], seconds[whole][1:])]  # the first step plans
        found[kind] = {
            "step": statistics.median(ratios),
            "memory": float(memory),
            "stored": float(bundle.manifest.files[INITIAL].bytes),
        }
    return found


def equation_1(run: CaseRun, measured: Mapping[str, Mapping[str, float]], link: Link) -> list[dict[str, str]]:
    """Return equation 1 for a round of each kind of device of a run, and its memory, as rows of a table.

    Parameters
    ----------
    run
        Simulated, with one time of a step for all kinds.
    measured
        From `measure_kinds`; the first kind is the whole model.
    link
        What the simulation was told.
    """
    whole = next(iter(measured))
    rows = []
    for kind, figures in measured.items():
        own = [row for row in run.devices if row.plan["submodel"] == ("" if kind == whole else kind) and row.train_s]
        if not own:
            continue

        def mean(key: str, own: Sequence[Any] = own) -> float:
            return statistics.mean(getattr(row, key) or 0.0 for row in own)

        local, upload, download = mean("train_s") * figures["step"], mean("upload_s"), mean("download_s")
        stored = figures["stored"] * 8e-6 * (1 / link.down_mbps + 1 / link.up_mbps)
        rows.append(
            {
                "kind": kind,
                "weights as stored, kB": f"{figures['stored'] / 1000:.1f}",
                "memory of a step, MB": f"{figures['memory'] / 1e6:.1f}",
                "step, times the whole model's": f"{figures['step']:.2f}",
                "T_local, s": f"{local:.3f}",
                "T_upload": f"{upload:.3f}",
                "T_global": f"{link.server_s:.3f}",
                "T_download": f"{download:.3f}",
                "T": f"{local + upload + link.server_s + download:.3f}",
                "T, if weights travelled as stored": f"{local + link.server_s + stored:.3f}",
            }
        )
    return rows
