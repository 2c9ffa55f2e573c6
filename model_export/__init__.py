"""Keras model to bundle.

Importing this package loads no TensorFlow: a client that only reads bundles does not have it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_export.bundle import Bundle
    from model_export.exporter import export
    from model_export.options import Sgd

__all__ = ["Bundle", "Sgd", "export"]

_HOME = {
    "Bundle": "model_export.bundle",
    "Sgd": "model_export.options",
    "export": "model_export.exporter",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
