"""Keras model to bundle.

Importing this package loads no TensorFlow: a client that only reads bundles does not have it. The names that need it
are loaded on first use.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_export.bundle import Bundle
    from model_export.exporter import export
    from model_export.inspect import describe, render
    from model_export.load import load_keras_model
    from model_export.options import Adam, Sgd
    from model_export.zoo import ARCHITECTURES, build

__all__ = ["ARCHITECTURES", "Adam", "Bundle", "Sgd", "build", "describe", "export", "load_keras_model", "render"]

_LIGHT = {
    "Adam": "model_export.options",
    "Bundle": "model_export.bundle",
    "Sgd": "model_export.options",
    "describe": "model_export.inspect",
    "render": "model_export.inspect",
}
_NEEDS_TENSORFLOW = {
    "ARCHITECTURES": "model_export.zoo",
    "build": "model_export.zoo",
    "export": "model_export.exporter",
    "load_keras_model": "model_export.load",
}


def __getattr__(name: str) -> Any:
    if name in _LIGHT:
        return getattr(importlib.import_module(_LIGHT[name]), name)
    if name in _NEEDS_TENSORFLOW:
        return getattr(_import_with_tensorflow(_NEEDS_TENSORFLOW[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _import_with_tensorflow(module: str) -> Any:
    from model_export.quiet import quiet

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with quiet():
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name in ("keras", "tensorflow"):
            way_out = "pip install 'pocketfleet[export]'"
            raise ImportError(f"exporting needs TensorFlow; install it with: {way_out}") from error
        raise
