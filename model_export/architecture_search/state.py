"""Where a search stands: all that it needs to go on, in one file."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from model_export.architecture_search.options import SearchOptions
from model_export.errors import ExportError
from model_export.files import write_atomically

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
    weights
        Channel weights by the name of the depthwise node, for all channels of the whole model.
    optimizer
        The optimizer's variables; none between passes.
    """

    variables: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    passes: int = 0
    epoch: int = 0
    removed: frozenset[int] = frozenset()
    optimizer: list[np.ndarray] = field(default_factory=list)


def fingerprint(options: SearchOptions, variables: dict[str, np.ndarray], y: np.ndarray) -> str:
    """Return what tells searches apart: settings, the model's shapes, the labels."""
    shapes = {path: list(value.shape) for path, value in variables.items()}
    told = json.dumps([asdict(options), shapes, hashlib.sha256(y.astype(np.int64).tobytes()).hexdigest()])
    return hashlib.sha256(told.encode()).hexdigest()


def save(folder: Path, state: State, mark: str) -> None:
    """Replace the state in ``folder``; it is there whole or not at all."""
    arrays: dict[str, Any] = {
        **{f"variable:{path}": value for path, value in state.variables.items()},
        **{f"weight:{name}": value for name, value in state.weights.items()},
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
        It is damaged, or of a search with other settings, another model or other data.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with np.load(path) as archive:
            told = json.loads(str(archive["told"]))
            parts: dict[str, dict[str, np.ndarray]] = {"variable": {}, "weight": {}, "optimizer": {}}
            for name in archive.files:
                kind, _, key = name.partition(":")
                if key:
                    parts[kind][key] = archive[name]
            removed = frozenset(archive["removed"].tolist())
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ExportError(f"{path} is damaged: {error}; remove it to begin anew") from None
    if told["mark"] != mark:
        raise ExportError(
            f"{path} is of a search with other settings, another model or other data; choose another folder, "
            "or remove it"
        )
    optimizer = [value for _, value in sorted(parts["optimizer"].items())]
    return State(parts["variable"], parts["weight"], told["passes"], told["epoch"], removed, optimizer)
