"""Libraries that only exports need."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["needed"]


def needed(module: str) -> Any:
    """Return a module of the extra ``exports``.

    Raises
    ------
    ImportError
        It is not installed; the text says how to get it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise ImportError(f"{package} is not here ({error}): pip install 'pocketfleet[exports]'") from None
