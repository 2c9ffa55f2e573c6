"""Where a search stands: all that it needs to go on, in one file."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from model_export.architecture_search.options import SearchOptions
from model_export.errors import ExportError
from model_export.files import write_atomically
from model_export.network import INPUT, Network

__all__ = ["State", "fingerprint", "load", "save"]

FILE = "search.npz"


@dataclass
class State:
    """After some epochs.

    Attributes
    ----------
    passes, epoch
        Passes that are done, and epochs of the next one.
    removed
        Slots that are gone, numbered as `model_export.compression.channels` does for the whole model.
    variables
        The whole model's variables by path; those of channels that are left as the training left them.
    scaled
        Variables of the channel weights by the name of the depthwise node, for all channels of the whole model. They
        are the weights divided by the rate: the weights themselves would not give them back to the last bit.
    optimizer
        The optimizer's variables; none between passes.
    """

    variables: dict[str, np.ndarray]
    scaled: dict[str, np.ndarray]
    passes: int = 0
    epoch: int = 0
    removed: frozenset[int] = frozenset()
    optimizer: list[np.ndarray] = field(default_factory=list)


def fingerprint(options: SearchOptions, network: Network, x: np.ndarray, y: np.ndarray) -> str:
    """Return what tells searches apart: all that their result depends on but the budgets.

    Parameters
    ----------
    options
        Of the search. How many passes it may take is no part of it: a search that gave up goes on with more.
    network
        The whole model before training: its layers with their settings, and its weights.
    x, y
        The reference data, ``[n, …]`` and ``[n]``.
    """
    settings = {name: value for name, value in asdict(options).items() if name != "most_passes"}
    places = {INPUT: -1, **{node.name: place for place, node in enumerate(network.nodes)}}
    layers = [
        [type(node.layer).__name__, [places[name] for name in node.inputs], _without_name(node.layer.get_config())]
        for node in network.nodes
    ]
    weights = {path: _digest(v.numpy()) for node in network.nodes for path, v in node.variables.items()}
    told = json.dumps([settings, network.input_shape, layers, weights, _digest(x), _digest(y.astype(np.int64))])
    return hashlib.sha256(told.encode()).hexdigest()


def _without_name(config: dict[str, Any]) -> Any:
    """Return a layer's settings; Keras numbers unnamed layers anew for each model of a process."""
    return keras.saving.serialize_keras_object({key: value for key, value in config.items() if key != "name"})


def _digest(array: np.ndarray) -> list[Any]:
    return [str(array.dtype), array.shape, hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()]


def save(folder: Path, state: State, mark: str) -> None:
    """Replace the state in ``folder``; it is there whole or not at all."""
    arrays: dict[str, Any] = {
        **{f"variable:{path}": value for path, value in state.variables.items()},
        **{f"scaled:{name}": value for name, value in state.scaled.items()},
        **{f"optimizer:{i:05d}": value for i, value in enumerate(state.optimizer)},
        "removed": np.array(sorted(state.removed), np.int64),
        "told": np.array(json.dumps({"passes": state.passes, "epoch": state.epoch, "mark": mark})),
    }
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_atomically(folder / FILE, content.getbuffer())


def load(folder: Path, mark: str) -> State | None:
    """Return the state in ``folder``; None if there is none.

    Raises
    ------
    ExportError
        It is damaged, or of a search with other settings, another model, other weights or other data.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with open(path, "rb") as file, np.load(file) as archive:
            told = json.loads(str(archive["told"]))
            parts: dict[str, dict[str, np.ndarray]] = {"variable": {}, "scaled": {}, "optimizer": {}}
            same = told["mark"] == mark
            for name in archive.files if same else ():
                kind, _, key = name.partition(":")
                if key:
                    parts[kind][key] = archive[name]
            removed = frozenset(archive["removed"].tolist())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ExportError(f"{path} is damaged: {error}; remove it to begin anew") from None
    if not same:
        raise ExportError(
            f"{path} is of a search with other settings, another model, other weights or other data; choose another "
            "folder, or remove it"
        )
    optimizer = [value for _, value in sorted(parts["optimizer"].items())]
    return State(parts["variable"], parts["scaled"], told["passes"], told["epoch"], removed, optimizer)
