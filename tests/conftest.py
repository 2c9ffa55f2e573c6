"""Flower warns about one of its own dependencies when it is imported; our warnings are errors, that one is not ours."""

from __future__ import annotations

import importlib.util
import warnings

if importlib.util.find_spec("flwr"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import flwr.superlink.grid  # noqa: F401
