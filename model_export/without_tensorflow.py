"""Reading networks where Keras runs on another backend and TensorFlow is not installed, as on a GPU machine with JAX.

The rules of layers name TensorFlow when they are imported and use it when a graph is written. To read a network, to
slice it and to count its costs takes the rules, but no graph.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from typing import Any

__all__ = ["tensorflow_optional"]


class _Missing(types.ModuleType):
    """Stands in for TensorFlow or a part of it; whoever calls it learns that it is missing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Missing(f"{self.__name__}.{name}")

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        way_out = "pip install 'pocketfleet[export]'"
        raise ImportError(f"{self.__name__} is needed, and TensorFlow is not installed; install it with: {way_out}")


@contextlib.contextmanager
def tensorflow_optional() -> Iterator[None]:
    """Let modules that are imported meanwhile name TensorFlow where it is not installed.

    Nobody else sees the stand-in: Keras looks for TensorFlow too, and must not find it.
    """
    if "tensorflow" in sys.modules or importlib.util.find_spec("tensorflow") is not None:
        yield
        return
    importlib.import_module("keras")
    sys.modules["tensorflow"] = _Missing("tensorflow")
    try:
        yield
    finally:
        del sys.modules["tensorflow"]
