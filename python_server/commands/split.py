"""``pocketfleet split``: a data set to one file per client."""

from __future__ import annotations

import argparse
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from model_export.files import write_atomically
from python_server.errors import PartitionError
from python_server.partition import by_domain, by_label, by_user, iid, shards

__all__ = ["Split"]


class Split:
    """Split a data set."""

    name = "split"
    help = "split a data set over clients"
    description = (
        "Split an .npz file with x, y (for --domains, domain; for --users, user) into client_0.npz, client_1.npz, ...: "
        "every sample goes to exactly one client, and the same seed gives the same split."
    )
    examples = """\
examples:
  pocketfleet split train.npz --clients 10 -o shards
  pocketfleet split train.npz --clients 3 --dirichlet 0.5 --seed 7 -o shards
  pocketfleet split office31.npz --clients 3 --domains -o shards
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("data", type=Path, metavar="DATA.npz", help="samples x and labels y")
        parser.add_argument("--clients", type=int, required=True, metavar="N", help="how many files to make")
        parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where they go")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--iid", action="store_true", help="at random, evenly (the default)")
        how.add_argument("--dirichlet", type=float, metavar="ALPHA", help="by label; small: few classes per client")
        how.add_argument("--domains", action="store_true", help="no client mixes domains (array domain of the file)")
        how.add_argument("--shards", type=int, metavar="K", help="about K classes a client")
        how.add_argument("--users", action="store_true", help="no two clients share a user (array user of the file)")
        parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random choice (default: 0)")
        parser.add_argument("--allow-empty", action="store_true", help="clients may go without samples")
        parser.add_argument("--json", action="store_true", help="print the split as JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Split, write, and tell who got what."""
        arrays = _load(options.data)
        try:
            parts = _parts(arrays, options)
        except PartitionError as error:
            raise PartitionError(f"{options.data}: {error}") from None
        labels = arrays["y"]
        options.output.mkdir(parents=True, exist_ok=True)
        told = []
        for index, part in enumerate(parts):
            file = options.output / f"client_{index}.npz"
            _write(file, {name: array[part] for name, array in arrays.items()})
            classes, counts = np.unique(labels[part], return_counts=True)
            held = {str(label): int(count) for label, count in zip(classes, counts)}
            told.append({"file": str(file), "samples": len(part), "classes": held})
        if options.json:
            print(json.dumps(told, indent=2))
        else:
            for row in told:
                print(f"{row['file']}: {row['samples']} samples, classes {row['classes']}")
        return 0


def _parts(arrays: Mapping[str, np.ndarray], options: argparse.Namespace) -> list[np.ndarray]:
    """Return the rows of each client."""
    count, seed, allow_empty = options.clients, options.seed, options.allow_empty
    if allow_empty and (options.users or options.shards is not None):
        raise PartitionError("--users and --shards leave no client empty; leave out --allow-empty")
    for column, wanted in (("domain", options.domains), ("user", options.users)):
        if wanted and column not in arrays:
            raise PartitionError(f"it has no array {column!r}")
    if options.dirichlet is not None:
        return by_label(arrays["y"], count, alpha=options.dirichlet, seed=seed, allow_empty=allow_empty)
    if options.domains:
        return by_domain(arrays["domain"], count, seed=seed, allow_empty=allow_empty)
    if options.shards is not None:
        return shards(arrays["y"], count, classes=options.shards, seed=seed)
    if options.users:
        return by_user(arrays["user"], count, seed=seed)
    return iid(len(arrays["y"]), count, seed=seed, allow_empty=allow_empty)


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise PartitionError(f"{path}: no such file") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise PartitionError(f"{path} is not an .npz file of plain arrays: {error}") from None
    missing = [name for name in ("x", "y") if name not in arrays]
    if missing:
        raise PartitionError(f"{path} has no array {missing[0]!r}; it has: {', '.join(arrays) or 'none'}")
    samples = len(arrays["y"])
    for name, array in arrays.items():
        if array.ndim < 1 or len(array) != samples:
            raise PartitionError(f"{path}: array {name!r} does not have one entry for each of the {samples} labels")
    return arrays


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    import io

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stub takes a flag among the arrays
    write_atomically(path, buffer.getbuffer())
