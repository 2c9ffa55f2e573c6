"""What a search found, and its files."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_export.architecture_search.budget import Budget
from model_export.errors import ModelFileError
from model_export.files import write_atomically
from model_export.load import load_keras_model
from model_export.quiet import quiet
from model_export.size import Size

__all__ = ["Found", "path_of", "read_channels", "read_found", "write_found"]


@dataclass(frozen=True)
class Found:
    """An architecture that a budget allows.

    Attributes
    ----------
    budget, size
        What was asked for, and what the architecture costs.
    channels
        By name of layer, which of the whole model's channels stay: what `model_export.width.slice_channels` takes.
    passes
        Passes of training after which it was found.
    model
        The narrow Keras model, flat, with the weights that it had in the search.
    """

    budget: Budget
    size: Size
    channels: dict[str, list[int]]
    passes: int
    model: Any


def path_of(folder: Path, budget: Budget) -> Path:
    """Return where the channels that a budget allows are kept; the model is beside them, as ``.keras``."""
    return folder / f"{str(budget).replace('=', '-').replace(',', '_')}.json"


def write_found(folder: Path, found: Found, mark: str) -> None:
    """Write what was found for a budget, the JSON file last; ``mark`` tells of which search it is."""
    path = path_of(folder, found.budget)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".keras")
    os.close(descriptor)
    try:
        with quiet():
            found.model.save(temporary)
        os.replace(temporary, path.with_suffix(".keras"))
    finally:
        Path(temporary).unlink(missing_ok=True)
    told = {
        "search": mark,
        "budget": str(found.budget),
        "size": asdict(found.size),
        "passes": found.passes,
        "channels": found.channels,
    }
    write_atomically(path, json.dumps(told, indent=1).encode() + b"\n")


def read_found(folder: Path, budget: Budget, mark: str) -> Found | None:
    """Return what `write_found` wrote for this budget in this search; None if it did not."""
    path = path_of(folder, budget)
    told = _read(path) if path.exists() else {}
    if told.get("search") != mark:
        return None
    return Found(
        budget, Size(**told["size"]), told["channels"], told["passes"], load_keras_model(path.with_suffix(".keras"))
    )


def read_channels(path: Path) -> dict[str, list[int]]:
    """Read which channels of each layer stay, from a search's result or any JSON file with a key ``channels``.

    Raises
    ------
    ModelFileError
        It is not such a file.
    """
    channels = _read(path).get("channels")
    if not isinstance(channels, dict) or not all(
        isinstance(indices, list) and all(type(index) is int for index in indices) for indices in channels.values()
    ):
        raise ModelFileError(f'{path} holds no channels, as in {{"channels": {{"conv1": [0, 2, 3]}}}}')
    return channels


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelFileError(f"{path} cannot be read: {reason}") from None
    if not isinstance(told, dict):
        raise ModelFileError(f"{path} is not a JSON object")
    return told
