"""Aggregate many large updates: our streaming aggregator beside Flower's own, in one run.

Both get the same updates in the form in which each receives them: Flower `ArrayRecord`s of one array per variable, ours
the packed bytes of `docs/protocol.md`. Decoding them is part of the time of both. By default the model is MobileNetV2
1.0 with its top, 262 variables of 14.2 MB; with ``--variables`` it is so many of the same size. To keep 100 updates out
of memory, a few distinct ones are used over and over; Flower wants all records at once, as in its strategies.
With ``--heterogeneous`` the updates are parts: the leading half of all channels, chosen half of them, half of each
layer's weights by a mask, and the second half of the layers; times are then compared for each byte of update.
The fewer and larger the variables, the smaller the difference: one large array is a matter of memory bandwidth alone.

Examples
--------
  .venv/bin/python benchmarks/aggregation.py
  .venv/bin/python benchmarks/aggregation.py --updates 100 --variables 50 --megabytes 14
  .venv/bin/python benchmarks/aggregation.py --heterogeneous
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Iterator

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

from model_export.tensors import pack, unpack
from python_server.aggregate import Aggregator
from python_server.submodels import Submodel

DISTINCT = 4
WEIGHTS = (100, 250, 75, 310)


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--updates", type=int, default=100, help="how many updates (default: 100)")
    parser.add_argument("--variables", type=int, help="variables, of equal size (default: those of MobileNetV2)")
    parser.add_argument("--megabytes", type=float, default=14, help="with --variables: size of the model (default: 14)")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of so many counts (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--heterogeneous", action="store_true", help="compare updates of parts with whole ones")
    arguments = parser.parse_args()

    shapes: list[tuple[int, ...]] = mobilenet_v2_shapes()
    if arguments.variables:
        shapes = [(int(arguments.megabytes * 1e6 / 4 / arguments.variables),)] * arguments.variables
    random = np.random.default_rng(0)
    updates = [
        {f"layer{i}/kernel": random.standard_normal(shape, dtype=np.float32) for i, shape in enumerate(shapes)}
        for _ in range(DISTINCT)
    ]
    model_bytes = sum(array.nbytes for array in updates[0].values())

    packed = [bytes(pack(update)) for update in updates]
    if arguments.heterogeneous:
        heterogeneous(updates, packed, arguments)
        return
    records = [
        RecordDict(
            {
                "arrays": ArrayRecord({name: Array(array) for name, array in update.items()}),
                "metrics": MetricRecord({"num-examples": weight}),
            }
        )
        for update, weight in zip(updates, WEIGHTS)
    ]

    def ours() -> dict[str, np.ndarray]:
        with Aggregator(updates[0]) as aggregator:
            for update, weight in stream(packed, arguments.updates):
                aggregator.add(update, weight)
            return aggregator.result()

    def flowers() -> ArrayRecord:
        return aggregate_arrayrecords([records[i % DISTINCT] for i in range(arguments.updates)], "num-examples")

    ours_s, flowers_s = fastest(ours, arguments.repeats), fastest(flowers, arguments.repeats)
    result, reference = ours(), flowers()
    largest = max(float(np.abs(result[name] - array.numpy()).max()) for name, array in reference.items())
    tracemalloc.start()
    ours()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    figures = {
        "updates": arguments.updates,
        "model_mb": model_bytes / 1e6,
        "ours_s": ours_s,
        "flower_s": flowers_s,
        "ours_mb_per_s": arguments.updates * model_bytes / ours_s / 1e6,
        "flower_mb_per_s": arguments.updates * model_bytes / flowers_s / 1e6,
        "throughput_ratio": flowers_s / ours_s,
        "peak_beyond_updates_in_models": peak_bytes / model_bytes,
        "largest_difference": largest,
    }
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{arguments.updates} updates of {figures['model_mb']:.1f} MB in {len(shapes)} variables")
    print(f"  ours    {ours_s:7.3f} s  {figures['ours_mb_per_s']:8.0f} MB/s")
    print(f"  flwr    {flowers_s:7.3f} s  {figures['flower_mb_per_s']:8.0f} MB/s")
    print(f"  throughput ratio {figures['throughput_ratio']:.2f}")
    print(f"  our peak memory beyond the updates: {figures['peak_beyond_updates_in_models']:.2f} models")
    print(f"  largest difference of the results: {largest:.1e}")


def heterogeneous(updates: list[dict[str, np.ndarray]], packed: list[bytes], arguments: argparse.Namespace) -> None:
    """Time whole updates and those of each kind of part, and print seconds for a gigabyte of update."""
    whole = updates[0]
    half = {name: tuple(slice(0, -(-size // 2)) for size in value.shape) for name, value in whole.items()}
    random = np.random.default_rng(1)
    chosen = {
        name: np.ix_(*(np.sort(random.choice(size, -(-size // 2), replace=False)) for size in value.shape))
        for name, value in whole.items()
    }
    masks = {name: random.random(value.shape) < 0.5 for name, value in whole.items() if value.ndim > 1}
    submodels = {
        "whole": Submodel(),
        "leading channels": Submodel("leading", where=half),
        "chosen channels": Submodel("chosen", where=chosen),
        "masks": Submodel("pruned", masks=masks),
        "suffix": Submodel("suffix", names=frozenset(list(whole)[len(whole) // 2 :])),
    }
    figures = {}
    for title, submodel in submodels.items():
        sent = [bytes(pack(submodel.extract(update))) for update in updates]

        def aggregate(submodel: Submodel = submodel, sent: list[bytes] = sent) -> None:
            with Aggregator(whole) as aggregator:
                for update, weight in stream(sent, arguments.updates):
                    part, where = submodel.scatter(update)
                    aggregator.add(part, weight, where)
                aggregator.result()

        megabytes = arguments.updates * sum(map(len, sent)) / len(sent) / 1e6
        figures[title] = {"mb": megabytes, "s_per_gb": fastest(aggregate, arguments.repeats) / megabytes * 1e3}
    for each in figures.values():
        each["times_whole"] = each["s_per_gb"] / figures["whole"]["s_per_gb"]
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for title, each in figures.items():
        print(f"  {title:17} {each['mb']:8.0f} MB  {each['s_per_gb']:6.2f} s/GB  {each['times_whole']:5.2f} of whole")


def mobilenet_v2_shapes() -> list[tuple[int, ...]]:
    """Return the shapes of MobileNetV2 1.0's variables (Sandler et al. 2018, table 2)."""
    shapes: list[tuple[int, ...]] = []

    def convolution(*kernel: int, channels: int) -> None:
        shapes.append(kernel)
        shapes.extend([(channels,)] * 4)  # batch norm: scale, offset, moving mean and variance

    convolution(3, 3, 3, 32, channels=32)
    channels = 32
    for expansion, filters, repeats in (
        (1, 16, 1),
        (6, 24, 2),
        (6, 32, 3),
        (6, 64, 4),
        (6, 96, 3),
        (6, 160, 3),
        (6, 320, 1),
    ):
        for _ in range(repeats):
            inner = channels * expansion
            if expansion > 1:
                convolution(1, 1, channels, inner, channels=inner)
            convolution(3, 3, inner, 1, channels=inner)
            convolution(1, 1, inner, filters, channels=filters)
            channels = filters
    convolution(1, 1, channels, 1280, channels=1280)
    return [*shapes, (1280, 1000), (1000,)]


def stream(packed: list[bytes], count: int) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """Yield updates as they would come from the network."""
    for i in range(count):
        yield unpack(packed[i % DISTINCT]), WEIGHTS[i % DISTINCT]


def fastest(function: object, repeats: int) -> float:
    """Return the shortest time of several calls, in seconds."""
    assert callable(function)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
