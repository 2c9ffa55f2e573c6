"""The Python client: trains a bundle on a board and speaks Flower's Fleet protocol.

``Trainer`` and ``FitResult`` are loaded when they are asked for, so that what needs no runtime loads none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_client.fit import FitResult
    from edge_client.trainer import Trainer

__all__ = ["FitResult", "Trainer"]


def __getattr__(name: str) -> Any:
    if name == "Trainer":
        from edge_client.trainer import Trainer

        return Trainer
    if name == "FitResult":
        from edge_client.fit import FitResult

        return FitResult
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
