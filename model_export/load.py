"""Keras models from ``.keras`` files."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import keras

from model_export.errors import ModelFileError
from model_export.quiet import quiet

__all__ = ["load_keras_model"]

_MEMBERS = {"config.json", "model.weights.h5"}


def load_keras_model(path: str | Path) -> Any:
    """Read a model that ``model.save("name.keras")`` wrote.

    Keras's safe mode stays on: a file that would run code of its own is refused.

    Parameters
    ----------
    path
        The ``.keras`` file.

    Returns
    -------
    keras.Model
        The model, not compiled.

    Raises
    ------
    ModelFileError
        There is no such file, it is not a Keras model, it is damaged, or it needs code that is not here.
    """
    path = Path(path)
    if not path.exists():
        raise ModelFileError(f"{path}: no such file")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise ModelFileError(f"{path} is not a .keras file; write one with model.save('name.keras')")
    with zipfile.ZipFile(path) as archive:
        missing = sorted(_MEMBERS - set(archive.namelist()))
    if missing:
        raise ModelFileError(f"{path} is not a .keras file: it holds no {missing[0]}")
    try:
        with quiet():
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its deserialization stumbles over.
        raise ModelFileError(f"{path} cannot be loaded: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = str(error).strip()
    if "unsafe deserialization" in text or "safe_mode" in text:
        return "it holds a Lambda layer or other code, which is never run; rebuild the model without it"
    unknown = re.search(r"Could not locate \w+ '([^']+)'", text)
    if unknown:
        return f"it needs {unknown[1]}, a class or function of yours; only Keras's own layers can be exported"
    return text.splitlines()[0] if text else type(error).__name__
